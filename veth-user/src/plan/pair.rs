//! Steps with pairs past the bridge, and how each is taken back.

use std::fmt;

use veth_common::Mac;

use super::{FoundEnd, Step};
use crate::{
    topology::{DeviceName, EndName, EndRoute, NetnsName, SysctlName},
    view::Address,
};

/// One change to the pairs of a fabric, or to what they are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PairStep {
    /// Have the mark of the bridge say that there are pairs.
    Announce,
    /// Make a namespace without a port, with `lo` up.
    CreateNetns(NetnsName),
    /// Have the mark of a namespace say whether it is without a port.
    MarkNetns {
        /// The namespace.
        netns: NetnsName,
        /// Whether it is.
        is_portless: bool,
    },
    /// Make a pair, with both ends down.
    Create {
        /// The names of the ends.
        ends: [EndName; 2],
        /// Their addresses.
        macs: [Mac; 2],
        /// MTU of both.
        mtu_bytes: u32,
    },
    /// Delete pairs that have an end in one namespace.
    Delete {
        /// The namespace.
        netns: Option<NetnsName>,
        /// Those ends.
        ifnames: Vec<DeviceName>,
    },
    /// Delete a pair that is whole, for something else needs a name that it has.
    TakeAway(Box<[FoundEnd; 2]>),
    /// Make such a pair again, as it was: with its addresses and routes, and up if it was. Settings
    /// of its ends that nobody asked for are not known, and are those of a new device.
    PutBack(Box<[FoundEnd; 2]>),
    /// Give an end another MTU.
    SetMtu {
        /// The end.
        end: EndName,
        /// Present MTU.
        from: u32,
        /// Wanted MTU.
        to: u32,
    },
    /// Give an end another MAC address.
    SetMac {
        /// The end.
        end: EndName,
        /// Present address.
        from: Mac,
        /// Wanted address.
        to: Mac,
    },
    /// Change a setting.
    SetSysctl {
        /// Whose.
        netns: Option<NetnsName>,
        /// Which.
        name: SysctlName,
        /// Present value; `None` where the setting comes with what is made, or cannot be read.
        from: Option<String>,
        /// Wanted value.
        to: String,
    },
    /// Give an end an IP address.
    AddAddress(EndName, Address),
    /// Take an IP address from an end.
    RemoveAddress(EndName, Address),
    /// Set an end up.
    Raise(EndName),
    /// Set an end down.
    Lower(EndName),
    /// Add a route through an end.
    AddRoute(EndName, EndRoute),
    /// Remove a route through an end.
    RemoveRoute(EndName, EndRoute),
}

impl PairStep {
    /// The step that takes this one back, or `None` when there is nothing to take back or it
    /// cannot be.
    pub(super) fn inverse(self) -> Option<Step> {
        Some(Step::Pair(match self {
            Self::CreateNetns(netns) => return Some(Step::RemoveNetns(netns)),
            Self::MarkNetns { netns, is_portless } => {
                Self::MarkNetns { netns, is_portless: !is_portless }
            }
            Self::Create { ends: [EndName { netns, ifname }, _], .. } => {
                Self::Delete { netns, ifnames: vec![ifname] }
            }
            Self::TakeAway(ends) => Self::PutBack(ends),
            Self::PutBack(ends) => Self::TakeAway(ends),
            Self::SetMtu { end, from, to } => Self::SetMtu { end, from: to, to: from },
            Self::SetMac { end, from, to } => Self::SetMac { end, from: to, to: from },
            Self::SetSysctl { netns, name, from: Some(from), to } => {
                Self::SetSysctl { netns, name, from: Some(to), to: from }
            }
            Self::AddAddress(end, address) => Self::RemoveAddress(end, address),
            Self::RemoveAddress(end, address) => Self::AddAddress(end, address),
            Self::Raise(end) => Self::Lower(end),
            Self::Lower(end) => Self::Raise(end),
            Self::AddRoute(end, route) => Self::RemoveRoute(end, route),
            Self::RemoveRoute(end, route) => Self::AddRoute(end, route),
            // A mark that says too much does no harm.
            Self::Announce | Self::Delete { .. } | Self::SetSysctl { from: None, .. } => {
                return None;
            }
        }))
    }

    /// Whether the inverse of `steps` needs no step like this, because what it changes goes.
    pub(super) fn goes_with_what(&self, steps: &[Step]) -> bool {
        let (Self::SetMtu { end, .. }
        | Self::SetMac { end, .. }
        | Self::AddAddress(end, _)
        | Self::RemoveAddress(end, _)
        | Self::Raise(end)
        | Self::Lower(end)
        | Self::AddRoute(end, _)
        | Self::RemoveRoute(end, _)) = self
        else {
            return false;
        };
        steps
            .iter()
            .any(|step| matches!(step, Step::Pair(Self::Create { ends, .. }) if ends.contains(end)))
    }
}

impl fmt::Display for PairStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Announce => write!(f, "note at the bridge that there are pairs"),
            Self::CreateNetns(netns) => write!(f, "create namespace {netns}, without a port"),
            Self::MarkNetns { netns, is_portless: true } => {
                write!(f, "note that namespace {netns} is without a port")
            }
            Self::MarkNetns { netns, is_portless: false } => {
                write!(f, "note that namespace {netns} has a port")
            }
            Self::Create { ends: [a, b], .. } => write!(f, "create veth pair {a} - {b}"),
            Self::Delete { netns, ifnames } => {
                let place = Place(netns.as_ref());
                match ifnames.as_slice() {
                    [one] => write!(f, "delete the veth pair of {one}{place}"),
                    [first, .., last] if ifnames.len() > 3 => {
                        let count = ifnames.len();
                        write!(f, "delete the {count} veth pairs of {first} to {last}{place}")
                    }
                    few => {
                        let names: Vec<&str> = few.iter().map(DeviceName::as_str).collect();
                        write!(f, "delete the veth pairs of {}{place}", names.join(", "))
                    }
                }
            }
            Self::TakeAway(ends) => {
                let [a, b] = ends.each_ref().map(|end| &end.name);
                write!(f, "delete veth pair {a} - {b}, which is in the way")
            }
            Self::PutBack(ends) => {
                let [a, b] = ends.each_ref().map(|end| &end.name);
                write!(f, "create veth pair {a} - {b} as it was")
            }
            Self::SetMtu { end, from, to } => {
                write!(f, "change the MTU of {end} from {from} to {to}")
            }
            Self::SetMac { end, from, to } => {
                write!(f, "change the address of {end} from {from} to {to}")
            }
            Self::SetSysctl { netns, name, from, to } => {
                write!(f, "set {name}{} to {to}", Place(netns.as_ref()))?;
                from.as_ref().map_or(Ok(()), |from| write!(f, " (from {from})"))
            }
            Self::AddAddress(end, address) => write!(f, "add {address} to {end}"),
            Self::RemoveAddress(end, address) => write!(f, "remove {address} from {end}"),
            Self::Raise(end) => write!(f, "set {end} up"),
            Self::Lower(end) => write!(f, "set {end} down"),
            Self::AddRoute(end, route) => write!(f, "add route {route} to {end}"),
            Self::RemoveRoute(end, route) => write!(f, "remove route {route} from {end}"),
        }
    }
}

/// Where something is, unless it is where the fabric is.
struct Place<'a>(Option<&'a NetnsName>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |netns| write!(f, " in {netns}"))
    }
}
