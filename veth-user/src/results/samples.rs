//! Runs for the tests of what follows from runs.

use super::{Cell, FORMAT, Machine, Path, Results, Round, Settings, Workload};

pub(super) fn path(text: &str) -> Path {
    text.parse().expect("a path")
}

/// A cell whose rounds, from 0, have these figures.
pub(super) fn cell(workload: Workload, name: &str, values: &[f64]) -> Cell {
    let rounds = (0..).zip(values).map(|(round, value)| Round {
        round,
        value: *value,
        operations: 1000,
        bytes: 1_000_000,
        elapsed_ns: 100_000_000,
        ..Round::default()
    });
    Cell { workload, path: path(name), ports: None, rounds: rounds.collect(), latency: None }
}

/// A finished run with the bridge as its baseline, all on one CPU.
pub(super) fn results(cells: Vec<Cell>) -> Results {
    Results {
        format: FORMAT,
        release: "0.1.0".into(),
        started_at_s: 1_750_000_000,
        finished: true,
        machine: Machine {
            kernel: "6.12.30".into(),
            cpu: "Model 1".into(),
            cpus: 4,
            ..Machine::default()
        },
        settings: Settings {
            rounds: 10,
            round_ms: 500,
            warmup_ms: 100,
            baseline: path("bridge"),
            client_cpu: 1,
            server_cpu: 1,
            payload_bytes: 64,
            frame_bytes: 64,
            flows: 1,
            batch_frames: 64,
            ipv6: false,
            bridge_netfilter: false,
        },
        unavailable: Vec::new(),
        captured: Vec::new(),
        cells,
    }
}
