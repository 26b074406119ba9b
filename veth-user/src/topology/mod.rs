//! Topologies: what a fabric is to look like, read from the text of a TOML file.
//!
//! A [`Topology`] only comes out of [`Topology::parse`], so whoever holds one may trust it: names
//! are names that devices can have, no name, address or MAC address is there twice, and the bridge
//! has a port for every namespace of `[[netns]]`. All that is wrong with a file is reported at once, each
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
mod pair;
mod pool;
mod problem;
mod route;
mod sysctl;
#[cfg(test)]
mod tests;

use std::str::FromStr;

use veth_common::Mac;

pub use address::{AddressError, AddressFault, InterfaceAddress};
pub use datapath::{DatapathError, DatapathKind};
pub use mtu::{Mtu, MtuError};
pub use name::{DeviceName, FabricName, NameError, NetnsName};
pub use pair::{EndName, Pair, PairEnd};
pub use problem::{Problem, Problems};
pub use route::{EndRoute, RouteError};
pub use sysctl::{Sysctl, SysctlError, SysctlName};

use file::{Field, Item, TopologyFile};
use group::{Group, MAX_PORTS};
use identity::Role;
use pair::PairDraft;
use problem::Findings;

/// A fabric as it is to be: a bridge, the namespaces behind its ports, and pairs past the bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topology {
    name: FabricName,
    bridge_mac: Mac,
    datapath: DatapathKind,
    mtu: Mtu,
    namespaces: Vec<Namespace>,
    portless: Vec<NetnsName>,
    pairs: Vec<Pair>,
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

    /// Whether there is a bridge: pairs alone need none.
    pub const fn has_bridge(&self) -> bool {
        !self.namespaces.is_empty()
    }

    /// What forwards frames between the ports; nothing where there is no bridge.
    pub const fn datapath(&self) -> DatapathKind {
        if self.has_bridge() { self.datapath } else { DatapathKind::None }
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

    /// The namespaces of `[[netns]]` in the order of the file, each with a port. There is at least
    /// one of them, or a pair.
    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    /// The namespaces that only pairs name, in the order of the file. They have no port.
    pub fn portless(&self) -> &[NetnsName] {
        &self.portless
    }

    /// The pairs of `[[pair]]` in the order of the file.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
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

    if matches!((&file.netns, &file.pairs), (Field::Wrong, _) | (_, Field::Wrong)) {
        return None;
    }
    let entries = file.netns.into_given().unwrap_or_default();
    let pairs = file.pairs.into_given().unwrap_or_default();
    if entries.is_empty() && pairs.is_empty() {
        findings.add("netns", "a fabric needs at least one [[netns]] or [[pair]]");
        return None;
    }
    if let Some(datapath) = file.datapath.given()
        && entries.is_empty()
        && datapath.value != "none"
    {
        let message =
            "needs a bridge to work for, and without a [[netns]] there is none; leave it out";
        findings.add(&datapath.path, message);
    }
    let mut room = MAX_PORTS;
    let groups: Vec<Group> =
        entries.into_iter().map(|entry| Group::read(entry, &mut room, findings)).collect();
    let pairs: Vec<PairDraft> =
        pairs.into_iter().map(|entry| PairDraft::read(entry, findings)).collect();

    clash::find_mtu(mtu, &groups, &pairs, findings);
    clash::find_too_many(&groups, findings);
    clash::find_names(name.as_ref(), &groups, findings);
    clash::find_addresses(&groups, findings);
    pair::find_clashes(name.as_ref(), &groups, &pairs, findings);
    let name = name?;
    clash::find_macs(&name, &groups, &pairs, findings);

    let namespaces: Vec<Namespace> =
        groups.into_iter().flat_map(|group| namespaces(&name, group)).collect();
    let pairs: Vec<Pair> = pairs.into_iter().filter_map(|pair| pair.finish(&name)).collect();
    Some(Topology {
        bridge_mac: identity::mac(&name, Role::Bridge),
        portless: pair::portless(&namespaces, &pairs),
        namespaces,
        pairs,
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
