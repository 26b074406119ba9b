//! Ports that the fast path does not serve, and what would change that.

use std::collections::HashSet;

use veth_common::{Ifindex, Vlan};

use super::{Acceleration, BridgeFacts, Code, Facts, Finding, Owner, Place};
use crate::{
    forwarding::{FastPath, Ineligible, KEEPS_FRAMES_WHOLE, eligibility, is_hookable, xdp_needs},
    view::{Offloads, PortView},
};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for bridge in &facts.bridges {
        match &bridge.acceleration {
            Acceleration::Nothing { asked: false } => {}
            Acceleration::Nothing { asked: true } => findings.push(nothing_does(facts, bridge)),
            Acceleration::Fabric { path, hooked, owner } => {
                if *owner == (Owner::Other { is_kept: false }) {
                    findings.push(nobody_keeps(facts, bridge));
                }
                let of_port = |port| port_is_slow(facts, bridge, port, (*path, *owner), hooked);
                findings.extend(bridge.view.ports.iter().filter_map(of_port));
            }
        }
    }
    findings
}

fn nothing_does(facts: &Facts, bridge: &BridgeFacts) -> Finding {
    let ports = &bridge.view.ports;
    let cause = format!(
        "nothing accelerates bridge {}: nobody attached to it, and it was not made by `veth up`, or \
         with `datapath = \"none\"`",
        facts.name(bridge.place)
    );
    let unfit = ports.iter().filter_map(|port| {
        let reason = eligibility(&bridge.view, port, FastPath::Tc).err()?;
        Some(format!("port {} could not be served: {reason}", port.link.name))
    });
    let mut finding = Finding::at(facts, bridge.place, Code::NoFastPath, cause)
        .because(format!("no datapath is pinned for {}", bridge.view.bridge.name));
    finding.evidence.extend(unfit);
    if facts.at(bridge.place).namespace.own {
        let flags: String =
            bridge.view.bypassed.iter().map(|it| format!(" --bypass {it}")).collect();
        finding = finding.try_this(format!("veth attach {}{flags}", facts.word(bridge.place)));
    }
    finding
}

fn nobody_keeps(facts: &Facts, bridge: &BridgeFacts) -> Finding {
    let cause = format!(
        "the fast path of bridge {} is not used: nobody vouches any more for where stations are",
        facts.name(bridge.place)
    );
    Finding::at(facts, bridge.place, Code::NotKept, cause)
        .because("all leases are over; the bridge forwards everything".to_owned())
        .try_this(format!("veth agent {}", facts.word(bridge.place)))
}

fn port_is_slow(
    facts: &Facts,
    bridge: &BridgeFacts,
    port: &PortView,
    (path, owner): (FastPath, Owner),
    hooked: &HashSet<Ifindex>,
) -> Option<Finding> {
    let place = Place { link: port.link.ifindex, ..bridge.place };
    let (name, controller) = (facts.name(place), facts.word(bridge.place));
    let reason = match eligibility(&bridge.view, port, path) {
        Ok(()) if hooked.contains(&place.link) || !is_hookable(port, path) => return None,
        Ok(()) => {
            let cause = format!(
                "port {name} could be served by the fast path, and its program is not attached"
            );
            return Some(
                Finding::at(facts, place, Code::NotAttached, cause)
                    .because(format!("no program of datapath {path} is at its ingress"))
                    .try_this(format!("veth agent {controller}")),
            );
        }
        // These are told by the rules for pairs and bridges.
        Err(
            Ineligible::Down
            | Ineligible::PeerDown
            | Ineligible::BridgeDown
            | Ineligible::NotForwarding
            | Ineligible::Locked,
        ) => return None,
        // Whoever made the bridge wanted it so.
        Err(Ineligible::NotVeth | Ineligible::PeerInSameNetns) if owner != Owner::Veth => {
            return None;
        }
        Err(reason) => reason,
    };
    let cause = format!("port {name} is left to the bridge by the fast path: {reason}");
    let mut finding = Finding::at(facts, place, Code::NotAccelerated, cause)
        .because(format!("veth status {controller}: {}", reason.name()))
        .because(match owner {
            Owner::Veth => {
                format!("`veth agent {controller}` or the next `veth up` then takes the port")
            }
            Owner::Other { .. } => "its agent then takes the port".to_owned(),
        });
    finding.reason = Some(reason.name());
    finding.remedy = remedy(facts, bridge, port, reason);
    Some(finding)
}

