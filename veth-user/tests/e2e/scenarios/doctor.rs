//! What `veth doctor` says of each example, as it is and with the one thing wrong that people meet.

use serde_json::Value;

use super::{Example, example};
use crate::sandbox::{Sandbox, wait_until};

/// The codes that `veth doctor` ends with for `arguments`, without notes. It is asked until it says
/// `expected`, because carriers and addresses take a moment.
#[track_caller]
fn diagnosed(sandbox: &Sandbox, arguments: &[&str], expected: &[&str]) {
    let mut told = Vec::new();
    wait_until(&format!("{arguments:?} to be {expected:?}"), || {
        let run = sandbox.veth(&[&["doctor", "--json"], arguments].concat());
        let findings = run.json()["findings"].as_array().expect("there is a list").clone();
        let is_grave = |it: &&Value| it["severity"] != "note";
        let code = |it: &Value| it["code"].as_str().expect("each has a code").to_owned();
        told = findings.iter().filter(is_grave).map(code).collect();
        told.dedup();
        assert_eq!(run.code, i32::from(!told.is_empty()), "{}", run.stderr);
        told == expected
    });
}

/// What is found of an example, after `script`.
#[track_caller]
fn examine(example: &Example, fabric: &str, script: &str, expected: &[&str]) {
    let sandbox = Sandbox::new();
    example.up(&sandbox);
    sandbox.sh(script);
    diagnosed(&sandbox, &[fabric], expected);
    sandbox.down(fabric);
}

#[test]
#[ignore = "needs root"]
fn examples_that_work_have_nothing_wrong() {
    for (example, fabric) in [
        (example!("both-ends.toml"), "twin"),
        (example!("two-ends.toml"), "duo"),
        (example!("mesh-3.toml"), "mesh3"),
        (example!("mesh-4.toml"), "mesh4"),
        (example!("star-3.toml"), "star3"),
        (example!("star-4.toml"), "star4"),
    ] {
        examine(&example, fabric, "true", &[]);
    }
}

#[test]
#[ignore = "needs root"]
fn end_without_an_address_is_named() {
    examine(&example!("one-end.toml"), "solo", "true", &["one_end_addressed"]);
}

#[test]
#[ignore = "needs root"]
fn setting_that_two_ends_of_one_namespace_lack_is_named() {
    let off = "ip netns exec red sysctl -qw net.ipv4.conf.veth0.accept_local=0";
    examine(&example!("both-ends.toml"), "twin", off, &["accept_local"]);
    let strict = "ip netns exec red sysctl -qw net.ipv4.conf.veth1.rp_filter=1";
    examine(&example!("both-ends.toml"), "twin", strict, &["rp_filter"]);
}

#[test]
#[ignore = "needs root"]
fn addresses_that_a_pair_does_not_reach_are_told_apart() {
    let sandbox = Sandbox::new();
    example!("host-end.toml").up(&sandbox);
    let from = |to: &'static str| ["--from", "red", "--to", to];
    diagnosed(&sandbox, &from("10.1.3.77"), &["address_unknown", "forwarding_off"]);
    diagnosed(&sandbox, &from("198.51.100.1"), &["no_route", "forwarding_off"]);
    sandbox.down("door");
}

#[test]
#[ignore = "needs root"]
fn end_that_is_down_is_named() {
    let down = "ip -n red link set veth0 down";
    examine(&example!("two-ends.toml"), "duo", down, &["end_down"]);
}

#[test]
#[ignore = "needs root"]
fn route_through_another_device_is_found() {
    examine(&example!("two-ways.toml"), "detour", "true", &["overlapping_subnets"]);
}

#[test]
#[ignore = "needs root"]
fn container_behind_a_host_that_does_not_forward_is_told() {
    examine(&example!("container.toml"), "ship", "true", &["forwarding_off"]);
}
