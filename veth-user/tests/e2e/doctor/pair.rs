//! A pair between two namespaces.

use super::{Patient, RED_BLUE, codes};
use crate::sandbox::wait_until;

const RED_TO_BLUE: (&str, &str) = ("red", "10.0.0.2");

#[test]
#[ignore = "needs root"]
fn end_that_is_down_is_named() {
    for (down, up) in [("blue", "red"), ("red", "blue")] {
        let patient = Patient::new(&format!("{RED_BLUE} && ip -n {down} link set dev eth0 down"));
        wait_until("the other end to lose its carrier", || {
            let flags = patient.sandbox.sh(&format!("ip -n {up} link show dev eth0"));
            flags.contains("NO-CARRIER")
        });
        let findings = patient.is_cured(RED_TO_BLUE, &["red"], &["end_down"]);
        assert_eq!(findings[0]["netns"]["label"], down);
    }
}

#[test]
#[ignore = "needs root"]
fn both_ends_down_are_one_finding() {
    let down = "ip -n red link set dev eth0 down && ip -n blue link set dev eth0 down";
    let patient = Patient::new(&format!("{RED_BLUE} && {down}"));
    patient.is_cured(RED_TO_BLUE, &[], &["end_down"]);
}

#[test]
#[ignore = "needs root"]
fn subnet_on_a_tap_as_well_is_told_on_both_sides() {
    // The taps are there first, so their routes win.
    let taps = "for netns in red blue; do ip -n $netns tuntap add dev tap0 mode tap \
                && ip -n $netns link set dev tap0 up; done";
    let script = format!(
        "{} && {taps} && ip -n red addr add 10.0.0.8/24 dev tap0 \
         && ip -n blue addr add 10.0.0.9/24 dev tap0 \
         && ip -n red addr add 10.0.0.1/24 dev eth0 && ip -n blue addr add 10.0.0.2/24 dev eth0",
        RED_BLUE.split(" && ip -n red addr").next().expect("it begins so")
    );
    let patient = Patient::new(&script);
    let expected = ["overlapping_subnets"; 2];
    let findings = patient.is_cured(RED_TO_BLUE, &["red"], &expected);
    for finding in findings {
        let evidence = finding["evidence"][0].as_str().expect("a text");
        assert!(evidence.ends_with(": dev tap0"), "{evidence}");
    }
}

#[test]
#[ignore = "needs root"]
fn route_through_another_device_is_told() {
    let tap = "ip -n red tuntap add dev tap0 mode tap && ip -n red link set dev tap0 up \
               && ip -n red route add 10.0.0.0/25 dev tap0";
    let patient = Patient::new(&format!("{RED_BLUE} && {tap}"));
    let findings = patient.is_cured(RED_TO_BLUE, &[], &["route_elsewhere"]);
    assert_eq!(findings[0]["netns"]["label"], "red");
}

#[test]
#[ignore = "needs root"]
fn rules_decide_as_well_as_routes() {
    let tap = "ip -n red tuntap add dev tap0 mode tap && ip -n red link set dev tap0 up \
               && ip -n red route add 10.0.0.0/24 dev tap0 table 7 \
               && ip -n red rule add to 10.0.0.0/24 lookup 7";
    let patient = Patient::new(&format!("{RED_BLUE} && {tap}"));
    assert!(!patient.pings("red", "10.0.0.2"));
    assert_eq!(codes(&patient.wrong(&[])), ["route_elsewhere"]);
}

#[test]
#[ignore = "needs root"]
fn route_that_refuses_is_told() {
    for kind in ["unreachable", "prohibit", "blackhole"] {
        let route = format!("ip -n red route add {kind} 10.0.0.2/32");
        let patient = Patient::new(&format!("{RED_BLUE} && {route}"));
        patient.is_cured(RED_TO_BLUE, &["blue"], &["route_refuses"]);
    }
    let route = "ip -n red -6 addr add fd00::1/64 dev eth0 nodad \
                 && ip -n blue -6 addr add fd00::2/64 dev eth0 nodad \
                 && ip -n red -6 route add unreachable fd00::2/128";
    let patient = Patient::new(&format!("{RED_BLUE} && {route}"));
    patient.is_cured(("red", "fd00::2"), &["blue"], &["route_refuses"]);
}

