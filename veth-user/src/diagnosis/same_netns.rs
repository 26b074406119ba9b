//! Both ends of a pair in one namespace: what is sent to an own address takes `lo` and never sees
//! the pair, and what is made to take the pair (`ping -I`) comes back from an own address, which the
//! kernel does not accept by itself.
//!
//! What an IPv4 packet through the pair needs, at the end where it arrives: `accept_local` of the
//! device or of all; an `rp_filter` (the larger one of the two) that is not 1, as the way back is
//! `lo`; and the same for the ARP request before it. The answer goes to an own address and takes
//! `lo`. Sources: `__fib_validate_source` in
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/fib_frontend.c>, `arp_process` in
//! <https://github.com/torvalds/linux/blob/v6.12/net/ipv4/arp.c>. IPv6 has no such settings.

use std::net::IpAddr;

use super::{
    Code, Facts, Finding, Place, Setting, Settings,
    facts::{free_in, is_in, subnet_of},
};
use crate::view::Address;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for ends in &facts.pairs {
        let [one, other] = *ends;
        let is_led_on = |it: &Place| facts.is_port(*it) || facts.is_diverted(*it);
        let is_elsewhere = one.netns != other.netns || ends.iter().any(is_led_on);
        if is_elsewhere || !facts.is_running(one) {
            continue;
        }
        match ends.map(|it| first_ipv4(facts, it)) {
            // Where packets to that subnet go is told of routes.
            [Some(address), None] | [None, Some(address)]
                if is_subnet_elsewhere(facts, *ends, address) => {}
            [Some(address), None] => findings.push(one_end_only(facts, *ends, address)),
            [None, Some(address)] => findings.push(one_end_only(facts, [other, one], address)),
            [Some(_), Some(_)] => {
                // The one who is asked has to accept and to answer.
                findings.extend(not_accepted(facts, one, other));
                findings.extend(not_accepted(facts, other, one));
                findings.extend(reply_has_no_lo(facts, *ends));
            }
            [None, None] => {}
        }
    }
    findings
}

fn first_ipv4(facts: &Facts, place: Place) -> Option<Address> {
    facts.addresses(place).find(|it| it.ip.is_ipv4())
}

/// Whether another device of the namespace is in the subnet of `address`, too.
fn is_subnet_elsewhere(facts: &Facts, ends: [Place; 2], address: Address) -> bool {
    let netns = ends[0].netns;
    let links = facts.namespaces[netns].links.keys();
    let others = links.map(|link| Place { netns, link: *link }).filter(|it| !ends.contains(it));
    let mut addresses = others.flat_map(|it| facts.addresses(it));
    addresses.any(|other| subnet_of(other) == subnet_of(address))
}

fn one_end_only(facts: &Facts, [with, without]: [Place; 2], address: Address) -> Finding {
    let here = facts.at(with);
    let (name, other) = (facts.name(with), facts.name(without));
    let cause = format!(
        "{name} and {other} are two ends of one pair in one namespace, and only {name} has an \
         address: ARP requests go out on {name}, arrive on {other}, and nobody answers"
    );
    let silent = here.silent.iter().filter(|it| it.link == with.link).map(|it| it.ip.to_string());
    let silent: Vec<String> = silent.collect();
    let mut finding = Finding::at(facts, without, Code::OneEndAddressed, cause)
        .because(format!("{name} has {address}; {other} has no IPv4 address"));
    if !silent.is_empty() {
        let line = format!("ip neigh: {} on {name}: no answer", silent.join(", "));
        finding = finding.because(line);
    }
    // The address that was asked for, if there is one, is what the other end is to have.
    let asked = here.silent.iter().find(|it| it.link == with.link && is_in(it.ip, address));
    let is_taken =
        |ip| (0..facts.namespaces.len()).any(|netns| facts.owner_in(netns, ip).is_some());
    let asked = asked.map(|it| it.ip).filter(|ip| !is_taken(*ip));
    let free = asked.or_else(|| free_in(address, is_taken));
    let (Some(ip), device) = (free, facts.word(without)) else { return finding };
    let netns = free_name(facts, "far");
    finding.try_this(format!(
        "ip netns add {netns} && {} && ip -n {netns} addr add {ip}/{} dev {device} && \
         ip -n {netns} link set dev {device} up",
        here.shell.ip(format_args!("link set dev {device} netns {netns}")),
        address.prefix_len
    ))
}

