//! Routes: by which way addresses are reached.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use veth_common::Ifindex;

/// A route of a namespace's main table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// First address of the destinations: nothing is set in it beyond the prefix.
    pub destination: IpAddr,
    /// Length of their prefix in bits; zero for whatever no other route is for.
    pub prefix_len: u8,
    /// How they are reached.
    pub next_hop: NextHop,
}

/// Where frames to a destination go next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    /// To this router, of the destination's family, which is itself reached directly.
    Gateway(IpAddr),
    /// To this router, through this device.
    GatewayOn(IpAddr, Ifindex),
    /// To the destination itself, through this device.
    Link(Ifindex),
}

impl Route {
    /// The route to whatever no other route is for.
    pub const fn default_via(gateway: IpAddr) -> Self {
        let destination = match gateway {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        Self { destination, prefix_len: 0, next_hop: NextHop::Gateway(gateway) }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { destination, prefix_len, next_hop } = self;
        match next_hop {
            NextHop::Gateway(gateway) => write!(f, "{destination}/{prefix_len} via {gateway}"),
            NextHop::GatewayOn(gateway, Ifindex(link)) => {
                write!(f, "{destination}/{prefix_len} via {gateway} on link {link}")
            }
            NextHop::Link(ifindex) => write!(f, "{destination}/{prefix_len} on link {}", ifindex.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_route_is_of_the_gateways_family() {
        let route = Route::default_via(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(route.to_string(), "0.0.0.0/0 via 10.0.0.1");
        let route = Route::default_via(IpAddr::V6(Ipv6Addr::LOCALHOST));
        assert_eq!(route.to_string(), "::/0 via ::1");
    }
}
