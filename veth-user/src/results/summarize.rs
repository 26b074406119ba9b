//! From rounds to what people read.

use super::{Cell, Path, PathKind, Ratio, Results, Round, Row, Summary, Unit, warning::warnings};
use crate::statistics::median;

/// What all paths can be compared with: as short as a path can be.
const CEILING: Path = Path { kind: PathKind::Direct, number: 1 };

impl Summary {
    /// What follows from `results`, which need not be finished. The same results give the same
    /// summary.
    pub fn of(results: &Results) -> Self {
        let rows: Vec<Row> =
            results.cells.iter().filter_map(|cell| Row::of(results, cell)).collect();
        let warnings = warnings(results, &rows);
        Self { baseline: results.settings.baseline, rows, warnings }
    }
}

impl Row {
    /// None for a cell without rounds.
    fn of(results: &Results, cell: &Cell) -> Option<Self> {
        let median = median(&cell.values())?;
        let compared_with = |path| Ratio::paired(cell, results.reference(cell, path)?);
        let totals = Totals::of(&cell.rounds);
        let is_stream = cell.workload.unit() == Unit::BitsPerSecond;
        Some(Self {
            workload: cell.workload,
            path: cell.path,
            ports: cell.ports,
            median,
            rounds: cell.rounds.len(),
            to_baseline: compared_with(results.settings.baseline),
            to_direct: compared_with(CEILING),
            cpu_ns_per_gbit: totals.cpu_ns_per(|round| round.bytes as f64 * 8.0 / 1e9),
            cpu_ns_per_operation: totals.cpu_ns_per(|round| round.operations as f64),
            mean_packet_bytes: divide(totals.bytes, totals.operations).filter(|_| is_stream),
            lost: divide(totals.lost, totals.operations + totals.lost).unwrap_or(0.0),
            latency: cell.latency.clone(),
        })
    }
}

/// What all rounds of a cell did together.
struct Totals<'a> {
    rounds: &'a [Round],
    operations: f64,
    bytes: f64,
    lost: f64,
}

impl<'a> Totals<'a> {
    fn of(rounds: &'a [Round]) -> Self {
        let sum = |count: fn(&Round) -> u64| rounds.iter().map(count).sum::<u64>() as f64;
        Self {
            rounds,
            operations: sum(|round| round.operations),
            bytes: sum(|round| round.bytes),
            lost: sum(|round| round.lost),
        }
    }

    /// CPU time for each unit of `amount`, over the rounds whose CPU time is known.
    fn cpu_ns_per(&self, amount: impl Fn(&Round) -> f64) -> Option<f64> {
        let timed = self.rounds.iter().filter_map(|round| Some((round.cpu_ns?, amount(round))));
        let (cpu_ns, total) = timed.fold((0.0, 0.0), |(cpu_ns, total), (spent, done)| {
            (cpu_ns + spent as f64, total + done)
        });
        // Of rounds without a CPU time the total is 0 as well.
        divide(cpu_ns, total)
    }
}

fn divide(dividend: f64, divisor: f64) -> Option<f64> {
    (divisor > 0.0).then(|| dividend / divisor)
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values are exact")]
mod tests {
    use super::*;
    use crate::results::{
        Latency, Workload,
        samples::{cell, path, results},
    };

    fn row<'a>(summary: &'a Summary, name: &str) -> &'a Row {
        summary.rows.iter().find(|row| row.path == path(name)).expect("has the row")
    }

    #[test]
    fn rows_are_the_cells_that_have_rounds_in_their_order() {
        let summary = Summary::of(&results(vec![
            cell(Workload::TcpStream, "bridge", &[3.0, 1.0, 2.0]),
            cell(Workload::TcpStream, "xdp", &[]),
            cell(Workload::TcpRr, "tc", &[4.0, 8.0]),
        ]));
        let rows: Vec<_> =
            summary.rows.iter().map(|row| (row.workload, row.median, row.rounds)).collect();
        assert_eq!(rows, [(Workload::TcpStream, 2.0, 3), (Workload::TcpRr, 6.0, 2)]);
    }

    #[test]
    fn ratios_are_to_the_baseline_and_to_direct_but_not_to_oneself() {
        let summary = Summary::of(&results(vec![
            cell(Workload::TcpRr, "direct", &[200.0; 8]),
            cell(Workload::TcpRr, "direct#2", &[100.0; 8]),
            cell(Workload::TcpRr, "bridge", &[100.0; 8]),
            cell(Workload::TcpRr, "tc", &[150.0; 8]),
        ]));
        let medians = |name| {
            let row = row(&summary, name);
            [row.to_baseline, row.to_direct].map(|ratio| ratio.map(|ratio| ratio.median))
        };
        assert_eq!(medians("bridge"), [None, Some(0.5)]);
        assert_eq!(medians("direct"), [Some(2.0), None]);
        assert_eq!(medians("direct#2"), [Some(1.0), Some(0.5)]);
        assert_eq!(medians("tc"), [Some(1.5), Some(0.75)]);
        assert!(row(&summary, "tc").to_baseline.expect("has one").differs);
    }

    #[test]
    fn cpu_time_is_for_what_was_done_in_the_rounds_that_have_it() {
        let mut tc = cell(Workload::TcpStream, "tc", &[1.0; 3]);
        let busy = |cpu_ns, bytes, operations| Round { operations, bytes, cpu_ns, ..tc.rounds[0] };
        tc.rounds = vec![
            busy(Some(3_000_000), 125_000_000, 100),
            busy(None, 500_000_000, 1000),
            busy(Some(5_000_000), 375_000_000, 300),
        ];
        let summary = Summary::of(&results(vec![tc, cell(Workload::TcpRr, "bridge", &[1.0])]));
        // 8 ms for 4 Gbit and for 400 packets; all packets had 1 GB.
        let row = row(&summary, "tc");
        assert_eq!(row.cpu_ns_per_gbit, Some(2e6));
        assert_eq!(row.cpu_ns_per_operation, Some(2e4));
        assert_eq!(row.mean_packet_bytes, Some(1e9 / 1400.0));
        let other = self::row(&summary, "bridge");
        assert_eq!(
            [other.cpu_ns_per_gbit, other.cpu_ns_per_operation, other.mean_packet_bytes],
            [None; 3]
        );
    }

    #[test]
    fn lost_is_a_share_of_what_was_begun() {
        let mut tc = cell(Workload::UdpPps, "tc", &[1.0; 2]);
        tc.rounds[1].lost = 500;
        tc.latency = Some(Latency { count: 1, percentiles: vec![(50.0, 7)] });
        let mut idle = cell(Workload::UdpPps, "bridge", &[0.0]);
        idle.rounds[0].operations = 0;
        let summary = Summary::of(&results(vec![tc.clone(), idle]));
        assert_eq!(row(&summary, "tc").lost, 0.2);
        assert_eq!(row(&summary, "tc").latency, tc.latency);
        assert_eq!(row(&summary, "bridge").lost, 0.0);
    }
}
