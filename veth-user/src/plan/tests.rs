//! Plans against a model of the kernel: what a plan makes is what was wanted, and its inverse
//! leads back.

mod pairs;

use proptest::prelude::*;
use veth_common::{Ifindex, Mac};

use super::*;
use crate::{
    topology::{NetnsName, Topology},
    view::{Link, LinkKind, NetnsId, PeerRef, VlanFiltering},
};

const TWO: &str = r#"
name = "lab"
[[netns]]
name = "red"
addresses = ["10.77.0.1/24", "fd77::1/64"]
[[netns]]
name = "blue"
addresses = ["10.77.0.2/24"]
"#;

fn topology(text: &str) -> Topology {
    Topology::parse(text).expect("the text is a valid topology")
}

fn name(text: &str) -> NetnsName {
    text.parse().expect("the text is a valid name")
}

fn link(ifindex: u32, kind: LinkKind, mac: Mac, mtu_bytes: u32) -> Link {
    Link {
        ifindex: Ifindex(ifindex),
        name: String::new(),
        kind,
        mac: Some(mac),
        mtu_bytes,
        is_up: false,
        group: 0,
        has_qdisc: false,
        promiscuity: 0,
        xdp_program: None,
        controller: None,
        peer: None,
        alias: None,
        bridge_port: None,
    }
}

/// A kernel that knows only what a plan is about.
#[derive(Clone, Debug, Default)]
struct Model {
    observed: Observed,
    last_ifindex: u32,
}

impl Model {
    fn next_ifindex(&mut self) -> u32 {
        self.last_ifindex += 1;
        self.last_ifindex
    }

    fn member(&mut self, name: &NetnsName) -> &mut Member {
        let members = &mut self.observed.members;
        let at = members.iter().position(|member| member.name == *name).unwrap_or_else(|| {
            members.push(Member {
                name: name.clone(),
                netns: NetnsState::Absent,
                port: PortPresence::Absent,
            });
            members.len() - 1
        });
        &mut members[at]
    }

    fn inside(&mut self, name: &NetnsName) -> &mut Inside {
        match &mut self.member(name).netns {
            NetnsState::Ours(inside) => inside,
            other => panic!("{name}: no namespace but {other:?}"),
        }
    }

    fn peer(&mut self, name: &NetnsName) -> &mut Link {
        self.inside(name).peer.as_mut().expect("the step needs a peer")
    }

    fn port(&mut self, name: &NetnsName) -> &mut Link {
        match &mut self.member(name).port {
            PortPresence::Ours(port) => port,
            other => panic!("{name}: no port but {other:?}"),
        }
    }

    fn bridge(&mut self) -> &mut Link {
        match &mut self.observed.bridge {
            BridgeState::Ours(bridge) => bridge,
            other => panic!("no bridge but {other:?}"),
        }
    }