fn remedy(
    facts: &Facts,
    bridge: &BridgeFacts,
    port: &PortView,
    reason: Ineligible,
) -> Option<String> {
    let place = Place { link: port.link.ifindex, ..bridge.place };
    let (shell, word) = (&facts.at(place).shell, facts.word(place));
    let controller = facts.word(bridge.place);
    let peer = facts.other_end(place);
    let inside = peer.map(|peer| (&facts.at(peer).shell, facts.word(peer)));
    Some(match reason {
        Ineligible::VlanFiltering => {
            shell.ip(format_args!("link set dev {controller} type bridge vlan_filtering 0"))
        }
        Ineligible::VlanProtocol => {
            shell.ip(format_args!("link set dev {controller} type bridge vlan_protocol 802.1Q"))
        }
        Ineligible::PvidTagged => {
            let Vlan(vid) = bridge.view.vlan_of(port.link.ifindex);
            shell.bridge(format_args!("vlan add dev {word} vid {vid} pvid untagged"))
        }
        Ineligible::PvidNotForwarding => {
            let Vlan(vid) = bridge.view.vlan_of(port.link.ifindex);
            shell.bridge(format_args!("vlan set dev {word} vid {vid} state forwarding"))
        }
        Ineligible::VlanTunnel => shell.bridge(format_args!("link set dev {word} vlan_tunnel off")),
        Ineligible::LearningOff => shell.bridge(format_args!("link set dev {word} learning on")),
        Ineligible::AnswersNeighbours => {
            shell.bridge(format_args!("link set dev {word} neigh_suppress off"))
        }
        Ineligible::Bypassed(bypass) => {
            let accepted = bridge.view.allowed.with(bypass);
            let flags: String = accepted.iter().map(|it| format!(" --bypass {it}")).collect();
            format!("veth attach {controller}{flags}")
        }
        Ineligible::PeerInSameNetns => {
            let (shell, peer) = inside?;
            format!(
                "ip netns add far && {}",
                shell.ip(format_args!("link set dev {peer} netns far"))
            )
        }
        Ineligible::PeerXdp => {
            let (shell, peer) = inside?;
            shell.ip(format_args!("link set dev {peer} xdp off"))
        }
        Ineligible::Qdisc => shell.run(format_args!("tc qdisc del dev {word} root")),
        Ineligible::PortOffloads => {
            let off = port.unused_offloads?.and(KEEPS_FRAMES_WHOLE);
            let on: String = off.iter().map(|it| format!(" {it} on")).collect();
            shell.run(format_args!("ethtool -K {word}{on}"))
        }
        Ineligible::XdpTaken => shell.ip(format_args!("link set dev {word} xdp off")),
        Ineligible::XdpMtu => {
            let ((shell, peer), limit) = (inside?, port.xdp?.mtu_limit_bytes?);
            shell.ip(format_args!("link set dev {peer} mtu {limit}"))
        }
        Ineligible::XdpOffloads => {
            let ((shell, peer), (off, on)) = (inside?, xdp_needs(port.xdp?.peer_offloads?));
            let words = |offloads: Offloads, state| {
                offloads.iter().map(move |it| format!(" {it} {state}")).collect::<String>()
            };
            let (off, on) = (words(off, "off"), words(on, "on"));
            shell.run(format_args!("ethtool -K {peer}{off}{on}"))
        }
        // Which VLAN a port is to be in, and which tree a VLAN, is more than a setting.
        Ineligible::NoPvid
        | Ineligible::VlanSpanningTrees
        | Ineligible::BridgeDown
        | Ineligible::NotVeth
        | Ineligible::NoSlot
        | Ineligible::Down
        | Ineligible::NotForwarding
        | Ineligible::Locked
        | Ineligible::NoPeer
        | Ineligible::PairMismatch
        | Ineligible::PeerDown
        | Ineligible::PortUnseen
        | Ineligible::XdpUnseen => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnosis::made_up::{World, codes},
        view::{Bypass, Bypasses, LinkKind, Offload, PortState, Pvid, VlanFiltering, XdpView},
    };

    /// What is found after `change` to a fabric of two namespaces, and to how it is looked at.
    fn found(
        path: FastPath,
        change: impl FnOnce(&mut World, [Place; 2]),
        look: impl FnOnce(&mut BridgeFacts),
    ) -> Vec<Finding> {
        let mut world = World::default();
        let (bridge, peers) = world.bridge(["red", "blue"]);
        change(&mut world, peers);
        world.look_at_bridge(bridge);
        world.accelerate(path);
        look(&mut world.facts.bridges[0]);
        check(&world.facts)
    }

    #[test]
    fn served_ports_are_not_told() {
        assert_eq!(codes(&found(FastPath::Tc, |_, _| (), |_| ())), []);
    }

    #[test]
    fn reason_comes_with_its_remedy() {
        let qdisc = |world: &mut World, peers: [Place; 2]| {
            let port = world.facts.other_end(peers[0]).expect("it has one");
            world.link(port).has_qdisc = true;
        };
        let findings = found(FastPath::Tc, qdisc, |_| ());
        assert_eq!(codes(&findings), [Code::NotAccelerated]);
        assert_eq!(findings[0].reason, Some("qdisc"));
        assert_eq!(findings[0].remedy.as_deref(), Some("tc qdisc del dev host root"));

        let xdp = |world: &mut World, peers: [Place; 2]| {
            world.link(peers[1]).xdp_program = Some(7);
        };
        let findings = found(FastPath::Tc, xdp, |_| ());
        assert_eq!(findings[0].reason, Some("peer_xdp"));
        assert_eq!(findings[0].remedy.as_deref(), Some("ip -n blue link set dev blue xdp off"));
    }

    #[test]
    fn vlans_of_a_port_come_with_what_leaves_them_untagged() {
        let vlans = |state, is_untagged| {
            move |bridge: &mut BridgeFacts| {
                let (vlan_filtering, ageing_ms) = (VlanFiltering::Plain, 300_000);
                bridge.view.bridge.kind =
                    LinkKind::Bridge { vlan_filtering, ageing_ms, calls_netfilter: false };
                let pvid = Pvid { vlan: Vlan(10), is_untagged, state };
                let port = bridge.view.ports[0].link.ifindex;
                bridge.view.pvids = Some([(port, pvid)].into());
            }
        };
        let told = |findings: &[Finding]| -> Vec<_> {
            findings.iter().map(|it| (it.reason, it.remedy.clone())).collect()
        };
        let findings = found(FastPath::Tc, |_, _| (), vlans(PortState::Forwarding, false));
        let remedy = "bridge vlan add dev host vid 10 pvid untagged".to_owned();
        let wanted = [(Some("pvid_tagged"), Some(remedy)), (Some("no_pvid"), None)];
        assert_eq!(told(&findings), wanted);

        let findings = found(FastPath::Tc, |_, _| (), vlans(PortState::NotForwarding, true));
        let remedy = "bridge vlan set dev host vid 10 state forwarding".to_owned();
        assert_eq!(told(&findings)[0], (Some("pvid_not_forwarding"), Some(remedy)));
    }

    #[test]
    fn offloads_that_xdp_needs_otherwise_are_named() {
        let offloads = |on: Offloads| {
            move |bridge: &mut BridgeFacts| {
                for port in &mut bridge.view.ports {
                    let peer_offloads = Some(Offloads::from([Offload::RxGro]));
                    port.xdp = Some(XdpView { peer_offloads, ..XdpView::default() });
                }
                bridge.view.ports[0].xdp.as_mut().expect("just made").peer_offloads = Some(on);
            }
        };
        let findings =
            found(FastPath::Xdp, |_, _| (), offloads(Offload::ALL.into_iter().collect()));
        assert_eq!(codes(&findings), [Code::NotAccelerated]);
        let remedy = findings[0].remedy.as_deref().unwrap_or_default();
        assert!(remedy.starts_with("ip netns exec red ethtool -K red tx-checksum-ip-generic off"));
        let findings = found(FastPath::Xdp, |_, _| (), offloads(Offloads::NONE));
        let remedy = "ip netns exec red ethtool -K red rx-gro on";
        assert_eq!(findings[0].remedy.as_deref(), Some(remedy));
    }

    #[test]
    fn offloads_of_a_port_that_are_off_are_named() {
        let off = |bridge: &mut BridgeFacts| {
            let off = Offloads::from([Offload::TxTcp4Segments, Offload::RxGro]);
            bridge.view.ports[0].unused_offloads = Some(off);
        };
        let findings = found(FastPath::Tc, |_, _| (), off);
        assert_eq!(codes(&findings), [Code::NotAccelerated]);
        assert_eq!(findings[0].reason, Some("port_offloads"));
        let remedy = findings[0].remedy.as_deref().unwrap_or_default();
        assert!(remedy.ends_with(" tx-tcp-segmentation on"), "{remedy}");
    }

    #[test]
    fn port_without_the_program_is_told() {
        let unhook = |bridge: &mut BridgeFacts| {
            let hooked = HashSet::new();
            bridge.acceleration =
                Acceleration::Fabric { path: FastPath::Tc, hooked, owner: Owner::Veth };
        };
        let findings = found(FastPath::Tc, |_, _| (), unhook);
        assert_eq!(codes(&findings), [Code::NotAttached; 2]);
        assert_eq!(findings[0].remedy.as_deref(), Some("veth agent br0"));
    }

    #[test]
    fn bridge_of_others_that_nobody_keeps_is_told_and_its_own_ways_are_not() {
        let owned_by = |is_kept| {
            move |bridge: &mut BridgeFacts| {
                if let Acceleration::Fabric { owner, .. } = &mut bridge.acceleration {
                    *owner = Owner::Other { is_kept };
                }
                bridge.view.ports[0].link.kind = LinkKind::Other("tun".into());
            }
        };
        assert_eq!(codes(&found(FastPath::Tc, |_, _| (), owned_by(true))), []);
        let findings = found(FastPath::Tc, |_, _| (), owned_by(false));
        assert_eq!(codes(&findings), [Code::NotKept]);
        assert_eq!(findings[0].remedy.as_deref(), Some("veth agent br0"));
    }

    #[test]
    fn what_would_be_passed_by_is_told_with_what_accepts_it() {
        let rules = |bridge: &mut BridgeFacts| {
            bridge.view.allowed = Bypasses::from([Bypass::Qdisc]);
            bridge.view.bypassed = Bypasses::from([Bypass::BrNetfilter]);
        };
        let findings = found(FastPath::Tc, |_, _| (), rules);
        assert_eq!(findings[0].reason, Some("bypasses_br_netfilter"));
        let remedy = "veth attach br0 --bypass br_netfilter --bypass qdisc";
        assert_eq!(findings[0].remedy.as_deref(), Some(remedy));
    }

    #[test]
    fn what_other_rules_tell_is_not_told_twice() {
        let down = |world: &mut World, peers: [Place; 2]| world.link(peers[0]).is_up = false;
        assert_eq!(codes(&found(FastPath::Tc, down, |_| ())), []);
    }

    #[test]
    fn bridge_without_a_fast_path_is_noted_when_asked_about() {
        let nothing = |asked| {
            move |bridge: &mut BridgeFacts| {
                bridge.acceleration = Acceleration::Nothing { asked };
            }
        };
        assert_eq!(codes(&found(FastPath::Tc, |_, _| (), nothing(false))), []);
        let findings = found(FastPath::Tc, |_, _| (), nothing(true));
        assert_eq!(codes(&findings), [Code::NoFastPath]);
    }
}
