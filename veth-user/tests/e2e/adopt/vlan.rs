//! An adopted bridge that filters VLANs: stations whose untagged frames are in one VLAN are served,
//! all else is left to the bridge.

use std::{
    thread,
    time::{Duration, Instant},
};

use veth_common::{Mac, Vlan};

use super::lab::{add_member, attach, bridge, leave};
use crate::{
    sandbox::{Sandbox, wait_until},
    sync::lab::{Lab, blue, green, kernel_has_vlan_filtering, red},
    traffic::{
        talk::{End, end, introduce, is_reachable, silence_ipv6},
        wire::{EXPERIMENTAL, Wire, frame, stay_on_one_cpu},
    },
    xdp::vlan::has_vlan_devices,
};

fn grey() -> End<'static> {
    end("grey", "10.77.0.4")
}

/// A host with a bridge that has red and blue in VLAN 10, green and grey in VLAN 20; `None` where
/// bridges do not filter VLANs.
fn vlan_bridge() -> Option<Sandbox> {
    let sandbox = bridge();
    if !kernel_has_vlan_filtering(&sandbox) {
        return None;
    }
    add_member(&sandbox, "grey", 4);
    sandbox.sh("ip link set lab type bridge vlan_filtering 1 vlan_default_pvid 0");
    for (port, vid) in [("red", 10), ("blue", 10), ("green", 20), ("grey", 20)] {
        sandbox.sh(&format!("bridge vlan add dev {port} vid {vid} pvid untagged"));
    }
    Some(sandbox)
}

/// Leaves nothing to be sent but what a test sends, once the bridge knows red and blue.
fn silence(sandbox: &Sandbox) {
    wait_until("the bridge to forward", || {
        is_reachable(sandbox, red(), blue()) && is_reachable(sandbox, blue(), red())
    });
    silence_ipv6(sandbox, &["red", "blue", "green", "grey"]);
    introduce(sandbox, &[red(), blue()]);
}

/// Has red and blue talk until both are served: a bridge that forgets soon may have to learn one anew.
#[track_caller]
fn talk(lab: &Lab) {
    let is_served = |member| lab.maps.serves(lab.mac(member), lab.port(member));
    wait_until("red and blue to be served", || {
        let reached = [(red(), blue()), (blue(), red())]
            .map(|(from, to)| is_reachable(&lab.sandbox, from, to));
        reached == [true; 2] && is_served("red") && is_served("blue")
    });
}

fn vlan_of(lab: &Lab, mac: Mac) -> Option<Vlan> {
    lab.maps.station(mac).map(|entry| entry.vlan)
}

/// Why a port is left to the bridge.
#[track_caller]
fn reason(lab: &Lab, name: &str) -> Option<String> {
    let status = lab.sandbox.veth(&["status", "lab", "--json"]).ok().json();
    let ports = status["ports"].as_array().expect("a status has ports").clone();
    let port = ports.into_iter().find(|port| port["name"] == name).expect("the port is there");
    port["reason"].as_str().map(str::to_owned)
}

