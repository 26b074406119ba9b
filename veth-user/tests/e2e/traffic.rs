//! Traffic through a fabric: what takes the fast path, what does not, and that either way it is
//! what the bridge alone would have delivered.

mod delivery;
pub(crate) mod flow;
pub(crate) mod frames;
mod many;
mod pairs;
mod stats;
pub(crate) mod talk;
pub(crate) mod totals;
pub(crate) mod wire;

use std::os::fd::AsFd as _;

use nix::sys::socket::{setsockopt, sockopt};
use veth_common::{Counter, Mac, Verdict};

use crate::sandbox::Sandbox;
use talk::{end, exchange_streams, introduce, mac, send_datagrams, silence_ipv6};
use totals::Totals;
use wire::{EXPERIMENTAL, Wire, frame, ipv4_packet};

/// Path of an example.
macro_rules! example {
    ($name:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/", $name, ".toml")
    };
}
pub(crate) use example;

/// Makes two tests of each function: it is given the name of one fast path, then of the other.
macro_rules! over_both_fast_paths {
    ($($test:ident)+) => { $(
        mod $test {
            #[test]
            #[ignore = "needs root"]
            fn tc() {
                super::$test("tc");
            }

            #[test]
            #[ignore = "needs root"]
            fn xdp() {
                super::$test("xdp");
            }
        }
    )+ };
}
pub(crate) use over_both_fast_paths;

over_both_fast_paths! {
    ipv6_datagrams_are_redirected_one_by_one
    datagrams_in_one_gso_frame_count_as_segments
    every_frame_has_one_verdict
}

const ETHERNET_IPV4_UDP: u64 = 14 + 20 + 8;
const ETHERNET_IPV6_UDP: u64 = 14 + 40 + 8;

/// Frames that are counted once each: none of them is a GSO frame.
fn plain(frames: u64, bytes: u64) -> Counter {
    Counter { frames, bytes, segments: frames }
}

#[test]
#[ignore = "needs root"]
fn frames_skip_the_bridge_through_tcx() {
    frames_skip_the_bridge(&["--hook", "tcx"]);
}

#[test]
#[ignore = "needs root"]
fn frames_skip_the_bridge_through_clsact() {
    frames_skip_the_bridge(&["--hook", "clsact"]);
}

#[test]
#[ignore = "needs root"]
fn frames_skip_the_bridge_through_xdp() {
    frames_skip_the_bridge(&["--datapath", "xdp"]);
}

fn frames_skip_the_bridge(options: &[&str]) {
    const DATAGRAMS: u64 = 500;
    const PAYLOAD: usize = 100;
    let sandbox = Sandbox::new();
    sandbox.veth(&[&["up", example!("pair")], options].concat()).ok();
    let datapath = if options.contains(&"xdp") { "xdp" } else { "tc" };
    silence_ipv6(&sandbox, &["red", "blue"]);
    let (red, blue) = (end("red", "10.77.0.1"), end("blue", "10.77.0.2"));
    introduce(&sandbox, &[red, blue]);

    let before = Totals::settled(&sandbox, "lab", ["red", "blue"]);
    send_datagrams(&sandbox, red, blue, PAYLOAD, DATAGRAMS);
    let after = Totals::settled(&sandbox, "lab", ["red", "blue"]);

    let bytes = DATAGRAMS * (PAYLOAD as u64 + ETHERNET_IPV4_UDP);
    let (from_red, from_blue) = (after[0].since(&before[0]), after[1].since(&before[1]));
    assert_eq!(from_red.verdicts, [(Verdict::Redirected, plain(DATAGRAMS, bytes))].into());
    assert_eq!(from_red.sent_over(datapath), (DATAGRAMS, bytes));
    assert_eq!(from_blue.verdicts, [].into());
    assert_bridge_sent_nothing(datapath, [&from_red, &from_blue]);

    let before = after;
    exchange_streams(&sandbox, red, blue, 2 << 20);
    let after = Totals::settled(&sandbox, "lab", ["red", "blue"]);

    let added = [0, 1].map(|member| after[member].since(&before[member]));
    for added in &added {
        assert_eq!(added.verdicts.keys().collect::<Vec<_>>(), [&Verdict::Redirected]);
        let redirected = added.of(Verdict::Redirected);
        assert_eq!((redirected.frames, redirected.bytes), added.sent_over(datapath));
        // The interface counts a GSO frame as one; TCP itself counts what a wire would carry.
        if datapath == "tc" {
            assert_eq!(redirected.segments, added.tcp_segments);
            assert!(redirected.segments > redirected.frames, "there was no GSO frame to count");
        } else {
            // The queue of a port that polls may be full when segments come one by one.
            assert!(redirected.segments <= added.tcp_segments, "{redirected:?}");
            assert_eq!(redirected.segments, redirected.frames);
        }
    }
    assert_bridge_sent_nothing(datapath, added.each_ref());

    sandbox.down("lab");
}

