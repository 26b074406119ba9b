//! Two runs side by side: what changed from one to the other, cell by cell.
//!
//! Rounds of two runs do not belong together in pairs, so nothing cancels out: what was different
//! on the machine between the runs is in [`Change::ratio`] as well. [`Change::to_baseline`] is
//! what each run found within its own rounds, and bears that better.

mod like;
mod table;

use serde::Serialize;

use super::{Cell, CellName, Path, Ratio, Results, Round};
use crate::statistics::{Interval, median_interval};

/// What follows from two runs, for people and as JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The earlier run, or whatever the other is compared with.
    pub before: Origin,
    /// The later run.
    pub after: Origin,
    /// Path that ratios to a baseline are to; none if the runs have different ones.
    pub baseline: Option<Path>,
    /// The cells that both runs have, in the order of the later one.
    pub changes: Vec<Change>,
    /// Cells of the earlier run alone.
    pub only_before: Vec<CellName>,
    /// Cells of the later run alone.
    pub only_after: Vec<CellName>,
    /// What makes the comparison doubtful: differences of machine and settings, runs that ended
    /// early, too few rounds.
    pub notes: Vec<String>,
}

/// Which run it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Release of veth that measured.
    pub release: String,
    /// When it began, in seconds since 1970 (UTC).
    pub started_at_s: u64,
    /// Kernel release.
    pub kernel: String,
}

/// One cell in both runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Which cell.
    #[serde(flatten)]
    pub cell: CellName,
    /// The median of the earlier run and its 95 % interval, in the workload's unit.
    pub before: Interval,
    /// The same of the later run.
    pub after: Interval,
    /// The later median divided by the earlier one. More is better, also for latencies (their
    /// ratio is turned around). None if there is no dividing by the median.
    pub ratio: Option<Ratio>,
    /// Whether the intervals of the two medians have nothing in common, which is more than
    /// [`Ratio::differs`] asks of the rounds, though not of the size of the difference.
    pub separates: bool,
    /// How the cell compares with the baseline in either run. None for the baseline itself, and
    /// when the two runs do not have the same one.
    pub to_baseline: Option<Standing>,
}

/// How one cell compares with the baseline, in both runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Standing {
    /// In the earlier run.
    pub before: Ratio,
    /// In the later run.
    pub after: Ratio,
    /// Whether the two intervals have nothing in common.
    pub separates: bool,
}

impl Comparison {
    /// Compares `after` with `before`. The same results give the same comparison.
    pub fn of(before: &Results, after: &Results) -> Self {
        let baseline = before.settings.baseline;
        let baseline = (baseline == after.settings.baseline).then_some(baseline);
        let mut notes = like::differences(before, after);
        let changes: Vec<Change> = measured(after)
            .filter_map(|cell| {
                let earlier = measured(before).find(|earlier| earlier.name() == cell.name())?;
                let to_baseline =
                    baseline.and_then(|path| Standing::of((before, earlier), (after, cell), path));
                Change::of(earlier, cell, to_baseline)
            })
            .collect();
        notes.extend(like::too_few_rounds(before, after, &changes));
        Self {
            before: Origin::of(before),
            after: Origin::of(after),
            baseline,
            changes,
            only_before: only_in(before, after),
            only_after: only_in(after, before),
            notes,
        }
    }
}

impl Origin {
    fn of(results: &Results) -> Self {
        Self {
            release: results.release.clone(),
            started_at_s: results.started_at_s,
            kernel: results.machine.kernel.clone(),
        }
    }
}

impl Change {
    fn of(before: &Cell, after: &Cell, to_baseline: Option<Standing>) -> Option<Self> {
        let ratio = Ratio::unpaired(after, before);
        let cell = after.name();
        let before = median_interval(&before.values())?;
        let after = median_interval(&after.values())?;
        let separates = !before.overlaps(&after);
        Some(Self { cell, before, after, ratio, separates, to_baseline })
    }
}

impl Standing {
    fn of(before: (&Results, &Cell), after: (&Results, &Cell), baseline: Path) -> Option<Self> {
        let ratio = |(results, cell): (&Results, &Cell)| {
            Ratio::paired(cell, results.reference(cell, baseline)?)
        };
        let (before, after) = (ratio(before)?, ratio(after)?);
        Some(Self { before, after, separates: !before.overlaps(&after) })
    }
}

/// The cells that have figures.
fn measured(results: &Results) -> impl Iterator<Item = &Cell> {
    let has_figure = |round: &Round| round.value.is_finite();
    results.cells.iter().filter(move |cell| cell.rounds.iter().any(has_figure))
}

