//! A bridge carries what its settings, and those of its ports, let through.

use std::collections::BTreeMap;

use super::{BridgeFacts, Code, Facts, Finding, Place, Segment, Segments};
use crate::view::{Link, PortState, PortView};

pub(super) fn check(facts: &Facts, segments: &Segments) -> Vec<Finding> {
    let mut findings = Vec::new();
    for bridge in &facts.bridges {
        let is_up = facts.link(bridge.place).is_some_and(|link| link.is_up);
        if !is_up {
            findings.push(bridge_is_down(facts, bridge));
        }
        let ports = bridge.view.ports.iter();
        findings.extend(ports.filter_map(|port| port_is_held_back(facts, bridge, port, is_up)));
        findings.extend(ports_are_isolated(facts, bridge));
        findings.extend(bridge.problems.iter().map(|problem| {
            let finding = is_incomplete(&bridge.view.bridge.name, problem);
            Finding { place: Some(bridge.place), ..finding }
        }));
    }
    findings.extend(segments.all.iter().filter_map(|segment| mtus_differ(facts, segment)));
    findings
}

/// Something of a fabric is not as `veth up` made it.
pub fn is_incomplete(fabric: &str, problem: &str) -> Finding {
    Finding::new(Code::FabricIncomplete, format!("fabric {fabric}: {problem}"))
        .because(format!("veth status {fabric}: {problem}"))
        .try_this(format!("veth up FILE  # the topology file of {fabric}"))
}

/// Something of a fast path over somebody else's bridge is still there, and the bridge is not.
pub fn is_left_over(bridge: &str, problem: &str) -> Finding {
    Finding::new(Code::FabricIncomplete, format!("bridge {bridge}: {problem}"))
        .because(format!("veth status {bridge}: {problem}"))
        .try_this(format!("veth detach {bridge}"))
}

fn bridge_is_down(facts: &Facts, bridge: &BridgeFacts) -> Finding {
    let BridgeFacts { place, view, .. } = bridge;
    let cause = format!(
        "bridge {} is down, so its {} ports reach nobody",
        facts.name(*place),
        view.ports.len()
    );
    Finding::at(facts, *place, Code::BridgeDown, cause)
        .because(format!("{} is not UP", view.bridge.name))
        .try_this(facts.at(*place).shell.ip(format_args!("link set dev {} up", facts.word(*place))))
}

fn port_is_held_back(
    facts: &Facts,
    bridge: &BridgeFacts,
    port: &PortView,
    bridge_is_up: bool,
) -> Option<Finding> {
    let link = &port.link;
    let settings = link.bridge_port?;
    let place = Place { link: link.ifindex, ..bridge.place };
    let (name, controller) = (facts.name(place), &bridge.view.bridge.name);
    let change = |what: &str| {
        let word = facts.word(place);
        facts.at(place).shell.bridge(format_args!("link set dev {word} {what}"))
    };
    // Without a carrier, no port forwards; of an end out of sight, the kernel may tell.
    let has_carrier = match facts.other_end(place) {
        Some(_) => facts.is_running(place),
        None => link.is_up && port.peer.as_ref().is_some_and(|peer| peer.is_up),
    };
    if settings.state == PortState::NotForwarding && bridge_is_up && has_carrier {
        let cause = format!("port {name} of bridge {controller} is up and does not forward");
        let finding = Finding::at(facts, place, Code::PortNotForwarding, cause)
            .because("its spanning tree state is not `forwarding`");
        return Some(finding.try_this(change("state 3")));
    }
    if settings.locked {
        let cause = format!("port {name} of bridge {controller} lets only known stations send");
        let finding = Finding::at(facts, place, Code::PortLocked, cause).because("it is `locked`");
        return Some(finding.try_this(change("locked off")));
    }
    None
}

/// One that is isolated alone harms nobody.
fn ports_are_isolated(facts: &Facts, bridge: &BridgeFacts) -> Option<Finding> {
    let is_isolated = |link: &&Link| link.bridge_port.is_some_and(|port| port.isolated);
    let ports = bridge.view.ports.iter().map(|port| &port.link).filter(is_isolated);
    let ports: Vec<Place> =
        ports.map(|link| Place { link: link.ifindex, ..bridge.place }).collect();
    if ports.len() < 2 {
        return None;
    }
    let names: Vec<String> = ports.iter().map(|it| facts.word(*it)).collect();
    let cause = format!(
        "{} ports of bridge {} are isolated: they reach the others, and not each other",
        ports.len(),
        facts.name(bridge.place)
    );
    let shell = &facts.at(bridge.place).shell;
    let remedies: Vec<String> = names
        .iter()
        .map(|name| shell.bridge(format_args!("link set dev {name} isolated off")))
        .collect();
    Some(
        Finding::at(facts, bridge.place, Code::PortsIsolated, cause)
            .because(format!("`isolated`: {}", names.join(", ")))
            .try_this(remedies.join(" && ")),
    )
}

