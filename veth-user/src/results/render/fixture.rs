//! Results to draw, made by hand: nothing in them was measured.

use super::super::{
    Cell, FORMAT, Latency, Machine, Path, PathKind, Ratio, Results, Round, Row, Settings, Summary,
    Unavailable, Workload,
};

pub(super) const BRIDGE: Path = path(PathKind::Bridge, 1);

pub(super) const fn path(kind: PathKind, number: u32) -> Path {
    Path { kind, number }
}

/// All workloads and most paths, with everything that can be known, and a few things that are not.
pub(super) fn rich() -> (Results, Summary) {
    // Per path: how much better than the bridge, for sockets and for frames made in the kernel.
    let paths = [
        (path(PathKind::Direct, 1), 1.21, 2.1),
        (BRIDGE, 1.0, 1.0),
        (path(PathKind::Route, 1), 0.93, 0.86),
        (path(PathKind::Macvlan, 1), 1.10, 1.31),
        (path(PathKind::Redirect, 1), 1.03, 1.12),
        (path(PathKind::Tc, 1), 1.17, 1.74),
        (path(PathKind::Xdp, 1), 1.005, 3.42),
        (path(PathKind::Netkit, 1), 1.19, 2.04),
    ];
    let mut run = Run::new();
    for workload in Workload::ALL {
        for (path, sockets, frames) in paths {
            let is_xdp = path.kind == PathKind::Xdp;
            let better = match workload {
                Workload::TcpStream if is_xdp => 0.41,
                _ if workload.is_in_kernel() => frames,
                Workload::LatencyLoad => sockets * 1.1,
                _ => sockets,
            };
            // A netkit device has no XDP.
            if !(workload == Workload::FramesXdp && path.kind == PathKind::Netkit) {
                run.add(workload, path, None, better);
            }
        }
    }
    for ports in [2, 16, 128, 1024] {
        for (path, _, frames) in paths {
            if path.kind.is_fabric() {
                let fewer = f64::from(ports).log2() * if path == BRIDGE { 0.005 } else { 0.003 };
                run.add(Workload::Frames, path, Some(ports), frames - fewer);
            }
        }
    }
    let reason = "netkit devices take no XDP program";
    run.results.unavailable = vec![
        Unavailable {
            path: path(PathKind::Netkit, 1),
            workload: Some(Workload::FramesXdp),
            reason: reason.into(),
        },
        Unavailable {
            path: path(PathKind::Loopback, 1),
            workload: None,
            reason: "not asked for".into(),
        },
    ];
    run.summary.warnings = vec![
        "udp_pps over route: single rounds differ by 18 %; try again when the machine is idle, or \
         with --rounds 30."
            .into(),
        "The CPU's frequency changes (governor schedutil); try `cpupower frequency-set -g \
         performance`."
            .into(),
    ];
    run.results.settings.rounds = 12;
    (run.results, run.summary)
}

/// Two workloads, three paths, three rounds.
pub(super) fn small() -> (Results, Summary) {
    let mut run = Run::new();
    for workload in [Workload::TcpStream, Workload::UdpRr] {
        for (path, better) in
            [(path(PathKind::Direct, 1), 1.2), (BRIDGE, 1.0), (path(PathKind::Tc, 1), 1.15)]
        {
            run.add(workload, path, None, better);
        }
    }
    (run.results, run.summary)
}

/// The bridge and the bridge.
pub(super) fn against_itself() -> (Results, Summary) {
    let mut run = Run::new();
    for (path, better) in [(BRIDGE, 1.0), (path(PathKind::Bridge, 2), 1.001)] {
        run.add(Workload::TcpRr, path, None, better);
    }
    for row in &mut run.summary.rows {
        row.to_direct = None;
    }
    (run.results, run.summary)
}

/// A run that ended before its first round did.
pub(super) fn empty() -> (Results, Summary) {
    let Run { mut results, mut summary } = Run::new();
    results.finished = false;
    summary.warnings.push("the run ended early".into());
    (results, summary)
}

struct Run {
    results: Results,
    summary: Summary,
}

