//! Routes between those who are on one segment: what is sent to a neighbour has to leave through
//! the device that leads to it.

use std::collections::BTreeSet;

use super::{
    Code, Facts, Finding, Place, Routes, Segment, Segments,
    facts::{is_in, subnet_of},
};
use crate::view::{Address, Way};

/// On a segment of up to this many members, everybody is asked about everybody; on a larger one,
/// about some.
const SMALL: usize = 16;
const SOME: usize = 2;

/// As many routes to single addresses are proposed; more become two halves of the subnet.
const HOST_ROUTES: usize = 4;

pub(super) fn check(facts: &Facts, segments: &Segments, routes: &mut dyn Routes) -> Vec<Finding> {
    let mut findings = Vec::new();
    for segment in &segments.all {
        let running: Vec<Place> =
            segment.members.iter().copied().filter(|it| facts.is_running(*it)).collect();
        for (at, place) in running.iter().enumerate() {
            let others = running.iter().cycle().skip(at + 1).take(running.len() - 1);
            let others: Vec<Place> = others.copied().filter(|it| it.netns != place.netns).collect();
            let mut looked_at = BTreeSet::new();
            for address in facts.addresses(*place) {
                if looked_at.insert(subnet_of(address)) {
                    let subnet = Subnet { place: *place, address };
                    findings.extend(subnet.check(facts, segments, routes, &others));
                }
            }
        }
        findings.extend(no_subnet_in_common(facts, segment, &running, routes));
    }
    findings
}

/// A subnet that a device has an address in.
#[derive(Clone, Copy)]
struct Subnet {
    place: Place,
    address: Address,
}

impl Subnet {
    fn check(
        self,
        facts: &Facts,
        segments: &Segments,
        routes: &mut dyn Routes,
        others: &[Place],
    ) -> Option<Finding> {
        let Self { place, address } = self;
        let many = if others.len() <= SMALL { usize::MAX } else { SOME };
        let targets = others.iter().flat_map(|other| facts.addresses(*other));
        let targets = targets
            .filter(|it| is_in(it.ip, address) && facts.owner_in(place.netns, it.ip).is_none());
        let mut astray: Vec<(Address, Way)> = Vec::new();
        for target in targets.take(many) {
            let Some(way) = routes.way(place.netns, target.ip) else { continue };
            let is_right = match way {
                Way::Out { link, .. } => {
                    link == place.link || segments.are_joined(Place { link, ..place }, place)
                }
                Way::Local => true,
                Way::Refused | Way::Nowhere => false,
            };
            if !is_right {
                astray.push((target, way));
            }
        }
        let (target, way) = *astray.first()?;
        let alike = astray.iter().filter(|(_, other)| is_alike(*other, way));
        let targets: Vec<Address> = alike.map(|(target, _)| *target).collect();
        Some(self.tell(facts, target, way).try_this(self.remedy(facts, &targets, way)))
    }

    fn tell(self, facts: &Facts, target: Address, way: Way) -> Finding {
        let Self { place, address } = self;
        let (name, netns) = (facts.name(place), facts.netns_name(place.netns));
        let (to, subnet) = (target.ip, subnet_of(address));
        let Way::Out { link, gateway, .. } = way else {
            let (code, cause) = if way == Way::Refused {
                let cause =
                    format!("{netns} has a route that refuses {to}, which is behind {name}");
                (Code::RouteRefuses, cause)
            } else {
                let cause = format!(
                    "{netns} has no route to {to}: {name} has {address}, and yet nothing leads to \
                     {subnet}"
                );
                (Code::NoRoute, cause)
            };
            return Finding::at(facts, place, code, cause)
                .because(format!("ip route get {to}: unreachable"));
        };
        let other = Place { link, ..place };
        let other_name = facts.name(other);
        let clash = facts.addresses(other).find(|it| is_in(to, *it));
        let via = gateway.map(|it| format!(" via {it}")).unwrap_or_default();
        let (code, cause) = match clash {
            Some(clash) => (
                Code::OverlappingSubnets,
                format!(
                    "{to} is behind {name}, but goes out of {other_name}, which has an address of \
                     that subnet as well ({clash})"
                ),
            ),
            None => (
                Code::RouteElsewhere,
                format!("{to} is behind {name}, but a route leads out of {other_name}{via}"),
            ),
        };
        Finding::at(facts, place, code, cause)
            .because(format!("ip route get {to}: dev {}{via}", facts.word(other)))
            .because(format!("{name} has {address}"))
    }

