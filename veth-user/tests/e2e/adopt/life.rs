//! From attaching to detaching: agents that are killed, bridges that come and go, and what is not
//! veth's to take.

use std::fs;

use nix::sys::signal::Signal;

use super::lab::{add_member, assert_detached, attach, attached, bridge, leave, make_bridge};
use crate::{
    lifecycle::PAIR,
    sandbox::{Run, Sandbox, Started, VETH, wait_until},
    sync::lab::{Agent, Lab, blue, green, red},
    traffic::{
        flow::Flow,
        talk::{end, is_reachable},
    },
};

#[test]
#[ignore = "needs root"]
fn killed_agent_leaves_the_bridge_in_charge_and_another_one_takes_over() {
    let lab = attached();
    lab.expect_fast(red(), blue());
    let mut heir = None;
    Flow::during(&lab.sandbox, red(), blue(), |flow| {
        lab.agent.signal(Signal::SIGKILL);
        flow.goes_on("the agent was killed");
        wait_until("the leases to end", || {
            let expired = lab.counted("red", "source_expired");
            expired + lab.counted("blue", "source_expired") > 0
        });
        flow.goes_on("the leases ended");
        let status = lab.sandbox.veth(&["status", "lab"]);
        assert_eq!(status.code, 1, "{}", status.stdout);
        assert!(status.stdout.contains("veth agent lab"), "{}", status.stdout);

        heir = Some(Agent::start(&lab.sandbox));
        let before = lab.counted("red", "redirected");
        wait_until("the fast path to be back", || lab.counted("red", "redirected") > before);
        flow.goes_on("another agent took over");
    });
    lab.sandbox.veth(&["status", "lab"]).ok();
    // An agent leaves what it was given; only `detach` takes it off.
    heir.expect("another agent took over").stop();
    assert_ne!(lab.sandbox.sh("ls /sys/fs/bpf/veth"), "");
    lab.sandbox.veth(&["detach", "lab"]).ok();
    assert_detached(&lab.sandbox);
    assert!(is_reachable(&lab.sandbox, red(), blue()));
    lab.sandbox.veth(&["detach", "lab"]).ok();
}

#[test]
#[ignore = "needs root"]
fn bridge_is_kept_by_one_process_at_a_time() {
    let lab = attached();
    lab.expect_fast(red(), blue());
    for command in [["attach", "lab"], ["agent", "lab"]] {
        lab.sandbox.veth(&command).fails(1, "keeps bridge lab already");
    }
    // To look once more is no keeping.
    lab.sandbox.veth(&["attach", "lab", "--once"]).ok();
    lab.expect_fast(red(), blue());
    let Lab { sandbox, mut agent, maps, .. } = lab;
    drop(maps);
    sandbox.veth(&["detach", "lab"]).ok();
    assert_eq!(agent.exit_code(), Some(0));
    assert_detached(&sandbox);
    assert_eq!(sandbox.sh("ls /run/veth 2>/dev/null || true"), "");
}

