//! Steps: single changes to a fabric, and how each is taken back.

use std::fmt;

use veth_common::Mac;

use super::{PEER_NAME, PairStep};
use crate::{topology::NetnsName, view::Address};

/// One change to a fabric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the bridge.
    CreateBridge {
        /// Its address.
        mac: Mac,
        /// Its MTU.
        mtu_bytes: u32,
    },
    /// Delete the bridge.
    DeleteBridge,
    /// Give the bridge another MTU.
    SetBridgeMtu {
        /// Present MTU.
        from: u32,
        /// Wanted MTU.
        to: u32,
    },
    /// Set the bridge up.
    RaiseBridge,
    /// Make a namespace, with `lo` up.
    CreateNetns(NetnsName),
    /// Set `lo` of a namespace up.
    RaiseLoopback(NetnsName),
    /// Remove a namespace, or what is left of one.
    RemoveNetns(NetnsName),
    /// Make a veth pair into a namespace, with the port up. Nothing forwards to it yet.
    CreatePair {
        /// The namespace.
        netns: NetnsName,
        /// Address of the port.
        port_mac: Mac,
        /// Address of the peer.
        peer_mac: Mac,
        /// MTU of both.
        mtu_bytes: u32,
    },
    /// Delete the ports of namespaces, and their peers with them. All in one step, because the
    /// kernel waits for its readers once for each deletion, not for each device.
    DeletePairs(Vec<NetnsName>),
    /// Delete a device of the peer's name that belongs to no pair of ours.
    DeleteStrayPeer(NetnsName),
    /// Make the port a port of the bridge, and set it up.
    JoinPort(NetnsName),
    /// Take the port out of the bridge.
    LeavePort(NetnsName),
    /// Give the port another MTU.
    SetPortMtu {
        /// The namespace.
        netns: NetnsName,
        /// Present MTU.
        from: u32,
        /// Wanted MTU.
        to: u32,
    },
    /// Give the peer another MTU.
    SetPeerMtu {
        /// The namespace.
        netns: NetnsName,
        /// Present MTU.
        from: u32,
        /// Wanted MTU.
        to: u32,
    },
    /// Give the peer another address.
    SetPeerMac {
        /// The namespace.
        netns: NetnsName,
        /// Present address.
        from: Mac,
        /// Wanted address.
        to: Mac,
    },
    /// Set the peer up.
    RaisePeer(NetnsName),
    /// Give the peer an IP address.
    AddAddress(NetnsName, Address),
    /// Take an IP address from the peer.
    RemoveAddress(NetnsName, Address),
    /// Something with pairs past the bridge.
    Pair(PairStep),
}

impl Step {
    /// The step that takes this one back, or `None` when there is nothing to take back or it
    /// cannot be: a namespace that is gone does not return with what ran in it.
    pub fn inverse(&self) -> Option<Self> {
        Some(match self.clone() {
            Self::CreateBridge { .. } => Self::DeleteBridge,
            Self::SetBridgeMtu { from, to } => Self::SetBridgeMtu { from: to, to: from },
            Self::CreateNetns(netns) => Self::RemoveNetns(netns),
            Self::CreatePair { netns, .. } => Self::DeletePairs(vec![netns]),
            Self::JoinPort(netns) => Self::LeavePort(netns),
            Self::LeavePort(netns) => Self::JoinPort(netns),
            Self::SetPortMtu { netns, from, to } => Self::SetPortMtu { netns, from: to, to: from },
            Self::SetPeerMtu { netns, from, to } => Self::SetPeerMtu { netns, from: to, to: from },
            Self::SetPeerMac { netns, from, to } => Self::SetPeerMac { netns, from: to, to: from },
            Self::AddAddress(netns, address) => Self::RemoveAddress(netns, address),
            Self::RemoveAddress(netns, address) => Self::AddAddress(netns, address),
            Self::Pair(step) => return step.inverse(),
            // Up is how everything of ours belongs, so there is no way back from that; and what
            // was removed does not return.
            Self::RaiseBridge
            | Self::RaiseLoopback(_)
            | Self::RaisePeer(_)
            | Self::DeleteBridge
            | Self::RemoveNetns(_)
            | Self::DeletePairs(_)
            | Self::DeleteStrayPeer(_) => return None,
        })
    }
}

/// The steps that take `steps` back, in order.
///
/// What was made is removed as a whole, without first taking its parts back one by one: pairs in
/// one step, then their namespaces.
pub fn undo(steps: &[Step]) -> Vec<Step> {
    let made = |wanted: &NetnsName| {
        steps.iter().any(|step| matches!(step, Step::CreatePair { netns, .. } if netns == wanted))
    };
    let mut pairs = Vec::new();
    let mut rest = Vec::new();
    for step in steps.iter().rev().filter_map(Step::inverse) {
        match step {
            Step::DeletePairs(netns) => pairs.extend(netns),
            Step::LeavePort(netns) | Step::RemoveAddress(netns, _) | Step::AddAddress(netns, _)
                if made(&netns) => {}
            Step::Pair(step) if step.goes_with_what(steps) => {}
            step => rest.push(step),
        }
    }
    if !pairs.is_empty() {
        rest.insert(0, Step::DeletePairs(pairs));
    }
    rest
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateBridge { mac, mtu_bytes } => {
                write!(f, "create the bridge ({mac}, MTU {mtu_bytes})")
            }
            Self::DeleteBridge => write!(f, "delete the bridge"),
            Self::SetBridgeMtu { from, to } => {
                write!(f, "change the bridge's MTU from {from} to {to}")
            }
            Self::RaiseBridge => write!(f, "set the bridge up"),
            Self::CreateNetns(netns) => write!(f, "create namespace {netns}"),
            Self::RaiseLoopback(netns) => write!(f, "set lo of {netns} up"),
            Self::RemoveNetns(netns) => write!(f, "remove namespace {netns}"),
            Self::CreatePair { netns, .. } => {
                write!(f, "create veth pair {netns} - {PEER_NAME} in {netns}")
            }
            Self::DeletePairs(netns) => {
                write!(f, "delete ")?;
                match netns.as_slice() {
                    [one] => write!(f, "port {one} and its peer"),
                    [first, .., last] if netns.len() > 3 => {
                        write!(f, "{} ports, {first} to {last}, and their peers", netns.len())
                    }
                    few => {
                        let names: Vec<&str> = few.iter().map(NetnsName::as_str).collect();
                        write!(f, "ports {} and their peers", names.join(", "))
                    }
                }
            }
            Self::DeleteStrayPeer(netns) => write!(f, "delete a stray {PEER_NAME} in {netns}"),
            Self::JoinPort(netns) => write!(f, "make {netns} a port of the bridge"),
            Self::LeavePort(netns) => write!(f, "take {netns} out of the bridge"),
            Self::SetPortMtu { netns, from, to } => {
                write!(f, "change the MTU of port {netns} from {from} to {to}")
            }
            Self::SetPeerMtu { netns, from, to } => {
                write!(f, "change the MTU of {PEER_NAME} in {netns} from {from} to {to}")
            }
            Self::SetPeerMac { netns, from, to } => {
                write!(f, "change the address of {PEER_NAME} in {netns} from {from} to {to}")
            }
            Self::RaisePeer(netns) => write!(f, "set {PEER_NAME} in {netns} up"),
            Self::AddAddress(netns, address) => write!(f, "add {address} to {netns}"),
            Self::RemoveAddress(netns, address) => write!(f, "remove {address} from {netns}"),
            Self::Pair(step) => step.fmt(f),
        }
    }
}
