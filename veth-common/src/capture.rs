//! Captures: what is to be captured, what is said of a captured frame, and what became of the others.

use crate::{Ifindex, PortSlot};

/// Room of the ring buffer in bytes, which all captured frames of a fabric share.
pub const CAPTURE_RING_BYTES: u32 = 4 << 20;

/// How many bytes of a frame a capture can have at most.
pub const CAPTURE_SNAPLEN_MAX: u32 = 65_536;

/// How many bytes of a frame the program for kernels before 5.18 copies at most.
pub const CAPTURE_SNAPLEN_LINEAR: u32 = 128;

/// What is to be captured.
///
/// It is a variable of the object, so that programs need no lookup to find that nothing is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureRule {
    /// Until when it holds, by `CLOCK_MONOTONIC`: whoever captures says so again and again, and one
    /// that was killed does not. Zero: nothing is captured.
    pub until_ns: u64,
    /// Time between two frames, on each CPU: the rate at which a token bucket fills. Zero: no limit.
    pub interval_ns: u64,
    /// How much of that time may be saved up: the size of the bucket.
    pub burst_ns: u64,
    /// Which verdicts, as bits by their numbers.
    pub verdicts: u64,
    /// Of which capture it is; frames repeat it.
    pub session: u32,
    /// How many bytes of each frame.
    pub snaplen_bytes: u32,
    /// One of how many frames, on each CPU; at least one.
    pub sample: u32,
    /// Only frames that arrived on this port; zero for all.
    pub port: Ifindex,
    /// Only frames that were handed to the peer of this port; zero for all.
    pub peer: Ifindex,
    /// Zero.
    pub reserved: u32,
}

impl CaptureRule {
    /// Nothing is captured.
    pub const OFF: Self = Self {
        until_ns: 0,
        interval_ns: 0,
        burst_ns: 0,
        verdicts: 0,
        session: 0,
        snaplen_bytes: 0,
        sample: 0,
        port: Ifindex(0),
        peer: Ifindex(0),
        reserved: 0,
    };
}

/// What became of frames that a rule was about, on one CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureTally {
    /// Frames that the rule is about, before sampling.
    pub matched: u64,
    /// Frames that were captured.
    pub captured: u64,
    /// Frames that were not, because the ring buffer had no room.
    pub lost: u64,
    /// Frames that were not, because of the rate.
    pub limited: u64,
    /// The program's own: when the token bucket is full again.
    pub full_ns: u64,
}

impl CaptureTally {
    /// Adds the share of another CPU.
    pub const fn add(&mut self, other: &Self) {
        self.matched = self.matched.wrapping_add(other.matched);
        self.captured = self.captured.wrapping_add(other.captured);
        self.lost = self.lost.wrapping_add(other.lost);
        self.limited = self.limited.wrapping_add(other.limited);
    }
}

/// What is said of a captured frame; its first bytes follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureHead {
    /// When the program saw it, by `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Of which capture it is.
    pub session: u32,
    /// The port that it arrived on.
    pub ingress: Ifindex,
    /// The port whose peer it was handed to; zero if it was not.
    pub target: Ifindex,
    /// Its length.
    pub len_bytes: u32,
    /// How many of its bytes follow.
    pub captured_bytes: u32,
    /// Payload of one segment in bytes when this is a GSO frame, otherwise zero.
    pub gso_size_bytes: u32,
    /// How many segments it has; zero when nobody has counted them.
    pub gso_segments: u32,
    /// Slot of the port that it arrived on.
    pub slot: PortSlot,
    /// The number of its verdict.
    pub verdict: u16,
    /// The VLAN tag beside it.
    pub vlan_tci: u16,
    /// The TPID of that tag, in host byte order; zero when there is none.
    pub vlan_tpid: u16,
    /// Zero.
    pub reserved: u32,
}

const _: () = assert!(size_of::<CaptureRule>() == 56);
const _: () = assert!(size_of::<CaptureTally>() == 40);
const _: () = assert!(size_of::<CaptureHead>() == 48);
