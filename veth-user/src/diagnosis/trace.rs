//! One ping, followed: from a namespace to whoever has the address, and the reply back.

use std::{collections::BTreeSet, net::IpAddr};

use serde::Serialize;

use super::{
    Code, Facts, Finding, Place, Routes, Segments,
    facts::{family, is_in, subnet_of},
    filter, gateway,
    reach::host,
};
use crate::view::{Address, FilterHook, Way};

/// More routers than this are a loop.
const MAX_HOPS: usize = 16;

/// The way of a request and of its reply.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Trace {
    /// The hops of the request, a line each.
    pub request: Vec<String>,
    /// The hops of the reply; empty when the request does not arrive.
    pub reply: Vec<String>,
    /// What is in the way.
    #[serde(skip)]
    pub findings: Vec<Finding>,
    /// The devices that both come by.
    #[serde(skip)]
    pub places: BTreeSet<Place>,
}

/// How a packet ends.
enum End {
    /// In the namespace that has the address.
    Arrived(usize),
    /// Where nothing can be seen: it was sent out of there.
    Left(Place),
    /// Because of something that was found.
    Broken(Box<Finding>),
    /// Because of something that the rules tell (no carrier), or that cannot be asked.
    Lost,
}

/// Follows an echo request from namespace `from` to `to`, and the reply.
pub fn trace(
    facts: &Facts,
    segments: &Segments,
    routes: &mut dyn Routes,
    from: usize,
    to: IpAddr,
) -> Trace {
    let mut walk = Walk { facts, segments, routes, trace: Trace::default(), source: None };
    let mut hops = Vec::new();
    let end = walk.follow(from, to, &mut hops);
    walk.trace.request = hops;
    match end {
        End::Arrived(target) => {
            if let Some(source) = walk.source
                && target != from
            {
                let mut hops = Vec::new();
                let end = walk.follow(target, source, &mut hops);
                walk.trace.reply = hops;
                if let End::Broken(finding) = end {
                    let finding =
                        finding.because("the request arrives; it is the reply that is lost");
                    walk.trace.findings.push(finding);
                }
            }
        }
        End::Left(last) => walk.look_for_nat(from, last),
        End::Broken(finding) => walk.trace.findings.push(*finding),
        End::Lost => {}
    }
    walk.trace
}

struct Walk<'a> {
    facts: &'a Facts,
    segments: &'a Segments,
    routes: &'a mut dyn Routes,
    trace: Trace,
    /// The address that the request is sent from.
    source: Option<IpAddr>,
}

