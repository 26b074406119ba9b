//! The counters as `stats` shows them.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use veth_common::Verdict;

use super::{
    example,
    talk::{end, exchange_streams, is_reachable, send_datagrams},
};
use crate::sandbox::Sandbox;

#[test]
#[ignore = "needs root"]
fn json_has_every_verdict_of_every_port() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    let stats = sandbox.stats("lab");
    let keys = |value: &Value| {
        value.as_object().expect("is an object").keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(sorted(keys(&stats)), ["datapath", "fabric", "ports"]);
    assert_eq!((&stats["fabric"], &stats["datapath"]), (&"lab".into(), &"tc".into()));
    let ports = stats["ports"].as_array().expect("is a list");
    assert_eq!(ports.len(), 2);
    for (port, name) in ports.iter().zip(["red", "blue"]) {
        assert_eq!(sorted(keys(port)), ["dropped", "ifindex", "name", "netns", "verdicts"]);
        assert_eq!(port["dropped"], serde_json::json!({ "arriving": 0, "leaving": 0 }));
        assert_eq!((&port["name"], &port["netns"]), (&name.into(), &name.into()));
        let ifindex = sandbox.sh(&format!("ip -o link show dev {name} | cut -d: -f1"));
        assert_eq!(port["ifindex"].as_u64(), ifindex.trim().parse().ok());
        let names = Verdict::ALL.map(|verdict| verdict.name().to_owned()).to_vec();
        assert_eq!(sorted(keys(&port["verdicts"])), sorted(names));
        for counter in port["verdicts"].as_object().expect("is an object").values() {
            assert_eq!(sorted(keys(counter)), ["bytes", "frames", "segments"]);
            assert!(keys(counter).iter().all(|key| counter[key].is_u64()), "{counter}");
        }
    }
    sandbox.down("lab");
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[test]
#[ignore = "needs root"]
fn totals_never_go_down() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    let (red, blue) = (end("red", "10.77.0.1"), end("blue", "10.77.0.2"));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..4 {
                exchange_streams(&sandbox, red, blue, 4 << 20);
                send_datagrams(&sandbox, blue, red, 100, 200);
            }
            // A second `up` does not start them anew.
            sandbox.veth(&["up", example!("pair")]).ok();
            assert!(is_reachable(&sandbox, red, blue));
            done.store(true, Ordering::Relaxed);
        });
        let mut before = counters(&sandbox.stats("lab"));
        while !done.load(Ordering::Relaxed) {
            let after = counters(&sandbox.stats("lab"));
            for ((name, after), (_, before)) in after.iter().zip(&before) {
                assert!(after >= before, "{name}: {before} became {after}");
            }
            before = after;
        }
    });
    sandbox.down("lab");
}

/// Every number in the output, with its place.
fn counters(stats: &Value) -> Vec<(String, u64)> {
    let mut all = Vec::new();
    for port in stats["ports"].as_array().expect("is a list") {
        for verdict in Verdict::ALL {
            for field in ["frames", "bytes", "segments"] {
                let value = port["verdicts"][verdict.name()][field].as_u64();
                let place = format!("{} {} {field}", port["name"], verdict.name());
                all.push((place, value.expect("is a number")));
            }
        }
    }
    all
}

#[test]
#[ignore = "needs root"]
fn port_that_takes_the_place_of_another_has_no_frames_of_that_one() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    let (red, blue) = (end("red", "10.77.0.1"), end("blue", "10.77.0.2"));
    send_datagrams(&sandbox, blue, red, 100, 50);
    assert!(sandbox.counter("lab", "blue", "redirected").0 >= 50);
    let slot = "ip -d link show dev DEV | grep -o 'port_no 0x[0-9a-f]*'";
    let before = sandbox.sh(&slot.replace("DEV", "blue"));
    sandbox.sh(
        "ip link del blue && ip netns add other && \
         ip link add other type veth peer name eth0 netns other && ip link set other master lab up",
    );
    assert_eq!(sandbox.sh(&slot.replace("DEV", "other")), before, "not the same place");
    // Nobody has told the datapath of it.
    assert_eq!(sandbox.counter("lab", "other", "redirected").0, 0);
    let text = sandbox.veth(&["stats", "lab"]).ok().stdout;
    assert!(!text.contains("blue"), "{text}");
    sandbox.sh("ip link del other; ip netns del other");
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn watch_of_a_fabric_that_goes_and_comes_says_that_it_counts_anew() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    let (red, blue) = (end("red", "10.77.0.1"), end("blue", "10.77.0.2"));
    send_datagrams(&sandbox, red, blue, 100, 50);
    let mut watch = sandbox.start(&["stats", "lab", "--watch", "0.3"]);
    assert!(watch.line().contains("FRAMES/S"));
    watch.signal(Signal::SIGSTOP);
    sandbox.down("lab");
    sandbox.veth(&["up", example!("pair")]).ok();
    send_datagrams(&sandbox, red, blue, 100, 50);
    watch.signal(Signal::SIGCONT);
    let anew = (0..100).find(|_| {
        let line = watch.line();
        line.trim_start().starts_with("red ") && line.contains("(counts anew)")
    });
    assert!(anew.is_some(), "it still reads what is gone");
    // And when it does not come back, that is said.
    sandbox.down("lab");
    watch.wait().fails(1, "lab");
}

#[test]
#[ignore = "needs root"]
fn watch_prints_a_line_of_json_per_interval_until_it_is_interrupted() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    let mut child = sandbox
        .veth_command(&["stats", "lab", "--watch", "0.2", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("veth starts");
    let mut lines = BufReader::new(child.stdout.take().expect("is piped")).lines();
    let mut before = 0;
    for _ in 0..4 {
        let (red, blue) = (end("red", "10.77.0.1"), end("blue", "10.77.0.2"));
        send_datagrams(&sandbox, red, blue, 100, 50);
        let line = lines.next().expect("there is another line").expect("is readable");
        let stats: Value = serde_json::from_str(&line).expect("each line is JSON");
        let after = crate::sandbox::counter_in(&stats, "red", "redirected").0;
        assert!(after >= before);
        before = after;
    }
    assert!(before >= 50, "the lines are of one moment");
    let id = i32::try_from(child.id()).expect("is a process id");
    kill(Pid::from_raw(id), Signal::SIGINT).expect("can be interrupted");
    assert!(child.wait().expect("has ended").success());

    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn watch_for_people_shows_rates_by_port() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    let script =
        format!("timeout -s INT 1 {} stats lab --watch 0.2 || true", env!("CARGO_BIN_EXE_veth"));
    let text = sandbox.sh(&script);
    let first_words: Vec<&str> =
        text.lines().filter_map(|line| line.split_whitespace().next()).take(3).collect();
    assert_eq!(first_words, ["PORT", "red", "blue"], "{text}");
    assert!(text.contains("FRAMES/S"), "{text}");
    assert!(!text.contains('\x1b'), "no terminal, no escapes: {text:?}");
    sandbox.down("lab");
}
