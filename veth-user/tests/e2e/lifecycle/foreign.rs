//! What is not the fabric's own: it is refused where it is in the way, served where it joins,
//! and never touched.

use std::fs;

use super::{HOOKS, PAIR, filters, redirected, status};
use crate::sandbox::{Sandbox, wait_until};

/// The group that ports are put into before they are deleted together.
const DOOMED: u32 = u32::from_be_bytes(*b"veth");

/// A namespace with a port in the bridge, made by somebody else.
const GUEST: &str = "ip netns add guest \
    && ip link add guest0 type veth peer name eth0 netns guest \
    && ip link set guest0 master lab up \
    && ip -n guest addr add 10.77.0.9/24 dev eth0 && ip -n guest link set eth0 up";

#[test]
#[ignore = "needs root"]
fn things_of_others_are_refused_and_stay_as_they_are() {
    let cases = [
        ("ip link add lab type bridge", "ip -d link show lab", "ip link del lab", "bridge lab"),
        (
            "ip link add lab type veth peer name other",
            "ip -d link show lab",
            "ip link del lab",
            "bridge lab",
        ),
        ("ip link add blue type bridge", "ip -d link show blue", "ip link del blue", "port blue"),
        (
            "ip link add blue type veth peer name other",
            "ip -d link show blue",
            "ip link del blue",
            "port blue",
        ),
        (
            "ip netns add blue && ip -n blue link add eth0 type bridge",
            "ip -n blue -d link",
            "ip netns del blue",
            "namespace blue",
        ),
        (
            "echo mine > /run/netns/blue",
            "cat /run/netns/blue",
            "rm /run/netns/blue",
            "namespace blue",
        ),
    ];
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    for (make, show, remove, name) in cases {
        sandbox.sh(make);
        let before = sandbox.sh(show);
        let links = sandbox.sh("ip -o link | wc -l");

        let refused = sandbox.veth(&["up", &file]).fails(3, name);
        assert!(refused.stderr.contains("left alone"), "{make}: {}", refused.stderr);
        sandbox.veth(&["up", &file, "--dry-run"]).fails(3, name);
        sandbox.veth(&["run", &file, "--seconds", "1"]).fails(3, name);
        sandbox.veth(&["down", &file]).ok();

        assert_eq!(sandbox.sh(show), before, "{make}");
        assert_eq!(sandbox.sh("ip -o link | wc -l"), links, "{make}");
        assert!(!sandbox.path("/run/netns/red").exists(), "{make}");
        sandbox.sh(remove);
        sandbox.assert_empty();
    }
}