fn only_in(results: &Results, other: &Results) -> Vec<CellName> {
    let is_in_other = |name: &CellName| measured(other).any(|cell| cell.name() == *name);
    measured(results).map(Cell::name).filter(|name| !is_in_other(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{
            Workload,
            samples::{cell, path, results},
        },
        statistics::Random,
    };

    /// A cell of ten rounds around `figure` with noise of 3 %.
    fn noisy(random: &mut Random, workload: Workload, name: &str, figure: f64) -> Cell {
        let values: Vec<f64> = (0..10).map(|_| figure * random.near_one(0.03)).collect();
        cell(workload, name, &values)
    }

    fn run(seed: u64, figures: &[(&str, f64)]) -> Results {
        let mut random = Random::seeded(seed);
        let noisy =
            |(name, figure): &(&str, f64)| noisy(&mut random, Workload::TcpRr, name, *figure);
        results(figures.iter().map(noisy).collect())
    }

    #[test]
    fn the_same_twice_is_no_change() {
        let run = run(1, &[("bridge", 1e5), ("tc", 1.5e5)]);
        let comparison = Comparison::of(&run, &run);
        assert_eq!(comparison.changes.len(), 2);
        for change in &comparison.changes {
            assert_eq!(change.before, change.after);
            assert!(!change.separates && change.ratio.is_some_and(|ratio| !ratio.differs));
        }
        assert!(comparison.notes.is_empty() && comparison.only_before.is_empty());
    }

    #[test]
    fn two_runs_of_the_same_rarely_differ() {
        let differs = |seed: &u64| {
            let (before, after) = (run(*seed, &[("tc", 1e5)]), run(*seed + 1000, &[("tc", 1e5)]));
            let comparison = Comparison::of(&before, &after);
            comparison.changes[0].ratio.is_some_and(|ratio| ratio.differs)
        };
        let found = (0..50).filter(differs).count();
        assert!(found <= 2, "{found} of 50");
    }

    #[test]
    fn a_fifth_less_is_found_and_so_is_the_standing() {
        let before = run(1, &[("bridge", 1e5), ("tc", 1.5e5)]);
        let after = run(2, &[("bridge", 1e5), ("tc", 1.2e5)]);
        let comparison = Comparison::of(&before, &after);
        let [bridge, tc] = &comparison.changes[..] else { panic!("two cells: {comparison:?}") };
        let ratio = tc.ratio.expect("comparable");
        assert!(ratio.differs && tc.separates && (ratio.median - 0.8).abs() < 0.04, "{ratio:?}");
        let standing = tc.to_baseline.expect("has a baseline");
        assert!(standing.separates && standing.before.median > standing.after.median);
        assert!(!bridge.separates && bridge.to_baseline.is_none());
    }

    #[test]
    fn a_slower_machine_changes_the_figures_and_not_the_standing() {
        let before = run(1, &[("bridge", 1e5), ("tc", 1.5e5)]);
        let after = run(2, &[("bridge", 0.7e5), ("tc", 1.05e5)]);
        let comparison = Comparison::of(&before, &after);
        let tc = &comparison.changes[1];
        assert!(tc.separates && tc.ratio.is_some_and(|ratio| ratio.differs));
        assert!(tc.to_baseline.is_some_and(|standing| !standing.separates));
    }

    #[test]
    fn less_latency_is_better() {
        let latency = |ns| results(vec![cell(Workload::LatencyLoad, "tc", &[ns; 8])]);
        let comparison = Comparison::of(&latency(1000.0), &latency(800.0));
        let change = &comparison.changes[0];
        assert!(change.ratio.is_some_and(|ratio| ratio.differs && ratio.median > 1.0));
        assert!(change.after.median < change.before.median);
    }

    #[test]
    fn cells_of_one_run_alone_are_listed() {
        let with_ports = |name, ports| Cell { ports, ..cell(Workload::TcpRr, name, &[1.0; 6]) };
        let before = results(vec![with_ports("tc", Some(2)), with_ports("bridge", None)]);
        let after = results(vec![
            with_ports("tc", Some(100)),
            with_ports("bridge", None),
            cell(Workload::UdpRr, "tc", &[]),
        ]);
        let comparison = Comparison::of(&before, &after);
        let texts = |names: &[CellName]| names.iter().map(CellName::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&comparison.only_before), ["tcp_rr tc (2 ports)"]);
        assert_eq!(texts(&comparison.only_after), ["tcp_rr tc (100 ports)"]);
        assert_eq!(comparison.changes.len(), 1);
    }

    #[test]
    fn different_baselines_leave_no_standing() {
        let before = run(1, &[("direct", 2e5), ("bridge", 1e5), ("tc", 1.5e5)]);
        let mut after = before.clone();
        after.settings.baseline = path("direct");
        let comparison = Comparison::of(&before, &after);
        assert_eq!(comparison.baseline, None);
        assert!(comparison.changes.iter().all(|change| change.to_baseline.is_none()));
        assert_eq!(comparison.notes, ["not like for like: baseline bridge before, direct after"]);
    }

    #[test]
    fn saved_form_has_the_cell_and_the_figures_side_by_side() {
        let run = results(vec![cell(Workload::TcpRr, "tc", &[2.0; 6])]);
        let json = serde_json::to_value(Comparison::of(&run, &run)).expect("is plain data");
        assert_eq!(
            json["changes"][0],
            serde_json::json!({
                "workload": "tcp_rr",
                "path": "tc",
                "ports": null,
                "before": { "low": 2.0, "median": 2.0, "high": 2.0 },
                "after": { "low": 2.0, "median": 2.0, "high": 2.0 },
                "ratio": { "low": 1.0, "median": 1.0, "high": 1.0, "differs": false },
                "separates": false,
                "to_baseline": null,
            })
        );
    }
}
