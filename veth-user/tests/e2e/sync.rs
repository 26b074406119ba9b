//! An agent follows what happens to ports, their peers and the namespaces behind them.
//!
//! How long it takes is printed, and not asserted: a busy machine proves nothing.

pub(crate) mod lab;
mod settings;
mod upheaval;
mod xdp;

use veth_common::{FdbFlags, Mac};

use crate::traffic::talk::{End, end, is_reachable};
use lab::{Lab, blue, green, red};

#[test]
#[ignore = "needs root"]
fn address_that_changes_inside_a_namespace_is_followed() {
    let lab = Lab::up();
    lab.expect_fast(red(), blue());
    let (old, new) = (lab.mac("red"), Mac([2, 0xaa, 0, 0, 0, 1]));
    let port = lab.port("red");
    lab.follow("MAC of red", &format!("ip -n red link set eth0 address {new}"), |maps| {
        maps.serves(new, port) && maps.station(old).is_none()
    });
    lab.expect_fast(red(), blue());
    lab.follow("MAC of red put back", &format!("ip -n red link set eth0 address {old}"), |maps| {
        maps.serves(old, port) && maps.station(new).is_none()
    });
    lab.expect_fast(red(), blue());
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn port_that_is_set_down_is_left_out_until_it_is_up_again() {
    let lab = Lab::up();
    lab.expect_fast(red(), blue());
    let (mac, port) = (lab.mac("red"), lab.port("red"));
    lab.follow("port down", "ip link set red down", |maps| maps.leaves_alone(mac));
    assert!(!is_reachable(&lab.sandbox, blue(), red()));
    lab.expect_fast(blue(), green());
    lab.follow("port up", "ip link set red up", |maps| maps.serves(mac, port));
    lab.expect_fast(red(), blue());
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn peer_that_is_set_down_is_left_out_until_it_is_up_again() {
    let lab = Lab::up();
    lab.expect_fast(red(), blue());
    let (mac, port) = (lab.mac("red"), lab.port("red"));
    let down = "ip -n red link set eth0 down";
    lab.follow("peer down", down, |maps| maps.leaves_alone(mac));
    let up = "ip -n red link set eth0 up";
    lab.follow("peer up", up, |maps| maps.serves(mac, port));
    lab.expect_fast(red(), blue());
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn port_that_leaves_the_bridge_and_comes_back_is_followed_through_tcx() {
    port_leaves_and_comes_back("tcx");
}

#[test]
#[ignore = "needs root"]
fn port_that_leaves_the_bridge_and_comes_back_is_followed_through_clsact() {
    port_leaves_and_comes_back("clsact");
}

fn port_leaves_and_comes_back(hook: &str) {
    let lab = Lab::up_with(&["--hook", hook]);
    lab.expect_fast(red(), blue());
    let (mac, port) = (lab.mac("red"), lab.port("red"));
    let is_hooked = || {
        let filters = lab.sandbox.sh("tc filter show dev red ingress");
        let pin = format!("ls /sys/fs/bpf/veth/lab/ports/{} 2>/dev/null || true", port.0);
        !filters.is_empty() || !lab.sandbox.sh(&pin).is_empty()
    };
    assert!(is_hooked());
    lab.follow("port out", "ip link set red nomaster", |maps| {
        maps.station(mac).is_none() && !maps.has_port(port)
    });
    crate::sandbox::wait_until("the program to be gone", || !is_hooked());
    lab.expect_fast(blue(), green());
    lab.follow("port in", "ip link set red master lab", |maps| maps.serves(mac, port));
    lab.expect_fast(red(), blue());
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn counters_do_not_go_to_another_port_with_its_number() {
    let lab = Lab::up();
    lab.expect_fast(red(), blue());
    crate::traffic::talk::send_datagrams(&lab.sandbox, red(), blue(), 100, 500);
    assert!(lab.counted("red", "redirected") >= 500);
    // The lowest free number goes to the first that joins. The agent sees only the outcome.
    lab.agent.signal(nix::sys::signal::Signal::SIGSTOP);
    lab.sandbox.sh("for port in red green; do ip link set $port nomaster; done
         for port in green red; do ip link set $port master lab; done");
    lab.agent.signal(nix::sys::signal::Signal::SIGCONT);
    lab.expect_fast(red(), blue());
    lab.expect_fast(green(), blue());
    let from_green = lab.counted("green", "redirected");
    assert!(from_green < 500, "green did not send {from_green} frames: red did");
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn namespace_that_is_deleted_is_forgotten_and_made_again_by_up() {
    let lab = Lab::up();
    lab.expect_fast(red(), blue());
    let (mac, port) = (lab.mac("red"), lab.port("red"));
    lab.follow("namespace deleted", "ip netns del red", |maps| {
        maps.station(mac).is_none() && !maps.has_port(port)
    });
    let status = lab.sandbox.veth(&["status", &lab.file]);
    assert!(status.code == 1 && status.stdout.contains("red"), "{status:?}");
    lab.expect_fast(blue(), green());

    lab.sandbox.veth(&["up", &lab.file]).ok();
    let port = lab.port("red");
    lab.follow("namespace made again", "true", |maps| maps.serves(mac, port));
    lab.expect_fast(red(), blue());
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn port_that_somebody_adds_is_served_until_it_leaves() {
    let lab = Lab::up();
    lab.sandbox.sh("ip netns add extra && ip link add extra type veth peer name eth0 netns extra
         ip -n extra addr add 10.77.0.9/24 dev eth0 && ip -n extra link set eth0 up");
    let (mac, port) = (lab.mac("extra"), lab.port("extra"));
    let join = "ip link set extra up master lab";
    lab.follow("port of others in", join, |maps| maps.serves(mac, port));
    let extra = end("extra", "10.77.0.9");
    lab.expect_fast(red(), extra);
    let leave = "ip link set extra nomaster";
    lab.follow("port of others out", leave, |maps| {
        maps.station(mac).is_none() && !maps.has_port(port)
    });
    lab.sandbox.sh("ip link del extra && ip netns del extra");
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn mtu_that_changes_inside_a_namespace_is_followed() {
    let lab = Lab::up();
    let mac = lab.mac("blue");
    for mtu in [1400, 1500] {
        let script = format!("ip -n blue link set eth0 mtu {mtu}");
        lab.follow("MTU of a peer", &script, |maps| {
            maps.station(mac).is_some_and(|it| it.mtu_bytes == mtu)
        });
        lab.expect_fast(red(), blue());
    }
    lab.follow("MTU of a port", "ip link set blue mtu 1300", |maps| {
        maps.station(mac).is_some_and(|it| it.mtu_bytes == 1300)
    });
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn peer_that_moves_to_another_namespace_is_followed_and_let_go_beside_the_bridge() {
    let lab = Lab::up();
    lab.expect_fast(red(), blue());
    let (mac, port) = (lab.mac("blue"), lab.port("blue"));
    lab.follow(
        "peer moved",
        "ip netns add other && ip -n blue link set eth0 netns other
         ip -n other addr add 10.77.0.2/24 dev eth0 && ip -n other link set eth0 up",
        |maps| maps.serves(mac, port),
    );
    let moved: End<'_> = end("other", "10.77.0.2");
    lab.expect_verdict(red(), moved, "redirected");
    // It may still be on its way, and what is true of its port change twice.
    crate::sandbox::wait_until("the peer to take the fast path from there", || {
        let before = lab.counted("blue", "redirected");
        is_reachable(&lab.sandbox, moved, red()) && lab.counted("blue", "redirected") > before
    });

    // The helper must not be asked to hand frames to a peer in the bridge's own namespace.
    let beside = "ip -n other link set eth0 name stray && ip -n other link set stray netns $$";
    lab.follow("peer beside the bridge", &format!("{beside} && ip link set stray up"), |maps| {
        maps.station(mac).is_none_or(|it| !it.flags.contains(FdbFlags::TARGET))
    });
    lab.expect_fast(red(), green());
    lab.sandbox.sh("ip netns del other");
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn address_that_two_ports_claim_is_left_to_the_bridge() {
    let lab = Lab::up();
    lab.expect_fast(red(), blue());
    let (contested, own) = (lab.mac("blue"), lab.mac("green"));
    let (blue_port, green_port) = (lab.port("blue"), lab.port("green"));
    let claim = format!("ip -n green link set eth0 address {contested}");
    lab.follow("address claimed twice", &claim, |maps| {
        maps.station(contested).is_none() && maps.station(own).is_none()
    });
    // The bridge decides by who spoke last: blue does in between.
    crate::sandbox::wait_until("the bridge to deliver", || {
        let before = lab.counted("red", "destination_unknown");
        let talked = is_reachable(&lab.sandbox, blue(), red());
        talked
            && is_reachable(&lab.sandbox, red(), blue())
            && lab.counted("red", "destination_unknown") > before
    });
    let give_up = format!("ip -n green link set eth0 address {own}");
    lab.follow("address given up", &give_up, |maps| {
        maps.serves(contested, blue_port) && maps.serves(own, green_port)
    });
    lab.expect_fast(red(), blue());
    lab.expect_fast(red(), green());
    lab.down();
}
