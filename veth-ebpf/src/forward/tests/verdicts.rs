//! Each verdict by the behaviour it stands for, and which one is given when several apply.

use super::*;

#[test]
fn frame_between_known_stations_goes_to_the_target() {
    Case::good().assert_redirected();
}

#[test]
fn frame_that_is_not_ip_goes_to_the_target() {
    let mut case = Case::good();
    case.frame = ethernet(BLUE_MAC, RED_MAC, ARP);
    case.assert_redirected();
}

#[test]
fn frame_of_nothing_but_an_ethernet_header_is_no_runt() {
    let mut case = Case::good();
    // 802.3: the type is a length.
    case.frame = ethernet(BLUE_MAC, RED_MAC, 0);
    case.assert_redirected();
    case.frame.pop();
    case.assert_passed(Verdict::Runt);
    case.frame.clear();
    case.assert_passed(Verdict::Runt);
}

#[test]
fn frame_on_unknown_port_goes_to_the_bridge_and_counts_in_slot_0() {
    let mut case = Case::of(Verdict::PortUnknown);
    let wanted =
        Decision { verdict: Verdict::PortUnknown, slot: PortSlot::UNKNOWN, target: Target::NONE };
    assert_eq!(case.decide(), wanted);
    // Whatever else is wrong with it.
    case.frame.clear();
    assert_eq!(case.decide(), wanted);
}

#[test]
fn frame_on_ineligible_port_goes_to_the_bridge() {
    Case::of(Verdict::PortIneligible).assert_passed(Verdict::PortIneligible);
}

#[test]
fn frame_from_station_that_may_not_send_goes_to_the_bridge_even_on_an_eligible_port() {
    Case::of(Verdict::SourceIneligible).assert_passed(Verdict::SourceIneligible);
}

#[test]
fn frame_that_ends_within_its_ip_header_goes_to_the_bridge() {
    for (frame, header_bytes) in [
        (ipv4_frame(BLUE_MAC, RED_MAC, UDP, 0, 0, 0), 20),
        (ipv6_frame(BLUE_MAC, RED_MAC, UDP, 0, 0), 40),
    ] {
        let mut case = Case::good();
        case.frame = frame;
        case.frame.truncate(ETHERNET_BYTES + header_bytes);
        case.assert_redirected();
        case.frame.pop();
        case.assert_passed(Verdict::Truncated);
        case.frame.truncate(ETHERNET_BYTES);
        case.assert_passed(Verdict::Truncated);
    }
}

#[test]
fn frame_whose_ip_header_is_not_readable_goes_to_the_bridge() {
    // As long as it says, but all behind the Ethernet header lies in pages.
    let case = Case::good();
    let packet = Bytes { head: &case.frame[..ETHERNET_BYTES], ..Bytes::linear(&case.frame) };
    let decision = decide(&packet, RED, &case.tables);
    assert_eq!(decision.verdict, Verdict::Truncated);
}

#[test]
fn ip_header_of_the_wrong_version_goes_to_the_bridge() {
    for (frame, first_byte) in [
        (ipv4_frame(BLUE_MAC, RED_MAC, UDP, 0, 0, 40), 0x65),
        (ipv6_frame(BLUE_MAC, RED_MAC, UDP, 0, 40), 0x45),
    ] {
        let mut case = Case::good();
        case.frame = frame;
        case.frame[VERSION_AT] = first_byte;
        case.assert_passed(Verdict::Malformed);
    }
}

#[test]
fn ipv4_header_shorter_than_its_fixed_part_goes_to_the_bridge() {
    let mut case = Case::good();
    for words in 0..5 {
        case.frame[VERSION_AT] = 0x40 | words;
        case.assert_passed(Verdict::Malformed);
    }
    case.frame[VERSION_AT] = 0x45;
    case.assert_redirected();
}

#[test]
fn frame_with_vlan_tag_goes_to_the_bridge() {
    let tagged_beside = Case { vlan_tag: true, ..Case::good() };
    tagged_beside.assert_passed(Verdict::VlanTagged);
    for tpid in [0x8100, 0x88a8, 0x9100_u16] {
        let mut tagged_inside = Case::good();
        tagged_inside.frame.splice(12..12, tpid.to_be_bytes().into_iter().chain([0, 7]));
        tagged_inside.assert_passed(Verdict::VlanTagged);
    }
}

#[test]
fn frame_to_everybody_goes_to_the_bridge() {
    Case::of(Verdict::Broadcast).assert_passed(Verdict::Broadcast);
}

#[test]
fn frame_to_a_group_goes_to_the_bridge() {
    let mut case = Case::good();
    for group in [
        [0x33, 0x33, 0xff, 0, 0, 1],
        [0x01, 0, 0x5e, 0, 0, 0xfb],
        [0x01, 0x80, 0xc2, 0, 0, 0],
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xfe],
    ] {
        case.frame[..6].copy_from_slice(&group);
        case.assert_passed(Verdict::Multicast);
    }
}

#[test]
fn frame_from_zero_or_a_group_goes_to_the_bridge() {
    let mut case = Case::good();
    for source in [[0; 6], [0xff; 6], [0x03, 0, 0, 0, 0, 0x21]] {
        case.frame[6..12].copy_from_slice(&source);
        case.assert_passed(Verdict::SourceInvalid);
    }
}

