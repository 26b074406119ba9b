//! Checksums as they arrive: a frame that went through XDP has all of them, because nobody after
//! the sender would fill them in.

use std::collections::BTreeMap;

use etherparse::{IpNumber, NetSlice, SlicedPacket};

use crate::{
    lifecycle::conversation::Conversation,
    sandbox::Sandbox,
    traffic::{
        example, over_both_fast_paths,
        talk::{end, mac, send_datagrams},
        wire::{EXPERIMENTAL, Wire, checksum, frame},
    },
};

over_both_fast_paths! {
    checksums_are_filled_in_before_xdp_and_left_undone_over_tc
}

const FAMILIES: [[&str; 2]; 2] = [["10.77.0.1", "10.77.0.2"], ["fd77::1", "fd77::2"]];

/// How many packets there were of a kind, and how many of them with the right checksum.
type Seen = BTreeMap<&'static str, (u64, u64)>;

/// A packet socket sees a frame as the driver hands it over. Each message is one segment and is
/// answered before the next, so nothing is merged.
fn checksums_are_filled_in_before_xdp_and_left_undone_over_tc(datapath: &str) {
    const LENGTHS: [usize; 9] = [0, 1, 2, 3, 17, 18, 19, 100, 1452];
    const MESSAGES: u64 = 50;
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair"), "--datapath", datapath]).ok();
    let [from, to] = ["red", "blue"].map(|netns| mac(&sandbox, Some(netns), "eth0"));
    let wire = Wire::of(&sandbox, "blue");
    for [red, blue] in FAMILIES {
        for length in LENGTHS {
            send_datagrams(&sandbox, end("red", red), end("blue", blue), length, 5);
        }
        let mut conversation = Conversation::between(&sandbox, "red", "blue", blue);
        for _ in 0..MESSAGES {
            conversation.go_on();
        }
        sandbox.ping("red", blue);
    }
    let last = frame(to, from, EXPERIMENTAL, b"that was all");
    Wire::of(&sandbox, "red").send(&last);
    let mut seen = Seen::new();
    for frame in wire.receive_until(&last).iter().filter(|frame| frame[6..12] == from.0) {
        judge(frame, &mut seen);
    }

    println!("over {datapath}: {seen:?}");
    let datagrams = 2 * 5 * LENGTHS.len() as u64;
    for (kind, at_least) in [("UDP", datagrams), ("TCP", 2 * MESSAGES)] {
        let (all, right) = seen[kind];
        assert!(all >= at_least, "only {all} packets of {kind} were seen");
        if datapath == "xdp" {
            assert_eq!(right, all, "{kind} with a wrong checksum");
        } else {
            // As the receiver is told, beside the frame. It also shows that wrong ones are seen.
            assert!(right < all, "somebody filled in the checksums of {kind}");
        }
    }
    for kind in ["IPv4", "ICMP", "ICMPv6"] {
        let (all, right) = seen[kind];
        assert!(all > 0 && right == all, "{kind}: {right} of {all}");
    }
    sandbox.down("lab");
}

/// Recomputes every checksum of a frame.
fn judge(frame: &[u8], seen: &mut Seen) {
    let mut count = |kind, data: &[u8]| {
        let (all, right) = seen.entry(kind).or_default();
        *all += 1;
        // What is covered by a checksum, with the checksum itself, adds up to nothing.
        *right += u64::from(checksum(data) == 0);
    };
    let packet = SlicedPacket::from_ethernet(frame).expect("our own stack sent it");
    let (addresses, payload) = match &packet.net {
        Some(NetSlice::Ipv4(ip)) => {
            count("IPv4", ip.header().slice());
            let header = ip.header();
            ([header.source(), header.destination()].concat(), ip.payload())
        }
        Some(NetSlice::Ipv6(ip)) => {
            let header = ip.header();
            ([header.source(), header.destination()].concat(), ip.payload())
        }
        _ => return,
    };
    assert!(!payload.fragmented, "everything fits the MTU");
    let protocol = payload.ip_number;
    let length = u32::try_from(payload.payload.len()).expect("is short").to_be_bytes();
    let pseudo = [&addresses, length.as_slice(), &[0, protocol.0], payload.payload].concat();
    match protocol {
        IpNumber::UDP => count("UDP", &pseudo),
        IpNumber::TCP => count("TCP", &pseudo),
        IpNumber::ICMP => count("ICMP", payload.payload),
        IpNumber::IPV6_ICMP => count("ICMPv6", &pseudo),
        _ => {}
    }
}
