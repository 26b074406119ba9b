//! `veth explain`: what it says of a frame is what becomes of that frame, and nobody notices that it was
//! asked.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use serde_json::Value;
use veth_common::{Counter, FdbEntry, FdbFlags, Lease, Mac, Verdict};

use crate::{
    adopt::lab::attached,
    capture,
    sandbox::{Run, VETH, wait_until},
    sync::lab::{Agent, Lab, blue, green, red},
    traffic::{
        frames::bypass_netfilter,
        over_both_fast_paths,
        talk::{end, exchange_streams, mac, silence_ipv6},
        totals::verdicts,
        wire::{EXPERIMENTAL, Wire, frame, ipv4_packet},
    },
};

over_both_fast_paths! {
    explained_verdict_of_a_fabric_is_the_one_that_is_counted
    what_changes_at_ports_is_explained_as_it_is_counted
    address_is_looked_up_as_the_sender_would
}

const MEMBERS: [&str; 3] = ["red", "blue", "green"];

/// Everything of the maps that asking could change.
#[derive(Debug, PartialEq)]
struct Traces {
    counters: BTreeMap<&'static str, BTreeMap<Verdict, Counter>>,
    stations: BTreeMap<&'static str, Option<FdbEntry>>,
    pins: String,
}

fn traces(lab: &Lab) -> Traces {
    let stats = lab.sandbox.stats("lab");
    Traces {
        counters: MEMBERS.map(|member| (member, verdicts(&stats, member))).into(),
        stations: MEMBERS.map(|member| (member, lab.maps.station(lab.mac(member)))).into(),
        pins: lab.sandbox.sh("find /sys/fs/bpf/veth | sort"),
    }
}