    /// Carries `step` out, and panics when the kernel would refuse it.
    fn apply(&mut self, step: &Step) {
        match step.clone() {
            Step::CreateBridge { mac, mtu_bytes } => {
                assert_eq!(self.observed.bridge, BridgeState::Absent);
                let kind = LinkKind::Bridge {
                    vlan_filtering: VlanFiltering::Off,
                    ageing_ms: 300_000,
                    calls_netfilter: false,
                };
                let ifindex = self.next_ifindex();
                self.observed.bridge = BridgeState::Ours(link(ifindex, kind, mac, mtu_bytes));
            }
            Step::DeleteBridge => {
                let bridge = self.bridge().ifindex;
                for member in &mut self.observed.members {
                    if let PortPresence::Ours(port) = &mut member.port
                        && port.controller == Some(bridge)
                    {
                        port.controller = None;
                    }
                }
                self.observed.bridge = BridgeState::Absent;
            }
            Step::SetBridgeMtu { from, to } => {
                assert_eq!(self.bridge().mtu_bytes, from);
                self.bridge().mtu_bytes = to;
            }
            Step::RaiseBridge => self.bridge().is_up = true,
            Step::CreateNetns(name) => {
                assert_eq!(self.member(&name).netns, NetnsState::Absent);
                self.member(&name).netns =
                    NetnsState::Ours(Inside { lo_up: true, ..Inside::default() });
            }
            Step::RaiseLoopback(name) => self.inside(&name).lo_up = true,
            Step::Pair(step) => self.apply_to_pairs(step),
            Step::RemoveNetns(name) => {
                self.lose_ends_in(&name);
                self.member(&name).netns = NetnsState::Absent;
                self.member(&name).port = PortPresence::Absent;
            }
            Step::CreatePair { netns, port_mac, peer_mac, mtu_bytes } => {
                assert_eq!(self.member(&netns).port, PortPresence::Absent);
                assert_eq!(self.inside(&netns).peer, None);
                let mut port = link(self.next_ifindex(), LinkKind::Veth, port_mac, mtu_bytes);
                let mut peer = link(self.next_ifindex(), LinkKind::Veth, peer_mac, mtu_bytes);
                port.peer = Some(PeerRef { ifindex: peer.ifindex, netns: Some(NetnsId(1)) });
                peer.peer = Some(PeerRef { ifindex: port.ifindex, netns: Some(NetnsId(0)) });
                self.inside(&netns).peer = Some(peer);
                self.inside(&netns).addresses.clear();
                self.member(&netns).port = PortPresence::Ours(port);
            }
            Step::DeletePairs(names) => {
                for name in names {
                    self.delete_pair(&name);
                }
            }
            Step::DeleteStrayPeer(name) => {
                // The executor takes a peer that went with its port for deleted.
                let inside = self.inside(&name);
                *inside = Inside { lo_up: inside.lo_up, ..Inside::default() };
            }
            Step::JoinPort(name) => {
                let bridge = self.bridge().ifindex;
                self.port(&name).controller = Some(bridge);
                self.port(&name).is_up = true;
            }
            Step::LeavePort(name) => self.port(&name).controller = None,
            Step::SetPortMtu { netns, to, .. } => self.port(&netns).mtu_bytes = to,
            Step::SetPeerMtu { netns, to, .. } => self.peer(&netns).mtu_bytes = to,
            Step::SetPeerMac { netns, to, .. } => self.peer(&netns).mac = Some(to),
            Step::RaisePeer(name) => self.peer(&name).is_up = true,
            Step::AddAddress(name, address) => {
                let addresses = &mut self.inside(&name).addresses;
                assert!(!addresses.contains(&address));
                addresses.push(address);
            }
            Step::RemoveAddress(name, address) => {
                let addresses = &mut self.inside(&name).addresses;
                assert!(addresses.contains(&address));
                addresses.retain(|other| *other != address);
            }
        }
    }

    fn delete_pair(&mut self, name: &NetnsName) {
        let end = self.port(name).peer;
        self.member(name).port = PortPresence::Absent;
        if let NetnsState::Ours(inside) = &mut self.member(name).netns
            && let Some(peer) = &inside.peer
            && end.is_some_and(|end| end.ifindex == peer.ifindex)
        {
            *inside = Inside { lo_up: inside.lo_up, ..Inside::default() };
        }
    }

    fn apply_all(&mut self, steps: &[Step]) {
        for step in steps {
            self.apply(step);
        }
    }

    fn bring_to(&mut self, topology: &Topology) -> Vec<Step> {
        let plan = plan(topology, &self.observed).expect("nothing foreign in the model");
        let steps: Vec<Step> = plan.steps().cloned().collect();
        self.apply_all(&steps);
        steps
    }

    fn is_empty(&self) -> bool {
        self.observed.bridge == BridgeState::Absent
            && self.observed.ends.is_empty()
            && self.observed.members.iter().all(|member| {
                member.netns == NetnsState::Absent && member.port == PortPresence::Absent
            })
    }
}

#[test]
fn plan_for_a_new_fabric_makes_everything_and_then_nothing() {
    let topology = topology(TWO);
    let mut model = Model::default();
    let steps = model.bring_to(&topology);
    assert!(steps.contains(&Step::CreateNetns(name("red"))));
    assert_eq!(plan(&topology, &model.observed), Ok(Plan::default()));
}

#[test]
fn inverse_of_a_whole_plan_leaves_nothing() {
    let mut model = Model::default();
    let steps = model.bring_to(&topology(TWO));
    model.apply_all(&undo(&steps));
    assert!(model.is_empty(), "{model:?}");
}

