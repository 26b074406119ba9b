//! Adopting a bridge that somebody else made: what is served, what is left alone, and that nothing of
//! it is changed.

pub(crate) mod adopted;
pub(crate) mod lab;
mod life;
mod refusal;
mod station;
mod vlan;

use veth_common::FdbFlags;

use crate::{
    sandbox::wait_until,
    sync::lab::{blue, green, red},
    traffic::talk::{end, is_reachable},
};
use lab::{assert_looks, attach, attached, bridge, leave, look_of};

#[test]
#[ignore = "needs root"]
fn attached_bridge_is_fast_and_afterwards_as_it_was() {
    for hook in ["tcx", "clsact"] {
        let sandbox = bridge();
        // What the bridge learns of the namespaces, it has learned by then.
        for (from, to) in [(red(), blue()), (blue(), green()), (green(), red())] {
            wait_until("the bridge to forward", || is_reachable(&sandbox, from, to));
        }
        // IPv6 addresses change by themselves until nobody else has claimed them.
        wait_until("addresses to be usable", || !look_of(&sandbox).contains("tentative"));
        let before = look_of(&sandbox);
        let lab = attach(sandbox, &["--hook", hook]);
        lab.expect_fast(red(), blue());
        lab.expect_fast(blue(), green());
        let (hooked, ..) = lab.sandbox.counter("lab", "red", "redirected");
        assert!(hooked > 0);
        let sandbox = leave(lab);
        assert_looks(&sandbox, &before, hook);
        assert!(is_reachable(&sandbox, red(), blue()));
    }
}

#[test]
#[ignore = "needs root"]
fn settings_of_ports_and_bridge_are_followed() {
    let lab = attached();
    lab.expect_fast(red(), blue());
    let (mac, port) = (lab.mac("blue"), lab.port("blue"));
    for (what, on, off) in [
        ("locked", "bridge link set dev blue locked on", "bridge link set dev blue locked off"),
        (
            "learning off",
            "bridge link set dev blue learning off",
            "bridge link set dev blue learning on",
        ),
        (
            "neighbour suppression",
            "bridge link set dev blue neigh_suppress on",
            "bridge link set dev blue neigh_suppress off",
        ),
        (
            "spanning tree",
            "ip link set lab type bridge stp_state 1 forward_delay 200 \
             && ip link set blue down && ip link set blue up",
            "ip link set lab type bridge stp_state 0",
        ),
        ("port down", "ip link set blue down", "ip link set blue up"),
        ("peer down", "ip -n blue link set eth0 down", "ip -n blue link set eth0 up"),
        ("bridge down", "ip link set lab down", "ip link set lab up"),
        (
            "tied to another port",
            "bridge fdb replace $(cat /run/mac) dev green master static sticky",
            "bridge fdb del $(cat /run/mac) dev green master",
        ),
    ] {
        lab.sandbox.sh(&format!("echo {mac} > /run/mac"));
        lab.follow(what, on, |maps| maps.leaves_alone(mac));
        lab.sandbox.sh(off);
        // The bridge has to learn some of them anew.
        wait_until(what, || {
            is_reachable(&lab.sandbox, blue(), green());
            lab.maps.serves(mac, port)
        });
        lab.expect_fast(red(), blue());
    }
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn port_through_which_the_bridge_sends_frames_changed_is_left_to_it_until_it_does_not() {
    let lab = attached();
    for offload in ["tx", "tso", "tx-udp-segmentation"] {
        lab.expect_fast(red(), blue());
        let mac = lab.mac("blue");
        lab.follow(offload, &format!("ethtool -K blue {offload} off"), |maps| {
            maps.leaves_alone(mac)
        });
        lab.expect_verdict(red(), blue(), "destination_ineligible");
        lab.expect_verdict(blue(), red(), "port_ineligible");
        let survey = lab.sandbox.veth(&["status", "lab"]).ok().stdout;
        assert!(survey.contains("offloads of it are off"), "{survey}");
        lab.sandbox.sh(&format!("ethtool -K blue {offload} on"));
    }
    lab.expect_fast(red(), blue());
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn isolated_ports_talk_to_others_only() {
    let lab = attached();
    lab.expect_fast(red(), blue());
    let mac = lab.mac("blue");
    lab.sandbox.sh("bridge link set dev red isolated on");
    lab.follow("isolation", "bridge link set dev blue isolated on", |maps| {
        maps.station(mac).is_some_and(|entry| entry.flags.contains(FdbFlags::ISOLATED))
    });
    assert!(!is_reachable(&lab.sandbox, red(), blue()));
    lab.expect_fast(red(), green());
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn frames_from_and_to_the_host_are_the_bridges() {
    let lab = attached();
    lab.sandbox.sh("ip addr add 10.77.0.254/24 dev lab");
    lab.expect_fast(red(), blue());
    lab.sandbox.ping("red", "10.77.0.254");
    lab.sandbox.sh("ping -n -q -c 3 -i 0.01 -W 10 10.77.0.1");
    assert!(lab.counted("red", "destination_local") >= 4);
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn ports_that_are_no_veths_and_stations_behind_a_peer_are_left_to_the_bridge() {
    let sandbox = bridge();
    sandbox.sh("ip tuntap add dev tap0 mode tap && ip link set tap0 master lab up");
    sandbox.sh("ip link add here0 type veth peer name here1 && ip link set here0 master lab up");
    // A second station behind red.
    sandbox.sh("ip -n red link add inner link eth0 type macvlan mode bridge \
                && ip -n red addr add 10.77.0.11/24 dev inner && ip -n red link set inner up \
                && ip netns exec red sysctl -qw net.ipv4.conf.all.arp_ignore=1");
    let survey = sandbox.veth(&["attach", "lab", "--dry-run", "--json"]).ok().json();
    let ports = survey["ports"].as_array().expect("a survey has ports");
    let reason = |name: &str| {
        let port = ports.iter().find(|port| port["name"] == name).expect("the port is there");
        port["reason"].as_str().unwrap_or("fast").to_owned()
    };
    assert_eq!(reason("red"), "fast");
    assert_eq!(reason("tap0"), "not_veth");
    // It has no carrier either, as nothing is at its other end.
    assert!(["peer_in_same_netns", "not_forwarding"].contains(&reason("here0").as_str()));

    let lab = attach(sandbox, &[]);
    lab.expect_fast(red(), blue());
    // Their frames are looked at all the same.
    let status = lab.sandbox.veth(&["status", "lab", "--json"]).ok().json();
    for port in status["ports"].as_array().expect("a status has ports") {
        assert!(port["hook"].is_string(), "{port:#}");
    }
    let inner = end("red", "10.77.0.11");
    wait_until("the inner station to be reached through the bridge", || {
        let before = lab.counted("blue", "destination_ineligible");
        is_reachable(&lab.sandbox, blue(), inner)
            && lab.counted("blue", "destination_ineligible") > before
    });
    // Its answers came from a port that is served, and from somebody there who is not.
    assert!(lab.counted("red", "source_ineligible") > 0);
    leave(lab);
}
