//! Pings in worlds that are made up.

use super::*;
use crate::{
    diagnosis::made_up::{MadeUpRoutes, World, codes, ip},
    view::{BaseChain, LinkKind},
};

fn follow(world: &World, mut routes: MadeUpRoutes<'_>, from: usize, to: &str) -> Trace {
    trace(&world.facts, &world.segments(), &mut routes, from, ip(to))
}

/// Red, blue and a router between them that is the host.
fn routed() -> (World, [Place; 4]) {
    let mut world = World::default();
    let [host_red, red] = world.pair("host", "red");
    let [host_blue, blue] = world.pair("host", "blue");
    world.address(host_red, "10.0.1.254/24");
    world.address(red, "10.0.1.1/24");
    world.address(host_blue, "10.0.2.254/24");
    world.address(blue, "10.0.2.1/24");
    (world, [red, host_red, host_blue, blue])
}

#[test]
fn ping_over_a_bridge_is_followed_there_and_back() {
    let mut world = World::default();
    let (_, [red, blue]) = world.bridge(["red", "blue"]);
    world.address(red, "10.0.0.1/24");
    world.address(blue, "10.0.0.2/24");
    let trace = follow(&world, world.routes(), red.netns, "10.0.0.2");
    assert_eq!(
        trace.request,
        ["red: out of red by bridge br0 -> blue in blue", "blue: has 10.0.0.2"]
    );
    assert_eq!(trace.reply[0], "blue: out of blue by bridge br0 -> red in red");
    assert_eq!(codes(&trace.findings), []);
}

#[test]
fn router_has_to_forward_and_to_be_known_on_both_sides() {
    let (mut world, [red, host_red, _, blue]) = routed();
    let both = |world: &World| {
        let routes = world.routes().with_gateway(red.netns, "10.0.1.254");
        let routes = routes.with_gateway(blue.netns, "10.0.2.254");
        follow(world, routes, red.netns, "10.0.2.1")
    };
    let trace = both(&world);
    assert_eq!(codes(&trace.findings), []);
    assert_eq!((trace.request.len(), trace.reply.len()), (3, 3));

    let routes = world.routes().with_gateway(red.netns, "10.0.1.254");
    let trace = follow(&world, routes, red.netns, "10.0.2.1");
    assert_eq!(codes(&trace.findings), [Code::NoRoute]);
    let finding = &trace.findings[0];
    assert_eq!(finding.remedy.as_deref(), Some("ip -n blue route replace default via 10.0.2.254"));
    assert!(finding.evidence.iter().any(|it| it.contains("the request arrives")));

    world.facts.namespaces[host_red.netns].forwards[0] = Some(false);
    let trace = both(&world);
    assert_eq!(codes(&trace.findings), [Code::ForwardingOff]);
    assert_eq!(trace.request[1], "this namespace: does not forward");
}

#[test]
fn address_that_nobody_has_is_told() {
    let (world, [red, ..]) = routed();
    let trace = follow(&world, world.routes(), red.netns, "10.0.1.9");
    assert_eq!(codes(&trace.findings), [Code::AddressUnknown]);
    let finding = &trace.findings[0];
    assert_eq!(finding.evidence[0], "addresses there: 10.0.1.1, 10.0.1.254");
    assert_eq!(finding.remedy.as_deref(), Some("ip addr add 10.0.1.9/24 dev host"));
}

#[test]
fn address_outside_needs_a_route() {
    let (mut world, [red, ..]) = routed();
    let uplink = world.device("host", "eth0", LinkKind::Other(String::new()));
    world.address(uplink, "198.51.100.2/24");
    let trace = follow(&world, world.routes(), red.netns, "198.51.100.1");
    assert_eq!(codes(&trace.findings), [Code::NoRoute]);
    let remedy = trace.findings[0].remedy.as_deref();
    assert_eq!(remedy, Some("ip -n red route replace default via 10.0.1.254"));

    // And an address that is known there.
    let out = |world: &World| {
        let routes = world.routes().with_gateway(red.netns, "10.0.1.254");
        follow(world, routes, red.netns, "198.51.100.1")
    };
    assert_eq!(codes(&out(&world).findings), []);
    world.facts.namespaces[uplink.netns].filters.has_source_nat = Some(false);
    let trace = out(&world);
    assert_eq!(codes(&trace.findings), [Code::NatMissing]);
    assert_eq!(
        trace.findings[0].remedy.as_deref(),
        Some("iptables -t nat -A POSTROUTING -s 10.0.1.0/24 -o eth0 -j MASQUERADE")
    );
}

#[test]
fn route_out_of_another_device_is_told() {
    let (mut world, [red, ..]) = routed();
    let tap = world.device("red", "tap0", LinkKind::Other("tun".into()));
    let way = Way::Out { link: tap.link, gateway: None, source: None };
    let routes = world.routes().with(red.netns, "10.0.1.254", way);
    let trace = follow(&world, routes, red.netns, "10.0.1.254");
    assert_eq!(codes(&trace.findings), [Code::RouteElsewhere]);
    let remedy = trace.findings[0].remedy.as_deref();
    assert_eq!(remedy, Some("ip -n red route replace 10.0.1.254/32 dev red"));
}

#[test]
fn own_address_takes_lo() {
    let (mut world, [red, ..]) = routed();
    let trace = follow(&world, world.routes(), red.netns, "10.0.1.1");
    assert_eq!(codes(&trace.findings), []);
    assert!(trace.request[0].contains("by lo"), "{}", trace.request[0]);
    let lo = world.named(red.netns, "lo");
    world.link(lo).is_up = false;
    let trace = follow(&world, world.routes(), red.netns, "10.0.1.1");
    assert_eq!(codes(&trace.findings), [Code::LoDown]);
}

#[test]
fn filters_on_the_way_are_named() {
    let (mut world, [red, host_red, ..]) = routed();
    let chain = BaseChain {
        table: "ip filter".into(),
        name: "X".into(),
        hook: FilterHook::Input,
        is_nat: false,
        drops: true,
        has_rules: false,
    };
    world.facts.namespaces[host_red.netns].filters.chains = vec![chain];
    let trace = follow(&world, world.routes(), red.netns, "10.0.1.254");
    assert_eq!(codes(&trace.findings), [Code::Filtered]);
    assert_eq!(trace.findings[0].evidence, ["table ip filter, chain X: policy drop"]);
    // What only goes through meets another chain.
    let routes = world.routes().with_gateway(red.netns, "10.0.1.254");
    let trace = follow(&world, routes, red.netns, "10.0.2.1");
    assert!(!codes(&trace.findings).contains(&Code::Filtered));
}
