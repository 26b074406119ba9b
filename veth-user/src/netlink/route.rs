//! Routes.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    route::{
        RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
        RouteType,
    },
};

use super::{Netlink, NetlinkError};
use crate::view::{NextHop, Route};

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
    let hop = match next_hop {
        NextHop::Gateway(gateway) => {
            header.scope = RouteScope::Universe;
            RouteAttribute::Gateway(gateway.into())
        }
        NextHop::Link(ifindex) => {
            header.scope = RouteScope::Link;
            RouteAttribute::Oif(ifindex.0)
        }
    };
    message.attributes.push(RouteAttribute::Destination(RouteAddress::from(destination)));
    message.attributes.push(hop);
    message
}
