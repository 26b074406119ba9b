//! What only XDP programs do: look the target up in the devmap, see frames of several pages, and
//! have the VLAN tag in front of them.

use veth_common::{Counter, FdbFlags, Verdict};

use crate::{
    fixtures::{BLUE, Fixture, RED, known_unicast},
    frame::{BLUE_MAC, ETHERNET_BYTES, TCP, UDP, ipv4, ipv6, tagged},
    program::{BLUE_SLOT, Gso, Kind, Moved, Program, RED_SLOT, station, two_stations},
};

/// More than a page of any architecture, and more than one frame's share of the second.
const JUMBO_BYTES: usize = ETHERNET_BYTES + 9000;

/// Frames that the kernel lets XDP programs run on, and the tc program not.
pub(crate) fn fixtures(kind: Kind) -> Vec<Fixture> {
    let truncated = |name, mut frame: Vec<u8>, len: usize| {
        frame.truncate(len);
        Fixture::new(name, Verdict::Truncated, frame)
    };
    let mut fixtures = vec![
        truncated("IPv4 without its last byte", ipv4(UDP, 0, 0, 60), ETHERNET_BYTES + 19),
        truncated("IPv4 without a header", ipv4(UDP, 0, 0, 60), ETHERNET_BYTES),
        truncated("IPv6 without its last byte", ipv6(UDP, 0, 100), ETHERNET_BYTES + 39),
        // The tag is in the frame and nowhere else, so its bytes count.
        Fixture::new(
            "tagged with nothing behind it",
            Verdict::VlanTagged,
            tagged(ipv4(TCP, 0, 0, 60), 0x8100)[..ETHERNET_BYTES].to_vec(),
        ),
    ];
    if kind == Kind::Xdp {
        fixtures.extend([
            Fixture::new("jumbo of three pages", Verdict::Redirected, ipv4(UDP, 0, 0, JUMBO_BYTES))
                .over(|tables| station(tables, BLUE_MAC).mtu_bytes = 9000),
            Fixture::new("jumbo, a byte more", Verdict::TooBig, ipv4(UDP, 0, 0, JUMBO_BYTES + 1))
                .over(|tables| station(tables, BLUE_MAC).mtu_bytes = 9000),
            Fixture::new("jumbo, IPv6", Verdict::Redirected, ipv6(UDP, 0, JUMBO_BYTES))
                .over(|tables| station(tables, BLUE_MAC).mtu_bytes = 9000),
            Fixture::new("jumbo to a small target", Verdict::TooBig, ipv6(UDP, 0, JUMBO_BYTES)),
        ]);
    }
    fixtures
}

#[test]
#[ignore = "needs root"]
fn each_frame_gets_its_verdict_from_xdp() {
    for kind in [Kind::Xdp, Kind::XdpLinear] {
        for fixture in fixtures(kind) {
            fixture.check(kind);
        }
    }
}

/// The device of a port can go at any moment, and the kernel then takes it out of the devmap.
#[test]
#[ignore = "needs root"]
fn frame_to_an_empty_slot_of_the_devmap_is_passed_and_counted_as_ineligible() {
    for kind in [Kind::Xdp, Kind::XdpLinear] {
        let verdict = Verdict::DestinationIneligible;
        let lost = Fixture::new("target without a device", verdict, known_unicast());
        lost.check_after(kind, |program| program.lose_target(BLUE_SLOT));
        // That of the sender is not asked for.
        let kept = Fixture::new("source without a device", Verdict::Redirected, known_unicast());
        kept.check_after(kind, |program| program.lose_target(RED_SLOT));
    }
}

/// The decision comes first: what is not to be redirected is passed for its own reason.
#[test]
#[ignore = "needs root"]
fn empty_slot_hides_no_other_reason() {
    for kind in [Kind::Xdp, Kind::XdpLinear] {
        for (verdict, flags) in [
            (Verdict::DestinationLocal, FdbFlags::LOCAL),
            (Verdict::DestinationIneligible, FdbFlags::SOURCE),
        ] {
            let mut tables = two_stations(RED, BLUE);
            station(&mut tables, BLUE_MAC).flags = flags;
            let mut program = Program::load(kind, &tables);
            program.lose_target(BLUE_SLOT);
            program.run(&known_unicast(), Gso::NONE, 1).expect("the kernel runs it");
            let counter = Counter { frames: 1, bytes: 64, segments: 1 };
            let wanted = Moved::from([((RED_SLOT, verdict), counter)]);
            assert_eq!(program.moved(), wanted, "{}", kind.name());
        }
    }
}
