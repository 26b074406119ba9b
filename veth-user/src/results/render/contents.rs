//! What is shown of a benchmark, whatever the form.

use std::collections::BTreeSet;

use super::{
    super::{Path, PathKind, Ratio, Results, Row, Summary, Workload},
    facts::{self, Fact},
    figure::{self, Difference, cost_ns, interval, time, times, with_unit},
    sheet::{Entry, Figure, Heading, Line, Sheet},
};
use crate::report::percent;

/// Percentiles of the tables.
const PERCENTILES: [f64; 4] = [50.0, 90.0, 99.0, 99.9];

/// Everything but the charts.
#[derive(Clone, Debug)]
pub(super) struct Contents {
    /// Figures and ratios: paths down, workloads across.
    pub(super) comparison: Option<Sheet>,
    /// Cost of an operation: ports across; one table for each workload.
    pub(super) ports: Vec<Sheet>,
    /// CPU time, packet sizes, losses: workloads across.
    pub(super) cost: Option<Sheet>,
    /// Percentiles across; one table for each workload.
    pub(super) latency: Vec<Sheet>,
    /// What could not be measured, and why.
    pub(super) unavailable: Vec<Fact>,
    /// What makes the figures doubtful.
    pub(super) warnings: Vec<String>,
    /// Where it ran.
    pub(super) machine: Vec<Fact>,
    /// How it was measured.
    pub(super) settings: Vec<Fact>,
}

impl Contents {
    pub(super) fn of(results: &Results, summary: &Summary) -> Self {
        let rows: Vec<&Row> = summary.rows.iter().filter(|row| row.ports.is_none()).collect();
        let varied: Vec<&Row> = summary.rows.iter().filter(|row| row.ports.is_some()).collect();
        Self {
            comparison: comparison(&rows, summary.baseline),
            ports: each_workload(&varied, |workload, rows| ports(workload, rows, summary.baseline)),
            cost: cost(&rows),
            latency: each_workload(&rows, latency),
            unavailable: facts::unavailable(results),
            warnings: facts::warnings(summary),
            machine: facts::machine(&results.machine),
            settings: facts::settings(results),
        }
    }

    /// Whether there is no figure to show.
    pub(super) fn is_empty(&self) -> bool {
        self.comparison.is_none() && self.ports.is_empty()
    }

    /// All tables, in the order in which they are shown.
    pub(super) fn sheets(&self) -> impl Iterator<Item = &Sheet> {
        self.comparison.iter().chain(&self.ports).chain(&self.cost).chain(&self.latency)
    }
}

/// The workloads of `rows`, in the order in which they are shown.
pub(super) fn workloads(rows: &[&Row]) -> BTreeSet<Workload> {
    rows.iter().map(|row| row.workload).collect()
}

/// The paths of `rows`, in the order in which they are shown.
pub(super) fn paths(rows: &[&Row]) -> BTreeSet<Path> {
    rows.iter().map(|row| row.path).collect()
}

fn each_workload(rows: &[&Row], sheet: impl Fn(Workload, &[&Row]) -> Option<Sheet>) -> Vec<Sheet> {
    let sheets = workloads(rows).into_iter().filter_map(|workload| {
        let rows: Vec<&Row> = rows.iter().copied().filter(|row| row.workload == workload).collect();
        sheet(workload, &rows)
    });
    sheets.collect()
}

/// A line for each path, with an entry for each of `columns`.
fn lines<C>(
    rows: &[&Row],
    columns: &[C],
    is_in: impl Fn(&Row, &C) -> bool,
    entry: impl Fn(&Row, &C) -> Entry,
) -> Vec<Line> {
    let line = |path: Path| Line {
        label: path.to_string(),
        entries: columns
            .iter()
            .map(|column| {
                let row = rows.iter().find(|row| row.path == path && is_in(row, column));
                row.map(|row| entry(row, column)).unwrap_or_default()
            })
            .collect(),
    };
    paths(rows).into_iter().map(line).collect()
}

