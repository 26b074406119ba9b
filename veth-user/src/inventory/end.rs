//! Ends of pairs, as they were found.

use serde::Serialize;

use super::Namespace;
use crate::view::{Address, Link, LinkKind, PeerRef};

/// What was seen in one namespace.
#[derive(Debug)]
pub struct Survey {
    /// The namespace.
    pub namespace: Namespace,
    /// The ends in it, or why they could not be looked at.
    pub ends: Result<Vec<End>, String>,
}

/// Kinds of pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PairKind {
    /// Two Ethernet devices, each of which receives what the other one sends.
    Veth,
    /// The same with BPF programs in place of the transmission (Linux 6.7).
    Netkit,
}

impl PairKind {
    /// The kind of pair that a link of this kind is an end of, if it is one.
    pub fn of(kind: &LinkKind) -> Option<Self> {
        match kind {
            LinkKind::Veth => Some(Self::Veth),
            LinkKind::Other(name) if name == "netkit" => Some(Self::Netkit),
            LinkKind::Bridge { .. } | LinkKind::Other(_) => None,
        }
    }
}

/// One end of a pair.
#[derive(Clone, Debug)]
pub struct End {
    /// What it is an end of.
    pub kind: PairKind,
    /// The device.
    pub link: Link,
    /// The other end, as this one names it.
    pub peer: PeerRef,
    /// The other end, where it is in another namespace and the kernel showed it from here.
    pub far: Option<Link>,
    /// Name of the bridge, or of another controller, that it is a port of.
    pub bridge: Option<String>,
    /// Its addresses, except for link-local ones.
    pub addresses: Vec<Address>,
}
