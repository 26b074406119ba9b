//! Whether a frame, or each segment that it will become, fits the target's MTU.

use super::*;

/// `blue`'s MTU.
const MTU: u32 = 1500;

fn sized(frame: Vec<u8>, gso_size_bytes: u32) -> Case {
    Case { frame, gso_size_bytes, ..Case::good() }
}

/// Asserts that segments of `payload_bytes` fit, and those of one byte more do not.
#[track_caller]
fn assert_largest_segment(frame: &[u8], payload_bytes: u32) {
    sized(frame.to_vec(), payload_bytes).assert_redirected();
    sized(frame.to_vec(), payload_bytes + 1).assert_passed(Verdict::TooBig);
}

#[test]
fn frame_of_exactly_the_mtu_passes_and_one_byte_more_does_not() {
    let mut case = Case::good();
    case.frame.resize(ETHERNET_BYTES + 1500, 0);
    case.assert_redirected();
    case.frame.push(0);
    case.assert_passed(Verdict::TooBig);
}

#[test]
fn frame_that_is_not_ip_is_measured_too() {
    let mut case = Case::good();
    case.frame = ethernet(BLUE_MAC, RED_MAC, ARP);
    case.frame.resize(ETHERNET_BYTES + 1501, 0);
    case.assert_passed(Verdict::TooBig);
}

#[test]
fn length_is_that_of_the_frame_and_not_of_its_readable_part() {
    let case = Case::good();
    let packet = Bytes { len_bytes: MTU + 15, ..Bytes::linear(&case.frame) };
    assert_eq!(decide(&packet, RED, &case.tables).verdict, Verdict::TooBig);
}

#[test]
fn jumbo_frame_passes_where_the_target_takes_it() {
    let mut case = Case::good();
    case.frame.resize(9014, 0);
    case.assert_passed(Verdict::TooBig);
    case.tables.change(BLUE_MAC, |entry| entry.mtu_bytes = 9000);
    case.assert_redirected();
}

#[test]
fn mtu_of_the_sender_does_not_matter() {
    let mut case = Case::good();
    case.tables.change(RED_MAC, |entry| entry.mtu_bytes = 0);
    case.assert_redirected();
}

#[test]
fn gso_frame_is_measured_by_its_segments_and_not_by_its_length() {
    let frame = ipv4_frame(BLUE_MAC, RED_MAC, TCP, 0, 0, 65_000);
    sized(frame.clone(), MTU - 40).assert_redirected();
    sized(frame, 0).assert_passed(Verdict::TooBig);
}

#[test]
fn segment_of_tcp_over_ipv4_counts_the_options_of_both() {
    for ip_words in [0, 1, 10] {
        for tcp_words in [0, 3, 10] {
            let frame = ipv4_frame(BLUE_MAC, RED_MAC, TCP, ip_words, tcp_words, 4000);
            let headers = 20 + 20 + 4 * u32::from(ip_words + tcp_words);
            assert_largest_segment(&frame, MTU - headers);
        }
    }
}

#[test]
fn segment_of_tcp_over_ipv6_counts_the_options_of_tcp() {
    for tcp_words in [0, 3, 10] {
        let frame = ipv6_frame(BLUE_MAC, RED_MAC, TCP, tcp_words, 4000);
        assert_largest_segment(&frame, MTU - (40 + 20 + 4 * u32::from(tcp_words)));
    }
}

#[test]
fn segment_of_udp_counts_eight_bytes() {
    let v4 = ipv4_frame(BLUE_MAC, RED_MAC, UDP, 0, 0, 4000);
    assert_largest_segment(&v4, MTU - (20 + 8));
    let v4_with_options = ipv4_frame(BLUE_MAC, RED_MAC, UDP, 2, 0, 4000);
    assert_largest_segment(&v4_with_options, MTU - (28 + 8));
    let v6 = ipv6_frame(BLUE_MAC, RED_MAC, UDP, 0, 4000);
    assert_largest_segment(&v6, MTU - (40 + 8));
}

#[test]
fn gso_frame_of_another_protocol_goes_to_the_bridge() {
    const HOP_BY_HOP: u8 = 0;
    const GRE: u8 = 47;
    const SCTP: u8 = 132;
    for protocol in [ICMP, GRE, SCTP] {
        let frame = ipv4_frame(BLUE_MAC, RED_MAC, protocol, 0, 0, 4000);
        sized(frame, 1000).assert_passed(Verdict::GsoUnknown);
    }
    for next_header in [HOP_BY_HOP, GRE, SCTP] {
        let frame = ipv6_frame(BLUE_MAC, RED_MAC, next_header, 0, 4000);
        sized(frame, 1000).assert_passed(Verdict::GsoUnknown);
    }
    let mut not_ip = ethernet(BLUE_MAC, RED_MAC, ARP);
    not_ip.resize(4000, 0);
    sized(not_ip, 1000).assert_passed(Verdict::GsoUnknown);
}

#[test]
fn gso_frame_whose_tcp_header_is_not_readable_goes_to_the_bridge() {
    const DATA_OFFSET_AT: usize = ETHERNET_BYTES + 20 + 12;
    let mut frame = ipv4_frame(BLUE_MAC, RED_MAC, TCP, 0, 0, 0);
    frame.truncate(DATA_OFFSET_AT + 1);
    sized(frame.clone(), 1000).assert_redirected();
    frame.pop();
    sized(frame, 1000).assert_passed(Verdict::GsoUnknown);
}
