//! Frame by frame: the verdict on each, and that each ends up where the bridge alone would have
//! sent it.

use std::{collections::BTreeMap, fs};

use veth_common::{Mac, Verdict};

use super::{
    TRIO, over_both_fast_paths,
    talk::{device, mac, silence_ipv6},
    totals::verdicts,
    wire::{EXPERIMENTAL, Wire, frame, ipv4_packet, stay_on_one_cpu},
};
use crate::sandbox::{Sandbox, wait_until};

over_both_fast_paths! {
    each_frame_gets_its_verdict_and_arrives_as_over_the_plain_bridge
    frame_beyond_the_targets_mtu_is_left_to_the_bridge
    stolen_address_moves_no_traffic
}

const MEMBERS: [&str; 4] = ["red", "blue", "green", "grey"];

/// A quiet fabric with a packet socket on each of its interfaces.
struct Lab {
    sandbox: Sandbox,
    datapath: String,
    wires: BTreeMap<&'static str, Wire>,
    macs: BTreeMap<&'static str, Mac>,
    signals: u8,
}

/// The addresses of a fabric. They follow from its names, so they are the same in every sandbox.
struct Stations {
    red: Mac,
    blue: Mac,
    green: Mac,
    bridge: Mac,
    blue_port: Mac,
}

/// One frame from red, and what must become of it.
struct Case {
    what: &'static str,
    frame: Vec<u8>,
    verdict: Verdict,
    /// Who gets it; the host is called `lab`.
    receivers: &'static [&'static str],
}

/// What arrived, by receiver.
type Arrivals = BTreeMap<&'static str, Vec<Vec<u8>>>;

impl Lab {
    fn up(datapath: &str) -> Self {
        let sandbox = Sandbox::new();
        let text = TRIO
            .replace("\nname = \"lab\"", &format!("\nname = \"lab\"\ndatapath = \"{datapath}\""));
        let file = sandbox.file("lab.toml", &text);
        sandbox.veth(&["up", &file]).ok();
        silence_ipv6(&sandbox, &MEMBERS);
        sandbox.on_host(bypass_netfilter);
        let mut wires: BTreeMap<_, _> =
            MEMBERS.into_iter().map(|member| (member, Wire::of(&sandbox, member))).collect();
        wires.insert("lab", sandbox.on_host(|| Wire::open("lab")));
        let macs = MEMBERS.map(|member| (member, mac(&sandbox, Some(member), "eth0"))).into();
        Self { sandbox, datapath: datapath.to_owned(), wires, macs, signals: 0 }
    }

    fn stations(&self) -> Stations {
        Stations {
            red: self.macs["red"],
            blue: self.macs["blue"],
            green: self.macs["green"],
            bridge: mac(&self.sandbox, None, "lab"),
            blue_port: mac(&self.sandbox, None, "blue"),
        }
    }

    /// Sends a frame from red, and says who got what.
    fn send(&mut self, frame: &[u8]) -> Arrivals {
        // So that the plain bridge knows where everybody is, as veth does from the start.
        for member in MEMBERS {
            let greeting = self.broadcast_from(member);
            self.flush(member, &greeting);
        }
        self.wires["red"].send(frame);
        let signal = self.broadcast_from("grey");
        self.wires["grey"].send(&signal);
        self.wires
            .iter()
            .filter(|(member, _)| **member != "grey")
            .map(|(member, wire)| (*member, wire.receive_until(&signal)))
            .filter(|(_, frames)| !frames.is_empty())
            .collect()
    }

    /// Sends a broadcast and takes everything that has come by then from all wires.
    fn flush(&self, from: &str, broadcast: &[u8]) {
        self.wires[from].send(broadcast);
        for (_, wire) in self.wires.iter().filter(|(member, _)| **member != from) {
            wire.receive_until(broadcast);
        }
    }

    fn broadcast_from(&mut self, member: &str) -> Vec<u8> {
        self.signals = self.signals.wrapping_add(1);
        frame(Mac::BROADCAST, self.macs[member], EXPERIMENTAL, &[b's', self.signals])
    }

    fn down(self) {
        let Self { sandbox, wires, .. } = self;
        drop(wires);
        sandbox.down("lab");
    }
}

/// Where `br_netfilter` is loaded, the bridge lets the IP stack judge what it forwards, and that
/// drops what is malformed.
pub(crate) fn bypass_netfilter() {
    for family in ["iptables", "ip6tables", "arptables"] {
        let switch = format!("/proc/sys/net/bridge/bridge-nf-call-{family}");
        if fs::exists(&switch).expect("can be looked up") {
            fs::write(&switch, "0").expect("can be set");
        }
    }
}

