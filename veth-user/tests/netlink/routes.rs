//! Routes and neighbours: frames go where they say.

use std::{fs, net::IpAddr};

use veth_common::Ifindex;
use veth_user::{
    netlink::Netlink,
    netns::Netns,
    view::{NextHop, Route},
};

use crate::{
    BLUE_MAC, RED_MAC, add_address, ifindex, inside, output, private, red_and_blue, set_up, talk,
};

/// Addresses of one family: those on the pair, and one behind each end.
struct Plan {
    pair: [&'static str; 2],
    pair_prefix_len: u8,
    network: &'static str,
    behind: [&'static str; 2],
    host_prefix_len: u8,
    /// Of what is behind blue.
    subnet: (&'static str, u8),
}

const IPV4: Plan = Plan {
    pair: ["10.0.0.1", "10.0.0.2"],
    pair_prefix_len: 24,
    network: "10.0.0.0",
    behind: ["10.1.0.1", "10.2.0.1"],
    host_prefix_len: 32,
    subnet: ("10.2.0.0", 16),
};

const IPV6: Plan = Plan {
    pair: ["fd00::1", "fd00::2"],
    pair_prefix_len: 64,
    network: "fd00::",
    behind: ["fd01::1", "fd02::1"],
    host_prefix_len: 128,
    subnet: ("fd02::", 32),
};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Gives the end of the pair its address, and one behind it, on `lo`.
fn equip(plan: &Plan, netns: &Netns, end: usize) -> Ifindex {
    inside(netns, |netlink| {
        fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0").expect("settings are writable");
        let [link, behind] = [netns.name(), "lo"].map(|name| ifindex(netlink, name));
        for link in [link, behind] {
            set_up(netlink, link);
        }
        add_address(netlink, link, plan.pair[end], plan.pair_prefix_len);
        add_address(netlink, behind, plan.behind[end], plan.host_prefix_len);
        link
    })
}

fn add_route(netns: &Netns, route: Route) {
    inside(netns, |netlink| netlink.add_route(&route)).expect("a route can be added");
}

/// Red reaches what is behind blue by a route to its subnet, and is answered by the default route.
#[track_caller]
fn assert_gateways_forward(plan: &Plan) {
    private(|| {
        let [red, blue] = red_and_blue();
        equip(plan, &red, 0);
        equip(plan, &blue, 1);
        let (destination, prefix_len) = (ip(plan.subnet.0), plan.subnet.1);
        let next_hop = NextHop::Gateway(ip(plan.pair[1]));
        add_route(&red, Route { destination, prefix_len, next_hop });
        add_route(&blue, Route::default_via(ip(plan.pair[0])));

        let from = talk::socket(&red, plan.behind[0]);
        let to = talk::socket(&blue, plan.behind[1]);
        talk::reach(&from, &to);
        talk::reach(&to, &from);
    });
}

/// The same, with routes that say that everything is on the link itself. Nobody would answer there
/// for an IPv6 address that another link has, so the neighbours are told of as well.
#[track_caller]
fn assert_links_are_asked_directly(plan: &Plan) {
    private(|| {
        let ends = red_and_blue();
        let links = [0, 1].map(|end| equip(plan, &ends[end], end));
        for (end, other) in [(0, 1), (1, 0)] {
            let destination = ip(plan.behind[other]);
            let prefix_len = plan.host_prefix_len;
            let next_hop = NextHop::Link(links[end]);
            add_route(&ends[end], Route { destination, prefix_len, next_hop });
            let mac = [RED_MAC, BLUE_MAC][other];
            inside(&ends[end], |netlink| netlink.add_neighbour(links[end], destination, mac))
                .expect("a neighbour can be added");
        }
        let [from, to] = [0, 1].map(|end| talk::socket(&ends[end], plan.behind[end]));
        talk::reach(&from, &to);
        talk::reach(&to, &from);
    });
}

#[test]
#[ignore = "needs root"]
fn ipv4_gateways_forward() {
    assert_gateways_forward(&IPV4);
}

#[test]
#[ignore = "needs root"]
fn ipv6_gateways_forward() {
    assert_gateways_forward(&IPV6);
}

#[test]
#[ignore = "needs root"]
fn ipv4_links_are_asked_directly() {
    assert_links_are_asked_directly(&IPV4);
}

#[test]
#[ignore = "needs root"]
fn ipv6_links_are_asked_directly() {
    assert_links_are_asked_directly(&IPV6);
}

#[test]
#[ignore = "needs root"]
fn route_that_leads_nowhere_is_refused() {
    private(|| {
        let mut netlink = Netlink::open().expect("a socket");
        let route = Route::default_via(ip("10.0.0.1"));
        let error = netlink.add_route(&route).expect_err("there is no way to the gateway");
        let text = error.to_string();
        assert!(text.starts_with("add route 0.0.0.0/0 via 10.0.0.1: Network is unreac"), "{text}");
    });
}

/// Our route to the subnet of the pair stands before the kernel's own, is told from it, and leaves it
/// as it was.
#[track_caller]
fn assert_own_routes_stand_first(plan: &Plan) {
    private(|| {
        let [red, blue] = red_and_blue();
        let link = equip(plan, &red, 0);
        equip(plan, &blue, 1);
        let table = || {
            let family = if ip(plan.subnet.0).is_ipv6() { "-6" } else { "-4" };
            let shown = inside(&red, |_| output("ip", &["-o", family, "route", "show"]));
            shown.expect("iproute2 is installed")
        };
        let before = table();
        let (subnet, prefix_len) = (ip(plan.subnet.0), plan.subnet.1);
        let of_pair = Route {
            destination: ip(plan.network),
            prefix_len: plan.pair_prefix_len,
            next_hop: NextHop::Link(link),
        };
        let next_hop = NextHop::GatewayOn(ip(plan.pair[1]), link);
        let behind = Route { destination: subnet, prefix_len, next_hop };
        inside(&red, |netlink| {
            for route in [of_pair, behind] {
                netlink.add_own_route(&route).expect("others to that destination are none");
                netlink.add_own_route(&route).expect_err("the very same is there");
            }
            let mut own = netlink.own_routes(link).expect("routes can be listed");
            own.sort_unstable();
            let mut expected = [of_pair, behind];
            expected.sort_unstable();
            assert_eq!(own, expected);
            assert_eq!(netlink.own_routes(Ifindex(1)).expect("routes can be listed"), []);
        });
        assert!(table().starts_with(&format!("{}/{} ", of_pair.destination, of_pair.prefix_len)));
        inside(&red, |netlink| {
            for route in [of_pair, behind] {
                netlink.delete_own_route(&route).expect("it is there");
                let gone = netlink.delete_own_route(&route).expect_err("and gone");
                assert!(gone.is_not_found(), "{gone}");
            }
        });
        assert_eq!(table(), before);
    });
}

#[test]
#[ignore = "needs root"]
fn own_ipv4_routes_stand_first() {
    assert_own_routes_stand_first(&IPV4);
}

#[test]
#[ignore = "needs root"]
fn own_ipv6_routes_stand_first() {
    assert_own_routes_stand_first(&IPV6);
}

#[test]
#[ignore = "needs root"]
fn neighbour_is_there_for_good() {
    private(|| {
        let [red, _blue] = red_and_blue();
        for plan in [&IPV4, &IPV6] {
            let told = inside(&red, |netlink| {
                fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "0").expect("is writable");
                let link = ifindex(netlink, "red");
                set_up(netlink, link);
                netlink
                    .add_neighbour(link, ip(plan.pair[1]), BLUE_MAC)
                    .expect("a neighbour can be added");
                output("ip", &["neigh", "show", "nud", "permanent", "to", plan.pair[1]])
            });
            let told = told.expect("iproute2 is installed");
            let expected = format!("{} dev red lladdr {BLUE_MAC} PERMANENT", plan.pair[1]);
            assert_eq!(told.trim_end(), expected);
        }
    });
}
