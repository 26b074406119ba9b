//! The workloads that paths are compared by: both ends pinned to CPUs, a warm-up, and a window in
//! which is counted.
//!
//! What a figure says of a path is diluted by what user space does around it, so the loops are as
//! bare as those of netperf: the system calls of the traffic itself, one look at a flag, and one at
//! the clock where latency is measured. What the figures mean is for others to say.

mod crew;
mod histogram;
mod latency_load;
mod measured;
mod placement;
mod tcp_crr;
mod tcp_pair;
mod tcp_rr;
mod tcp_stream;
mod udp_flow;
mod udp_pair;
mod udp_pps;
mod udp_rr;
mod window;

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::endpoint::Endpoint;

pub use latency_load::latency_load;
pub use measured::Measured;
pub use placement::{allowed_cpus, pin_to};
pub use tcp_crr::tcp_crr;
pub use tcp_rr::tcp_rr;
pub use tcp_stream::tcp_stream;
pub use udp_pps::udp_pps;
pub use udp_rr::udp_rr;

/// Where the two ends run. Each thread of an end runs on the end's CPU only.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// The end that begins: it connects, asks and sends.
    pub client: Endpoint<'a>,
    /// The end that listens, answers and receives.
    pub server: Endpoint<'a>,
    /// CPU of the client, counted from 0.
    pub client_cpu: usize,
    /// CPU of the server, counted from 0. May be the client's.
    pub server_cpu: usize,
}

/// How long, and how large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// Traffic before the window, which is not counted.
    pub warm_up: Duration,
    /// Length of the window.
    pub duration: Duration,
    /// Payload of a datagram of [`udp_pps()`], in bytes; the others have sizes of their own.
    pub payload_bytes: u32,
}

/// An end of the window in which is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// The warm-up is over.
    Begin,
    /// So is the measurement.
    End,
}

/// Called at both edges of the window, on the caller's thread and in its namespace, so that it can
/// read CPU times and counters of devices.
///
/// The traffic turns at the edge before this is called, so one that takes a while shifts what it
/// reads by as much at both edges, and does not stretch it. Each is called once, in order; a
/// measurement that fails or is stopped before its window opens calls neither.
pub type Edges<'a> = &'a (dyn Fn(Edge) + Sync);