#[test]
#[ignore = "needs root"]
fn missing_route_to_the_own_subnet_is_told() {
    let patient = Patient::new(&format!("{RED_BLUE} && ip -n red route del 10.0.0.0/24"));
    patient.is_cured(RED_TO_BLUE, &[], &["no_route"]);
}

#[test]
#[ignore = "needs root"]
fn ends_in_different_subnets_are_told() {
    let patient = Patient::new(&format!(
        "{RED_BLUE} && ip -n blue addr flush dev eth0 && ip -n blue addr add 10.0.9.2/24 dev eth0"
    ));
    patient.is_cured(("red", "10.0.9.2"), &[], &["no_route"; 2]);
}

#[test]
#[ignore = "needs root"]
fn frames_that_do_not_fit_are_lost() {
    let patient = Patient::new(&format!("{RED_BLUE} && ip -n blue link set dev eth0 mtu 1400"));
    assert!(patient.pings("red", "10.0.0.2"));
    let findings = patient.is_cured(("red", "-s 1472 10.0.0.2"), &["red"], &["mtu_mismatch"]);
    assert_eq!(findings[0]["severity"], "warning");
}

#[test]
#[ignore = "needs root"]
fn address_that_somebody_else_has_is_not_used() {
    let patient =
        Patient::new(&format!("{RED_BLUE} && ip -n red addr add fd00::1/64 dev eth0 nodad"));
    patient.sandbox.sh("ip -n blue addr add fd00::1/64 dev eth0");
    wait_until("duplicate address detection to fail", || {
        patient.sandbox.sh("ip -n blue addr").contains("dadfailed")
    });
    patient.is_cured(("red", "fd00::2"), &[], &["dad_failed"]);
}

#[test]
#[ignore = "needs root"]
fn address_that_is_being_checked_is_a_note() {
    // It asks for as long as the test needs.
    let patient = Patient::new(&format!(
        "{RED_BLUE} && ip netns exec red sysctl -qw net.ipv6.conf.eth0.dad_transmits=600 \
         && ip -n red addr add fd00::1/64 dev eth0"
    ));
    assert_eq!(codes(&patient.findings(&["red"])), ["address_tentative"]);
}

#[test]
#[ignore = "needs root"]
fn neighbour_without_an_answer_is_a_note() {
    let patient = Patient::new(RED_BLUE);
    assert!(!patient.pings("red", "10.0.0.9"));
    let findings = patient.findings(&["red"]);
    assert_eq!(codes(&findings), ["neighbour_silent"]);
    let cause = findings[0]["cause"].as_str().expect("a text");
    assert!(cause.contains("10.0.0.9") && cause.contains("no device on that segment has it"));
}

#[test]
#[ignore = "needs root"]
fn one_subnet_on_every_pair_of_a_mesh_reaches_one_neighbour() {
    let script = "for netns in a b c; do ip netns add $netns; done \
         && ip -n a link add dev ab type veth peer name ba netns b \
         && ip -n a link add dev ac type veth peer name ca netns c \
         && ip -n a link set dev ab up && ip -n a link set dev ac up \
         && ip -n b link set dev ba up && ip -n c link set dev ca up \
         && ip -n a addr add 10.0.0.1/24 dev ab && ip -n a addr add 10.0.0.11/24 dev ac \
         && ip -n b addr add 10.0.0.2/24 dev ba && ip -n c addr add 10.0.0.3/24 dev ca";
    let patient = Patient::new(script);
    assert!(patient.pings("a", "10.0.0.2"));
    let findings = patient.is_cured(("a", "10.0.0.3"), &[], &["overlapping_subnets"]);
    assert_eq!(findings[0]["device"], "ac");
    assert!(patient.pings("a", "10.0.0.2"));
}
