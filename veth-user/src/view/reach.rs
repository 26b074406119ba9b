//! What decides whether an address is reached: the addresses that a namespace has, the neighbours
//! that it has asked for, and the way that it would take.

use std::net::IpAddr;

use veth_common::Ifindex;

use super::Address;

/// An address as it is on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PresentAddress {
    /// The link.
    pub link: Ifindex,
    /// The address.
    pub address: Address,
    /// Whether it means something on that link alone.
    pub is_link_local: bool,
    /// Whether somebody else may have it.
    pub uniqueness: Uniqueness,
}

/// What duplicate address detection (IPv6) has found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uniqueness {
    /// Nobody else has it, or nobody was asked: it is in use.
    Settled,
    /// The others are being asked; until then the address is not used.
    Tentative,
    /// Somebody else has it: the address is not used.
    Duplicate,
}

/// A neighbour that was asked for and has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SilentNeighbour {
    /// Its address.
    pub ip: IpAddr,
    /// The link that it was asked for on.
    pub link: Ifindex,
    /// Whether the kernel has given up; otherwise it still asks.
    pub has_failed: bool,
}

/// What a namespace does with a packet of its own to some destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Hands it to itself: the address is its own.
    Local,
    /// Sends it.
    Out {
        /// Through this link.
        link: Ifindex,
        /// To this router; `None`: to the destination itself.
        gateway: Option<IpAddr>,
        /// From this address.
        source: Option<IpAddr>,
    },
    /// Has a route that says not to (unreachable, blackhole, prohibit).
    Refused,
    /// Has no route.
    Nowhere,
}