#[track_caller]
fn check(fast: &mut Lab, plain: &mut Lab, case: &Case) {
    let Case { what, frame, verdict, receivers } = case;
    // The broadcast with which red makes itself known is counted, too.
    let before = verdicts(&fast.sandbox.stats("lab"), "red");
    let arrived = fast.send(frame);
    let after = verdicts(&fast.sandbox.stats("lab"), "red");

    let frames_of = |counters: &BTreeMap<Verdict, veth_common::Counter>, it: &Verdict| {
        counters.get(it).copied().unwrap_or_default()
    };
    let mut moved: Vec<(Verdict, u64)> = Verdict::ALL
        .iter()
        .map(|it| (*it, frames_of(&after, it).frames - frames_of(&before, it).frames))
        .collect();
    moved[Verdict::Broadcast as usize].1 -= 1;
    moved.retain(|(_, frames)| *frames > 0);
    assert_eq!(moved, [(*verdict, 1)], "{what}");
    if *verdict != Verdict::Broadcast {
        let bytes = frames_of(&after, verdict).bytes - frames_of(&before, verdict).bytes;
        // Before the tc hook, the kernel takes off the tags that it knows.
        let is_known = matches!(frame[12..14], [0x81, 0] | [0x88, 0xa8]);
        let tag = if is_known && fast.datapath == "tc" { 4 } else { 0 };
        assert_eq!(bytes + tag, frame.len() as u64, "{what}");
    }
    let expected = plain.send(frame);
    assert_eq!(arrived, expected, "{what}: not what the bridge alone delivers");
    assert_eq!(arrived.keys().copied().collect::<Vec<_>>(), *receivers, "{what}");
    // A tag is taken off and kept beside the frame before a packet socket sees it.
    if *verdict != Verdict::VlanTagged {
        for frames in arrived.values() {
            assert_eq!(frames, std::slice::from_ref(frame), "{what}: changed on its way");
        }
    }
}

fn each_frame_gets_its_verdict_and_arrives_as_over_the_plain_bridge(datapath: &str) {
    stay_on_one_cpu();
    let (mut fast, mut plain) = (Lab::up(datapath), Lab::up("none"));
    let stations = fast.stations();
    for case in ordinary_frames(&stations).into_iter().chain(odd_frames(&stations)) {
        check(&mut fast, &mut plain, &case);
    }
    fast.down();
    plain.down();
}

fn ordinary_frames(stations: &Stations) -> Vec<Case> {
    let Stations { red, blue, green, bridge, blue_port } = *stations;
    let stranger = Mac([2, 0x99, 0, 0, 0, 1]);
    let data = b"frame by frame";
    let case = |what, to, from, verdict, receivers| Case {
        what,
        frame: frame(to, from, EXPERIMENTAL, data),
        verdict,
        receivers,
    };
    vec![
        case("EtherType unknown", blue, red, Verdict::Redirected, &["blue"]),
        Case {
            what: "IPv4",
            frame: frame(blue, red, 0x0800, &ipv4_packet(100)),
            verdict: Verdict::Redirected,
            receivers: &["blue"],
        },
        Case {
            what: "IPv4 of the largest size",
            frame: frame(blue, red, 0x0800, &ipv4_packet(1500)),
            verdict: Verdict::Redirected,
            receivers: &["blue"],
        },
        case("to nobody known", stranger, red, Verdict::DestinationUnknown, &["blue", "green"]),
        case("from nobody known", blue, stranger, Verdict::SourceUnknown, &["blue"]),
        case("from another port's station", blue, green, Verdict::SourceMoved, &["blue"]),
        case("from the bridge's own address", blue, bridge, Verdict::SourceMoved, &["blue"]),
        case("from no address", blue, Mac([0; 6]), Verdict::SourceInvalid, &[]),
        case("from a group", blue, Mac([3, 0, 0, 0, 0, 1]), Verdict::SourceInvalid, &[]),
        case("to oneself", red, red, Verdict::SamePort, &[]),
        case("to the bridge", bridge, red, Verdict::DestinationLocal, &["lab"]),
        case("to a port's own address", blue_port, red, Verdict::DestinationLocal, &["lab"]),
        case("to everybody", Mac::BROADCAST, red, Verdict::Broadcast, &["blue", "green", "lab"]),
        case(
            "to a group",
            Mac([3, 0, 0, 0, 0, 1]),
            red,
            Verdict::Multicast,
            &["blue", "green", "lab"],
        ),
    ]
}

