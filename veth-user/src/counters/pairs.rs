//! Who talks to whom: what ports sent to each other, and elsewhere, between two snapshots.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;
use veth_common::{Counter, Pair, PortCounters, PortSlot, Verdict};

use super::{PortSample, Snapshot, difference, subtract};

/// What was sent between two snapshots, and to whom.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Traffic {
    /// The fabric.
    pub fabric: String,
    /// The time between the snapshots, in seconds.
    pub seconds: f64,
    /// Who talked to whom, most frames first.
    pub pairs: Vec<PairTraffic>,
    /// Frames from port to port for whose pairs the kernel had no room.
    pub others: u64,
}

impl Traffic {
    /// How many frames each port sent, to whomever.
    pub fn frames_by_sender(&self) -> HashMap<&str, u64> {
        let mut frames = HashMap::new();
        for pair in &self.pairs {
            *frames.entry(pair.from.as_str()).or_default() += pair.frames;
        }
        frames
    }
}

/// What one port sent to one partner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PairTraffic {
    /// The port that the frames arrived on.
    pub from: String,
    /// Whom they were for.
    pub to: Partner,
    /// Frames; a GSO frame is one.
    pub frames: u64,
    /// Bytes of these frames, Ethernet header included.
    pub bytes: u64,
    /// Frames as a wire would have seen them.
    pub segments: u64,
}

/// Whom a port's frames were for, as far as the datapath can tell.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(tag = "kind", content = "port", rename_all = "lowercase")]
pub enum Partner {
    /// The peer of a port, past the bridge.
    Port(String),
    /// The host: the bridge's own address.
    Host,
    /// Everybody.
    Everybody,
    /// A group.
    Group,
    /// Whoever the bridge says: a station that the fast path does not serve, or does not know.
    Bridge,
}

impl Partner {
    /// What a frame with `verdict` is for; `None` for those that the pairs tell of.
    const fn of(verdict: Verdict) -> Option<Self> {
        Some(match verdict {
            Verdict::Redirected => return None,
            Verdict::DestinationLocal => Self::Host,
            Verdict::Broadcast => Self::Everybody,
            Verdict::Multicast => Self::Group,
            _ => Self::Bridge,
        })
    }

    /// A word for it, in brackets where it is no port.
    pub fn label(&self) -> &str {
        match self {
            Self::Port(name) => name,
            Self::Host => "(host)",
            Self::Everybody => "(everybody)",
            Self::Group => "(group)",
            Self::Bridge => "(bridge)",
        }
    }
}

impl PairTraffic {
    fn new(from: &str, to: Partner, counter: &Counter) -> Self {
        let Counter { frames, bytes, segments } = *counter;
        Self { from: from.to_owned(), to, frames, bytes, segments }
    }
}

/// What was sent between two snapshots that both have pairs; `None` when one has not.
pub fn traffic(before: &Snapshot, after: &Snapshot) -> Option<Traffic> {
    let earlier: HashMap<Pair, Counter> = before.pairs.as_ref()?.iter().copied().collect();
    let names = Names::of(before, after);
    let mut traffic = Traffic {
        fabric: after.fabric.clone(),
        seconds: after.at.saturating_sub(before.at).as_secs_f64(),
        ..Traffic::default()
    };
    for (pair, counter) in after.pairs.as_ref()? {
        let earlier = earlier.get(pair).copied().unwrap_or_default();
        let added = subtract(&earlier, counter).unwrap_or(*counter);
        if *pair == Pair::OTHERS {
            traffic.others = added.frames;
        } else if added.frames > 0 {
            let to = Partner::Port(names.get(pair.target));
            traffic.pairs.push(PairTraffic::new(&names.get(pair.source), to, &added));
        }
    }
    let earlier: HashMap<u32, &PortCounters> =
        before.ports.iter().map(|port| (port.ifindex, &port.counters)).collect();
    for port in &after.ports {
        let earlier = earlier.get(&port.ifindex).copied().unwrap_or(&PortCounters::ZERO);
        traffic.pairs.extend(left_to_the_bridge(earlier, port));
    }
    traffic.pairs.sort_by(|left, right| {
        right
            .frames
            .cmp(&left.frames)
            .then_with(|| (&left.from, &left.to).cmp(&(&right.from, &right.to)))
    });
    Some(traffic)
}

/// What a port sent that was not handed straight to anybody.
fn left_to_the_bridge(earlier: &PortCounters, port: &PortSample) -> Vec<PairTraffic> {
    let added = difference(earlier, &port.counters);
    let mut partners: BTreeMap<Partner, Counter> = BTreeMap::new();
    for verdict in Verdict::ALL {
        if let Some(partner) = Partner::of(verdict) {
            partners.entry(partner).or_default().add(added.of(verdict));
        }
    }
    partners
        .into_iter()
        .filter(|(_, counter)| counter.frames > 0)
        .map(|(partner, counter)| PairTraffic::new(&port.name, partner, &counter))
        .collect()
}

/// Names of ports by their slots, those that have just gone included.
struct Names<'a>(HashMap<PortSlot, &'a str>);