#[test]
fn frame_from_unknown_mac_goes_to_the_bridge() {
    Case::of(Verdict::SourceUnknown).assert_passed(Verdict::SourceUnknown);
}

#[test]
fn frame_from_mac_of_another_port_goes_to_the_bridge() {
    Case::of(Verdict::SourceMoved).assert_passed(Verdict::SourceMoved);
}

#[test]
fn frame_from_the_address_of_the_host_goes_to_the_bridge() {
    let mut case = Case::good();
    case.tables.change(RED_MAC, |entry| {
        entry.port = BRIDGE;
        entry.flags = FdbFlags::LOCAL;
    });
    case.assert_passed(Verdict::SourceMoved);
}

#[test]
fn frame_for_unknown_mac_goes_to_the_bridge() {
    Case::of(Verdict::DestinationUnknown).assert_passed(Verdict::DestinationUnknown);
    let mut to_zero = Case::good();
    to_zero.frame[..6].fill(0);
    to_zero.assert_passed(Verdict::DestinationUnknown);
}

#[test]
fn frame_for_the_host_goes_to_the_bridge() {
    Case::of(Verdict::DestinationLocal).assert_passed(Verdict::DestinationLocal);
}

#[test]
fn frame_for_the_port_it_came_from_goes_to_the_bridge() {
    Case::of(Verdict::SamePort).assert_passed(Verdict::SamePort);
    let mut to_itself = Case::good();
    to_itself.frame[..6].copy_from_slice(&RED_MAC.0);
    to_itself.assert_passed(Verdict::SamePort);
}

#[test]
fn frame_for_station_that_may_not_receive_goes_to_the_bridge() {
    Case::of(Verdict::DestinationIneligible).assert_passed(Verdict::DestinationIneligible);
}

#[test]
fn only_stations_of_one_vlan_reach_each_other() {
    for (red, blue) in [(0, 0), (10, 10), (10, 20), (0, 10), (10, 0)] {
        let mut case = Case::good();
        case.tables.change(RED_MAC, |entry| entry.vlan = Vlan(red));
        case.tables.change(BLUE_MAC, |entry| entry.vlan = Vlan(blue));
        if red == blue {
            case.assert_redirected();
        } else {
            case.assert_passed(Verdict::OtherVlan);
        }
    }
}

#[test]
fn only_two_isolated_ports_are_kept_apart() {
    for (red, blue) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut case = Case::good();
        for mac in [(RED_MAC, red), (BLUE_MAC, blue)].iter().filter(|it| it.1).map(|it| it.0) {
            case.tables.change(mac, |entry| entry.flags = entry.flags.with(FdbFlags::ISOLATED));
        }
        if red && blue {
            case.assert_passed(Verdict::Isolated);
        } else {
            case.assert_redirected();
        }
    }
}

#[test]
fn every_verdict_counts_for_the_port_that_the_frame_came_from() {
    for verdict in Verdict::ALL {
        let decision = Case::of(verdict).decide();
        assert_eq!(decision.verdict, verdict);
        let is_unknown = verdict == Verdict::PortUnknown;
        let slot = if is_unknown { PortSlot::UNKNOWN } else { RED_SLOT };
        assert_eq!(decision.slot, slot, "{}", verdict.name());
        let target = if verdict.is_fast() { TO_BLUE } else { Target::NONE };
        assert_eq!(decision.target, target, "{}", verdict.name());
    }
}

/// Of two reasons, the earlier in this list is given.
const ORDER: [Verdict; 22] = [
    // The port's own, even before the frame is looked at.
    Verdict::PortUnknown,
    Verdict::PortIneligible,
    // What kind of frame it is.
    Verdict::Runt,
    Verdict::VlanTagged,
    Verdict::Broadcast,
    Verdict::Multicast,
    // Who sent it.
    Verdict::SourceInvalid,
    Verdict::SourceUnknown,
    Verdict::SourceMoved,
    Verdict::SourceIneligible,
    Verdict::SourceExpired,
    // For whom it is.
    Verdict::DestinationUnknown,
    Verdict::DestinationLocal,
    Verdict::SamePort,
    Verdict::DestinationExpired,
    Verdict::DestinationIneligible,
    Verdict::OtherVlan,
    Verdict::Isolated,
    // Whether it arrives in one piece.
    Verdict::Truncated,
    Verdict::Malformed,
    Verdict::GsoUnknown,
    Verdict::TooBig,
];

#[test]
fn first_of_two_reasons_is_given() {
    for verdict in Verdict::ALL.into_iter().filter(|verdict| !verdict.is_fast()) {
        assert!(ORDER.contains(&verdict), "{} has no place in the order", verdict.name());
    }
    for (place, first) in ORDER.into_iter().enumerate() {
        for second in ORDER.into_iter().skip(place + 1) {
            let mut case = Case::of(second);
            case.suffer(first);
            let given = case.decide().verdict;
            assert_eq!(given, first, "{} before {}", first.name(), second.name());
        }
    }
}
