//! VLAN tags: XDP cannot see one that lies beside the frame, so senders have to put it in, and no
//! tagged frame may ever arrive without its tag.

use crate::{
    lifecycle::PAIR,
    sandbox::{Sandbox, Started, skip, wait_until},
    traffic::{
        over_both_fast_paths,
        talk::{end, exchange_streams, mac, send_datagrams, silence_ipv6},
        wire::{EXPERIMENTAL, Wire, frame},
    },
};

over_both_fast_paths! {
    tag_beside_the_frame_arrives_with_it
    vlan_of_two_namespaces_works_through_the_bridge
}

/// A pair of namespaces in which nobody says anything by himself.
fn pair(datapath: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file, "--datapath", datapath]).ok();
    silence_ipv6(&sandbox, &["red", "blue"]);
    sandbox
}

/// `tcpdump` on `eth0` in blue, until it has seen `count` frames that come in and that `filter`
/// takes, tagged or not. (A packet socket alone is handed them without their tag.)
fn dump(sandbox: &Sandbox, count: u32, filter: &str) -> Started {
    let count = count.to_string();
    let filter = format!("{filter} or (vlan and {filter})");
    let mut command = sandbox.command("ip");
    command.args(["netns", "exec", "blue", "tcpdump", "-l", "-e", "-n", "-i", "eth0"]);
    command.args(["--immediate-mode", "-Q", "in", "-c", &count, &filter]);
    Started::of(command)
}

/// What it saw, one line for each frame, after `send` was called as often as it took.
#[track_caller]
fn lines(mut dump: Started, mut send: impl FnMut()) -> Vec<String> {
    wait_until("the dump to be full", || {
        send();
        !dump.is_running()
    });
    let text = dump.wait().ok().stdout;
    // What it cannot explain, it shows in indented lines.
    text.lines().filter(|line| !line.starts_with('\t')).map(str::to_owned).collect()
}

/// The kernel takes the tag off a frame that comes in, and keeps it beside it. Whoever sends that
/// frame on (a bridge inside the namespace, a redirection) hands the two to the device.
fn tag_beside_the_frame_arrives_with_it(datapath: &str) {
    const FRAMES: u32 = 5;
    let sandbox = pair(datapath);
    sandbox.sh("ip -n red link add into type veth peer name out
         ip -n red link set into up && ip -n red link set out up
         tc -n red qdisc add dev out clsact
         tc -n red filter add dev out ingress protocol all prio 1 \
            u32 match u32 0 0 action mirred egress redirect dev eth0");
    let [red, blue] = ["red", "blue"].map(|netns| mac(&sandbox, Some(netns), "eth0"));
    let wire = sandbox.inside("red", || Wire::open("into"));
    let letter = |tag: &[u8]| {
        let payload = [tag, &EXPERIMENTAL.to_be_bytes(), &[0x5a; 46]].concat();
        let (ether_type, payload) = payload.split_at(2);
        frame(blue, red, u16::from_be_bytes([ether_type[0], ether_type[1]]), payload)
    };
    let counted = |verdict: &str| sandbox.counter("lab", "red", verdict).0;
    for (tag, name) in [
        (&[0x81, 0, 0, 5][..], "vlan 5,"),
        (&[0x88, 0xa8, 0, 6], "vlan 6,"),
        // A priority and no VLAN is a tag, too.
        (&[0x81, 0, 0xa0, 0], "vlan 0, p 5,"),
        (&[0x88, 0xa8, 0, 7, 0x81, 0, 0, 8], "vlan 7,"),
    ] {
        let before = (counted("vlan_tagged"), counted("redirected"));
        let dump = dump(&sandbox, FRAMES, "ether proto 0x88b5");
        let seen = lines(dump, || wire.send(&letter(tag)));
        assert_eq!(seen.len(), FRAMES as usize, "{seen:?}");
        for line in &seen {
            assert!(line.contains(name), "{datapath}: {name} was lost: {line}");
        }
        assert!(counted("vlan_tagged") - before.0 >= u64::from(FRAMES));
        assert_eq!(counted("redirected"), before.1, "{name}: it took the fast path");
    }

    // The same without a tag takes the fast path, and has none on arrival.
    let before = counted("redirected");
    let seen = lines(dump(&sandbox, FRAMES, "ether proto 0x88b5"), || wire.send(&letter(&[])));
    assert!(seen.iter().all(|line| !line.contains("vlan")), "{seen:?}");
    assert!(counted("redirected") - before >= u64::from(FRAMES));
    drop(wire);
    sandbox.down("lab");
}

/// Whether the kernel has interfaces for VLANs (`CONFIG_VLAN_8021Q`, of any version).
pub(crate) fn has_vlan_devices(sandbox: &Sandbox) -> bool {
    let add = "ip -n red link add link eth0 name probe type vlan id 9 2>&1 || true";
    let answer = sandbox.sh(&format!("{add}; ip -n red link del probe 2>/dev/null || true"));
    assert!(answer.is_empty() || answer.contains("Unknown device type"), "{answer}");
    if !answer.is_empty() {
        skip("interfaces for VLANs: this kernel has none (CONFIG_VLAN_8021Q)");
    }
    answer.is_empty()
}

fn vlan_of_two_namespaces_works_through_the_bridge(datapath: &str) {
    let sandbox = pair(datapath);
    if !has_vlan_devices(&sandbox) {
        sandbox.down("lab");
        return;
    }
    for (netns, number) in [("red", 1), ("blue", 2)] {
        sandbox.sh(&format!(
            "ip -n {netns} link add link eth0 name eth0.5 type vlan id 5 \
             && ip -n {netns} addr add 10.78.5.{number}/24 dev eth0.5 \
             && ip -n {netns} link set eth0.5 up"
        ));
    }
    let before = sandbox.counter("lab", "red", "redirected").0;
    let requests = dump(&sandbox, 3, "icmp[icmptype] == icmp-echo");
    let seen = lines(requests, || sandbox.ping("red", "10.78.5.2"));
    assert!(seen.iter().all(|line| line.contains("vlan 5,")), "arrived without a tag: {seen:?}");
    // With its tag, the largest packet makes a frame of four bytes more than others.
    let (red, blue) = (end("red", "10.78.5.1"), end("blue", "10.78.5.2"));
    for length in [0, 1471, 1472, 1473, 8192] {
        send_datagrams(&sandbox, red, blue, length, 3);
    }
    exchange_streams(&sandbox, red, blue, 1 << 20);
    assert_eq!(sandbox.counter("lab", "red", "redirected").0, before, "it took the fast path");
    sandbox.down("lab");
}
