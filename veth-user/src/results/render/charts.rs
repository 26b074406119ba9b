//! Which charts a page has, and what they show.

use std::collections::BTreeSet;

use super::{
    super::{Path, Row, Summary, Workload},
    chart::{Axis, Bar, BarChart, Curve, LineChart, Scale, decades, steps},
    contents::{paths, workloads},
    figure::{cost_ns, operation, percentile, time},
    markup::Element,
};

/// Latencies that span more than so many times their least are drawn over a logarithmic axis.
const WIDE: f64 = 8.0;

/// A chart, and what stands over it.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) heading: String,
    pub(super) detail: String,
    /// Whose curves need a legend.
    pub(super) paths: BTreeSet<Path>,
    pub(super) drawing: Element,
}

/// How paths compare with the baseline: one for each workload in which any can be compared.
pub(super) fn comparisons(summary: &Summary) -> Vec<Chart> {
    let baseline = summary.baseline;
    each_workload(&plain_rows(summary), |workload, rows| {
        let bars: Vec<Bar> = rows
            .iter()
            .filter_map(|row| match row.to_baseline {
                _ if row.path == baseline => Some(Bar { path: baseline, ratio: None }),
                Some(ratio) => Some(Bar { path: row.path, ratio: Some(ratio) }),
                None => None,
            })
            .collect();
        bars.iter().any(|bar| bar.ratio.is_some()).then(|| {
            let title = format!("{workload}: how many times as good as {baseline}");
            let id = format!("ratio-{workload}");
            let chart = BarChart { id: &id, title: &title, baseline, bars: &bars };
            Chart {
                heading: workload.to_string(),
                detail: workload.help().into(),
                paths: BTreeSet::new(),
                drawing: chart.draw(),
            }
        })
    })
}

/// Latencies: one for each workload that has them.
pub(super) fn latencies(summary: &Summary) -> Vec<Chart> {
    each_workload(&plain_rows(summary), |workload, rows| {
        let curves: Vec<Curve> = rows.iter().filter_map(|row| latency_curve(row)).collect();
        let range = Range::of(&curves)?;
        let chart = LineChart {
            id: &format!("latency-{workload}"),
            title: &format!("{workload}: latency by percentile"),
            description: &description(&curves),
            x: percentile_axis(range.x.1),
            y: latency_axis(range.y),
            curves: &curves,
        };
        Some(Chart {
            heading: workload.to_string(),
            detail: latency_of(workload).into(),
            paths: paths_of(&curves),
            drawing: chart.draw(),
        })
    })
}

/// Cost of an operation against the number of ports: one for each workload in which that varies.
pub(super) fn ports(summary: &Summary) -> Vec<Chart> {
    let rows: Vec<&Row> = summary.rows.iter().filter(|row| row.ports.is_some()).collect();
    each_workload(&rows, |workload, rows| {
        let curves = port_curves(rows);
        let range = Range::of(&curves)?;
        let counts: BTreeSet<u32> = rows.iter().filter_map(|row| row.ports).collect();
        let costs = steps(0.0, range.y.1, 4);
        let highest = costs.last().copied().unwrap_or(range.y.1);
        let chart = LineChart {
            id: &format!("ports-{workload}"),
            title: &format!("{workload}: cost per {} against port count", operation(workload)),
            description: &description(&curves),
            x: Axis {
                title: "ports of the fabric",
                scale: Scale::logarithmic(range.x.0, range.x.1),
                ticks: counts.iter().map(|it| (f64::from(*it), it.to_string())).collect(),
            },
            y: Axis {
                title: "",
                scale: Scale::linear(0.0, highest),
                ticks: costs.into_iter().map(time_tick).collect(),
            },
            curves: &curves,
        };
        Some(Chart {
            heading: workload.to_string(),
            detail: format!("Time for one {}; less is better.", operation(workload)),
            paths: paths_of(&curves),
            drawing: chart.draw(),
        })
    })
}

fn paths_of(curves: &[Curve]) -> BTreeSet<Path> {
    curves.iter().map(|curve| curve.path).collect()
}

/// Which times a latency chart is of.
const fn latency_of(workload: Workload) -> &'static str {
    match workload {
        Workload::LatencyLoad => "UDP round trips while a TCP stream runs.",
        _ => workload.help(),
    }
}

/// Those in which the number of ports is not varied.
fn plain_rows(summary: &Summary) -> Vec<&Row> {
    summary.rows.iter().filter(|row| row.ports.is_none()).collect()
}

fn each_workload(rows: &[&Row], chart: impl Fn(Workload, &[&Row]) -> Option<Chart>) -> Vec<Chart> {
    let charts = workloads(rows).into_iter().filter_map(|workload| {
        let mut rows: Vec<&Row> =
            rows.iter().copied().filter(|row| row.workload == workload).collect();
        rows.sort_by_key(|row| row.path);
        chart(workload, &rows)
    });
    charts.collect()
}

fn latency_curve(row: &Row) -> Option<Curve> {
    let percentiles = &row.latency.as_ref()?.percentiles;
    let points = percentiles
        .iter()
        // The highest of all has no place on an axis that ends nowhere.
        .filter(|(at, _)| (0.0..100.0).contains(at))
        .map(|(at, latency_ns)| {
            let latency_ns = *latency_ns as f64;
            let told = format!("{}, {}: {}", row.path, percentile(*at), time(latency_ns));
            ((above(*at), latency_ns), told)
        })
        .collect();
    Some(Curve { path: row.path, points })
}

