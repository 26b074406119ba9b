//! The comparison of what is wanted with what is there.

use std::collections::{HashMap, HashSet};

use super::{
    BridgeState, Conflicts, Inside, Mark, Member, NetnsState, Observed, PEER_NAME, PairStep,
    PortPresence, Step, ends,
};
use crate::{
    topology::{Namespace, NetnsName, Topology},
    view::{Address, Link},
};

/// The steps from what is to what is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What is made and changed. All of it can be taken back.
    pub build: Vec<Step>,
    /// What is removed, for good: it comes last, when nothing else can fail any more.
    pub clear: Vec<Step>,
}

impl Plan {
    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.build.is_empty() && self.clear.is_empty()
    }

    /// All steps in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.build.iter().chain(&self.clear)
    }
}

/// The steps that make `observed` into `topology`; none when it is that already.
pub fn plan(topology: &Topology, observed: &Observed) -> Result<Plan, Conflicts> {
    let mut steps = Steps::default();
    let pairs = ends::plan(topology, observed);
    steps.list.extend(pairs.make_room);
    steps.conflicts.extend(pairs.conflicts);
    let mtu_bytes = topology.mtu().bytes();
    let bridge = if topology.has_bridge() { steps.add_bridge(topology, observed) } else { None };
    let found: HashMap<&NetnsName, &Member> =
        observed.members.iter().map(|member| (&member.name, member)).collect();
    for namespace in topology.namespaces() {
        let found = found.get(namespace.name()).copied();
        steps.add_member(namespace, found, bridge, mtu_bytes);
    }
    steps.list.extend(pairs.build);
    // Last of what is added: a port that joins while others are still being made would get the
    // greetings (MLD, router solicitations) of each of them.
    let joins = std::mem::take(&mut steps.joins);
    steps.list.extend(joins);
    let wanted: HashSet<&NetnsName> =
        topology.namespaces().iter().map(Namespace::name).chain(topology.portless()).collect();
    let surplus = observed.members.iter().filter(|member| !wanted.contains(&member.name));
    let mut removal = Steps { list: pairs.clear, ..Steps::default() };
    removal.remove_members(surplus);
    if !topology.has_bridge() && matches!(observed.bridge, BridgeState::Ours(_)) {
        removal.add(Step::DeleteBridge);
    }
    if steps.conflicts.is_empty() {
        Ok(Plan { build: steps.list, clear: removal.list })
    } else {
        Err(Conflicts(steps.conflicts))
    }
}

/// The steps that remove everything of a fabric. What is not ours stays, and is no obstacle.
pub fn plan_removal(observed: &Observed) -> Vec<Step> {
    let mut steps = Steps { list: ends::plan_removal(observed), ..Steps::default() };
    steps.remove_members(&observed.members);
    if matches!(observed.bridge, BridgeState::Ours(_)) {
        steps.add(Step::DeleteBridge);
    }
    steps.list
}

/// Steps that are being put together.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) list: Vec<Step>,
    joins: Vec<Step>,
    pub(super) conflicts: Vec<String>,
}

impl Steps {
    pub(super) fn add(&mut self, step: Step) {
        self.list.push(step);
    }