#[test]
fn undo_of_an_edit_leads_back() {
    let mut model = Model::default();
    model.bring_to(&topology(TWO));
    let before = model.observed.clone();
    let steps = model.bring_to(&topology(
        &TWO.replace("10.77.0.2/24", "10.77.0.3/24")
            .replace("name = \"lab\"", "name = \"lab\"\nmtu = 9000")
            .replace(
                "[[netns]]\nname = \"red\"",
                "[[netns]]\nname = \"pink\"\n[[netns]]\nname = \"red\"",
            ),
    ));
    assert!(steps.contains(&Step::CreateNetns(name("pink"))));
    model.apply_all(&undo(&steps));
    model.observed.members.retain(|member| member.name != name("pink"));
    assert_eq!(model.observed, before);
}

#[test]
fn edited_file_changes_only_the_difference() {
    let mut model = Model::default();
    model.bring_to(&topology(TWO));
    let edited = TWO.replace("10.77.0.2/24", "10.77.0.3/24").replace("\"red\"", "\"pink\"");
    let steps = model.bring_to(&topology(&edited));
    assert!(steps.contains(&Step::CreateNetns(name("pink"))));
    assert!(steps.contains(&Step::RemoveNetns(name("red"))));
    let blue: Vec<String> =
        steps.iter().map(ToString::to_string).filter(|step| step.contains("blue")).collect();
    assert_eq!(blue, ["remove 10.77.0.2/24 from blue", "add 10.77.0.3/24 to blue"]);
    assert!(matches!(steps.last(), Some(Step::RemoveNetns(_))), "removals come last");
}

#[test]
fn new_mtu_reaches_bridge_ports_and_peers() {
    let mut model = Model::default();
    model.bring_to(&topology(TWO));
    let steps = model.bring_to(&topology(
        &TWO.replace("[[netns]]\nname = \"red\"", "mtu = 9000\n[[netns]]\nname = \"red\""),
    ));
    assert_eq!(steps.len(), 5, "{steps:?}");
    assert_eq!(model.port(&name("blue")).mtu_bytes, 9000);
    assert_eq!(model.peer(&name("red")).mtu_bytes, 9000);
}

#[test]
fn things_of_others_are_all_named_and_nothing_is_planned() {
    let mut model = Model::default();
    model.observed.bridge = BridgeState::Foreign("a bridge that somebody else made".into());
    model.member(&name("red")).netns = NetnsState::Foreign("a namespace without our mark".into());
    model.member(&name("blue")).port = PortPresence::Foreign("a dummy".into());
    let Conflicts(conflicts) = plan(&topology(TWO), &model.observed).expect_err("must refuse");
    assert_eq!(conflicts.len(), 3);
    assert!(conflicts[0].starts_with("bridge lab: a bridge that somebody else made"));
    assert!(plan_removal(&model.observed).is_empty(), "and nothing of theirs is removed");
}

#[test]
fn device_of_somebody_else_in_the_place_of_the_peer_is_refused() {
    let mut model = Model::default();
    model.bring_to(&topology(TWO));
    model.with_peer(&name("red"), |peer| {
        peer.mac = Some(Mac([2, 9, 9, 9, 9, 9]));
        peer.peer = None;
    });
    let Conflicts(conflicts) = plan(&topology(TWO), &model.observed).expect_err("must refuse");
    assert!(conflicts[0].starts_with("namespace red: there is a device eth0"), "{conflicts:?}");
}

#[test]
fn removal_removes_all_that_is_ours() {
    let mut model = Model::default();
    model.bring_to(&topology(TWO));
    model.member(&name("blue")).netns = NetnsState::Remains;
    model.apply_all(&plan_removal(&model.observed));
    assert!(model.is_empty());
}

/// Ways in which a fabric gets damaged behind our back.
#[derive(Clone, Debug)]
enum Damage {
    BridgeGone,
    BridgeDown,
    NetnsGone(bool),
    NetnsRemains(bool),
    PortGone(bool),
    PortLeft(bool),
    PeerDown(bool),
    PeerReplaced(bool),
    LoopbackDown(bool),
    AddressLost(bool),
    MacChanged(bool),
    MtuChanged(bool),
}

