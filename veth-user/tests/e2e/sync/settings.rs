//! An agent follows the settings of the bridge and of its ports: where the fast path would break
//! what the bridge was told to do, the bridge does it.

use veth_common::FdbFlags;

use super::lab::{Lab, blue, green, red};
use crate::{
    sandbox::wait_until,
    traffic::{
        talk::is_reachable,
        wire::{EXPERIMENTAL, Wire, frame, stay_on_one_cpu},
    },
};

#[test]
#[ignore = "needs root"]
fn bridge_that_is_down_forwards_nothing_until_it_is_up() {
    let lab = Lab::up();
    lab.expect_fast(red(), blue());
    let (mac, port) = (lab.mac("blue"), lab.port("blue"));
    lab.follow("bridge down", "ip link set lab down", |maps| maps.leaves_alone(mac));
    assert!(!is_reachable(&lab.sandbox, red(), blue()));
    lab.follow("bridge up", "ip link set lab up", |maps| maps.serves(mac, port));
    lab.expect_fast(red(), blue());
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn bridge_that_filters_vlans_forwards_by_itself() {
    let lab = Lab::up();
    if !lab.kernel_has_vlan_filtering() {
        lab.down();
        return;
    }
    lab.expect_fast(red(), blue());
    let (mac, port) = (lab.mac("blue"), lab.port("blue"));
    let on = "ip link set lab type bridge vlan_filtering 1";
    lab.follow("VLAN filtering on", on, |maps| maps.leaves_alone(mac));
    let before = lab.counted("red", "redirected");
    lab.expect_verdict(red(), blue(), "port_ineligible");
    assert_eq!(lab.counted("red", "redirected"), before);
    // What the bridge is told about VLANs holds.
    lab.sandbox.sh("bridge vlan del vid 1 dev blue");
    wait_until("the VLAN to be cut", || !is_reachable(&lab.sandbox, red(), blue()));
    lab.sandbox.sh("bridge vlan add vid 1 pvid untagged dev blue");

    let off = "ip link set lab type bridge vlan_filtering 0";
    lab.follow("VLAN filtering off", off, |maps| maps.serves(mac, port));
    lab.expect_fast(red(), blue());
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn isolated_ports_do_not_talk_to_each_other_but_to_others() {
    let lab = Lab::up();
    lab.expect_fast(red(), blue());
    let [red_mac, blue_mac] = ["red", "blue"].map(|member| lab.mac(member));
    let isolate = |port: &str, on: &str| format!("bridge link set dev {port} isolated {on}");
    let flagged = |mac| {
        move |maps: &super::lab::Maps| {
            maps.station(mac).is_some_and(|it| it.flags.contains(FdbFlags::ISOLATED))
        }
    };
    lab.follow("one isolated", &isolate("red", "on"), flagged(red_mac));
    lab.expect_fast(red(), blue());

    lab.follow("two isolated", &isolate("blue", "on"), flagged(blue_mac));
    let before = lab.counted("red", "isolated");
    assert!(!is_reachable(&lab.sandbox, red(), blue()));
    assert!(lab.counted("red", "isolated") > before);
    lab.expect_fast(red(), green());
    lab.expect_fast(blue(), green());

    let off = isolate("red", "off");
    lab.follow("one isolated no more", &off, |maps| !flagged(red_mac)(maps));
    lab.expect_fast(red(), blue());
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn port_that_does_not_learn_is_left_to_the_bridge() {
    let lab = Lab::up();
    lab.expect_fast(red(), blue());
    let (mac, port) = (lab.mac("red"), lab.port("red"));
    let off = "bridge link set dev red learning off";
    lab.follow("learning off", off, |maps| maps.leaves_alone(mac));
    lab.expect_verdict(red(), blue(), "port_ineligible");
    lab.expect_verdict(blue(), red(), "destination_ineligible");
    lab.expect_fast(blue(), green());
    let on = "bridge link set dev red learning on";
    lab.follow("learning on", on, |maps| maps.serves(mac, port));
    lab.expect_fast(red(), blue());
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn port_with_a_queueing_discipline_is_left_to_the_bridge() {
    let lab = Lab::up();
    lab.expect_fast(red(), blue());
    let (mac, port) = (lab.mac("blue"), lab.port("blue"));
    let add = "tc qdisc add dev blue root pfifo";
    lab.follow("qdisc added", add, |maps| maps.leaves_alone(mac));
    lab.expect_verdict(red(), blue(), "destination_ineligible");
    let remove = "tc qdisc del dev blue root";
    lab.follow("qdisc removed", remove, |maps| maps.serves(mac, port));
    lab.expect_fast(red(), blue());
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn locked_port_is_left_to_the_bridge() {
    let lab = Lab::up();
    lab.expect_fast(red(), blue());
    let (mac, port) = (lab.mac("red"), lab.port("red"));
    let lock = "bridge link set dev red locked on";
    lab.follow("locked", lock, |maps| maps.leaves_alone(mac));
    assert!(!is_reachable(&lab.sandbox, red(), blue()), "a stranger got through the lock");
    let unlock = "bridge link set dev red locked off";
    lab.follow("unlocked", unlock, |maps| maps.serves(mac, port));
    lab.expect_fast(red(), blue());
    lab.down();
}

#[test]
#[ignore = "needs root"]
fn hairpin_port_reflects_and_keeps_the_fast_path() {
    stay_on_one_cpu();
    let lab = Lab::up();
    lab.expect_fast(red(), blue());
    lab.sandbox.sh("bridge link set dev red hairpin on");
    let mac = lab.mac("red");
    let wire = Wire::of(&lab.sandbox, "red");
    let before = lab.counted("red", "same_port");
    let letter = frame(mac, mac, EXPERIMENTAL, b"to myself");
    wire.send(&letter);
    wire.receive_until(&letter);
    assert_eq!(lab.counted("red", "same_port"), before + 1);
    lab.expect_fast(red(), blue());
    lab.down();
}