    /// The bridge as it is, if it is there and ours.
    fn add_bridge<'o>(&mut self, topology: &Topology, observed: &'o Observed) -> Option<&'o Link> {
        let mtu_bytes = topology.mtu().bytes();
        let bridge = match &observed.bridge {
            BridgeState::Ours(bridge) => Some(bridge),
            BridgeState::Absent => {
                self.add(Step::CreateBridge { mac: topology.bridge_mac(), mtu_bytes });
                None
            }
            BridgeState::Foreign(what) => {
                self.conflicts.push(foreign("bridge", topology.name().as_str(), what));
                None
            }
        };
        // Before the first of them is made: by this, a removal knows to look for them.
        if !topology.pairs().is_empty() && !bridge.is_some_and(has_pairs) {
            self.add(Step::Pair(PairStep::Announce));
        }
        if let Some(bridge) = bridge.filter(|bridge| bridge.mtu_bytes != mtu_bytes) {
            self.add(Step::SetBridgeMtu { from: bridge.mtu_bytes, to: mtu_bytes });
        }
        if bridge.is_none_or(|bridge| !bridge.is_up) {
            self.add(Step::RaiseBridge);
        }
        bridge
    }

    fn add_member(
        &mut self,
        wanted: &Namespace,
        found: Option<&Member>,
        bridge: Option<&Link>,
        mtu_bytes: u32,
    ) {
        let name = wanted.name();
        let port = match found.map(|member| &member.port) {
            None | Some(PortPresence::Absent) => None,
            Some(PortPresence::Ours(port)) => Some(port),
            Some(PortPresence::Foreign(what)) => {
                self.conflicts.push(foreign("port", name.as_str(), what));
                return;
            }
        };
        let inside = match found.map(|member| &member.netns) {
            None | Some(NetnsState::Absent) => None,
            Some(NetnsState::Remains) => {
                self.add(Step::RemoveNetns(name.clone()));
                None
            }
            Some(NetnsState::Ours(inside)) => Some(inside),
            Some(NetnsState::Foreign(what)) => {
                self.conflicts.push(foreign("namespace", name.as_str(), what));
                return;
            }
        };
        let stray = inside.and_then(|inside| inside.peer.as_ref());
        if pair(port, inside).is_none() && stray.is_some_and(|it| it.mac != Some(wanted.mac())) {
            let what = format!("there is a device {PEER_NAME} inside that veth did not make");
            self.conflicts.push(foreign("namespace", name.as_str(), &what));
            return;
        }
        match inside {
            None => self.add(Step::CreateNetns(name.clone())),
            Some(inside) => self.mend_netns(name, inside, false),
        }
        match pair(port, inside) {
            Some((port, peer)) => self.mend_pair(wanted, port, peer, bridge, mtu_bytes),
            None => self.make_pair(wanted, port, inside, mtu_bytes),
        }
        // A peer that is made anew has no addresses, whatever the old one had.
        let have = match (pair(port, inside), inside) {
            (Some(_), Some(inside)) => inside.addresses.as_slice(),
            _ => &[],
        };
        let want: Vec<Address> = wanted.addresses().iter().copied().map(Into::into).collect();
        for address in have.iter().filter(|address| !want.contains(address)) {
            self.add(Step::RemoveAddress(name.clone(), *address));
        }
        for address in want.iter().filter(|address| !have.contains(address)) {
            self.add(Step::AddAddress(name.clone(), *address));
        }
    }

    /// What a namespace that is there lacks by itself.
    pub(super) fn mend_netns(&mut self, name: &NetnsName, inside: &Inside, is_portless: bool) {
        if !inside.lo_up {
            self.add(Step::RaiseLoopback(name.clone()));
        }
        if inside.is_portless != is_portless {
            self.add(Step::Pair(PairStep::MarkNetns { netns: name.clone(), is_portless }));
        }
    }

    fn make_pair(
        &mut self,
        wanted: &Namespace,
        port: Option<&Link>,
        inside: Option<&Inside>,
        mtu_bytes: u32,
    ) {
        let netns = wanted.name();
        if port.is_some() {
            self.add(Step::DeletePairs(vec![netns.clone()]));
        }
        if inside.is_some_and(|inside| inside.peer.is_some()) {
            self.add(Step::DeleteStrayPeer(netns.clone()));
        }
        self.add(Step::CreatePair {
            netns: netns.clone(),
            port_mac: wanted.port_mac(),
            peer_mac: wanted.mac(),
            mtu_bytes,
        });
        self.add(Step::RaisePeer(netns.clone()));
        self.joins.push(Step::JoinPort(netns.clone()));
    }

    fn mend_pair(
        &mut self,
        wanted: &Namespace,
        port: &Link,
        peer: &Link,
        bridge: Option<&Link>,
        to: u32,
    ) {
        let netns = wanted.name();
        if port.mtu_bytes != to {
            self.add(Step::SetPortMtu { netns: netns.clone(), from: port.mtu_bytes, to });
        }
        if peer.mtu_bytes != to {
            self.add(Step::SetPeerMtu { netns: netns.clone(), from: peer.mtu_bytes, to });
        }
        if let Some(from) = peer.mac.filter(|mac| *mac != wanted.mac()) {
            self.add(Step::SetPeerMac { netns: netns.clone(), from, to: wanted.mac() });
        }
        if !peer.is_up {
            self.add(Step::RaisePeer(netns.clone()));
        }
        let joined = bridge.is_some_and(|bridge| port.controller == Some(bridge.ifindex));
        if !joined || !port.is_up {
            self.joins.push(Step::JoinPort(netns.clone()));
        }
    }

    fn remove_members<'a>(&mut self, members: impl IntoIterator<Item = &'a Member>) {
        let mut pairs = Vec::new();
        let mut namespaces = Vec::new();
        for member in members {
            if matches!(member.port, PortPresence::Ours(_)) {
                pairs.push(member.name.clone());
            }
            if matches!(member.netns, NetnsState::Ours(_) | NetnsState::Remains) {
                namespaces.push(Step::RemoveNetns(member.name.clone()));
            }
        }
        if !pairs.is_empty() {
            self.add(Step::DeletePairs(pairs));
        }
        self.list.extend(namespaces);
    }
}

/// The two ends, when they are ends of one pair. The namespaces' ids are not compared: the
/// indexes agreeing in both directions, between a port and a namespace that are both marked as
/// ours, leaves nothing else it could be.
fn pair<'a>(port: Option<&'a Link>, inside: Option<&'a Inside>) -> Option<(&'a Link, &'a Link)> {
    let port = port?;
    let peer = inside?.peer.as_ref()?;
    let there = port.peer.is_some_and(|end| end.ifindex == peer.ifindex && end.netns.is_some());
    let back = peer.peer.is_some_and(|end| end.ifindex == port.ifindex && end.netns.is_some());
    (there && back).then_some((port, peer))
}

/// Whether the mark of the bridge says that there are pairs past it.
fn has_pairs(bridge: &Link) -> bool {
    matches!(
        bridge.alias.as_deref().and_then(Mark::parse),
        Some(Mark::Bridge { has_pairs: true, .. })
    )
}

pub(super) fn foreign(kind: &str, name: &str, what: &str) -> String {
    format!(
        "{kind} {name}: {what}; it is left alone: remove it, or choose another name \
         (the device inside is {PEER_NAME}, the one outside is called like the namespace)"
    )
}
