//! What is said of a frame between two stations. That verdicts agree with the programs is tested with
//! these (`tests/test_run`).

use veth_common::{
    FdbEntry, FdbFlags, Ifindex, Lease, Mac, MacKey, PortEntry, PortFlags, PortSlot, Vlan,
};
use veth_ebpf::packet::Bytes;

use super::{Entries, Lookup, explain};

const RED: Mac = Mac([0x02, 0, 0, 0, 0, 0x21]);
const BLUE: Mac = Mac([0x02, 0, 0, 0, 0, 0x22]);
const SECOND_NS: u64 = 1_000_000_000;

fn entry(mac: Mac, port: u32, lease: Lease) -> FdbEntry {
    FdbEntry {
        key: MacKey::of(mac),
        lease,
        port: Ifindex(port),
        slot: PortSlot(1),
        flags: FdbFlags::SOURCE.with(FdbFlags::TARGET),
        mtu_bytes: 1500,
        vlan: Vlan::NONE,
        version: 0,
    }
}

fn entries() -> Entries {
    let flags = PortFlags::ELIGIBLE;
    let lookup =
        |mac, port, lease| (mac, Lookup { near: None, fdb: Some(entry(mac, port, lease)) });
    Entries {
        ingress: Ifindex(5),
        port: Some(PortEntry { slot: PortSlot(1), flags }),
        stations: [lookup(RED, 5, Lease(12 * SECOND_NS)), lookup(BLUE, 6, Lease::FOREVER)].into(),
        lacks_device: false,
        now_ns: 10 * SECOND_NS,
    }
}

/// The texts of the steps for a frame of `len` bytes from red to blue, after `change`.
fn told(len: usize, change: impl FnOnce(&mut Entries)) -> Vec<String> {
    let mut frame = [&BLUE.0[..], &RED.0, &[0x88, 0xb5]].concat();
    frame.resize(len, 0);
    let mut entries = entries();
    change(&mut entries);
    let name = |port: Ifindex| match port.0 {
        5 => "red".to_owned(),
        6 => "blue".to_owned(),
        other => format!("#{other}"),
    };
    let explanation = explain(&Bytes::linear(&frame), &entries, &name);
    explanation.steps.into_iter().map(|step| step.text).collect()
}

#[track_caller]
fn ends_with(len: usize, change: impl FnOnce(&mut Entries), text: &str) {
    let steps = told(len, change);
    assert!(
        steps.last().is_some_and(|last| last.contains(text)),
        "{text:?} is not last: {steps:?}"
    );
}

fn station(entries: &mut Entries, mac: Mac) -> &mut FdbEntry {
    let lookup = entries.stations.get_mut(&mac).expect("made with it");
    lookup.fdb.as_mut().expect("made with it")
}

#[test]
fn frame_on_the_fast_path_is_told_from_port_to_size() {
    let steps = told(60, |_| ());
    assert_eq!(steps.first().map(String::as_str), Some("port red may use the fast path (slot 1)"));
    assert!(
        steps.contains(&"the sender's lease is valid for another 2.0 s".to_owned()),
        "{steps:?}"
    );
    let forever = "the receiver's entry has no end: the bridge holds it for veth".to_owned();
    assert!(steps.contains(&forever), "{steps:?}");
    assert_eq!(
        steps.last().map(String::as_str),
        Some("its packet of 46 bytes fits the receiver's MTU of 1500")
    );
}

#[test]
fn last_step_names_what_stands_in_the_way() {
    ends_with(1515, |_| (), "1501 bytes does not fit the receiver's MTU of 1500");
    ends_with(60, |it| it.now_ns = 15 * SECOND_NS, "ended 3.0 s ago");
    ends_with(60, |it| station(it, RED).lease = Lease::EXPIRED, "was taken back");
    ends_with(60, |it| station(it, RED).port = Ifindex(6), "known on blue");
    ends_with(
        60,
        |it| it.stations.retain(|mac, _| *mac != BLUE),
        "02:00:00:00:00:22 is in no table",
    );
    let unknown = |it: &mut Entries| {
        it.port = None;
        it.stations.clear();
    };
    ends_with(60, unknown, "red is no port");
    ends_with(60, |it| station(it, BLUE).flags = FdbFlags::LOCAL, "is this host");
    ends_with(60, |it| it.lacks_device = true, "the devmap has no device in slot 1");
}

#[test]
fn vlans_are_told_where_there_are_any() {
    assert!(!told(60, |_| ()).join("\n").contains("VLAN 0"));
    let vlans = |red, blue| {
        move |it: &mut Entries| {
            station(it, RED).vlan = Vlan(red);
            station(it, BLUE).vlan = Vlan(blue);
        }
    };
    assert!(told(60, vlans(10, 10)).contains(&"both are in VLAN 10".to_owned()));
    ends_with(60, vlans(10, 20), "receiver is in VLAN 20 and the sender in VLAN 10");
}

#[test]
fn near_table_is_told_where_a_cpu_reads_in_order() {
    let near = |version| {
        move |it: &mut Entries| {
            let entry = FdbEntry { version, ..*station(it, BLUE) };
            it.stations.get_mut(&BLUE).expect("made with it").near = Some(entry);
        }
    };
    let table = |steps: Vec<String>| steps.join("\n").contains("00:22 is found in the near table");
    assert_eq!(table(told(60, near(2))), cfg!(target_arch = "x86_64"));
    // Half written.
    assert!(!table(told(60, near(3))));
}
