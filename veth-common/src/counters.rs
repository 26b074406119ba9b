//! Counters: one per port and verdict, on each CPU.

use crate::{VERDICT_COUNT, Verdict};

/// What one verdict has seen.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// Frames as the hook saw them; a GSO frame is one.
    pub frames: u64,
    /// Bytes of these frames, Ethernet header included.
    pub bytes: u64,
    /// Frames as a wire would have seen them: a GSO frame counts its segments.
    pub segments: u64,
}

impl Counter {
    /// Adds `other` in place. Counters wrap like the kernel's own.
    pub const fn add(&mut self, other: &Self) {
        self.frames = self.frames.wrapping_add(other.frames);
        self.bytes = self.bytes.wrapping_add(other.bytes);
        self.segments = self.segments.wrapping_add(other.segments);
    }
}

/// Value of the counter map: a port's counters, indexed by [`Verdict`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortCounters {
    /// One counter for each verdict, in the order of their numbers.
    pub by_verdict: [Counter; VERDICT_COUNT],
}

impl PortCounters {
    /// No frame yet.
    pub const ZERO: Self =
        Self { by_verdict: [Counter { frames: 0, bytes: 0, segments: 0 }; VERDICT_COUNT] };

    /// The counter of `verdict`.
    pub const fn of(&self, verdict: Verdict) -> &Counter {
        &self.by_verdict[verdict as usize]
    }

    /// Adds `other`, verdict by verdict: how the CPUs' shares become a port's total.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.by_verdict.iter_mut().zip(&other.by_verdict) {
            mine.add(theirs);
        }
    }

    /// The sum over all verdicts: every frame that entered the port's hook.
    pub fn total(&self) -> Counter {
        let mut total = Counter::default();
        for counter in &self.by_verdict {
            total.add(counter);
        }
        total
    }
}

const _: () = assert!(size_of::<Counter>() == 24);
const _: () = assert!(size_of::<PortCounters>() == 24 * VERDICT_COUNT);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_is_the_sum_over_verdicts_and_cpus() {
        let mut cpu0 = PortCounters::ZERO;
        cpu0.by_verdict[Verdict::Redirected as usize] =
            Counter { frames: 2, bytes: 3000, segments: 4 };
        let mut cpu1 = PortCounters::ZERO;
        cpu1.by_verdict[Verdict::Broadcast as usize] =
            Counter { frames: 1, bytes: 42, segments: 1 };
        cpu0.add(&cpu1);
        assert_eq!(cpu0.total(), Counter { frames: 3, bytes: 3042, segments: 5 });
        assert_eq!(cpu0.of(Verdict::Broadcast).bytes, 42);
    }
}
