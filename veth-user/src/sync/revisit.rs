//! Bringing what is known of a bridge to what it is now, by reading only what has changed.

use std::collections::BTreeSet;

use veth_common::{Ifindex, Mac, Vlan};

use super::{
    Parts, SyncError,
    bypass::{look_for_filters, look_for_rules},
    observe::{ethtool, observe_port},
};
use crate::{
    netlink::{Netlink, NetlinkError},
    view::{BridgeFdbEntry, BridgeView, Link},
};

/// A bridge as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revisited {
    /// All of it.
    pub view: BridgeView,
    /// Those of its ports that were looked at.
    pub ports: BTreeSet<Ifindex>,
    /// Whether anything is another than it was, but for the ages of stations.
    pub is_changed: bool,
}

/// Brings `view`, which has what is passed by filled in, to what its bridge is now, when only what `parts`
/// name has changed since; `None` when that takes a look at everything.
///
/// The ages of forwarding entries are those of when each was last read. The calling thread is in the
/// namespace of the bridge.
///
/// # Errors
///
/// When the kernel cannot be asked.
pub fn revisit(
    host: &mut Netlink,
    mut view: BridgeView,
    parts: &Parts,
) -> Result<Option<Revisited>, SyncError> {
    // VLANs multiply what an event can be about, and not all of it has events.
    if view.filters_vlans() {
        return Ok(None);
    }
    let mut stations = std::mem::take(&mut view.fdb);
    let before = view.clone();
    // Not every watcher of the bridge makes an event of it.
    if !revisit_bridge(host, &mut view)? {
        return Ok(None);
    }
    let due = due_ports(&view, parts);
    revisit_ports(host, &mut view, &due)?;
    if parts.rules || !parts.links.is_empty() || view.bridge != before.bridge {
        // Rules name devices, so that one that is new or renamed may be in some.
        look_for_rules(&mut view)?;
    }
    if !due.is_empty() {
        look_for_filters(host, &mut view, |port| due.contains(&port))?;
    }
    let is_changed = view != before;
    // Last: the bridge may still be about to learn what the program saw.
    let has_moved = revisit_stations(host, view.bridge.ifindex, &mut stations, parts)?;
    view.fdb = stations;
    let revisited = |has_moved| Revisited { view, ports: due, is_changed: is_changed || has_moved };
    Ok(has_moved.map(revisited))
}

/// False when it is another kind of bridge by now, or gone, or has another number of watchers: a device on
/// top of it is one, and the bridge has its address, of which no event tells.
fn revisit_bridge(host: &mut Netlink, view: &mut BridgeView) -> Result<bool, NetlinkError> {
    let known = &mut view.bridge;
    let link = host.link_by_index(known.ifindex)?;
    let is_known = |link: &Link| {
        (&link.kind, &link.name, link.promiscuity) == (&known.kind, &known.name, known.promiscuity)
    };
    let Some(link) = link.filter(is_known) else { return Ok(false) };
    *known = link;
    Ok(true)
}

/// The devices that may have become ports, or are ports and may have changed.
fn due_ports(view: &BridgeView, parts: &Parts) -> BTreeSet<Ifindex> {
    // Whatever is here may have become a port, and whatever has an id may be here.
    let here: BTreeSet<Ifindex> = parts.links.iter().map(|(_, ifindex)| *ifindex).collect();
    let leads_there = |link: &&Link| {
        link.peer.is_some_and(|peer| match peer.netns {
            Some(_) => parts.links.contains(&(peer.netns, peer.ifindex)),
            None => here.contains(&peer.ifindex),
        })
    };
    let behind = view.ports.iter().map(|port| &port.link).filter(leads_there);
    let behind = behind.map(|link| link.ifindex);
    let due = here.iter().copied().chain(behind);
    due.filter(|ifindex| *ifindex != view.bridge.ifindex).collect()
}

fn revisit_ports(
    host: &mut Netlink,
    view: &mut BridgeView,
    due: &BTreeSet<Ifindex>,
) -> Result<(), NetlinkError> {
    if due.is_empty() {
        return Ok(());
    }
    let mut ethtool = ethtool()?;
    for ifindex in due {
        let port = observe_port(host, ethtool.as_mut(), view.bridge.ifindex, *ifindex)?;
        let known = view.ports.iter_mut().find(|port| port.link.ifindex == *ifindex);
        match (known, port) {
            (Some(known), Some(port)) => *known = port,
            (None, Some(port)) => view.ports.push(port),
            (Some(_), None) => view.ports.retain(|port| port.link.ifindex != *ifindex),
            (None, None) => {}
        }
    }
    view.ports.sort_by_key(|port| port.link.ifindex);
    Ok(())
}

/// Reads those entries anew that may have changed, and says whether one has. None when this kernel gives
/// out none by itself, or not of that address.
fn revisit_stations(
    host: &mut Netlink,
    bridge: Ifindex,
    stations: &mut Vec<BridgeFdbEntry>,
    parts: &Parts,
) -> Result<Option<bool>, NetlinkError> {
    let of_bridge = parts.stations.iter().filter(|(of, ..)| *of == bridge);
    let due: BTreeSet<(Mac, Vlan)> = of_bridge.map(|(_, mac, vlan)| (*mac, *vlan)).collect();
    if due.is_empty() {
        return Ok(Some(false));
    }
    let is_due = |entry: &mut BridgeFdbEntry| due.contains(&(entry.mac, entry.vlan));
    let mut before: Vec<_> = stations.extract_if(.., is_due).collect();
    if before.iter().any(|entry| entry.port == bridge) {
        // The bridge has addresses from devices on top of it, too, which are listed and never given out alone.
        return Ok(None);
    }
    let mut now = Vec::new();
    for (mac, vlan) in &due {
        match host.bridge_fdb_entry(bridge, *mac, *vlan) {
            Err(error) if error.is_unsupported() => return Ok(None),
            entry => now.extend(entry?),
        }
    }
    before.sort();
    let place = |entry: &BridgeFdbEntry| (entry.mac, entry.vlan, entry.port, entry.kind);
    let is_changed = !before.iter().map(place).eq(now.iter().map(place));
    stations.append(&mut now);
    Ok(Some(is_changed))
}