impl<'a> Names<'a> {
    fn of(before: &'a Snapshot, after: &'a Snapshot) -> Self {
        let ports = before.ports.iter().chain(&after.ports);
        Self(ports.filter_map(|port| Some((port.slot?, port.name.as_str()))).collect())
    }

    fn get(&self, slot: PortSlot) -> String {
        self.0.get(&slot).map_or_else(|| format!("slot {}", slot.0), |name| (*name).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::counters::Dropped;

    const RED_TO_BLUE: Pair = Pair { source: PortSlot(1), target: PortSlot(2) };

    fn frames(frames: u64) -> Counter {
        Counter { frames, bytes: frames * 100, segments: frames }
    }

    fn port(slot: u16, name: &str, counted: &[(Verdict, u64)]) -> PortSample {
        let mut counters = PortCounters::ZERO;
        for (verdict, count) in counted {
            counters.by_verdict[*verdict as usize] = frames(*count);
        }
        PortSample {
            name: name.into(),
            ifindex: u32::from(slot) + 10,
            slot: Some(PortSlot(slot)),
            netns: None,
            counters,
            dropped: Dropped::default(),
        }
    }

    fn snapshot(seconds: u64, ports: Vec<PortSample>, pairs: &[(Pair, u64)]) -> Snapshot {
        Snapshot {
            fabric: "lab".into(),
            datapath: "tc",
            at: Duration::from_secs(seconds),
            ports,
            pairs: Some(pairs.iter().map(|(pair, count)| (*pair, frames(*count))).collect()),
        }
    }

    fn between(before: &Snapshot, after: &Snapshot) -> Vec<(String, String, u64)> {
        let traffic = traffic(before, after).expect("both have pairs");
        let rows = traffic.pairs.into_iter();
        rows.map(|it| (it.from, it.to.label().to_owned(), it.frames)).collect()
    }

    fn row(from: &str, to: &str, frames: u64) -> (String, String, u64) {
        (from.to_owned(), to.to_owned(), frames)
    }

    #[test]
    fn what_was_added_is_told_by_name_and_the_silent_are_left_out() {
        let ports = || vec![port(1, "red", &[]), port(2, "blue", &[])];
        let back = Pair { source: PortSlot(2), target: PortSlot(1) };
        let before = snapshot(5, ports(), &[(RED_TO_BLUE, 10), (back, 7)]);
        let after = snapshot(7, ports(), &[(RED_TO_BLUE, 15), (back, 7)]);
        assert_eq!(between(&before, &after), [row("red", "blue", 5)]);
        let told = traffic(&before, &after).expect("both have pairs");
        assert!((told.seconds - 2.0).abs() < f64::EPSILON && told.others == 0, "{told:?}");
        assert_eq!(told.pairs[0].bytes, 500);
    }

    #[test]
    fn frames_that_the_bridge_gets_are_told_by_whom_they_are_for() {
        let counted = [
            (Verdict::Redirected, 90),
            (Verdict::DestinationLocal, 4),
            (Verdict::Broadcast, 3),
            (Verdict::Multicast, 2),
            (Verdict::DestinationUnknown, 1),
            (Verdict::TooBig, 6),
        ];
        let before = snapshot(0, vec![port(1, "red", &[])], &[]);
        let ports = vec![port(1, "red", &counted), port(2, "blue", &[])];
        let after = snapshot(1, ports, &[(RED_TO_BLUE, 90)]);
        let rows = between(&before, &after);
        let wanted = [
            row("red", "blue", 90),
            row("red", "(bridge)", 7),
            row("red", "(host)", 4),
            row("red", "(everybody)", 3),
            row("red", "(group)", 2),
        ];
        assert_eq!(rows, wanted);
        // Every frame of a port is for one partner.
        let all: u64 = rows.iter().map(|(_, _, frames)| frames).sum();
        assert_eq!(all, after.ports[0].counters.total().frames);
    }

    #[test]
    fn pairs_without_room_and_ports_that_went_are_told_of() {
        let before = snapshot(0, vec![port(1, "red", &[]), port(2, "blue", &[])], &[]);
        let gone = Pair { source: PortSlot(1), target: PortSlot(9) };
        let pairs = [(Pair::OTHERS, 8), (RED_TO_BLUE, 2), (gone, 1)];
        let after = snapshot(1, vec![port(1, "red", &[])], &pairs);
        let told = traffic(&before, &after).expect("both have pairs");
        assert_eq!(told.others, 8);
        assert_eq!(between(&before, &after), [row("red", "blue", 2), row("red", "slot 9", 1)]);
    }

    #[test]
    fn pairs_that_were_cleared_count_from_zero() {
        let ports = || vec![port(1, "red", &[]), port(2, "blue", &[])];
        let before = snapshot(0, ports(), &[(RED_TO_BLUE, 10)]);
        let after = snapshot(1, ports(), &[(RED_TO_BLUE, 3)]);
        assert_eq!(between(&before, &after), [row("red", "blue", 3)]);
    }

    #[test]
    fn without_pairs_there_is_nothing_to_tell() {
        let with = snapshot(0, Vec::new(), &[]);
        let without = Snapshot { pairs: None, ..with.clone() };
        assert_eq!(traffic(&without, &with), None);
        assert_eq!(traffic(&with, &without), None);
    }
}
