//! Stations of an adopted bridge: the bridge says where they are, and must not forget them.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::lab::{attach, attached, bridge, leave};
use crate::{
    sandbox::wait_until,
    sync::lab::{blue, red},
    traffic::{
        talk::{introduce, silence_ipv6},
        wire::{EXPERIMENTAL, Wire, frame, stay_on_one_cpu},
    },
};
use veth_common::Mac;

#[test]
#[ignore = "needs root"]
fn station_that_moves_is_followed_with_its_first_frame_and_without_the_agent() {
    let lab = attached();
    lab.expect_fast(red(), blue());
    let [red_mac, blue_mac] = ["red", "blue"].map(|member| lab.mac(member));
    silence_ipv6(&lab.sandbox, &["red", "blue", "green"]);
    let wires = ["red", "blue", "green"].map(|member| Wire::of(&lab.sandbox, member));
    let [at_red, at_blue, at_green] = &wires;
    stay_on_one_cpu();
    // Whatever the agent could do, it cannot any more; its leases still hold.
    lab.agent.signal(Signal::SIGSTOP);
    let to_red = |text: &[u8]| frame(red_mac, blue_mac, EXPERIMENTAL, text);

    at_blue.send(&to_red(b"before"));
    at_red.receive_until(&to_red(b"before"));
    // What the station announces itself with is a frame to everybody.
    let hello = frame(Mac::BROADCAST, red_mac, EXPERIMENTAL, b"here I am");
    at_green.send(&hello);
    at_blue.send(&to_red(b"after"));
    at_green.receive_until(&to_red(b"after"));

    // And back: with a frame to a station that is known.
    at_red.send(&frame(blue_mac, red_mac, EXPERIMENTAL, b"back again"));
    at_blue.send(&to_red(b"home"));
    let home = at_red.receive_until(&to_red(b"home"));
    assert!(!home.contains(&to_red(b"after")), "it was delivered twice");
    lab.agent.signal(Signal::SIGCONT);
    lab.expect_fast(red(), blue());
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn station_that_moves_to_where_nothing_is_served_is_followed_without_the_agent() {
    for hook in ["tcx", "clsact"] {
        let sandbox = bridge();
        sandbox.sh("ip link add here0 type veth peer name here1 \
                    && ip link set here0 master lab up && ip link set here1 up");
        let lab = attach(sandbox, &["--hook", hook]);
        lab.expect_fast(red(), blue());
        let [red_mac, blue_mac] = ["red", "blue"].map(|member| lab.mac(member));
        silence_ipv6(&lab.sandbox, &["red", "blue", "green"]);
        let [at_red, at_blue] = ["red", "blue"].map(|member| Wire::of(&lab.sandbox, member));
        let at_here = lab.sandbox.on_host(|| Wire::open("here1"));
        stay_on_one_cpu();
        // Whatever the agent could do, it cannot any more; its leases still hold.
        lab.agent.signal(Signal::SIGSTOP);
        let to_red = |text: &[u8]| frame(red_mac, blue_mac, EXPERIMENTAL, text);

        at_blue.send(&to_red(b"before"));
        at_red.receive_until(&to_red(b"before"));
        at_here.send(&frame(Mac::BROADCAST, red_mac, EXPERIMENTAL, b"here I am"));
        at_blue.send(&to_red(b"after"));
        at_here.receive_until(&to_red(b"after"));

        at_red.send(&frame(blue_mac, red_mac, EXPERIMENTAL, b"back again"));
        at_blue.send(&to_red(b"home"));
        let home = at_red.receive_until(&to_red(b"home"));
        assert!(!home.contains(&to_red(b"after")), "{hook}: it was delivered twice");
        assert_eq!(lab.counted("here0", "redirected"), 0, "{hook}");
        lab.agent.signal(Signal::SIGCONT);
        lab.expect_fast(red(), blue());
        let sandbox = leave(lab);
        assert_eq!(sandbox.sh("tc filter show dev here0 ingress"), "", "{hook}");
        assert!(!sandbox.sh("tc qdisc show dev here0").contains("clsact"), "{hook}");
    }
}

#[test]
#[ignore = "needs root"]
fn station_that_only_sends_over_the_fast_path_is_not_forgotten_and_a_silent_one_is() {
    let sandbox = bridge();
    // In hundredths of a second.
    sandbox.sh("ip link set lab type bridge ageing_time 200");
    silence_ipv6(&sandbox, &["red", "blue", "green"]);
    introduce(&sandbox, &[red(), blue()]);
    let lab = attach(sandbox, &[]);
    let [red_mac, green_mac] = ["red", "green"].map(|member| lab.mac(member));
    lab.expect_fast(red(), blue());
    // Green says one word, and no more.
    lab.sandbox.sh("ip netns exec green ping -c 1 -W 1 10.77.0.250 || true");
    let knows = |mac: Mac| lab.sandbox.sh("bridge fdb show br lab").contains(&mac.to_string());
    assert!(knows(green_mac));

    let (from, to) = (red().datagrams(&lab.sandbox), blue().datagrams(&lab.sandbox));
    let target = to.local_addr().expect("is bound");
    let unknown = lab.counted("red", "source_unknown");
    let begun = Instant::now();
    let mut heard = 0;
    // Four times the ageing time.
    while begun.elapsed() < Duration::from_secs(8) {
        from.send_to(b"still here", target).expect("can be sent");
        to.recv(&mut [0; 64]).expect("arrives");
        heard += 1;
        assert!(knows(red_mac), "forgotten after {:?} and {heard} datagrams", begun.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(lab.counted("red", "source_unknown"), unknown, "it had to be learned anew");
    wait_until("the silent station to be forgotten", || {
        !knows(green_mac) && lab.maps.station(green_mac).is_none()
    });
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn made_up_addresses_take_nothing_from_those_that_are_served() {
    // More than the map has room for.
    const MADE_UP: u16 = 17_000;
    let lab = attached();
    lab.expect_fast(red(), blue());
    let wire = Wire::of(&lab.sandbox, "green");
    for number in 0..MADE_UP {
        let [high, low] = number.to_be_bytes();
        let source = Mac([2, 0x66, 0, 0, high, low]);
        wire.send(&frame(Mac([2, 0x99, 0, 0, 0, 1]), source, EXPERIMENTAL, b"who am I?"));
    }
    wait_until("the flood to be told of", || {
        let status = lab.sandbox.veth(&["status", "lab"]).stdout;
        status.contains("more stations than the fast path has room for")
    });
    // Longer than a lease that nobody renews.
    std::thread::sleep(Duration::from_secs(4));
    lab.expect_fast(red(), blue());
    let status = lab.sandbox.veth(&["status", "lab", "--json"]).json();
    assert_eq!(status["is_kept"], true, "{status:#}");
    let said = lab.agent.said();
    let last = said.last().expect("it has followed the flood");
    assert_eq!(last["agent"]["failures"], 0, "{last:#}");
    assert!(last["tables"]["left_out"].as_u64() > Some(0), "{last:#}");
    lab.sandbox.sh("ip link set lab type bridge fdb_flush");
    wait_until("the flood to be over", || lab.sandbox.veth(&["status", "lab"]).code == 0);
    leave(lab);
}

#[test]
#[ignore = "needs root"]
fn address_that_two_namespaces_have_is_left_to_the_bridge() {
    let lab = attached();
    lab.expect_fast(red(), blue());
    let mac = lab.mac("red");
    lab.follow("a second one", &format!("ip -n green link set eth0 address {mac}"), |maps| {
        maps.leaves_alone(mac)
    });
    let other = Mac([2, 0xaa, 0, 0, 0, 9]);
    lab.sandbox.sh(&format!("ip -n green link set eth0 address {other}"));
    lab.expect_fast(red(), blue());
    leave(lab);
}