#[test]
#[ignore = "needs root"]
fn agent_that_hangs_lets_the_leases_end_and_looks_before_it_goes_on() {
    let lab = attached();
    lab.expect_fast(red(), blue());
    lab.agent.signal(Signal::SIGSTOP);
    lab.expect_verdict(red(), blue(), "source_expired");
    // What it did not see meanwhile.
    lab.sandbox.sh("bridge link set dev blue learning off");
    lab.agent.signal(Signal::SIGCONT);
    lab.expect_fast(red(), green());
    let mac = lab.mac("blue");
    wait_until("the change to be seen", || lab.maps.leaves_alone(mac));
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn members_that_come_and_go_are_followed() {
    let lab = attached();
    for (round, number) in (0..).zip([9, 10, 11]) {
        add_member(&lab.sandbox, "late", number);
        let address = format!("10.77.0.{number}");
        let late = end("late", &address);
        lab.expect_fast(red(), late);
        let (mac, port) = (lab.mac("late"), lab.port("late"));
        lab.follow(&format!("round {round}"), "ip netns del late", |maps| {
            maps.leaves_alone(mac) && !maps.has_port(port)
        });
    }
    lab.expect_fast(red(), blue());
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn what_another_process_accepts_is_accepted_by_the_one_that_keeps_the_bridge() {
    let lab = attached();
    lab.expect_fast(red(), blue());
    lab.sandbox.sh("tc qdisc add dev blue root pfifo");
    lab.expect_verdict(red(), blue(), "destination_ineligible");
    lab.sandbox.veth(&["attach", "lab", "--once", "--bypass", "qdisc"]).ok();
    lab.expect_fast(red(), blue());
    lab.sandbox.sh("ip link set green down");
    lab.expect_fast(red(), blue());
    let status = lab.sandbox.veth(&["status", "lab", "--json"]).json();
    assert_eq!(status["bypasses"], serde_json::json!(["qdisc"]), "{status:#}");
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn what_outlives_both_agent_and_bridge_is_told_of_and_taken_off() {
    let Lab { sandbox, agent, maps, .. } = attached();
    agent.signal(Signal::SIGKILL);
    drop((agent, maps));
    sandbox.sh("ip link del lab");
    let status = sandbox.veth(&["status", "lab"]);
    assert_eq!(status.code, 1, "{}", status.stdout);
    assert!(status.stdout.contains("veth detach lab"), "{}", status.stdout);
    let doctor = sandbox.veth(&["doctor", "lab", "--json"]).json();
    assert_eq!(doctor["findings"][0]["remedy"], "veth detach lab", "{doctor:#}");
    sandbox.veth(&["detach", "lab"]).ok();
    assert_detached(&sandbox);
}

#[test]
#[ignore = "needs root"]
fn filter_that_somebody_takes_from_a_port_is_put_back() {
    let lab = attach(bridge(), &["--hook", "clsact"]);
    lab.expect_fast(red(), blue());
    lab.sandbox.sh("tc qdisc del dev red clsact");
    lab.expect_fast(red(), blue());
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn qdisc_that_was_there_before_stays_and_one_that_was_made_goes() {
    let sandbox = bridge();
    sandbox.sh("tc qdisc add dev red clsact");
    let qdiscs = |sandbox: &Sandbox| sandbox.sh("tc qdisc show | grep clsact");
    let before = qdiscs(&sandbox);
    let Lab { sandbox, mut agent, maps, .. } = {
        let lab = attach(sandbox, &["--hook", "clsact"]);
        lab.expect_fast(red(), blue());
        assert_eq!(qdiscs(&lab.sandbox).lines().count(), 3);
        lab
    };
    // Somebody else knows that, too.
    agent.kill();
    drop(maps);
    sandbox.veth(&["detach", "lab"]).ok();
    assert_eq!(qdiscs(&sandbox), before);
    sandbox.sh("tc qdisc del dev red clsact");
    assert_detached(&sandbox);
}

#[test]
#[ignore = "needs root"]
fn reader_that_goes_takes_nothing_along() {
    let sandbox = bridge();
    let mut command = sandbox.command("bash");
    command.args(["-c", &format!("exec {VETH} attach lab > >(head -n 1)")]);
    let attached = Started::of(command);
    wait_until("the bridge to be served", || {
        sandbox.veth(&["status", "lab", "--json"]).stdout.contains(r#""fast":true"#)
    });
    // Each is something to print.
    for (number, member) in [(9, "late"), (10, "later"), (11, "latest")] {
        add_member(&sandbox, member, number);
        let address = format!("10.77.0.{number}");
        let before = sandbox.counter("lab", "red", "redirected").0;
        wait_until("the newcomer to be served", || {
            is_reachable(&sandbox, red(), end(member, &address))
                && sandbox.counter("lab", "red", "redirected").0 > before
        });
    }
    attached.signal(Signal::SIGTERM);
    assert_eq!(attached.wait().code, 0);
    assert_detached(&sandbox);
}

#[test]
#[ignore = "needs root"]
fn attaching_is_told_of_while_it_lasts_and_when_it_was_interrupted() {
    let sandbox = bridge();
    // Each takes a while.
    sandbox.sh("for it in $(seq 40); do ip link add a$it type veth peer name b$it \
                && ip link set a$it master lab up; done");
    let before = sandbox.sh("bridge fdb show br lab | sort");
    let pins = sandbox.path("/sys/fs/bpf/veth/lab");
    let assert_right = |run: &Run| {
        let text = &run.stdout;
        assert!(!text.contains("veth up") && !text.contains("not this fabric's"), "{text}");
    };
    for _ in 0..3 {
        let attached = sandbox.start(&["attach", "lab", "--hook", "tcx"]);
        wait_until("the first pins", || pins.exists());
        assert_right(&sandbox.veth(&["status", "lab"]));
        attached.signal(Signal::SIGKILL);
        attached.wait();
        let status = sandbox.veth(&["status", "lab"]);
        assert_right(&status);
        assert!(status.stdout.contains("`veth detach lab`"), "{}", status.stdout);
        sandbox.veth(&["detach", "lab"]).ok();
        assert_detached(&sandbox);
        assert_eq!(sandbox.sh("bridge fdb show br lab | sort"), before);
    }
}

#[test]
#[ignore = "needs root"]
fn pins_that_nobody_else_would_see_are_warned_of() {
    let sandbox = Sandbox::new();
    sandbox.sh("ip netns add inner && ip -n inner link add lab type bridge \
                && ip -n inner link set lab up");
    let silent = "for it in /proc/sys/net/bridge/bridge-nf-call-*; do \
                      if [ -e $it ]; then echo 0 > $it; fi; done";
    let attach = |enter: &str| {
        sandbox.sh(&format!("{enter} sh -c '{silent}; {VETH} attach lab --once' 2>&1"))
    };
    let said = attach("ip netns exec inner");
    assert!(said.contains("nsenter --net=/run/netns/inner veth attach lab"), "{said}");
    // Which is right.
    let said = attach("nsenter --net=/run/netns/inner");
    assert!(!said.contains("nsenter"), "{said}");
    sandbox.sh(&format!("nsenter --net=/run/netns/inner {VETH} detach lab"));
    assert_eq!(sandbox.sh("ls /sys/fs/bpf/veth 2>/dev/null || true"), "");
}

#[test]
#[ignore = "needs root"]
fn port_that_goes_to_another_attached_bridge_and_back_is_served_by_the_one_that_has_it() {
    let sandbox = bridge();
    sandbox.sh("ip link add other type bridge && ip link set other up");
    let mut other = sandbox.start(&["attach", "other", "--hook", "clsact"]);
    while !other.line().starts_with("other: ready") {}
    let lab = attach(sandbox, &["--hook", "clsact"]);
    lab.expect_fast(red(), blue());
    for pause in ["0", "0.01", "0.02", "0.03", "0.05"] {
        let move_it = |bridge| format!("ip link set red master {bridge} && sleep {pause}");
        lab.sandbox.sh(&format!("{} && {}", move_it("other"), move_it("lab")));
        lab.expect_fast(red(), blue());
    }
    other.signal(Signal::SIGTERM);
    assert_eq!(other.wait().code, 0);
    lab.expect_fast(red(), blue());
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn bridge_that_goes_and_comes_back_is_attached_to_anew() {
    let sandbox = Sandbox::new();
    sandbox.sh("for it in /proc/sys/net/bridge/bridge-nf-call-*; do \
                    if [ -e $it ]; then echo 0 > $it; fi; done");
    sandbox.veth(&["attach", "lab"]).fails(1, "no bridge lab");
    let mut waiting = sandbox.start(&["attach", "lab", "--wait"]);
    for _ in 0..2 {
        make_bridge(&sandbox);
        while !waiting.line().starts_with("lab: ready") {}
        for (number, member) in [(1, "red"), (2, "blue")] {
            add_member(&sandbox, member, number);
        }
        wait_until("the fast path", || {
            is_reachable(&sandbox, red(), blue())
                && sandbox.counter("lab", "red", "redirected").0 > 0
        });
        sandbox.sh("ip link del lab; ip netns del red; ip netns del blue");
        wait_until("the pins to be gone", || {
            sandbox.sh("ls /sys/fs/bpf/veth 2>/dev/null || true").is_empty()
        });
    }
    waiting.signal(Signal::SIGTERM);
    assert_eq!(waiting.wait().code, 0);
    assert_eq!(sandbox.sh("ls /sys/fs/bpf/veth 2>/dev/null || true"), "");
}

#[test]
#[ignore = "needs root"]
fn fabrics_and_bridges_of_others_are_not_mixed_up() {
    let sandbox = bridge();
    sandbox.veth(&["agent", "lab"]).fails(1, "veth attach lab");
    sandbox.veth(&["stats", "nolab"]).fails(1, "nolab");
    sandbox.veth(&["attach", "red"]).fails(1, "no bridge red");
    sandbox.veth(&["attach", "no/bridge"]).fails(2, "no/bridge");
    let once = sandbox.veth(&["attach", "lab", "--once", "--json"]).ok().json();
    assert_eq!((&once["bridge"], &once["eligible"]), (&"lab".into(), &3.into()));
    let lab = attach(sandbox, &[]);
    lab.sandbox.veth(&["down", "lab"]).fails(3, "veth detach lab");
    let file = lab.sandbox.file("pair.toml", PAIR);
    lab.sandbox.veth(&["up", &file]).fails(3, "lab");
    lab.expect_fast(red(), blue());
    let status = lab.sandbox.veth(&["status", "lab", "--json"]).ok().json();
    assert_eq!(status["ownership"], "adopted");
    leave(lab);

    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file]).ok();
    sandbox.veth(&["attach", "lab"]).fails(3, "made itself");
    sandbox.veth(&["detach", "lab"]).fails(3, "made itself");
    sandbox.ping("red", "10.77.0.2");
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn unit_starts_what_this_command_would() {
    let sandbox = bridge();
    let options =
        ["attach", "lab", "--bypass", "qdisc", "--bypass", "tc_egress", "--hook", "clsact"];
    let text = sandbox.veth(&[&options[..], &["--unit"]].concat()).ok().stdout;
    let start = "attach lab --wait --bypass qdisc --bypass tc_egress --hook clsact\n";
    assert!(text.lines().any(|line| format!("{line}\n").ends_with(start)), "{text}");
    assert!(text.contains("Type=notify"), "{text}");
    // Where the program itself is what would be hidden, it is not.
    let is_at_home = ["/home/", "/root/"].iter().any(|home| VETH.starts_with(home));
    let protect_home = if is_at_home { "ProtectHome=read-only" } else { "ProtectHome=yes" };
    assert!(text.lines().any(|line| line == protect_home), "{text}");
    let dir = sandbox.file_path("units");
    fs::create_dir_all(&dir).expect("the directory of the test is writable");
    sandbox.veth(&[&options[..], &["--install", &dir]].concat()).ok();
    let unit = fs::read_to_string(format!("{dir}/veth-lab.service")).expect("it was written");
    assert_eq!(unit, text);
    assert_detached(&sandbox);
}
