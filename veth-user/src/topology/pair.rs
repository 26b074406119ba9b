//! What one `[[pair]]` entry asks for: a veth pair with both ends where one wants them, past the
//! bridge.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;

use veth_common::Mac;

use super::address::InterfaceAddress;
use super::file::{EndEntry, Field, Item, PairEntry};
use super::group::{self, Group};
use super::name::{DeviceName, FabricName, NetnsName};
use super::problem::{Findings, quote};
use super::route::EndRoute;
use super::sysctl::{Sysctl, SysctlName};
use super::{Namespace, parse_given};

/// What an end is called where the file does not say: `a`, and `b`.
const USUAL_NAMES: [&str; 2] = ["veth0", "veth1"];

/// The interface that leads to the bridge, in namespaces that have a port.
const INSIDE: &str = "eth0";

/// Which end: the namespace it is in, and its name there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndName {
    /// The namespace; `None` for the one that the fabric is in.
    pub netns: Option<NetnsName>,
    /// The name of the device.
    pub ifname: DeviceName,
}

impl fmt::Display for EndName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.netns {
            Some(netns) => write!(f, "{} in {netns}", self.ifname),
            None => write!(f, "{}", self.ifname),
        }
    }
}

/// A veth pair with its two ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    ends: [PairEnd; 2],
}

/// One end of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairEnd {
    name: EndName,
    mac: Mac,
    addresses: Vec<InterfaceAddress>,
    routes: Vec<EndRoute>,
    sysctls: Vec<Sysctl>,
    is_up: bool,
}

impl Pair {
    /// The ends: `a`, then `b`.
    pub const fn ends(&self) -> &[PairEnd; 2] {
        &self.ends
    }

    /// The names of the ends.
    pub fn names(&self) -> [EndName; 2] {
        self.ends.each_ref().map(|end| end.name.clone())
    }
}

impl PairEnd {
    /// Where it is, and what it is called there.
    pub const fn name(&self) -> &EndName {
        &self.name
    }

    /// Its MAC address.
    pub const fn mac(&self) -> Mac {
        self.mac
    }

    /// Its addresses, in the order of the file. There may be none.
    pub fn addresses(&self) -> &[InterfaceAddress] {
        &self.addresses
    }

    /// The routes through it.
    pub fn routes(&self) -> &[EndRoute] {
        &self.routes
    }

    /// Settings of its namespace.
    pub fn sysctls(&self) -> &[Sysctl] {
        &self.sysctls
    }

    /// Whether it is to be up.
    pub const fn is_up(&self) -> bool {
        self.is_up
    }
}

/// A pair as far as it is right by itself.
#[derive(Debug)]
pub(super) struct PairDraft {
    /// Its ends, as far as the file has them.
    pub(super) ends: Vec<EndDraft>,
}

/// An end as far as it is right by itself.
#[derive(Debug)]
pub(super) struct EndDraft {
    /// Where it stands.
    pub(super) path: String,
    /// Its name, if both parts of it are names.
    pub(super) name: Option<EndName>,
    addresses: Vec<Item<InterfaceAddress>>,
    routes: Vec<Item<EndRoute>>,
    sysctls: Vec<Item<Sysctl>>,
    is_up: bool,
}

impl PairDraft {
    pub(super) fn read(entry: PairEntry, findings: &mut Findings) -> Self {
        let ends = entry.ends.into_iter().zip(USUAL_NAMES);
        let draft = Self {
            ends: ends
                .filter_map(|(end, usual)| Some(EndDraft::read(end?, usual, findings)))
                .collect(),
        };
        find_twins(&draft, findings);
        draft
    }

    /// Where an IPv6 address of the pair comes from, if it has one.
    pub(super) fn ipv6_source(&self) -> Option<&str> {
        let mut addresses = self.ends.iter().flat_map(|end| &end.addresses);
        addresses.find(|address| address.value.is_ipv6()).map(|address| &*address.path)
    }

