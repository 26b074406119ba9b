//! Making peers fit for XDP, and putting back what was changed.
//!
//! An XDP frame is its bytes and nothing else, so the peer of a port that XDP serves must finish
//! its frames before it sends them; and a veth takes XDP frames only when it polls. What was
//! changed stands in a pinned map from before the change until it is put back.

use std::os::fd::AsFd as _;

use veth_common::{Ifindex, Prepared};

use super::SyncError;
use crate::{
    datapath::{self, PreparedMap},
    forwarding::xdp_needs,
    netlink::{Ethtool, Netlink, NetlinkError},
    netns::{self, Named, Netns},
    plan::Mark,
    topology::FabricName,
    view::{BridgeView, Offloads, PortView, XdpView},
};

/// How many namespaces are held open at a time.
const OPEN_AT_ONCE: usize = 64;

/// Fills in what decides whether XDP can serve the ports of `view`, and changes nothing.
///
/// # Errors
///
/// When the kernel cannot be asked. A peer that cannot be looked at is one that cannot be seen.
pub fn observe_xdp(
    host: &mut Netlink,
    fabric: &FabricName,
    view: &mut BridgeView,
) -> Result<(), SyncError> {
    visit_peers(host, fabric, view, None)
}

/// The same, after making the peers fit. What that changes is added to `prepared` first.
pub(super) fn prepare_peers(
    host: &mut Netlink,
    fabric: &FabricName,
    view: &mut BridgeView,
    prepared: &mut PreparedMap,
) -> Result<(), SyncError> {
    visit_peers(host, fabric, view, Some(prepared))
}

/// Puts back what was changed at the peers of ports that are not to be kept.
///
/// # Errors
///
/// When a peer is there and cannot be changed back, or the record cannot be read or written.
pub fn restore_peers(
    prepared: &mut PreparedMap,
    keep: impl Fn(Ifindex) -> bool,
) -> Result<(), SyncError> {
    let mut records = prepared.read()?;
    records.retain(|(port, _)| !keep(*port));
    if records.is_empty() {
        return Ok(());
    }
    let names = netns::names_by_inode()?;
    for (port, record) in records {
        let Prepared { peer_netns_inode, peer, turned_off, turned_on } = record;
        // A namespace that is gone has taken the peer along.
        if let Some(name) = names.get(&peer_netns_inode)
            && let Named::Namespace(netns) = Netns::look_up(name)?
        {
            let (on, off) = (Offloads::from_bits(turned_off), Offloads::from_bits(turned_on));
            let restore = || -> Result<(), NetlinkError> {
                let link = Netlink::open()?.link_by_index(peer)?;
                // The kernel gives numbers out again, those of namespaces too: what is there now may
                // be the peer of another port, which is as that one needs it.
                let is_of_port =
                    link.and_then(|link| link.peer).is_some_and(|back| back.ifindex == port);
                if is_of_port { Ethtool::open()?.set_offloads(peer, on, off) } else { Ok(()) }
            };
            match netns.run(restore)? {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        prepared.remove(port)?;
    }
    Ok(())
}

/// A peer to look at, and which port of the view is in front of it.
struct Visit {
    index: usize,
    port: Ifindex,
    peer: Ifindex,
    netns_inode: u64,
}

fn visit_peers(
    host: &mut Netlink,
    fabric: &FabricName,
    view: &mut BridgeView,
    mut prepared: Option<&mut PreparedMap>,
) -> Result<(), SyncError> {
    let mtu_limit_bytes = datapath::xdp_mtu_limit_bytes()?;
    for port in &mut view.ports {
        let is_taken = is_taken(fabric, port)?;
        port.xdp = Some(XdpView { is_taken, mtu_limit_bytes, peer_offloads: None });
    }
    let indexes: Vec<usize> = (0..view.ports.len()).collect();
    for chunk in indexes.chunks(OPEN_AT_ONCE) {
        let mut visits = Vec::new();
        for &index in chunk {
            let port = &view.ports[index];
            let Some(peer) = &port.peer else { continue };
            if let Some(netns) = peer_netns(host, port)? {
                let netns_inode = netns.inode()?;
                let visit =
                    Visit { index, port: port.link.ifindex, peer: peer.ifindex, netns_inode };
                visits.push((visit, netns));
            }
        }
        let mut each = visits.iter();
        let seen = netns::visit_all(visits.iter().map(|(_, netns)| netns), |_| {
            let (visit, _) = each.next().expect("one for each namespace");
            look_at(visit, prepared.as_deref_mut())
        });
        for ((visit, _), seen) in visits.iter().zip(seen) {
            if let Some(xdp) = &mut view.ports[visit.index].xdp {
                xdp.peer_offloads = seen.unwrap_or(Ok(None))?;
            }
        }
    }
    Ok(())
}

/// The offloads of a peer, once it is fit when that was asked for; `None` when they cannot be
/// seen or set, which leaves the port to the bridge. Runs in the peer's namespace.
fn look_at(
    visit: &Visit,
    prepared: Option<&mut PreparedMap>,
) -> Result<Option<Offloads>, SyncError> {
    let see = |ethtool: &mut Ethtool| ethtool.offloads(visit.peer).map(|state| state.active);
    let opened = Ethtool::open().and_then(|mut ethtool| Ok((see(&mut ethtool)?, ethtool)));
    let Ok((active, mut ethtool)) = opened else { return Ok(None) };
    let (off, on) = xdp_needs(active);
    let Some(prepared) = prepared.filter(|_| !off.is_empty() || !on.is_empty()) else {
        return Ok(Some(active));
    };
    let record = Prepared {
        peer_netns_inode: visit.netns_inode,
        peer: visit.peer,
        turned_off: off.bits(),
        turned_on: on.bits(),
    };
    prepared.add(visit.port, record)?;
    let changed = ethtool.set_offloads(visit.peer, on, off).and_then(|()| see(&mut ethtool));
    Ok(changed.ok())
}

/// Whether an XDP program hangs on `port` that is none of this fabric's.
fn is_taken(fabric: &FabricName, port: &PortView) -> Result<bool, SyncError> {
    let Some(present) = port.link.xdp_program else { return Ok(false) };
    let ours = datapath::linked_program(fabric.as_str(), port.link.ifindex)?;
    Ok(ours != Some(present))
}

/// The namespace of the port's peer: the one that the port is named after, when the kernel agrees.
fn peer_netns(host: &mut Netlink, port: &PortView) -> Result<Option<Netns>, NetlinkError> {
    let Some(Mark::Port { netns, .. }) = port.link.alias.as_deref().and_then(Mark::parse) else {
        return Ok(None);
    };
    let Ok(Named::Namespace(netns)) = Netns::look_up(netns) else { return Ok(None) };
    let id = host.netns_id(netns.as_fd())?;
    let is_there = id.is_some() && port.link.peer.is_some_and(|peer| peer.netns == id);
    Ok(is_there.then_some(netns))
}