fn odd_frames(stations: &Stations) -> Vec<Case> {
    let Stations { red, blue, .. } = *stations;
    let case = |what, ether_type, payload: &[u8], verdict| Case {
        what,
        frame: frame(blue, red, ether_type, payload),
        verdict,
        receivers: &["blue"],
    };
    let tagged = [&[0, 5, 8, 0], ipv4_packet(60).as_slice()].concat();
    let version_6 = {
        let mut packet = ipv4_packet(60);
        packet[0] = 0x65;
        packet
    };
    let headers_of_four = {
        let mut packet = ipv4_packet(60);
        packet[0] = 0x44;
        packet
    };
    let llc = [&[0x42, 0x42, 3], [0x5a; 37].as_slice()].concat();
    vec![
        case("802.1Q tag", 0x8100, &tagged, Verdict::VlanTagged),
        case("802.1ad tag", 0x88a8, &tagged, Verdict::VlanTagged),
        case("QinQ tag of old", 0x9100, &tagged, Verdict::VlanTagged),
        case("IPv4 with version 6", 0x0800, &version_6, Verdict::Malformed),
        case("IPv4 with a header of 16 bytes", 0x0800, &headers_of_four, Verdict::Malformed),
        case("IPv6 with version 4", 0x86dd, &ipv4_packet(60), Verdict::Malformed),
        case("IPv4 cut in the header", 0x0800, &ipv4_packet(60)[..19], Verdict::Truncated),
        case("IPv6 cut in the header", 0x86dd, &[0x60; 39], Verdict::Truncated),
        case("IPv4 without anything", 0x0800, &[], Verdict::Truncated),
        case("nothing but a header", EXPERIMENTAL, &[], Verdict::Redirected),
        case("LLC, with a length for an EtherType", 40, &llc, Verdict::Redirected),
    ]
}

fn frame_beyond_the_targets_mtu_is_left_to_the_bridge(datapath: &str) {
    stay_on_one_cpu();
    let (mut fast, mut plain) = (Lab::up(datapath), Lab::up("none"));
    for lab in [&fast, &plain] {
        lab.sandbox.sh("ip -n blue link set eth0 mtu 1400");
    }
    // `up` would put the MTU back; an agent only follows it.
    let mut agent = fast.sandbox.veth_command(&["agent", "lab"]).spawn().expect("veth starts");
    let Stations { red, blue, .. } = fast.stations();
    let packet = |length| frame(blue, red, 0x0800, &ipv4_packet(length));
    wait_until("the agent to know the MTU", || {
        let before = fast.sandbox.counter("lab", "red", "too_big").0;
        fast.send(&packet(1500));
        fast.sandbox.counter("lab", "red", "too_big").0 > before
    });
    agent.kill().expect("can be killed");
    agent.wait().expect("has ended");

    for (what, length, verdict, receivers) in [
        ("fits", 1400, Verdict::Redirected, ["blue"].as_slice()),
        // The bridge leaves room for a tag, whether there is one or not.
        ("too big by less than a tag", 1404, Verdict::TooBig, &["blue"]),
        ("too big", 1405, Verdict::TooBig, &[]),
        ("much too big", 1500, Verdict::TooBig, &[]),
    ] {
        let case = Case { what, frame: packet(length), verdict, receivers };
        check(&mut fast, &mut plain, &case);
    }
    assert_eq!(device(&fast.sandbox, None, "blue")["mtu"], 1500, "the port kept its own");

    fast.down();
    plain.down();
}

fn stolen_address_moves_no_traffic(datapath: &str) {
    stay_on_one_cpu();
    let mut lab = Lab::up(datapath);
    lab.sandbox.sh("ip addr add 10.77.0.254/24 dev lab");
    let Stations { red, blue, green, bridge, .. } = lab.stations();
    for to in [Mac::BROADCAST, green, bridge, red] {
        for _ in 0..20 {
            lab.wires["red"].send(&frame(to, blue, EXPERIMENTAL, b"it is me, blue"));
        }
    }
    let greeting = lab.broadcast_from("grey");
    lab.flush("grey", &greeting);

    // Over the fast path, and from the host, which only the bridge serves.
    let letter = frame(blue, green, EXPERIMENTAL, b"for blue alone");
    lab.wires["green"].send(&letter);
    let from_host = frame(blue, bridge, EXPERIMENTAL, b"for blue alone, from the host");
    lab.wires["lab"].send(&from_host);
    let signal = lab.broadcast_from("grey");
    lab.wires["grey"].send(&signal);
    assert_eq!(lab.wires["blue"].receive_until(&signal), [letter, from_host]);
    assert_eq!(lab.wires["red"].receive_until(&signal), Vec::<Vec<u8>>::new());
    assert_eq!(lab.sandbox.counter("lab", "red", "source_moved").0, 60);

    lab.down();
}
