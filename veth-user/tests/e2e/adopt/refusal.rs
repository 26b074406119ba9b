//! What a fast path would pass by is refused, with its name; what the user accepts is shown.

use serde_json::Value;

use super::lab::{assert_detached, attach, bridge, leave};
use crate::{
    sandbox::{Sandbox, skip, wait_until},
    sync::lab::{blue, green, red},
    traffic::talk::is_reachable,
};

/// Something that frames would pass by: its name, what makes it, and what removes it.
struct Obstacle {
    name: &'static str,
    make: &'static str,
    remove: &'static str,
}

/// Those that concern the whole bridge.
const OF_BRIDGE: [Obstacle; 3] = [
    Obstacle {
        name: "br_netfilter",
        make: "ip link set lab type bridge nf_call_iptables 1",
        remove: "ip link set lab type bridge nf_call_iptables 0",
    },
    Obstacle {
        name: "nft_bridge",
        make: "nft 'table bridge own { chain pass { type filter hook forward priority 0; \
               ip daddr 10.77.0.99 drop; }; }'",
        remove: "nft delete table bridge own",
    },
    Obstacle {
        // The old program, where the kernel has it; the new one makes rules of nftables.
        name: "ebtables",
        make: "ebtables-legacy -A FORWARD -p 0x88b5 -j DROP",
        remove: "ebtables-legacy -F FORWARD",
    },
];

/// One that concerns the whole bridge, and comes and goes with whoever watches it.
const PROMISCUOUS: Obstacle = Obstacle {
    name: "promiscuous",
    make: "ip link set lab promisc on",
    remove: "ip link set lab promisc off",
};

/// Those that concern one port, which is red.
const OF_PORT: [Obstacle; 4] = [
    Obstacle {
        name: "nft_netdev",
        make: "nft 'table netdev own { chain from { type filter hook ingress device red priority 0; \
               ip daddr 10.77.0.99 drop; }; }'",
        remove: "nft delete table netdev own",
    },
    Obstacle {
        name: "tc_ingress",
        make: "tc qdisc replace dev red clsact && tc filter add dev red ingress protocol all prio 9 \
               matchall action ok",
        remove: "tc filter del dev red ingress prio 9",
    },
    Obstacle {
        name: "tc_egress",
        make: "tc qdisc replace dev red clsact && tc filter add dev red egress protocol all prio 9 \
               matchall action ok",
        remove: "tc filter del dev red egress prio 9",
    },
    Obstacle {
        name: "qdisc",
        make: "tc qdisc replace dev red root pfifo limit 100",
        remove: "tc qdisc del dev red root",
    },
];

/// Puts it in the way; false, and listed, when this kernel has no such thing.
fn make(sandbox: &Sandbox, obstacle: &Obstacle) -> bool {
    let Obstacle { name, make, .. } = obstacle;
    // Other ways to match everything, for kernels that lack the plain one.
    let simpler = make.replace("matchall action ok", "u32 match u32 0 0");
    let tried = sandbox.sh(&format!("{{ {make}; }} 2>&1 || {{ {simpler}; }} 2>&1 || echo failed"));
    if !tried.ends_with("failed\n") {
        return true;
    }
    // What these tools say where the kernel is without.
    let is_missing = ["not supported", "No such file", "doesn't support"];
    assert!(is_missing.iter().any(|text| tried.contains(text)), "{name}: {tried}");
    skip(&format!("refusal because of {name}: this kernel has no such thing"));
    false
}

fn explanation(status: &Value, port: &str) -> (bool, String) {
    let ports = status["ports"].as_array().expect("there are ports");
    let port = ports.iter().find(|it| it["name"] == port).expect("the port is there");
    let explanation = port["explanation"].as_str().unwrap_or_default();
    (port["fast"] == true, explanation.to_owned())
}

#[test]
#[ignore = "needs root"]
fn what_concerns_the_whole_bridge_refuses_it_until_it_is_accepted() {
    for obstacle in OF_BRIDGE {
        let Obstacle { name, remove, .. } = obstacle;
        let sandbox = bridge();
        if !make(&sandbox, &obstacle) {
            continue;
        }
        let flag = format!("--bypass {name}");
        sandbox.veth(&["attach", "lab"]).fails(1, &flag);
        sandbox.veth(&["attach", "lab", "--dry-run"]).fails(1, &flag);
        // Another one is not this one.
        let other = if name == "nft_bridge" { "br_netfilter" } else { "nft_bridge" };
        sandbox.veth(&["attach", "lab", "--bypass", other]).fails(1, &flag);
        assert_detached(&sandbox);
        assert!(is_reachable(&sandbox, red(), blue()));

        let lab = attach(sandbox, &["--bypass", name]);
        lab.expect_fast(red(), blue());
        let status = lab.sandbox.veth(&["status", "lab"]).ok().stdout;
        assert!(status.contains(&format!("accepted ({flag})")), "{status}");
        lab.sandbox.sh(remove);
        leave(lab);
    }
}

