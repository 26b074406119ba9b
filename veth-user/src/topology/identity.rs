//! MAC addresses that follow from names alone, so that the same file always makes the same fabric.
//!
//! The addresses are stable for ever: another derivation would make running fabrics and captures
//! contradict the file they came from. The tests pin some.

use std::fmt;

use veth_common::Mac;

use super::name::{FabricName, NetnsName};
use super::pair::EndName;

/// What a MAC address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role<'a> {
    /// The bridge.
    Bridge,
    /// The peer, inside a namespace.
    Inside(&'a NetnsName),
    /// The port, outside of it.
    Port(&'a NetnsName),
    /// One end of a pair that leads past the bridge.
    End(&'a EndName),
}

impl fmt::Display for Role<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bridge => f.write_str("the bridge"),
            Self::Inside(netns) => write!(f, "the interface in \"{netns}\""),
            Self::Port(netns) => write!(f, "the port of \"{netns}\""),
            Self::End(name) => write!(f, "the end {name}"),
        }
    }
}

/// The locally administered unicast address for `role` in `fabric`.
pub(super) fn mac(fabric: &FabricName, role: Role<'_>) -> Mac {
    // Names have no NUL, so no two roles make the same text.
    let text = match role {
        Role::Bridge => format!("{fabric}\0\0bridge"),
        Role::Inside(netns) => format!("{fabric}\0{netns}\0inside"),
        Role::Port(netns) => format!("{fabric}\0{netns}\0port"),
        Role::End(EndName { netns, ifname }) => {
            let netns = netns.as_ref().map_or("", NetnsName::as_str);
            format!("{fabric}\0{netns}\0end\0{ifname}")
        }
    };
    let hash = text
        .bytes()
        .fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    // The two bytes that do not fit are mixed into the last ones.
    let [high, higher, mut mac @ ..] = hash.to_be_bytes();
    mac[4] ^= high;
    mac[5] ^= higher;
    mac[0] = mac[0] & !GROUP | LOCAL;
    Mac(mac)
}

impl FabricName {
    /// The address that the bridge of this fabric is made with.
    pub fn bridge_mac(&self) -> Mac {
        mac(self, Role::Bridge)
    }

    /// The address that the port of `netns` in this fabric is made with.
    pub fn port_mac(&self, netns: &NetnsName) -> Mac {
        mac(self, Role::Port(netns))
    }

    /// The address that the end of that name is made with in this fabric.
    pub fn end_mac(&self, end: &EndName) -> Mac {
        mac(self, Role::End(end))
    }
}

/// Bit of the first byte that marks the address of a group.
const GROUP: u8 = 0x01;
/// Bit of the first byte that marks an address that no manufacturer gave out.
const LOCAL: u8 = 0x02;

/// The two numbers of a 64-bit FNV-1a hash.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn fabric(name: &str) -> FabricName {
        name.parse().expect("must be valid")
    }

    fn netns(name: &str) -> NetnsName {
        name.parse().expect("must be valid")
    }

    #[test]
    fn addresses_are_stable_for_ever() {
        let lab = fabric("lab");
        let red = netns("red");
        assert_eq!(mac(&lab, Role::Bridge).to_string(), "fa:e3:8d:87:16:4a");
        assert_eq!(mac(&lab, Role::Inside(&red)).to_string(), "da:53:08:01:4f:40");
        assert_eq!(mac(&lab, Role::Port(&red)).to_string(), "4e:2f:76:df:61:cc");
        assert_eq!(mac(&lab, Role::Inside(&netns("w1000"))).to_string(), "8a:f2:cb:80:fb:c3");
        assert_eq!(mac(&fabric("lab2"), Role::Inside(&red)).to_string(), "06:93:30:ad:69:2a");
        let mut end = EndName { netns: Some(red), ifname: "veth0".parse().expect("is valid") };
        assert_eq!(mac(&lab, Role::End(&end)).to_string(), "52:cd:60:7b:63:e9");
        end.netns = None;
        assert_eq!(mac(&lab, Role::End(&end)).to_string(), "be:59:1c:59:f1:eb");
    }

    #[test]
    fn addresses_are_local_stations_and_differ() {
        let lab = fabric("lab");
        let mut seen = HashSet::from([mac(&lab, Role::Bridge)]);
        for n in 1..=20_000 {
            let name = netns(&format!("w{n}"));
            for role in [Role::Inside(&name), Role::Port(&name)] {
                let mac = mac(&lab, role);
                assert!(mac.is_station() && mac.0[0] & LOCAL != 0, "{mac}");
                assert!(seen.insert(mac), "{mac} of {role:?} is not the only one");
            }
        }
    }

    #[test]
    fn every_free_bit_is_used() {
        let lab = fabric("lab");
        let mut ever_set = [0; 6];
        let mut always_set = [0xff; 6];
        for n in 1..=1000 {
            let Mac(bytes) = mac(&lab, Role::Inside(&netns(&format!("w{n}"))));
            for (index, byte) in bytes.into_iter().enumerate() {
                ever_set[index] |= byte;
                always_set[index] &= byte;
            }
        }
        assert_eq!(ever_set, [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(always_set, [LOCAL, 0, 0, 0, 0, 0]);
    }
}
