//! What one measurement counted.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::histogram;

/// What happened inside the window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// What was done: round trips, connections, or datagrams received; for a stream, the reads
    /// that it took.
    pub operations: u64,
    /// Payload bytes that the end that counts received: of a stream and of datagrams the server,
    /// of round trips the client.
    pub bytes: u64,
    /// Datagrams that did not arrive, or whose answer did not.
    pub lost: u64,
    /// Length of the window, as the end that counts saw it: it ends with the last operation. Zero
    /// when stopped before it opened.
    pub elapsed: Duration,
    /// How long each operation took, in nanoseconds, for those where that is measured.
    pub latency: Option<Histogram<u64>>,
}

impl Measured {
    /// Nothing yet, with room for latencies.
    pub(super) fn with_latency() -> Self {
        Self { latency: Some(histogram::preallocated()), ..Self::default() }
    }

    /// Counts an operation that took `latency` and brought one byte.
    pub(super) fn record(&mut self, latency: Duration) {
        self.operations += 1;
        self.bytes += 1;
        if let Some(histogram) = &mut self.latency {
            histogram.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// What both counted, in the same window. Only one of them has latencies.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            operations: self.operations + other.operations,
            bytes: self.bytes + other.bytes,
            lost: self.lost + other.lost,
            elapsed: self.elapsed.max(other.elapsed),
            latency: self.latency.or(other.latency),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_and_latencies_are_kept() {
        let mut timed = Measured::with_latency();
        timed.record(Duration::from_micros(7));
        timed.elapsed = Duration::from_secs(1);
        let stream =
            Measured { bytes: 10, lost: 2, elapsed: Duration::from_secs(2), ..Measured::default() };

        let both = stream.and(timed);
        let Measured { operations, bytes, lost, elapsed, latency } = both;
        assert_eq!((operations, bytes, lost, elapsed), (1, 11, 2, Duration::from_secs(2)));
        assert_eq!(latency.expect("one has it").len(), 1);
    }
}
