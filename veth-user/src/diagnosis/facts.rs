//! What was seen, as plain data: namespaces with what is in them, and how they hang together.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::IpAddr,
};

use veth_common::{Ifindex, Mac};

use super::{Shell, quoted};
use crate::{
    forwarding::FastPath,
    inventory::Namespace,
    view::{
        Address, BaseChain, BridgeView, Link, LinkKind, PresentAddress, SilentNeighbour, Uniqueness,
    },
};

/// A device by its place: the namespace that it is in, and its index there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The namespace, by its place in [`Facts::namespaces`].
    pub netns: usize,
    /// The device.
    pub link: Ifindex,
}

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The namespaces that could be looked into.
    pub namespaces: Vec<NamespaceFacts>,
    /// Pairs both ends of which were seen.
    pub pairs: Vec<[Place; 2]>,
    /// Ends whose other end was not seen.
    pub loose: Vec<Place>,
    /// Bridges with ports that are ends of pairs.
    pub bridges: Vec<BridgeFacts>,
}

/// A namespace, and what is in it.
#[derive(Clone, Debug)]
pub struct NamespaceFacts {
    /// What it is called.
    pub namespace: Namespace,
    /// How to get there.
    pub shell: Shell,
    /// Its devices.
    pub links: BTreeMap<Ifindex, Link>,
    /// Its addresses.
    pub addresses: Vec<PresentAddress>,
    /// Neighbours that have not answered.
    pub silent: Vec<SilentNeighbour>,
    /// Whether it forwards IPv4, and IPv6, where that could be read.
    pub forwards: [Option<bool>; 2],
    /// Settings of the devices whose other end is in this namespace as well.
    pub settings: BTreeMap<Ifindex, Settings>,
    /// Ends of pairs whose frames a program takes, before the namespace sees them.
    pub diverted: BTreeSet<Ifindex>,
    /// Its packet filters.
    pub filters: Filters,
}

/// The packet filters of a namespace, as far as they are easily told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// The chains of nftables.
    pub chains: Vec<BaseChain>,
    /// Whether something rewrites the source of what leaves; `None`: not known.
    pub has_source_nat: Option<bool>,
    /// Whether they see what bridges of the namespace carry (`bridge-nf-call-iptables`).
    pub sees_bridged: bool,
}

/// A setting that a device has, and that all have; which of the two counts is the setting's affair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// Of the device itself.
    pub own: u32,
    /// Of all devices.
    pub all: u32,
}

impl Setting {
    /// The value of a setting of which the larger one counts.
    pub fn max(self) -> u32 {
        self.own.max(self.all)
    }

    /// Whether a setting is on for which one of the two is enough.
    pub const fn either(self) -> bool {
        self.own != 0 || self.all != 0
    }
}

/// Settings that decide what a device accepts and answers, of IPv4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Packets from own addresses are accepted.
    pub accept_local: Setting,
    /// Packets are dropped whose way back is another one.
    pub rp_filter: Setting,
    /// ARP is answered for some addresses only.
    pub arp_ignore: Setting,
    /// ARP is answered only on the device that the way back leads through.
    pub arp_filter: Setting,
}

/// A bridge.
#[derive(Clone, Debug)]
pub struct BridgeFacts {
    /// Where it is.
    pub place: Place,
    /// The bridge with its ports.
    pub view: BridgeView,
    /// What accelerates it.
    pub acceleration: Acceleration,
    /// What a fabric's own status says is wrong, where it is one.
    pub problems: Vec<String>,
}

/// What accelerates a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acceleration {
    /// Nothing does; `asked` says that somebody wants to know.
    Nothing {
        /// The bridge was asked about by its name.
        asked: bool,
    },
    /// The datapath of a fabric.
    Fabric {
        /// How frames get past the bridge.
        path: FastPath,
        /// The ports that its program is attached to.
        hooked: HashSet<Ifindex>,
        /// Whose bridge it is.
        owner: Owner,
    },
}

/// Whose bridge a datapath is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// veth's own.
    Veth,
    /// Somebody else's.
    Other {
        /// Whether an agent vouches for what the fast path may use.
        is_kept: bool,
    },
}

impl Facts {
    /// The namespace of a place.
    pub fn at(&self, place: Place) -> &NamespaceFacts {
        &self.namespaces[place.netns]
    }

    /// The device at a place.
    pub fn link(&self, place: Place) -> Option<&Link> {
        self.at(place).links.get(&place.link)
    }

    /// Its name as one word of a shell.
    pub fn word(&self, place: Place) -> String {
        self.link(place).map_or_else(|| "DEVICE".into(), |link| quoted(&link.name))
    }

    /// `eth0 in red`, or only `eth0` where the namespace is the own one.
    pub fn name(&self, place: Place) -> String {
        let device = self.link(place).map_or("a device that is gone", |link| &link.name);
        let netns = &self.at(place).namespace;
        if netns.own { device.to_owned() } else { format!("{device} in {}", label(netns)) }
    }

    /// `red`, or `this namespace`.
    pub fn netns_name(&self, netns: usize) -> String {
        let netns = &self.namespaces[netns].namespace;
        if netns.own { "this namespace".into() } else { label(netns) }
    }

    /// Addresses of a device that are in use beyond its link.
    pub fn addresses(&self, place: Place) -> impl Iterator<Item = Address> {
        self.at(place)
            .addresses
            .iter()
            .filter(move |it| it.link == place.link && !it.is_link_local)
            .filter(|it| it.uniqueness == Uniqueness::Settled)
            .map(|it| it.address)
    }

