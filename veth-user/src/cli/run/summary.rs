//! What `run` says at its end.

use std::fmt::Write as _;

use serde::Serialize;
use veth_common::{Counter, PortCounters};

use super::comparison::{Comparison, Figures};
use crate::{
    counters::{Snapshot, difference, every_verdict, sum},
    report::{self, si},
    topology::FabricName,
};

/// What happened.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    fabric: String,
    comparison: Comparison,
    live: Option<Live>,
}

/// The live part.
#[derive(Debug, Serialize)]
struct Live {
    seconds: f64,
    frames: u64,
    redirected: u64,
    #[serde(rename = "verdicts", serialize_with = "every_verdict")]
    counters: PortCounters,
}

impl Summary {
    pub(super) fn new(fabric: &FabricName, comparison: Comparison) -> Self {
        Self { fabric: fabric.to_string(), comparison, live: None }
    }

    /// Adds what was counted between two snapshots.
    pub(super) fn add_live(&mut self, first: &Snapshot, last: &Snapshot) {
        let added: Vec<PortCounters> = last
            .ports
            .iter()
            .map(|port| {
                let earlier = first.ports.iter().find(|other| other.ifindex == port.ifindex);
                let earlier = earlier.map_or(PortCounters::ZERO, |other| other.counters);
                difference(&earlier, &port.counters)
            })
            .collect();
        let counters = sum(&added);
        self.live = Some(Live {
            seconds: last.at.saturating_sub(first.at).as_secs_f64(),
            frames: counters.total().frames,
            redirected: counters.of(veth_common::Verdict::Redirected).frames,
            counters,
        });
    }

    /// The summary for people.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        if let Some(live) = &self.live {
            let Counter { frames, bytes, segments } = live.counters.total();
            let _ = writeln!(
                text,
                "\n{:.1} s of live traffic: {frames} frames ({segments} on a wire), {bytes} bytes",
                live.seconds
            );
            for line in report::verdict_lines(&live.counters) {
                let _ = writeln!(text, "{line}");
            }
        }
        text += &comparison_table(&self.comparison);
        let _ = writeln!(text, "\nfabric {} is down; nothing is left of it", self.fabric);
        text
    }
}

fn comparison_table(comparison: &Comparison) -> String {
    let rounds = &comparison.rounds;
    if rounds.is_empty() {
        return String::new();
    }
    let mut table = report::new_table(&["", "BRIDGE", "FAST PATH", "RATIO", "RANGE"]);
    report::align_right(&mut table, &[1, 2, 3]);
    let mut unsteady = false;
    let stream: Figure = |figures| figures.stream_bits_per_second;
    let round_trips: Figure = |figures| figures.round_trips_per_second;
    for (name, unit, figure) in
        [("TCP stream", "bit/s", stream), ("UDP round trips", "/s", round_trips)]
    {
        let bridge = median(rounds.iter().map(|round| figure(&round.bridge)));
        let fast = median(rounds.iter().map(|round| figure(&round.fast)));
        let ratios: Vec<f64> =
            rounds.iter().map(|round| figure(&round.fast) / figure(&round.bridge)).collect();
        let lowest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        unsteady |= highest / lowest > STEADY;
        table.add_row([
            name.to_owned(),
            format!("{} {unit}", si(bridge)),
            format!("{} {unit}", si(fast)),
            format!("{:.2}", median(ratios.into_iter())),
            format!("{lowest:.2} - {highest:.2}"),
        ]);
    }
    let warning = if unsteady {
        "the rounds differ a lot: something else kept this machine busy; try again when it is idle\n"
    } else {
        ""
    };
    format!(
        "\nmedians of {} rounds in turn, both ends on one CPU:\n{}",
        rounds.len(),
        report::finish(&table)
    ) + warning
}

type Figure = fn(&Figures) -> f64;

/// How far the highest ratio may be above the lowest before the comparison says that it was
/// disturbed.
const STEADY: f64 = 1.5;

/// The middle of `values`; not a number without any.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    match values.as_slice() {
        [] => f64::NAN,
        values if values.len() % 2 == 1 => values[values.len() / 2],
        values => f64::midpoint(values[values.len() / 2 - 1], values[values.len() / 2]),
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values are exact")]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_and_ignores_what_is_no_number() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, f64::INFINITY, 3.0].into_iter()), 2.5);
        assert!(median(std::iter::empty()).is_nan());
    }
}