#[test]
#[ignore = "needs root"]
fn stations_of_one_vlan_are_fast_and_those_of_two_stay_apart() {
    let Some(sandbox) = vlan_bridge() else { return };
    let lab = attach(sandbox, &[]);
    lab.expect_fast(red(), blue());
    lab.expect_fast(green(), grey());
    assert_eq!(vlan_of(&lab, lab.mac("red")), Some(Vlan(10)));
    assert_eq!(vlan_of(&lab, lab.mac("grey")), Some(Vlan(20)));

    // Though they know each other's addresses, and so does the fast path.
    introduce(&lab.sandbox, &[red(), green()]);
    let before = ["red", "green"].map(|port| lab.counted(port, "other_vlan"));
    assert!(!is_reachable(&lab.sandbox, red(), green()));
    assert!(!is_reachable(&lab.sandbox, green(), red()));
    assert!(lab.counted("red", "other_vlan") > before[0]);
    assert!(lab.counted("green", "other_vlan") > before[1]);
    lab.expect_fast(red(), blue());
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn vlans_of_ports_are_followed_and_those_that_are_not_plain_are_left_to_the_bridge() {
    let Some(sandbox) = vlan_bridge() else { return };
    let lab = attach(sandbox, &[]);
    lab.expect_fast(red(), blue());
    let (mac, port) = (lab.mac("blue"), lab.port("blue"));
    let pvid = "bridge vlan add dev blue vid 10 pvid untagged";
    for (what, on, off) in [
        ("no_pvid", "bridge vlan add dev blue vid 10 untagged", pvid),
        ("no_pvid", "bridge vlan del dev blue vid 10", pvid),
        ("pvid_tagged", "bridge vlan add dev blue vid 10 pvid", pvid),
        (
            "pvid_not_forwarding",
            "bridge vlan set dev blue vid 10 state blocking",
            "bridge vlan set dev blue vid 10 state forwarding",
        ),
        (
            "vlan_tunnel",
            "bridge link set dev blue vlan_tunnel on",
            "bridge link set dev blue vlan_tunnel off",
        ),
        (
            "vlan_protocol",
            "ip link set lab type bridge vlan_protocol 802.1ad",
            "ip link set lab type bridge vlan_protocol 802.1Q",
        ),
    ] {
        lab.follow(what, on, |maps| maps.leaves_alone(mac));
        assert_eq!(reason(&lab, "blue").as_deref(), Some(what));
        lab.sandbox.sh(off);
        // The bridge has to learn some of them anew.
        wait_until(what, || {
            is_reachable(&lab.sandbox, blue(), red());
            lab.maps.serves(mac, port)
        });
        lab.expect_fast(red(), blue());
    }
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn port_that_changes_vlans_talks_to_the_stations_of_its_new_one() {
    let Some(sandbox) = vlan_bridge() else { return };
    let lab = attach(sandbox, &[]);
    lab.expect_fast(red(), blue());
    let mac = lab.mac("blue");
    lab.sandbox.sh("bridge vlan del dev blue vid 10; \
                    bridge vlan add dev blue vid 20 pvid untagged");
    wait_until("the VLAN to be cut", || !is_reachable(&lab.sandbox, red(), blue()));
    lab.expect_fast(blue(), green());
    assert_eq!(vlan_of(&lab, mac), Some(Vlan(20)));
    assert!(!is_reachable(&lab.sandbox, red(), blue()));

    // Without VLANs all are in one network, and with them again in two.
    lab.sandbox.sh("ip link set lab type bridge vlan_filtering 0");
    lab.expect_fast(red(), blue());
    assert_eq!(vlan_of(&lab, mac), Some(Vlan::NONE));
    lab.sandbox.sh("ip link set lab type bridge vlan_filtering 1");
    lab.expect_fast(blue(), green());
    assert!(!is_reachable(&lab.sandbox, red(), blue()));
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn station_that_sends_is_not_forgotten_in_its_vlan_and_told_of_in_no_other() {
    let Some(sandbox) = vlan_bridge() else { return };
    // In hundredths of a second.
    sandbox.sh("ip link set lab type bridge ageing_time 400");
    sandbox.sh("bridge vlan add dev red vid 30");
    silence(&sandbox);
    let lab = attach(sandbox, &[]);
    talk(&lab);
    let mac = lab.mac("red");
    let known = || -> Vec<String> {
        let text = lab.sandbox.sh("bridge fdb show br lab");
        let lines = text.lines().filter(|line| line.starts_with(&mac.to_string()));
        lines.map(str::to_owned).collect()
    };
    let (from, to) = (red().datagrams(&lab.sandbox), blue().datagrams(&lab.sandbox));
    let target = to.local_addr().expect("is bound");
    let unknown = lab.counted("red", "source_unknown");
    let begun = Instant::now();
    // Twice the ageing time.
    while begun.elapsed() < Duration::from_secs(8) {
        from.send_to(b"still here", target).expect("can be sent");
        to.recv(&mut [0; 64]).expect("arrives");
        let known = known();
        assert!(
            matches!(&known[..], [one] if one.contains("vlan 10 ")),
            "after {:?}: {known:?}",
            begun.elapsed()
        );
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(lab.counted("red", "source_unknown"), unknown, "it had to be learned anew");
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn address_that_shows_up_in_another_vlan_is_left_to_the_bridge_where_it_is_at_home() {
    let Some(sandbox) = vlan_bridge() else { return };
    sandbox.sh("ip link set lab type bridge ageing_time 400");
    silence(&sandbox);
    let lab = attach(sandbox, &[]);
    talk(&lab);
    let (mac, port) = (lab.mac("red"), lab.port("red"));
    stay_on_one_cpu();
    let [at_red, at_blue, at_green] =
        ["red", "blue", "green"].map(|member| Wire::of(&lab.sandbox, member));
    at_green.send(&frame(Mac::BROADCAST, mac, EXPERIMENTAL, b"so am I"));
    // In VLAN 10 the station is where it was, for the bridge and for whoever sends to it.
    let letter = frame(mac, lab.mac("blue"), EXPERIMENTAL, b"to the one in VLAN 10");
    at_blue.send(&letter);
    at_red.receive_until(&letter);
    wait_until("the address to be left alone", || lab.maps.leaves_alone(mac));
    assert!(is_reachable(&lab.sandbox, red(), blue()));
    // Until the bridge has forgotten the other one.
    wait_until("the address to be served again", || {
        is_reachable(&lab.sandbox, red(), blue()) && lab.maps.serves(mac, port)
    });
    talk(&lab);
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn tagged_frames_of_a_served_port_are_the_bridges() {
    let Some(sandbox) = vlan_bridge() else { return };
    if !has_vlan_devices(&sandbox) {
        return;
    }
    for (number, member) in [(1, "red"), (2, "green")] {
        sandbox.sh(&format!(
            "bridge vlan add dev {member} vid 30 \
             && ip -n {member} link add link eth0 name eth0.30 type vlan id 30 \
             && ip -n {member} addr add 10.30.0.{number}/24 dev eth0.30 \
             && ip -n {member} link set eth0.30 up"
        ));
    }
    let lab = attach(sandbox, &[]);
    lab.expect_fast(red(), blue());
    // From one untagged VLAN to the other, by the tag that both have.
    lab.expect_verdict(end("red", "10.30.0.1"), end("green", "10.30.0.2"), "vlan_tagged");
    lab.expect_fast(red(), blue());
    leave(lab);
}
