//! The host side of a container's `eth0@ifN`: it has to be in a bridge, or have an address, or be
//! what a route leads through.

use super::{
    Code, Facts, Finding, Place, Routes, Segments,
    facts::{free_in, is_in, label},
};
use crate::view::{Address, Way};

pub(super) fn check(facts: &Facts, segments: &Segments, routes: &mut dyn Routes) -> Vec<Finding> {
    let mut findings = Vec::new();
    for [one, other] in &facts.pairs {
        if one.netns == other.netns || !facts.is_running(*one) {
            continue;
        }
        for (side, inside) in [(*one, *other), (*other, *one)] {
            findings.extend(side_leads_nowhere(facts, segments, routes, side, inside));
        }
    }
    findings
}

fn side_leads_nowhere(
    facts: &Facts,
    segments: &Segments,
    routes: &mut dyn Routes,
    side: Place,
    inside: Place,
) -> Option<Finding> {
    let address = facts.addresses(inside).next()?;
    let is_in_use = facts.is_port(side) || facts.is_diverted(side) || facts.is_port(inside);
    if is_in_use || facts.addresses(side).next().is_some() {
        return None;
    }
    // Some have no address on the host side, but a route to what is inside.
    match routes.way(side.netns, address.ip)? {
        Way::Out { link, .. } if link == side.link => return None,
        _ => {}
    }
    let netns = &facts.at(inside).namespace;
    let (name, behind) = (facts.name(side), facts.name(inside));
    let owner = if netns.containers.is_empty() { "namespace" } else { "container" };
    let cause = format!(
        "{name} is the host side of {behind} ({owner} {}), and leads nowhere: it is in no bridge, \
         has no address, and no route takes it",
        label(netns)
    );
    let finding = Finding::at(facts, side, Code::HostSideAlone, cause)
        .because(format!("{behind} has {address} and is the other end of {name}"))
        .because(format!("{name} has no controller and no address"));
    let word = facts.word(side);
    let shell = &facts.at(side).shell;
    let is_taken = |ip| ip == address.ip || facts.owner_in(side.netns, ip).is_some();
    let remedy = if let Some(bridge) = bridge_for(facts, segments, side.netns, address) {
        format!("link set dev {word} master {}", facts.word(bridge))
    } else if let Some(ip) = free_in(address, is_taken) {
        format!("addr add {ip}/{} dev {word}", address.prefix_len)
    } else {
        format!("route replace {address} dev {word}")
    };
    Some(finding.try_this(shell.ip(remedy)))
}

/// A bridge of the namespace on which the subnet is already.
fn bridge_for(facts: &Facts, segments: &Segments, netns: usize, address: Address) -> Option<Place> {
    let bridges = facts.bridges.iter().map(|it| it.place).filter(|it| it.netns == netns);
    let mut bridges = bridges.filter(|bridge| {
        let members = segments.at(*bridge).map_or(&[][..], |segment| &segment.members);
        let mut addresses = members.iter().flat_map(|member| facts.addresses(*member));
        addresses.any(|it| is_in(it.ip, address) && it.prefix_len == address.prefix_len)
    });
    bridges.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::made_up::{World, codes, ip};

    fn found(world: &World) -> Vec<Finding> {
        check(&world.facts, &world.segments(), &mut world.routes())
    }

    #[test]
    fn host_side_without_anything_is_told() {
        let mut world = World::default();
        let [host, web] = world.pair("host", "web");
        assert_eq!(codes(&found(&world)), []);
        world.address(web, "10.0.0.2/24");
        let findings = found(&world);
        assert_eq!(codes(&findings), [Code::HostSideAlone]);
        assert_eq!(findings[0].remedy.as_deref(), Some("ip addr add 10.0.0.1/24 dev host"));
        assert!(findings[0].cause.contains("the host side of web in web"));

        // A program may take the frames somewhere.
        world.facts.namespaces[host.netns].diverted.insert(host.link);
        assert_eq!(codes(&found(&world)), []);
        world.facts.namespaces[host.netns].diverted.clear();
        world.address(host, "10.9.0.1/24");
        assert_eq!(codes(&found(&world)), []);
    }

    #[test]
    fn route_to_what_is_inside_is_enough() {
        let mut world = World::default();
        let [host, web] = world.pair("host", "web");
        world.address(web, "10.0.0.2/32");
        let way = Way::Out { link: host.link, gateway: None, source: None };
        let mut routes = world.routes().with(host.netns, "10.0.0.2", way);
        assert_eq!(codes(&check(&world.facts, &world.segments(), &mut routes)), []);
        // A default route through something else is not.
        let other = Way::Out {
            link: veth_common::Ifindex(99),
            gateway: Some(ip("192.0.2.1")),
            source: None,
        };
        let mut routes = world.routes().with(host.netns, "10.0.0.2", other);
        let findings = check(&world.facts, &world.segments(), &mut routes);
        assert_eq!(codes(&findings), [Code::HostSideAlone]);
        let remedy = findings[0].remedy.as_deref();
        assert_eq!(remedy, Some("ip route replace 10.0.0.2/32 dev host"));
    }

    #[test]
    fn bridge_with_the_subnet_is_where_it_belongs() {
        let mut world = World::default();
        let (bridge, peers) = world.bridge(["red"]);
        world.address(peers[0], "10.0.0.1/24");
        let [_, web] = world.pair("host", "web");
        world.address(web, "10.0.0.2/24");
        let findings = found(&world);
        assert_eq!(codes(&findings), [Code::HostSideAlone]);
        let remedy = findings[0].remedy.as_deref().expect("there is a bridge");
        assert!(remedy.ends_with(" master br0"), "{remedy} {bridge:?}");
    }
}
