//! Carrying out the steps of a plan, and taking them back.

use std::{
    collections::{HashMap, HashSet},
    ops::RangeInclusive,
    os::fd::AsFd as _,
};

use veth_common::Ifindex;

use super::{Control, FabricError};
use crate::{
    netlink::{LinkChange, Netlink, NetlinkError, VethPair},
    netns::{self, Named, Netns},
    plan::{self, BridgeState, Mark, Observed, PEER_NAME, PortPresence, Step},
    topology::{FabricName, NetnsName},
    view::{Address, Link},
};

/// Groups of links that are about to be deleted: out of the way of groups that people use, which
/// are small numbers or names for them.
const DOOMED: RangeInclusive<u32> = 0x7665_0000..=0x7665_ffff;

/// Carries out steps. It knows the indexes of what was observed and of what it made itself.
pub(super) struct Executor<'a> {
    pub(super) host: &'a mut Netlink,
    pub(super) fabric: &'a FabricName,
    bridge: Option<Ifindex>,
    ports: HashMap<NetnsName, Ifindex>,
    /// A group that no link is in, for those that are to be deleted at once.
    free_group: u32,
    /// The namespace of the last step: steps come member by member, and one is held open at a
    /// time, so that a thousand of them do not take two thousand descriptors.
    inside: Option<Inside>,
}

/// A namespace, and the connection into it.
pub(super) struct Inside {
    name: NetnsName,
    pub(super) netns: Netns,
    pub(super) netlink: Netlink,
    peer: Option<Ifindex>,
}

impl<'a> Executor<'a> {
    pub(super) fn new(
        host: &'a mut Netlink,
        fabric: &'a FabricName,
        observed: &Observed,
        links: &[Link],
    ) -> Self {
        let bridge = match &observed.bridge {
            BridgeState::Ours(bridge) => Some(bridge.ifindex),
            BridgeState::Absent | BridgeState::Foreign(_) => None,
        };
        let ports = observed.members.iter().filter_map(|member| match &member.port {
            PortPresence::Ours(port) => Some((member.name.clone(), port.ifindex)),
            PortPresence::Absent | PortPresence::Foreign(_) => None,
        });
        Self {
            host,
            fabric,
            bridge,
            ports: ports.collect(),
            free_group: free_group(links),
            inside: None,
        }
    }

    /// Carries out `steps`; on the first failure takes back those that were done.
    pub(super) fn run(
        &mut self,
        steps: &[Step],
        control: &mut Control<'_>,
    ) -> Result<(), FabricError> {
        for (done, step) in steps.iter().enumerate() {
            (control.progress)(done, steps.len(), step);
            if let Err(cause) = control.check().and_then(|()| self.apply(step)) {
                let undone = self.undo(&steps[..done]);
                return Err(cause.after_undo(undone));
            }
        }
        Ok(())
    }

    /// Carries out all of `steps` that can be; for removals, where going on is better.
    pub(super) fn run_all(
        &mut self,
        steps: &[Step],
        control: &mut Control<'_>,
    ) -> Result<(), FabricError> {
        let mut failures = Vec::new();
        for (done, step) in steps.iter().enumerate() {
            (control.progress)(done, steps.len(), step);
            control.check()?;
            failures.extend(self.apply(step).err());
        }
        if failures.is_empty() { Ok(()) } else { Err(FabricError::Remaining(failures)) }
    }

    /// Takes `steps` back, last first; returns what could not be.
    pub(super) fn undo(&mut self, steps: &[Step]) -> Vec<FabricError> {
        self.inside = None;
        plan::undo(steps).iter().filter_map(|step| self.apply(step).err()).collect()
    }

    /// Carries one step out, wholly or not at all: what stands at a name after a failure may be
    /// somebody else's, so nothing is ever taken back by name that was not made here.
    fn apply(&mut self, step: &Step) -> Result<(), FabricError> {
        self.carry_out(step).map_err(|source| match source {
            FabricError::Interrupted => source,
            source => FabricError::Step { step: step.to_string(), source: Box::new(source) },
        })
    }

