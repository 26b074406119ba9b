//! Reading a bridge out of the kernel.

use crate::{
    netlink::{Netlink, NetlinkError},
    view::{BridgeView, Bypasses, Link, LinkKind, PortView},
};

/// Reads a bridge, its ports with their far ends, and its forwarding entries; `None` when there
/// is no bridge of that name.
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
    let mut ports = Vec::new();
    for link in links.into_iter().filter(|link| link.controller == Some(bridge.ifindex)) {
        let peer = match link.peer {
            // The same index in this namespace would be asked for, which says nothing new.
            Some(peer) if peer.netns.is_some() => host.peer(peer)?,
            _ => None,
        };
        ports.push(PortView { link, peer, xdp: None, bypassed: Bypasses::NONE });
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
