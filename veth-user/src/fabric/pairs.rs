//! Pairs past the bridge: finding their ends, and carrying out the steps with them.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::AsFd as _,
};

use veth_common::{Ifindex, Mac};

use super::{
    FabricError,
    apply::{Executor, delete_links, find, free_group, gone_is_fine, raised, remove_address},
    observe::{Depth, describe},
};
use crate::{
    netlink::{LinkChange, Netlink, NetlinkError, NewDevice},
    netns::{Named, Netns},
    plan::{EndClaim, FoundEnd, Mark, PairStep},
    sysctl,
    topology::{DeviceName, EndName, EndRoute, FabricName, NetnsName, Pair, SysctlName, Topology},
    view::{Link, LinkKind, NextHop, Route},
};

/// What a topology wants with pairs in one namespace.
#[derive(Clone, Debug, Default)]
pub(super) struct WantedHere<'a> {
    names: BTreeSet<&'a DeviceName>,
    sysctls: BTreeSet<&'a SysctlName>,
}

/// The same by namespace; `None` is the one that the fabric is in.
pub(super) type WantedEnds<'a> = BTreeMap<Option<&'a NetnsName>, WantedHere<'a>>;

/// What `topology` wants with pairs.
pub(super) fn wanted_ends(topology: &Topology) -> WantedEnds<'_> {
    let mut wanted = WantedEnds::new();
    for end in topology.pairs().iter().flat_map(Pair::ends) {
        let here = wanted.entry(end.name().netns.as_ref()).or_default();
        here.names.insert(&end.name().ifname);
        here.sysctls.extend(end.sysctls().iter().map(|sysctl| &sysctl.name));
    }
    wanted
}

/// What was found in one namespace.
#[derive(Debug, Default)]
pub(super) struct FoundHere {
    pub(super) ends: Vec<FoundEnd>,
    pub(super) sysctls: Vec<(SysctlName, String)>,
}

/// Looks for ends among `links`, those of the calling thread's namespace, which is known as `netns`.
pub(super) fn look(
    netlink: &mut Netlink,
    fabric: &FabricName,
    netns: Option<&NetnsName>,
    links: &[Link],
    wanted: &WantedHere<'_>,
    depth: Depth,
) -> Result<FoundHere, NetlinkError> {
    let mut found = FoundHere::default();
    for link in links {
        // A name that no topology could give is nothing that one could want.
        let Ok(ifname) = link.name.parse::<DeviceName>() else { continue };
        let is_wanted = wanted.names.contains(&ifname);
        let name = EndName { netns: netns.cloned(), ifname };
        let claim = match claim_of(fabric, &name, link) {
            Some(claim) => claim,
            None if is_wanted => EndClaim::Foreign(describe(fabric, link)),
            None => continue,
        };
        let mut end = FoundEnd {
            name,
            claim,
            link: link.clone(),
            addresses: Vec::new(),
            routes: Vec::new(),
            has_carrier: false,
        };
        if depth == Depth::Everything {
            end.addresses = netlink.addresses(link.ifindex)?;
            end.routes = netlink.own_routes(link.ifindex)?.iter().filter_map(end_route).collect();
            end.has_carrier = netlink.has_carrier(link.ifindex)?;
        }
        found.ends.push(end);
    }
    // One that cannot be read is one that has to be set, if it can be.
    let values = wanted.sysctls.iter().filter_map(|name| Some((*name, sysctl::read(name).ok()?)));
    found.sysctls = values.map(|(name, value)| (name.clone(), value)).collect();
    Ok(found)
}

/// What says that `link` is an end of ours: its mark or, between its creation and its marking, the
/// address that follows from its name.
pub(super) fn claim_of(fabric: &FabricName, name: &EndName, link: &Link) -> Option<EndClaim> {
    if link.kind != LinkKind::Veth {
        return None;
    }
    match link.alias.as_deref().and_then(Mark::parse) {
        Some(Mark::End { fabric: theirs, end, peer }) if theirs == fabric.as_str() => {
            Some(EndClaim::Marked([end_name(end)?, end_name(peer)?]))
        }
        None if link.mac == Some(fabric.end_mac(name)) => Some(EndClaim::Unmarked),
        _ => None,
    }
}

