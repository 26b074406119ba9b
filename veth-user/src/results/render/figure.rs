//! Figures of a benchmark as text: with unit, prefix and three digits.

use super::super::{Ratio, Row, Unit, Workload};
use crate::report::si;

/// What stands where there is no figure.
pub(super) const NONE: &str = "-";
/// Before a ratio that is better by more than chance.
pub(super) const BETTER: char = '▲';
/// Before a ratio that is worse by more than chance.
pub(super) const WORSE: char = '▼';

/// A figure of `workload`, in the workload's unit.
pub(super) fn figure(workload: Workload, value: f64) -> String {
    match workload.unit() {
        Unit::Nanoseconds => time(value),
        unit => with_unit(value, unit.symbol()),
    }
}

/// `value` with a prefix and `unit`: `17.4 Gbit/s`.
pub(super) fn with_unit(value: f64, unit: &str) -> String {
    if !value.is_finite() {
        return NONE.into();
    }
    let text = si(value);
    let space = if text.ends_with(|last: char| last.is_ascii_digit()) { " " } else { "" };
    format!("{text}{space}{unit}")
}

/// A time in nanoseconds: `103 ns`, `12.3 µs`.
pub(super) fn time(time_ns: f64) -> String {
    const UNITS: [&str; 4] = ["ns", "µs", "ms", "s"];
    if !time_ns.is_finite() {
        return NONE.into();
    }
    let (mut value, mut unit) = (time_ns, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match value {
        _ if unit == 0 && value.fract() == 0.0 => 0,
        _ if value >= 99.95 => 0,
        _ if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {}", UNITS[unit])
}

/// Time for one operation in nanoseconds, where the figure is a number of operations in a second.
pub(super) fn cost_ns(row: &Row) -> Option<f64> {
    match row.workload.unit() {
        Unit::Nanoseconds => Some(row.median),
        Unit::BitsPerSecond => None,
        _ => Some(1e9 / row.median),
    }
    .filter(|cost| cost.is_finite())
}

/// What one operation of `workload` is.
pub(super) const fn operation(workload: Workload) -> &'static str {
    match workload {
        Workload::TcpStream => "packet",
        Workload::TcpRr | Workload::UdpRr | Workload::LatencyLoad => "transaction",
        Workload::TcpCrr => "connection",
        Workload::UdpPps => "datagram",
        Workload::Frames | Workload::FramesXdp => "frame",
    }
}

/// How many times: `1.18x`.
pub(super) fn times(ratio: f64) -> String {
    if ratio.is_finite() { format!("{}x", plain(ratio)) } else { NONE.into() }
}

/// The 95 % interval: `[1.15, 1.21]`.
pub(super) fn interval(ratio: &Ratio) -> String {
    format!("[{}, {}]", plain(ratio.low), plain(ratio.high))
}

/// A ratio without its unit.
pub(super) fn plain(ratio: f64) -> String {
    if !ratio.is_finite() {
        return NONE.into();
    }
    if ratio.abs() < 9.995 { format!("{ratio:.2}") } else { format!("{ratio:.1}") }
}

/// A percentile and its sign: `99.9 %`.
pub(super) fn percentile(percentile: f64) -> String {
    format!("{percentile} %")
}

/// Which way a ratio differs, if it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// Better than what it is compared with.
    Better,
    /// Worse.
    Worse,
    /// Not by more than chance.
    None,
}

impl Difference {
    pub(super) const fn of(ratio: &Ratio) -> Self {
        match ratio {
            Ratio { differs: false, .. } => Self::None,
            Ratio { median, .. } if *median >= 1.0 => Self::Better,
            Ratio { .. } => Self::Worse,
        }
    }

    /// `text` with the mark that tells readers without colours.
    pub(super) fn mark(self, text: &str) -> String {
        match self {
            Self::Better => format!("{BETTER} {text}"),
            Self::Worse => format!("{WORSE} {text}"),
            Self::None => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_their_unit() {
        assert_eq!(figure(Workload::TcpStream, 17.43e9), "17.4 Gbit/s");
        assert_eq!(figure(Workload::TcpCrr, 730.0), "730 conn/s");
        assert_eq!(figure(Workload::LatencyLoad, 12_345.0), "12.3 µs");
        assert_eq!(figure(Workload::Frames, f64::NAN), NONE);
    }

    #[test]
    fn times_have_three_digits_and_a_prefix() {
        for (time_ns, text) in [
            (0.0, "0 ns"),
            (7.0, "7 ns"),
            (90.46, "90.5 ns"),
            (999.6, "1.00 µs"),
            (1_234_567.0, "1.23 ms"),
            (5e12, "5000 s"),
        ] {
            assert_eq!(time(time_ns), text, "{time_ns}");
        }
        assert_eq!(time(f64::INFINITY), NONE);
    }

    #[test]
    fn only_a_ratio_that_differs_is_marked() {
        let ratio = |median: f64, differs| Ratio {
            low: median - 0.01,
            median,
            high: median + 0.01,
            differs,
        };
        for (median, differs, text) in
            [(1.2, true, "▲ 1.20x"), (0.8, true, "▼ 0.80x"), (1.2, false, "1.20x")]
        {
            let difference = Difference::of(&ratio(median, differs));
            assert_eq!(difference.mark(&times(median)), text);
        }
        assert_eq!(interval(&ratio(12.345, true)), "[12.3, 12.4]");
        assert_eq!(interval(&ratio(f64::INFINITY, false)), "[-, -]");
    }
}
