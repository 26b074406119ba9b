//! What frames on the fast path pass by, and what they do not: a filter of the target's peer sees
//! them, one at the egress of the target does not.

use serde_json::Value;

use crate::{
    lifecycle::PAIR,
    sandbox::{Sandbox, skip},
};

const PINGS: u64 = 20;

/// Hangs a filter that matches everything and does nothing at `direction` of `device`. False when
/// this kernel has none.
fn add_filter(sandbox: &Sandbox, tc: &str, device: &str, direction: &str) -> bool {
    sandbox.sh(&format!("{tc} qdisc replace dev {device} clsact"));
    let filter = format!("{tc} filter add dev {device} {direction} protocol all prio 2 u32");
    sandbox.sh(&format!("{filter} match u32 0 0 2>/dev/null || echo none")) != "none\n"
}

/// How many frames met the filters of `device`.
fn frames_at_filters(sandbox: &Sandbox, tc: &str, device: &str) -> u64 {
    let text = sandbox.sh(&format!("{tc} -j -s qdisc show dev {device} clsact"));
    let qdiscs: Value = serde_json::from_str(&text).expect("tc prints JSON");
    qdiscs[0]["packets"].as_u64().expect("the qdisc counts")
}

#[test]
#[ignore = "needs root"]
fn filter_of_the_peer_sees_frames_that_the_egress_of_its_port_does_not() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    // A filter of our own would be counted as well.
    let up = sandbox.veth(&["up", &file, "--hook", "tcx"]);
    if up.stderr.contains("has no tcx") {
        skip("what filters of a peer see: this kernel has no tcx (6.6)");
        return;
    }
    up.ok();
    let inside = "ip netns exec blue tc";
    if !add_filter(&sandbox, inside, "eth0", "ingress")
        || !add_filter(&sandbox, "tc", "blue", "egress")
    {
        skip("what filters of a peer see: this kernel has no u32 filter");
        sandbox.down("lab");
        return;
    }
    let (before, ..) = sandbox.counter("lab", "red", "redirected");
    sandbox.sh(&format!("ip netns exec red ping -n -q -c {PINGS} -i 0.01 -W 10 10.77.0.2"));
    let (after, ..) = sandbox.counter("lab", "red", "redirected");
    let at_egress = frames_at_filters(&sandbox, "tc", "blue");
    let at_peer = frames_at_filters(&sandbox, inside, "eth0");
    assert!(after - before >= PINGS, "the fast path took {} requests", after - before);
    assert!(at_peer >= PINGS, "{at_peer} at the peer");
    assert!(at_egress < PINGS, "{at_egress} at the egress of the port");
    sandbox.down("lab");
}
