//! Counters over time: snapshots, and the rates between two of them.

mod pairs;

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use veth_common::{Counter, Pair, PortCounters, PortSlot, Verdict};

pub use pairs::{PairTraffic, Partner, Traffic, traffic};

/// The counters of a fabric at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot {
    /// The fabric.
    pub fabric: String,
    /// Its datapath.
    pub datapath: &'static str,
    /// When it was taken, on a clock that only goes forward.
    #[serde(skip)]
    pub at: Duration,
    /// The ports.
    pub ports: Vec<PortSample>,
    /// What pairs of them have counted, when that was asked for.
    #[serde(skip)]
    pub pairs: Option<Vec<(Pair, Counter)>>,
}

/// The counters of one port at one moment.
#[derive(Clone, Debug, Serialize)]
pub struct PortSample {
    /// Its name.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// Its place in the counters; `None` while it is not counted.
    #[serde(skip)]
    pub slot: Option<PortSlot>,
    /// The namespace behind it.
    pub netns: Option<String>,
    /// Its counters.
    #[serde(rename = "verdicts", serialize_with = "every_verdict")]
    pub counters: PortCounters,
    /// What its device dropped.
    pub dropped: Dropped,
}

/// What the device of a port dropped since it was made: what the program handed on and the kernel
/// did not take. The program does not learn of it, the device counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// Frames that arrived at the port and could not be handed to their target.
    pub arriving: u64,
    /// Frames that were handed to the port and its peer did not take: it is down, or its queue is
    /// full.
    pub leaving: u64,
}

/// What happened on a port between two snapshots.
#[derive(Clone, Debug, PartialEq)]
pub struct PortRates {
    /// Its name.
    pub name: String,
    /// Frames per second, whatever their verdict.
    pub frames_per_second: f64,
    /// Bytes per second, whatever their verdict.
    pub bytes_per_second: f64,
    /// Share of the frames that took the fast path, from 0 to 1; `None` without frames.
    pub fast_share: Option<f64>,
    /// Frames per second of the other verdicts that occurred, most frequent first.
    pub others: Vec<(Verdict, f64)>,
    /// Frames per second that its device dropped, either way.
    pub dropped_per_second: f64,
    /// Whether its counters started anew in between: it was not there before, or not counted.
    pub is_anew: bool,
}

/// The rates of each port of `after`. A port that was not there before, or that started anew,
/// counts from zero.
pub fn rates(before: &Snapshot, after: &Snapshot) -> Vec<PortRates> {
    let seconds = after.at.saturating_sub(before.at).as_secs_f64();
    after
        .ports
        .iter()
        .enumerate()
        .map(|(place, port)| {
            let is_same = |other: &&PortSample| other.ifindex == port.ifindex;
            // Ports mostly stay in their places.
            let earlier = before.ports.get(place).filter(is_same);
            let earlier = earlier.or_else(|| before.ports.iter().find(is_same));
            let counters = earlier.map_or(PortCounters::ZERO, |other| other.counters);
            let all = |dropped: Dropped| dropped.arriving + dropped.leaving;
            let dropped =
                all(port.dropped).saturating_sub(earlier.map_or(0, |earlier| all(earlier.dropped)));
            let (added, is_anew) = match checked_difference(&counters, &port.counters) {
                Some(added) => (added, earlier.is_none()),
                None => (port.counters, true),
            };
            PortRates { is_anew, ..port_rates(&port.name, &added, dropped, seconds) }
        })
        .collect()
}

/// What was added to `earlier` to make `later`; all of `later` when the port started anew.
pub fn difference(earlier: &PortCounters, later: &PortCounters) -> PortCounters {
    checked_difference(earlier, later).unwrap_or(*later)
}

/// The same; `None` when the port started anew.
fn checked_difference(earlier: &PortCounters, later: &PortCounters) -> Option<PortCounters> {
    let mut added = PortCounters::ZERO;
    for (index, slot) in added.by_verdict.iter_mut().enumerate() {
        *slot = subtract(&earlier.by_verdict[index], &later.by_verdict[index])?;
    }
    Some(added)
}

/// What was added to `earlier` to make `later`; `None` when that started anew.
fn subtract(earlier: &Counter, later: &Counter) -> Option<Counter> {
    Some(Counter {
        frames: later.frames.checked_sub(earlier.frames)?,
        bytes: later.bytes.checked_sub(earlier.bytes)?,
        segments: later.segments.checked_sub(earlier.segments)?,
    })
}

/// The sum of the ports' counters.
pub fn sum<'a>(ports: impl IntoIterator<Item = &'a PortCounters>) -> PortCounters {
    let mut total = PortCounters::ZERO;
    for counters in ports {
        total.add(counters);
    }
    total
}