impl Walk<'_> {
    fn follow(&mut self, start: usize, to: IpAddr, hops: &mut Vec<String>) -> End {
        let facts = self.facts;
        let mut at = start;
        // Where the packet came in, and from where, once it has been sent.
        let mut came: Option<(Place, Place, IpAddr)> = None;
        for _ in 0..MAX_HOPS {
            let here = facts.netns_name(at);
            let Some(way) = self.routes.way(at, to) else { return End::Lost };
            let (link, gateway) = match way {
                Way::Local => {
                    return self.arrive(at, to, came.map(|(place, ..)| place), hops);
                }
                Way::Nowhere => {
                    hops.push(format!("{here}: no route to {to}"));
                    return self.no_way(at, to, Code::NoRoute);
                }
                Way::Refused => {
                    hops.push(format!("{here}: a route refuses {to}"));
                    return self.no_way(at, to, Code::RouteRefuses);
                }
                Way::Out { link, gateway, source } => {
                    self.source = self.source.or(source);
                    (link, gateway)
                }
            };
            if let Some((router, from, next)) = came {
                if facts.namespaces[at].forwards[family(to)] == Some(false) {
                    hops.push(format!("{here}: does not forward"));
                    let finding = gateway::does_not_forward(facts, router, from, next);
                    return End::Broken(Box::new(finding));
                }
                self.trace.findings.extend(filter::may_drop(facts, router, FilterHook::Forward));
            }
            let place = Place { netns: at, link };
            self.trace.places.insert(place);
            let next = gateway.unwrap_or(to);
            let via = gateway.map(|it| format!(" via {it}")).unwrap_or_default();
            let owner = self.segments.at(place).and_then(|segment| segment.owner(facts, next));
            let owner = owner.or_else(|| self.stand_in(place, gateway?));
            if let Some(owner) = owner.filter(|it| it.netns != at) {
                let bridge = self.bridge_between(place, owner);
                hops.push(format!(
                    "{here}: out of {}{via}{bridge} -> {}",
                    facts.word(place),
                    facts.name(owner)
                ));
                self.trace.places.insert(owner);
                if !facts.is_running(place) || !facts.is_running(owner) {
                    return End::Lost;
                }
                came = Some((owner, place, next));
                at = owner.netns;
                continue;
            }
            hops.push(format!("{here}: out of {}{via}", facts.word(place)));
            return self.nobody_there(place, to, gateway);
        }
        End::Lost
    }

    /// Whoever is at the other end answers for a gateway that is nobody's.
    fn stand_in(&self, place: Place, gateway: IpAddr) -> Option<Place> {
        let other = self.facts.other_end(place)?;
        let is_stand_in = gateway::is_stand_in(self.facts, place, gateway);
        (is_stand_in && !self.facts.is_port(other)).then_some(other)
    }

    fn arrive(
        &mut self,
        at: usize,
        to: IpAddr,
        came_in: Option<Place>,
        hops: &mut Vec<String>,
    ) -> End {
        let facts = self.facts;
        let here = facts.netns_name(at);
        let Some(place) = came_in else {
            hops.push(format!("{here}: {to} is its own address: by lo, no other device sees it"));
            let lo = facts.namespaces[at].links.values().find(|link| link.name == "lo");
            if let Some(lo) = lo.filter(|lo| !lo.is_up) {
                let place = Place { netns: at, link: lo.ifindex };
                let cause = format!("lo is down, and {to} is an own address of {here}");
                let finding = Finding::at(facts, place, Code::LoDown, cause)
                    .because("lo is not UP")
                    .try_this(facts.at(place).shell.ip("link set dev lo up"));
                return End::Broken(Box::new(finding));
            }
            return End::Arrived(at);
        };
        hops.push(format!("{here}: has {to}"));
        self.trace.findings.extend(filter::may_drop(facts, place, FilterHook::Input));
        End::Arrived(at)
    }

    /// The packet goes out of a device at which nobody has the address that it is for.
    fn nobody_there(&mut self, place: Place, to: IpAddr, gateway: Option<IpAddr>) -> End {
        let facts = self.facts;
        let next = gateway.unwrap_or(to);
        let segment = self.segments.at(place);
        // Somebody else who can be reached may have it.
        if let Some((through, owner)) = self.way_to_owner(place.netns, to) {
            let (name, other) = (facts.name(place), facts.name(through));
            if segment.is_some_and(|segment| segment.has(facts, to)) {
                return End::Lost;
            }
            let cause = format!(
                "{to} is on {}, behind {other}, but a route leads out of {name}",
                facts.name(owner)
            );
            let finding = Finding::at(facts, through, Code::RouteElsewhere, cause)
                .because(format!("ip route get {to}: dev {}", facts.word(place)));
            return End::Broken(Box::new(self.with_route(finding, through, to)));
        }
        let Some(segment) = segment else { return End::Left(place) };
        if !facts.is_running(place) || segment.has(facts, next) {
            return End::Lost;
        }
        if !segment.is_closed {
            return End::Left(place);
        }
        if gateway.is_some() {
            return End::Broken(Box::new(gateway::is_missing(facts, segment, place, next)));
        }
        let cause = format!(
            "{to} belongs to the subnet of {}, and nobody on that segment has it",
            facts.name(place)
        );
        let known = segment.members.iter().flat_map(|member| facts.addresses(*member));
        let known: BTreeSet<IpAddr> =
            known.map(|it| it.ip).filter(|ip| family(*ip) == family(to)).collect();
        let known: Vec<String> = known.iter().map(ToString::to_string).collect();
        let mut finding = Finding::at(facts, place, Code::AddressUnknown, cause)
            .because(format!("addresses there: {}", known.join(", ")));
        let silent = facts.at(place).silent.iter().any(|it| it.ip == to && it.link == place.link);
        if silent {
            finding =
                finding.because(format!("ip neigh: {to} dev {}: no answer", facts.word(place)));
        }
        let own = facts.addresses(place).find(|it| is_in(to, *it));
        let other = segment.members.iter().find(|it| it.netns != place.netns);
        if let (Some(own), Some(other)) = (own, other) {
            let add = format!("addr add {to}/{} dev {}", own.prefix_len, facts.word(*other));
            finding = finding.try_this(facts.at(*other).shell.ip(add));
        }
        End::Broken(Box::new(finding))
    }

    fn no_way(&mut self, at: usize, to: IpAddr, code: Code) -> End {
        let facts = self.facts;
        let here = facts.netns_name(at);
        let cause = match code {
            Code::RouteRefuses => format!("{here} has a route that refuses {to}"),
            _ => format!(
                "{here} has no route to {to}: it is in no subnet of its devices, and there \
                          is no default route"
            ),
        };
        let through = self.way_to_owner(at, to).map(|(through, _)| through);
        let place = through.or_else(|| self.devices(at).first().copied());
        let place = place.unwrap_or(Place { netns: at, link: veth_common::Ifindex(0) });
        let finding = Finding::at(facts, place, code, cause)
            .because(format!("ip route get {to}: unreachable"));
        if let Some(through) = through {
            return End::Broken(Box::new(self.with_route(finding, through, to)));
        }
        let Some(router) = self.router_for(at, to) else {
            let finding = finding
                .because(format!("nobody on the segments of {here} knows a way there either"));
            return End::Broken(Box::new(finding));
        };
        let verb = if code == Code::RouteRefuses {
            let to = host(Address { ip: to, prefix_len: 0 });
            format!("route replace {to} via {router}")
        } else {
            format!("route replace default via {router}")
        };
        let remedy = facts.namespaces[at].shell.ip(verb);
        End::Broken(Box::new(finding.try_this(remedy)))
    }

    /// With a command that makes a route to `to` through a device.
    fn with_route(&self, finding: Finding, through: Place, to: IpAddr) -> Finding {
        let to = host(Address { ip: to, prefix_len: 0 });
        let add = format!("route replace {to} dev {}", self.facts.word(through));
        finding.try_this(self.facts.at(through).shell.ip(add))
    }

    /// A device of namespace `at` on whose segment somebody has `to`, and who that is.
    fn way_to_owner(&self, at: usize, to: IpAddr) -> Option<(Place, Place)> {
        self.devices(at).into_iter().find_map(|place| {
            let owner = self.segments.at(place)?.owner(self.facts, to)?;
            (owner.netns != at).then_some((place, owner))
        })
    }

    /// The devices of a namespace that are on segments and in no bridge.
    fn devices(&self, at: usize) -> Vec<Place> {
        let members = self.segments.all.iter().flat_map(|segment| &segment.members);
        members.copied().filter(|it| it.netns == at).collect()
    }

    /// Somebody on a segment of namespace `at` who knows a way to `to`.
    fn router_for(&mut self, at: usize, to: IpAddr) -> Option<IpAddr> {
        let mut candidates = Vec::new();
        for place in self.devices(at) {
            let members = self.segments.at(place).map_or(&[][..], |it| &it.members);
            for address in self.facts.addresses(place) {
                let others = members.iter().filter(|it| it.netns != at);
                let theirs =
                    others.flat_map(|it| self.facts.addresses(*it).map(move |its| (it.netns, its)));
                let near = theirs
                    .filter(|(_, its)| is_in(its.ip, address) && family(its.ip) == family(to));
                candidates.extend(near.map(|(netns, its)| (netns, its.ip)));
            }
        }
        let knows = |(netns, _): &&(usize, IpAddr)| {
            matches!(self.routes.way(*netns, to), Some(Way::Out { .. } | Way::Local))
        };
        candidates.iter().find(knows).map(|(_, ip)| *ip)
    }

    /// ` by bridge lab`, where there is one in between.
    fn bridge_between(&mut self, from: Place, to: Place) -> String {
        let facts = self.facts;
        let bridge = facts
            .other_end(from)
            .and_then(|port| facts.bridge_of(port))
            .filter(|bridge| *bridge != to);
        let Some(bridge) = bridge else { return String::new() };
        let filters = &facts.at(bridge).filters;
        if filters.sees_bridged {
            let may_drop = filter::may_drop(facts, bridge, FilterHook::Forward);
            self.trace.findings.extend(
                may_drop.map(|it| it.because("bridge-nf-call-iptables = 1: frames of bridges too")),
            );
        }
        format!(" by bridge {}", facts.name(bridge))
    }

    /// What leaves the machine needs an address that is known outside.
    fn look_for_nat(&mut self, from: usize, last: Place) {
        let facts = self.facts;
        let Some(source) = self.source.filter(IpAddr::is_ipv4) else { return };
        let mine = facts.namespaces[from].addresses.iter().find(|it| it.address.ip == source);
        let (Some(mine), Some(false)) = (mine, facts.at(last).filters.has_source_nat) else {
            return;
        };
        if last.netns == from {
            return;
        }
        let (subnet, word) = (subnet_of(mine.address), facts.word(last));
        let cause = format!(
            "packets from {source} leave through {}, and nothing rewrites their source: replies come \
             back only if somebody outside has a route to {subnet}",
            facts.name(last)
        );
        let rule = format!("iptables -t nat -A POSTROUTING -s {subnet} -o {word} -j MASQUERADE");
        let finding = Finding::at(facts, last, Code::NatMissing, cause)
            .because(format!("no source NAT in {}", facts.netns_name(last.netns)))
            .try_this(facts.at(last).shell.run(rule));
        self.trace.findings.push(finding);
    }
}

#[cfg(test)]
mod tests;
