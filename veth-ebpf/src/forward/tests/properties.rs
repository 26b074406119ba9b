//! What holds for any frame over any tables.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

/// Four ports: one of them not in the port map.
const PORTS: [Ifindex; 4] = [Ifindex(5), Ifindex(6), Ifindex(7), Ifindex(8)];
const STRANGER: Ifindex = Ifindex(9);

/// The largest MTU that a veth can have.
const MTU_MAX: u16 = u16::MAX;

/// The stations, and addresses that are none.
fn addresses() -> impl Strategy<Value = Mac> {
    prop_oneof![
        12 => (0x20..0x26_u8).prop_map(|last| Mac([2, 0, 0, 0, 0, last])),
        1 => Just(Mac::BROADCAST),
        1 => Just(Mac([0x33, 0x33, 0, 0, 0, 1])),
        1 => Just(Mac([0; 6])),
    ]
}

/// Tables as the control plane writes them: an entry repeats its port's isolation, VLAN and slot, and may
/// send only from an eligible one. Everything else is as it may come.
fn any_tables() -> impl Strategy<Value = FakeTables> {
    let vlan = select(&[Vlan::NONE, Vlan::NONE, Vlan::NONE, Vlan(10), Vlan(20)][..]);
    let port = (weighted(0.8), weighted(0.3), weighted(0.9), vlan);
    let entry = (
        0..PORTS.len(),
        select(&[u64::MAX, u64::MAX, 950, 1000, 1050, 1051][..]),
        (weighted(0.95), weighted(0.9), weighted(0.05), weighted(0.97)),
        select(&[1500, 1500, 1460, 9000, 150, 0, MTU_MAX][..]),
    );
    (vec(port, PORTS.len()), vec(entry, 6), 900..1100_u64).prop_map(|(ports, entries, now_ns)| {
        let mut tables = FakeTables { now_ns: Some(now_ns), ..FakeTables::default() };
        for (ifindex, (slot, (eligible, _, known, _))) in PORTS.into_iter().zip((1..).zip(&ports)) {
            let flags = if *eligible { PortFlags::ELIGIBLE } else { PortFlags::default() };
            if *known {
                tables.ports.insert(ifindex, PortEntry { slot: PortSlot(slot), flags });
            }
        }
        for (last, (port, lease, of_station, mtu_bytes)) in (0x20..).zip(entries) {
            let (sends, target, local, is_own) = of_station;
            let (eligible, isolated, known, vlan) = ports[port];
            let mac = Mac([2, 0, 0, 0, 0, last]);
            let flags = [
                (eligible && known && sends, FdbFlags::SOURCE),
                (target, FdbFlags::TARGET),
                (isolated, FdbFlags::ISOLATED),
                (local, FdbFlags::LOCAL),
            ];
            let flags = flags
                .into_iter()
                .filter(|(on, _)| *on)
                .fold(FdbFlags::default(), |all, (_, flag)| all.with(flag));
            let key = if is_own { MacKey::of(mac) } else { MacKey(0x77) };
            let slot = tables.ports.get(&PORTS[port]).map_or(PortSlot(0), |port| port.slot);
            let entry = FdbEntry {
                key,
                lease: Lease(lease),
                flags,
                mtu_bytes,
                vlan,
                ..station(mac, PORTS[port], slot)
            };
            tables.fdb.insert(mac, entry);
        }
        tables
    })
}

fn weighted(probability: f64) -> impl Strategy<Value = bool> {
    proptest::bool::weighted(probability)
}

/// Frames that are mostly sound, with any bytes changed and cut anywhere now and then.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let kind = (addresses(), addresses(), select(&[TCP, UDP, ICMP][..]), 0..=10_u8, 0..=10_u8);
    let sound = (kind, 0..4_u8, prop_oneof![0..200_usize, 1400..1600_usize]).prop_map(
        |((destination, source, protocol, ip_words, tcp_words), shape, payload_bytes)| match shape {
            0 | 1 => ipv4_frame(destination, source, protocol, ip_words, tcp_words, payload_bytes),
            2 => ipv6_frame(destination, source, protocol, tcp_words, payload_bytes),
            _ => {
                let mut frame = ethernet(destination, source, ARP);
                frame.resize(frame.len() + payload_bytes, 0);
                frame
            }
        },
    );
    let changes = prop_oneof![
        3 => Just(Vec::new()),
        1 => vec((12..64_usize, any::<u8>()), 1..4),
        1 => select(&[0x8100, 0x88a8, 0x9100_u16][..])
            .prop_map(|tpid| (12..).zip(tpid.to_be_bytes()).collect()),
    ];
    let cut = prop_oneof![4 => Just(usize::MAX), 1 => 0..80_usize];
    (sound, changes, cut).prop_map(|(mut frame, changes, cut)| {
        for (at, byte) in changes {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        frame.truncate(cut);
        frame
    })
}

