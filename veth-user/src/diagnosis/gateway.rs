//! Gateways: what is sent out of the segments has to go to somebody who is there and forwards.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    Code, Facts, Finding, Place, Routes, Segment, Segments,
    facts::{family, is_in},
};
use crate::view::Way;

/// Addresses that nobody has (RFC 5737, RFC 3849): what is sent to them takes the default route.
const OUTSIDE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

pub(super) fn check(facts: &Facts, segments: &Segments, routes: &mut dyn Routes) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut told = BTreeSet::new();
    for netns in 0..facts.namespaces.len() {
        let has = |it: IpAddr| {
            let mut addresses = facts.namespaces[netns].addresses.iter();
            addresses.any(|own| !own.is_link_local && family(own.address.ip) == family(it))
        };
        for destination in OUTSIDE.into_iter().filter(|it| has(*it)) {
            let Some(Way::Out { link, gateway: Some(gateway), .. }) =
                routes.way(netns, destination)
            else {
                continue;
            };
            let place = Place { netns, link };
            let Some(segment) = segments.at(place).filter(|_| facts.is_running(place)) else {
                continue;
            };
            if let Some(owner) = segment.owner(facts, gateway) {
                let key = (owner.netns, family(gateway));
                if facts.at(owner).forwards[family(gateway)] == Some(false) && told.insert(key) {
                    findings.push(does_not_forward(facts, owner, place, gateway));
                }
            } else if segment.is_closed
                && !segment.has(facts, gateway)
                && !is_stand_in(facts, place, gateway)
            {
                findings.push(is_missing(facts, segment, place, gateway));
            }
        }
    }
    findings
}

/// Whether a gateway is in no subnet of the device that leads to it: whoever is at the other end
/// then answers for it (`proxy_arp`), whatever its address is.
pub(super) fn is_stand_in(facts: &Facts, place: Place, gateway: IpAddr) -> bool {
    !facts.addresses(place).any(|it| is_in(gateway, it))
}

/// `owner` has the gateway's address and keeps what is not for itself.
pub(super) fn does_not_forward(
    facts: &Facts,
    owner: Place,
    from: Place,
    gateway: IpAddr,
) -> Finding {
    let setting = match gateway {
        IpAddr::V4(_) => "net.ipv4.ip_forward",
        IpAddr::V6(_) => "net.ipv6.conf.all.forwarding",
    };
    let cause = format!(
        "{} sends to {gateway} what is for others, and {} does not forward",
        facts.netns_name(from.netns),
        facts.netns_name(owner.netns)
    );
    Finding::at(facts, owner, Code::ForwardingOff, cause)
        .because(format!("{setting} = 0 in {}", facts.netns_name(owner.netns)))
        .because(format!("{gateway} is on {}", facts.name(owner)))
        .try_this(facts.at(owner).shell.run(format_args!("sysctl -w {setting}=1")))
}

/// Nobody on the segment has the gateway's address.
pub(super) fn is_missing(
    facts: &Facts,
    segment: &Segment,
    place: Place,
    gateway: IpAddr,
) -> Finding {
    let name = facts.name(place);
    let cause = format!(
        "{} sends what is for others to {gateway} through {name}, where nobody has that address",
        facts.netns_name(place.netns)
    );
    let finding = Finding::at(facts, place, Code::GatewayMissing, cause)
        .because(format!("the route that is taken is via {gateway}"))
        .because(format!("none of the {} devices on that segment has it", segment.members.len()));
    let Some(own) = facts.addresses(place).find(|it| is_in(gateway, *it)) else { return finding };
    // A router is where the host is: on the bridge, or at the other end of the pair.
    let is_bridge = |it: &&Place| facts.bridges.iter().any(|bridge| bridge.place == **it);
    let bridge = segment.members.iter().find(is_bridge).copied();
    let Some(router) = bridge.or_else(|| facts.other_end(place)) else { return finding };
    let add = format!("addr add {gateway}/{} dev {}", own.prefix_len, facts.word(router));
    finding.try_this(facts.at(router).shell.ip(add))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::made_up::{World, codes};

    #[test]
    fn gateway_that_does_not_forward_is_told_once() {
        let mut world = World::default();
        let (bridge, [red, blue]) = world.bridge(["red", "blue"]);
        world.address(bridge, "10.0.0.254/24");
        world.address(red, "10.0.0.1/24");
        world.address(blue, "10.0.0.2/24");
        let found = |world: &World| {
            let mut routes = world
                .routes()
                .with_gateway(red.netns, "10.0.0.254")
                .with_gateway(blue.netns, "10.0.0.254");
            check(&world.facts, &world.segments(), &mut routes)
        };
        assert_eq!(codes(&found(&world)), []);
        world.facts.namespaces[bridge.netns].forwards[0] = Some(false);
        let findings = found(&world);
        assert_eq!(codes(&findings), [Code::ForwardingOff]);
        assert_eq!(findings[0].remedy.as_deref(), Some("sysctl -w net.ipv4.ip_forward=1"));
    }

    #[test]
    fn gateway_that_nobody_has_is_told_unless_somebody_out_of_sight_may_have_it() {
        let mut world = World::default();
        let (bridge, [red]) = world.bridge(["red"]);
        world.address(red, "10.0.0.1/24");
        let found = |world: &World| {
            let mut routes = world.routes().with_gateway(red.netns, "10.0.0.254");
            check(&world.facts, &world.segments(), &mut routes)
        };
        let findings = found(&world);
        assert_eq!(codes(&findings), [Code::GatewayMissing]);
        let remedy = "ip addr add 10.0.0.254/24 dev br0";
        assert_eq!(findings[0].remedy.as_deref(), Some(remedy));

        // One that stands for whoever answers is nobody's.
        let mut routes = world.routes().with(
            red.netns,
            "192.0.2.1",
            Way::Out { link: red.link, gateway: Some(OUTSIDE[0]), source: None },
        );
        assert_eq!(codes(&check(&world.facts, &world.segments(), &mut routes)), []);

        let uplink = world.device("host", "eth0", crate::view::LinkKind::Other(String::new()));
        world.join(uplink, bridge);
        world.look_at_bridge(bridge);
        assert_eq!(codes(&found(&world)), []);
    }
}
