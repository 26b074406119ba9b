//! Histograms of latencies, which do nothing but count once they are made.

use hdrhistogram::Histogram;

/// The longest latency that is told from longer ones, in nanoseconds: one minute.
const MAX_NS: u64 = 60_000_000_000;

/// The precision: 0.1 %.
const SIGNIFICANT_DIGITS: u8 = 3;

/// An empty histogram from 1 ns to a minute.
///
/// It neither allocates nor faults a page in when something is recorded: both would be measured.
pub(super) fn preallocated() -> Histogram<u64> {
    let mut histogram = Histogram::new_with_bounds(1, MAX_NS, SIGNIFICANT_DIGITS)
        .expect("the bounds and the precision are fixed, and valid");
    // Fresh memory has no pages behind it before it is written to.
    histogram.clear();
    histogram
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_without_growing() {
        let mut histogram = preallocated();
        assert!(!histogram.is_auto_resize());
        let buckets = histogram.distinct_values();
        for latency_ns in [0, 1, 12_345, MAX_NS, u64::MAX] {
            histogram.saturating_record(latency_ns);
        }
        assert_eq!(histogram.len(), 5);
        assert_eq!(histogram.distinct_values(), buckets);
        assert_eq!(histogram.min(), 0);
        assert!(histogram.max() >= MAX_NS);
    }

    #[test]
    fn three_digits_are_kept() {
        let mut histogram = preallocated();
        histogram.saturating_record(1_234_567);
        assert!(histogram.max().abs_diff(1_234_567) <= 1_234);
    }
}