    fn carry_out(&mut self, step: &Step) -> Result<(), FabricError> {
        match step {
            Step::CreateBridge { mac, mtu_bytes } => {
                self.host.create_bridge(self.fabric.as_str(), *mac, *mtu_bytes)?;
                let mark = Mark::Bridge { fabric: self.fabric.as_str(), has_pairs: false };
                let alias = mark.to_string();
                let change = LinkChange { alias: Some(&alias), ..LinkChange::default() };
                let bridge = self.bridge()?;
                if let Err(error) = self.host.change_link(bridge, &change) {
                    let _ = self.host.delete_link(bridge);
                    self.bridge = None;
                    return Err(error.into());
                }
            }
            Step::DeleteBridge => {
                let name = self.fabric.as_str();
                let bridge =
                    self.bridge.take().map_or_else(|| find(self.host, name), |it| Ok(Some(it)));
                if let Some(bridge) = bridge? {
                    gone_is_fine(self.host.delete_link(bridge))?;
                }
            }
            Step::SetBridgeMtu { to, .. } => {
                let change = LinkChange { mtu_bytes: Some(*to), ..LinkChange::default() };
                let bridge = self.bridge()?;
                self.host.change_link(bridge, &change)?;
            }
            Step::RaiseBridge => {
                let bridge = self.bridge()?;
                self.host.change_link(bridge, &raised())?;
            }
            Step::CreateNetns(name) => self.create_netns(name, false)?,
            Step::RaiseLoopback(name) => {
                self.enter(name)?.netlink.change_link(Ifindex(1), &raised())?;
            }
            Step::RemoveNetns(name) => {
                self.inside.take_if(|inside| inside.name == *name);
                netns::remove(name.as_str())?;
            }
            Step::CreatePair { netns, port_mac, peer_mac, mtu_bytes } => {
                let inside = enter(&mut self.inside, netns)?;
                self.host.create_veth_pair(&VethPair {
                    port: netns.as_str(),
                    port_mac: *port_mac,
                    peer: PEER_NAME,
                    peer_mac: *peer_mac,
                    peer_netns: inside.netns.as_fd(),
                    mtu_bytes: *mtu_bytes,
                })?;
                inside.peer = None;
                self.ports.remove(netns);
                let mark = Mark::Port { fabric: self.fabric.as_str(), netns: netns.as_str() };
                let alias = mark.to_string();
                let change = LinkChange { alias: Some(&alias), no_ipv6_address: true, ..raised() };
                if let Err(error) = self.change_port(netns, &change) {
                    let _ = self.delete_pairs(std::slice::from_ref(netns));
                    return Err(error);
                }
            }
            Step::DeletePairs(names) => self.delete_pairs(names)?,
            Step::DeleteStrayPeer(name) => {
                let inside = self.enter(name)?;
                // It may have gone with the port that was deleted before.
                if let Some(stray) = find(&mut inside.netlink, PEER_NAME)? {
                    gone_is_fine(inside.netlink.delete_link(stray))?;
                }
            }
            Step::JoinPort(name) => {
                let change = LinkChange { controller: Some(self.bridge()?), ..raised() };
                self.change_port(name, &change)?;
            }
            Step::LeavePort(name) => {
                let change = LinkChange { controller: Some(Ifindex(0)), ..LinkChange::default() };
                self.change_port(name, &change)?;
            }
            Step::SetPortMtu { netns, to, .. } => {
                self.change_port(
                    netns,
                    &LinkChange { mtu_bytes: Some(*to), ..LinkChange::default() },
                )?;
            }
            Step::SetPeerMtu { netns, to, .. } => {
                self.enter(netns)?
                    .change_peer(&LinkChange { mtu_bytes: Some(*to), ..LinkChange::default() })?;
            }
            Step::SetPeerMac { netns, to, .. } => {
                self.enter(netns)?
                    .change_peer(&LinkChange { mac: Some(*to), ..LinkChange::default() })?;
            }
            Step::RaisePeer(name) => self.enter(name)?.change_peer(&raised())?,
            Step::AddAddress(name, address) => {
                let inside = self.enter(name)?;
                let peer = inside.peer()?;
                inside.netlink.add_address(peer, *address)?;
            }
            Step::RemoveAddress(name, address) => self.enter(name)?.remove_address(*address)?,
            Step::Pair(step) => self.carry_out_for_pairs(step)?,
        }
        Ok(())
    }