/// A frame that fits the one who sends it is dropped where it does not fit.
fn mtus_differ(facts: &Facts, segment: &Segment) -> Option<Finding> {
    /// As many are told.
    const TOLD: usize = 6;
    let mut by_mtu: BTreeMap<u32, Vec<Place>> = BTreeMap::new();
    for place in &segment.places {
        // A bridge that nobody gave an MTU has the smallest one of its ports, and limits no port.
        let is_plain_bridge = facts.bridges.iter().any(|it| it.place == *place)
            && facts.addresses(*place).next().is_none();
        if let Some(link) = facts.link(*place)
            && !is_plain_bridge
        {
            by_mtu.entry(link.mtu_bytes).or_default().push(*place);
        }
    }
    if by_mtu.len() < 2 {
        return None;
    }
    // The most common one; of those, the smallest, which all devices take.
    let (usual, _) = by_mtu.iter().rev().max_by_key(|(_, places)| places.len())?;
    let odd: Vec<(u32, Place)> = by_mtu
        .iter()
        .filter(|(mtu, _)| *mtu != usual)
        .flat_map(|(mtu, places)| places.iter().map(|place| (*mtu, *place)))
        .collect();
    let (_, first) = *odd.first()?;
    let cause = format!(
        "{} does not have the MTU of what it is connected to ({usual}): larger frames are lost",
        facts.name(first)
    );
    let mut finding = Finding::at(facts, first, Code::MtuMismatch, cause);
    for (mtu, place) in odd.iter().take(TOLD) {
        finding = finding.because(format!("{}: mtu {mtu}, others {usual}", facts.name(*place)));
    }
    let remedies: Vec<String> = odd
        .iter()
        .map(|(_, place)| {
            let word = facts.word(*place);
            facts.at(*place).shell.ip(format_args!("link set dev {word} mtu {usual}"))
        })
        .collect();
    Some(finding.try_this(remedies.join(" && ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnosis::made_up::{World, codes},
        view::BridgePort,
    };

    /// What is found after `change` to a bridge with two ports.
    fn found(change: impl FnOnce(&mut World, Place, [Place; 2])) -> Vec<Finding> {
        let mut world = World::default();
        let (bridge, peers) = world.bridge(["red", "blue"]);
        change(&mut world, bridge, peers);
        world.look_at_bridge(bridge);
        check(&world.facts, &world.segments())
    }

    fn port(world: &mut World, peer: Place) -> &mut BridgePort {
        let port = world.facts.other_end(peer).expect("it has one");
        world.link(port).bridge_port.as_mut().expect("it is in a bridge")
    }

    #[test]
    fn healthy_bridge_is_not_told() {
        assert_eq!(codes(&found(|_, _, _| ())), []);
    }

    #[test]
    fn bridge_that_is_down_is_told_once() {
        let findings = found(|world, bridge, peers| {
            world.link(bridge).is_up = false;
            port(world, peers[0]).state = PortState::NotForwarding;
        });
        assert_eq!(codes(&findings), [Code::BridgeDown]);
        assert_eq!(findings[0].remedy.as_deref(), Some("ip link set dev br0 up"));
    }

    #[test]
    fn port_that_is_up_and_does_not_forward_is_told() {
        let findings =
            found(|world, _, peers| port(world, peers[0]).state = PortState::NotForwarding);
        assert_eq!(codes(&findings), [Code::PortNotForwarding]);
        assert_eq!(findings[0].remedy.as_deref(), Some("bridge link set dev host state 3"));
        // Without a carrier there is another cause.
        let findings = found(|world, _, peers| {
            world.link(peers[0]).is_up = false;
            port(world, peers[0]).state = PortState::NotForwarding;
        });
        assert_eq!(codes(&findings), []);
        // Whether an end out of sight is up is not known.
        let findings = found(|world, _, peers| {
            let port = port(world, peers[0]);
            port.state = PortState::NotForwarding;
            world.facts.pairs.remove(0);
        });
        assert_eq!(codes(&findings), []);
        let findings = found(|world, _, peers| port(world, peers[0]).locked = true);
        assert_eq!(codes(&findings), [Code::PortLocked]);
    }

    #[test]
    fn one_isolated_port_harms_nobody() {
        assert_eq!(codes(&found(|world, _, peers| port(world, peers[0]).isolated = true)), []);
        let findings = found(|world, _, peers| {
            for peer in peers {
                port(world, peer).isolated = true;
            }
        });
        assert_eq!(codes(&findings), [Code::PortsIsolated]);
    }

    #[test]
    fn the_odd_mtu_is_named() {
        let findings = found(|world, _, peers| world.link(peers[1]).mtu_bytes = 1400);
        assert_eq!(codes(&findings), [Code::MtuMismatch]);
        assert_eq!(findings[0].remedy.as_deref(), Some("ip -n blue link set dev blue mtu 1500"));
        // A bridge without an address sends nothing itself.
        assert_eq!(codes(&found(|world, bridge, _| world.link(bridge).mtu_bytes = 9000)), []);
        let findings = found(|world, bridge, _| {
            world.link(bridge).mtu_bytes = 9000;
            world.address(bridge, "10.0.0.254/24");
        });
        assert_eq!(codes(&findings), [Code::MtuMismatch]);
    }

    #[test]
    fn of_two_mtus_the_smaller_one_is_taken() {
        let mut world = World::default();
        let [red, _] = world.pair("red", "blue");
        world.link(red).mtu_bytes = 9000;
        let findings = check(&world.facts, &world.segments());
        assert_eq!(findings[0].remedy.as_deref(), Some("ip -n red link set dev red mtu 1500"));
    }
}
