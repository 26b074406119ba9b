//! What applications see: addresses of both families, sizes below and above the MTU, checksums.

use std::{io::ErrorKind, time::Duration};

use veth_common::{Counter, Verdict};

use super::{
    example, over_both_fast_paths,
    talk::{self, End, end, exchange_streams, introduce, mac, send_datagrams, silence_ipv6},
    totals::{Totals, protocol_counter},
    wire::{Wire, checksum, frame},
};
use crate::sandbox::Sandbox;

const FAMILIES: [[&str; 2]; 2] = [["10.77.0.1", "10.77.0.2"], ["fd77::1", "fd77::2"]];

over_both_fast_paths! {
    ping_of_both_families_is_answered_over_the_fast_path
    streams_arrive_whole_in_both_directions_at_once
    datagrams_of_every_size_arrive_whole
    fragments_take_the_fast_path_one_by_one
    jumbo_frames_take_the_fast_path_unfragmented
    receiver_still_checks_the_checksum
}

fn ends(addresses: [&'static str; 2]) -> [End<'static>; 2] {
    [end("red", addresses[0]), end("blue", addresses[1])]
}

fn ping_of_both_families_is_answered_over_the_fast_path(datapath: &str) {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair"), "--datapath", datapath]).ok();
    for [_, to] in FAMILIES {
        let before = sandbox.counter("lab", "red", "redirected").0;
        let text = sandbox.sh(&format!("ip netns exec red ping -c 3 -i 0.1 {to}"));
        assert!(text.contains(" 0% packet loss"), "{text}");
        let after = sandbox.counter("lab", "red", "redirected").0;
        assert!(after - before >= 3, "only {} requests took the fast path", after - before);
    }
    sandbox.down("lab");
}

fn streams_arrive_whole_in_both_directions_at_once(datapath: &str) {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair"), "--datapath", datapath]).ok();
    for addresses in FAMILIES {
        let before = ["red", "blue"].map(|port| sandbox.counter("lab", port, "redirected").1);
        let [red, blue] = ends(addresses);
        exchange_streams(&sandbox, red, blue, 8 << 20);
        let after = ["red", "blue"].map(|port| sandbox.counter("lab", port, "redirected").1);
        for (after, before) in after.iter().zip(before) {
            assert!(after - before >= 8 << 20, "not all of it took the fast path");
        }
    }
    for netns in ["red", "blue"] {
        assert_eq!(sandbox.inside(netns, || protocol_counter("Tcp", "InCsumErrors")), 0);
    }
    sandbox.down("lab");
}

fn datagrams_of_every_size_arrive_whole(datapath: &str) {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair"), "--datapath", datapath]).ok();
    for addresses in FAMILIES {
        let [red, blue] = ends(addresses);
        // The largest ones that fit the MTU, and the smallest that become fragments.
        for length in [0, 1, 100, 1452, 1453, 1472, 1473, 8192, 60_000] {
            send_datagrams(&sandbox, red, blue, length, 3);
        }
    }
    for netns in ["red", "blue"] {
        assert_eq!(sandbox.inside(netns, || protocol_counter("Udp", "InCsumErrors")), 0);
    }
    sandbox.down("lab");
}

fn fragments_take_the_fast_path_one_by_one(datapath: &str) {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair"), "--datapath", datapath]).ok();
    silence_ipv6(&sandbox, &["red", "blue"]);
    let [red, blue] = ends(FAMILIES[0]);
    introduce(&sandbox, &[red, blue]);

    let [before] = Totals::settled(&sandbox, "lab", ["red"]);
    send_datagrams(&sandbox, red, blue, 8192, 1);
    let [after] = Totals::settled(&sandbox, "lab", ["red"]);

    // 8 KiB and a UDP header in packets of 1480 bytes, each with a header of its own.
    let redirected = Counter { frames: 6, bytes: 8192 + 8 + 6 * 34, segments: 6 };
    assert_eq!(after.since(&before).verdicts, [(Verdict::Redirected, redirected)].into());
    sandbox.down("lab");
}

fn jumbo_frames_take_the_fast_path_unfragmented(datapath: &str) {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("jumbo"), "--datapath", datapath]).ok();
    silence_ipv6(&sandbox, &["big1", "big2"]);
    let (one, two) = (end("big1", "10.82.0.1"), end("big2", "10.82.0.2"));
    introduce(&sandbox, &[one, two]);

    let [before] = Totals::settled(&sandbox, "jumbo", ["big1"]);
    send_datagrams(&sandbox, one, two, 9000 - 28, 5);
    let [after] = Totals::settled(&sandbox, "jumbo", ["big1"]);
    let redirected = Counter { frames: 5, bytes: 5 * 9014, segments: 5 };
    assert_eq!(after.since(&before).verdicts, [(Verdict::Redirected, redirected)].into());

    exchange_streams(&sandbox, one, two, 8 << 20);
    let [last] = Totals::settled(&sandbox, "jumbo", ["big1"]);
    let streamed = last.since(&after);
    assert_eq!(streamed.verdicts.keys().collect::<Vec<_>>(), [&Verdict::Redirected]);
    assert_eq!(streamed.counted(), streamed.sent_over(datapath));

    sandbox.veth(&["down", "jumbo"]).ok();
    sandbox.assert_empty();
}