/// One in how many is above a percentile: 100 for the 99th.
fn above(percentile: f64) -> f64 {
    100.0 / (100.0 - percentile)
}

fn port_curves(rows: &[&Row]) -> Vec<Curve> {
    let curve = |path: Path| {
        let mut rows: Vec<&Row> = rows.iter().copied().filter(|row| row.path == path).collect();
        rows.sort_by_key(|row| row.ports);
        let point = |row: &&Row| {
            let (ports, cost_ns) = (row.ports?, cost_ns(row)?);
            let told = format!("{path}, {ports} ports: {}", time(cost_ns));
            Some(((f64::from(ports), cost_ns), told))
        };
        Curve { path, points: rows.iter().filter_map(point).collect() }
    };
    paths(rows).into_iter().map(curve).filter(|curve| !curve.points.is_empty()).collect()
}

fn percentile_axis(highest: f64) -> Axis {
    let marks = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999];
    let ticks = marks.into_iter().map(|at| (above(at), at.to_string()));
    Axis {
        title: "percentile, %",
        scale: Scale::logarithmic(1.0, highest),
        ticks: ticks.filter(|(at, _)| *at <= highest * 1.001).collect(),
    }
}

fn latency_axis((low, high): (f64, f64)) -> Axis {
    let is_wide = low > 0.0 && high / low > WIDE;
    let marks = if is_wide { decades(low, high) } else { steps(0.0, high, 4) };
    let (first, last) = (marks.first().copied(), marks.last().copied());
    let (first, last) = (first.unwrap_or(low), last.unwrap_or(high));
    Axis {
        title: if is_wide { "latency, logarithmic" } else { "latency" },
        scale: if is_wide { Scale::logarithmic(first, last) } else { Scale::linear(first, last) },
        ticks: marks.into_iter().map(time_tick).collect(),
    }
}

/// A round time and its text without zeros behind.
fn time_tick(time_ns: f64) -> (f64, String) {
    (time_ns, time(time_ns).replace(".00 ", " ").replace(".0 ", " "))
}

/// The last point of each curve, which is where they are farthest apart.
fn description(curves: &[Curve]) -> String {
    let last = curves.iter().filter_map(|curve| curve.points.last());
    let told: Vec<&str> = last.map(|(_, told)| told.as_str()).collect();
    format!("The last point of each curve. {}.", told.join("; "))
}

/// From the least to the greatest of what is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    x: (f64, f64),
    y: (f64, f64),
}

impl Range {
    /// None when there is nothing to draw.
    fn of(curves: &[Curve]) -> Option<Self> {
        let mut points = curves.iter().flat_map(|curve| &curve.points).map(|(point, _)| *point);
        let (x, y) = points.next()?;
        let wider = |(low, high): (f64, f64), figure: f64| (low.min(figure), high.max(figure));
        let first = Self { x: (x, x), y: (y, y) };
        Some(
            points.fold(first, |range, (x, y)| Self { x: wider(range.x, x), y: wider(range.y, y) }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{super::Latency, fixture},
        *,
    };

    fn headings(charts: &[Chart]) -> Vec<&str> {
        charts.iter().map(|chart| chart.heading.as_str()).collect()
    }

    #[test]
    fn charts_are_of_workloads_that_have_figures() {
        let (_, summary) = fixture::rich();
        assert_eq!(comparisons(&summary).len(), Workload::ALL.len());
        assert_eq!(headings(&latencies(&summary)), ["tcp_rr", "udp_rr", "latency_load"]);
        assert_eq!(headings(&ports(&summary)), ["frames"]);
    }

    #[test]
    fn without_rows_or_with_one_path_nothing_is_compared() {
        assert!(comparisons(&fixture::empty().1).is_empty());
        let (_, mut summary) = fixture::small();
        summary.rows.retain(|row| row.path == summary.baseline);
        assert!(comparisons(&summary).is_empty());
        assert_eq!(headings(&latencies(&summary)), ["udp_rr"]);
    }

    #[test]
    fn bars_without_a_ratio_are_left_out() {
        let (_, mut summary) = fixture::small();
        for row in &mut summary.rows {
            row.to_baseline = row.to_baseline.filter(|_| row.workload == Workload::UdpRr);
        }
        assert_eq!(headings(&comparisons(&summary)), ["udp_rr"]);
    }

    #[test]
    fn percentiles_are_a_decade_apart_and_the_highest_is_left_out() {
        for (percentile, one_in) in [(0.0, 1.0), (90.0, 10.0), (99.0, 100.0), (99.9, 1000.0)] {
            assert!((above(percentile) - one_in).abs() < 1e-6, "{percentile}");
        }
        let (_, mut summary) = fixture::small();
        let row = &mut summary.rows[0];
        row.latency = Some(Latency { count: 9, percentiles: vec![(99.0, 7), (100.0, 8)] });
        assert_eq!(latency_curve(row).expect("has latencies").points.len(), 1);
        row.latency = Some(Latency::default());
        assert_eq!(Range::of(&latency_curve(row).into_iter().collect::<Vec<_>>()), None);
    }

    #[test]
    fn latencies_that_span_much_are_drawn_over_a_logarithmic_axis() {
        assert_eq!(latency_axis((10_000.0, 30_000.0)).title, "latency");
        assert_eq!(latency_axis((10_000.0, 900_000.0)).title, "latency, logarithmic");
        assert_eq!(latency_axis((0.0, 900_000.0)).title, "latency");
    }
}
