//! No false alarms: what works, and what others set up on purpose, is no finding.

use super::{Patient, RED_BLUE, codes};
use crate::sandbox::wait_until;

/// Nothing is found, whatever is asked for.
#[track_caller]
fn assert_silent(patient: &Patient, targets: &[&str]) {
    // Addresses that the kernel makes itself are checked for a while.
    wait_until("duplicate address detection", || {
        let look = "for netns in $(ls /run/netns); do ip -n $netns addr; done; ip addr";
        !patient.sandbox.sh(look).contains("tentative")
    });
    assert_eq!(codes(&patient.findings(&[])), [""; 0]);
    for target in targets {
        assert_eq!(codes(&patient.findings(&[target])), [""; 0], "{target}");
    }
}

#[test]
#[ignore = "needs root"]
fn host_without_pairs_is_healthy() {
    let patient = Patient::new("true");
    assert_silent(&patient, &[]);
    let run = patient.doctor(&[]).ok();
    assert_eq!(run.stdout, "nothing wrong found (pairs: 0, bridges: 0)\n");
}

#[test]
#[ignore = "needs root"]
fn healthy_pair_is_no_finding() {
    let patient = Patient::new(RED_BLUE);
    assert!(patient.pings("red", "10.0.0.2"));
    assert_silent(&patient, &["red", "blue", "eth0"]);
}

#[test]
#[ignore = "needs root"]
fn fabrics_are_no_finding() {
    for (example, fabric) in [
        (include_str!("../../../../examples/pair.toml"), "lab"),
        (include_str!("../../../../examples/dual-stack.toml"), "dual"),
        (include_str!("../../../../examples/jumbo.toml"), "jumbo"),
        (include_str!("../../../../examples/xdp.toml"), "fast"),
        (include_str!("../../../../examples/bridge-only.toml"), "plain"),
    ] {
        let patient = Patient::new("true");
        let file = patient.sandbox.file("fabric.toml", example);
        patient.sandbox.veth(&["up", &file]).ok();
        assert_silent(&patient, &[]);
        let netns = patient.sandbox.sh("ls /run/netns | head -n 1");
        assert_silent(&patient, &[netns.trim_end()]);
        let name = example.lines().find_map(|line| line.strip_prefix("name = \""));
        let name = name.and_then(|rest| rest.split('"').next()).unwrap_or(fabric);
        patient.sandbox.down(name);
    }
}

#[test]
#[ignore = "needs root"]
fn bridge_of_containers_with_a_gateway_is_no_finding() {
    let patient = Patient::new(
        "sysctl -qw net.ipv4.ip_forward=1 && ip link add dev docker0 type bridge \
         && ip link set dev docker0 up && ip addr add 172.17.0.1/16 dev docker0 \
         && for number in 2 3; do ip netns add c$number \
         && ip link add dev veth$number type veth peer name eth0 netns c$number \
         && ip link set dev veth$number master docker0 up && ip -n c$number link set dev eth0 up \
         && ip -n c$number addr add 172.17.0.$number/16 dev eth0 \
         && ip -n c$number route add default via 172.17.0.1 || exit 1; done \
         && ip link add dev up0 type bridge && ip link set dev up0 up \
         && ip addr add 198.51.100.2/24 dev up0 && ip route add default via 198.51.100.1",
    );
    assert!(patient.pings("c2", "172.17.0.3") && patient.pings("c2", "172.17.0.1"));
    assert_silent(&patient, &["c2", "veth3"]);
}

#[test]
#[ignore = "needs root"]
fn routed_containers_are_no_finding() {
    // As the CNI plugin ptp has it: one address of the host on every pair, and routes to each.
    let patient = Patient::new(
        "sysctl -qw net.ipv4.ip_forward=1 \
         && for number in 5 6; do ip netns add c$number \
         && ip link add dev veth$number type veth peer name eth0 netns c$number \
         && ip link set dev veth$number up && ip addr add 10.22.0.1/32 dev veth$number \
         && ip -n c$number link set dev eth0 up && ip -n c$number addr add 10.22.0.$number/24 dev eth0 \
         && ip -n c$number route del 10.22.0.0/24 \
         && ip -n c$number route add 10.22.0.1 dev eth0 scope link \
         && ip -n c$number route add default via 10.22.0.1 \
         && ip route add 10.22.0.$number/32 dev veth$number || exit 1; done",
    );
    assert!(patient.pings("c5", "10.22.0.6"));
    assert_silent(&patient, &["c5", "veth6"]);
}

#[test]
#[ignore = "needs root"]
fn host_that_answers_for_all_is_no_finding() {
    // As Calico has it: no address on the host's side, which answers for the gateway.
    let patient = Patient::new(
        "sysctl -qw net.ipv4.ip_forward=1 && ip link add dev up0 type bridge && ip link set dev up0 up \
         && ip addr add 198.51.100.2/24 dev up0 && ip route add default via 198.51.100.1 \
         && for number in 5 6; do ip netns add c$number \
         && ip link add dev cali$number type veth peer name eth0 netns c$number \
         && ip link set dev cali$number up && sysctl -qw net.ipv4.conf.cali$number.proxy_arp=1 \
         && ip -n c$number link set dev eth0 up && ip -n c$number addr add 10.1.0.$number/32 dev eth0 \
         && ip -n c$number route add 169.254.1.1 dev eth0 scope link \
         && ip -n c$number route add default via 169.254.1.1 \
         && ip route add 10.1.0.$number/32 dev cali$number || exit 1; done",
    );
    wait_until("the ping to work", || patient.pings("c5", "10.1.0.6"));
    assert_silent(&patient, &["c5", "cali6"]);
    patient.doctor(&["--from", "c5", "--to", "10.1.0.6"]).ok();
}

#[test]
#[ignore = "needs root"]
fn frames_that_a_program_takes_are_no_finding() {
    // As the older Cilium has it: no address, no route, and a filter that knows where to.
    let patient = Patient::new(
        "ip netns add pod && ip link add dev lxc1 type veth peer name eth0 netns pod \
         && ip link set dev lxc1 up && ip -n pod link set dev eth0 up \
         && ip -n pod addr add 10.1.0.5/32 dev eth0",
    );
    assert_eq!(codes(&patient.wrong(&[])), ["host_side_alone"]);
    patient.sandbox.sh("tc qdisc add dev lxc1 clsact \
                        && tc filter add dev lxc1 ingress bpf direct-action bytecode '1,6 0 0 2'");
    assert_silent(&patient, &[]);
}
