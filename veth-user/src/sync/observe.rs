//! Reading a bridge out of the kernel.

use std::collections::{BTreeMap, HashSet};

use veth_common::Ifindex;

use crate::{
    netlink::{Ethtool, Netlink, NetlinkError},
    view::{BridgeView, Bypasses, Link, LinkKind, OffloadState, PortView},
};

/// Reads a bridge, its ports with their far ends, and its forwarding entries; `None` when there
/// is no bridge of that name. The calling thread is in the namespace of the bridge.
///
/// # Errors
///
/// When the kernel cannot be asked.
pub fn observe_bridge(host: &mut Netlink, name: &str) -> Result<Option<BridgeView>, NetlinkError> {
    let links = host.links()?;
    let is_bridge =
        |link: &&Link| link.name == name && matches!(link.kind, LinkKind::Bridge { .. });
    let Some(bridge) = links.iter().find(is_bridge).cloned() else {
        return Ok(None);
    };
    // After the links: of a port that is not among them any more nothing is wanted.
    let offloads = offloads()?;
    let controlled = links.iter().filter(|link| link.controller.is_some());
    let controlled: HashSet<Ifindex> = controlled.map(|link| link.ifindex).collect();
    let mut ports = Vec::new();
    for link in links.into_iter().filter(|link| link.controller == Some(bridge.ifindex)) {
        let is_between_bridges = near_peer(&link).is_some_and(|peer| controlled.contains(&peer));
        let offloads = offloads.get(&link.ifindex).copied();
        ports.push(port_view(host, link, is_between_bridges, offloads)?);
    }
    let fdb = host.bridge_fdb(bridge.ifindex)?;
    let (bypassed, allowed) = (Bypasses::NONE, Bypasses::NONE);
    Ok(Some(BridgeView { bridge, ports, fdb, pvids: None, bypassed, allowed }))
}

/// Reads one port of `bridge` with its far end; `None` when `ifindex` is none (any more). `ethtool` is none
/// where the kernel does not tell of offloads.
pub(super) fn observe_port(
    host: &mut Netlink,
    ethtool: Option<&mut Ethtool>,
    bridge: Ifindex,
    ifindex: Ifindex,
) -> Result<Option<PortView>, NetlinkError> {
    let link = host.link_by_index(ifindex)?;
    let Some(link) = link.filter(|link| link.controller == Some(bridge)) else { return Ok(None) };
    let offloads = match ethtool.map(|ethtool| ethtool.offloads(ifindex)) {
        Some(Err(error)) if !error.is_not_found() => return Err(error),
        offloads => offloads.and_then(Result::ok),
    };
    let near_peer = match near_peer(&link) {
        Some(peer) => host.link_by_index(peer)?,
        None => None,
    };
    let is_between_bridges = near_peer.is_some_and(|peer| peer.controller.is_some());
    port_view(host, link, is_between_bridges, offloads).map(Some)
}

fn port_view(
    host: &mut Netlink,
    link: Link,
    is_between_bridges: bool,
    offloads: Option<OffloadState>,
) -> Result<PortView, NetlinkError> {
    let peer = match link.peer {
        // The same index in this namespace would be asked for, which says nothing new.
        Some(peer) if peer.netns.is_some() => host.peer(peer)?,
        _ => None,
    };
    let unused_offloads = offloads.map(OffloadState::unused);
    let bypassed = Bypasses::NONE;
    Ok(PortView { link, peer, is_between_bridges, unused_offloads, xdp: None, bypassed })
}

/// The other end of `link`, when that is in this very namespace.
fn near_peer(link: &Link) -> Option<Ifindex> {
    link.peer.filter(|peer| peer.netns.is_none()).map(|peer| peer.ifindex)
}

/// A socket to the drivers; none where the kernel does not tell of offloads (`CONFIG_ETHTOOL_NETLINK`).
pub(super) fn ethtool() -> Result<Option<Ethtool>, NetlinkError> {
    match Ethtool::open() {
        Err(error) if error.is_unsupported() => Ok(None),
        ethtool => ethtool.map(Some),
    }
}

/// Fills in which VLANs untagged frames from the ports of `view` are in, where its bridge filters VLANs.
///
/// # Errors
///
/// When the kernel cannot be asked. One that does not know the question leaves all ports to the bridge.
pub fn look_for_vlans(host: &mut Netlink, view: &mut BridgeView) -> Result<(), NetlinkError> {
    if view.filters_vlans() {
        view.pvids = host.pvids()?;
    }
    Ok(())
}

/// The offloads of all devices; none where the kernel does not tell.
fn offloads() -> Result<BTreeMap<Ifindex, OffloadState>, NetlinkError> {
    match ethtool()?.map(|mut ethtool| ethtool.all_offloads()) {
        Some(Err(error)) if !error.is_unsupported() => Err(error),
        offloads => Ok(offloads.and_then(Result::ok).unwrap_or_default()),
    }
}
