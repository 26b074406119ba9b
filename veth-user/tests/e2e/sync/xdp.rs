//! An agent of an XDP fabric also follows what users do to their offloads, and puts back what was
//! changed at peers that are no longer behind a port.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::lab::{Lab, blue, green, red};
use crate::{
    sandbox::wait_until,
    traffic::{
        flow::Ending,
        talk::{end, exchange_streams, is_reachable},
    },
    xdp::{Hooked, features, is_prepared, pins, port_status, set_features},
};

#[test]
#[ignore = "needs root"]
fn offload_that_a_user_turns_back_is_set_again() {
    let lab = Lab::over("xdp");
    lab.expect_fast(red(), blue());
    for change in [
        "tx-checksum-ip-generic on",
        "tx on",
        "txvlan on",
        "tx-vlan-stag-hw-insert on",
        "gro off",
        "tx on txvlan on gro off",
    ] {
        set_features(&lab.sandbox, "red", change);
        wait_until(&format!("the agent to undo: {change}"), || {
            is_prepared(&features(&lab.sandbox, "red"))
        });
        wait_until("the port to be served", || port_status(&lab.sandbox, "red")["fast"] == true);
        lab.expect_fast(red(), blue());
        // Nothing that was sent since is without its checksum or tag.
        exchange_streams(&lab.sandbox, red(), blue(), 1 << 20);
    }
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn user_who_fights_over_offloads_harms_nobody_else() {
    let lab = Lab::over("xdp");
    lab.expect_fast(blue(), green());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let fighter = scope.spawn(|| {
            let mut rounds = 0;
            while !done.load(Ordering::Relaxed) {
                set_features(&lab.sandbox, "red", "tx on txvlan on gro off");
                rounds += 1;
            }
            rounds
        });
        let ending = Ending(&done);
        for _ in 0..5 {
            exchange_streams(&lab.sandbox, blue(), green(), 1 << 20);
        }
        // What happens to others is followed meanwhile.
        let (mac, port) = (lab.mac("green"), lab.port("green"));
        let down = "ip link set green down";
        lab.follow("another port down", down, |maps| maps.leaves_alone(mac));
        let up = "ip link set green up";
        lab.follow("another port up", up, |maps| maps.serves(mac, port));
        drop(ending);
        assert!(fighter.join().expect("no panic") > 0);
    });
    wait_until("the agent to have the last word", || {
        is_prepared(&features(&lab.sandbox, "red"))
            && port_status(&lab.sandbox, "red")["fast"] == true
    });
    lab.expect_fast(red(), blue());
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn port_that_leaves_is_put_back_as_it_was_and_prepared_when_it_returns() {
    let lab = Lab::over("xdp");
    lab.expect_fast(red(), blue());
    // As the namespace of a pair is that no XDP ever was in.
    lab.sandbox.sh("ip netns add plain && ip link add plain type veth peer name eth0 netns plain
         ip link set plain up && ip -n plain link set eth0 up");
    let untouched = features(&lab.sandbox, "plain");
    let (mac, port) = (lab.mac("red"), lab.port("red"));
    for join in [
        "ip link set red nomaster",
        "ip link add other type bridge && ip link set red master other",
    ] {
        lab.follow("port out", join, |maps| maps.station(mac).is_none() && !maps.has_port(port));
        wait_until("the peer to be put back", || features(&lab.sandbox, "red") == untouched);
        assert_eq!(Hooked::of(&lab.sandbox, "red"), Hooked::NONE);
        lab.expect_fast(blue(), green());

        let back = "ip link set red master lab";
        lab.follow("port in", back, |maps| maps.serves(mac, port));
        lab.expect_fast(red(), blue());
        assert!(is_prepared(&features(&lab.sandbox, "red")));
        assert_eq!(Hooked::of(&lab.sandbox, "red"), Hooked::only("xdp"));
    }
    lab.sandbox.sh("ip link del other; ip link del plain; ip netns del plain");
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn ports_that_are_set_down_are_left_out_until_they_are_up() {
    let lab = Lab::over("xdp");
    lab.expect_fast(red(), blue());
    let (mac, port) = (lab.mac("red"), lab.port("red"));
    for device in ["red", "eth0"] {
        let netns = if device == "red" { "" } else { "-n red " };
        let set = |state: &str| format!("ip {netns}link set {device} {state}");
        lab.follow("down", &set("down"), |maps| maps.leaves_alone(mac));
        assert!(!is_reachable(&lab.sandbox, blue(), red()));
        lab.expect_fast(blue(), green());
        lab.follow("up", &set("up"), |maps| maps.serves(mac, port));
        lab.expect_fast(red(), blue());
        exchange_streams(&lab.sandbox, red(), blue(), 1 << 20);
    }
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn namespace_that_is_deleted_under_xdp_is_forgotten_and_made_again_by_up() {
    let lab = Lab::over("xdp");
    lab.expect_fast(red(), blue());
    let (mac, port) = (lab.mac("red"), lab.port("red"));
    lab.follow("namespace deleted", "ip netns del red", |maps| {
        maps.station(mac).is_none() && !maps.has_port(port)
    });
    lab.expect_fast(blue(), green());

    lab.sandbox.veth(&["up", &lab.file]).ok();
    let port = lab.port("red");
    lab.follow("namespace made again", "true", |maps| maps.serves(mac, port));
    lab.expect_fast(red(), blue());
    assert!(is_prepared(&features(&lab.sandbox, "red")));
    lab.down();
}

/// Whose namespace it is, only a mark on the port would tell; so nobody there is touched.
#[test]
#[ignore = "needs root"]
fn port_that_somebody_adds_to_an_xdp_fabric_talks_over_the_bridge() {
    let lab = Lab::over("xdp");
    lab.sandbox.sh("ip netns add extra && ip link add extra type veth peer name eth0 netns extra
         ip -n extra addr add 10.77.0.9/24 dev eth0 && ip -n extra link set eth0 up");
    let (port, before) = (lab.port("extra"), features(&lab.sandbox, "extra"));
    let join = "ip link set extra up master lab";
    lab.follow("port of others in", join, |maps| maps.has_port(port));
    let extra = end("extra", "10.77.0.9");
    lab.expect_verdict(red(), extra, "destination_ineligible");
    lab.expect_verdict(extra, red(), "port_ineligible");
    // Their checksums and segments are left to the device, and the bridge knows.
    exchange_streams(&lab.sandbox, extra, red(), 1 << 20);
    exchange_streams(&lab.sandbox, red(), extra, 1 << 20);
    assert_eq!(port_status(&lab.sandbox, "extra")["reason"], "xdp_unseen");
    assert!(!is_prepared(&features(&lab.sandbox, "extra")));

    let leave = "ip link set extra nomaster";
    lab.follow("port of others out", leave, |maps| !maps.has_port(port));
    wait_until("the program to be gone", || {
        Hooked::of(&lab.sandbox, "extra") == Hooked::NONE
            && features(&lab.sandbox, "extra") == before
    });
    lab.expect_fast(red(), blue());
    lab.sandbox.sh("ip link del extra && ip netns del extra");
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn agent_goes_on_with_what_the_fabric_is_switched_to() {
    let mut lab = Lab::up();
    let untouched = features(&lab.sandbox, "red");
    for datapath in ["xdp", "tc", "xdp", "tc", "xdp"] {
        lab.sandbox.veth(&["up", &lab.file, "--datapath", datapath]).ok();
        lab.expect_fast(red(), blue());
        // A late look of the agent at what was is no look at what is.
        let program = format!("{datapath}_ingress");
        assert!(pins(&lab.sandbox).contains(&program), "{}", pins(&lab.sandbox));
        let (mac, port) = (lab.mac("green"), lab.port("green"));
        lab.follow("green down", "ip link set green down", |maps| maps.leaves_alone(mac));
        lab.follow("green up", "ip link set green up", |maps| maps.serves(mac, port));
        lab.expect_fast(red(), green());
        if datapath == "tc" {
            assert_eq!(features(&lab.sandbox, "red"), untouched);
            assert_eq!(Hooked::of(&lab.sandbox, "red"), Hooked::only("tcx"));
        } else {
            assert!(is_prepared(&features(&lab.sandbox, "red")));
            assert_eq!(Hooked::of(&lab.sandbox, "red"), Hooked::only("xdp"));
        }
        assert!(pins(&lab.sandbox).contains(&program), "{}", pins(&lab.sandbox));
    }
    lab.sandbox.veth(&["up", &lab.file, "--datapath", "none"]).ok();
    assert_eq!(lab.agent.exit_code(), Some(0), "there is nothing left to do");
    assert_eq!(features(&lab.sandbox, "red"), untouched);
    assert_eq!(Hooked::of(&lab.sandbox, "red"), Hooked::NONE);
    lab.sandbox.ping("red", "10.77.0.2");
    lab.sandbox.down("lab");
}
