//! Addresses of interfaces, with the length of their prefix.

use std::fmt;
use std::net::{AddrParseError, IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::problem::quote;

/// An address that a station can have, with the length of its subnet's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceAddress {
    address: IpAddr,
    prefix_len: u8,
}

impl InterfaceAddress {
    /// The address without its prefix length.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// Leading bits that all addresses of the subnet share.
    pub const fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    /// Whether this is an IPv6 address.
    pub const fn is_ipv6(self) -> bool {
        self.address.is_ipv6()
    }

    /// Whether `other` is in the subnet of this address.
    pub fn is_neighbour(self, other: IpAddr) -> bool {
        let mask = host_mask(self.address, self.prefix_len);
        self.is_ipv6() == other.is_ipv6() && bits(self.address) | mask == bits(other) | mask
    }

    /// The address `address` in a subnet of `prefix_len` bits, if a station can have it there.
    pub fn new(address: IpAddr, prefix_len: u8) -> Result<Self, AddressFault> {
        let max = max_prefix_len(address);
        if !(1..=max).contains(&prefix_len) {
            return Err(AddressFault::prefix_range(address));
        }
        if address.is_unspecified() {
            return Err(AddressFault::Unspecified);
        }
        if address.is_loopback() {
            return Err(AddressFault::Loopback);
        }
        if address.is_multicast() {
            return Err(AddressFault::Multicast);
        }
        if address == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(AddressFault::Broadcast);
        }
        // A subnet of one or two addresses has no room for special ones (RFC 3021, RFC 6164).
        if prefix_len < max - 1 {
            let host = host_bits(address, prefix_len);
            match address {
                IpAddr::V4(_) if host == 0 => return Err(AddressFault::Network),
                IpAddr::V4(_) if host == host_mask(address, prefix_len) => {
                    return Err(AddressFault::Broadcast);
                }
                IpAddr::V6(_) if host == 0 => return Err(AddressFault::RouterAnycast),
                IpAddr::V4(_) | IpAddr::V6(_) => {}
            }
        }
        Ok(Self { address, prefix_len })
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

impl FromStr for InterfaceAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        split(text)
            .and_then(|(address, prefix_len)| Self::new(address, prefix_len))
            .map_err(|fault| AddressError { text: text.to_owned(), fault })
    }
}

/// A text that is not the address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {fault}", quote(text))]
pub struct AddressError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub fault: AddressFault,
}

/// What is wrong with an address; continues a sentence that begins with the address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressFault {
    /// Neither IPv4 nor IPv6.
    #[error("is not an address with a prefix length: {0}")]
    Syntax(AddrParseError),
    /// No slash.
    #[error("is not an address with a prefix length: the length is missing, as in \"{0}/{1}\"")]
    PrefixMissing(IpAddr, u8),
    /// What follows the slash is not a number.
    #[error("is not an address with a prefix length: {} is not a length", quote(.0))]
    PrefixSyntax(String),
    /// A prefix length that the address family does not have.
    #[error("has a prefix length out of range: {family} has 1 to {max}")]
    PrefixRange {
        /// Name of the address family.
        family: &'static str,
        /// Its longest prefix.
        max: u8,
    },
    /// 0.0.0.0 or ::.
    #[error("is the unspecified address, which no interface can have")]
    Unspecified,
    /// Of the host itself.
    #[error("is a loopback address, which never leaves its namespace")]
    Loopback,
    /// Of a group.
    #[error("is a multicast address: it is for groups, not for an interface")]
    Multicast,
    /// All host bits are zero.
    #[error("is the network address of its subnet, not of a host in it")]
    Network,
    /// All host bits are one.
    #[error("is the broadcast address of its subnet, not of a host in it")]
    Broadcast,
    /// All host bits are zero, in IPv6.
    #[error("is the anycast address of its subnet's routers, not of a host in it")]
    RouterAnycast,
}

impl AddressFault {
    /// The prefix lengths that an address like this can have.
    const fn prefix_range(address: IpAddr) -> Self {
        let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
        Self::PrefixRange { family, max: max_prefix_len(address) }
    }
}

