//! Routes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{
        RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
        RouteType,
    },
};

use veth_common::Ifindex;

use super::{Netlink, NetlinkError};
use crate::view::{NextHop, Route};

/// The number by which routes say that they are ours (`ip route` shows it as `proto 118`), one that
/// iproute2 has no name for.
///
/// Source: <https://git.kernel.org/pub/scm/network/iproute2/iproute2.git/tree/etc/iproute2/rt_protos?h=v6.12.0>.
const OURS: RouteProtocol = RouteProtocol::Other(118);

/// The metric of our IPv6 routes: below that of the kernel's own, which is 256.
const IPV6_METRIC: u32 = 128;

impl Netlink {
    /// Adds a route to the namespace's main table.
    ///
    /// # Errors
    ///
    /// When there is one to that destination, when the next hop cannot be reached directly (the
    /// device is down, or no address on it is in the gateway's subnet), or when the destination has
    /// something set beyond its prefix.
    pub fn add_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        let message = message_of(route);
        self.execute(RouteNetlinkMessage::NewRoute(message), NLM_F_CREATE | NLM_F_EXCL, || {
            format!("add route {route}")
        })
    }

    /// The routes of the main table through `ifindex` that are ours.
    pub fn own_routes(&mut self, ifindex: Ifindex) -> Result<Vec<Route>, NetlinkError> {
        let request = RouteNetlinkMessage::GetRoute(RouteMessage::default());
        let answer = self.dump(&request, || format!("list routes of link {}", ifindex.0))?;
        Ok(answer
            .into_iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewRoute(message) => own_route_of(&message),
                _ => None,
            })
            .filter(|route| match route.next_hop {
                NextHop::GatewayOn(_, link) | NextHop::Link(link) => link == ifindex,
                NextHop::Gateway(_) => false,
            })
            .collect())
    }

    /// Adds a route that is ours, before others to the same destination: these stay as they are,
    /// and count again when it is gone.
    ///
    /// # Errors
    ///
    /// As for any route, except that others to that destination are none.
    pub fn add_own_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        // Neither NLM_F_EXCL nor NLM_F_APPEND: `ip route prepend`.
        self.execute(RouteNetlinkMessage::NewRoute(own_message_of(route)), NLM_F_CREATE, || {
            format!("add route {route}")
        })
    }

    /// Removes a route that is ours.
    pub fn delete_own_route(&mut self, route: &Route) -> Result<(), NetlinkError> {
        self.execute(RouteNetlinkMessage::DelRoute(own_message_of(route)), 0, || {
            format!("remove route {route}")
        })
    }
}

fn own_message_of(route: &Route) -> RouteMessage {
    let mut message = message_of(route);
    message.header.protocol = OURS;
    if route.destination.is_ipv6() {
        message.attributes.push(RouteAttribute::Priority(IPV6_METRIC));
    }
    message
}

/// The route that `message` describes, if it is one of ours.
fn own_route_of(message: &RouteMessage) -> Option<Route> {
    let header = &message.header;
    if header.protocol != OURS || header.table != RouteHeader::RT_TABLE_MAIN {
        return None;
    }
    let (mut destination, mut gateway, mut link) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(address) => destination = ip_of(address),
            RouteAttribute::Gateway(address) => gateway = ip_of(address),
            RouteAttribute::Oif(ifindex) => link = Some(Ifindex(*ifindex)),
            _ => {}
        }
    }
    let unspecified = match header.address_family {
        AddressFamily::Inet => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        _ => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    Some(Route {
        destination: destination.unwrap_or(unspecified),
        prefix_len: header.destination_prefix_length,
        next_hop: match gateway {
            Some(gateway) => NextHop::GatewayOn(gateway, link?),
            None => NextHop::Link(link?),
        },
    })
}

fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(address) => Some(IpAddr::V4(*address)),
        RouteAddress::Inet6(address) => Some(IpAddr::V6(*address)),
        _ => None,
    }
}

fn message_of(&Route { destination, prefix_len, next_hop }: &Route) -> RouteMessage {
    let mut message = RouteMessage::default();
    let header = &mut message.header;
    header.address_family = match destination {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    header.destination_prefix_length = prefix_len;
    header.table = RouteHeader::RT_TABLE_MAIN;
    header.protocol = RouteProtocol::Static;
    header.kind = RouteType::Unicast;
    let (gateway, link) = match next_hop {
        NextHop::Gateway(gateway) => (Some(gateway), None),
        NextHop::GatewayOn(gateway, link) => (Some(gateway), Some(link)),
        NextHop::Link(link) => (None, Some(link)),
    };
    header.scope = if gateway.is_some() { RouteScope::Universe } else { RouteScope::Link };
    message.attributes.push(RouteAttribute::Destination(RouteAddress::from(destination)));
    message.attributes.extend(gateway.map(|gateway| RouteAttribute::Gateway(gateway.into())));
    message.attributes.extend(link.map(|link| RouteAttribute::Oif(link.0)));
    message
}