impl Run {
    fn new() -> Self {
        let machine = Machine {
            kernel: "6.18.44".into(),
            cpu: "AMD EPYC 9R14 96-Core Processor".into(),
            cpus: 2,
            hypervisor: Some("KVM".into()),
            clock: Some("kvm-clock".into()),
            governor: None,
            mitigations: vec![
                ("spectre_v2".into(), "Mitigation: Enhanced / Automatic IBRS".into()),
                ("spec_rstack_overflow".into(), "Mitigation: Safe RET".into()),
            ],
            bridge_netfilter: false,
        };
        let settings = Settings {
            rounds: 3,
            round_ms: 1000,
            warmup_ms: 100,
            baseline: BRIDGE,
            client_cpu: 0,
            server_cpu: 1,
            payload_bytes: 64,
            frame_bytes: 64,
            flows: 16,
            batch_frames: 64,
            ipv6: false,
            bridge_netfilter: false,
        };
        let results = Results {
            format: FORMAT,
            release: "0.1.0".into(),
            started_at_s: 1_795_202_100,
            finished: true,
            machine,
            settings,
            unavailable: Vec::new(),
            captured: Vec::new(),
            cells: Vec::new(),
        };
        let summary = Summary { baseline: BRIDGE, rows: Vec::new(), warnings: Vec::new() };
        Self { results, summary }
    }

    /// One workload over one path that is so many times as good as the bridge.
    fn add(&mut self, workload: Workload, path: Path, ports: Option<u32>, better: f64) {
        let of_bridge = match workload {
            Workload::TcpStream => 17.4e9,
            Workload::TcpRr => 61_300.0,
            Workload::TcpCrr => 14_200.0,
            Workload::UdpRr => 63_200.0,
            Workload::UdpPps => 742_000.0,
            Workload::LatencyLoad => 184_000.0,
            Workload::Frames => 2.31e6,
            Workload::FramesXdp => 2.52e6,
        };
        let is_less_better = workload.is_less_better();
        let median = if is_less_better { of_bridge / better } else { of_bridge * better };
        let latency = match workload {
            Workload::LatencyLoad => Some(latency(median, tail(path))),
            Workload::TcpRr | Workload::UdpRr => Some(latency(2.2e9 / median, tail(path))),
            _ => None,
        };
        let is_stream = workload == Workload::TcpStream;
        let rounds = [0.99, 1.0, 1.02];
        self.results.cells.push(Cell {
            workload,
            path,
            ports,
            rounds: (0..)
                .zip(rounds)
                .map(|(round, factor)| Round {
                    round,
                    value: (median * factor).round(),
                    operations: 48_000 + u64::from(round),
                    bytes: if is_stream { 2_175_000_000 } else { 48_000 },
                    lost: if workload == Workload::UdpPps { 200 } else { 0 },
                    elapsed_ns: 1_000_000_000 + 1000 * u64::from(round),
                    cpu_ns: (round != 1).then_some(1_640_000_000),
                })
                .collect(),
            latency: latency.clone(),
        });
        let ratio = |median: f64| Ratio {
            low: median - 0.02,
            median,
            high: median + 0.02,
            differs: (median - 1.0).abs() > 0.02,
        };
        let ceiling = if workload.is_in_kernel() { 2.1 } else { 1.21 };
        self.summary.rows.push(Row {
            workload,
            path,
            ports,
            median,
            rounds: rounds.len(),
            to_baseline: (path != BRIDGE).then(|| ratio(better)),
            to_direct: Some(ratio(better / ceiling)),
            cpu_ns_per_gbit: is_stream.then_some(94e6 / better),
            cpu_ns_per_operation: Some(if workload.is_in_kernel() {
                433.0 / better
            } else {
                26_400.0 / better
            }),
            mean_packet_bytes: is_stream.then_some(45_300.0),
            lost: if workload == Workload::UdpPps { 0.0042 } else { 0.0 },
            latency,
        });
    }
}

/// How long the tail of a path is.
fn tail(path: Path) -> f64 {
    match path.kind {
        PathKind::Direct | PathKind::Netkit => 0.75,
        PathKind::Tc => 0.85,
        PathKind::Xdp => 1.7,
        PathKind::Route => 1.25,
        _ => 1.0,
    }
}

/// Latencies whose 99th percentile is `p99_ns`, with a tail that is `tail` times the usual.
fn latency(p99_ns: f64, tail: f64) -> Latency {
    let shape = [
        (10.0, 0.36),
        (50.0, 0.45),
        (75.0, 0.55),
        (90.0, 0.71),
        (95.0, 0.82),
        (99.0, 1.0),
        (99.5, 1.12),
        (99.9, 1.73),
        (99.95, 2.4),
        (99.99, 5.1),
        (99.999, 9.6),
        (100.0, 14.0),
    ];
    let at = |(percentile, factor): (f64, f64)| {
        let factor = if percentile > 99.0 { 1.0 + (factor - 1.0) * tail } else { factor };
        let latency = std::time::Duration::from_secs_f64(p99_ns * factor / 1e9);
        (percentile, u64::try_from(latency.as_nanos()).expect("milliseconds"))
    };
    Latency { count: 730_000, percentiles: shape.map(at).into() }
}
