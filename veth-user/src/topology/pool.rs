//! Pools: subnets whose addresses are handed out in order.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::address::{self, AddressFault, InterfaceAddress};
use super::problem::quote;

/// A subnet whose addresses are handed out in order, from the lowest that a host can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pool {
    network: IpAddr,
    prefix_len: u8,
}

impl Pool {
    /// Whether the addresses are IPv6 addresses.
    pub(super) const fn is_ipv6(self) -> bool {
        self.network.is_ipv6()
    }

    /// How many addresses there are to hand out.
    pub(super) fn capacity(self) -> u128 {
        // In subnets of one or two addresses all are for hosts (RFC 3021, RFC 6164). Otherwise
        // the first is not, and in IPv4 neither is the last.
        let last = self.host_mask();
        match self.network {
            _ if self.is_tiny() => last + 1,
            IpAddr::V4(_) => last - 1,
            IpAddr::V6(_) => last,
        }
    }

    /// The addresses from the first to the one numbered `count`, in order.
    pub(super) fn addresses(
        self,
        count: u32,
    ) -> impl Iterator<Item = Result<InterfaceAddress, PoolError>> {
        let count = self.capacity().min(count.into());
        (0..count).map(move |index| {
            let address = address::from_bits(self.network, self.first() + index);
            InterfaceAddress::new(address, self.prefix_len).map_err(|fault| PoolError::Unusable {
                pool: self,
                address,
                fault,
            })
        })
    }

    /// What is handed out to `count` namespaces, or the whole subnet if that is not enough.
    pub(super) fn handed_out(self, count: u32) -> AddressRange {
        let count = self.capacity().min(count.max(1).into());
        AddressRange { like: self.network, bits: self.first()..=self.first() + (count - 1) }
    }

    /// Whether the two subnets have an address in common; one then contains the other.
    pub(super) fn overlaps(self, other: Self) -> bool {
        let mask = self.host_mask() | other.host_mask();
        self.network.is_ipv4() == other.network.is_ipv4()
            && address::bits(self.network) | mask == address::bits(other.network) | mask
    }

    fn first(self) -> u128 {
        address::bits(self.network) + u128::from(!self.is_tiny())
    }

    fn is_tiny(self) -> bool {
        self.host_mask() <= 1
    }

    fn host_mask(self) -> u128 {
        address::host_mask(self.network, self.prefix_len)
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_len)
    }
}

impl FromStr for Pool {
    type Err = PoolError;

    fn from_str(text: &str) -> Result<Self, PoolError> {
        let (given, prefix_len) = address::split(text)
            .map_err(|fault| PoolError::Syntax { text: text.to_owned(), fault })?;
        let host_mask = address::host_mask(given, prefix_len);
        let network = address::from_bits(given, address::bits(given) & !host_mask);
        let pool = Self { network, prefix_len };
        if given != network {
            return Err(PoolError::HostBits { text: text.to_owned(), pool });
        }
        Ok(pool)
    }
}

/// Addresses from a lowest to a highest.
#[derive(Clone, Debug)]
pub(super) struct AddressRange {
    like: IpAddr,
    bits: RangeInclusive<u128>,
}

impl AddressRange {
    /// Whether `address` is one of them.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.like.is_ipv4() == address.is_ipv4() && self.bits.contains(&address::bits(address))
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = address::from_bits(self.like, *self.bits.start());
        let last = address::from_bits(self.like, *self.bits.end());
        if first == last { write!(f, "{first}") } else { write!(f, "{first} to {last}") }
    }
}

