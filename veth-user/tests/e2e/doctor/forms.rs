//! What can be asked, and how it is answered.

use super::{Patient, RED_BLUE, codes};
use crate::sandbox::{Started, wait_until};

/// A pair in one namespace, one end of which has an address.
const SOLO: &str = r#"
name = "solo"

[[pair]]
a = { netns = "alone", ifname = "veth0", addresses = ["10.1.1.1/24"] }
b = { netns = "alone", ifname = "veth1" }
"#;

#[test]
#[ignore = "needs root"]
fn text_is_for_people_and_says_what_to_type() {
    let patient = Patient::new(&format!("{RED_BLUE} && ip -n blue link set dev eth0 down"));
    let run = patient.doctor(&[]);
    assert_eq!(run.code, 1);
    let lines: Vec<&str> = run.stdout.lines().collect();
    assert_eq!(
        lines,
        [
            "error: eth0 in blue is down, so eth0 in red has no carrier either [end_down]",
            "    eth0 in blue is not UP",
            "    eth0 in red is UP and NO-CARRIER",
            "  # ip -n blue link set dev eth0 up",
        ]
    );
    assert_eq!(run.stderr, "");
}

#[test]
#[ignore = "needs root"]
fn only_what_was_asked_about_is_told() {
    let patient = Patient::new(&format!(
        "{RED_BLUE} && ip -n blue link set dev eth0 down && ip link add dev v0 type veth peer name v1"
    ));
    assert_eq!(codes(&patient.wrong(&[])), ["end_down"; 2]);
    let findings = patient.wrong(&["red"]);
    assert_eq!(codes(&findings), ["end_down"]);
    assert_eq!(findings[0]["netns"]["label"], "blue");
    assert_eq!(patient.wrong(&["v1"])[0]["netns"]["own"], true);
}

#[test]
#[ignore = "needs root"]
fn fabric_without_a_bridge_is_asked_about_by_its_name() {
    let patient = Patient::new(RED_BLUE);
    let file = patient.sandbox.file("solo.toml", SOLO);
    patient.sandbox.veth(&["up", &file]).ok();
    let findings = patient.wrong(&["solo"]);
    assert_eq!(codes(&findings), ["one_end_addressed"]);
    patient.sandbox.veth(&["down", "solo"]).ok();
    patient.doctor(&["solo"]).fails(1, "\"solo\" is no fabric");
}

#[test]
#[ignore = "needs root"]
fn what_is_not_there_is_an_error() {
    let patient = Patient::new(RED_BLUE);
    patient.doctor(&["nobody"]).fails(1, "\"nobody\" is no fabric, bridge, container");
    let run = patient.doctor(&["--from", "nobody", "--to", "10.0.0.2"]);
    run.fails(2, "--from nobody");
    patient.doctor(&["--from", "red"]).fails(2, "--to");
    patient.doctor(&["--from", "red", "--to", "blue"]).fails(2, "blue");
    patient.doctor(&["red", "--from", "red", "--to", "10.0.0.2"]).fails(2, "cannot be used");
}

#[test]
#[ignore = "needs root"]
fn namespace_of_a_process_is_named_by_it_and_entered_by_it() {
    let patient = Patient::new("true");
    let mut command = patient.sandbox.command("unshare");
    command.args(["--net", "sh", "-c", "echo $$; exec sleep infinity"]);
    let mut process = Started::of(command);
    let pid = process.line();
    wait_until("the command to be sleep", || {
        std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "sleep\n")
    });
    patient.sandbox.sh(&format!(
        "ip link add dev out0 type veth peer name in0 netns {pid} && ip link set dev out0 up \
         && ip addr add 10.0.0.1/24 dev out0 && nsenter -t {pid} -n ip addr add 10.0.0.2/24 dev in0"
    ));
    // In sight is what is on this machine, so only this pair is asked about.
    let doctor = || patient.sandbox.veth(&["doctor", &pid, "--json"]);
    let run = doctor();
    assert_eq!(run.code, 1, "{}{}", run.stdout, run.stderr);
    let findings = run.json()["findings"].as_array().expect("a list").clone();
    assert_eq!(codes(&findings)[0], "end_down");
    assert_eq!(findings[0]["netns"]["label"], format!("{pid} (sleep)"));
    let remedy = format!("nsenter -t {pid} -n ip link set dev in0 up");
    assert_eq!(findings[0]["remedy"], remedy);
    patient.sandbox.sh(&remedy);
    wait_until("the ping to work", || patient.pings("", "10.0.0.2"));
    assert_eq!(doctor().code, 0);
}

#[test]
#[ignore = "needs root"]
fn name_of_a_device_runs_no_command() {
    let patient = Patient::new(
        "ip netns add red && ip link add dev '$(touch${IFS}x)' type veth peer name eth0 netns red \
         && ip -n red link set dev eth0 up",
    );
    let findings = patient.wrong(&["red"]);
    assert_eq!(codes(&findings), ["end_down"]);
    assert_eq!(findings[0]["remedy"], "ip link set dev '$(touch${IFS}x)' up");
    patient.treat(&findings);
    assert_eq!(codes(&patient.wrong(&["red"])), [""; 0]);
}

#[test]
#[ignore = "needs root"]
fn change_that_a_doctor_could_make_would_be_seen() {
    let patient = Patient::new(RED_BLUE);
    for change in [
        "sysctl -qw net.ipv4.conf.all.accept_local=1",
        "ip netns exec red sysctl -qw net.ipv4.conf.eth0.rp_filter=2",
        "ip -n blue link set dev eth0 down",
        "ip -n blue link set dev eth0 mtu 1400",
        "ip -n red route add 10.9.0.0/16 dev eth0",
        "ip -n red addr add 10.0.0.3/24 dev eth0",
    ] {
        let before = patient.state_at_rest();
        patient.sandbox.sh(change);
        assert_ne!(before, patient.state(), "{change}");
    }
}
