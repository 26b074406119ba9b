//! The agent's own life: how it says that it is ready, how it ends, and how it gets on with
//! other commands. What it keeps true is told elsewhere.

use std::{fmt::Write as _, fs, os::unix::net::UnixDatagram};

use nix::sys::signal::Signal;

use super::{HOOKS, PAIR, conversation::Datagrams, redirected};
use crate::sandbox::{PATIENCE, Sandbox, Started, wait_until};

/// An agent of the fabric that has found everything as it should be.
fn ready_agent(sandbox: &Sandbox) -> Started {
    let mut agent = sandbox.start(&["agent", "lab"]);
    let line = agent.line();
    assert!(line.contains("ready"), "{line}");
    agent
}

#[test]
#[ignore = "needs root"]
fn agent_that_is_told_to_stop_leaves_forwarding_as_it_was() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pair.toml", PAIR);
        sandbox.veth(&["up", &file]).ok();
        sandbox.ping("red", "10.77.0.2");
        let before = redirected(&sandbox, "red");
        let datagrams = Datagrams::between(&sandbox, "red", "blue", "10.77.0.2");

        let agent = ready_agent(&sandbox);
        agent.signal(signal);
        let ended = agent.wait().ok();

        assert_eq!(ended.stderr, "");
        let sent = datagrams.assert_all_arrived();
        assert!(redirected(&sandbox, "red") - before >= sent);
        sandbox.down("lab");
    }
}

#[test]
#[ignore = "needs root"]
fn service_manager_hears_when_the_agent_is_ready_and_when_it_stops() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file]).ok();
    let path = sandbox.file("notify", "");
    fs::remove_file(&path).expect("it was just written");
    let manager = UnixDatagram::bind(&path).expect("the name is free");
    manager.set_read_timeout(Some(PATIENCE)).expect("the time is not zero");

    let mut command = sandbox.veth_command(&["agent", "lab"]);
    command.env("NOTIFY_SOCKET", &path);
    let agent = Started::of(command);
    assert!(hear(&manager).lines().any(|line| line == "READY=1"));
    agent.signal(Signal::SIGTERM);
    assert!(hear(&manager).lines().any(|line| line == "STOPPING=1"));
    agent.wait().ok();

    sandbox.down("lab");
}

#[track_caller]
fn hear(manager: &UnixDatagram) -> String {
    let mut message = [0; 256];
    let length = manager.recv(&mut message).expect("the agent says something");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

#[test]
#[ignore = "needs root"]
fn agent_ends_with_its_fabric() {
    let sandbox = Sandbox::new();
    let many = "name = \"lab\"\n[[netns]]\nname = \"w{n}\"\ncount = 40\n";
    let file = sandbox.file("many.toml", many);
    for hook in HOOKS {
        for _ in 0..3 {
            sandbox.veth(&["up", &file, "--hook", hook]).ok();
            let mut agent = ready_agent(&sandbox);
            sandbox.veth(&["down", "lab"]).ok();
            wait_until("the agent to end", || !agent.is_running());
            let ended = agent.wait().ok();
            assert!(ended.stderr.contains("fabric lab is gone"), "{hook}: {}", ended.stderr);
            sandbox.assert_empty();
        }
    }
}

#[test]
#[ignore = "needs root"]
fn up_and_the_agent_do_not_get_in_each_others_way() {
    let sandbox = Sandbox::new();
    let pair = sandbox.file("pair.toml", PAIR);
    let mut text = PAIR.to_owned();
    for number in 1..=24 {
        let _ = write!(text, "[[netns]]\nname = \"extra{number}\"\n");
    }
    let more = sandbox.file("more.toml", &text);
    sandbox.veth(&["up", &pair]).ok();
    let agent = ready_agent(&sandbox);

    for _ in 0..6 {
        // Both attach the new ports, the agent as soon as it hears of each.
        sandbox.veth(&["up", &more]).ok();
        sandbox.ping("red", "10.77.0.2");
        sandbox.veth(&["up", &pair]).ok();
    }

    agent.signal(Signal::SIGTERM);
    agent.wait().ok();
    sandbox.veth(&["status", &pair]).ok();
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn two_ups_at_once_both_end_with_the_fabric_up() {
    let sandbox = Sandbox::new();
    let many = "name = \"lab\"\n[[netns]]\nname = \"w{n}\"\ncount = 20\npool = \"10.77.0.0/24\"\n";
    let file = sandbox.file("many.toml", many);
    for _ in 0..6 {
        let (one, other) = (sandbox.start(&["up", &file]), sandbox.start(&["up", &file]));
        for run in [one.wait(), other.wait()] {
            run.ok();
        }
        sandbox.veth(&["status", &file]).ok();
        sandbox.ping("w1", "10.77.0.20");
        sandbox.down("lab");
    }
}
