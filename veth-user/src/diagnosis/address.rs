//! Addresses that more than one has, or that are not in use (yet).

use std::{collections::BTreeMap, net::IpAddr};

use veth_common::Mac;

use super::{Code, Facts, Finding, Place, Segment, Segments, facts::free_in};
use crate::view::{Address, PresentAddress, Uniqueness};

pub(super) fn check(facts: &Facts, segments: &Segments) -> Vec<Finding> {
    let mut findings = Vec::new();
    for segment in &segments.all {
        findings.extend(ips_are_shared(facts, segment));
        findings.extend(macs_are_shared(facts, segment));
        for place in &segment.members {
            let own = facts.at(*place).addresses.iter().filter(|it| it.link == place.link);
            findings.extend(own.filter_map(|it| not_in_use(facts, segment, *place, it)));
        }
    }
    findings
}

fn ips_are_shared(facts: &Facts, segment: &Segment) -> Vec<Finding> {
    let mut owners: BTreeMap<IpAddr, Vec<(Place, Address)>> = BTreeMap::new();
    for place in &segment.members {
        for address in facts.addresses(*place) {
            owners.entry(address.ip).or_default().push((*place, address));
        }
    }
    let shared = owners.into_iter().filter(|(_, owners)| owners.len() > 1);
    shared
        .map(|(ip, owners)| {
            let (place, address) = owners[owners.len() - 1];
            let names: Vec<String> = owners.iter().map(|(it, _)| facts.name(*it)).collect();
            let cause = format!(
                "{} have the same address {ip} on one segment: either may answer",
                names.join(" and ")
            );
            let finding = Finding::at(facts, place, Code::DuplicateAddress, cause)
                .because(format!("{ip} is on {}", names.join(", ")));
            readdress(facts, segment, finding, place, address)
        })
        .collect()
}

/// With a command that gives the device an address that nobody has.
fn readdress(
    facts: &Facts,
    segment: &Segment,
    finding: Finding,
    place: Place,
    address: Address,
) -> Finding {
    let Some(free) = free_in(address, |ip| segment.has(facts, ip)) else { return finding };
    let (shell, word) = (&facts.at(place).shell, facts.word(place));
    let remove = shell.ip(format_args!("addr del {address} dev {word}"));
    let add = shell.ip(format_args!("addr add {free}/{} dev {word}", address.prefix_len));
    finding.try_this(format!("{remove} && {add}"))
}

/// Ports are left out: a bridge has the address of one of its ports.
fn macs_are_shared(facts: &Facts, segment: &Segment) -> Vec<Finding> {
    let mut owners: BTreeMap<Mac, Vec<Place>> = BTreeMap::new();
    for place in &segment.members {
        if let Some(mac) = facts.mac(*place) {
            owners.entry(mac).or_default().push(*place);
        }
    }
    let taken = |mac: Mac| segment.places.iter().any(|place| facts.mac(*place) == Some(mac));
    let shared = owners.iter().filter(|(_, owners)| owners.len() > 1);
    shared
        .map(|(mac, owners)| {
            let place = owners[owners.len() - 1];
            let names: Vec<String> = owners.iter().map(|it| facts.name(*it)).collect();
            let cause = format!(
                "{} have the same MAC address {mac} on one segment: frames reach either",
                names.join(" and ")
            );
            let finding = Finding::at(facts, place, Code::DuplicateMac, cause)
                .because(format!("{mac} is on {}", names.join(", ")));
            let free = (0..=u8::MAX).map(|last| beside(*mac, last)).find(|mac| !taken(*mac));
            let Some(free) = free else { return finding };
            let word = facts.word(place);
            let set = format!("link set dev {word} address {free}");
            finding.try_this(facts.at(place).shell.ip(set))
        })
        .collect()
}

/// A locally administered address of one station, much like `mac`.
const fn beside(mac: Mac, last: u8) -> Mac {
    let [first, a, b, c, d, _] = mac.0;
    Mac([(first | 2) & !1, a, b, c, d, last])
}

