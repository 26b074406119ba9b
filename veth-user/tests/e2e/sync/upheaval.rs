//! Agents that are killed, restarted or overrun, fabrics that go while one runs, and a stream
//! that lives through everything that the bridge would survive.

use nix::sys::signal::Signal;
use veth_common::Mac;

use super::lab::{Agent, Lab, blue, green, red};
use crate::{
    sandbox::{Sandbox, wait_until},
    traffic::{example, flow::Flow, over_both_fast_paths},
};

#[test]
#[ignore = "needs root"]
fn forwarding_goes_on_when_the_agent_is_killed_and_the_next_one_adopts_it() {
    let mut lab = Lab::up();
    lab.expect_fast(red(), blue());
    let program = lab.sandbox.sh("ls -i /sys/fs/bpf/veth/lab");
    lab.agent.kill();
    lab.expect_fast(red(), blue());

    lab.agent = Agent::start(&lab.sandbox);
    let said = lab.agent.said();
    for field in ["attached", "replaced", "detached", "stations"] {
        assert_eq!(said[0][field], 0, "{said:?}");
    }
    for field in ["added", "changed", "removed"] {
        assert_eq!(said[0]["tables"][field], 0, "{said:?}");
    }
    assert_eq!(lab.sandbox.sh("ls -i /sys/fs/bpf/veth/lab"), program, "it was made anew");
    lab.expect_fast(red(), blue());
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn what_changes_while_there_is_no_agent_is_found_by_the_next_one() {
    let mut lab = Lab::up();
    lab.agent.kill();
    let mac = Mac([2, 0xaa, 0, 0, 0, 2]);
    lab.sandbox.sh(&format!("ip -n red link set eth0 address {mac}; ip link set green nomaster"));
    let (port, left) = (lab.port("red"), lab.port("green"));
    lab.agent = Agent::start(&lab.sandbox);
    lab.follow("the past", "true", |maps| maps.serves(mac, port) && !maps.has_port(left));
    lab.expect_fast(red(), blue());
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn agent_that_was_overrun_looks_at_everything() {
    let lab = Lab::up();
    lab.expect_fast(red(), blue());
    lab.sandbox.sh("ip link add noise up type bridge");
    let flood: String =
        (0..20_000).map(|number| format!("link set dev noise alias {number:0>200}\n")).collect();
    let flood = lab.sandbox.file("flood", &flood);
    let (mac, port) = (Mac([2, 0xaa, 0, 0, 0, 3]), lab.port("red"));

    lab.agent.signal(Signal::SIGSTOP);
    lab.sandbox.sh(&format!("ip -batch {flood} && ip -n red link set eth0 address {mac}"));
    lab.agent.signal(Signal::SIGCONT);
    lab.follow("a change among lost events", "true", |maps| maps.serves(mac, port));
    wait_until("the agent to say so", || {
        lab.agent.said().iter().any(|it| it["agent"]["overruns"].as_u64() > Some(0))
    });
    lab.expect_fast(red(), blue());

    lab.sandbox.sh("ip link del noise");
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn agent_ends_by_itself_when_its_fabric_is_taken_down() {
    for _ in 0..5 {
        let sandbox = Sandbox::new();
        sandbox.veth(&["up", example!("pair")]).ok();
        let mut agent = Agent::start(&sandbox);
        sandbox.veth(&["down", "lab"]).ok();
        assert_eq!(agent.exit_code(), Some(0));
        sandbox.assert_empty();
    }
}

#[test]
#[ignore = "needs root"]
fn agent_for_no_fabric_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["agent", "lab"]).fails(1, "there is no fabric lab");
    sandbox.assert_empty();
}

over_both_fast_paths! { stream_lives_through_everything_that_the_bridge_survives }

fn stream_lives_through_everything_that_the_bridge_survives(datapath: &str) {
    let mut lab = Lab::over(datapath);
    lab.expect_fast(red(), blue());
    let with_vlans = lab.kernel_has_vlan_filtering();
    let Lab { sandbox, file, agent, .. } = &mut lab;
    Flow::during(sandbox, red(), blue(), |flow| {
        flow.goes_on("nothing");
        agent.kill();
        flow.goes_on("the agent was killed");
        *agent = Agent::start(sandbox);
        flow.goes_on("another agent took over");
        sandbox.veth(&["up", file]).ok();
        flow.goes_on("up again");
        for (what, script) in [
            ("port down and up", "ip link set blue down; ip link set blue up"),
            ("port out and in", "ip link set blue nomaster; ip link set blue master lab"),
            ("bridge down and up", "ip link set lab down; ip link set lab up"),
            ("VLAN filtering on", "ip link set lab type bridge vlan_filtering 1"),
            ("VLAN filtering off", "ip link set lab type bridge vlan_filtering 0"),
            ("learning off", "bridge link set dev red learning off"),
            ("learning on", "bridge link set dev red learning on"),
            ("another port down", "ip link set green down"),
            ("isolated", "bridge link set dev red isolated on"),
            ("MTU of the sender", "ip -n red link set eth0 mtu 1400"),
            ("another namespace gone", "ip netns del grey"),
        ] {
            if with_vlans || !what.starts_with("VLAN") {
                sandbox.sh(script);
                flow.goes_on(what);
            }
        }
        let options: &[&str] = if datapath == "tc" { &["--hook", "clsact"] } else { &[] };
        sandbox.veth(&[&["up", file], options].concat()).ok();
        flow.goes_on("all of it undone");
    });
    lab.expect_fast(red(), blue());
    lab.expect_fast(red(), green());
    lab.down();
}
