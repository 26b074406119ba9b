//! Topologies: what a fabric is to look like, read from the text of a TOML file.
//!
//! A [`Topology`] only comes out of [`Topology::parse`], so whoever holds one may trust it: names
//! are names that devices can have, no name, address or MAC address is there twice, and the bridge
//! has a port for every namespace. All that is wrong with a file is reported at once, each
//! [`Problem`] with the path of its key.
//!
//! This module does no I/O. Reading the file is left to the front end, and what has to be done
//! to the kernel follows from the topology elsewhere.

mod address;
#[cfg(test)]
mod arbitrary;
mod clash;
mod datapath;
mod file;
mod group;
mod identity;
mod mtu;
mod name;
mod pool;
mod problem;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use veth_common::Mac;

pub use address::{AddressError, AddressFault, InterfaceAddress};
pub use datapath::{DatapathError, DatapathKind};
pub use mtu::{Mtu, MtuError};
pub use name::{FabricName, NameError, NetnsName};
pub use problem::{Problem, Problems};

use file::{Field, Item, TopologyFile};
use group::{Group, MAX_PORTS};
use identity::Role;
use problem::Findings;

/// A fabric as it is to be: a bridge, and the namespaces behind its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    name: FabricName,
    bridge_mac: Mac,
    datapath: DatapathKind,
    mtu: Mtu,
    namespaces: Vec<Namespace>,
}

/// A network namespace of a fabric, with the veth pair that leads into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    name: NetnsName,
    addresses: Vec<InterfaceAddress>,
    mac: Mac,
    port_mac: Mac,
}

impl Topology {
    /// Reads the text of a topology file, or says everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let mut findings = Findings::default();
        let topology =
            TopologyFile::read(text, &mut findings).and_then(|file| check(file, &mut findings));
        Problems::of(topology, findings)
    }

    /// Name of the fabric and of its bridge.
    pub const fn name(&self) -> &FabricName {
        &self.name
    }

    /// MAC address of the bridge.
    pub const fn bridge_mac(&self) -> Mac {
        self.bridge_mac
    }

    /// What forwards frames between the ports.
    pub const fn datapath(&self) -> DatapathKind {
        self.datapath
    }

    /// The same with another datapath.
    #[must_use]
    pub fn with_datapath(self, datapath: DatapathKind) -> Self {
        Self { datapath, ..self }
    }

    /// MTU of all devices of the fabric.
    pub const fn mtu(&self) -> Mtu {
        self.mtu
    }

    /// The namespaces in the order of the file. There is at least one.
    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }
}

impl FromStr for Topology {
    type Err = Problems;

    fn from_str(text: &str) -> Result<Self, Problems> {
        Self::parse(text)
    }
}

impl Namespace {
    /// Name of the namespace, and of its port outside of it.
    pub const fn name(&self) -> &NetnsName {
        &self.name
    }

    /// Addresses of `eth0` inside, in the order of the file. There may be none.
    pub fn addresses(&self) -> &[InterfaceAddress] {
        &self.addresses
    }

    /// MAC address of `eth0` inside.
    pub const fn mac(&self) -> Mac {
        self.mac
    }

    /// MAC address of the port outside.
    pub const fn port_mac(&self) -> Mac {
        self.port_mac
    }
}

/// Checks what the values of `file` mean. What comes out is only right if nothing was found.
fn check(file: TopologyFile, findings: &mut Findings) -> Option<Topology> {
    let name: Option<FabricName> = parse_given(&file.name, findings);
    let datapath = parse_given(&file.datapath, findings).unwrap_or_default();
    let mtu = file.mtu.given().and_then(|mtu| findings.keep(&mtu.path, Mtu::try_from(mtu.value)));
    let mtu = mtu.unwrap_or_default();

    let entries = match file.netns {
        Field::Given(entries) if !entries.is_empty() => entries,
        Field::Given(_) | Field::Absent => {
            findings.add("netns", "a fabric needs at least one [[netns]]");
            return None;
        }
        Field::Wrong => return None,
    };
    let mut room = MAX_PORTS;
    let groups: Vec<Group> =
        entries.into_iter().map(|entry| Group::read(entry, &mut room, findings)).collect();

    clash::find_mtu(mtu, &groups, findings);
    clash::find_too_many(&groups, findings);
    clash::find_names(name.as_ref(), &groups, findings);
    clash::find_addresses(&groups, findings);
    let name = name?;
    clash::find_macs(&name, &groups, findings);

    Some(Topology {
        bridge_mac: identity::mac(&name, Role::Bridge),
        namespaces: groups.into_iter().flat_map(|group| namespaces(&name, group)).collect(),
        name,
        datapath,
        mtu,
    })
}

/// The value of a key, if it has one that can be read.
fn parse_given<T>(field: &Field<Item<String>>, findings: &mut Findings) -> Option<T>
where
    T: FromStr<Err: std::fmt::Display>,
{
    let Item { path, value } = field.given()?;
    findings.keep(path, value.parse())
}

/// The namespaces of `group`, each with its share of the pools.
fn namespaces(fabric: &FabricName, group: Group) -> impl Iterator<Item = Namespace> {
    let Group { path: _, names, requested: _, addresses, pools } = group;
    names.into_iter().enumerate().map(move |(index, name)| Namespace {
        addresses: addresses
            .iter()
            .map(|address| address.value)
            .chain(pools.iter().filter_map(|pool| pool.addresses.get(index).copied()))
            .collect(),
        mac: identity::mac(fabric, Role::Inside(&name)),
        port_mac: identity::mac(fabric, Role::Port(&name)),
        name,
    })
}