#[test]
#[ignore = "needs root"]
fn all_that_is_in_the_way_is_named_at_once() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.sh("ip link add lab type bridge && ip link add red type bridge && ip netns add blue");
    let refused = sandbox.veth(&["up", &file]).fails(3, "bridge lab");
    assert!(refused.stderr.contains("port red"), "{}", refused.stderr);
    assert!(refused.stderr.contains("namespace blue"), "{}", refused.stderr);
    sandbox.sh("ip link del lab && ip link del red && ip netns del blue");
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn fabric_of_another_name_is_foreign_too() {
    let sandbox = Sandbox::new();
    let lab = sandbox.file("lab.toml", PAIR);
    let den = sandbox.file("den.toml", &PAIR.replace("lab", "den"));
    sandbox.veth(&["up", &lab]).ok();
    sandbox.veth(&["up", &den]).fails(3, "veth port lab/red");
    sandbox.veth(&["down", "den"]).ok();
    sandbox.veth(&["status", &lab]).ok();
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn port_of_a_guest_is_served_and_left_without_a_trace() {
    for hook in HOOKS {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pair.toml", PAIR);
        sandbox.veth(&["up", &file, "--hook", hook]).ok();
        sandbox.sh(GUEST);
        let ifindex = sandbox.ifindex("guest0");

        let done = sandbox.veth(&["up", &file, "--hook", hook, "--json"]).ok().json();
        assert_eq!(done["datapath"]["attached"], 1, "{hook}: {done}");
        sandbox.ping("guest", "10.77.0.1");
        assert!(redirected(&sandbox, "guest0") > 0);

        sandbox.veth(&["down", "lab"]).ok();
        assert_eq!(sandbox.ifindex("guest0"), ifindex);
        assert_eq!(filters(&sandbox, "guest0"), "", "{hook}: a filter is left");
        sandbox.sh("ip netns del guest");
        wait_until("the guest to be gone", || sandbox.sh("ip -o link").lines().count() == 1);
        sandbox.assert_empty();
    }
}

#[test]
#[ignore = "needs root"]
fn qdisc_that_was_made_for_a_guest_goes_with_the_filter() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file, "--hook", "clsact"]).ok();
    sandbox.sh(GUEST);
    let before = sandbox.sh("tc qdisc show dev guest0");
    sandbox.veth(&["up", &file, "--hook", "clsact"]).ok();
    sandbox.veth(&["down", "lab"]).ok();
    assert_eq!(sandbox.sh("tc qdisc show dev guest0"), before);
    sandbox.sh("ip link del guest0 && ip netns del guest");
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn port_of_a_guest_loses_its_filter_even_when_the_pins_are_gone() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file, "--hook", "clsact"]).ok();
    sandbox.sh(GUEST);
    sandbox.veth(&["up", &file, "--hook", "clsact"]).ok();
    sandbox.sh("rm -r /sys/fs/bpf/veth/lab");
    sandbox.veth(&["down", "lab"]).ok();
    assert_eq!(filters(&sandbox, "guest0"), "");
    sandbox.sh("ip link del guest0 && ip netns del guest");
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn guest_that_left_the_bridge_is_left_without_a_trace() {
    for hook in HOOKS {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pair.toml", PAIR);
        sandbox.veth(&["up", &file, "--hook", hook]).ok();
        sandbox.sh(GUEST);
        sandbox.veth(&["up", &file, "--hook", hook]).ok();
        sandbox.sh("ip link set guest0 nomaster");

        sandbox.veth(&["up", &file]).ok();
        assert_eq!(filters(&sandbox, "guest0"), "", "{hook}: a filter is left by up");
        let pin = format!("/sys/fs/bpf/veth/lab/ports/{}", sandbox.ifindex("guest0"));
        assert!(!sandbox.path(&pin).exists(), "{hook}: a link is left by up");

        sandbox.veth(&["down", "lab"]).ok();
        assert_eq!(filters(&sandbox, "guest0"), "", "{hook}: a filter is left by down");
        sandbox.sh("ip link del guest0 && ip netns del guest");
        sandbox.assert_empty();
    }
}

#[test]
#[ignore = "needs root"]
fn filters_of_others_stay_on_a_guest() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file, "--hook", "clsact"]).ok();
    sandbox.sh(GUEST);
    sandbox.sh("tc qdisc add dev guest0 clsact \
         && tc filter add dev guest0 ingress pref 7 bpf bytecode '1,6 0 0 0,' flowid 1:1");
    sandbox.veth(&["up", &file, "--hook", "clsact"]).ok();
    assert!(filters(&sandbox, "guest0").contains("tc_ingress"));
    sandbox.veth(&["down", "lab"]).ok();
    let left = filters(&sandbox, "guest0");
    assert!(left.contains("pref 7") && !left.contains("tc_ingress"), "{left}");
    sandbox.sh("ip link del guest0 && ip netns del guest");
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn strange_things_among_the_names_of_namespaces_are_no_obstacle() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    fs::create_dir(sandbox.path("/run/netns/folder")).expect("the name is free");
    sandbox.sh("ln -s /nowhere /run/netns/dangling && mkfifo /run/netns/pipe");
    let mut command = sandbox.command("timeout");
    command.args(["20", crate::sandbox::VETH, "up", &file]);
    crate::sandbox::Run::of(command).ok();
    assert_eq!(status(&sandbox, "lab")["problems"], serde_json::json!([]));
    sandbox.veth(&["down", "lab"]).ok();
    sandbox.sh("rmdir /run/netns/folder && rm /run/netns/dangling /run/netns/pipe");
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn killed_down_dooms_no_port_that_up_took_over() {
    let sandbox = Sandbox::new();
    let pair = sandbox.file("pair.toml", PAIR);
    let trio = format!("{PAIR}\n[[netns]]\nname = \"green\"\n");
    let trio = sandbox.file("trio.toml", &trio);
    sandbox.veth(&["up", &trio]).ok();
    // As a `down` leaves it that is killed between choosing its ports and deleting them.
    sandbox.sh(&format!("ip link set red group {DOOMED}; ip link set blue group {DOOMED}"));
    sandbox.veth(&["up", &trio]).ok();
    let before = super::identities(&sandbox, &["red", "blue"]);

    sandbox.veth(&["up", &pair]).ok();

    assert_eq!(before, super::identities(&sandbox, &["red", "blue"]));
    sandbox.ping("red", "10.77.0.2");
    sandbox.down("lab");
}