/// Of two members who talked to each other only.
#[track_caller]
fn assert_bridge_sent_nothing(datapath: &str, [one, other]: [&Totals; 2]) {
    for (to, from) in [(one, other), (other, one)] {
        // The peer of a port is handed frames by the helper; the devmap sends them through the port.
        let handed = if datapath == "xdp" { from.of(Verdict::Redirected).frames } else { 0 };
        let handed = i64::try_from(handed).expect("not that many");
        assert_eq!(to.bridged, handed, "the bridge sent something");
    }
}

fn ipv6_datagrams_are_redirected_one_by_one(datapath: &str) {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair"), "--datapath", datapath]).ok();
    let (red, blue) = (end("red", "fd77::1"), end("blue", "fd77::2"));
    introduce(&sandbox, &[red, blue]);
    // Neighbour discovery and listener reports are multicast; unicast is what the test sends.
    let before = sandbox.counter("lab", "red", "redirected");
    send_datagrams(&sandbox, red, blue, 100, 200);
    let after = sandbox.counter("lab", "red", "redirected");
    assert_eq!(after.0 - before.0, 200);
    assert_eq!(after.1 - before.1, 200 * (100 + ETHERNET_IPV6_UDP));
    assert_eq!(after.2 - before.2, 200);

    sandbox.down("lab");
}

fn datagrams_in_one_gso_frame_count_as_segments(datapath: &str) {
    const SEGMENT: usize = 1000;
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair"), "--datapath", datapath]).ok();
    silence_ipv6(&sandbox, &["red", "blue"]);
    let (red, blue) = (end("red", "10.77.0.1"), end("blue", "10.77.0.2"));
    introduce(&sandbox, &[red, blue]);
    let (from, to) = (red.datagrams(&sandbox), blue.datagrams(&sandbox));
    setsockopt(&from.as_fd(), sockopt::UdpGsoSegment, &1000).expect("Linux has UDP GSO");

    let [before] = Totals::settled(&sandbox, "lab", ["red"]);
    let sent = talk::contents(1, 10 * SEGMENT);
    from.send_to(&sent, to.local_addr().expect("is bound")).expect("can be sent");
    let mut received = Vec::new();
    let mut buffer = [0; 2 * SEGMENT];
    while received.len() < sent.len() {
        let length = to.recv(&mut buffer).expect("the datagram arrives");
        assert_eq!(length, SEGMENT);
        received.extend_from_slice(&buffer[..length]);
    }
    assert!(received == sent, "another text");

    let [after] = Totals::settled(&sandbox, "lab", ["red"]);
    let redirected = if datapath == "xdp" {
        plain(10, 10 * (1000 + ETHERNET_IPV4_UDP))
    } else {
        Counter { frames: 1, bytes: 10_000 + ETHERNET_IPV4_UDP, segments: 10 }
    };
    assert_eq!(after.since(&before).verdicts, [(Verdict::Redirected, redirected)].into());

    sandbox.down("lab");
}

