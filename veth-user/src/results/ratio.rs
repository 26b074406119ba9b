//! Ratios: how many times as good one cell is as another.

use serde::Serialize;

use super::{Cell, Path, Results, Workload};
use crate::statistics::{Interval, median, median_interval, ratio_interval, sign_probability};

/// A difference of so much is the smallest that is called one: what moves on a machine between two
/// paths that are the same (where their devices lie in memory, which interrupt comes when) is
/// about as large, and no number of rounds averages it away.
pub const SMALLEST_EFFECT: f64 = 0.02;

/// With fewer rounds no difference is claimed: even if all of seven rounds fall on the same side of
/// 1, that happens by chance in one of 64 comparisons of a path with itself, and a run has dozens of
/// them. It is also where the interval begins to be what it says.
pub const MIN_ROUNDS: usize = 8;

/// How likely the rounds of a path that is compared with itself may be as one-sided as those of a
/// difference that is claimed.
const CHANCE: f64 = 0.01;

/// How two figures compare: this one is so many times as good as the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ratio {
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Median.
    pub median: f64,
    /// Upper end.
    pub high: f64,
    /// Whether the two differ: there were at least [`MIN_ROUNDS`], the whole interval is further
    /// from 1 than [`SMALLEST_EFFECT`], and so many rounds say so that chance would not do it
    /// (a sign test, or its like for runs whose rounds are no pairs).
    ///
    /// That is stricter than an interval without 1 and a median that is far enough away, because
    /// a run compares dozens of cells: of paths that are the same, one comparison in twenty would
    /// have such an interval by chance, and with few rounds a median that is far away as well.
    pub differs: bool,
}

impl Ratio {
    /// `cell` compared with `reference`, each round with the same round: what slowed down a whole
    /// round is in both. None without rounds that both have.
    pub(super) fn paired(cell: &Cell, reference: &Cell) -> Option<Self> {
        let ratios = paired_ratios(cell, reference);
        let chance = sign_probability(&ratios, 1.0);
        median_interval(&ratios).map(|interval| Self::of(interval, ratios.len(), chance))
    }

    /// The median of `after` compared with that of `before`, whose rounds have nothing to do with
    /// each other. None if one of them has no rounds, or there is no dividing by its median.
    pub(super) fn unpaired(after: &Cell, before: &Cell) -> Option<Self> {
        let rounds = after.rounds.len().min(before.rounds.len());
        let (after_values, before_values) = (after.values(), before.values());
        let interval = if after.workload.is_less_better() {
            ratio_interval(&before_values, &after_values)
        } else {
            ratio_interval(&after_values, &before_values)
        };
        // Each round of the one against the median of the other: how one-sided the less one-sided
        // of the two runs is.
        let against = |values: &[f64], others: &[f64]| {
            median(others).map_or(1.0, |center| sign_probability(values, center))
        };
        let chance =
            against(&after_values, &before_values).max(against(&before_values, &after_values));
        interval.map(|interval| Self::of(interval, rounds, chance))
    }

    /// Width of the interval, measured by the median; infinite if that is 0 and the interval is
    /// not.
    pub(super) fn relative_width(&self) -> f64 {
        let width = self.high - self.low;
        if width > 0.0 { width / self.median } else { 0.0 }
    }

    /// Whether some value is in both intervals.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.interval().overlaps(&other.interval())
    }

    const fn interval(&self) -> Interval {
        Interval { low: self.low, median: self.median, high: self.high }
    }

    fn of(interval: Interval, rounds: usize, chance: f64) -> Self {
        let Interval { low, median, high } = interval;
        // The same difference, whichever of the two is the reference.
        let is_far = low >= 1.0 + SMALLEST_EFFECT || high <= 1.0 / (1.0 + SMALLEST_EFFECT);
        let differs = rounds >= MIN_ROUNDS && is_far && chance <= CHANCE;
        Self { low, median, high, differs }
    }
}

/// How `cell` compares with `reference` in each round that both have.
pub(super) fn paired_ratios(cell: &Cell, reference: &Cell) -> Vec<f64> {
    let in_round = |round| reference.rounds.iter().find(|other| other.round == round);
    cell.rounds
        .iter()
        .filter_map(|round| Some((round.value, in_round(round.round)?.value)))
        .map(|(value, reference)| better(cell.workload, value, reference))
        // Nothing is so many times as good as a path that did nothing.
        .filter(|ratio| ratio.is_finite())
        .collect()
}

/// How many times as good as `reference` the figure `value` is.
fn better(workload: Workload, value: f64, reference: f64) -> f64 {
    if workload.is_less_better() { reference / value } else { value / reference }
}

impl Cell {
    /// The figures of its rounds.
    pub(super) fn values(&self) -> Vec<f64> {
        self.rounds.iter().map(|round| round.value).filter(|value| value.is_finite()).collect()
    }
}

