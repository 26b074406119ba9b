//! Entries of a bridge's forwarding database.

use veth_common::{Ifindex, Mac, Vlan};

/// What a bridge knows of a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BridgeFdbEntry {
    /// The address.
    pub mac: Mac,
    /// The VLAN in which it has that: a bridge that filters VLANs has an entry for each.
    pub vlan: Vlan,
    /// The port behind which it is; for the bridge's own addresses, the device that has it.
    pub port: Ifindex,
    /// How the bridge came to know it.
    pub kind: FdbKind,
    /// How many milliseconds ago it was last seen, or told of, there.
    pub age_ms: u64,
}

/// How a bridge came to know an address, and whether that can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FdbKind {
    /// The bridge's own address, or a port's: frames to it are for the host.
    Local,
    /// Set by hand. Does not age; moves when the station is seen on another port.
    Static,
    /// Set by hand for good: neither ages nor moves.
    Sticky,
    /// Learned from traffic; ages.
    Learned,
}