    fn remedy(self, facts: &Facts, targets: &[Address], way: Way) -> String {
        let Self { place, address } = self;
        let (shell, word) = (&facts.at(place).shell, facts.word(place));
        let subnet = subnet_of(address);
        let add = |to: Address| {
            let source = address.ip;
            shell.ip(format_args!("route replace {to} dev {word} src {source}"))
        };
        let commands: Vec<String> = if way == Way::Nowhere {
            vec![add(subnet)]
        } else if targets.len() <= HOST_ROUTES {
            targets.iter().map(|it| add(host(*it))).collect()
        } else {
            halves(subnet).into_iter().map(add).collect()
        };
        commands.join(" && ")
    }
}

fn is_alike(one: Way, other: Way) -> bool {
    let link = |way| match way {
        Way::Out { link, .. } => Some(link),
        _ => None,
    };
    link(one) == link(other)
}

/// The address by itself.
pub(super) const fn host(address: Address) -> Address {
    let prefix_len = if address.ip.is_ipv4() { 32 } else { 128 };
    Address { prefix_len, ..address }
}

/// Both halves of a subnet: routes to them win over one to the whole.
fn halves(subnet: Address) -> Vec<Address> {
    use std::net::IpAddr;
    let prefix_len = subnet.prefix_len + 1;
    let upper = match subnet.ip {
        IpAddr::V4(ip) => {
            let bit = 1_u32.checked_shl(32 - u32::from(prefix_len)).unwrap_or(0);
            IpAddr::V4((u32::from(ip) | bit).into())
        }
        IpAddr::V6(ip) => {
            let bit = 1_u128.checked_shl(128 - u32::from(prefix_len)).unwrap_or(0);
            IpAddr::V6((u128::from(ip) | bit).into())
        }
    };
    vec![Address { prefix_len, ..subnet }, Address { ip: upper, prefix_len }]
}

