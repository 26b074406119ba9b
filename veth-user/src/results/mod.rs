//! What a benchmark found: rounds as they were measured, and what follows from them.
//!
//! [`Results`] is what is saved, round by round; nothing in it is computed from anything else in
//! it. [`Summary`] is what people read: medians, ratios with intervals, warnings. [`Comparison`] puts
//! two runs side by side.

mod comparison;
mod name;
mod path;
mod ratio;
pub mod render;
#[cfg(test)]
mod samples;
mod summarize;
mod summary;
mod warning;
mod workload;

use serde::{Deserialize, Serialize};

pub use comparison::{Change, Comparison, Origin, Standing};
pub use name::CellName;
pub use path::{Path, PathKind};
pub use ratio::{MIN_ROUNDS, Ratio, SMALLEST_EFFECT};
pub use summary::{Row, Summary};
pub use workload::{Unit, Workload};

/// Version of the saved form.
pub const FORMAT: u32 = 1;

/// A run of the benchmark, finished or not.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`FORMAT`].
    pub format: u32,
    /// Release of veth that measured.
    pub release: String,
    /// When it began, in seconds since 1970 (UTC).
    pub started_at_s: u64,
    /// Whether all rounds were measured.
    pub finished: bool,
    /// Where it ran.
    pub machine: Machine,
    /// How it was measured.
    pub settings: Settings,
    /// What could not be measured.
    pub unavailable: Vec<Unavailable>,
    /// What became of frames that were captured while they were measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captured: Vec<CapturedFrames>,
    /// What was measured, in the order of workloads, port numbers and paths.
    pub cells: Vec<Cell>,
}

/// The machine of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Kernel release.
    pub kernel: String,
    /// CPU model.
    pub cpu: String,
    /// Number of CPUs that are online.
    pub cpus: usize,
    /// Hypervisor, when there is one and it tells.
    pub hypervisor: Option<String>,
    /// Clock source of the kernel.
    pub clock: Option<String>,
    /// Frequency governor of the first CPU.
    pub governor: Option<String>,
    /// Mitigations of CPU vulnerabilities that cost time: name and state, as the kernel has them.
    pub mitigations: Vec<(String, String)>,
    /// Whether bridges ask netfilter about each frame (`bridge-nf-call-iptables` and its like).
    pub bridge_netfilter: bool,
}

/// How a run was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Rounds: each measures every cell once.
    pub rounds: u32,
    /// Length of a measurement, in milliseconds.
    pub round_ms: u64,
    /// Time before each measurement that is not counted, in milliseconds.
    pub warmup_ms: u64,
    /// Path that the others are compared with.
    pub baseline: Path,
    /// CPU of the client, which sends.
    pub client_cpu: usize,
    /// CPU of the server.
    pub server_cpu: usize,
    /// Payload of datagrams of [`Workload::UdpPps`], in bytes.
    pub payload_bytes: u32,
    /// Size of the frames of [`Workload::Frames`], Ethernet header included, in bytes.
    pub frame_bytes: u32,
    /// Number of flows of [`Workload::Frames`]: distinct source ports.
    pub flows: u32,
    /// Frames of one call of the generator.
    pub batch_frames: u32,
    /// Over IPv6 instead of IPv4.
    pub ipv6: bool,
    /// Whether the bridges of the run asked netfilter about each frame (`br_netfilter`).
    #[serde(default)]
    pub bridge_netfilter: bool,
}

/// Something that could not be measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unavailable {
    /// The path.
    pub path: Path,
    /// The workload; `None`: all of them.
    pub workload: Option<Workload>,
    /// Why.
    pub reason: String,
}

/// What became of the frames of a path that is captured, over all workloads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturedFrames {
    /// The path.
    pub path: Path,
    /// Ports of the fabric, when that is what is varied.
    pub ports: Option<u32>,
    /// Frames that the capture was about.
    pub frames: u64,
    /// Those of them that there was no room for. They arrived like the others.
    pub lost: u64,
}

/// One workload over one path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// The workload.
    pub workload: Workload,
    /// The path.
    pub path: Path,
    /// Ports of the fabric, when that is what is varied.
    pub ports: Option<u32>,
    /// One measurement for each round. One that failed is left out.
    pub rounds: Vec<Round>,
    /// Latency over all rounds so far, for workloads that measure it.
    pub latency: Option<Latency>,
}

/// One measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Which round, from 0: measurements of one round belong together.
    pub round: u32,
    /// The figure, in the workload's [`Unit`].
    pub value: f64,
    /// What was counted: transactions, connections, datagrams, frames; for streams packets, as
    /// the receiving device counted them (a GSO packet is one).
    pub operations: u64,
    /// Payload bytes that arrived; for frames all bytes.
    pub bytes: u64,
    /// Operations that were begun and did not arrive, where that is known.
    pub lost: u64,
    /// How long it took, in nanoseconds.
    pub elapsed_ns: u64,
    /// CPU time spent meanwhile on the CPUs of both ends, in nanoseconds.
    pub cpu_ns: Option<u64>,
}

/// How latencies are distributed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Number of latencies.
    pub count: u64,
    /// Percentile (0 to 100, ascending) and the latency that so many are not above, in
    /// nanoseconds.
    pub percentiles: Vec<(f64, u64)>,
}

impl Latency {
    /// The latency in nanoseconds that `percentile` of them are not above, if that was kept.
    pub fn at(&self, percentile: f64) -> Option<u64> {
        let found = self.percentiles.iter().find(|(at, _)| *at >= percentile);
        found.map(|(_, latency_ns)| *latency_ns)
    }
}