fn port_rates(name: &str, added: &PortCounters, dropped: u64, seconds: f64) -> PortRates {
    let per_second = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
    let total = added.total();
    let fast: u64 = Verdict::ALL
        .into_iter()
        .filter(|verdict| verdict.is_fast())
        .map(|verdict| added.of(verdict).frames)
        .sum();
    let mut others: Vec<(Verdict, f64)> = Verdict::ALL
        .into_iter()
        .filter(|verdict| !verdict.is_fast() && added.of(*verdict).frames > 0)
        .map(|verdict| (verdict, per_second(added.of(verdict).frames)))
        .collect();
    others.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    PortRates {
        name: name.to_owned(),
        frames_per_second: per_second(total.frames),
        bytes_per_second: per_second(total.bytes),
        fast_share: (total.frames > 0).then(|| fast as f64 / total.frames as f64),
        others,
        dropped_per_second: per_second(dropped),
        is_anew: false,
    }
}

/// Serializes every verdict by name, zeros included, in the order of their numbers.
///
/// # Errors
///
/// Those of the serializer.
pub fn every_verdict<S: Serializer>(
    counters: &PortCounters,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Fields {
        frames: u64,
        bytes: u64,
        segments: u64,
    }
    let mut map = serializer.serialize_map(Some(Verdict::ALL.len()))?;
    for verdict in Verdict::ALL {
        let Counter { frames, bytes, segments } = *counters.of(verdict);
        map.serialize_entry(verdict.name(), &Fields { frames, bytes, segments })?;
    }
    map.end()
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values are exact")]
mod tests {
    use super::*;

    fn counters(redirected: u64, broadcast: u64) -> PortCounters {
        let mut counters = PortCounters::ZERO;
        counters.by_verdict[Verdict::Redirected as usize] =
            Counter { frames: redirected, bytes: redirected * 100, segments: redirected };
        counters.by_verdict[Verdict::Broadcast as usize] =
            Counter { frames: broadcast, bytes: broadcast * 42, segments: broadcast };
        counters
    }

    fn snapshot(seconds: u64, counters: &PortCounters) -> Snapshot {
        let counters = *counters;
        let dropped = Dropped::default();
        let (name, slot) = ("red".into(), Some(PortSlot(1)));
        let port = PortSample { name, ifindex: 5, slot, netns: None, counters, dropped };
        Snapshot {
            fabric: "lab".into(),
            datapath: "tc",
            at: Duration::from_secs(seconds),
            ports: vec![port],
            pairs: None,
        }
    }

    #[test]
    fn rates_are_differences_over_time() {
        let rates = rates(&snapshot(10, &counters(100, 0)), &snapshot(12, &counters(160, 20)));
        assert_eq!(rates[0].frames_per_second, 40.0);
        assert_eq!(rates[0].bytes_per_second, 3420.0);
        assert_eq!(rates[0].fast_share, Some(0.75));
        assert_eq!(rates[0].others, [(Verdict::Broadcast, 10.0)]);
    }

    #[test]
    fn port_that_started_anew_counts_from_zero() {
        let rates = rates(&snapshot(0, &counters(100, 100)), &snapshot(1, &counters(7, 0)));
        assert_eq!(rates[0].frames_per_second, 7.0);
        assert!(rates[0].is_anew);
    }

    #[test]
    fn port_that_goes_on_is_not_anew_and_one_that_came_is() {
        let (before, after) = (snapshot(0, &counters(1, 1)), snapshot(1, &counters(2, 1)));
        assert!(!rates(&before, &after)[0].is_anew);
        let nobody = Snapshot { ports: Vec::new(), ..before };
        assert!(rates(&nobody, &after)[0].is_anew);
    }

    #[test]
    fn quiet_port_has_no_share() {
        let rates = rates(&snapshot(0, &counters(5, 5)), &snapshot(1, &counters(5, 5)));
        assert_eq!(rates[0].fast_share, None);
        assert!(rates[0].others.is_empty());
    }

    #[test]
    fn no_time_between_snapshots_makes_no_infinite_rate() {
        let rates = rates(&snapshot(1, &counters(0, 0)), &snapshot(1, &counters(5, 0)));
        assert_eq!(rates[0].frames_per_second, 0.0);
    }

    #[test]
    fn json_has_every_verdict_in_the_order_of_their_numbers() {
        let text = serde_json::to_string(&snapshot(0, &counters(2, 1))).expect("plain data");
        let value: serde_json::Value = serde_json::from_str(&text).expect("is JSON");
        let verdicts = value["ports"][0]["verdicts"].as_object().expect("is a map");
        assert_eq!(verdicts.len(), Verdict::ALL.len());
        assert_eq!(verdicts["redirected"]["bytes"], 200);
        let place = |name: &str| text.find(&format!("\"{name}\":")).expect("is there");
        for pair in Verdict::ALL.windows(2) {
            assert!(place(pair[0].name()) < place(pair[1].name()));
        }
    }
}