fn receiver_still_checks_the_checksum(datapath: &str) {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair"), "--datapath", datapath]).ok();
    let [red, blue] = ends(FAMILIES[0]);
    let to = blue.datagrams(&sandbox);
    let port = to.local_addr().expect("is bound").port();
    let wire = Wire::of(&sandbox, red.netns);
    let (from, into) = (mac(&sandbox, Some("red"), "eth0"), mac(&sandbox, Some("blue"), "eth0"));
    let before = sandbox.counter("lab", "red", "redirected").0;

    // Frames of a packet socket come without the mark that their checksum need not be checked.
    let good = udp_packet(port, b"as it was sent");
    let mut bad = good.clone();
    *bad.last_mut().expect("has a payload") ^= 1;
    wire.send(&frame(into, from, 0x0800, &bad));
    wire.send(&frame(into, from, 0x0800, &good));

    let mut buffer = [0; 64];
    let length = to.recv(&mut buffer).expect("the good one arrives");
    assert_eq!(&buffer[..length], b"as it was sent");
    to.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket has a timeout");
    let nothing = to.recv(&mut buffer).expect_err("the bad one does not");
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    assert_eq!(sandbox.inside("blue", || protocol_counter("Udp", "InCsumErrors")), 1);
    assert_eq!(sandbox.counter("lab", "red", "redirected").0 - before, 2);

    sandbox.down("lab");
}

/// A datagram from red to blue, with its checksums.
fn udp_packet(port: u16, payload: &[u8]) -> Vec<u8> {
    let addresses = [10, 77, 0, 1, 10, 77, 0, 2];
    let length = u16::try_from(8 + payload.len()).expect("is short").to_be_bytes();
    let mut udp =
        [&[0x30, 0x39], port.to_be_bytes().as_slice(), &length, &[0, 0], payload].concat();
    let pseudo = [addresses.as_slice(), &[0, 17], &length, &udp].concat();
    udp[6..8].copy_from_slice(&checksum(&pseudo).to_be_bytes());

    let total = u16::try_from(20 + udp.len()).expect("is short").to_be_bytes();
    let start = [0x45, 0, total[0], total[1], 0, 1, 0, 0, 64, 17, 0, 0];
    let mut packet = [start.as_slice(), &addresses].concat();
    let header = checksum(&packet).to_be_bytes();
    packet[10..12].copy_from_slice(&header);
    packet.extend(udp);
    packet
}

#[test]
#[ignore = "needs root"]
fn fabric_without_a_datapath_carries_the_same_traffic() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("bridge-only")]).ok();
    let (green, yellow) = (end("green", "10.78.0.1"), end("yellow", "10.78.0.2"));
    exchange_streams(&sandbox, green, yellow, 1 << 20);
    send_datagrams(&sandbox, end("green", "fd78::1"), end("yellow", "fd78::2"), 8192, 3);
    assert!(talk::is_reachable(&sandbox, yellow, green));
    sandbox.veth(&["stats", "plain"]).fails(1, "no datapath");
    sandbox.veth(&["down", "plain"]).ok();
    sandbox.assert_empty();
}
