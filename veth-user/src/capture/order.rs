//! Frames in the order of their times.
//!
//! Each CPU takes a frame's time before it has a place in the ring buffer, so frames of two CPUs may come
//! out of it in another order than that of their times. They are held back for a while here.

use std::{collections::VecDeque, time::Duration};

use super::Captured;

/// How long a frame is held back: far longer than a CPU takes from the one to the other, even where
/// a hypervisor has it wait in between.
const HELD: Duration = Duration::from_millis(50);

/// How many bytes are held back at most. Beyond that, the oldest frames go first, and what comes later
/// than it should is out of order.
const HELD_BYTES: usize = 32 << 20;

/// What a held frame takes beside its bytes, about.
const FRAME_BYTES: usize = 128;

/// Frames that are held back.
#[derive(Debug, Default)]
pub struct InOrder {
    /// In the order of their times.
    held: VecDeque<Captured>,
    held_bytes: usize,
    /// The latest time of a frame.
    latest_ns: u64,
}

impl InOrder {
    /// Takes a frame, as it comes out of the ring buffer.
    pub fn push(&mut self, frame: Captured) {
        self.latest_ns = self.latest_ns.max(frame.time_ns);
        self.held_bytes += size_of_frame(&frame);
        // Most are the latest, and the others nearly so. Those of one time stay as they came.
        let later = self.held.iter().rev().take_while(|it| it.time_ns > frame.time_ns).count();
        self.held.insert(self.held.len() - later, frame);
    }

    /// There was nothing else in the ring buffer at `now_ns`, so nothing that is much older comes.
    pub fn nothing_until(&mut self, now_ns: u64) {
        self.latest_ns = self.latest_ns.max(now_ns);
    }

    /// The next frame, once nothing is expected to come before it.
    pub fn pop(&mut self) -> Option<Captured> {
        let held_ns = u64::try_from(HELD.as_nanos()).unwrap_or(u64::MAX);
        let is_due = self.held.front()?.time_ns.saturating_add(held_ns) <= self.latest_ns;
        if is_due || self.held_bytes > HELD_BYTES { self.take() } else { None }
    }

    /// The next frame, now that no other one comes.
    pub fn take(&mut self) -> Option<Captured> {
        let frame = self.held.pop_front()?;
        self.held_bytes -= size_of_frame(&frame);
        Some(frame)
    }
}

const fn size_of_frame(frame: &Captured) -> usize {
    frame.bytes.len() + FRAME_BYTES
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use veth_common::{Ifindex, Verdict};

    use super::*;

    const MS_NS: u64 = 1_000_000;

    fn frame(time_ns: u64, length: usize) -> Captured {
        Captured {
            time_ns,
            session: 0,
            ingress: Ifindex(1),
            target: None,
            verdict: Verdict::Broadcast,
            len_bytes: 0,
            bytes: vec![0; length],
            gso_segments: 0,
            gso_size_bytes: 0,
        }
    }

    #[test]
    fn frame_waits_for_those_that_may_come_before_it() {
        let mut frames = InOrder::default();
        frames.push(frame(2 * MS_NS, 0));
        frames.push(frame(MS_NS, 0));
        assert_eq!(frames.pop(), None);
        frames.nothing_until(52 * MS_NS);
        assert_eq!(frames.pop().map(|it| it.time_ns), Some(MS_NS));
        assert_eq!(frames.pop().map(|it| it.time_ns), Some(2 * MS_NS));
        assert_eq!(frames.pop(), None);
    }

    #[test]
    fn what_is_held_back_has_an_end() {
        let mut frames = InOrder::default();
        let length = 65_536;
        let most = HELD_BYTES / length;
        for time_ns in 0..2 * most as u64 {
            frames.push(frame(time_ns, length));
            while frames.pop().is_some() {}
            assert!(frames.held.len() <= most, "{}", frames.held.len());
        }
    }

    proptest! {
        #[test]
        fn frames_that_are_late_by_less_than_is_waited_leave_in_order(
            late_ms in vec(0..50_u64, 1..200),
        ) {
            let mut frames = InOrder::default();
            let mut left = Vec::new();
            for (number, late_ms) in late_ms.iter().enumerate() {
                frames.push(frame((100 + number as u64 - late_ms) * MS_NS, 0));
                left.extend(std::iter::from_fn(|| frames.pop()));
            }
            left.extend(std::iter::from_fn(|| frames.take()));
            prop_assert_eq!(left.len(), late_ms.len());
            prop_assert!(left.is_sorted_by_key(|it| it.time_ns));
        }
    }
}