fn hex(frame: &[u8]) -> String {
    frame.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What is said of a frame from red.
#[track_caller]
fn explain(lab: &Lab, frame: &[u8]) -> Value {
    let arguments = ["explain", "lab", "--from", "red", "--hex", &hex(frame), "--json"];
    let mut output = lab.sandbox.veth(&arguments).ok().json();
    assert_eq!(output["is_attached_program"], true, "{output}");
    output["frames"][0].take()
}

/// Asks what becomes of a frame from red, then sends it. Returns what was said.
#[track_caller]
fn check(lab: &Lab, wire: &Wire, what: &str, frame: &[u8], verdict: Verdict) -> Value {
    let before = traces(lab);
    let said = explain(lab, frame);
    let after = traces(lab);
    assert_eq!(before, after, "{what}: asking leaves a trace");
    check_said(lab, wire, what, frame, verdict, said)
}

/// Compares what was `said` of a frame with what happens to it.
#[track_caller]
fn check_said(
    lab: &Lab,
    wire: &Wire,
    what: &str,
    frame: &[u8],
    verdict: Verdict,
    said: Value,
) -> Value {
    assert_eq!(said["verdict"], verdict.name(), "{what}: {said}");
    let steps = said["steps"].as_array().expect("there are steps");
    let last = steps.last().expect("there is a step");
    assert_eq!(last["passed"], verdict.is_fast(), "{what}: {said}");
    let before = verdicts(&lab.sandbox.stats("lab"), "red");
    wire.send(frame);
    let mut moved = Vec::new();
    wait_until("the frame to be counted", || {
        let now = verdicts(&lab.sandbox.stats("lab"), "red");
        let frames = |counters: &BTreeMap<Verdict, Counter>, it| {
            counters.get(&it).map_or(0, |counter| counter.frames)
        };
        moved = Verdict::ALL
            .into_iter()
            .filter(|it| frames(&now, *it) > frames(&before, *it))
            .collect();
        !moved.is_empty()
    });
    assert_eq!(moved, [verdict], "{what}: {said}");
    said
}

/// Nobody but the test sends anything.
fn quiet(lab: &Lab) -> Wire {
    silence_ipv6(&lab.sandbox, &MEMBERS);
    lab.sandbox.on_host(bypass_netfilter);
    Wire::of(&lab.sandbox, "red")
}

/// Frames whose verdicts a bridge in its usual state gives.
fn usual(lab: &Lab) -> Vec<(&'static str, Vec<u8>, Verdict)> {
    let [red, blue, green] = MEMBERS.map(|member| lab.mac(member));
    let (bridge, stranger) = (mac(&lab.sandbox, None, "lab"), Mac([2, 0x99, 0, 0, 0, 1]));
    let experiment = |to, from| frame(to, from, EXPERIMENTAL, &[0x5a; 46]);
    let packet = |packet: &[u8]| frame(blue, red, 0x0800, packet);
    let mut version_6 = ipv4_packet(60);
    version_6[0] = 0x65;
    vec![
        ("known", experiment(blue, red), Verdict::Redirected),
        ("IPv4", packet(&ipv4_packet(100)), Verdict::Redirected),
        ("to nobody known", experiment(stranger, red), Verdict::DestinationUnknown),
        ("to everybody", experiment(Mac::BROADCAST, red), Verdict::Broadcast),
        ("to a group", experiment(Mac([3, 0, 0, 0, 0, 1]), red), Verdict::Multicast),
        ("to the bridge", experiment(bridge, red), Verdict::DestinationLocal),
        ("to itself", experiment(red, red), Verdict::SamePort),
        ("from no address", experiment(blue, Mac([0; 6])), Verdict::SourceInvalid),
        ("IPv4 with version 6", packet(&version_6), Verdict::Malformed),
        ("IPv4 cut in the header", packet(&ipv4_packet(60)[..19]), Verdict::Truncated),
        ("tagged", frame(blue, red, 0x8100, &[0, 5, 0x88, 0xb5, 1, 2, 3, 4]), Verdict::VlanTagged),
        // Last, because it may move a station.
        ("from another port's station", experiment(blue, green), Verdict::SourceMoved),
    ]
}

fn explained_verdict_of_a_fabric_is_the_one_that_is_counted(datapath: &str) {
    let lab = Lab::over(datapath);
    let wire = quiet(&lab);
    for (what, frame, verdict) in usual(&lab) {
        let said = check(&lab, &wire, what, &frame, verdict);
        if verdict != Verdict::Truncated {
            assert_eq!(said["decided_by"], "program", "{what}: {said}");
        }
    }
    drop(wire);
    lab.down();
}

fn what_changes_at_ports_is_explained_as_it_is_counted(datapath: &str) {
    let lab = Lab::over(datapath);
    let wire = quiet(&lab);
    let (red, blue) = (lab.mac("red"), lab.mac("blue"));
    let experiment = frame(blue, red, EXPERIMENTAL, &[0x5a; 46]);
    let is_isolated = |mac| {
        let entry = lab.maps.station(mac);
        entry.is_some_and(|it| it.flags.contains(FdbFlags::ISOLATED))
    };

    lab.follow(
        "isolated",
        "bridge link set dev red isolated on && bridge link set dev blue isolated on",
        |_| is_isolated(red) && is_isolated(blue),
    );
    let said = check(&lab, &wire, "isolated", &experiment, Verdict::Isolated);
    assert_eq!(said["in_the_way"][0]["remedy"], "bridge link set dev red isolated off", "{said}");
    lab.follow("not isolated", "bridge link set dev red isolated off", |_| !is_isolated(red));
    check(&lab, &wire, "one is isolated", &experiment, Verdict::Redirected);

    lab.follow("small MTU", "ip -n blue link set eth0 mtu 1400", |maps| {
        maps.station(blue).is_some_and(|it| it.mtu_bytes == 1400)
    });
    let packet = |length| frame(blue, red, 0x0800, &ipv4_packet(length));
    check(&lab, &wire, "fits", &packet(1400), Verdict::Redirected);
    let said = check(&lab, &wire, "too big", &packet(1401), Verdict::TooBig);
    assert!(said.to_string().contains("MTU of 1400"), "{said}");

    for (port, verdict) in
        [("blue", Verdict::DestinationIneligible), ("red", Verdict::PortIneligible)]
    {
        let station = lab.mac(port);
        let lock = format!("bridge link set dev {port} locked on");
        lab.follow("locked", &lock, |maps| maps.leaves_alone(station));
        let said = check(&lab, &wire, "locked", &experiment, verdict);
        let obstacle = &said["in_the_way"][0];
        assert_eq!(obstacle["port"], port, "{said}");
        assert!(obstacle["text"].as_str().is_some_and(|it| it.contains("locked")), "{said}");
        let remedy = obstacle["remedy"].as_str().unwrap_or_default();
        assert!(remedy.contains(&format!("dev {port} locked off")), "{said}");
        lab.sandbox.sh(&format!("bridge link set dev {port} locked off"));
        let ifindex = lab.port(port);
        wait_until("the port to be served again", || lab.maps.serves(station, ifindex));
    }
    drop(wire);
    lab.down();
}

/// The frame that `--to` was about, and the sentence about how it came to be.
#[track_caller]
fn explain_to(lab: &Lab, to: &str) -> (Value, String) {
    let arguments = ["explain", "lab", "--from", "red", "--to", to, "--json"];
    let output = lab.sandbox.veth(&arguments).ok().json();
    let note = output["note"].as_str().expect("says how").to_owned();
    (output["frames"][0].clone(), note)
}

fn address_is_looked_up_as_the_sender_would(datapath: &str) {
    let lab = Lab::over(datapath);
    lab.sandbox.sh("ip -n red neigh flush all");
    let (said, note) = explain_to(&lab, "10.77.0.2");
    assert_eq!(said["verdict"], "broadcast", "{said}");
    assert!(note.contains("does not know the MAC address of 10.77.0.2"), "{note}");
    let (said, note) = explain_to(&lab, "fd77::2");
    assert_eq!(said["verdict"], "multicast", "{note}: {said}");

    let (said, note) = explain_to(&lab, "10.77.0.255");
    assert_eq!(said["verdict"], "broadcast", "{note}: {said}");
    assert!(note.contains("is everybody in the sender's subnet"), "{note}");

    lab.expect_fast(red(), blue());
    let (said, note) = explain_to(&lab, "10.77.0.2");
    assert_eq!(said["verdict"], "redirected", "{note}: {said}");
    assert!(note.contains(&lab.mac("blue").to_string()), "{note}");

    // The only way out of the subnet.
    lab.sandbox.sh("ip -n red route add 192.0.2.0/24 via 10.77.0.2");
    let (said, note) = explain_to(&lab, "192.0.2.1");
    assert_eq!(said["verdict"], "redirected", "{note}: {said}");
    assert!(note.contains("through the router 10.77.0.2"), "{note}");

    let to_mac = lab.mac("blue").to_string();
    let text = lab.sandbox.veth(&["explain", "--from", "red", "--to-mac", &to_mac]).ok().stdout;
    assert!(text.contains("  1. ok  port red may use the fast path"), "{text}");
    assert!(text.contains("\nredirected: "), "{text}");
    assert!(!text.contains('\x1b'), "coloured for a pipe: {text}");

    for (arguments, why) in [
        (["--from", "red", "--to", "10.77.0.1"], "own address"),
        (["--from", "red", "--to", "203.0.113.1"], "no route"),
        (["--from", "nobody", "--to", "10.77.0.2"], "nobody"),
        (["--from", "red", "--to-mac", "1:2:3:4:5:6"], "--to-mac"),
        (["--from", "red", "--hex", "abc"], "half a byte"),
        (["--from", "red", "--pcap", "/nonexistent"], "/nonexistent"),
    ] {
        lab.sandbox.veth(&[&["explain", "lab"], &arguments[..]].concat()).fails(2, why);
    }
    lab.sandbox.veth(&["explain", "lab", "--from", "red"]).fails(2, "--to");
    lab.sandbox.veth(&["explain", "nolab", "--from", "red", "--hex", "00"]).fails(1, "nolab");
    lab.down();
}

/// Frames that went over a wire are explained from a capture of them.
#[test]
#[ignore = "needs root"]
fn capture_is_explained_frame_by_frame() {
    let lab = Lab::up();
    let wire = quiet(&lab);
    let (red, blue) = (lab.mac("red"), lab.mac("blue"));
    let path = lab.sandbox.file_path("red.pcap");
    let mut capture = lab.sandbox.command("ip");
    capture
        .args(["netns", "exec", "red", "tcpdump", "-Z", "root", "-i", "eth0", "-U", "-w", &path]);
    capture.args(["-c", "2", "--immediate-mode", "ether", "proto", "0x88b5"]);
    let mut capture = capture.stderr(std::process::Stdio::null()).spawn().expect("tcpdump starts");
    let to = |mac| frame(mac, red, EXPERIMENTAL, &[0x5a; 46]);
    let letters = [to(blue), to(Mac::BROADCAST)];
    wait_until("the capture to end", || {
        // It may not listen yet.
        for letter in &letters {
            wire.send(letter);
        }
        capture.try_wait().expect("can be looked at").is_some()
    });
    let explain = |count| {
        let arguments = ["explain", "lab", "--from", "red", "--pcap", &path, "--count", count];
        lab.sandbox.veth(&[&arguments[..], &["--json"]].concat())
    };
    let said: Run = explain("10").ok();
    let verdicts: Vec<Value> = said.json()["frames"]
        .as_array()
        .expect("are frames")
        .iter()
        .map(|frame| frame["verdict"].clone())
        .collect();
    let mut sorted: Vec<&str> = verdicts.iter().filter_map(Value::as_str).collect();
    sorted.sort_unstable();
    assert_eq!(sorted, ["broadcast", "redirected"]);
    assert_eq!(explain("1").ok().json()["frames"].as_array().map(Vec::len), Some(1));
    drop(wire);
    lab.down();
}

/// Frames that the datapath has captured, GSO frames among them, are explained as they were counted.
#[test]
#[ignore = "needs root"]
fn own_capture_is_explained_as_it_was_counted() {
    let lab = Lab::up();
    // Green is to say nothing.
    silence_ipv6(&lab.sandbox, &MEMBERS);
    let path = lab.sandbox.file_path("all.pcapng");
    let capture = capture::start(&lab.sandbox, &[], &path);
    lab.sandbox.sh("ip -n red neigh flush all");
    exchange_streams(&lab.sandbox, end("red", "10.77.0.1"), end("blue", "10.77.0.2"), 1 << 20);
    capture::stop(capture);

    let explain = |more: &[&str]| {
        let arguments = [&["explain", "lab", "--count", "10000", "--json"], more].concat();
        let said = lab.sandbox.veth(&arguments).ok().json();
        said["frames"].as_array().expect("are frames").clone()
    };
    let frames = explain(&["--pcap", &path]);
    for frame in &frames {
        assert_eq!(frame["verdict"], frame["captured_verdict"], "{frame}");
        assert_eq!(frame.get("note"), None, "{frame}");
    }
    let of = |port: &str| frames.iter().filter(|it| it["from"] == port).count();
    assert!(of("red") > 0 && of("blue") > 0, "{} and {}", of("red"), of("blue"));
    assert!(frames.iter().any(|it| it["verdict"] == "broadcast"), "red asks for blue");
    let is_gso = |it: &&Value| it["bytes"].as_u64() > Some(1514) && it["verdict"] == "redirected";
    let gso = frames.iter().find(is_gso).expect("there is a GSO frame");
    assert!(gso["steps"].to_string().contains("each segment (payload"), "{gso}");
    assert_eq!(explain(&["--pcap", &path, "--from", "blue"]).len(), of("blue"));

    let said =
        |script: &str| lab.sandbox.sh(&format!("{VETH} explain lab --count 10000 --pcap {script}"));
    assert!(said(&format!("- < {path}")).starts_with("frame 1, from "));
    let cut = lab.sandbox.file_path("cut.pcapng");
    lab.sandbox.sh(&format!("head -c -150 {path} > {cut}"));
    let text = said(&cut);
    assert!(text.lines().next().is_some_and(|it| it.contains("ends within a frame")), "{text}");

    // What says less: a file without interfaces, and one of another fabric.
    let plain = lab.sandbox.file_path("plain.pcap");
    lab.sandbox.sh(&format!("tcpdump -r {path} -w {plain} tcp 2>/dev/null"));
    let ask = |path: &str, more: &[&str]| {
        lab.sandbox.veth(&[&["explain", "lab", "--pcap", path, "--count", "10000"], more].concat())
    };
    ask(&plain, &[]).fails(2, "do not say from which port");
    let text = ask(&plain, &["--from", "red"]).ok().stdout;
    assert!(text.contains("may be a GSO frame"), "{text}");
    ask(&path, &["--from", "green"]).fails(2, "has no frame from port green");
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn adopted_bridge_is_explained_with_its_leases() {
    let mut lab = attached();
    let wire = quiet(&lab);
    lab.expect_fast(red(), blue());
    lab.expect_fast(red(), green());
    // Nobody asks again whether a neighbour is still there.
    for member in MEMBERS {
        lab.sandbox.sh(&format!("ip -n {member} neigh flush all"));
    }
    let (mac_of_red, mac_of_blue) = (lab.mac("red"), lab.mac("blue"));
    for (what, frame, verdict) in usual(&lab) {
        if verdict == Verdict::SourceMoved {
            // The program takes a lease back for this one. Nobody may write it anew meanwhile.
            lab.agent.signal(Signal::SIGSTOP);
            check(&lab, &wire, what, &frame, verdict);
            let green = lab.maps.station(lab.mac("green")).expect("is known");
            assert_eq!(green.lease, Lease::EXPIRED, "{what}: sending it takes the lease back");
            lab.agent.signal(Signal::SIGCONT);
            continue;
        }
        // The agent renews leases all the time, so that only counters can be compared here.
        let before = traces(&lab).counters;
        let said = explain(&lab, &frame);
        assert_eq!(before, traces(&lab).counters, "{what}: asking leaves a trace");
        check_said(&lab, &wire, what, &frame, verdict, said);
    }

    lab.agent.kill();
    let letter = frame(mac_of_blue, mac_of_red, EXPERIMENTAL, &[0x5a; 46]);
    wait_until("the leases to end", || explain(&lab, &letter)["verdict"] == "source_expired");
    let said = check(&lab, &wire, "expired", &letter, Verdict::SourceExpired);
    assert!(said["steps"].to_string().contains("nobody renewed it"), "{said}");
    let obstacles = said["in_the_way"].as_array().expect("is a list");
    assert!(obstacles.iter().any(|it| it["remedy"] == "veth agent lab"), "{said}");

    lab.agent = Agent::start(&lab.sandbox);
    let said = explain(&lab, &letter);
    check_said(&lab, &wire, "renewed", &letter, Verdict::Redirected, said);
    lab.sandbox.veth(&["detach", "lab"]).ok();
}
