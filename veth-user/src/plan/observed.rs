//! What was found of a fabric.

use crate::{
    topology::NetnsName,
    view::{Address, Link},
};

/// What was found of a fabric: its bridge, and everything at or behind its members' names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The bridge.
    pub bridge: BridgeState,
    /// The members that are wanted or that were found, in the order in which they were met.
    pub members: Vec<Member>,
}

/// What stands at the bridge's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BridgeState {
    /// Nothing.
    #[default]
    Absent,
    /// Something that is not ours, described.
    Foreign(String),
    /// Our bridge.
    Ours(Link),
}

/// What was found of one member: its namespace and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name: of the namespace, and of the port.
    pub name: NetnsName,
    /// What stands at the namespace's name.
    pub netns: NetnsState,
    /// What stands at the port's name.
    pub port: PortPresence,
}

/// What stands at a namespace's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NetnsState {
    /// Nothing.
    #[default]
    Absent,
    /// Something that is not ours, described.
    Foreign(String),
    /// What an interrupted creation or removal of ours left: a file without a namespace.
    Remains,
    /// Our namespace.
    Ours(Inside),
}

/// What was found inside a namespace of ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// Whether `lo` is up.
    pub lo_up: bool,
    /// The peer, when there is a device of its name.
    pub peer: Option<Link>,
    /// The peer's addresses.
    pub addresses: Vec<Address>,
}

/// What stands at a port's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PortPresence {
    /// Nothing.
    #[default]
    Absent,
    /// Something that is not ours, described.
    Foreign(String),
    /// Our port.
    Ours(Link),
}
