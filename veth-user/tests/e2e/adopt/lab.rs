//! A bridge that somebody else made, with namespaces behind it, before and while veth is attached.

use crate::{
    sandbox::{Sandbox, wait_until},
    sync::lab::{Agent, Lab, Maps},
};

/// The namespaces behind the bridge; ports are called like them.
const MEMBERS: [&str; 3] = ["red", "blue", "green"];

/// A host with a bridge `lab` of somebody else's. Nothing on it is in the way of a fast path.
pub(super) fn bridge() -> Sandbox {
    let sandbox = Sandbox::new();
    silence_bridge_netfilter(&sandbox);
    make_bridge(&sandbox);
    for (number, member) in (1..).zip(MEMBERS) {
        add_member(&sandbox, member, number);
    }
    sandbox
}

pub(super) fn make_bridge(sandbox: &Sandbox) {
    sandbox.sh("ip link add lab type bridge && ip link set lab up");
}

/// Adds a namespace with the address 10.77.0.`number` and its port.
pub(super) fn add_member(sandbox: &Sandbox, member: &str, number: u8) {
    sandbox.sh(&format!(
        "ip netns add {member} && ip link add {member} type veth peer name eth0 netns {member} \
         && ip link set {member} master lab up && ip -n {member} addr add 10.77.0.{number}/24 dev eth0 \
         && ip -n {member} link set eth0 up && ip -n {member} link set lo up"
    ));
}

/// Turns off what a new namespace has on wherever the module is loaded.
fn silence_bridge_netfilter(sandbox: &Sandbox) {
    sandbox.sh("for it in iptables ip6tables arptables; do \
                    it=/proc/sys/net/bridge/bridge-nf-call-$it; \
                    if [ -e $it ]; then echo 0 > $it; fi; done");
}

/// Attaches to the bridge, and keeps it attached.
pub(super) fn attach(sandbox: Sandbox, options: &[&str]) -> Lab {
    let arguments = [&["attach", "lab", "--json"], options].concat();
    let agent = Agent::start_as(&sandbox, &arguments);
    let maps = Maps::open(&sandbox);
    Lab { sandbox, file: String::new(), agent, maps }
}

/// A bridge that veth is attached to.
pub(crate) fn attached() -> Lab {
    attach(bridge(), &[])
}

/// Everything about the bridge and its ports that a user could have set, and all that hangs there.
/// Whether duplicate address detection is over is nobody's doing.
pub(super) fn look_of(sandbox: &Sandbox) -> String {
    sandbox.sh(
        "{ ip -d link show lab; ip -d link show master lab; } | sed -E 's/[a-z_]*timer +[0-9.]+//g'; \
         tc qdisc show; bridge -d link; bridge fdb show br lab | sort; \
         for port in red blue green; do tc filter show dev $port ingress; done; \
         for netns in $(ls /run/netns); do ip -n $netns -d link; ip -n $netns addr | sed 's/ tentative//'; done",
    )
}

/// Fails the test, with what differs, unless the bridge looks as it did.
#[track_caller]
pub(super) fn assert_looks(sandbox: &Sandbox, before: &str, when: &str) {
    let after = look_of(sandbox);
    let gone = before.lines().filter(|line| !after.contains(line));
    let new = after.lines().filter(|line| !before.contains(line));
    let differing: Vec<&str> = gone.chain(new).collect();
    assert!(differing.is_empty(), "{when}: {differing:#?}");
}

/// Stops attaching, and fails the test unless nothing of it is left.
#[track_caller]
pub(crate) fn leave(lab: Lab) -> Sandbox {
    let Lab { sandbox, agent, maps, .. } = lab;
    drop(maps);
    agent.stop();
    assert_detached(&sandbox);
    sandbox
}

/// Fails the test unless nothing of veth is on the host.
#[track_caller]
pub(super) fn assert_detached(sandbox: &Sandbox) {
    assert_eq!(sandbox.sh("ls /sys/fs/bpf/veth 2>/dev/null || true"), "", "pins are left");
    for member in MEMBERS {
        let filters = format!("tc filter show dev {member} ingress 2>/dev/null || true");
        wait_until("filters to be gone", || sandbox.sh(&filters).is_empty());
        let qdisc = sandbox.sh(&format!("tc qdisc show dev {member} 2>/dev/null || true"));
        assert!(!qdisc.contains("clsact"), "{qdisc}");
    }
}
