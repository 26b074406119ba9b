//! Ports that the fast path does not serve.

use super::{Patient, codes};
use crate::{
    lifecycle::PAIR,
    sandbox::{Started, wait_until},
};

/// The fabric `lab`, up.
#[track_caller]
fn fabric(args: &[&str]) -> Patient {
    let patient = Patient::new("true");
    let file = patient.sandbox.file("pair.toml", PAIR);
    patient.sandbox.veth(&[&["up", &file], args].concat()).ok();
    assert_eq!(codes(&patient.findings(&["lab"])), [""; 0]);
    patient
}

/// Makes `red` unfit with a script; the doctor says why, and what it proposes makes it fit.
#[track_caller]
fn assert_told(patient: &Patient, script: &str, reason: &str) {
    patient.sandbox.sh(script);
    let findings = patient.wrong(&["lab"]);
    assert_eq!(codes(&findings), ["not_accelerated"], "{findings:#?}");
    assert_eq!(findings[0]["reason"], reason);
    assert_eq!(findings[0]["device"], "red");
    patient.treat(&findings);
    assert_eq!(codes(&patient.findings(&["lab"])), [""; 0]);
}

#[test]
#[ignore = "needs root"]
fn port_that_tc_must_not_serve_is_told_with_the_reason() {
    let patient = fabric(&[]);
    assert_told(&patient, "tc qdisc add dev red root pfifo", "qdisc");
    assert_told(&patient, "bridge link set dev red learning off", "learning_off");
    assert_told(&patient, "ethtool -K red tx off", "port_offloads");
    assert_told(&patient, "ethtool -K red tso off", "port_offloads");
    // Whole fabrics are not one port's affair.
    patient.sandbox.sh("ip link set dev lab down");
    assert_eq!(codes(&patient.wrong(&["lab"])), ["bridge_down"]);
    patient.sandbox.sh("ip link set dev lab up");
    patient.sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn offloads_that_xdp_needs_otherwise_are_told() {
    let patient = fabric(&["--datapath", "xdp"]);
    let ethtool = |what: &str| format!("ip netns exec red ethtool -K eth0 {what}");
    assert_told(&patient, &ethtool("tx-checksum-ip-generic on"), "xdp_offloads");
    assert_told(&patient, &ethtool("gro off"), "xdp_offloads");
    patient.sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn port_without_the_program_is_told() {
    let patient = fabric(&["--hook", "clsact"]);
    patient.sandbox.sh("tc filter del dev red ingress");
    let findings = patient.wrong(&["lab"]);
    assert_eq!(codes(&findings), ["not_attached"]);
    let remedy = findings[0]["remedy"].as_str().expect("a command");
    assert_eq!(remedy, "veth agent lab");
    let args: Vec<&str> = remedy.split(' ').skip(1).collect();
    let agent = Started::of(patient.sandbox.veth_command(&args));
    wait_until("the agent to attach it", || patient.wrong(&["lab"]).is_empty());
    drop(agent);
    patient.sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn part_of_a_fabric_that_is_missing_is_told() {
    let patient = fabric(&[]);
    patient.sandbox.sh("ip netns del blue");
    wait_until("the port to go", || !patient.sandbox.sh("ip -o link").contains("blue"));
    patient.sandbox.sh("ip link set dev red nomaster");
    let findings = patient.wrong(&["red"]);
    assert!(codes(&findings).contains(&"host_side_alone"), "{findings:#?}");
    let file = patient.sandbox.file_path("pair.toml");
    patient.sandbox.veth(&["up", &file]).ok();
    assert_eq!(codes(&patient.findings(&["lab"])), [""; 0]);
    patient.sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn fabric_without_its_bridge_is_told() {
    let patient = fabric(&[]);
    patient.sandbox.sh("ip link del dev lab");
    let findings = patient.wrong(&["lab"]);
    assert!(codes(&findings).iter().all(|code| *code == "fabric_incomplete"), "{findings:#?}");
    assert!(findings.iter().any(|it| it["cause"] == "fabric lab: the bridge is missing"));
    let file = patient.sandbox.file_path("pair.toml");
    patient.sandbox.veth(&["up", &file]).ok();
    assert_eq!(codes(&patient.findings(&["lab"])), [""; 0]);
    patient.sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn bridge_without_a_fast_path_is_a_note_for_who_asks() {
    let patient = Patient::new(
        "ip link add dev docker0 type bridge && ip link set dev docker0 up && ip netns add web \
         && ip link add dev veth7 type veth peer name eth0 netns web \
         && ip link set dev veth7 master docker0 up && ip -n web link set dev eth0 up \
         && tc qdisc add dev veth7 root pfifo",
    );
    let findings = patient.findings(&["docker0"]);
    assert_eq!(codes(&findings), ["no_fast_path"]);
    let evidence = findings[0]["evidence"].to_string();
    assert!(evidence.contains("port veth7 could not be served: "), "{evidence}");
    let remedy = findings[0]["remedy"].as_str().expect("there is one");
    assert!(remedy.starts_with("veth attach docker0"), "{remedy}");
    assert_eq!(codes(&patient.findings(&[])), [""; 0]);
}
