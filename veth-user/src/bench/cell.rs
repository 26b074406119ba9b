//! One measurement: one workload over one path.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;

use super::{BenchError, Options, frames::FrameLab, path::BuiltPath};
use crate::{
    machine,
    results::{Round, Workload},
    stop::Stop,
    traffic::{
        TrafficError,
        load::{self, Edge, Edges, Ends, LoadOptions, Measured},
    },
    view::LinkStatistics,
};

/// What was measured.
pub(super) struct Measurement {
    pub(super) round: Round,
    /// Latencies in nanoseconds, where they are measured.
    pub(super) latency: Option<Histogram<u64>>,
}

/// Measures `workload` over `path`; `None` when it was stopped.
///
/// # Errors
///
/// When the path does not carry it.
pub(super) fn measure(
    path: &BuiltPath,
    workload: Workload,
    options: &Options,
    lab: &mut FrameLab,
    stop: &Stop,
) -> Result<Option<Measurement>, BenchError> {
    if workload.is_in_kernel() {
        prime(path, options, stop)?;
        return lab.measure(path, workload, options, stop);
    }
    let run: fn(&Ends<'_>, &LoadOptions, Edges<'_>, &Stop) -> Result<Measured, TrafficError> =
        match workload {
            Workload::TcpStream => load::tcp_stream,
            Workload::TcpRr => load::tcp_rr,
            Workload::TcpCrr => load::tcp_crr,
            Workload::UdpRr => load::udp_rr,
            Workload::UdpPps => load::udp_pps,
            Workload::LatencyLoad => load::latency_load,
            Workload::Frames | Workload::FramesXdp => unreachable!("measured above"),
        };
    let window = Window::new(path, options);
    let load = LoadOptions {
        warm_up: options.warm_up,
        duration: options.round,
        payload_bytes: options.payload_bytes,
    };
    let measured = run(&path.ends(options.placement), &load, &|edge| window.note(edge), stop)?;
    if stop.is_requested() || measured.elapsed.is_zero() {
        return Ok(None);
    }
    if measured.operations == 0 {
        return Err(BenchError::NothingArrived(measured.lost));
    }
    let Measured { operations, bytes, lost, elapsed, latency } = measured;
    let packets = window.packets_received();
    Ok(Some(Measurement {
        round: Round {
            round: 0,
            value: value_of(workload, operations, bytes, elapsed, latency.as_ref()),
            operations: packets.filter(|_| workload == Workload::TcpStream).unwrap_or(operations),
            bytes,
            lost,
            elapsed_ns: nanos(elapsed),
            cpu_ns: window.cpu_ns(),
        },
        latency,
    }))
}

/// Sends a few datagrams there and back, so that addresses are resolved and learned.
fn prime(path: &BuiltPath, options: &Options, stop: &Stop) -> Result<(), BenchError> {
    let load = LoadOptions {
        warm_up: Duration::ZERO,
        duration: Duration::from_millis(1),
        payload_bytes: options.payload_bytes,
    };
    load::udp_rr(&path.ends(options.placement), &load, &|_| {}, stop)?;
    Ok(())
}

/// The figure, in the workload's unit.
fn value_of(
    workload: Workload,
    operations: u64,
    bytes: u64,
    elapsed: Duration,
    latency: Option<&Histogram<u64>>,
) -> f64 {
    let seconds = elapsed.as_secs_f64();
    match workload {
        Workload::TcpStream => bytes as f64 * 8.0 / seconds,
        Workload::LatencyLoad => {
            latency.map_or(0.0, |histogram| histogram.value_at_quantile(0.99) as f64)
        }
        _ => operations as f64 / seconds,
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What stands beside a measurement: CPU time and the counters of the receiving device.
pub(super) struct Window<'a> {
    path: &'a BuiltPath,
    cpus: Vec<usize>,
    readings: Mutex<[Reading; 2]>,
}

/// What is read at an edge; `None` what cannot be.
#[derive(Clone, Copy, Default)]
struct Reading {
    cpu: Option<Duration>,
    device: Option<LinkStatistics>,
}

impl<'a> Window<'a> {
    pub(super) fn new(path: &'a BuiltPath, options: &Options) -> Self {
        let mut cpus = vec![options.placement.client_cpu, options.placement.server_cpu];
        cpus.dedup();
        Self { path, cpus, readings: Mutex::default() }
    }

    /// Reads at an edge.
    pub(super) fn note(&self, edge: Edge) {
        let reading = Reading {
            cpu: machine::busy_time(&self.cpus).ok(),
            device: self.path.server.statistics().ok(),
        };
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        readings[usize::from(edge == Edge::End)] = reading;
    }

    /// CPU time in between, in nanoseconds.
    pub(super) fn cpu_ns(&self) -> Option<u64> {
        let [begin, end] = *self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        Some(nanos(end.cpu?.saturating_sub(begin.cpu?)))
    }

    /// Packets that the server's device received in between.
    fn packets_received(&self) -> Option<u64> {
        let [begin, end] = *self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        Some(end.device?.rx.packets.saturating_sub(begin.device?.rx.packets))
    }
}
