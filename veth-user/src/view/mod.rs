//! Kernel objects as plain data: links with their offloads and counters, addresses, routes and
//! forwarding entries.
//!
//! The kernel edges fill these in, pure code decides on them. They say what *is*; what *is to
//! be* comes from a [`Topology`](crate::topology::Topology).

mod address;
mod bypass;
mod chain;
mod fdb;
mod link;
mod offloads;
mod reach;
mod route;
mod statistics;
mod vlan;

pub use address::Address;
pub use bypass::{Bypass, Bypasses, UnknownBypass};
pub use chain::{BaseChain, FilterHook};
pub use fdb::{BridgeFdbEntry, FdbKind};
pub use link::{BridgePort, Link, LinkKind, NetnsId, PeerRef, PortState};
pub use offloads::{Offload, OffloadState, Offloads};
pub use reach::{PresentAddress, SilentNeighbour, Uniqueness, Way};
pub use route::{NextHop, Route};
pub use statistics::{DirectionStatistics, LinkStatistics};
pub use vlan::{Pvid, VlanFiltering};

use std::collections::BTreeMap;

use veth_common::{Ifindex, Vlan};

/// A bridge and everything that decides what it does with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeView {
    /// The bridge itself.
    pub bridge: Link,
    /// Its ports, by ifindex.
    pub ports: Vec<PortView>,
    /// Its forwarding entries.
    pub fdb: Vec<BridgeFdbEntry>,
    /// In which VLAN untagged frames from its ports are; a port that is not in here drops them. `None`
    /// unless that was looked at.
    pub pvids: Option<BTreeMap<Ifindex, Pvid>>,
    /// What a fast path between any of its ports would pass by; empty unless that was looked for.
    pub bypassed: Bypasses,
    /// What the user lets it pass by.
    pub allowed: Bypasses,
}

impl BridgeView {
    /// The VLAN that untagged frames from `port` are in; none where VLANs are not filtered.
    pub fn vlan_of(&self, port: Ifindex) -> Vlan {
        let pvid = self.pvids.as_ref().filter(|_| self.filters_vlans());
        pvid.and_then(|pvids| pvids.get(&port)).map_or(Vlan::NONE, |pvid| pvid.vlan)
    }

    /// The entries by which the bridge forwards now: those of VLANs when it filters them, those of none
    /// when it does not. It keeps others from before that was changed, until they age.
    pub fn entries_in_use(&self) -> impl Iterator<Item = &BridgeFdbEntry> {
        let filters_vlans = self.filters_vlans();
        self.fdb.iter().filter(move |entry| (entry.vlan != Vlan::NONE) == filters_vlans)
    }

    /// Whether the bridge filters VLANs, however it does.
    pub fn filters_vlans(&self) -> bool {
        match self.bridge.kind {
            LinkKind::Bridge { vlan_filtering, .. } => vlan_filtering != VlanFiltering::Off,
            _ => false,
        }
    }
}

/// A port of a bridge, with its far end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortView {
    /// The device in the bridge.
    pub link: Link,
    /// The other end of the veth pair, where there is one.
    pub peer: Option<Link>,
    /// Whether the other end is a port of a bridge as well, in this very namespace.
    pub is_between_bridges: bool,
    /// Offloads that the device could do and does not, so that the kernel does their work on what the
    /// bridge sends through it; `None` when they cannot be seen.
    pub unused_offloads: Option<Offloads>,
    /// What decides whether XDP can serve it; `None` unless that was looked at.
    pub xdp: Option<XdpView>,
    /// What a fast path from or to this port would pass by; empty unless that was looked for.
    pub bypassed: Bypasses,
}

/// What decides whether XDP can serve a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct XdpView {
    /// An XDP program of somebody else is attached to the port.
    pub is_taken: bool,
    /// The largest MTU in bytes that the peer may have; `None`: any.
    pub mtu_limit_bytes: Option<u32>,
    /// Offloads of the peer that are on; `None` when they cannot be seen.
    pub peer_offloads: Option<Offloads>,
}
