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
        let peer = match link.peer {
            // The same index in this namespace would be asked for, which says nothing new.
            Some(peer) if peer.netns.is_some() => host.peer(peer)?,
            _ => None,
        };
        let is_between_bridges = link
            .peer
            .is_some_and(|peer| peer.netns.is_none() && controlled.contains(&peer.ifindex));
        let unused_offloads = offloads.get(&link.ifindex).map(|state| state.unused());
        let bypassed = Bypasses::NONE;
        ports.push(PortView {
            link,
            peer,
            is_between_bridges,
            unused_offloads,
            xdp: None,
            bypassed,
        });
    }
    let fdb = host.bridge_fdb(bridge.ifindex)?;
    let (bypassed, allowed) = (Bypasses::NONE, Bypasses::NONE);
    Ok(Some(BridgeView { bridge, ports, fdb, pvids: None, bypassed, allowed }))
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

/// The offloads of all devices; none where the kernel does not tell (`CONFIG_ETHTOOL_NETLINK`).
fn offloads() -> Result<BTreeMap<Ifindex, OffloadState>, NetlinkError> {
    match Ethtool::open().and_then(|mut ethtool| ethtool.all_offloads()) {
        Err(error) if error.is_unsupported() => Ok(BTreeMap::new()),
        offloads => offloads,
    }
}
