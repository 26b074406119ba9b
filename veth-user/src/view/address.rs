//! Addresses on links.

use std::{fmt, net::IpAddr};

use crate::topology::InterfaceAddress;

/// An address on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// Length of its subnet prefix in bits.
    pub prefix_len: u8,
}

impl From<InterfaceAddress> for Address {
    fn from(address: InterfaceAddress) -> Self {
        Self { ip: address.address(), prefix_len: address.prefix_len() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix_len)
    }
}
