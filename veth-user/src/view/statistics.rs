//! What has gone through a device, as the kernel counts it.

use serde::Serialize;

/// The kernel's counters of a device, since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LinkStatistics {
    /// What it received.
    pub rx: DirectionStatistics,
    /// What was sent through it.
    pub tx: DirectionStatistics,
}

/// The counters of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DirectionStatistics {
    /// Frames that went through. One that is to be cut into segments later counts as one.
    pub packets: u64,
    /// Their bytes, with the Ethernet header.
    pub bytes: u64,
    /// Frames that were sound, and were dropped all the same.
    pub dropped: u64,
    /// Frames that were not sound, or could not be sent.
    pub errors: u64,
}