fn comparison(rows: &[&Row], baseline: Path) -> Option<Sheet> {
    let workloads: Vec<Workload> = workloads(rows).into_iter().collect();
    let heading = |workload: &Workload| {
        let detail = if workload.is_less_better() { "99 %, less is better" } else { "" };
        Heading::new(workload.name(), detail)
    };
    let is_compared = rows.iter().any(|row| row.path != baseline && row.to_baseline.is_some());
    let marks = format!(
        " {} better and {} worse than {baseline} by more than chance; [ ] 95 % interval of the \
         ratio, which is turned around where less is better.",
        figure::BETTER,
        figure::WORSE
    );
    let sheet = Sheet {
        title: format!("Compared with {baseline}"),
        note: format!("Medians over the rounds.{}", if is_compared { &marks } else { "" }),
        corner: "path",
        columns: workloads.iter().map(heading).collect(),
        rows: lines(
            rows,
            &workloads,
            |row, workload| row.workload == *workload,
            |row, _| compared(row, baseline),
        ),
    };
    sheet.unless_empty()
}

fn compared(row: &Row, baseline: Path) -> Entry {
    let mut entry = vec![Figure::main(figure::figure(row.workload, row.median))];
    if row.path == baseline {
        entry.push(Figure::aside("baseline"));
    } else if let Some(ratio) = &row.to_baseline {
        let figure = Figure::compared(times(ratio.median), Difference::of(ratio));
        entry.push(figure.with_interval(interval(ratio)));
    }
    if let Some(ratio) = &row.to_direct
        && row.path.kind != PathKind::Direct
    {
        entry.push(Figure::aside(format!("of direct {}", figure::plain(ratio.median))));
    }
    entry
}

fn ports(workload: Workload, rows: &[&Row], baseline: Path) -> Option<Sheet> {
    let counts: BTreeSet<u32> = rows.iter().filter_map(|row| row.ports).collect();
    let counts: Vec<u32> = counts.into_iter().collect();
    let short = |ratio: &Ratio| Figure::compared(times(ratio.median), Difference::of(ratio));
    let sheet = Sheet {
        title: format!("{workload}: cost per {} against port count", figure::operation(workload)),
        note: format!(
            "Time for one {}, and how it compares with {baseline} of as many ports.",
            figure::operation(workload)
        ),
        corner: "path",
        columns: counts.iter().map(|count| Heading::new(count.to_string(), "ports")).collect(),
        rows: lines(
            rows,
            &counts,
            |row, count| row.ports == Some(*count),
            |row, _| {
                let value = cost_ns(row).map_or_else(|| figure::figure(workload, row.median), time);
                let ratio = row.to_baseline.as_ref().map(short);
                [Figure::main(value)].into_iter().chain(ratio).collect()
            },
        ),
    };
    sheet.unless_empty()
}

/// A figure beside those that are compared.
#[derive(Clone, Copy)]
enum Beside {
    Cpu,
    PacketSize,
    Lost,
}

fn cost(rows: &[&Row]) -> Option<Sheet> {
    let columns: Vec<(Workload, Beside)> = workloads(rows)
        .into_iter()
        .flat_map(|it| [(it, Beside::Cpu), (it, Beside::PacketSize), (it, Beside::Lost)])
        .collect();
    let heading = |(workload, beside): &(Workload, Beside)| {
        let detail = match (beside, workload) {
            (Beside::Cpu, Workload::TcpStream) => "CPU per Gbit",
            (Beside::Cpu, _) => "CPU per op.",
            (Beside::PacketSize, _) => "mean packet",
            (Beside::Lost, _) => "lost",
        };
        Heading::new(workload.name(), detail)
    };
    let sheet = Sheet {
        title: "CPU time, packet sizes, losses".into(),
        note: "CPU time of both ends together, for each operation: a transaction, connection, \
               datagram or frame. A packet is as large as the receiving device saw it: a GSO \
               packet is one."
            .into(),
        corner: "path",
        columns: columns.iter().map(heading).collect(),
        rows: lines(
            rows,
            &columns,
            |row, (workload, _)| row.workload == *workload,
            |row, (_, beside)| beside.text(row).map(Figure::main).into_iter().collect(),
        ),
    };
    sheet.without_empty_columns().unless_empty()
}