    /// Makes a namespace that is marked and has `lo` up before it has a name.
    pub(super) fn create_netns(
        &mut self,
        name: &NetnsName,
        is_portless: bool,
    ) -> Result<(), FabricError> {
        let mark = self.mark_of_netns(name, is_portless)?;
        let prepare = || {
            let mut netlink = Netlink::open()?;
            netlink.change_link(Ifindex(1), &LinkChange { alias: Some(&mark), ..raised() })?;
            Ok::<_, NetlinkError>(netlink)
        };
        let (netns, netlink) = Netns::create(name.as_str(), &mark, prepare)??;
        self.inside = Some(Inside { name: name.clone(), netns, netlink, peer: None });
        Ok(())
    }

    /// Has a namespace say whether it is without a port.
    pub(super) fn mark_netns(
        &mut self,
        name: &NetnsName,
        is_portless: bool,
    ) -> Result<(), FabricError> {
        let mark = self.mark_of_netns(name, is_portless)?;
        let change = LinkChange { alias: Some(&mark), ..LinkChange::default() };
        Ok(self.enter(name)?.netlink.change_link(Ifindex(1), &change)?)
    }

    fn mark_of_netns(&self, name: &NetnsName, is_portless: bool) -> Result<String, FabricError> {
        let (fabric, netns, host) = (self.fabric.as_str(), name.as_str(), netns::current_inode()?);
        Ok(Mark::Netns { fabric, netns, host, is_portless }.to_string())
    }

    /// Deletes pairs, all in one request: they are put into a group of their own first.
    fn delete_pairs(&mut self, names: &[NetnsName]) -> Result<(), FabricError> {
        self.inside.take_if(|inside| names.contains(&inside.name));
        let mut doomed = Vec::new();
        for name in names {
            let port = match self.ports.remove(name) {
                Some(port) => Some(port),
                None => find(self.host, name.as_str())?,
            };
            doomed.extend(port);
        }
        delete_links(self.host, self.free_group, doomed)
    }

    pub(super) fn bridge(&mut self) -> Result<Ifindex, FabricError> {
        if let Some(bridge) = self.bridge {
            return Ok(bridge);
        }
        let name = self.fabric.as_str();
        let bridge = find(self.host, name)?
            .ok_or_else(|| FabricError::Vanished(format!("bridge {name}")))?;
        self.bridge = Some(bridge);
        Ok(bridge)
    }

    fn change_port(
        &mut self,
        name: &NetnsName,
        change: &LinkChange<'_>,
    ) -> Result<(), FabricError> {
        let port = match self.ports.get(name) {
            Some(port) => *port,
            None => find(self.host, name.as_str())?
                .ok_or_else(|| FabricError::Vanished(format!("port {name}")))?,
        };
        self.ports.insert(name.clone(), port);
        Ok(self.host.change_link(port, change)?)
    }

    pub(super) fn enter(&mut self, name: &NetnsName) -> Result<&mut Inside, FabricError> {
        enter(&mut self.inside, name)
    }
}

impl Inside {
    fn peer(&mut self) -> Result<Ifindex, FabricError> {
        if let Some(peer) = self.peer {
            return Ok(peer);
        }
        let peer = find(&mut self.netlink, PEER_NAME)?
            .ok_or_else(|| FabricError::Vanished(format!("{PEER_NAME} in {}", self.name)))?;
        self.peer = Some(peer);
        Ok(peer)
    }

