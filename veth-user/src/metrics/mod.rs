//! What a monitoring system is told: a sample of everything that is counted, as the text that
//! Prometheus reads.
//!
//! [`family`] has what there is, [`encode`](encode()) writes it. Taking a sample, and handing the text
//! to whoever asks for it, is left to others.

mod encode;
pub mod family;

use std::time::Duration;

use veth_common::PortCounters;

pub use encode::{Format, encode};

use crate::counters::Dropped;

/// Everything that is told, at one moment.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Version of this program.
    pub version: &'static str,
    /// Release of the object that it brings along.
    pub object: String,
    /// Release of the kernel.
    pub kernel: String,
    /// How long it took to take the sample.
    pub took: Duration,
    /// The fabrics.
    pub fabrics: Vec<FabricSample>,
    /// The agent, where one is part of this process.
    pub agent: Option<AgentSample>,
}

/// A fabric at one moment.
#[derive(Clone, Debug)]
pub struct FabricSample {
    /// Its name.
    pub fabric: String,
    /// What was read; `None` when that failed.
    pub reading: Option<FabricReading>,
}

/// What was read of a fabric.
#[derive(Clone, Debug)]
pub struct FabricReading {
    /// Its datapath.
    pub datapath: &'static str,
    /// Whose bridge it is.
    pub ownership: &'static str,
    /// Release of the pinned object.
    pub release: String,
    /// Stations that the fast path serves.
    pub stations: Stations,
    /// Captures; `None` when its object cannot capture.
    pub capture: Option<CaptureReading>,
    /// The ports.
    pub ports: Vec<PortReading>,
}

/// Stations that frames are handed to, by their leases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stations {
    /// Those with a lease that holds.
    pub valid: usize,
    /// Those whose lease is over: their frames go to the bridge.
    pub expired: usize,
}

impl Stations {
    /// Whether somebody vouches for the stations; where there are none, nobody has to.
    pub const fn are_kept(self) -> bool {
        self.valid > 0 || self.expired == 0
    }
}

/// What the last capture of a fabric has and has not: that of `veth capture`, or of `veth log`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureReading {
    /// Whether it goes on.
    pub is_active: bool,
    /// Frames that were captured.
    pub captured: u64,
    /// Frames that were not, because their reader was too slow.
    pub lost: u64,
    /// Frames that were not, because there were more than were asked for.
    pub limited: u64,
}

/// What was read of a port.
#[derive(Clone, Debug)]
pub struct PortReading {
    /// Its name.
    pub name: String,
    /// The namespace behind it, where that is known.
    pub netns: Option<String>,
    /// Its index.
    pub ifindex: u32,
    /// Whether frames from it may take the fast path.
    pub is_fast: bool,
    /// Its counters.
    pub counters: PortCounters,
    /// What its device dropped.
    pub dropped: Dropped,
}

/// What an agent has seen and done since its process started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentSample {
    /// The fabric that it keeps.
    pub fabric: String,
    /// Whether it keeps it now; otherwise it waits for the bridge.
    pub is_active: bool,
    /// Netlink messages.
    pub events: u64,
    /// Times when messages were lost.
    pub overruns: u64,
    /// Looks at the bridge.
    pub rounds: u64,
    /// Looks that failed.
    pub failures: u64,
}
