//! What a decision asks its tables, and which answers it does not take.

use super::*;

const LEASE_NS: u64 = 5_000_000_000;

#[test]
fn redirected_frame_costs_two_lookups() {
    let case = Case::good();
    case.assert_redirected();
    assert_eq!(case.tables.station_lookups.get(), 2);
    assert_eq!(case.tables.port_lookups.get(), 0);
}

#[test]
fn frame_for_the_bridge_costs_at_most_one_more() {
    for verdict in Verdict::ALL {
        let case = Case::of(verdict);
        assert_eq!(case.decide().verdict, verdict);
        assert!(case.tables.station_lookups.get() <= 2, "{}", verdict.name());
        assert_eq!(case.tables.port_lookups.get(), u32::from(!verdict.is_fast()));
    }
}

#[test]
fn clock_is_not_asked_when_no_lease_ends() {
    let case = Case::good();
    // The fake clock panics.
    assert_eq!(case.tables.now_ns, None);
    case.assert_redirected();
}

#[test]
#[should_panic(expected = "nobody reads the clock")]
fn clock_is_asked_when_a_lease_ends() {
    let mut case = Case::good();
    case.tables.change(BLUE_MAC, |entry| entry.lease = Lease(LEASE_NS));
    let _ = case.decide();
}

#[test]
fn clock_is_read_once_for_two_leases_that_end() {
    let mut case = Case::good();
    for mac in [RED_MAC, BLUE_MAC] {
        case.tables.change(mac, |entry| entry.lease = Lease(LEASE_NS));
    }
    case.tables.now_ns = Some(0);
    case.assert_redirected();
    assert_eq!(case.tables.clock_readings.get(), 1);
}

#[test]
fn lease_ends_at_its_time_and_not_a_nanosecond_earlier() {
    for (mac, expired) in
        [(RED_MAC, Verdict::SourceExpired), (BLUE_MAC, Verdict::DestinationExpired)]
    {
        let mut case = Case::good();
        case.tables.change(mac, |entry| entry.lease = Lease(LEASE_NS));
        for valid_ns in [0, LEASE_NS - 1] {
            case.tables.now_ns = Some(valid_ns);
            case.assert_redirected();
        }
        for over_ns in [LEASE_NS, LEASE_NS + 1, u64::MAX] {
            case.tables.now_ns = Some(over_ns);
            case.assert_passed(expired);
        }
    }
}

#[test]
fn longest_lease_that_ends_is_not_forever() {
    let mut case = Case::good();
    case.tables.change(RED_MAC, |entry| entry.lease = Lease(u64::MAX - 1));
    case.tables.now_ns = Some(u64::MAX - 1);
    case.assert_passed(Verdict::SourceExpired);
}

#[test]
fn lease_that_never_began_is_over() {
    let mut case = Case::good();
    case.tables.change(BLUE_MAC, |entry| entry.lease = Lease::EXPIRED);
    case.tables.now_ns = Some(0);
    case.assert_passed(Verdict::DestinationExpired);
}

#[test]
fn entry_that_was_recycled_for_another_address_is_a_miss() {
    let stranger = MacKey::of(Mac([0x02, 0, 0, 0, 0, 0x99]));
    for (mac, verdict) in
        [(RED_MAC, Verdict::SourceUnknown), (BLUE_MAC, Verdict::DestinationUnknown)]
    {
        let mut case = Case::good();
        case.tables.change(mac, |entry| entry.key = stranger);
        case.assert_passed(verdict);
    }
}

#[test]
fn two_bytes_behind_an_address_are_no_part_of_its_key() {
    let mut case = Case::good();
    for entry in case.tables.fdb.values() {
        assert_eq!(entry.key.0.to_ne_bytes()[6..], [0, 0]);
    }
    // Behind the destination lies the source, behind the source the type.
    case.frame = ethernet(BLUE_MAC, RED_MAC, u16::MAX);
    case.assert_redirected();
}

/// What [`moved_station`] says of a frame from red that arrives on `ingress`.
fn moved(change: impl FnOnce(&mut Case), ingress: Ifindex) -> Option<Mac> {
    let mut case = Case::good();
    case.tables.change(RED_MAC, |entry| entry.lease = Lease(LEASE_NS));
    change(&mut case);
    moved_station(&Bytes::linear(&case.frame), ingress, &case.tables).map(MacKey::mac)
}

#[test]
fn station_that_is_seen_on_another_port_is_named_whatever_it_sends() {
    assert_eq!(moved(|_| {}, RED), None);
    assert_eq!(moved(|_| {}, BLUE), Some(RED_MAC));
    // A port that the fabric does not know, or leaves to the bridge, proves it as well.
    assert_eq!(moved(|_| {}, Ifindex(99)), Some(RED_MAC));
    assert_eq!(moved(|case| case.frame[..6].fill(0xff), BLUE), Some(RED_MAC));
    assert_eq!(moved(|case| case.frame[12..14].copy_from_slice(&[0x81, 0]), BLUE), Some(RED_MAC));
}

#[test]
fn station_that_the_bridge_does_not_move_stays() {
    let forever = |case: &mut Case| case.tables.change(RED_MAC, |it| it.lease = Lease::FOREVER);
    assert_eq!(moved(forever, BLUE), None);
    // An entry that was recycled for another station under the lookup says nothing of this one.
    let recycled =
        |case: &mut Case| case.tables.change(RED_MAC, |it| it.key = MacKey::of(BLUE_MAC));
    assert_eq!(moved(recycled, BLUE), None);
    assert_eq!(moved(|case| case.frame.truncate(13), BLUE), None);
}