/// A name that no namespace has.
fn free_name(facts: &Facts, wanted: &str) -> String {
    let is_taken =
        |name: &String| facts.namespaces.iter().any(|it| it.namespace.names.contains(name));
    let numbered = (2..).map(|number| format!("{wanted}{number}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
    names.find(|name| !is_taken(name)).unwrap_or_else(|| wanted.to_owned())
}

/// What keeps `target` from taking, or answering, what comes from `source`.
fn not_accepted(facts: &Facts, source: Place, target: Place) -> Vec<Finding> {
    let shared = facts.addresses(source).find_map(|from| {
        let to = facts.addresses(target).find(|to| {
            from.ip.is_ipv4() && is_in(to.ip, from) && subnet_of(*to) == subnet_of(from)
        })?;
        Some((from.ip, to.ip))
    });
    let (Some((from, to)), Some(settings)) = (shared, facts.at(target).settings.get(&target.link))
    else {
        return Vec::new();
    };
    let Settings { accept_local, rp_filter, arp_ignore, arp_filter } = *settings;
    let (source_name, name) = (facts.name(source), facts.name(target));
    let finding = |code, why: &str, setting: &str, value: Setting, wanted: &str| {
        let cause = format!(
            "a packet from {from} that takes the pair (`ping -I {device} {to}`) is lost at \
             {name}: {why}",
            device = facts.word(source)
        );
        let Setting { own, all } = value;
        let set = format!("sysctl -w {}", wanted.replace("DEVICE", &dotted(facts, target)));
        Finding::at(facts, target, code, cause)
            .because(format!(
                "net.ipv4.conf.{}.{setting} = {own}, all.{setting} = {all}",
                dotted(facts, target)
            ))
            .because(way(from, to, &source_name, &name))
            .try_this(facts.at(target).shell.run(set))
    };
    let mut findings = Vec::new();
    if !accept_local.either() {
        findings.push(finding(
            Code::AcceptLocal,
            "it comes from an address of the namespace itself",
            "accept_local",
            accept_local,
            "net.ipv4.conf.DEVICE.accept_local=1",
        ));
    }
    if rp_filter.max() == 1 {
        findings.push(finding(
            Code::RpFilter,
            "the way back is `lo`, and it filters strictly by the way back",
            "rp_filter",
            rp_filter,
            // The larger one counts, and 2 only asks for a way back, whichever it is.
            "net.ipv4.conf.DEVICE.rp_filter=2",
        ));
    }
    if arp_ignore.max() >= 8 {
        let wanted = "net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.DEVICE.arp_ignore=0";
        let why = "it does not answer ARP for its own addresses";
        findings.push(finding(Code::ArpSilenced, why, "arp_ignore", arp_ignore, wanted));
    }
    if arp_filter.either() {
        let wanted = "net.ipv4.conf.all.arp_filter=0 net.ipv4.conf.DEVICE.arp_filter=0";
        let why = "it answers ARP only where the way back leads through it, which is `lo`";
        findings.push(finding(Code::ArpSilenced, why, "arp_filter", arp_filter, wanted));
    }
    findings
}

/// A dot in the name of a device separates nothing: sysctl takes a slash for it.
fn dotted(facts: &Facts, place: Place) -> String {
    facts.word(place).replace('.', "/")
}

fn way(from: IpAddr, to: IpAddr, source: &str, target: &str) -> String {
    format!(
        "request: {from} -> {to} out of {source}, in at {target}; reply: {to} -> {from} by lo. \
         Without -I, both take lo and the pair sees nothing"
    )
}

fn reply_has_no_lo(facts: &Facts, [one, other]: [Place; 2]) -> Option<Finding> {
    let here = facts.at(one);
    let lo = here.links.values().find(|link| link.name == "lo" && !link.is_up)?;
    let place = Place { link: lo.ifindex, ..one };
    let cause = format!(
        "lo is down, and what {} and {} say to each other needs it: both are in {}",
        facts.name(one),
        facts.name(other),
        facts.netns_name(one.netns)
    );
    let mut finding = Finding::at(facts, one, Code::LoDown, cause)
        .because(format!("{} is not UP", facts.name(place)))
        .try_this(here.shell.ip("link set dev lo up"));
    finding.device = Some("lo".into());
    Some(finding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::made_up::{World, codes};

    /// A pair in one namespace that works, changed.
    fn found(change: impl FnOnce(&mut World, [Place; 2])) -> Vec<Finding> {
        let mut world = World::default();
        let ends = world.pair("host", "host");
        world.address(ends[0], "10.0.0.1/24");
        world.address(ends[1], "10.0.0.2/24");
        for end in ends {
            world.settings(end).accept_local.own = 1;
        }
        change(&mut world, ends);
        check(&world.facts)
    }

    #[test]
    fn pair_that_is_set_up_for_it_works() {
        assert_eq!(codes(&found(|_, _| ())), []);
        // Loose filtering only asks for a way back.
        assert_eq!(codes(&found(|world, [one, _]| world.settings(one).rp_filter.all = 2)), []);
        // ARP is answered for the address of the device itself.
        assert_eq!(codes(&found(|world, [one, _]| world.settings(one).arp_ignore.own = 2)), []);
    }

    #[test]
    fn setting_that_loses_the_packet_is_named_with_the_end_that_has_it() {
        let findings = found(|world, [_, other]| world.settings(other).accept_local.own = 0);
        assert_eq!(codes(&findings), [Code::AcceptLocal]);
        let remedy = "sysctl -w net.ipv4.conf.host2.accept_local=1";
        assert_eq!(findings[0].remedy.as_deref(), Some(remedy));
        assert_eq!(
            findings[0].evidence[0],
            "net.ipv4.conf.host2.accept_local = 0, all.accept_local = 0"
        );
        let reply = &findings[0].evidence[1];
        assert!(reply.contains("reply: 10.0.0.2 -> 10.0.0.1 by lo"), "{reply}");

        let findings = found(|world, [one, other]| {
            world.settings(one).rp_filter.all = 1;
            world.settings(other).rp_filter = Setting { own: 2, all: 1 };
        });
        assert_eq!(codes(&findings), [Code::RpFilter]);
        assert_eq!(findings[0].device.as_deref(), Some("host"));
        let findings = found(|world, [one, _]| world.settings(one).arp_ignore.own = 8);
        assert_eq!(codes(&findings), [Code::ArpSilenced]);
        let findings = found(|world, [one, _]| world.settings(one).arp_filter.all = 1);
        assert_eq!(codes(&findings), [Code::ArpSilenced]);
    }

    #[test]
    fn lo_is_what_the_reply_takes() {
        let findings = found(|world, [one, _]| {
            let lo = world.named(one.netns, "lo");
            world.link(lo).is_up = false;
        });
        assert_eq!(codes(&findings), [Code::LoDown]);
        assert_eq!(findings[0].remedy.as_deref(), Some("ip link set dev lo up"));
    }

    #[test]
    fn one_address_is_not_enough() {
        let mut world = World::default();
        let [_, other] = world.pair("host", "host");
        assert_eq!(codes(&check(&world.facts)), []);
        world.address(other, "10.0.0.1/24");
        let findings = check(&world.facts);
        assert_eq!(codes(&findings), [Code::OneEndAddressed]);
        assert_eq!(
            findings[0].remedy.as_deref(),
            Some(
                "ip netns add far && ip link set dev host netns far && ip -n far addr add 10.0.0.2/24 \
                 dev host && ip -n far link set dev host up"
            )
        );
    }

    #[test]
    fn address_that_is_proposed_is_nobodys() {
        let mut world = World::default();
        let [_, other] = world.pair("host", "host");
        world.address(other, "10.0.0.1/24");
        let [elsewhere, _] = world.pair("red", "blue");
        world.address(elsewhere, "10.0.0.2/24");
        let findings = check(&world.facts);
        assert_eq!(codes(&findings), [Code::OneEndAddressed]);
        let remedy = findings[0].remedy.as_deref().unwrap_or_default();
        assert!(remedy.contains("addr add 10.0.0.3/24"), "{remedy}");
    }

    #[test]
    fn end_whose_subnet_is_on_another_device_as_well_is_a_matter_of_routes() {
        let mut world = World::default();
        let [one, _] = world.pair("host", "host");
        world.address(one, "10.0.0.1/24");
        let [way, _] = world.pair("host", "red");
        world.address(way, "10.0.0.2/24");
        assert_eq!(codes(&check(&world.facts)), []);
    }

    #[test]
    fn end_in_a_bridge_needs_no_address() {
        let mut world = World::default();
        let bridge = world.device("host", "br0", crate::view::LinkKind::Veth);
        let [one, other] = world.pair("host", "host");
        world.address(one, "10.0.0.1/24");
        world.join(other, bridge);
        assert_eq!(codes(&check(&world.facts)), []);
    }
}
