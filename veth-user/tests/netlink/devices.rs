//! Devices are born where they are to live, as they are to be.

use veth_common::Mac;
use veth_user::{
    netlink::{Netlink, NetlinkError},
    netns::Netns,
    view::{Link, LinkKind},
};

use crate::{
    BLUE_MAC, MTU_BYTES, RED_MAC, add_address, device, ifindex, inside, namespace, private,
    red_and_blue, set_up, skip, talk,
};

/// Whether the kernel made the device. A kernel without the kind says just that, and the test
/// has nothing more to see.
#[track_caller]
fn is_made(made: Result<(), NetlinkError>, attempt: &str) -> bool {
    let Err(error) = made else { return true };
    assert!(error.is_unknown_kind(), "{error}");
    assert!(error.to_string().starts_with(attempt), "{error}");
    skip(&format!("{attempt}: this kernel does not make devices of that kind"));
    false
}

/// The link in `netns` that has the name of the namespace.
#[track_caller]
fn link_in(netns: &Netns) -> Link {
    let link = inside(netns, |netlink| netlink.link_by_name(netns.name()));
    link.expect("links are readable").expect("the link is there")
}

#[track_caller]
fn assert_is(link: &Link, kind: &LinkKind, mac: Mac) {
    assert_eq!((&link.kind, link.mac, link.mtu_bytes), (kind, Some(mac), MTU_BYTES));
    assert!(!link.is_up);
}

/// Asserts that the devices were not left where they were asked for.
#[track_caller]
fn assert_is_elsewhere(names: &[&str]) {
    let mut netlink = Netlink::open().expect("a socket");
    for name in names {
        assert_eq!(netlink.link_by_name(name).expect("links are readable"), None);
    }
}

#[test]
#[ignore = "needs root"]
fn both_ends_of_a_veth_pair_are_born_elsewhere() {
    private(|| {
        let [red, blue] = red_and_blue();
        assert_is_elsewhere(&["red", "blue"]);
        let [red, blue] = [link_in(&red), link_in(&blue)];
        assert_is(&red, &LinkKind::Veth, RED_MAC);
        assert_is(&blue, &LinkKind::Veth, BLUE_MAC);
        assert_eq!(red.peer.map(|peer| peer.ifindex), Some(blue.ifindex));
        assert_eq!(blue.peer.map(|peer| peer.ifindex), Some(red.ifindex));
    });
}

#[test]
#[ignore = "needs root"]
fn both_ends_of_a_netkit_pair_are_born_elsewhere() {
    private(|| {
        let [red, blue] = ["red", "blue"].map(namespace);
        let ends = [device("red", RED_MAC, Some(&red)), device("blue", BLUE_MAC, Some(&blue))];
        let made = Netlink::open().expect("a socket").create_netkit(ends.each_ref());
        assert_is_elsewhere(&["red", "blue"]);
        if is_made(made, "create netkit pair red/blue") {
            let netkit = LinkKind::Other("netkit".into());
            assert_is(&link_in(&red), &netkit, RED_MAC);
            assert_is(&link_in(&blue), &netkit, BLUE_MAC);
        }
    });
}

#[test]
#[ignore = "needs root"]
fn macvlans_of_one_parent_reach_each_other() {
    private(|| {
        let mut netlink = Netlink::open().expect("a socket");
        // With another end, because a macvlan has a carrier when its parent has.
        let pair = [("parent", Mac([2, 0, 0, 0, 0, 3])), ("other", Mac([2, 0, 0, 0, 0, 4]))]
            .map(|(name, mac)| device(name, mac, None));
        netlink.create_veth(pair.each_ref()).expect("a pair can be made");
        let [parent, other] = pair.map(|end| ifindex(&mut netlink, end.name));
        set_up(&mut netlink, parent);
        set_up(&mut netlink, other);

        let ends = ["red", "blue"].map(namespace);
        let macs = [RED_MAC, BLUE_MAC];
        let ips = ["10.0.0.1", "10.0.0.2"];
        for ((netns, mac), ip) in ends.iter().zip(macs).zip(ips) {
            let macvlan = device(netns.name(), mac, Some(netns));
            let made = netlink.create_macvlan(&macvlan, parent);
            if !is_made(made, &format!("create macvlan {} on link ", netns.name())) {
                return;
            }
            assert_is(&link_in(netns), &LinkKind::Other("macvlan".into()), mac);
            inside(netns, |netlink| {
                let link = ifindex(netlink, netns.name());
                add_address(netlink, link, ip, 24);
                set_up(netlink, link);
            });
        }
        let [red, blue] = [0, 1].map(|end| talk::socket(&ends[end], ips[end]));
        talk::reach(&red, &blue);
        talk::reach(&blue, &red);
    });
}

#[test]
#[ignore = "needs root"]
fn dummy_is_born_in_a_namespace() {
    private(|| {
        let red = namespace("red");
        let dummy = device("red", RED_MAC, Some(&red));
        let mut netlink = Netlink::open().expect("a socket");
        if !is_made(netlink.create_dummy(&dummy), "create dummy red") {
            return;
        }
        assert_is(&link_in(&red), &LinkKind::Other("dummy".into()), RED_MAC);
        assert_is_elsewhere(&["red"]);
        let error = netlink.create_dummy(&dummy).expect_err("there is one of that name");
        assert!(error.to_string().starts_with("create dummy red: File exists"), "{error}");
    });
}