impl Results {
    /// The cell of `path` that `cell` is compared with: of the same workload and with as many
    /// ports. A path that is no fabric has no ports to vary, and is compared with any number of
    /// them. None for a cell of `path` itself.
    pub(super) fn reference(&self, cell: &Cell, path: Path) -> Option<&Cell> {
        if cell.path == path {
            return None;
        }
        let with_ports = |ports: Option<u32>| {
            self.cells.iter().find(|other| {
                (other.workload, other.path, other.ports) == (cell.workload, path, ports)
            })
        };
        let without_ports = || if path.kind.is_fabric() { None } else { with_ports(None) };
        with_ports(cell.ports).or_else(without_ports)
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values are exact")]
mod tests {
    use super::*;
    use crate::{
        results::samples::{cell, path},
        statistics::Random,
    };

    fn pair(workload: Workload, tc: &[f64], bridge: &[f64]) -> Option<Ratio> {
        Ratio::paired(&cell(workload, "tc", tc), &cell(workload, "bridge", bridge))
    }

    /// In how many of 200 runs of `rounds` rounds a path that is `factor` times as fast as the
    /// other is found to differ, with so much noise in both.
    fn found(rounds: usize, factor: f64, noise: f64) -> usize {
        let differs = |seed: &u64| {
            let mut random = Random::seeded(*seed);
            let mut values = |factor: f64| -> Vec<f64> {
                (0..rounds).map(|_| factor * random.near_one(noise)).collect()
            };
            let (bridge, tc) = (values(1e6), values(1e6 * factor));
            pair(Workload::TcpRr, &tc, &bridge).expect("has rounds").differs
        };
        (0..200).filter(differs).count()
    }

    #[test]
    fn paths_that_are_the_same_hardly_ever_differ() {
        for rounds in [8, 10, 15] {
            for noise in [0.03, 0.08, 0.15] {
                let found = found(rounds, 1.0, noise);
                assert!(found <= 3, "{found} of 200 with {rounds} rounds, {noise}");
            }
        }
    }

    #[test]
    fn a_fifth_more_or_less_is_found() {
        for (rounds, factor) in [(8, 0.8), (8, 1.2), (10, 0.8)] {
            let found = found(rounds, factor, 0.03);
            assert!(found >= 196, "{found} of 200 with {rounds} rounds at {factor}");
        }
    }

    #[test]
    fn rounds_are_compared_with_their_own_kind() {
        // Both are ten times as slow in the second round; the ratio does not see it.
        let ratio = pair(Workload::TcpRr, &[120.0, 12.0, 120.0], &[100.0, 10.0, 100.0]);
        let ratio = ratio.expect("has rounds");
        assert_eq!([ratio.low, ratio.median, ratio.high], [1.2; 3]);
    }

    #[test]
    fn rounds_that_only_one_has_are_left_out() {
        let tc = cell(Workload::TcpRr, "tc", &[1.0, 2.0, 3.0, 4.0]);
        let mut bridge = cell(Workload::TcpRr, "bridge", &[1.0, 1.0, 1.0, 1.0]);
        bridge.rounds.remove(1);
        assert_eq!(paired_ratios(&tc, &bridge), [1.0, 3.0, 4.0]);
        bridge.rounds.clear();
        assert_eq!(Ratio::paired(&tc, &bridge), None);
    }

    #[test]
    fn a_reference_that_did_nothing_is_no_measure() {
        assert_eq!(pair(Workload::TcpRr, &[1.0], &[0.0]), None);
        let ratio = pair(Workload::TcpRr, &[0.0], &[1.0]).expect("comparable");
        assert_eq!(ratio.median, 0.0);
    }

    #[test]
    fn half_the_latency_is_twice_as_good() {
        let ratio = pair(Workload::LatencyLoad, &[500.0; 8], &[1000.0; 8]).expect("has rounds");
        assert!(ratio.median == 2.0 && ratio.differs);
        let before = cell(Workload::LatencyLoad, "tc", &[1000.0; 8]);
        let after = cell(Workload::LatencyLoad, "tc", &[500.0; 8]);
        assert_eq!(Ratio::unpaired(&after, &before), Some(ratio));
    }

    #[test]
    fn too_few_rounds_and_too_small_an_effect_are_no_difference() {
        let differs = |rounds: usize, factor: f64| {
            let ratio = pair(Workload::TcpRr, &vec![factor * 100.0; rounds], &vec![100.0; rounds]);
            ratio.expect("has rounds").differs
        };
        assert!(!differs(MIN_ROUNDS - 1, 2.0) && differs(MIN_ROUNDS, 2.0));
        assert!(!differs(10, 1.019) && differs(10, 1.021));
        assert!(!differs(10, 1.0 / 1.019) && differs(10, 1.0 / 1.021));
    }

    #[test]
    fn one_disturbed_round_of_many_hides_no_difference() {
        let tc = [80.0, 81.0, 79.0, 160.0, 80.5, 79.5, 80.2, 79.9, 80.1, 79.8, 80.3, 80.4];
        assert!(pair(Workload::TcpRr, &tc, &[100.0; 12]).expect("has rounds").differs);
    }

    #[test]
    fn reference_has_as_many_ports_or_is_no_fabric() {
        let with_ports = |name, ports| Cell { ports, ..cell(Workload::TcpRr, name, &[1.0]) };
        let results = Results {
            cells: vec![
                with_ports("direct", None),
                with_ports("bridge", Some(2)),
                with_ports("bridge", None),
                with_ports("bridge", Some(100)),
                cell(Workload::UdpRr, "bridge", &[1.0]),
            ],
            ..crate::results::samples::results(vec![])
        };
        let tc = with_ports("tc", Some(100));
        let found =
            |name| results.reference(&tc, path(name)).map(|found| (found.path, found.ports));
        assert_eq!(found("bridge"), Some((path("bridge"), Some(100))));
        assert_eq!(found("direct"), Some((path("direct"), None)));
        assert_eq!(found("tc"), None);
        assert_eq!(found("bridge#2"), None);
        let tc = with_ports("tc", Some(1000));
        assert_eq!(results.reference(&tc, path("bridge")), None);
    }
}
