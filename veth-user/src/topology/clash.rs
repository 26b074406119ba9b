//! What is right by itself and wrong together: names, addresses and pools that get in each
//! other's way.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use veth_common::Mac;

use super::group::{Group, HandOut, MAX_PORTS};
use super::identity::{self, Role};
use super::mtu::Mtu;
use super::name::{FabricName, NetnsName};
use super::pair::PairDraft;
use super::problem::Findings;

/// More namespaces than the bridge has ports. An entry that is too much alone is known already.
pub(super) fn find_too_many(groups: &[Group], findings: &mut Findings) {
    let counts = || groups.iter().filter_map(|group| group.requested);
    let total: u64 = counts().map(u64::from).sum();
    if total > MAX_PORTS.into() && counts().all(|count| count <= MAX_PORTS) {
        let message = format!(
            "{total} namespaces in total are too many: each needs a port, and a Linux bridge \
             holds {MAX_PORTS}"
        );
        findings.add("netns", message);
    }
}

/// Namespaces with one name, or with the name of the bridge, beside which their port stands.
pub(super) fn find_names(fabric: Option<&FabricName>, groups: &[Group], findings: &mut Findings) {
    let mut owners: HashMap<&str, usize> = HashMap::new();
    for (index, group) in groups.iter().enumerate() {
        // Two groups may have hundreds of names in common, which is one problem.
        let mut common: BTreeMap<usize, (&NetnsName, usize)> = BTreeMap::new();
        for name in &group.names {
            if fabric.is_some_and(|fabric| fabric.as_str() == name.as_str()) {
                let message = format!(
                    "\"{name}\" is the name of the fabric too; the port and the bridge stand \
                     side by side and need two names"
                );
                findings.add(format!("{}.name", group.path), message);
            }
            let owner = *owners.entry(name.as_str()).or_insert(index);
            if owner != index {
                common.entry(owner).or_insert((name, 0)).1 += 1;
            }
        }
        for (owner, (name, count)) in common {
            let more = if count > 1 { format!(", and {} more", count - 1) } else { String::new() };
            findings.add(
                format!("{}.name", group.path),
                format!("\"{name}\" is a name from {}.name too{more}", groups[owner].path),
            );
        }
    }
}

/// Addresses that are there twice, or that a pool hands out too; pools that overlap.
pub(super) fn find_addresses(groups: &[Group], findings: &mut Findings) {
    find_overlaps(groups, findings);
    let ranges: Vec<_> = groups
        .iter()
        .flat_map(|group| group.pools.iter().map(|pool| (pool, group.requested.unwrap_or(1))))
        .map(|(hand_out, count)| (&hand_out.path, hand_out.pool.handed_out(count)))
        .collect();
    let mut owners: HashMap<IpAddr, &str> = HashMap::new();
    for item in groups.iter().flat_map(|group| &group.addresses) {
        let address = item.value.address();
        let owner = *owners.entry(address).or_insert(&item.path);
        if owner != item.path {
            findings.add(&item.path, format!("{address} is the address at {owner} too"));
        }
        if let Some((pool, range)) = ranges.iter().find(|(_, range)| range.contains(address)) {
            findings.add(&item.path, format!("{address} is handed out by {pool} too ({range})"));
        }
    }
}

/// Pools that overlap. Each is held against those before it, and one problem for each is enough.
fn find_overlaps(groups: &[Group], findings: &mut Findings) {
    let pools: Vec<&HandOut> = groups.iter().flat_map(|group| &group.pools).collect();
    for (index, this) in pools.iter().enumerate() {
        if let Some(other) = pools[..index].iter().find(|other| other.pool.overlaps(this.pool)) {
            let message =
                format!("\"{}\" overlaps with \"{}\" at {}", this.pool, other.pool, other.path);
            findings.add(&this.path, message);
        }
    }
}

/// An MTU with which the kernel switches IPv6 off, and IPv6 addresses.
pub(super) fn find_mtu(mtu: Mtu, groups: &[Group], pairs: &[PairDraft], findings: &mut Findings) {
    let source = || {
        let of_group = groups.iter().find_map(Group::ipv6_source);
        of_group.or_else(|| pairs.iter().find_map(PairDraft::ipv6_source))
    };
    if mtu < Mtu::MIN_IPV6
        && let Some(source) = source()
    {
        let message = format!(
            "{mtu} is too small for IPv6, which needs {} bytes and is asked for by {source}",
            Mtu::MIN_IPV6
        );
        findings.add("mtu", message);
    }
}

/// MAC addresses that two devices would have.
pub(super) fn find_macs(
    fabric: &FabricName,
    groups: &[Group],
    pairs: &[PairDraft],
    findings: &mut Findings,
) {
    let mut owners: HashMap<Mac, Role<'_>> =
        HashMap::from([(identity::mac(fabric, Role::Bridge), Role::Bridge)]);
    let mut hold = |path: String, role| {
        let mac = identity::mac(fabric, role);
        let owner = *owners.entry(mac).or_insert(role);
        if owner != role {
            findings.add(
                path,
                format!(
                    "{role} would have the MAC address of {owner} ({mac}), because it follows from \
                     the names; rename one of them"
                ),
            );
        }
    };
    let mut seen: HashSet<&NetnsName> = HashSet::new();
    for group in groups {
        // A name that is there twice is a problem of its own.
        for name in group.names.iter().filter(|name| seen.insert(name)) {
            for role in [Role::Inside(name), Role::Port(name)] {
                hold(format!("{}.name", group.path), role);
            }
        }
    }
    for end in pairs.iter().flat_map(|pair| &pair.ends) {
        if let Some(name) = &end.name {
            hold(format!("{}.ifname", end.path), Role::End(name));
        }
    }
}
