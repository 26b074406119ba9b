//! Both ends in one namespace, or one of them on the host.

use super::{example, frames, ip, lost, way};
use crate::{
    sandbox::{Sandbox, wait_until},
    traffic::{
        talk::mac,
        wire::{Wire, frame},
    },
};
use veth_common::Mac;

/// Who has an address? Asked by ARP, as the kernel does.
fn arp_request(from: Mac, sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let payload = [&[0, 1, 8, 0, 6, 4, 0, 1][..], &from.0, &sender, &[0; 6], &target].concat();
    frame(Mac([0xff; 6]), from, 0x0806, &payload)
}

#[test]
#[ignore = "needs root"]
fn question_to_an_end_without_an_address_arrives_and_is_not_answered() {
    let sandbox = Sandbox::new();
    example!("one-end.toml").up(&sandbox);
    let far_end = sandbox.inside("red", || Wire::open("veth1"));

    let said = lost(&sandbox, "red", &["10.1.1.2"]);

    let question = arp_request(mac(&sandbox, Some("red"), "veth0"), [10, 1, 1, 1], [10, 1, 1, 2]);
    far_end.receive_until(&question);
    assert!(said.contains("100% packet loss"), "{said}");
    let neighbour = ip(&sandbox, "-n red neigh show 10.1.1.2");
    assert_eq!(neighbour.get("lladdr"), None, "nobody answered: {neighbour}");
    sandbox.down("solo");
}

#[test]
#[ignore = "needs root"]
fn two_ends_of_one_namespace_talk_through_the_pair_and_are_answered_over_lo() {
    let sandbox = Sandbox::new();
    let file = example!("both-ends.toml").up(&sandbox);
    // Without a device, an address of one's own never leaves lo.
    assert_eq!(way(&sandbox, "red", "10.1.2.2"), "lo");

    let before = [frames(&sandbox, "red", "veth1", "rx"), frames(&sandbox, "red", "lo", "rx")];
    sandbox.sh("ip netns exec red ping -n -q -c 3 -i 0.2 -I veth0 10.1.2.2");
    let after = [frames(&sandbox, "red", "veth1", "rx"), frames(&sandbox, "red", "lo", "rx")];
    assert!(after[0] >= before[0] + 3, "the questions take the pair");
    assert_eq!(after[1], before[1] + 3, "the answers take lo, and nothing else does");
    // The other way as well: both ends are set for it.
    sandbox.sh("ip netns exec red ping -n -q -c 1 -I veth1 10.1.2.1");
    sandbox.veth(&["status", &file]).ok();
    sandbox.down("twin");
}

#[test]
#[ignore = "needs root"]
fn what_two_ends_of_one_namespace_need_is_what_the_file_says() {
    let deaf = |changes: &[(&str, &str)]| {
        let sandbox = Sandbox::new();
        let file = example!("both-ends.toml").up_with(&sandbox, changes);
        let _ = lost(&sandbox, "red", &["-I", "veth0", "10.1.2.2"]);
        // Not even the question for the MAC address is answered.
        let neighbour = ip(&sandbox, "-n red neigh show 10.1.2.2");
        assert_eq!(neighbour.get("lladdr"), None, "{changes:?}: {neighbour}");
        sandbox.veth(&["status", &file]).ok();
        (sandbox, file)
    };
    deaf(&[("veth1.accept_local\" = 1", "veth1.accept_local\" = 0")]);
    deaf(&[("veth1.rp_filter\" = 0", "veth1.rp_filter\" = 1")]);
    let (sandbox, _) = deaf(&[("all.rp_filter\" = 0", "all.rp_filter\" = 1")]);
    // An edit of the file is enough, and the end that asks needs nothing.
    example!("both-ends.toml").up_with(
        &sandbox,
        &[
            ("veth0.accept_local\" = 1", "veth0.accept_local\" = 0"),
            ("veth0.rp_filter\" = 0", "veth0.rp_filter\" = 1"),
            // Not strict: the loose test is content with any way back.
            ("veth1.rp_filter\" = 0", "veth1.rp_filter\" = 2"),
        ],
    );
    sandbox.sh("ip netns exec red ping -n -q -c 1 -W 10 -I veth0 10.1.2.2");
    sandbox.down("twin");
}

#[test]
#[ignore = "needs root"]
fn other_addresses_are_reached_by_no_pair() {
    let sandbox = Sandbox::new();
    example!("both-ends.toml").up(&sandbox);
    let said = lost(&sandbox, "red", &["198.51.100.2"]);
    assert!(said.contains("Network is unreachable"), "{said}");
    sandbox.down("twin");
}

#[test]
#[ignore = "needs root"]
fn pair_to_the_host_leads_to_the_host_alone() {
    let sandbox = Sandbox::new();
    example!("host-end.toml").up(&sandbox);
    // What the host is connected to, as to a physical network.
    sandbox.sh("ip netns add world && ip link add uplink type veth peer eth0 netns world \
         && ip addr add 198.51.100.1/24 dev uplink && ip link set uplink up \
         && ip -n world addr add 198.51.100.2/24 dev eth0 && ip -n world link set eth0 up \
         && ip -n world route add default via 198.51.100.1");
    wait_until("the world to be there", || {
        sandbox.sh("ping -n -q -c 1 -W 1 198.51.100.2 >/dev/null && echo yes || true") == "yes\n"
    });

    sandbox.ping("red", "10.1.3.2");
    let said = lost(&sandbox, "red", &["-W", "10", "10.1.3.9"]);
    assert!(said.contains("Destination Host Unreachable"), "{said}");
    let arrived = || sandbox.device_counter("door0", "rx_packets");
    let before = arrived();
    let _ = lost(&sandbox, "red", &["198.51.100.2"]);
    assert!(arrived() > before, "it arrives at the host, which lets it lie");

    // Not what a file may do to a host, and all that is missing.
    sandbox.sh("sysctl -q -w net.ipv4.ip_forward=1");
    sandbox.ping("red", "198.51.100.2");
    sandbox.sh("ip link del uplink && ip netns del world");
    sandbox.down("door");
}

#[test]
#[ignore = "needs root"]
fn host_is_as_it_was_when_a_pair_to_it_is_gone() {
    let sandbox = Sandbox::new();
    let settings = || {
        sandbox.sh("cd /proc/sys/net && grep -r . ipv4/conf ipv6/conf ipv4/ip_forward 2>/dev/null | sort; ip route; ip -6 route; ip rule")
    };
    let before = settings();
    example!("host-end.toml").up_with(
        &sandbox,
        &[(
            "addresses = [\"10.1.3.2/24\"]",
            "addresses = [\"10.1.3.2/24\"], sysctls = { \"net.ipv4.conf.door0.rp_filter\" = 1 }",
        )],
    );
    assert_eq!(sandbox.sh("cat /proc/sys/net/ipv4/conf/door0/rp_filter"), "1\n");
    sandbox.down("door");
    assert_eq!(settings(), before);
}