    /// The device of a namespace that has an address.
    pub fn owner_in(&self, netns: usize, ip: IpAddr) -> Option<Place> {
        let mut addresses = self.namespaces[netns].addresses.iter();
        let found = addresses.find(|it| it.address.ip == ip && !it.is_link_local)?;
        Some(Place { netns, link: found.link })
    }

    /// Whether the device and, for the end of a pair, its other end are up.
    pub fn is_running(&self, place: Place) -> bool {
        let is_up = |place| self.link(place).is_some_and(|link| link.is_up);
        is_up(place) && self.other_end(place).is_none_or(is_up)
    }

    /// The other end of a pair.
    pub fn other_end(&self, place: Place) -> Option<Place> {
        self.pairs.iter().find_map(|[one, other]| match place {
            _ if place == *one => Some(*other),
            _ if place == *other => Some(*one),
            _ => None,
        })
    }

    /// Whether a program takes what arrives at a device.
    pub fn is_diverted(&self, place: Place) -> bool {
        self.at(place).diverted.contains(&place.link)
    }

    /// Whether a device is a port of something.
    pub fn is_port(&self, place: Place) -> bool {
        self.link(place).is_some_and(|link| link.controller.is_some())
    }

    /// The MAC address of a device.
    pub fn mac(&self, place: Place) -> Option<Mac> {
        self.link(place)?.mac
    }

    /// The Linux bridge that a device is a port of.
    pub fn bridge_of(&self, port: Place) -> Option<Place> {
        let bridge = Place { link: self.link(port)?.controller?, ..port };
        matches!(self.link(bridge)?.kind, LinkKind::Bridge { .. }).then_some(bridge)
    }
}

/// What people call a namespace: its container comes before its process.
pub(super) fn label(netns: &Namespace) -> String {
    match netns.containers.first() {
        Some(container) if netns.names.is_empty() => container.label().to_owned(),
        _ => netns.label(),
    }
}

/// Whether an address is in the subnet of another.
pub(super) fn is_in(ip: IpAddr, subnet: Address) -> bool {
    network(ip, subnet.prefix_len) == network(subnet.ip, subnet.prefix_len)
        && ip.is_ipv4() == subnet.ip.is_ipv4()
}

/// The subnet that an address is in: nothing is set beyond the prefix.
pub(super) fn subnet_of(address: Address) -> Address {
    let Address { ip, prefix_len } = address;
    let bits = network(ip, prefix_len);
    let ip = match ip {
        IpAddr::V4(_) => IpAddr::V4(u32::try_from(bits >> 96).unwrap_or(0).into()),
        IpAddr::V6(_) => IpAddr::V6(bits.into()),
    };
    Address { ip, prefix_len }
}

/// An address of the subnet that none of `taken` is; the lowest one.
pub(super) fn free_in(subnet: Address, taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    let Address { ip, prefix_len } = subnet_of(subnet);
    let hosts = u32::from(ip_bits(ip)) - u32::from(prefix_len);
    // The last one of a subnet of IPv4 means all.
    let last = 1_u128.checked_shl(hosts).map_or(u128::MAX, |count| count.saturating_sub(2));
    (1..=last.min(u128::from(u16::MAX)))
        .map(|number| match ip {
            IpAddr::V4(ip) => {
                IpAddr::V4((u32::from(ip) | u32::try_from(number).unwrap_or(0)).into())
            }
            IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) | number).into()),
        })
        .find(|ip| !taken(*ip))
}

/// `0` for IPv4, `1` for IPv6.
pub(super) const fn family(ip: IpAddr) -> usize {
    match ip {
        IpAddr::V4(_) => 0,
        IpAddr::V6(_) => 1,
    }
}

const fn ip_bits(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The bits of the prefix, at the upper end.
fn network(ip: IpAddr, prefix_len: u8) -> u128 {
    let bits = match ip {
        IpAddr::V4(ip) => u128::from(u32::from(ip)) << 96,
        IpAddr::V6(ip) => u128::from(ip),
    };
    let mask = u128::MAX.checked_shl(128 - u32::from(prefix_len.min(128))).unwrap_or(0);
    bits & mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        let (ip, prefix_len) = text.split_once('/').expect("has a prefix");
        let ip = ip.parse().expect("an address");
        Address { ip, prefix_len: prefix_len.parse().expect("a number") }
    }

    #[test]
    fn subnets_are_what_is_left_of_the_prefix() {
        for (of, subnet) in [
            ("10.1.2.3/24", "10.1.2.0/24"),
            ("10.1.2.3/32", "10.1.2.3/32"),
            ("10.1.2.3/0", "0.0.0.0/0"),
            ("fd00::1:2/64", "fd00::/64"),
            ("fd00::1/128", "fd00::1/128"),
        ] {
            assert_eq!(subnet_of(address(of)), address(subnet));
            assert!(is_in(address(of).ip, address(subnet)));
        }
        assert!(!is_in(address("10.1.3.1/8").ip, address("10.1.2.3/24")));
        assert!(!is_in(address("::/0").ip, address("0.0.0.0/0")));
    }

    #[test]
    fn free_address_is_the_lowest_that_nobody_has() {
        let free = |subnet: &str, taken: &[&str]| {
            let taken: Vec<IpAddr> = taken.iter().map(|it| it.parse().expect("one")).collect();
            free_in(address(subnet), |ip| taken.contains(&ip)).map(|ip| ip.to_string())
        };
        assert_eq!(free("10.0.0.9/24", &["10.0.0.1"]).as_deref(), Some("10.0.0.2"));
        assert_eq!(free("fd00::9/64", &[]).as_deref(), Some("fd00::1"));
        assert_eq!(free("10.0.0.0/30", &["10.0.0.1", "10.0.0.2"]), None);
        assert_eq!(free("10.0.0.1/32", &[]), None);
    }
}
