//! `run`: bring up, show, compare, take down, however it ends.

use std::{
    io::{BufRead, BufReader, Read as _},
    process::{Child, ChildStderr, ChildStdout, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    sandbox::{Run, Sandbox},
    traffic::{
        example,
        talk::{end, is_reachable},
    },
};

/// `run` without an end.
struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
    /// What was read of its output so far.
    shown: String,
}

impl Running {
    /// Starts it, and waits until it says `text`.
    fn start(sandbox: &Sandbox, text: &str) -> Self {
        let mut child = sandbox
            .veth_command(&["run", example!("pair"), "--seconds", "3600"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("veth starts");
        let stdout = BufReader::new(child.stdout.take().expect("is piped"));
        let mut stderr = BufReader::new(child.stderr.take().expect("is piped"));
        read_until(&mut stderr, text);
        Self { child, stdout, stderr, shown: String::new() }
    }

    /// Waits until it has shown a table of rates.
    fn wait_for_rates(&mut self) {
        self.shown += &read_until(&mut self.stdout, "FAST PATH");
    }

    fn end_by(mut self, signal: Signal) -> Run {
        let id = i32::try_from(self.child.id()).expect("is a process id");
        kill(Pid::from_raw(id), signal).expect("it runs");
        let mut stderr = String::new();
        self.stdout.read_to_string(&mut self.shown).expect("is readable");
        self.stderr.read_to_string(&mut stderr).expect("is readable");
        let mut run = Run::from(self.child.wait_with_output().expect("it ends"));
        run.stdout = self.shown;
        run.stderr = stderr;
        run
    }
}

/// Reads lines up to one with `text` in it.
#[track_caller]
fn read_until(output: &mut impl BufRead, text: &str) -> String {
    let mut lines = String::new();
    loop {
        let before = lines.len();
        let length = output.read_line(&mut lines).expect("is readable");
        assert_ne!(length, 0, "it ended without saying {text:?}: {lines}");
        if lines[before..].contains(text) {
            return lines;
        }
    }
}

#[track_caller]
fn assert_summary(text: &str) {
    for part in ["s of live traffic:", "redirected", "FAST PATH", "TCP stream", "UDP round trips"] {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
    assert!(text.contains("medians of 5 rounds"), "{text}");
    assert!(text.ends_with("fabric lab is down; nothing is left of it\n"), "{text}");
}

#[test]
#[ignore = "needs root"]
fn run_shows_traffic_and_a_comparison_and_leaves_nothing() {
    let sandbox = Sandbox::new();
    let run = sandbox.veth(&["run", example!("pair"), "--seconds", "2"]).ok();
    assert_summary(&run.stdout);
    assert!(run.stdout.contains("PORT"), "the live view is missing: {}", run.stdout);
    assert!(!run.stdout.contains('\x1b'), "no terminal, no escapes");
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn run_through_clsact_is_the_same() {
    let sandbox = Sandbox::new();
    let args = ["run", example!("pair"), "--seconds", "1", "--hook", "clsact"];
    assert_summary(&sandbox.veth(&args).ok().stdout);
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn run_through_xdp_is_the_same() {
    let sandbox = Sandbox::new();
    let args = ["run", example!("pair"), "--seconds", "1", "--datapath", "xdp"];
    assert_summary(&sandbox.veth(&args).ok().stdout);
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn summary_in_json_has_the_figures() {
    let sandbox = Sandbox::new();
    let run = sandbox.veth(&["run", example!("pair"), "--seconds", "2", "--json"]).ok();
    let summary = run.json();
    assert_eq!(summary["fabric"], "lab");
    let rounds = summary["comparison"]["rounds"].as_array().expect("is a list");
    assert!(!rounds.is_empty());
    for path in rounds.iter().flat_map(|round| [&round["bridge"], &round["fast"]]) {
        for figure in ["stream_bits_per_second", "round_trips_per_second"] {
            assert!(path[figure].as_f64().is_some_and(|it| it > 0.0), "{path}");
        }
    }
    let live = |name: &str| summary["live"][name].as_f64().expect("is a number");
    assert!(live("redirected") > 0.0 && live("redirected") <= live("frames"));
    assert!(live("seconds") > 0.0);
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn signal_during_live_traffic_ends_it_with_a_summary() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let sandbox = Sandbox::new();
        let mut running = Running::start(&sandbox, "live traffic");
        running.wait_for_rates();
        let run = running.end_by(signal).ok();
        assert_summary(&run.stdout);
        sandbox.assert_empty();
    }
}

#[test]
#[ignore = "needs root"]
fn signal_during_the_comparison_leaves_nothing() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let sandbox = Sandbox::new();
        let run = Running::start(&sandbox, "round 2 of").end_by(signal);
        assert!([0, 130].contains(&run.code), "{run:?}");
        assert!(!run.stderr.contains("panicked"), "{run:?}");
        sandbox.assert_empty();
    }
}

#[test]
#[ignore = "needs root"]
fn fabric_that_is_up_is_refused_and_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    let (red, blue) = (end("red", "10.77.0.1"), end("blue", "10.77.0.2"));
    assert!(is_reachable(&sandbox, red, blue));
    let look = || {
        let ports: Vec<Value> = ["red", "blue"]
            .map(|port| {
                sandbox.stats("lab")["ports"].as_array().map_or(Value::Null, |ports| {
                    ports
                        .iter()
                        .find(|it| it["name"] == port)
                        .map_or(Value::Null, |it| it["ifindex"].clone())
                })
            })
            .into();
        let pins = sandbox.sh("find /sys/fs/bpf/veth | sort");
        (ports, pins, sandbox.veth(&["status", "lab", "--json"]).ok().json())
    };
    let before = look();
    sandbox.veth(&["run", example!("pair"), "--seconds", "1"]).fails(1, "lab is up already");
    assert_eq!(look(), before);
    let redirected = sandbox.counter("lab", "red", "redirected").0;
    assert!(is_reachable(&sandbox, red, blue));
    assert!(sandbox.counter("lab", "red", "redirected").0 > redirected);
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn fabric_without_a_datapath_runs_and_goes() {
    let sandbox = Sandbox::new();
    let run = sandbox.veth(&["run", example!("bridge-only"), "--seconds", "1"]).ok();
    assert!(run.stdout.contains("fabric plain is down"), "{}", run.stdout);
    let json = sandbox.veth(&["run", example!("bridge-only"), "--seconds", "1", "--json"]).ok();
    assert_eq!(json.json()["comparison"]["rounds"], Value::Array(Vec::new()));
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn topology_without_two_ends_of_a_family_is_refused_before_anything_is_made() {
    let sandbox = Sandbox::new();
    let lonely = "name = \"lab\"\n[[netns]]\nname = \"red\"\naddresses = [\"10.77.0.1/24\"]\n";
    let strangers = format!("{lonely}[[netns]]\nname = \"blue\"\naddresses = [\"fd77::2/64\"]\n");
    for text in [lonely, &strangers] {
        let file = sandbox.file("lab.toml", text);
        // The kernel numbers devices in the order in which they are made.
        let next_index = || {
            sandbox.sh("ip link add marker type bridge");
            let index = sandbox.ifindex("marker");
            sandbox.sh("ip link del marker");
            index
        };
        let before = next_index();
        sandbox.veth(&["run", &file, "--seconds", "1"]).fails(1, "run needs two namespaces");
        assert_eq!(next_index(), before + 1, "a device was made");
        sandbox.assert_empty();
    }
}

#[test]
#[ignore = "needs root"]
fn live_view_is_redrawn_in_place_on_a_terminal() {
    let sandbox = Sandbox::new();
    let line = format!("{} run {} --seconds 4", env!("CARGO_BIN_EXE_veth"), example!("pair"));
    let mut command = sandbox.command("script");
    command.args(["-qec", &line, "/dev/null"]);
    let run = Run::of(command).ok();
    // Up over the heading and two ports, and clear what was there.
    let redrawn = run.stdout.matches("\x1b[3A\x1b[J").count();
    assert!(redrawn >= 1, "{:?}", run.stdout);
    assert!(run.stdout.contains("nothing is left of it"), "{}", run.stdout);
    sandbox.assert_empty();
}
