//! What was found of a fabric.

use std::collections::BTreeMap;

use crate::{
    topology::{EndName, EndRoute, NetnsName, SysctlName},
    view::{Address, Link},
};

/// What was found of a fabric: its bridge, and everything at or behind its members' names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The bridge.
    pub bridge: BridgeState,
    /// The members that are wanted or that were found, in the order in which they were met.
    pub members: Vec<Member>,
    /// What stands at the names of wanted ends of pairs, and what bears the mark of one.
    pub ends: Vec<FoundEnd>,
    /// The values of wanted settings, by namespace; those that can be read.
    pub sysctls: BTreeMap<(Option<NetnsName>, SysctlName), String>,
}

impl Observed {
    /// What was found of the member called `name`.
    pub fn member(&self, name: &NetnsName) -> Option<&Member> {
        self.members.iter().find(|member| member.name == *name)
    }
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
    /// Whether its mark says that it is there for pairs alone.
    pub is_portless: bool,
    /// The peer, when there is a device of its name that is no end of ours.
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

/// A device at the name of an end, or with the mark of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundEnd {
    /// Where it was found, and its name there.
    pub name: EndName,
    /// Whose it is.
    pub claim: EndClaim,
    /// The device.
    pub link: Link,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// The routes through it that are ours.
    pub routes: Vec<EndRoute>,
    /// Whether frames get through: both ends are up.
    pub has_carrier: bool,
}

/// Whose a device at the name of an end is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndClaim {
    /// Somebody else's, described.
    Foreign(String),
    /// Ours by its address, without a mark: what an interrupted creation left.
    Unmarked,
    /// Ours; the mark says which end it was made as, and which its other end was.
    Marked([EndName; 2]),
}
