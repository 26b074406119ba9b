//! Every path with every workload: measured, or a reason why not.

use std::thread;

use serde_json::Value;

use super::{Lab, SHORT, items, measure, row};
use crate::sandbox::skip;

const PATHS: [&str; 9] =
    ["direct", "bridge", "route", "macvlan", "loopback", "redirect", "tc", "xdp", "netkit"];

const WORKLOADS: [&str; 8] = [
    "tcp_stream",
    "tcp_rr",
    "tcp_crr",
    "udp_rr",
    "udp_pps",
    "latency_load",
    "frames",
    "frames_xdp",
];

/// The workloads whose frames are the kernel's own, and the paths that cannot carry them.
const REFUSED: [(&str, &str); 7] = [
    ("loopback", "frames"),
    ("loopback", "frames_xdp"),
    ("macvlan", "frames"),
    ("macvlan", "frames_xdp"),
    ("netkit", "frames"),
    ("netkit", "frames_xdp"),
    ("tc", "frames_xdp"),
];

/// Fails the test unless each of `paths` has rounds of each of `workloads`, save those that cannot
/// be; these have a reason and no rounds.
#[track_caller]
fn assert_complete(output: &Value, paths: &[&str], workloads: &[&str], rounds: usize) {
    let results = &output["results"];
    assert_eq!(results["finished"], true);
    // Whether a kernel has netkit is a choice of who built it, and others have none at all.
    let missing = reason(results, "netkit", &Value::Null);
    if let Some(reason) = missing {
        assert!(reason.contains("netkit"), "{reason}");
        skip(&format!("bench over netkit: {reason}"));
    }
    for path in paths.iter().filter(|path| **path != "netkit" || missing.is_none()) {
        for workload in workloads {
            let cells = items(&results["cells"]);
            let is_it = |cell: &&Value| cell["workload"] == *workload && cell["path"] == *path;
            let cell = cells.iter().find(is_it);
            if REFUSED.contains(&(path, workload)) {
                assert!(cell.is_none(), "{workload} {path} has a cell");
                let reason = reason(results, path, &(*workload).into());
                assert!(reason.is_some_and(|it| !it.is_empty()), "{workload} {path}: {results}");
                continue;
            }
            let measured = items(&cell.expect("has a cell")["rounds"]);
            assert_eq!(measured.len(), rounds, "{workload} {path}: {}", results["unavailable"]);
            for round in measured {
                assert!(round["operations"].as_u64() > Some(0), "{workload} {path}: {round}");
                assert!(round["bytes"].as_u64() > Some(0), "{workload} {path}: {round}");
                assert!(round["elapsed_ns"].as_u64() > Some(0), "{workload} {path}: {round}");
                assert!(round["value"].as_f64() > Some(0.0), "{workload} {path}: {round}");
            }
            assert!(row(output, workload, path)["median"].as_f64() > Some(0.0));
        }
    }
    // Nothing is given up that these tests do not know of.
    for refused in items(&results["unavailable"]) {
        let name = |key: &str| refused[key].as_str().unwrap_or_default();
        let is_known = REFUSED.contains(&(name("path"), name("workload")));
        assert!(is_known || refused["path"] == "netkit", "{refused}");
    }
}

/// Why a path cannot be measured with a workload.
fn reason<'a>(results: &'a Value, path: &str, workload: &Value) -> Option<&'a str> {
    let refused = items(&results["unavailable"]);
    let is_it = |it: &&Value| it["path"] == path && it["workload"] == *workload;
    refused.iter().find(is_it).and_then(|it| it["reason"].as_str())
}

fn assert_all_measured(more: &[&str]) {
    let sandbox = Lab::new();
    let (paths, workloads) = (PATHS.join(","), WORKLOADS.join(","));
    let chosen = ["--paths", &paths, "--workloads", &workloads];
    let output = measure(&sandbox, &[&chosen, &SHORT, more].concat());
    assert_complete(&output, &PATHS, &WORKLOADS, 2);
}

#[test]
#[ignore = "needs root"]
fn every_path_carries_every_workload_over_ipv4() {
    assert_all_measured(&[]);
}

#[test]
#[ignore = "needs root"]
fn every_path_carries_every_workload_over_ipv6() {
    assert_all_measured(&["--ipv6"]);
}