    /// The pair, if both of its ends are right.
    pub(super) fn finish(self, fabric: &FabricName) -> Option<Pair> {
        let ends: Vec<PairEnd> =
            self.ends.into_iter().filter_map(|end| end.finish(fabric)).collect();
        Some(Pair { ends: ends.try_into().ok()? })
    }
}

impl EndDraft {
    fn read(entry: EndEntry, usual: &str, findings: &mut Findings) -> Self {
        let EndEntry { path, netns, ifname, addresses, routes, sysctls, up } = entry;
        let name = read_name(&netns, &ifname, usual, findings);
        let is_up = up.given().is_none_or(|up| up.value);
        let addresses = group::read_addresses(addresses, findings);
        let routes = read_routes(routes, findings);
        if !is_up && let Some(route) = routes.first() {
            findings.add(
                &route.path,
                "leads through an end that is not up; the kernel keeps none such",
            );
        }
        for route in &routes {
            check_gateway(route, &addresses, findings);
        }
        let in_host = matches!(netns, Field::Absent).then_some(name.as_ref()).flatten();
        let sysctls = read_sysctls(sysctls, in_host, findings);
        Self { path, name, addresses, routes, sysctls, is_up }
    }

    fn finish(self, fabric: &FabricName) -> Option<PairEnd> {
        let Self { path: _, name, addresses, routes, sysctls, is_up } = self;
        let name = name?;
        Some(PairEnd {
            mac: fabric.end_mac(&name),
            name,
            addresses: addresses.into_iter().map(|address| address.value).collect(),
            routes: routes.into_iter().map(|route| route.value).collect(),
            sysctls: sysctls.into_iter().map(|sysctl| sysctl.value).collect(),
            is_up,
        })
    }
}

fn read_name(
    netns: &Field<Item<String>>,
    ifname: &Field<Item<String>>,
    usual: &str,
    findings: &mut Findings,
) -> Option<EndName> {
    let in_netns = parse_given(netns, findings);
    let ifname = match ifname {
        Field::Absent => usual.parse().ok(),
        given => parse_given(given, findings),
    };
    if netns.is_present() && in_netns.is_none() {
        return None;
    }
    Some(EndName { netns: in_netns, ifname: ifname? })
}

fn read_routes(routes: Field<Vec<Item<String>>>, findings: &mut Findings) -> Vec<Item<EndRoute>> {
    let items = routes.into_given().unwrap_or_default().into_iter();
    items
        .filter_map(|Item { path, value }| {
            let value = findings.keep(&path, value.parse())?;
            Some(Item { path, value })
        })
        .collect()
}

/// A gateway has to be reached directly, which takes an address in its subnet.
fn check_gateway(
    route: &Item<EndRoute>,
    addresses: &[Item<InterfaceAddress>],
    findings: &mut Findings,
) {
    let Some(gateway) = route.value.gateway else { return };
    if addresses.iter().any(|address| address.value.address() == gateway) {
        findings.add(&route.path, format!("{gateway} is the end's own address, not a gateway's"));
    } else if !addresses.iter().any(|address| address.value.is_neighbour(gateway)) {
        let message = format!("{gateway} is in the subnet of no address of this end");
        findings.add(&route.path, message);
    }
}

/// The settings. An end outside of the fabric's namespaces, `in_host`, has only its own.
fn read_sysctls(
    settings: Vec<(String, Item<String>)>,
    in_host: Option<&EndName>,
    findings: &mut Findings,
) -> Vec<Item<Sysctl>> {
    let mut sysctls: Vec<Item<Sysctl>> = Vec::new();
    for (name, Item { path, value }) in settings {
        let Some(name) = findings.keep(&path, name.parse::<SysctlName>()) else { continue };
        if let Some(end) = in_host
            && name.device() != Some(end.ifname.as_str())
        {
            let message = format!(
                "is no setting of {} alone: outside of its namespaces, a fabric changes nothing that \
                 does not go with it",
                end.ifname
            );
            findings.add(path, message);
            continue;
        }
        if value.contains(['\n', '\0']) {
            findings.add(path, format!("{} is not a value of one line", quote(&value)));
            continue;
        }
        if let Some(other) = sysctls.iter().find(|other| other.value.name == name) {
            findings.add(path, format!("is the same setting as {}", other.path));
            continue;
        }
        let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
        sysctls.push(Item { path, value: Sysctl { name, value } });
    }
    sysctls
}

