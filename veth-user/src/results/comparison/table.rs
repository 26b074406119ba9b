//! A comparison as text.

use super::{Change, Comparison, Standing};
use crate::{
    report::{self, si},
    results::{CellName, Ratio, SMALLEST_EFFECT, Unit},
};

impl Comparison {
    /// The comparison for people: a table, what is not in it, and the notes. Plain text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (which, origin) in [("before", &self.before), ("after", &self.after)] {
            text += &format!("{which}: veth {} on kernel {}\n", origin.release, origin.kernel);
        }
        text.push('\n');
        if self.changes.is_empty() {
            text += "there is no cell that both runs have\n";
        } else {
            text += &self.table();
            text += "RATIO: after to before; more is better, also for latencies. 95 %: its \
                     interval.\napart: the intervals of the two figures have nothing in common.\n";
        }
        text.push_str(&only("before", &self.only_before));
        text.push_str(&only("after", &self.only_after));
        for note in &self.notes {
            text += &format!("note: {note}\n");
        }
        text
    }

    fn table(&self) -> String {
        let to_baseline = self.baseline.map(|path| format!("TO {path}")).unwrap_or_default();
        let mut header =
            vec!["WORKLOAD", "PATH", "PORTS", "BEFORE", "AFTER", "RATIO", "95 %", "VERDICT"];
        if self.baseline.is_some() {
            header.push(&to_baseline);
        }
        let mut table = report::new_table(&header);
        report::align_right(&mut table, &[2, 3, 4, 5, 6]);
        for change in &self.changes {
            let CellName { workload, path, ports } = change.cell;
            let none = || "-".to_owned();
            let mut row = vec![
                workload.to_string(),
                path.to_string(),
                ports.map_or_else(none, |ports| ports.to_string()),
                figure(change.before.median, workload.unit()),
                figure(change.after.median, workload.unit()),
                change.ratio.map_or_else(none, |ratio| format!("{:.3}", ratio.median)),
                change
                    .ratio
                    .map_or_else(none, |Ratio { low, high, .. }| format!("{low:.3} - {high:.3}")),
                verdict(change),
            ];
            if self.baseline.is_some() {
                row.push(change.to_baseline.as_ref().map_or_else(none, standing));
            }
            table.add_row(row);
        }
        report::finish(&table)
    }
}

/// A figure with its unit and the prefix that suits it.
fn figure(value: f64, unit: Unit) -> String {
    let (value, prefix) = match unit {
        Unit::Nanoseconds if value < 999.5 => (value, "n"),
        Unit::Nanoseconds if value < 999.5e3 => (value / 1e3, "µ"),
        Unit::Nanoseconds if value < 999.5e6 => (value / 1e6, "m"),
        Unit::Nanoseconds => (value / 1e9, ""),
        _ => (value, ""),
    };
    let shown = si(value);
    // The prefix that `si` found stands beside the unit already.
    let space = if shown.contains(' ') { "" } else { " " };
    format!("{shown}{space}{prefix}{}", unit.symbol())
}

/// What the ratio says: an interval that is all on one side, all near 1, or neither.
fn verdict(change: &Change) -> String {
    let Some(ratio) = change.ratio else {
        return "-".to_owned();
    };
    let is_near =
        |ratio: f64| ratio < 1.0 + SMALLEST_EFFECT && ratio > 1.0 / (1.0 + SMALLEST_EFFECT);
    let word = match ratio {
        Ratio { differs: true, median, .. } if median > 1.0 => "better",
        Ratio { differs: true, .. } => "worse",
        Ratio { low, high, .. } if is_near(low) && is_near(high) => "same",
        _ => "unclear",
    };
    apart(word.to_owned(), change.separates)
}

fn standing(standing: &Standing) -> String {
    let Standing { before, after, separates } = standing;
    apart(format!("{:.2} -> {:.2}", before.median, after.median), *separates)
}

fn apart(text: String, separates: bool) -> String {
    if separates { text + ", apart" } else { text }
}

fn only(which: &str, names: &[CellName]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let names: Vec<String> = names.iter().map(CellName::to_string).collect();
    format!("only {which}: {}\n", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{
        Cell, Results, Workload,
        samples::{cell, results},
    };

    /// Eight rounds that are `figure`, give or take 1 %.
    fn steady(workload: Workload, name: &str, figure: f64) -> Cell {
        let around = [0.995, 1.01, 1.0, 0.99, 1.005, 1.0, 0.998, 1.002];
        cell(workload, name, &around.map(|factor| factor * figure))
    }

    fn run(bridge: f64, tc: f64, latency_ns: f64) -> Results {
        results(vec![
            steady(Workload::TcpRr, "bridge", bridge),
            steady(Workload::TcpRr, "tc", tc),
            steady(Workload::LatencyLoad, "tc", latency_ns),
        ])
    }

    #[test]
    fn figures_have_their_units() {
        for (value, unit, text) in [
            (17.3e9, Unit::BitsPerSecond, "17.3 Gbit/s"),
            (12.0, Unit::PacketsPerSecond, "12 pps"),
            (850.0, Unit::Nanoseconds, "850 ns"),
            (12_345.0, Unit::Nanoseconds, "12.3 µs"),
            (999_600.0, Unit::Nanoseconds, "1.00 ms"),
            (2e9, Unit::Nanoseconds, "2 s"),
        ] {
            assert_eq!(figure(value, unit), text, "{value}");
        }
    }

    #[test]
    fn table_says_what_is_better_what_is_worse_and_what_is_the_same() {
        let mut after = run(100e3, 120e3, 8e3);
        after.cells.push(steady(Workload::UdpRr, "tc", 1.0));
        after.machine.cpus = 2;
        let text = Comparison::of(&run(100e3, 150e3, 10e3), &after).text();
        let expected = "\
before: veth 0.1.0 on kernel 6.12.30
after: veth 0.1.0 on kernel 6.12.30

 WORKLOAD      PATH    PORTS        BEFORE         AFTER  RATIO           95 %  VERDICT        TO bridge
 tcp_rr        bridge      -  100 ktrans/s  100 ktrans/s  1.000  0.994 - 1.006  same           -
 tcp_rr        tc          -  150 ktrans/s  120 ktrans/s  0.800  0.795 - 0.805  worse, apart   1.50 -> 1.20, apart
 latency_load  tc          -         10 µs          8 µs  1.250  1.243 - 1.258  better, apart  -
RATIO: after to before; more is better, also for latencies. 95 %: its interval.
apart: the intervals of the two figures have nothing in common.
only after: udp_rr tc
note: not like for like: CPUs 4 before, 2 after
";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_nobody_can_tell_is_unclear() {
        let wide = |middle: f64| {
            let values = [0.8, 1.2, 0.9, 1.1, 1.0, 0.95].map(|factor| factor * middle);
            results(vec![cell(Workload::TcpRr, "tc", &values)])
        };
        let text = Comparison::of(&wide(100.0), &wide(101.0)).text();
        assert!(text.lines().nth(4).is_some_and(|line| line.contains("unclear")), "{text}");
    }

    #[test]
    fn runs_without_a_common_cell_say_so() {
        let before = results(vec![steady(Workload::TcpRr, "tc", 1.0)]);
        let text = Comparison::of(&before, &results(vec![])).text();
        assert!(text.contains("no cell that both runs have\nonly before: tcp_rr tc\n"), "{text}");
    }
}