#[test]
#[ignore = "needs root"]
fn watched_paths_are_watched_while_they_are_measured() {
    const WATCHED: [&str; 4] = ["tc", "pairs", "captured", "scraped"];
    let sandbox = Lab::new();
    let paths = WATCHED.join(",");
    let chosen = ["--paths", &paths, "--workloads", "udp_rr,frames"];
    let output = measure(&sandbox, &[&chosen[..], &SHORT].concat());
    assert_complete(&output, &WATCHED, &["udp_rr", "frames"], 2);
    let [captured] = items(&output["results"]["captured"]) else { panic!("{output}") };
    assert_eq!((&captured["path"], &captured["ports"]), (&"captured".into(), &Value::Null));
    // All that was counted there was captured, or found no room.
    let of_path = |cell: &&Value| cell["path"] == "captured";
    let cells = items(&output["results"]["cells"]).iter().filter(of_path);
    let rounds = cells.flat_map(|cell| items(&cell["rounds"]));
    let counted: u64 = rounds.filter_map(|round| round["operations"].as_u64()).sum();
    assert!(captured["frames"].as_u64() >= Some(counted), "{captured}, and {counted} were counted");
    assert!(captured["lost"].as_u64() < captured["frames"].as_u64(), "{captured}");
}

#[test]
#[ignore = "needs root"]
fn ends_are_on_the_cpus_that_were_asked_for() {
    let sandbox = Lab::new();
    let workloads = ["tcp_stream", "udp_rr", "udp_pps", "latency_load", "frames"];
    let list = workloads.join(",");
    let chosen = ["--paths", "direct,tc", "--workloads", &list];
    let run = |cpus: &str| {
        let output = measure(&sandbox, &[&chosen[..], &SHORT, &["--cpus", cpus]].concat());
        assert_complete(&output, &["direct", "tc"], &workloads, 2);
        let cpu = |end: &str| output["results"]["settings"][end].as_u64().expect("is a number");
        (cpu("client_cpu"), cpu("server_cpu"))
    };
    let (client, server) = run("same");
    assert_eq!(client, server);
    assert_eq!(run(&client.to_string()), (client, client));
    if thread::available_parallelism().map_or(1, usize::from) < 2 {
        return skip("bench with its ends on two CPUs: there is one");
    }
    let (client, server) = run("split");
    assert_ne!(client, server);
    assert_eq!(run(&format!("{server},{client}")), (server, client));
}

#[test]
#[ignore = "needs root"]
fn sizes_are_those_that_were_asked_for() {
    let sandbox = Lab::new();
    let chosen = ["--paths", "tc", "--workloads", "udp_pps,frames"];
    let sizes = ["--payload", "1000", "--frame", "500", "--flows", "7"];
    let output = measure(&sandbox, &[&chosen[..], &SHORT, &sizes].concat());
    for cell in items(&output["results"]["cells"]) {
        let size = if cell["workload"] == "frames" { 500 } else { 1000 };
        for round in items(&cell["rounds"]) {
            let count = |key: &str| round[key].as_u64().expect("is a number");
            assert_eq!(count("bytes"), size * count("operations"), "{cell}");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn fabrics_of_other_sizes_are_measured_as_well() {
    let sandbox = Lab::new();
    let args = ["--paths", "direct,bridge,tc", "--workloads", "udp_rr", "--ports", "2,16"];
    let file = sandbox.file_path("ports.json");
    let output = measure(&sandbox, &[&args[..], &SHORT, &["--save", &file]].concat());
    let mut found: Vec<_> = items(&output["results"]["cells"])
        .iter()
        .filter(|cell| !cell["ports"].is_null())
        .map(|cell| {
            assert_eq!(items(&cell["rounds"]).len(), 2, "{cell}");
            let text = |key: &str| cell[key].as_str().expect("is text");
            (text("workload"), text("path"), cell["ports"].as_u64().expect("is a number"))
        })
        .collect();
    found.sort_unstable();
    // A path that is no fabric has no ports.
    let mut expected = Vec::new();
    for workload in ["frames", "udp_rr"] {
        for path in ["bridge", "tc"] {
            expected.extend([2, 16].map(|ports| (workload, path, ports)));
        }
    }
    assert_eq!(found, expected);

    let table = super::bench(&sandbox, &["show", &file]).ok().stdout;
    for title in ["udp_rr: cost per transaction against port count", "frames: cost per frame"] {
        assert!(table.contains(title), "{title}: {table}");
    }
}
