//! `eth0@if7` in a container, and what that is on the host.

use super::{example, ip};
use crate::{
    ls::Lonely,
    sandbox::{Run, Sandbox},
};

/// The index behind the `@if` of a device, as people see it.
#[track_caller]
fn peer_index(text: &str, device: &str) -> String {
    let (_, rest) = text.split_once(&format!("{device}@if")).expect("ip tells of the other end");
    rest.split_once(':').expect("followed by flags").0.to_owned()
}

/// The name that `veth ls KEY` has for the end on the host of the only pair that it finds.
#[track_caller]
fn port(sandbox: &Sandbox, key: &str) -> String {
    let found = sandbox.veth(&["ls", key, "--json"]).ok().json();
    let pairs = found["pairs"].as_array().expect("pairs are a list");
    assert_eq!(pairs.len(), 1, "{key}: {found}");
    assert_eq!(pairs[0]["peer"]["name"], "eth0");
    pairs[0]["port"]["name"].as_str().expect("it was seen").to_owned()
}

#[test]
#[ignore = "needs root"]
fn interface_of_a_namespace_is_resolved_to_its_end_on_the_host() {
    let sandbox = Sandbox::new();
    example!("container.toml").up(&sandbox);
    let index = peer_index(&sandbox.sh("ip -n box link show dev eth0"), "eth0");
    let host = ip(&sandbox, "link show dev vethbox");
    assert_eq!(host["ifindex"].to_string(), index);
    assert_eq!(port(&sandbox, "vethbox"), "vethbox");
    // From the host the same is said the other way round.
    let back = peer_index(&sandbox.sh("ip link show dev vethbox"), "vethbox");
    assert_eq!(ip(&sandbox, "-n box link show dev eth0")["ifindex"].to_string(), back);
    sandbox.ping("box", "10.1.8.1");
    sandbox.down("ship");
}

#[test]
#[ignore = "needs root"]
fn process_without_a_named_namespace_is_resolved_by_its_pid() {
    let sandbox = Sandbox::new();
    example!("container.toml").up(&sandbox);
    let lonely = Lonely::start(&sandbox);
    let pid = &lonely.pid;
    sandbox.sh(&format!(
        "ip link add vethlone type veth peer name eth0 netns {pid} && ip link set vethlone up"
    ));
    let mut seen = sandbox.command("nsenter");
    seen.args(["-t", pid, "-n", "ip", "link", "show", "dev", "eth0"]);
    let index = peer_index(&Run::of(seen).ok().stdout, "eth0");
    assert_eq!(ip(&sandbox, "link show dev vethlone")["ifindex"].to_string(), index);
    assert_eq!(port(&sandbox, pid), "vethlone");

    // The namespace of the example and that of the process have an eth0@if each, and neither is
    // taken for the other.
    let of_box = peer_index(&sandbox.sh("ip -n box link show dev eth0"), "eth0");
    assert_ne!(of_box, index);
    assert_eq!(port(&sandbox, "vethbox"), "vethbox");
    sandbox.sh("ip link del vethlone");
    sandbox.down("ship");
}