fn damage() -> impl Strategy<Value = Damage> {
    any::<bool>().prop_flat_map(|red| {
        prop_oneof![
            Just(Damage::BridgeGone),
            Just(Damage::BridgeDown),
            Just(Damage::NetnsGone(red)),
            Just(Damage::NetnsRemains(red)),
            Just(Damage::PortGone(red)),
            Just(Damage::PortLeft(red)),
            Just(Damage::PeerDown(red)),
            Just(Damage::PeerReplaced(red)),
            Just(Damage::LoopbackDown(red)),
            Just(Damage::AddressLost(red)),
            Just(Damage::MacChanged(red)),
            Just(Damage::MtuChanged(red)),
        ]
    })
}

impl Model {
    /// Does the damage, if what it damages is still there.
    fn suffer(&mut self, damage: &Damage) {
        let member = |red: bool| name(if red { "red" } else { "blue" });
        let mac = Mac([2, 9, 9, 9, 9, 9]);
        match *damage {
            Damage::BridgeGone => {
                if matches!(self.observed.bridge, BridgeState::Ours(_)) {
                    self.apply(&Step::DeleteBridge);
                }
            }
            Damage::BridgeDown => {
                if let BridgeState::Ours(bridge) = &mut self.observed.bridge {
                    bridge.is_up = false;
                }
            }
            Damage::NetnsGone(red) => self.apply(&Step::RemoveNetns(member(red))),
            Damage::NetnsRemains(red) => {
                self.apply(&Step::RemoveNetns(member(red)));
                self.member(&member(red)).netns = NetnsState::Remains;
            }
            Damage::PortGone(red) => {
                if matches!(self.member(&member(red)).port, PortPresence::Ours(_)) {
                    self.delete_pair(&member(red));
                }
            }
            Damage::PortLeft(red) => {
                if let PortPresence::Ours(port) = &mut self.member(&member(red)).port {
                    port.controller = None;
                }
            }
            Damage::PeerDown(red) => self.with_peer(&member(red), |peer| peer.is_up = false),
            Damage::PeerReplaced(red) => {
                let ifindex = Ifindex(self.next_ifindex());
                let ours = topology(TWO).namespaces()[usize::from(!red)].mac();
                self.with_peer(&member(red), |peer| {
                    peer.ifindex = ifindex;
                    peer.peer = None;
                    peer.mac = Some(ours);
                });
            }
            Damage::LoopbackDown(red) => {
                if let NetnsState::Ours(inside) = &mut self.member(&member(red)).netns {
                    inside.lo_up = false;
                }
            }
            Damage::AddressLost(red) => {
                if let NetnsState::Ours(inside) = &mut self.member(&member(red)).netns {
                    inside.addresses.pop();
                }
            }
            Damage::MacChanged(red) => self.with_peer(&member(red), |peer| {
                // One that has lost its pair and our address is a device of somebody else.
                if peer.peer.is_some() {
                    peer.mac = Some(mac);
                }
            }),
            Damage::MtuChanged(red) => self.with_peer(&member(red), |peer| peer.mtu_bytes = 1400),
        }
    }

    fn with_peer(&mut self, name: &NetnsName, change: impl FnOnce(&mut Link)) {
        if let NetnsState::Ours(Inside { peer: Some(peer), .. }) = &mut self.member(name).netns {
            change(peer);
        }
    }
}

proptest! {
    #[test]
    fn any_damage_is_mended_by_one_plan(damages in prop::collection::vec(damage(), 0..6)) {
        let topology = topology(TWO);
        let mut model = Model::default();
        model.bring_to(&topology);
        for damage in &damages {
            model.suffer(damage);
        }
        model.bring_to(&topology);
        prop_assert_eq!(plan(&topology, &model.observed), Ok(Plan::default()));
    }

    #[test]
    fn any_damage_is_cleaned_up_by_removal(damages in prop::collection::vec(damage(), 0..6)) {
        let mut model = Model::default();
        model.bring_to(&topology(TWO));
        for damage in &damages {
            model.suffer(damage);
        }
        model.apply_all(&plan_removal(&model.observed));
        prop_assert!(model.is_empty(), "{:?}", model);
    }
}