/// Splits `ADDRESS/LENGTH`. The length is one that the address family has.
pub(super) fn split(text: &str) -> Result<(IpAddr, u8), AddressFault> {
    let Some((address, length)) = text.split_once('/') else {
        let address = text.parse().map_err(AddressFault::Syntax)?;
        let usual = if matches!(address, IpAddr::V4(_)) { 24 } else { 64 };
        return Err(AddressFault::PrefixMissing(address, usual));
    };
    let address = address.parse().map_err(AddressFault::Syntax)?;
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(AddressFault::PrefixSyntax(length.to_owned()));
    }
    match length.parse() {
        Ok(length) if (1..=max_prefix_len(address)).contains(&length) => Ok((address, length)),
        Ok(_) | Err(_) => Err(AddressFault::prefix_range(address)),
    }
}

/// Longest prefix of the address family of `address`.
pub(super) const fn max_prefix_len(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The bits of `address` as a number.
pub(super) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits().into(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The bits that a host in the subnet chooses, all set.
pub(super) fn host_mask(address: IpAddr, prefix_len: u8) -> u128 {
    let host_len = max_prefix_len(address).saturating_sub(prefix_len);
    u128::MAX.checked_shr(128 - u32::from(host_len)).unwrap_or(0)
}

/// The bits of `address` that tell it from its neighbours in the subnet.
fn host_bits(address: IpAddr, prefix_len: u8) -> u128 {
    bits(address) & host_mask(address, prefix_len)
}

/// The address of the same family as `like` with these bits.
pub(super) fn from_bits(like: IpAddr, bits: u128) -> IpAddr {
    match like {
        #[expect(clippy::cast_possible_truncation, reason = "an IPv4 address is the low 32 bits")]
        IpAddr::V4(_) => Ipv4Addr::from_bits(bits as u32).into(),
        IpAddr::V6(_) => Ipv6Addr::from_bits(bits).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, why: &str) {
        let message = text.parse::<InterfaceAddress>().expect_err("must be refused").to_string();
        assert!(message.starts_with(&format!("{text:?}")) && message.contains(why), "{message}");
    }

    #[test]
    fn addresses_are_read_and_printed() {
        for text in [
            "10.77.0.1/24",
            "10.0.0.0/31",
            "10.0.0.1/31",
            "10.0.0.0/32",
            "10.0.255.255/15",
            "192.0.2.1/1",
            "fd77::1/64",
            "fe80::1/64",
            "fd77::/127",
            "fd77::/128",
            "fd77::ffff:ffff:ffff:ffff/64",
        ] {
            assert_eq!(text.parse::<InterfaceAddress>().expect("must be valid").to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        refused("10.0.0.300/24", "is not an address with a prefix length: invalid IP address");
        refused("red", "invalid IP address syntax");
        refused("", "invalid IP address syntax");
        refused("fe80::1%eth0/64", "invalid IP address syntax");
        refused("10.0.0.1", "the length is missing, as in \"10.0.0.1/24\"");
        refused("fd77::1", "the length is missing, as in \"fd77::1/64\"");
        refused("10.0.0.1/", "\"\" is not a length");
        refused("10.0.0.1/+24", "\"+24\" is not a length");
        refused("10.0.0.1/24/24", "\"24/24\" is not a length");
        refused("10.0.0.1/-1", "\"-1\" is not a length");
    }

    #[test]
    fn prefix_lengths_belong_to_a_family() {
        refused("10.0.0.1/0", "IPv4 has 1 to 32");
        refused("10.0.0.1/33", "IPv4 has 1 to 32");
        refused("10.0.0.1/999999999999", "IPv4 has 1 to 32");
        refused("fd77::1/129", "IPv6 has 1 to 128");
    }

    #[test]
    fn addresses_that_no_host_can_have_are_refused() {
        refused("10.0.0.0/24", "network address");
        refused("10.0.0.255/24", "broadcast address");
        refused("255.255.255.255/32", "broadcast address");
        refused("10.0.0.3/30", "broadcast address");
        refused("fd77::/64", "anycast address");
        refused("0.0.0.0/8", "unspecified");
        refused("::/64", "unspecified");
        refused("127.0.0.1/8", "loopback");
        refused("::1/128", "loopback");
        refused("224.0.0.1/24", "multicast");
        refused("ff02::1/64", "multicast");
    }
}
