//! What holds for all workloads, over loopback and both families of addresses.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Mutex,
    time::Duration,
};

use super::*;
use crate::{Stop, traffic::error::TrafficError};

type WorkloadFn = fn(&Ends<'_>, &LoadOptions, Edges<'_>, &Stop) -> Result<Measured, TrafficError>;

const WORKLOADS: [(&str, WorkloadFn); 6] = [
    ("tcp_stream", tcp_stream),
    ("tcp_rr", tcp_rr),
    ("tcp_crr", tcp_crr),
    ("udp_rr", udp_rr),
    ("udp_pps", udp_pps),
    ("latency_load", latency_load),
];

const LOCALHOSTS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

const SHORT: LoadOptions = LoadOptions {
    warm_up: Duration::from_millis(10),
    duration: Duration::from_millis(250),
    payload_bytes: 64,
};

const FOREVER: LoadOptions = LoadOptions { duration: Duration::from_hours(1), ..SHORT };

fn ends_over(client: IpAddr, server: IpAddr) -> Ends<'static> {
    let cpus = allowed_cpus().expect("ask");
    Ends {
        client: Endpoint::here(client),
        server: Endpoint::here(server),
        client_cpu: cpus[0],
        server_cpu: cpus[cpus.len() - 1],
    }
}

fn ignore(_: Edge) {}

#[test]
fn every_workload_counts_inside_its_window() {
    for address in LOCALHOSTS {
        for (name, workload) in WORKLOADS {
            let called = Mutex::new(Vec::new());
            let note = |edge| called.lock().expect("no panic").push(edge);
            let measured = workload(&ends_over(address, address), &SHORT, &note, &Stop::new())
                .unwrap_or_else(|error| panic!("{name} over {address}: {error}"));

            assert_eq!(*called.lock().expect("no panic"), [Edge::Begin, Edge::End], "{name}");
            assert!(measured.operations > 0, "{name} over {address}: {measured:?}");
            assert!(measured.bytes > 0, "{name} over {address}: {measured:?}");
            assert!(!measured.elapsed.is_zero(), "{name} over {address}: {measured:?}");
            let has_latency = !["tcp_stream", "udp_pps"].contains(&name);
            assert_eq!(measured.latency.is_some(), has_latency, "{name}");
            if let Some(latency) = measured.latency {
                assert_eq!(latency.len(), measured.operations, "{name} over {address}");
            }
        }
    }
}

#[test]
fn every_workload_runs_with_both_ends_on_one_cpu() {
    for (name, workload) in WORKLOADS {
        let ends = ends_over(LOCALHOSTS[0], LOCALHOSTS[0]);
        let ends = Ends { server_cpu: ends.client_cpu, ..ends };
        let measured = workload(&ends, &SHORT, &ignore, &Stop::new())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(measured.operations > 0, "{name}: {measured:?}");
    }
}

#[test]
fn stop_ends_every_workload_with_what_was_counted() {
    for (name, workload) in WORKLOADS {
        let ends = ends_over(LOCALHOSTS[0], LOCALHOSTS[0]);
        let called = Mutex::new(Vec::new());
        let stop = Stop::new();
        let note_and_stop = |edge| {
            called.lock().expect("no panic").push(edge);
            stop.request();
        };
        workload(&ends, &FOREVER, &note_and_stop, &stop)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(*called.lock().expect("no panic"), [Edge::Begin, Edge::End], "{name}");
    }
}

#[test]
fn stopped_before_it_began_nothing_is_measured() {
    for (name, workload) in WORKLOADS {
        let stop = Stop::new();
        stop.request();
        let ends = ends_over(LOCALHOSTS[0], LOCALHOSTS[0]);
        let measured = workload(&ends, &FOREVER, &|_| panic!("there is no window"), &stop)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(measured, Measured::default(), "{name}");
    }
}

#[test]
fn ends_that_cannot_meet_are_an_error() {
    for (name, workload) in WORKLOADS {
        let ends = ends_over(LOCALHOSTS[1], LOCALHOSTS[0]);
        let error = workload(&ends, &FOREVER, &|_| panic!("there is no window"), &Stop::new())
            .expect_err(name);
        assert!(matches!(error, TrafficError::Socket { .. }), "{name}: {error}");
    }
}

#[test]
fn missing_cpu_is_an_error() {
    for (name, workload) in WORKLOADS {
        let ends = Ends { server_cpu: usize::MAX, ..ends_over(LOCALHOSTS[0], LOCALHOSTS[0]) };
        let error = workload(&ends, &FOREVER, &ignore, &Stop::new()).expect_err(name);
        assert!(matches!(error, TrafficError::Pin { cpu: usize::MAX, .. }), "{name}: {error}");
    }
}

#[test]
fn datagrams_of_any_size_arrive() {
    for payload_bytes in [0, 1, 1472, 65_507] {
        let ends = ends_over(LOCALHOSTS[0], LOCALHOSTS[0]);
        let options = LoadOptions { payload_bytes, ..SHORT };
        let measured =
            udp_pps(&ends, &options, &ignore, &Stop::new()).expect("loopback carries it");
        assert!(measured.operations > 0, "{payload_bytes} bytes: {measured:?}");
        assert_eq!(measured.bytes, measured.operations * u64::from(payload_bytes));
    }
}

#[test]
fn datagram_that_is_too_large_is_an_error() {
    let options = LoadOptions { payload_bytes: 65_508, ..FOREVER };
    let error = udp_pps(&ends_over(LOCALHOSTS[0], LOCALHOSTS[0]), &options, &ignore, &Stop::new())
        .expect_err("no datagram can carry it");
    assert!(error.to_string().starts_with("send to 127.0.0.1:"), "{error}");
}