impl Beside {
    fn text(self, row: &Row) -> Option<String> {
        match (self, row.workload) {
            (Self::Cpu, Workload::TcpStream) => row.cpu_ns_per_gbit.map(time),
            (Self::Cpu, _) => row.cpu_ns_per_operation.map(time),
            (Self::PacketSize, Workload::TcpStream) => {
                row.mean_packet_bytes.map(|bytes| with_unit(bytes, "B"))
            }
            (Self::PacketSize, _) => None,
            (Self::Lost, _) => (row.lost > 0.0).then(|| percent(row.lost)),
        }
    }
}

fn latency(workload: Workload, rows: &[&Row]) -> Option<Sheet> {
    let mut measured: Vec<&Row> = rows.to_vec();
    measured.retain(|row| row.latency.is_some());
    let sheet = Sheet {
        title: format!("{workload}: latency, by percentile"),
        note: String::new(),
        corner: "path",
        columns: PERCENTILES.map(|at| Heading::new(figure::percentile(at), "")).into(),
        rows: lines(
            &measured,
            &PERCENTILES,
            |_, _| true,
            |row, percentile| {
                let latency_ns = row.latency.as_ref().and_then(|it| it.at(*percentile));
                let text = latency_ns.map(|latency_ns| time(latency_ns as f64));
                text.map(Figure::main).into_iter().collect()
            },
        ),
    };
    sheet.unless_empty()
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn without_cells_there_are_no_tables() {
        let (results, summary) = fixture::empty();
        let contents = Contents::of(&results, &summary);
        assert!(contents.is_empty());
        assert_eq!(contents.sheets().count(), 0);
    }

    #[test]
    fn columns_are_only_those_with_figures() {
        let (results, mut summary) = fixture::small();
        for row in &mut summary.rows {
            row.lost = 0.0;
            row.mean_packet_bytes = None;
        }
        let cost = Contents::of(&results, &summary).cost.expect("CPU time was measured");
        let details: Vec<&str> = cost.columns.iter().map(|it| it.detail.as_str()).collect();
        assert_eq!(details, ["CPU per Gbit", "CPU per op."]);
    }

    #[test]
    fn ratio_is_shown_for_all_but_the_baseline() {
        let (results, summary) = fixture::against_itself();
        let sheet = Contents::of(&results, &summary).comparison.expect("has figures");
        let texts: Vec<Vec<String>> =
            sheet.rows.iter().map(|row| super::super::sheet::texts(&row.entries[0])).collect();
        assert_eq!(sheet.rows[0].label, "bridge");
        assert_eq!(texts[0][1], "baseline");
        assert_eq!(sheet.rows[1].label, "bridge#2");
        assert_eq!(texts[1][1], "1.00x [0.98, 1.02]");
    }

    #[test]
    fn missing_interval_leaves_the_figure() {
        let (results, mut summary) = fixture::small();
        for row in &mut summary.rows {
            (row.to_baseline, row.to_direct) = (None, None);
        }
        let sheet = Contents::of(&results, &summary).comparison.expect("has figures");
        let tc = sheet.rows.iter().find(|row| row.label == "tc").expect("was measured");
        assert_eq!(tc.entries[0].len(), 1);
    }

    #[test]
    fn ports_are_a_table_of_their_own() {
        let (results, mut summary) = fixture::rich();
        summary.rows.retain(|row| row.ports.is_some());
        let contents = Contents::of(&results, &summary);
        assert!(!contents.is_empty());
        assert_eq!(contents.comparison, None);
        let counts: Vec<&str> =
            contents.ports[0].columns.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(counts, ["2", "16", "128", "1024"]);
        assert!(contents.ports[0].rows[0].entries[0][0].text.ends_with(" ns"));
    }
}
