//! What makes the figures of a run doubtful, and what to try. One line for each kind of doubt: who
//! reads forty lines reads none.

use std::collections::BTreeSet;

use super::{CellName, MIN_ROUNDS, PathKind, Ratio, Results, Row, Workload, ratio::paired_ratios};
use crate::statistics::{median, outliers, trend};

/// An interval that is wider than this share of its ratio is worth more rounds.
const WIDE: f64 = 0.10;
/// Share of lost operations that is worth a word where nothing should be lost.
const LOSS: f64 = 0.001;
/// Rounds that are nearer than this to the median disturb nothing, outliers or not.
const FAR: f64 = 0.10;
/// A drift of less from the first to the last round disturbs nothing.
const DRIFT: f64 = 0.05;
/// How likely a run without any drift may be warned of one, all cells together.
const DRIFT_PROBABILITY: f64 = 0.05;
/// How many cells a line names before it counts the others.
const NAMED: usize = 6;

/// The warnings, the gravest first.
pub(super) fn warnings(results: &Results, rows: &[Row]) -> Vec<String> {
    [
        unfinished(results),
        different_cpus(results, rows),
        bridge_netfilter(results, rows),
        losses(rows),
        too_few_rounds(results),
        wide_intervals(results, rows),
        disturbed_rounds(results),
        drift(results),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn unfinished(results: &Results) -> Option<String> {
    let measured = results.cells.iter().map(|cell| cell.rounds.len()).max().unwrap_or(0);
    let rounds = results.settings.rounds;
    (!results.finished).then(|| {
        format!("the run ended early, in round {measured} of {rounds}: let it run to its end")
    })
}

fn different_cpus(results: &Results, rows: &[Row]) -> Option<String> {
    let (client, server) = (results.settings.client_cpu, results.settings.server_cpu);
    // Frames of the kernel's own making wake nobody up.
    let workloads: BTreeSet<Workload> =
        rows.iter().map(|row| row.workload).filter(|workload| !workload.is_in_kernel()).collect();
    if client == server || workloads.is_empty() {
        return None;
    }
    let workloads: Vec<&str> = workloads.into_iter().map(Workload::name).collect();
    Some(format!(
        "client on CPU {client}, server on CPU {server}: wake-ups between the two weigh more than \
         the path in {}; try --cpus same",
        workloads.join(", ")
    ))
}

fn bridge_netfilter(results: &Results, rows: &[Row]) -> Option<String> {
    let is_measured = rows.iter().any(|row| row.path.kind == PathKind::Bridge);
    (results.settings.bridge_netfilter && is_measured).then(|| {
        "the bridge asks netfilter about each frame (br_netfilter), as bridges of this machine do, and \
         is the slower for it; --no-bridge-netfilter compares with one that does not"
            .to_owned()
    })
}

fn losses(rows: &[Row]) -> Option<String> {
    // Datagrams that nobody waits for are lost when the receiver is slower, which is no fault.
    let may_lose = |workload| matches!(workload, Workload::UdpPps | Workload::LatencyLoad);
    let lossy: Vec<String> = rows
        .iter()
        .filter(|row| row.lost > LOSS && !may_lose(row.workload))
        .map(|row| format!("{} {:.1} %", row.name(), row.lost * 100.0))
        .collect();
    list(&lossy).map(|cells| {
        format!(
            "lost where nothing should be lost: {cells}; see what `veth stats` and the devices' \
             drop counters say"
        )
    })
}

fn too_few_rounds(results: &Results) -> Option<String> {
    let baseline = results.settings.baseline;
    let compared = results.cells.iter().filter_map(|cell| {
        let reference = results.reference(cell, baseline)?;
        Some((cell, paired_ratios(cell, reference).len()))
    });
    let compared: Vec<_> = compared.collect();
    let few: Vec<String> = compared
        .iter()
        .filter(|(_, rounds)| *rounds < MIN_ROUNDS)
        .map(|(cell, rounds)| format!("{} ({rounds})", cell.name()))
        .collect();
    let cells = if few.len() == compared.len() {
        list(&few).map(|_| "all cells".into())
    } else {
        list(&few)
    };
    let rounds = results.settings.rounds.max(10);
    cells.map(|cells| {
        format!(
            "fewer than {MIN_ROUNDS} rounds to compare with {baseline} in {cells}, so no \
             difference is claimed there; try --rounds {rounds}"
        )
    })
}

fn wide_intervals(results: &Results, rows: &[Row]) -> Option<String> {
    let wide = |row: &Row| {
        let is_wide = |ratio: &&Ratio| ratio.relative_width() > WIDE;
        let ratio = [&row.to_baseline, &row.to_direct].into_iter().flatten().find(is_wide)?;
        let enough = row.rounds >= MIN_ROUNDS;
        enough.then(|| format!("{} {:.2}-{:.2}", row.name(), ratio.low, ratio.high))
    };
    let wide: Vec<String> = rows.iter().filter_map(wide).collect();
    let rounds = results.settings.rounds.saturating_mul(2);
    list(&wide).map(|cells| {
        format!(
            "intervals wider than {:.0} %: {cells}; try --rounds {rounds}, on a machine that does \
             nothing else",
            WIDE * 100.0
        )
    })
}

fn disturbed_rounds(results: &Results) -> Option<String> {
    let disturbed = results.cells.iter().filter_map(|cell| {
        let figures: Vec<f64> = cell.rounds.iter().map(|round| round.value).collect();
        let median = median(&figures)?;
        let rounds: Vec<String> = outliers(&figures)
            .into_iter()
            .filter(|index| (figures[*index] - median).abs() > FAR * median)
            // Counted from 1, as people do.
            .map(|index| (cell.rounds[index].round + 1).to_string())
            .collect();
        let noun = if rounds.len() == 1 { "round" } else { "rounds" };
        (!rounds.is_empty()).then(|| format!("{} ({noun} {})", cell.name(), rounds.join(", ")))
    });
    list(&disturbed.collect::<Vec<_>>()).map(|cells| {
        format!(
            "rounds far from the others: {cells}; something else kept this machine busy: try again \
             when it is idle"
        )
    })
}

fn drift(results: &Results) -> Option<String> {
    let probability = DRIFT_PROBABILITY / results.cells.len().max(1) as f64;
    let drifting = results.cells.iter().filter_map(|cell| {
        let points: Vec<(f64, f64)> =
            cell.rounds.iter().map(|round| (f64::from(round.round), round.value)).collect();
        let trend = trend(&points)?;
        let between = points.last()?.0 - points.first()?.0;
        let drift = trend.slope * between / median(&cell.values())?;
        (trend.probability < probability && drift.abs() > DRIFT)
            .then(|| format!("{} {:+.0} %", cell.name(), drift * 100.0))
    });
    list(&drifting.collect::<Vec<_>>()).map(|cells| {
        format!(
            "figures that drift from the first round to the last: {cells}; ratios bear it, being \
             of the same round; for the figures themselves try again when the machine is warm and \
             its clock steady"
        )
    })
}

impl Row {
    const fn name(&self) -> CellName {
        CellName { workload: self.workload, path: self.path, ports: self.ports }
    }
}

/// The first few, and how many more there are; none without any.
fn list(items: &[String]) -> Option<String> {
    let named = items.iter().take(NAMED).cloned().collect::<Vec<String>>().join(", ");
    match items.len() {
        0 => None,
        count if count > NAMED => Some(format!("{named} and {} more", count - NAMED)),
        _ => Some(named),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{
            Cell, Summary,
            samples::{cell, results},
        },
        statistics::Random,
    };

    const STEADY: [f64; 8] = [100.0, 101.0, 99.0, 100.5, 99.5, 100.2, 99.8, 100.1];

    fn steady(workload: Workload, name: &str) -> Cell {
        cell(workload, name, &STEADY)
    }

    /// The only warning has all of these.
    #[track_caller]
    fn warned(results: &Results, parts: &[&str]) {
        let warnings = Summary::of(results).warnings;
        let [warning] = &warnings[..] else { panic!("not one warning: {warnings:#?}") };
        for part in parts {
            assert!(warning.contains(part), "no `{part}` in: {warning}");
        }
    }

    #[test]
    fn a_steady_run_has_no_warnings() {
        let cells = vec![
            steady(Workload::TcpRr, "direct"),
            steady(Workload::TcpRr, "bridge"),
            steady(Workload::TcpRr, "tc"),
        ];
        assert_eq!(Summary::of(&results(cells)).warnings, Vec::<String>::new());
        assert_eq!(Summary::of(&results(vec![])).warnings, Vec::<String>::new());
    }

    #[test]
    fn noise_alone_rarely_has_warnings() {
        let mut warned = 0;
        for seed in 0..10 {
            let mut random = Random::seeded(seed);
            let mut noisy = |name| {
                let values: Vec<f64> = (0..10).map(|_| random.near_one(0.02)).collect();
                cell(Workload::TcpRr, name, &values)
            };
            let cells = vec![noisy("direct"), noisy("bridge"), noisy("tc"), noisy("xdp")];
            warned += usize::from(!Summary::of(&results(cells)).warnings.is_empty());
        }
        assert!(warned <= 1, "{warned} of 10");
    }

    #[test]
    fn an_unfinished_run_says_how_far_it_came() {
        let mut run = results(vec![steady(Workload::TcpRr, "bridge")]);
        run.finished = false;
        warned(&run, &["round 8 of 10"]);
    }

    #[test]
    fn two_cpus_matter_where_somebody_is_woken_up() {
        let mut run = results(vec![
            steady(Workload::Frames, "bridge"),
            steady(Workload::UdpRr, "bridge"),
            steady(Workload::UdpRr, "tc"),
        ]);
        run.settings.server_cpu = 0;
        warned(&run, &["client on CPU 1, server on CPU 0", "in udp_rr; try --cpus same"]);
        run.cells.truncate(1);
        assert!(Summary::of(&run).warnings.is_empty());
    }

    #[test]
    fn losses_are_told_where_nothing_should_be_lost() {
        let lossy = |workload, lost| {
            let mut cell = steady(workload, "bridge");
            cell.rounds[2].lost = lost;
            cell
        };
        let run = results(vec![
            lossy(Workload::Frames, 1000),
            lossy(Workload::UdpPps, 1000),
            lossy(Workload::TcpRr, 1),
        ]);
        warned(&run, &["be lost: frames bridge 11.1 %; "]);
    }

    #[test]
    fn too_few_rounds_are_told_once() {
        let few = |name| cell(Workload::TcpRr, name, &STEADY[..4]);
        let run = results(vec![few("bridge"), few("tc"), few("xdp")]);
        warned(&run, &["fewer than 8 rounds to compare with bridge in all cells", "--rounds 10"]);
        let some = results(vec![
            steady(Workload::TcpRr, "bridge"),
            steady(Workload::TcpRr, "tc"),
            few("xdp"),
        ]);
        warned(&some, &["in tcp_rr xdp (4), so"]);
    }

    #[test]
    fn wide_intervals_ask_for_more_rounds() {
        let wide =
            cell(Workload::TcpRr, "tc", &[100.0, 130.0, 80.0, 120.0, 85.0, 110.0, 90.0, 125.0]);
        let run = results(vec![steady(Workload::TcpRr, "bridge"), wide]);
        warned(&run, &["wider than 10 %: tcp_rr tc 0.8", "--rounds 20"]);
    }

    #[test]
    fn a_disturbed_round_is_named_and_counted_from_one() {
        let mut disturbed = STEADY;
        disturbed[2] = 40.0;
        let cells = vec![
            cell(Workload::TcpRr, "bridge", &disturbed),
            cell(Workload::TcpRr, "tc", &disturbed),
        ];
        warned(&results(cells), &["tcp_rr bridge (round 3), tcp_rr tc (round 3)", "idle"]);
    }

    #[test]
    fn outliers_that_are_near_are_not_worth_a_word() {
        let mut near = [100.0; 8];
        near[5] = 103.0;
        let run = results(vec![cell(Workload::TcpRr, "bridge", &near)]);
        assert!(Summary::of(&run).warnings.is_empty());
    }

    #[test]
    fn drift_is_told_with_its_size() {
        let rising: Vec<f64> = (0..8).map(|round| 100.0 + 3.0 * f64::from(round)).collect();
        let cells =
            vec![cell(Workload::TcpRr, "bridge", &rising), cell(Workload::TcpRr, "tc", &rising)];
        warned(&results(cells), &["tcp_rr bridge +19 %, tcp_rr tc +19 %"]);
    }

    #[test]
    fn many_cells_are_counted_and_not_named() {
        let items: Vec<String> = (1..=9).map(|item| item.to_string()).collect();
        assert_eq!(list(&items).as_deref(), Some("1, 2, 3, 4, 5, 6 and 3 more"));
        assert_eq!(list(&items[..6]).as_deref(), Some("1, 2, 3, 4, 5, 6"));
        assert_eq!(list(&[]), None);
    }
}