fn every_frame_has_one_verdict(datapath: &str) {
    let sandbox = Sandbox::new();
    let trio = sandbox.file("lab.toml", TRIO);
    sandbox.veth(&["up", &trio, "--datapath", datapath]).ok();
    sandbox.sh("ip addr add 10.77.0.254/24 dev lab");
    let (red, blue) = (end("red", "10.77.0.1"), end("blue", "10.77.0.2"));

    let members = ["red", "blue", "green"];
    let before = Totals::settled(&sandbox, "lab", members);
    sandbox.sh("ip netns exec red ping -q -c 2 -i 0.1 10.77.0.254");
    // Nobody has to answer these.
    sandbox.sh("ip netns exec red ping -q -b -c 2 -i 0.1 -W 1 10.77.0.255 || true");
    sandbox.sh("ip netns exec green ping -q -c 2 -i 0.1 -W 1 -I eth0 224.0.0.1 || true");
    sandbox.sh("ip netns exec green ping -q -c 2 -i 0.1 -W 1 10.77.0.99 || true");
    send_datagrams(&sandbox, red, blue, 5000, 20);
    send_datagrams(&sandbox, end("blue", "fd77::2"), end("green", "fd77::3"), 100, 20);
    exchange_streams(&sandbox, red, blue, 1 << 20);
    exchange_streams(&sandbox, end("green", "fd77::3"), end("red", "fd77::1"), 1 << 20);
    let (red_mac, blue_mac) =
        (mac(&sandbox, Some("red"), "eth0"), mac(&sandbox, Some("blue"), "eth0"));
    let wire = Wire::of(&sandbox, "red");
    for odd in [
        frame(blue_mac, red_mac, EXPERIMENTAL, b"unknown to every stack"),
        frame(blue_mac, red_mac, EXPERIMENTAL, b""),
        frame(blue_mac, red_mac, 0x8100, &[0, 5, 8, 0, 0x45, 0, 0]),
        frame(blue_mac, red_mac, 0x0800, &[0x45, 0, 0]),
        frame(blue_mac, red_mac, 0x86dd, &ipv4_packet(60)),
        frame(Mac([2, 9, 9, 9, 9, 9]), red_mac, 0x0800, &ipv4_packet(60)),
        frame(blue_mac, Mac([2, 9, 9, 9, 9, 8]), 0x0800, &ipv4_packet(60)),
        frame(blue_mac, Mac([0; 6]), 0x0800, &ipv4_packet(60)),
        frame(red_mac, blue_mac, 0x0800, &ipv4_packet(60)),
        frame(Mac::BROADCAST, red_mac, 0x0806, &[0; 28]),
    ] {
        wire.send(&odd);
    }
    let after = Totals::settled(&sandbox, "lab", members);

    for ((now, then), member) in after.iter().zip(&before).zip(members) {
        let added = now.since(then);
        let (frames, bytes) = added.counted();
        // Before the tc hook, the kernel takes off a tag and keeps it beside the frame.
        let tag = if datapath == "tc" { 4 } else { 0 };
        let tags = tag * added.of(Verdict::VlanTagged).frames;
        let entered = added.entered_over(datapath);
        assert_eq!((frames, bytes + tags), entered, "{member}: {:?}", added.verdicts);
        assert_eq!(added.entered, added.sent, "{member}");
    }
    let from_red = after[0].since(&before[0]);
    for verdict in [
        Verdict::Redirected,
        Verdict::Broadcast,
        Verdict::DestinationLocal,
        Verdict::VlanTagged,
        Verdict::Truncated,
        Verdict::Malformed,
        Verdict::SourceUnknown,
        Verdict::SourceInvalid,
        Verdict::SourceMoved,
        Verdict::DestinationUnknown,
    ] {
        assert_ne!(from_red.of(verdict), Counter::default(), "{}", verdict.name());
    }

    sandbox.down("lab");
}

/// Three namespaces and one that only says when the others have got everything.
pub(crate) const TRIO: &str = r#"
name = "lab"

[[netns]]
name = "red"
addresses = ["10.77.0.1/24", "fd77::1/64"]

[[netns]]
name = "blue"
addresses = ["10.77.0.2/24", "fd77::2/64"]

[[netns]]
name = "green"
addresses = ["10.77.0.3/24", "fd77::3/64"]

[[netns]]
name = "grey"
addresses = ["10.77.0.4/24", "fd77::4/64"]
"#;
