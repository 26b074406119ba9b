//! What decides whether an address is reached, as the kernel and the system's tools tell it.

use std::{fs, net::IpAddr};

use veth_user::{
    netlink::{self, Netlink},
    view::{FilterHook, Uniqueness, Way},
};

use crate::{add_address, ifindex, inside, output, private, red_and_blue, set_up};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
#[ignore = "needs root"]
fn ways_are_those_of_the_kernel() {
    private(|| {
        let [red, _blue] = red_and_blue();
        inside(&red, |netlink| {
            fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0").expect("is writable");
            let link = ifindex(netlink, "red");
            set_up(netlink, link);
            let lo = ifindex(netlink, "lo");
            set_up(netlink, lo);
            add_address(netlink, link, "10.0.0.1", 24);
            add_address(netlink, link, "fd00::1", 64);
            for family in ["-4", "-6"] {
                let add = |route: &str| {
                    let words: Vec<&str> = route.split(' ').collect();
                    let args = [&[family, "route", "add"][..], &words].concat();
                    output("ip", &args).expect("iproute2 is installed");
                };
                let (gateway, refused) = match family {
                    "-4" => ("10.0.0.9", ["10.7.0.0/24", "10.8.0.0/24", "10.9.0.0/24"]),
                    _ => ("fd00::9", ["fd07::/64", "fd08::/64", "fd09::/64"]),
                };
                add(&format!("default via {gateway}"));
                for (kind, to) in ["unreachable", "prohibit", "blackhole"].iter().zip(refused) {
                    add(&format!("{kind} {to}"));
                }
            }
            let out = |gateway: Option<&str>, source| Way::Out {
                link,
                gateway: gateway.map(ip),
                source: Some(ip(source)),
            };
            for (to, way) in [
                ("10.0.0.1", Way::Local),
                ("10.0.0.2", out(None, "10.0.0.1")),
                ("192.0.2.1", out(Some("10.0.0.9"), "10.0.0.1")),
                ("10.7.0.1", Way::Refused),
                ("10.8.0.1", Way::Refused),
                ("10.9.0.1", Way::Refused),
                ("fd00::1", Way::Local),
                ("fd00::2", out(None, "fd00::1")),
                ("2001:db8::1", out(Some("fd00::9"), "fd00::1")),
                ("fd07::1", Way::Refused),
                ("fd08::1", Way::Refused),
                ("fd09::1", Way::Refused),
            ] {
                assert_eq!(netlink.way_to(ip(to)).expect("the kernel tells"), way, "{to}");
            }
        });
        private(|| {
            let mut netlink = Netlink::open().expect("a socket");
            for to in ["10.0.0.1", "fd00::1"] {
                assert_eq!(netlink.way_to(ip(to)).expect("the kernel tells"), Way::Nowhere, "{to}");
            }
        });
    });
}

#[test]
#[ignore = "needs root"]
fn addresses_are_told_with_what_is_known_of_them() {
    private(|| {
        let [red, _blue] = red_and_blue();
        inside(&red, |netlink| {
            fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0").expect("is writable");
            let link = ifindex(netlink, "red");
            add_address(netlink, link, "10.0.0.1", 24);
            // The link is down, so nobody can be asked.
            output("ip", &["addr", "add", "fd00::1/64", "dev", "red"]).expect("is installed");
            output("ip", &["addr", "add", "fd00::2/64", "dev", "red", "nodad"]).expect("is");
            let present = netlink.present_addresses().expect("addresses are readable");
            let told: Vec<_> = present
                .iter()
                .filter(|it| it.link == link && !it.is_link_local)
                .map(|it| (it.address.to_string(), it.uniqueness))
                .collect();
            for (address, uniqueness) in [
                ("10.0.0.1/24", Uniqueness::Settled),
                ("fd00::1/64", Uniqueness::Tentative),
                ("fd00::2/64", Uniqueness::Settled),
            ] {
                assert!(told.contains(&(address.into(), uniqueness)), "{address}: {told:?}");
            }
            assert_eq!(told.len(), 3, "{told:?}");
        });
    });
}

#[test]
#[ignore = "needs root"]
fn chains_of_nft_are_read() {
    private(|| {
        let none = netlink::base_chains().expect("this kernel has nftables");
        assert!(none.is_empty(), "{none:?}");
        let rules = "add table inet mine; \
             add chain inet mine in { type filter hook input priority 0; policy drop; }; \
             add chain inet mine out { type nat hook postrouting priority 100; }; \
             add rule inet mine out masquerade; add chain inet mine loose";
        let Some(_) = output("nft", &[rules]) else { return crate::skip("nft is not installed") };
        let chains = netlink::base_chains().expect("this kernel has nftables");
        let told: Vec<_> = chains
            .iter()
            .map(|it| (&*it.table, &*it.name, it.hook, it.is_nat, it.drops, it.has_rules))
            .collect();
        assert_eq!(
            told,
            [
                ("inet mine", "in", FilterHook::Input, false, true, false),
                ("inet mine", "out", FilterHook::Postrouting, true, false, true),
            ]
        );
    });
}