    fn remove_address(&mut self, address: Address) -> Result<(), FabricError> {
        let peer = self.peer()?;
        Ok(remove_address(&mut self.netlink, peer, address)?)
    }

    fn change_peer(&mut self, change: &LinkChange<'_>) -> Result<(), FabricError> {
        let peer = self.peer()?;
        Ok(self.netlink.change_link(peer, change)?)
    }
}

/// The namespace `name`, from `inside` if it is that one, otherwise opened into it.
fn enter<'i>(
    inside: &'i mut Option<Inside>,
    name: &NetnsName,
) -> Result<&'i mut Inside, FabricError> {
    if let Some(open) = inside.take_if(|open| open.name == *name) {
        return Ok(inside.insert(open));
    }
    let Named::Namespace(netns) = Netns::look_up(name.as_str())? else {
        return Err(FabricError::Vanished(format!("namespace {name}")));
    };
    let netlink = netns.run(Netlink::open)??;
    Ok(inside.insert(Inside { name: name.clone(), netns, netlink, peer: None }))
}

/// Takes an address from a link, and no other.
pub(super) fn remove_address(
    netlink: &mut Netlink,
    link: Ifindex,
    address: Address,
) -> Result<(), NetlinkError> {
    let before = netlink.addresses(link)?;
    gone_is_fine(netlink.delete_address(link, address))?;
    // With the first IPv4 address of a subnet the kernel drops the others of it.
    let after = netlink.addresses(link)?;
    for lost in before.iter().filter(|it| **it != address && !after.contains(it)) {
        netlink.add_address(link, *lost)?;
    }
    Ok(())
}

/// A group that none of `links`, all of a namespace, is in.
pub(super) fn free_group(links: &[Link]) -> u32 {
    // A process that was killed left its links in a group, and some of them may be in use again:
    // only a group that nothing is in will do.
    let taken: HashSet<u32> = links.iter().map(|link| link.group).collect();
    DOOMED.into_iter().find(|group| !taken.contains(group)).unwrap_or(*DOOMED.start())
}

/// Deletes links, all in one request: they are put into `group`, which is theirs alone, first.
pub(super) fn delete_links(
    netlink: &mut Netlink,
    group: u32,
    doomed: Vec<Ifindex>,
) -> Result<(), FabricError> {
    if let [one] = doomed.as_slice() {
        return Ok(gone_is_fine(netlink.delete_link(*one))?);
    }
    let mut grouped = Vec::new();
    for link in doomed {
        let change = LinkChange { group: Some(group), ..LinkChange::default() };
        match netlink.change_link(link, &change) {
            Ok(()) => grouped.push(link),
            Err(error) if error.is_not_found() => {}
            Err(error) => {
                ungroup(netlink, &grouped);
                return Err(error.into());
            }
        }
    }
    if grouped.is_empty() {
        return Ok(());
    }
    if let Err(error) = gone_is_fine(netlink.delete_group(group)) {
        ungroup(netlink, &grouped);
        return Err(error.into());
    }
    Ok(())
}

/// Puts links back into the group that everything is in. The failure that led here is told;
/// another one would add nothing.
fn ungroup(netlink: &mut Netlink, links: &[Ifindex]) {
    let change = LinkChange { group: Some(0), ..LinkChange::default() };
    for link in links {
        let _ = netlink.change_link(*link, &change);
    }
}

pub(super) fn find(netlink: &mut Netlink, name: &str) -> Result<Option<Ifindex>, NetlinkError> {
    Ok(netlink.link_by_name(name)?.map(|link| link.ifindex))
}

pub(super) const fn raised() -> LinkChange<'static> {
    LinkChange {
        up: Some(true),
        controller: None,
        mtu_bytes: None,
        mac: None,
        alias: None,
        group: None,
        no_ipv6_address: false,
    }
}

pub(super) fn gone_is_fine(result: Result<(), NetlinkError>) -> Result<(), NetlinkError> {
    match result {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}