/// Addresses that a pair has twice.
fn find_twins(pair: &PairDraft, findings: &mut Findings) {
    let mut owners: HashMap<IpAddr, &str> = HashMap::new();
    for item in pair.ends.iter().flat_map(|end| &end.addresses) {
        let address = item.value.address();
        let owner = *owners.entry(address).or_insert(&item.path);
        if owner != item.path {
            findings.add(&item.path, format!("{address} is the address at {owner} too"));
        }
    }
}

/// What is right in each pair and wrong together: names, destinations and settings that are there
/// twice in one namespace.
pub(super) fn find_clashes(
    fabric: Option<&FabricName>,
    groups: &[Group],
    pairs: &[PairDraft],
    findings: &mut Findings,
) {
    // Each name of a member is the port's outside of it, where `eth0` is taken inside.
    let members: HashMap<&str, &Group> = groups
        .iter()
        .flat_map(|group| group.names.iter().map(move |name| (name.as_str(), group)))
        .collect();
    let mut names: HashMap<&EndName, &EndDraft> = HashMap::new();
    let mut routes: HashMap<_, &Item<EndRoute>> = HashMap::new();
    let mut settings: HashMap<_, &Item<Sysctl>> = HashMap::new();
    for end in pairs.iter().flat_map(|pair| &pair.ends) {
        let Some(name) = &end.name else { continue };
        let path = format!("{}.ifname", end.path);
        let owner = *names.entry(name).or_insert(end);
        if !std::ptr::eq(owner, end) {
            findings.add(&path, format!("{name} is at {} too; write another ifname", owner.path));
        }
        let ifname = name.ifname.as_str();
        match &name.netns {
            Some(netns) if ifname == INSIDE && members.contains_key(netns.as_str()) => {
                let message = format!(
                    "\"{INSIDE}\" is the interface of \"{netns}\" that leads to the bridge"
                );
                findings.add(&path, message);
            }
            None if !groups.is_empty() && fabric.is_some_and(|it| it.as_str() == ifname) => {
                findings.add(&path, format!("\"{ifname}\" is the name of the bridge"));
            }
            None => {
                if let Some(group) = members.get(ifname) {
                    let message =
                        format!("\"{ifname}\" is the name of the port of {}.name", group.path);
                    findings.add(&path, message);
                }
            }
            Some(_) => {}
        }
        for item in &end.routes {
            let EndRoute { destination, prefix_len, .. } = item.value;
            let owner = *routes.entry((&name.netns, destination, prefix_len)).or_insert(item);
            if !std::ptr::eq(owner, item) {
                let message =
                    format!("{destination}/{prefix_len} has the route at {} too", owner.path);
                findings.add(&item.path, message);
            }
        }
        for item in &end.sysctls {
            let owner = *settings.entry((&name.netns, &item.value.name)).or_insert(item);
            if owner.value.value != item.value.value {
                let message = format!("has another value at {}", owner.path);
                findings.add(&item.path, message);
            }
        }
    }
}

/// The namespaces that only pairs name, in their order.
pub(super) fn portless(namespaces: &[Namespace], pairs: &[Pair]) -> Vec<NetnsName> {
    let mut portless: Vec<NetnsName> = Vec::new();
    let named = pairs.iter().flat_map(Pair::ends).filter_map(|end| end.name.netns.as_ref());
    let mut seen: std::collections::HashSet<&NetnsName> =
        namespaces.iter().map(Namespace::name).collect();
    for name in named {
        if seen.insert(name) {
            portless.push(name.clone());
        }
    }
    portless
}