fn end_name((netns, ifname): (&str, &str)) -> Option<EndName> {
    let netns = if netns.is_empty() { None } else { Some(netns.parse().ok()?) };
    Some(EndName { netns, ifname: ifname.parse().ok()? })
}

fn end_route(route: &Route) -> Option<EndRoute> {
    let &Route { destination, prefix_len, next_hop } = route;
    let gateway = match next_hop {
        NextHop::GatewayOn(gateway, _) => Some(gateway),
        NextHop::Link(_) => None,
        NextHop::Gateway(_) => return None,
    };
    Some(EndRoute { destination, prefix_len, gateway })
}

impl Executor<'_> {
    pub(super) fn carry_out_for_pairs(&mut self, step: &PairStep) -> Result<(), FabricError> {
        match step {
            PairStep::Announce => {
                let bridge = self.bridge()?;
                let mark = Mark::Bridge { fabric: self.fabric.as_str(), has_pairs: true };
                self.host.change_link(bridge, &marked(&mark.to_string()))?;
            }
            PairStep::CreateNetns(name) => self.create_netns(name, true)?,
            PairStep::MarkNetns { netns, is_portless } => self.mark_netns(netns, *is_portless)?,
            PairStep::Create { ends, macs, mtu_bytes } => {
                self.create_pair(ends, *macs, *mtu_bytes)?;
            }
            PairStep::Delete { netns, ifnames } => self.delete_ends(netns.as_ref(), ifnames)?,
            PairStep::TakeAway(ends) => {
                let EndName { netns, ifname } = &ends[0].name;
                self.delete_ends(netns.as_ref(), std::slice::from_ref(ifname))?;
            }
            PairStep::PutBack(ends) => self.put_back(ends)?,
            PairStep::SetMtu { end, to, .. } => {
                let change = LinkChange { mtu_bytes: Some(*to), ..LinkChange::default() };
                self.change_end(end, &change)?;
            }
            PairStep::SetMac { end, to, .. } => {
                self.change_end(end, &LinkChange { mac: Some(*to), ..LinkChange::default() })?;
            }
            PairStep::SetSysctl { netns, name, to, .. } => {
                let set = || sysctl::write(name, to);
                let done = match netns {
                    Some(netns) => self.enter(netns)?.netns.run(set)?,
                    None => set(),
                };
                done.map_err(|source| FabricError::Sysctl { name: name.to_string(), source })?;
            }
            PairStep::AddAddress(end, address) => {
                let (netlink, link) = self.end(end)?;
                netlink.add_address(link, *address)?;
            }
            PairStep::RemoveAddress(end, address) => {
                let (netlink, link) = self.end(end)?;
                remove_address(netlink, link, *address)?;
            }
            PairStep::Raise(end) => self.change_end(end, &raised())?,
            PairStep::Lower(end) => {
                let (netlink, link) = self.end(end)?;
                let before = netlink.addresses(link)?;
                let down = LinkChange { up: Some(false), ..LinkChange::default() };
                netlink.change_link(link, &down)?;
                // IPv6 addresses go when a device goes down, unless somebody gives them back.
                let after = netlink.addresses(link)?;
                for lost in before.iter().filter(|address| !after.contains(address)) {
                    netlink.add_address(link, *lost)?;
                }
            }
            PairStep::AddRoute(end, route) => {
                let (netlink, link) = self.end(end)?;
                netlink.add_own_route(&through(*route, link))?;
            }
            PairStep::RemoveRoute(end, route) => {
                let (netlink, link) = self.end(end)?;
                gone_is_fine(netlink.delete_own_route(&through(*route, link)))?;
            }
        }
        Ok(())
    }

    /// Makes a pair, with both ends down and marked.
    fn create_pair(
        &mut self,
        ends: &[EndName; 2],
        macs: [Mac; 2],
        mtu_bytes: u32,
    ) -> Result<(), FabricError> {
        let handles = [open(&ends[0])?, open(&ends[1])?];
        let device = |at: usize| NewDevice {
            name: ends[at].ifname.as_str(),
            mac: macs[at],
            mtu_bytes,
            netns: handles[at].as_ref().map(Netns::as_fd),
        };
        // An end that names no namespace is made in that of the socket, if it is the first one;
        // where a second one is made then has changed with time.
        let [first, second] = if ends[1].netns.is_none() { [1, 0] } else { [0, 1] };
        self.host.create_veth([&device(first), &device(second)])?;
        if let Err(error) = self.mark_ends(ends) {
            let EndName { netns, ifname } = &ends[0];
            let _ = self.delete_ends(netns.as_ref(), std::slice::from_ref(ifname));
            return Err(error);
        }
        Ok(())
    }

    /// Makes a pair as it was found.
    fn put_back(&mut self, ends: &[FoundEnd; 2]) -> Result<(), FabricError> {
        let names = ends.each_ref().map(|end| end.name.clone());
        let macs = names.each_ref().map(|name| self.fabric.end_mac(name));
        self.create_pair(&names, macs, ends[0].link.mtu_bytes)?;
        for FoundEnd { name, link: was, addresses, .. } in ends {
            let (netlink, link) = self.end(name)?;
            for address in addresses {
                netlink.add_address(link, *address)?;
            }
            if was.is_up {
                netlink.change_link(link, &raised())?;
            }
        }
        for FoundEnd { name, routes, .. } in ends {
            let (netlink, link) = self.end(name)?;
            for route in routes {
                netlink.add_own_route(&through(*route, link))?;
            }
        }
        Ok(())
    }

    /// Has each end say which one it is, and which is its other end.
    fn mark_ends(&mut self, ends: &[EndName; 2]) -> Result<(), FabricError> {
        let fabric = self.fabric;
        let [a, b] = ends.each_ref().map(|EndName { netns, ifname }| {
            (netns.as_ref().map_or("", NetnsName::as_str), ifname.as_str())
        });
        for (name, end, peer) in [(&ends[0], a, b), (&ends[1], b, a)] {
            let mark = Mark::End { fabric: fabric.as_str(), end, peer };
            self.change_end(name, &marked(&mark.to_string()))?;
        }
        Ok(())
    }

    /// Deletes the pairs that have these ends. Some may have gone, with a namespace or by hand.
    fn delete_ends(
        &mut self,
        netns: Option<&NetnsName>,
        ifnames: &[DeviceName],
    ) -> Result<(), FabricError> {
        let netlink = match netns {
            Some(netns) => match self.enter(netns) {
                Ok(inside) => &mut inside.netlink,
                Err(FabricError::Vanished(_)) => return Ok(()),
                Err(error) => return Err(error),
            },
            None => &mut *self.host,
        };
        let links = netlink.links()?;
        let is_meant = |link: &&Link| ifnames.iter().any(|name| name.as_str() == link.name);
        let doomed = links.iter().filter(is_meant).map(|link| link.ifindex).collect();
        delete_links(netlink, free_group(&links), doomed)
    }

    fn change_end(&mut self, name: &EndName, change: &LinkChange<'_>) -> Result<(), FabricError> {
        let (netlink, link) = self.end(name)?;
        Ok(netlink.change_link(link, change)?)
    }

    /// The connection to where an end is, and its index there.
    fn end(&mut self, name: &EndName) -> Result<(&mut Netlink, Ifindex), FabricError> {
        let netlink = match &name.netns {
            Some(netns) => &mut self.enter(netns)?.netlink,
            None => &mut *self.host,
        };
        let link = find(netlink, name.ifname.as_str())?
            .ok_or_else(|| FabricError::Vanished(name.to_string()))?;
        Ok((netlink, link))
    }
}

fn through(route: EndRoute, link: Ifindex) -> Route {
    let EndRoute { destination, prefix_len, gateway } = route;
    let next_hop = gateway.map_or(NextHop::Link(link), |gateway| NextHop::GatewayOn(gateway, link));
    Route { destination, prefix_len, next_hop }
}

/// The namespace of an end, unless that is where the fabric is.
fn open(end: &EndName) -> Result<Option<Netns>, FabricError> {
    let Some(netns) = &end.netns else { return Ok(None) };
    match Netns::look_up(netns.as_str())? {
        Named::Namespace(open) => Ok(Some(open)),
        _ => Err(FabricError::Vanished(format!("namespace {netns}"))),
    }
}

fn marked(alias: &str) -> LinkChange<'_> {
    LinkChange { alias: Some(alias), ..LinkChange::default() }
}