/// Both ends of a pair have addresses, and neither is in the other's subnet.
fn no_subnet_in_common(
    facts: &Facts,
    segment: &Segment,
    running: &[Place],
    routes: &mut dyn Routes,
) -> Vec<Finding> {
    let ([one, other], 2) = (running, segment.places.len()) else { return Vec::new() };
    if one.netns == other.netns {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for is_family in [std::net::IpAddr::is_ipv4, std::net::IpAddr::is_ipv6] {
        let of = |place| facts.addresses(place).filter(|it| is_family(&it.ip)).collect::<Vec<_>>();
        let (ours, theirs) = (of(*one), of(*other));
        let share = |(a, b): (&Address, &Address)| is_in(a.ip, *b) || is_in(b.ip, *a);
        if ours.iter().any(|a| theirs.iter().any(|b| share((a, b)))) {
            continue;
        }
        for (place, own, target) in
            [(*one, ours.first(), theirs.first()), (*other, theirs.first(), ours.first())]
        {
            let (Some(own), Some(target)) = (own, target) else { continue };
            let way = routes.way(place.netns, target.ip);
            if way.is_none_or(|way| matches!(way, Way::Out { link, .. } if link == place.link)) {
                continue;
            }
            let name = facts.name(place);
            let cause = format!(
                "{name} ({own}) and its other end ({target}) are in different subnets, and no \
                 route of {} leads there",
                facts.netns_name(place.netns)
            );
            let add = format!("route replace {} dev {}", host(*target), facts.word(place));
            let way = way.map_or_else(String::new, |way| describe(facts, place, way));
            findings.push(
                Finding::at(facts, place, Code::NoRoute, cause)
                    .because(format!("ip route get {}: {way}", target.ip))
                    .try_this(facts.at(place).shell.ip(add)),
            );
        }
    }
    findings
}

fn describe(facts: &Facts, from: Place, way: Way) -> String {
    match way {
        Way::Local => "local".into(),
        Way::Out { link, .. } => format!("dev {}", facts.word(Place { link, ..from })),
        Way::Refused | Way::Nowhere => "unreachable".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnosis::made_up::{MadeUpRoutes, World, codes},
        view::LinkKind,
    };

    /// Red and blue with a subnet between them, and `tap0` in red.
    fn lab() -> (World, [Place; 3]) {
        let mut world = World::default();
        let tap = world.device("red", "tap0", LinkKind::Other("tun".into()));
        let [red, blue] = world.pair("red", "blue");
        world.address(red, "10.0.0.1/24");
        world.address(blue, "10.0.0.2/24");
        (world, [red, blue, tap])
    }

    fn found(world: &World, mut routes: MadeUpRoutes<'_>) -> Vec<Finding> {
        check(&world.facts, &world.segments(), &mut routes)
    }

    fn out(place: Place) -> Way {
        Way::Out { link: place.link, gateway: None, source: None }
    }

    #[test]
    fn routes_that_lead_through_the_pair_are_right() {
        let (world, _) = lab();
        assert_eq!(codes(&found(&world, world.routes())), []);
    }

    #[test]
    fn route_through_another_device_is_named_with_that() {
        let (world, [_, _, tap]) = lab();
        let findings = found(&world, world.routes().with(tap.netns, "10.0.0.2", out(tap)));
        assert_eq!(codes(&findings), [Code::RouteElsewhere]);
        assert_eq!(findings[0].evidence[0], "ip route get 10.0.0.2: dev tap0");
        let remedy = "ip -n red route replace 10.0.0.2/32 dev red src 10.0.0.1";
        assert_eq!(findings[0].remedy.as_deref(), Some(remedy));
    }

    #[test]
    fn subnet_on_two_devices_is_told_when_the_other_one_wins() {
        let (mut world, [_, _, tap]) = lab();
        world.address(tap, "10.0.0.9/24");
        // Which one wins is the kernel's affair.
        assert_eq!(codes(&found(&world, world.routes())), []);
        let findings = found(&world, world.routes().with(tap.netns, "10.0.0.2", out(tap)));
        assert_eq!(codes(&findings), [Code::OverlappingSubnets]);
    }

    #[test]
    fn route_that_is_missing_or_refuses_is_told() {
        let (world, [red, ..]) = lab();
        let findings = found(&world, world.routes().with(red.netns, "10.0.0.2", Way::Nowhere));
        assert_eq!(codes(&findings), [Code::NoRoute]);
        let remedy = "ip -n red route replace 10.0.0.0/24 dev red src 10.0.0.1";
        assert_eq!(findings[0].remedy.as_deref(), Some(remedy));
        let findings = found(&world, world.routes().with(red.netns, "10.0.0.2", Way::Refused));
        assert_eq!(codes(&findings), [Code::RouteRefuses]);
    }

    #[test]
    fn two_ways_to_one_segment_are_both_right() {
        let mut world = World::default();
        let (bridge, [one, two, blue]) = world.bridge(["red", "red", "blue"]);
        world.address(one, "10.0.0.1/24");
        world.address(two, "10.0.0.3/24");
        world.address(blue, "10.0.0.2/24");
        world.address(bridge, "10.0.0.4/24");
        assert_eq!(codes(&found(&world, world.routes())), []);
    }

    #[test]
    fn many_destinations_become_two_halves() {
        let mut world = World::default();
        let tap = world.device("red", "tap0", LinkKind::Other("tun".into()));
        let (_, peers) = world.bridge(["red", "a", "b", "c", "d", "e"]);
        for (peer, last) in peers.iter().zip(1..) {
            world.address(*peer, &format!("10.0.0.{last}/24"));
        }
        let routes = (2..7).fold(world.routes(), |routes, last| {
            routes.with(tap.netns, &format!("10.0.0.{last}"), out(tap))
        });
        let findings = found(&world, routes);
        assert_eq!(codes(&findings), [Code::RouteElsewhere]);
        let remedy = findings[0].remedy.as_deref().unwrap_or_default();
        assert!(remedy.contains("10.0.0.0/25") && remedy.contains("10.0.0.128/25"), "{remedy}");
    }

    #[test]
    fn ends_in_different_subnets_need_routes() {
        let mut world = World::default();
        let [red, blue] = world.pair("red", "blue");
        world.address(red, "10.0.0.1/24");
        world.address(blue, "10.0.1.2/24");
        let findings = found(&world, world.routes());
        assert_eq!(codes(&findings), [Code::NoRoute, Code::NoRoute]);
        let remedy = "ip -n red route replace 10.0.1.2/32 dev red";
        assert_eq!(findings[0].remedy.as_deref(), Some(remedy));
        let routes = world.routes().with(red.netns, "10.0.1.2", out(red)).with(
            blue.netns,
            "10.0.0.1",
            out(blue),
        );
        assert_eq!(codes(&found(&world, routes)), []);
    }
}