/// Why a text is not a pool, or a pool of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PoolError {
    #[error("{} {fault}", quote(text))]
    Syntax { text: String, fault: AddressFault },
    #[error("{} has bits set behind its prefix; the pool is \"{pool}\"", quote(text))]
    HostBits { text: String, pool: Pool },
    #[error("\"{pool}\" would hand out {address}, which {fault}")]
    Unusable { pool: Pool, address: IpAddr, fault: AddressFault },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(text: &str) -> Pool {
        text.parse().expect("must be valid")
    }

    fn hand_out(text: &str, count: u32) -> Vec<String> {
        pool(text)
            .addresses(count)
            .map(|address| address.expect("must be valid").to_string())
            .collect()
    }

    #[test]
    fn addresses_come_in_order_and_leave_out_the_special_ones() {
        assert_eq!(hand_out("10.80.0.0/16", 2), ["10.80.0.1/16", "10.80.0.2/16"]);
        assert_eq!(hand_out("10.0.0.0/30", 9), ["10.0.0.1/30", "10.0.0.2/30"]);
        assert_eq!(hand_out("10.0.0.0/31", 9), ["10.0.0.0/31", "10.0.0.1/31"]);
        assert_eq!(hand_out("10.0.0.7/32", 9), ["10.0.0.7/32"]);
        assert_eq!(hand_out("fd00::/126", 9), ["fd00::1/126", "fd00::2/126", "fd00::3/126"]);
        assert_eq!(hand_out("fd00::/127", 9), ["fd00::/127", "fd00::1/127"]);
        assert_eq!(hand_out("fd00::7/128", 9), ["fd00::7/128"]);
    }

    #[test]
    fn nothing_is_skipped_at_the_edge_of_an_octet() {
        let addresses = hand_out("10.80.0.0/16", 1000);
        assert_eq!(addresses[254..257], ["10.80.0.255/16", "10.80.1.0/16", "10.80.1.1/16"]);
        assert_eq!(addresses[999], "10.80.3.232/16");
    }

    #[test]
    fn capacity_is_what_can_be_handed_out() {
        for text in ["10.0.0.0/24", "10.0.0.0/31", "10.0.0.7/32", "fd00::/120", "fd00::/127"] {
            let handed_out = pool(text).addresses(100_000).count();
            assert_eq!(pool(text).capacity(), handed_out as u128, "{text}");
        }
        assert_eq!(pool("8000::/1").capacity(), (1 << 127) - 1);
        assert_eq!(pool("128.0.0.0/1").capacity(), (1 << 31) - 2);
    }

    #[test]
    fn the_range_ends_where_the_hand_outs_end() {
        let range = pool("10.80.0.0/16").handed_out(100);
        assert_eq!(range.to_string(), "10.80.0.1 to 10.80.0.100");
        assert!(range.contains("10.80.0.100".parse().expect("must be valid")));
        assert!(!range.contains("10.80.0.101".parse().expect("must be valid")));
        assert!(!range.contains("::a50:1".parse().expect("must be valid")));
        assert_eq!(pool("fd00::/64").handed_out(1).to_string(), "fd00::1");
    }

    #[test]
    fn pools_overlap_when_one_contains_the_other() {
        let wide = pool("10.80.0.0/16");
        assert!(wide.overlaps(wide));
        assert!(wide.overlaps(pool("10.80.4.0/24")) && pool("10.80.4.0/24").overlaps(wide));
        assert!(!wide.overlaps(pool("10.81.0.0/16")));
        assert!(!wide.overlaps(pool("fd00::/64")));
        assert!(!pool("0.0.0.0/1").overlaps(pool("::/1")));
    }

    #[test]
    fn what_is_no_pool_is_refused() {
        let message = |text: &str| text.parse::<Pool>().expect_err("must be refused").to_string();
        assert!(message("10.80.0.1/16").contains("the pool is \"10.80.0.0/16\""));
        assert!(message("fd00::1/64").contains("the pool is \"fd00::/64\""));
        assert!(message("10.80.0.0").contains("the length is missing"));
        assert!(message("10.80.0.0/33").contains("out of range"));
        assert!(message("many").starts_with("\"many\" is not an address"));
    }

    #[test]
    fn pools_of_addresses_that_no_host_can_have_say_so() {
        let message = |text: &str| {
            let error = pool(text).addresses(2).find_map(Result::err).expect("must be refused");
            error.to_string()
        };
        assert_eq!(
            message("224.0.0.0/24"),
            "\"224.0.0.0/24\" would hand out 224.0.0.1, which is a multicast address: it is for \
             groups, not for an interface"
        );
        assert!(message("127.0.0.0/8").contains("127.0.0.1, which is a loopback address"));
        assert!(message("::/64").contains("::1, which is a loopback address"));
    }
}