/// `gso_size` is 16 bits wide in the kernel.
fn any_gso_size() -> impl Strategy<Value = u32> {
    prop_oneof![4 => Just(0), 2 => 1300..1500_u32, 1 => 0..=u32::from(u16::MAX)]
}

fn any_case() -> impl Strategy<Value = (Case, Ifindex)> {
    let frame = prop_oneof![6 => any_frame(), 1 => vec(any::<u8>(), 0..128)];
    let ingress = select(&[PORTS[0], PORTS[1], PORTS[2], PORTS[3], STRANGER][..]);
    // Most frames come from where their source is, or next to nothing would ever pass.
    let ingress = (ingress, weighted(0.8));
    (any_tables(), frame, any_gso_size(), weighted(0.05), ingress).prop_map(
        |(tables, frame, gso_size_bytes, vlan_tag, (ingress, is_at_home))| {
            let source = frame.get(6..12).and_then(|mac| mac.try_into().ok()).map(Mac);
            let home = source.and_then(|mac| tables.fdb.get(&mac)).map(|entry| entry.port);
            let ingress = home.filter(|_| is_at_home).unwrap_or(ingress);
            (Case { tables, frame, gso_size_bytes, vlan_tag }, ingress)
        },
    )
}

/// The conditions under which the design lets a frame pass the bridge by, each for itself, in
/// the words of the design and none of the words of the code: the frame as a list of bytes, the
/// tables as lists to search.
fn may_pass_the_bridge_by(case: &Case, ingress: Ifindex) -> bool {
    let Case { tables, frame, gso_size_bytes, vlan_tag } = case;
    if frame.len() < 14 {
        return false;
    }
    let known = |address: &[u8]| {
        tables.fdb.iter().find_map(|(mac, entry)| {
            let is_own_entry = entry.key.mac() == *mac;
            (mac.0 == address && is_own_entry).then_some(*entry)
        })
    };
    let is = |bits: u16, bit: u32| bits & (1 << bit) != 0;
    let is_eligible =
        |port: Ifindex| tables.ports.get(&port).is_some_and(|entry| is(entry.flags.0, 0));
    let is_leased = |entry: &FdbEntry| {
        entry.lease.0 == u64::MAX || tables.now_ns.is_some_and(|now_ns| entry.lease.0 > now_ns)
    };

    let port_is_known_and_eligible = is_eligible(ingress);
    let destination_is_unicast = frame[0] % 2 == 0;
    let (Some(sender), Some(receiver)) = (known(&frame[6..12]), known(&frame[0..6])) else {
        return false;
    };
    let sender_is_on_this_port = sender.port == ingress;
    let sender_is_served = is(sender.flags.0, 0);
    let receiver_is_on_another = receiver.port != ingress && !is(receiver.flags.0, 3);
    let receiver_may_be_handed_frames = is(receiver.flags.0, 1);
    let leases_are_valid = is_leased(&sender) && is_leased(&receiver);
    let untagged = !vlan_tag && ![0x8100, 0x88a8, 0x9100].contains(&be16(frame, 12));
    let kept_apart = is(sender.flags.0, 2) && is(receiver.flags.0, 2);
    let in_one_vlan = sender.vlan.0 == receiver.vlan.0;

    port_is_known_and_eligible
        && destination_is_unicast
        && sender_is_on_this_port
        && sender_is_served
        && receiver_is_on_another
        && receiver_may_be_handed_frames
        && leases_are_valid
        && untagged
        && !kept_apart
        && in_one_vlan
        && largest_packet(frame, *gso_size_bytes)
            .is_some_and(|bytes| bytes <= u64::from(receiver.mtu_bytes))
}

