//! What people read: medians, ratios with intervals, warnings. How they are found is left to
//! `summarize`.

use serde::Serialize;

use super::{Latency, Path, Ratio, Workload};

/// What follows from [`Results`](super::Results).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Path that the others are compared with.
    pub baseline: Path,
    /// One for each cell that has rounds, in their order.
    pub rows: Vec<Row>,
    /// What makes the figures doubtful, and what to try.
    pub warnings: Vec<String>,
}

/// One workload over one path.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The workload.
    pub workload: Workload,
    /// The path.
    pub path: Path,
    /// Ports of the fabric, when that is what is varied.
    pub ports: Option<u32>,
    /// The median over the rounds, in the workload's unit.
    pub median: f64,
    /// How many rounds.
    pub rounds: usize,
    /// The baseline's figure and this one's of the same round, compared: median over the rounds
    /// and its 95 % interval. More is better, also for latencies (their ratio is turned around).
    pub to_baseline: Option<Ratio>,
    /// The same, compared with `direct`.
    pub to_direct: Option<Ratio>,
    /// CPU time for each payload Gbit, in nanoseconds.
    pub cpu_ns_per_gbit: Option<f64>,
    /// CPU time for each operation, in nanoseconds.
    pub cpu_ns_per_operation: Option<f64>,
    /// Mean size of the packets of a stream as its receiving device saw them, in bytes.
    pub mean_packet_bytes: Option<f64>,
    /// Share of the operations that were lost, from 0 to 1.
    pub lost: f64,
    /// Latency over all rounds.
    pub latency: Option<Latency>,
}