fn not_in_use(
    facts: &Facts,
    segment: &Segment,
    place: Place,
    present: &PresentAddress,
) -> Option<Finding> {
    let (ip, name) = (present.address.ip, facts.name(place));
    match present.uniqueness {
        Uniqueness::Duplicate => {
            let cause = format!("{name} does not use {ip}: somebody else answered for it");
            let finding = Finding::at(facts, place, Code::DadFailed, cause)
                .because(format!("{} is `dadfailed`", present.address));
            let finding = match segment.owner(facts, ip) {
                Some(owner) => finding.because(format!("{} has it", facts.name(owner))),
                None => finding,
            };
            Some(readdress(facts, segment, finding, place, present.address))
        }
        // Without a carrier, it stays so, and that has another cause.
        Uniqueness::Tentative if !present.is_link_local && facts.is_running(place) => {
            let cause = format!("{name} does not use {ip} yet: it asks whether somebody else does");
            let shell = &facts.at(place).shell;
            let remedy = shell.ip(format_args!("addr show dev {}", facts.word(place)));
            Some(
                Finding::at(facts, place, Code::AddressTentative, cause)
                    .because(format!("{} is `tentative`", present.address))
                    .try_this(format!("sleep 2; {remedy}")),
            )
        }
        Uniqueness::Tentative | Uniqueness::Settled => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::made_up::{World, codes};

    fn found(world: &World) -> Vec<Finding> {
        check(&world.facts, &world.segments())
    }

    #[test]
    fn address_that_two_have_is_told_with_one_that_is_free() {
        let mut world = World::default();
        let (_, [red, blue]) = world.bridge(["red", "blue"]);
        world.address(red, "10.0.0.1/24");
        world.address(blue, "10.0.0.1/24");
        let findings = found(&world);
        assert_eq!(codes(&findings), [Code::DuplicateAddress]);
        assert_eq!(
            findings[0].remedy.as_deref(),
            Some(
                "ip -n blue addr del 10.0.0.1/24 dev blue && \
                 ip -n blue addr add 10.0.0.2/24 dev blue"
            )
        );
    }

    #[test]
    fn one_address_on_two_segments_is_no_clash() {
        let mut world = World::default();
        for other in ["red", "blue"] {
            let [host, _] = world.pair("host", other);
            world.address(host, "10.0.0.1/32");
        }
        assert_eq!(codes(&found(&world)), []);
    }

    #[test]
    fn mac_address_that_two_have_is_told() {
        let mut world = World::default();
        let (bridge, [red, blue]) = world.bridge(["red", "blue"]);
        let port = world.facts.other_end(red).expect("it has one");
        // As a bridge has it that nobody gave an address.
        world.link(bridge).mac = world.facts.mac(port);
        assert_eq!(codes(&found(&world)), []);
        world.link(blue).mac = world.facts.mac(red);
        let findings = found(&world);
        assert_eq!(codes(&findings), [Code::DuplicateMac]);
        let remedy = findings[0].remedy.as_deref();
        assert_eq!(remedy, Some("ip -n blue link set dev blue address 02:00:00:00:00:00"));
    }

    #[test]
    fn address_that_is_not_used_is_told() {
        let mut world = World::default();
        let [red, blue] = world.pair("red", "blue");
        world.address(red, "fd00::1/64");
        world.address_that_is(blue, "fd00::1/64", Uniqueness::Duplicate);
        let findings = found(&world);
        assert_eq!(codes(&findings), [Code::DadFailed]);
        assert_eq!(findings[0].evidence[1], "red in red has it");
        let remedy = findings[0].remedy.as_deref().unwrap_or_default();
        assert!(remedy.ends_with("addr add fd00::2/64 dev blue"), "{remedy}");

        let mut world = World::default();
        let [red, blue] = world.pair("red", "blue");
        world.address_that_is(red, "fd00::1/64", Uniqueness::Tentative);
        assert_eq!(codes(&found(&world)), [Code::AddressTentative]);
        world.link(blue).is_up = false;
        assert_eq!(codes(&found(&world)), []);
    }
}