#[test]
#[ignore = "needs root"]
fn what_concerns_one_port_leaves_that_port_to_the_bridge_until_it_is_accepted() {
    for obstacle in OF_PORT {
        let name = obstacle.name;
        let sandbox = bridge();
        if !make(&sandbox, &obstacle) {
            continue;
        }
        let survey = sandbox.veth(&["attach", "lab", "--dry-run", "--json"]).ok().json();
        let (fast, why) = explanation(&survey, "red");
        assert!(!fast && why.contains(&format!("--bypass {name}")), "{name}: {why}");
        let lab = attach(sandbox, &[]);
        lab.expect_verdict(red(), blue(), "port_ineligible");
        lab.expect_fast(green(), blue());
        assert_eq!(lab.counted("red", "redirected"), 0, "{name}");
        lab.expect_verdict(green(), red(), "destination_ineligible");
        let sandbox = leave_with(lab, &obstacle, false);

        let lab = attach(sandbox, &["--bypass", name]);
        lab.expect_fast(red(), blue());
        leave_with(lab, &obstacle, true);
    }
}

/// Stops attaching. What somebody else hung there must have stayed.
fn leave_with(lab: crate::sync::lab::Lab, obstacle: &Obstacle, is_last: bool) -> Sandbox {
    let crate::sync::lab::Lab { sandbox, agent, maps, .. } = lab;
    drop(maps);
    agent.stop();
    assert_eq!(sandbox.sh("ls /sys/fs/bpf/veth 2>/dev/null || true"), "", "pins are left");
    if is_last {
        sandbox.sh(obstacle.remove);
    }
    sandbox
}

#[test]
#[ignore = "needs root"]
fn bridge_that_somebody_watches_is_attached_to_and_forwards_until_he_has_seen_enough() {
    let sandbox = bridge();
    assert!(make(&sandbox, &PROMISCUOUS));
    let survey = sandbox.veth(&["attach", "lab", "--dry-run", "--json"]).ok().json();
    let (fast, why) = explanation(&survey, "red");
    assert!(!fast && why.contains("--bypass promiscuous"), "{why}");
    let lab = attach(sandbox, &[]);
    lab.expect_verdict(red(), blue(), "port_ineligible");
    assert_eq!(lab.counted("red", "redirected"), 0);
    lab.sandbox.sh(PROMISCUOUS.remove);
    lab.expect_fast(red(), blue());
    // No event tells of the bridge what a macvlan on it does.
    lab.sandbox.sh("ip link add link lab name above type macvlan mode bridge");
    lab.expect_fast(red(), blue());
    let mac = lab.mac("red");
    lab.sandbox.sh("ip link set above up");
    wait_until("the macvlan to be seen", || lab.maps.leaves_alone(mac));
    lab.sandbox.sh("ip link del above");
    lab.expect_fast(red(), blue());
    let sandbox = leave_with(lab, &PROMISCUOUS, false);

    assert!(make(&sandbox, &PROMISCUOUS));
    let lab = attach(sandbox, &["--bypass", "promiscuous"]);
    lab.expect_fast(red(), blue());
    leave_with(lab, &PROMISCUOUS, true);
}

#[test]
#[ignore = "needs root"]
fn what_comes_later_takes_the_fast_path_away_and_gives_it_back() {
    let lab = attach(bridge(), &[]);
    for obstacle in OF_BRIDGE.iter().chain([&PROMISCUOUS]).chain(&OF_PORT) {
        let Obstacle { name, remove, .. } = *obstacle;
        lab.expect_fast(red(), blue());
        let mac = lab.mac("red");
        if !make(&lab.sandbox, obstacle) {
            continue;
        }
        wait_until(&format!("{name} to be seen"), || lab.maps.leaves_alone(mac));
        lab.expect_verdict(red(), blue(), "port_ineligible");
        lab.sandbox.sh(remove);
    }
    lab.expect_fast(red(), blue());
    lab.sandbox.sh("tc qdisc del dev red clsact 2>/dev/null || true");
    leave(lab);
}
