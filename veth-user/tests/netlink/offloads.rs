//! Offloads: what is turned off is off, comes back, and takes along what depends on it.

use veth_common::Ifindex;
use veth_user::{
    netlink::{Ethtool, Netlink},
    view::{Offload, Offloads},
};

use crate::{BLUE_MAC, RED_MAC, device, ifindex, output, private, skip};

/// A veth pair, `red` and `blue`, both here; the index of `red`.
fn red() -> Ifindex {
    let mut netlink = Netlink::open().expect("a socket");
    let ends = [&device("red", RED_MAC, None), &device("blue", BLUE_MAC, None)];
    netlink.create_veth(ends).expect("a pair can be made");
    ifindex(&mut netlink, "red")
}

/// Asserts what `ethtool -k` says of features of the link `red`.
/// It has old names for some: `tx-vlan-offload` is `tx-vlan-hw-insert`.
#[track_caller]
fn assert_features(expected: &[(&str, &str)]) {
    let Some(text) = output("ethtool", &["-k", "red"]) else {
        skip("a second opinion on offloads: ethtool is not installed");
        return;
    };
    for (name, state) in expected {
        let line = text
            .lines()
            .map(str::trim)
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        assert_eq!(line.map(|it| it.split(' ').next()), Some(Some(*state)), "{name} in {text}");
    }
}

#[test]
#[ignore = "needs root"]
fn what_a_datapath_cannot_bear_is_turned_off_and_put_back() {
    private(|| {
        let red = red();
        let mut ethtool = Ethtool::open().expect("kernels since 5.6 have the family");
        let before = ethtool.offloads(red).expect("readable");
        let unbearable = Offloads::from([
            Offload::TxChecksum,
            Offload::TxChecksumSctp,
            Offload::TxVlanInsert,
            Offload::TxVlanStagInsert,
        ]);
        assert_eq!(before.active.and(unbearable), unbearable, "veth has them all on");
        assert_eq!(before.changeable.and(unbearable), unbearable);
        assert!(!before.active.contains(Offload::RxGro), "veth has it off");
        assert_features(&[
            ("tx-checksum-ip-generic", "on"),
            ("tx-tcp-segmentation", "on"),
            ("generic-receive-offload", "off"),
        ]);

        let gro = Offloads::from([Offload::RxGro]);
        ethtool.set_offloads(red, gro, unbearable).expect("veth can change them");
        let during = ethtool.offloads(red).expect("readable");
        // Segmentation is still wanted, and waits for the checksum that it builds on.
        assert_eq!(during.active.and(unbearable.with(Offload::RxGro)), gro);
        assert!(!during.active.contains(Offload::TxTcp4Segments), "{:?}", during.active);
        assert_eq!(during.wanted, before.wanted.except(unbearable).with(Offload::RxGro));
        assert_eq!(during.changeable, before.changeable);
        assert_features(&[
            ("tx-checksum-ip-generic", "off"),
            ("tx-checksum-sctp", "off"),
            ("tx-vlan-offload", "off"),
            ("tx-vlan-stag-hw-insert", "off"),
            // Needs the checksum, and waits for it.
            ("tx-tcp-segmentation", "off"),
            ("generic-receive-offload", "on"),
        ]);

        let [on, off] = [before.wanted, during.wanted];
        ethtool.set_offloads(red, on.except(off), off.except(on)).expect("veth can change them");
        assert_eq!(ethtool.offloads(red).expect("readable"), before);
        assert_features(&[("tx-checksum-ip-generic", "on"), ("tx-tcp-segmentation", "on")]);
    });
}

#[test]
#[ignore = "needs root"]
fn offloads_of_all_devices_are_those_of_each() {
    private(|| {
        let red = red();
        let mut ethtool = Ethtool::open().expect("kernels since 5.6 have the family");
        let off = Offloads::from([Offload::TxTcp4Segments, Offload::TxVlanInsert]);
        ethtool.set_offloads(red, Offloads::NONE, off).expect("veth can change them");
        let all = ethtool.all_offloads().expect("readable");
        // The loopback device and both ends.
        assert_eq!(all.len(), 3, "{all:?}");
        for (ifindex, state) in all {
            assert_eq!(ethtool.offloads(ifindex).expect("readable"), state, "{ifindex:?}");
            let unused = state.unused().and(off);
            assert_eq!(unused, if ifindex == red { off } else { Offloads::NONE }, "{ifindex:?}");
        }
    });
}

#[test]
#[ignore = "needs root"]
fn an_empty_change_changes_nothing() {
    private(|| {
        let red = red();
        let mut ethtool = Ethtool::open().expect("kernels since 5.6 have the family");
        let before = ethtool.offloads(red).expect("readable");
        ethtool.set_offloads(red, Offloads::NONE, Offloads::NONE).expect("nothing to refuse");
        assert_eq!(ethtool.offloads(red).expect("readable"), before);
    });
}

#[test]
#[ignore = "needs root"]
fn device_that_is_gone_is_not_found() {
    private(|| {
        let gone = Ifindex(4711);
        let mut ethtool = Ethtool::open().expect("kernels since 5.6 have the family");
        let error = ethtool.offloads(gone).expect_err("there is no such device");
        assert!(error.is_not_found(), "{error}");
        let gro = Offloads::from([Offload::RxGro]);
        let error = ethtool.set_offloads(gone, gro, Offloads::NONE).expect_err("still none");
        assert!(error.is_not_found(), "{error}");
        assert!(error.to_string().contains("link 4711 (on: rx-gro; off: none)"), "{error}");
    });
}
