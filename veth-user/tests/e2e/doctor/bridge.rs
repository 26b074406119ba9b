//! Pairs in bridges, and those that should be.

use super::{Patient, codes};
use crate::sandbox::wait_until;

/// Red and blue on a bridge; the ports are called as the namespaces are.
const BRIDGE: &str = "ip link add dev br0 type bridge && ip link set dev br0 up \
     && number=0 && for netns in red blue; do number=$((number + 1)) \
     && ip netns add $netns && ip link add dev $netns type veth peer name eth0 netns $netns \
     && ip link set dev $netns master br0 && ip link set dev $netns up \
     && ip -n $netns link set dev eth0 up \
     && ip -n $netns addr add 10.0.0.$number/24 dev eth0 || exit 1; done";

const RED_TO_BLUE: (&str, &str) = ("red", "10.0.0.2");

fn bridge(more: &str) -> Patient {
    Patient::new(&format!("{BRIDGE} && {more}"))
}

#[test]
#[ignore = "needs root"]
fn bridge_that_is_down_is_named() {
    let patient = bridge("ip link set dev br0 down");
    // By the bridge, by a container's side, by the port.
    for target in ["br0", "red", "blue"] {
        assert_eq!(codes(&patient.wrong(&[target])), ["bridge_down"], "{target}");
    }
    patient.is_cured(RED_TO_BLUE, &[], &["bridge_down"]);
}

#[test]
#[ignore = "needs root"]
fn port_that_does_not_forward_is_named() {
    let patient = bridge("true");
    // When a port gets its carrier, the kernel lets it forward.
    wait_until("the port to be disabled", || {
        patient.sandbox.sh("bridge link set dev red state 0");
        !patient.pings("red", "10.0.0.2")
    });
    let findings = patient.is_cured(RED_TO_BLUE, &[], &["port_not_forwarding"]);
    assert_eq!(findings[0]["device"], "red");
}

#[test]
#[ignore = "needs root"]
fn isolated_ports_do_not_reach_each_other() {
    let patient = bridge("bridge link set dev red isolated on");
    assert!(patient.pings("red", "10.0.0.2"));
    assert_eq!(codes(&patient.wrong(&[])), [""; 0]);
    patient.sandbox.sh("bridge link set dev blue isolated on");
    patient.is_cured(RED_TO_BLUE, &[], &["ports_isolated"]);
}

#[test]
#[ignore = "needs root"]
fn locked_port_lets_known_stations_send() {
    let patient =
        bridge("bridge link set dev red learning off locked on && bridge fdb flush dev br0");
    patient.sandbox.sh("bridge link set dev red learning on");
    patient.is_cured(RED_TO_BLUE, &[], &["port_locked"]);
}

#[test]
#[ignore = "needs root"]
fn container_whose_host_side_is_in_no_bridge_is_told_where_it_belongs() {
    let patient = bridge("ip link set dev blue nomaster");
    let inner = patient.sandbox.sh("ip -n blue -o link show dev eth0");
    assert!(inner.contains("eth0@if"), "{inner}");
    let findings = patient.is_cured(RED_TO_BLUE, &[], &["host_side_alone"]);
    assert_eq!(findings[0]["device"], "blue");
    let remedy = findings[0]["remedy"].as_str().expect("a command");
    assert_eq!(remedy, "ip link set dev blue master br0");
}

#[test]
#[ignore = "needs root"]
fn host_side_without_a_bridge_needs_an_address() {
    let patient = Patient::new(
        "ip netns add web && ip link add dev veth7 type veth peer name eth0 netns web \
         && ip link set dev veth7 up && ip -n web link set dev eth0 up \
         && ip -n web addr add 10.0.0.2/24 dev eth0",
    );
    patient.is_cured(("", "10.0.0.2"), &["web"], &["host_side_alone"]);
}

#[test]
#[ignore = "needs root"]
fn duplicate_mac_address_is_told() {
    let patient = bridge("mac=$(ip netns exec red cat /sys/class/net/eth0/address)");
    let text = patient.sandbox.sh("ip -n red -j link show dev eth0");
    let link: serde_json::Value = serde_json::from_str(&text).expect("ip prints JSON");
    let mac = link[0]["address"].as_str().expect("a MAC address");
    patient.sandbox.sh(&format!("ip -n blue link set dev eth0 address {mac}"));
    patient.is_cured(RED_TO_BLUE, &[], &["duplicate_mac"]);
}

#[test]
#[ignore = "needs root"]
fn duplicate_address_is_told_with_one_that_is_free() {
    let patient =
        bridge("ip -n blue addr flush dev eth0 && ip -n blue addr add 10.0.0.1/24 dev eth0");
    // Nobody is to be reached at the address that is free.
    let findings = patient.is_cured(("blue", "10.0.0.2"), &[], &["duplicate_address"]);
    assert_eq!(findings[0]["netns"]["label"], "red");
}

#[test]
#[ignore = "needs root"]
fn port_with_another_mtu_is_told() {
    let patient = bridge("ip link set dev blue mtu 1300 && ip link set dev br0 mtu 1500");
    let findings = patient.is_cured(("red", "-s 1472 10.0.0.2"), &["red"], &["mtu_mismatch"]);
    assert_eq!(findings[0]["remedy"], "ip link set dev blue mtu 1500");
}

#[test]
#[ignore = "needs root"]
fn bridge_in_another_namespace_is_looked_at_there() {
    let patient = Patient::new("ip netns add outer");
    let script = BRIDGE
        .replace("ip link", "ip -n outer link")
        .replace("master br0 &&", "master br0 && true &&");
    patient.sandbox.sh(&format!("{script} && ip -n outer link set dev br0 down"));
    let findings = patient.is_cured(RED_TO_BLUE, &[], &["bridge_down"]);
    assert_eq!(findings[0]["netns"]["label"], "outer");
}

#[test]
#[ignore = "needs root"]
fn gateway_is_missing_until_the_bridge_has_its_address() {
    let patient = bridge(
        "for netns in red blue; do ip -n $netns route add default via 10.0.0.254; done \
         && sysctl -qw net.ipv4.ip_forward=0 && ip link add dev up0 type bridge \
         && ip link set dev up0 up && ip addr add 198.51.100.1/24 dev up0",
    );
    assert!(!patient.pings("red", "198.51.100.1"));
    let findings = patient.wrong(&["br0"]);
    assert_eq!(codes(&findings), ["gateway_missing"; 2]);
    patient.treat(&findings);
    // An own address of the host is reached without forwarding; what is beyond is not.
    wait_until("the host to answer", || patient.pings("red", "198.51.100.1"));
    let findings = patient.wrong(&["br0"]);
    assert_eq!(codes(&findings), ["forwarding_off"]);
    patient.treat(&findings);
    assert_eq!(codes(&patient.wrong(&["br0"])), [""; 0]);
}