/// The largest layer-3 packet that comes out of `frame`, if that is certain.
fn largest_packet(frame: &[u8], gso_size_bytes: u32) -> Option<u64> {
    let packet = &frame[14..];
    let byte = |at: usize| packet.get(at).map(|byte| u64::from(*byte));
    let (ip_header, protocol) = match be16(frame, 12) {
        0x0800 if packet.len() < 20 => return None,
        0x0800 if !(0x45..=0x4f).contains(&packet[0]) => return None,
        0x0800 => (u64::from(packet[0] - 0x40) * 4, byte(9)?),
        0x86dd if packet.len() < 40 => return None,
        0x86dd if !(0x60..=0x6f).contains(&packet[0]) => return None,
        0x86dd => (40, byte(6)?),
        _ if gso_size_bytes > 0 => return None,
        _ => (0, 0),
    };
    if gso_size_bytes == 0 {
        return u64::try_from(packet.len()).ok();
    }
    let transport_header = match protocol {
        6 => byte(usize::try_from(ip_header).ok()? + 12)? / 16 * 4,
        17 => 8,
        _ => return None,
    };
    Some(ip_header + transport_header + u64::from(gso_size_bytes))
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn decide_on(case: &Case, ingress: Ifindex) -> Decision {
    let packet = Bytes {
        gso_size_bytes: case.gso_size_bytes,
        vlan_tag: case.vlan_tag,
        ..Bytes::linear(&case.frame)
    };
    decide(&packet, ingress, &case.tables)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Both ways: nothing passes that must not, and nothing is held back that may.
    #[test]
    fn frame_is_redirected_exactly_when_the_design_allows_it((case, ingress) in any_case()) {
        let decision = decide_on(&case, ingress);
        prop_assert_eq!(decision.verdict.is_fast(), may_pass_the_bridge_by(&case, ingress));

        // To the port of its destination, and to none when it belongs to the bridge.
        let mut entries = case.tables.fdb.values();
        let home = entries.find(|entry| case.frame.starts_with(&entry.key.mac().0));
        let target = home.map(|entry| Target { port: entry.port, slot: entry.slot });
        let target = target.filter(|_| decision.verdict.is_fast());
        prop_assert_eq!(decision.target, target.unwrap_or(Target::NONE));

        // Counted for its port.
        let port = case.tables.ports.get(&ingress);
        prop_assert_eq!(decision.slot, port.map_or(PortSlot::UNKNOWN, |port| port.slot));
        prop_assert_eq!(decision.verdict == Verdict::PortUnknown, port.is_none());
    }

    #[test]
    fn any_bytes_get_a_verdict(
        bytes in vec(any::<u8>(), 0..256),
        gso_size_bytes in any_gso_size(),
        vlan_tag: bool,
        ether_type in select(&[IPV4, IPV6, ARP][..]),
        between_stations: bool,
    ) {
        let mut case = Case { frame: bytes, gso_size_bytes, vlan_tag, ..Case::good() };
        if between_stations {
            let header = ethernet(BLUE_MAC, RED_MAC, ether_type);
            case.frame.splice(0..0, header);
        }
        prop_assert!(Verdict::ALL.contains(&case.decide().verdict));
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_prefix_of_a_frame_is_redirected_wrongly((mut case, ingress) in any_case()) {
        // Beyond the longest headers, a prefix differs from the next in nothing but its length.
        case.frame.truncate(160);
        while case.frame.pop().is_some() {
            let is_fast = decide_on(&case, ingress).verdict.is_fast();
            let end = case.frame.len();
            prop_assert_eq!(is_fast, may_pass_the_bridge_by(&case, ingress), "cut at {}", end);
        }
    }
}

/// The properties above say little of a verdict that they never meet.
#[test]
fn generated_frames_meet_every_verdict() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let mut unseen = std::collections::BTreeSet::from(Verdict::ALL);
    for _ in 0..20_000 {
        let tree = any_case().new_tree(&mut runner).expect("no filter to reject it");
        let (case, ingress) = tree.current();
        unseen.remove(&decide_on(&case, ingress).verdict);
        if unseen.is_empty() {
            return;
        }
    }
    panic!("never met: {unseen:?}");
}
