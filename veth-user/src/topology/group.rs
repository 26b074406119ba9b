//! What one `[[netns]]` entry asks for: a namespace, or many of a kind.

use veth_common::MAX_SLOTS;

use super::address::InterfaceAddress;
use super::file::{Field, Item, NetnsEntry};
use super::name::NetnsName;
use super::pool::Pool;
use super::problem::{Findings, quote};

/// How many ports a Linux bridge holds; slot 0 is no port's.
pub(super) const MAX_PORTS: u32 = MAX_SLOTS - 1;

/// What stands for the number in the name of many namespaces.
const NUMBER: &str = "{n}";

/// The namespaces of one entry.
#[derive(Debug)]
pub(super) struct Group {
    /// Where the entry stands.
    pub(super) path: String,
    /// The names, as far as they are right and the bridge has room for their ports.
    pub(super) names: Vec<NetnsName>,
    /// How many namespaces are asked for, if that is known; not more than a `u32` holds.
    pub(super) requested: Option<u32>,
    /// The addresses that are written out.
    pub(super) addresses: Vec<Item<InterfaceAddress>>,
    /// The pools. Each gives an address to each namespace.
    pub(super) pools: Vec<HandOut>,
}

/// A pool, and what the namespaces of a group get from it.
#[derive(Debug)]
pub(super) struct HandOut {
    /// Where the pool stands.
    pub(super) path: String,
    /// The pool.
    pub(super) pool: Pool,
    /// The addresses, in the order of the names.
    pub(super) addresses: Vec<InterfaceAddress>,
}

impl Group {
    /// Reads what `entry` asks for. Names are only counted up to `room`, which shrinks with them.
    pub(super) fn read(entry: NetnsEntry, room: &mut u32, findings: &mut Findings) -> Self {
        let requested = read_count(&entry.count, findings);
        let names = read_names(&entry, requested, room, findings);
        if entry.addresses.is_present() && entry.count.is_present() {
            let message = "cannot be the same in many namespaces; write a pool instead";
            findings.add(format!("{}.addresses", entry.path), message);
        }
        if entry.addresses.is_present() && entry.pool.is_present() {
            let message = "cannot stand beside addresses; write one of the two";
            findings.add(format!("{}.pool", entry.path), message);
        }
        let addresses = read_addresses(entry.addresses, findings);
        let pools = read_pools(&entry.path, entry.pool, requested, names.len(), findings);
        Self { path: entry.path, names, requested, addresses, pools }
    }

    /// Where an IPv6 address of the group comes from, if it has one.
    pub(super) fn ipv6_source(&self) -> Option<&str> {
        let written = self.addresses.iter().find(|address| address.value.is_ipv6());
        let handed_out = self.pools.iter().find(|hand_out| hand_out.pool.is_ipv6());
        written.map(|address| &*address.path).or(handed_out.map(|hand_out| &*hand_out.path))
    }
}

/// The number of namespaces; `None` if what the file says is no number of namespaces.
fn read_count(count: &Field<Item<i64>>, findings: &mut Findings) -> Option<u32> {
    let Item { path, value } = match count {
        Field::Absent => return Some(1),
        Field::Wrong => return None,
        Field::Given(count) => count,
    };
    if *value < 1 {
        findings.add(path, format!("{value} is no number of namespaces; the least is 1"));
        return None;
    }
    if *value > i64::from(MAX_PORTS) {
        let message = format!(
            "{value} namespaces are too many: each needs a port, and a Linux bridge holds \
             {MAX_PORTS}"
        );
        findings.add(path, message);
    }
    Some(u32::try_from(*value).unwrap_or(u32::MAX))
}

/// The names of the namespaces; fewer than asked for, or none, if there are problems with them.
fn read_names(
    entry: &NetnsEntry,
    requested: Option<u32>,
    room: &mut u32,
    findings: &mut Findings,
) -> Vec<NetnsName> {
    let Some(Item { path, value: template }) = entry.name.given() else { return Vec::new() };
    let nth = |n: u32| template.replace(NUMBER, &n.to_string()).parse::<NetnsName>();

    let is_numbered = template.contains(NUMBER);
    if is_numbered && !entry.count.is_present() {
        let message =
            format!("{} has a {NUMBER}, but there is no count to number by", quote(template));
        findings.add(path, message);
        findings.keep(path, nth(1));
        return Vec::new();
    }
    if !is_numbered && entry.count.is_present() {
        let message = format!(
            "{} is one name, but count makes many: put {NUMBER} where the number goes",
            quote(template)
        );
        findings.add(path, message);
    }
    if !is_numbered {
        return findings.keep(path, nth(1)).into_iter().collect();
    }

    // The longest name is the last one, and otherwise they are all as right as the first.
    let last = requested.unwrap_or(1).min(MAX_PORTS);
    if findings.keep(path, nth(1).and(nth(last))).is_none() {
        return Vec::new();
    }
    let count = requested.unwrap_or(0).min(*room);
    *room -= count;
    (1..=count).flat_map(nth).collect()
}

pub(super) fn read_addresses(
    addresses: Field<Vec<Item<String>>>,
    findings: &mut Findings,
) -> Vec<Item<InterfaceAddress>> {
    let Field::Given(addresses) = addresses else { return Vec::new() };
    addresses
        .into_iter()
        .filter_map(|Item { path, value }| {
            let value = findings.keep(&path, value.parse())?;
            Some(Item { path, value })
        })
        .collect()
}

fn read_pools(
    entry_path: &str,
    pools: Field<Vec<Item<String>>>,
    requested: Option<u32>,
    names: usize,
    findings: &mut Findings,
) -> Vec<HandOut> {
    let Field::Given(pools) = pools else { return Vec::new() };
    if pools.is_empty() {
        findings.add(
            format!("{entry_path}.pool"),
            "is empty; name a pool, or leave the key out for namespaces without addresses",
        );
    }
    // Without a name there is nobody to hand an address to, but the pool is looked at all the same.
    let count = u32::try_from(names).unwrap_or(u32::MAX).clamp(1, MAX_PORTS);
    pools
        .into_iter()
        .filter_map(|Item { path, value }| {
            let pool: Pool = findings.keep(&path, value.parse())?;
            if let Some(requested) = requested
                && pool.capacity() < requested.into()
            {
                let message = format!(
                    "\"{pool}\" runs out: it has {} for hosts, and {requested} are asked for",
                    pool.capacity()
                );
                findings.add(&path, message);
            }
            let addresses = findings.keep(&path, pool.addresses(count).collect())?;
            Some(HandOut { path, pool, addresses })
        })
        .collect()
}
