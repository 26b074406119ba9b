//! One ping, followed: `veth doctor --from NETNS --to ADDRESS`.

use serde_json::Value;

use super::{Patient, RED_BLUE, codes};
use crate::sandbox::{Started, wait_until};

/// Red and blue, each with a pair to the host, which is between them.
const ROUTED: &str = "sysctl -qw net.ipv4.ip_forward=0 \
     && number=0 && for netns in red blue; do number=$((number + 1)) \
     && ip netns add $netns && ip link add dev $netns type veth peer name eth0 netns $netns \
     && ip link set dev $netns up && ip addr add 10.0.$number.254/24 dev $netns \
     && ip -n $netns link set dev eth0 up \
     && ip -n $netns addr add 10.0.$number.1/24 dev eth0 || exit 1; done";

/// Does what is proposed, one finding at a time, until nothing is wrong. What was found on the way.
#[track_caller]
fn cure_step_by_step(patient: &Patient, args: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let findings = patient.wrong(args);
        let Some(first) = findings.first() else { return found };
        found.push(format!("{} in {}", codes(&findings)[0], first["netns"]["label"]));
        assert!(found.len() < 10, "{found:?}");
        patient.treat(&findings[..1]);
    }
}

fn hops(output: &Value, way: &str) -> Vec<String> {
    let hops = output["trace"][way].as_array().expect("hops are a list");
    hops.iter().map(|hop| hop.as_str().expect("a text").to_owned()).collect()
}

#[test]
#[ignore = "needs root"]
fn ping_through_a_router_is_brought_to_work_step_by_step() {
    let patient = Patient::new(ROUTED);
    assert!(!patient.pings("red", "10.0.2.1"));
    let found = cure_step_by_step(&patient, &["--from", "red", "--to", "10.0.2.1"]);
    let codes: Vec<&str> = found.iter().filter_map(|it| it.split(' ').next()).collect();
    assert_eq!(codes, ["no_route", "forwarding_off", "no_route"], "{found:?}");
    assert!(found[0].contains("red") && found[2].contains("blue"), "{found:?}");
    wait_until("the ping to work", || patient.pings("red", "10.0.2.1"));

    let run = patient.doctor(&["--from", "red", "--to", "10.0.2.1", "--json"]).ok();
    let output = run.json();
    assert_eq!(
        hops(&output, "request"),
        [
            "red: out of eth0 via 10.0.1.254 -> red",
            "this namespace: out of blue -> eth0 in blue",
            "blue: has 10.0.2.1",
        ]
    );
    assert_eq!(hops(&output, "reply").len(), 3);
    assert_eq!(codes.len(), 3);
}

#[test]
#[ignore = "needs root"]
fn address_of_the_subnet_that_nobody_has_is_told() {
    let patient = Patient::new(RED_BLUE);
    let args = ["--from", "red", "--to", "10.0.0.9"];
    let findings = patient.is_cured(("red", "10.0.0.9"), &args, &["address_unknown"]);
    let evidence = findings[0]["evidence"].to_string();
    assert!(
        evidence.contains("10.0.0.1, 10.0.0.2") && evidence.contains("no answer"),
        "{evidence}"
    );
}

#[test]
#[ignore = "needs root"]
fn pair_alone_does_not_lead_outside() {
    let patient = Patient::new(RED_BLUE);
    let args = ["--from", "red", "--to", "198.51.100.7"];
    assert!(!patient.pings("red", "198.51.100.7"));
    let findings = patient.wrong(&args);
    assert_eq!(codes(&findings), ["no_route"]);
    let evidence = findings[0]["evidence"].to_string();
    assert!(evidence.contains("nobody on the segments of red knows a way"), "{evidence}");
}

#[test]
#[ignore = "needs root"]
fn outside_needs_a_route_a_router_and_an_address_that_is_known_there() {
    let patient = Patient::new(ROUTED);
    // A namespace that the doctor cannot see: it has no name, and its process is in another process
    // namespace.
    let mut command = patient.sandbox.command("unshare");
    command.args(["--net", "sh", "-c", "ip link set dev lo up; echo $$; exec sleep infinity"]);
    let mut world = Started::of(command);
    let pid = world.line();
    patient.sandbox.sh(&format!(
        "ip link add dev up0 type veth peer name eth0 netns {pid} && ip link set dev up0 up \
         && ip addr add 198.51.100.2/24 dev up0 && nsenter -t {pid} -n sh -c \
         'ip link set dev eth0 up; ip addr add 198.51.100.1/24 dev eth0'"
    ));
    assert!(!patient.pings("red", "198.51.100.1"));
    let found = cure_step_by_step(&patient, &["--from", "red", "--to", "198.51.100.1"]);
    let codes: Vec<&str> = found.iter().filter_map(|it| it.split(' ').next()).collect();
    assert_eq!(codes, ["no_route", "forwarding_off", "nat_missing"], "{found:?}");
    wait_until("the ping to work", || patient.pings("red", "198.51.100.1"));
}

#[test]
#[ignore = "needs root"]
fn filter_of_the_target_is_named_and_not_judged() {
    let patient = Patient::new(RED_BLUE);
    patient.sandbox.sh("ip netns exec blue nft 'add table ip mine; \
         add chain ip mine input { type filter hook input priority 0; policy drop; }'");
    assert!(!patient.pings("red", "10.0.0.2"));
    let findings = patient.findings(&["--from", "red", "--to", "10.0.0.2"]);
    let filtered = findings.iter().find(|it| it["code"] == "filtered").expect("it is named");
    assert_eq!(filtered["severity"], "note");
    assert_eq!(filtered["evidence"][0], "table ip mine, chain input: policy drop");
    // Without a ping to follow, nobody asked about filters.
    assert!(!codes(&patient.findings(&["red"])).contains(&"filtered"));
}

#[test]
#[ignore = "needs root"]
fn own_address_takes_lo() {
    let patient = Patient::new(RED_BLUE);
    let args = ["--from", "red", "--to", "10.0.0.1"];
    patient.is_cured(("red", "10.0.0.1"), &args, &["lo_down"]);
}

#[test]
#[ignore = "needs root"]
fn way_over_a_fabric_is_told_both_ways() {
    let patient = Patient::new("true");
    let file = patient.sandbox.file("pair.toml", crate::lifecycle::PAIR);
    patient.sandbox.veth(&["up", &file]).ok();
    for to in ["10.77.0.2", "fd77::2"] {
        assert!(patient.pings("red", to));
        let run = patient.doctor(&["--from", "red", "--to", to, "--json"]).ok();
        let output = run.json();
        let expected =
            ["red: out of eth0 by bridge lab -> eth0 in blue".into(), format!("blue: has {to}")];
        assert_eq!(hops(&output, "request"), expected);
        assert_eq!(hops(&output, "reply")[0], "blue: out of eth0 by bridge lab -> eth0 in red");
        assert_eq!(output["findings"], serde_json::json!([]));
    }
    patient.sandbox.down("lab");
}
