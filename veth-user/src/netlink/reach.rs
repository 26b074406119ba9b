//! Looking at what decides whether an address is reached; nothing in here changes anything.

use std::net::IpAddr;

use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope},
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
};
use nix::errno::Errno;
use veth_common::Ifindex;

use super::{Netlink, NetlinkError, address::address_of};
use crate::view::{PresentAddress, SilentNeighbour, Uniqueness, Way};

impl Netlink {
    /// All addresses of the namespace, link-local ones included, with what is known of each.
    pub fn present_addresses(&mut self) -> Result<Vec<PresentAddress>, NetlinkError> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answer = self.dump(&request, || "list the addresses of all links".into())?;
        Ok(answer
            .into_iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewAddress(message) => Some(PresentAddress {
                    link: Ifindex(message.header.index),
                    address: address_of(&message)?,
                    is_link_local: message.header.scope != AddressScope::Universe,
                    uniqueness: uniqueness_of(&message),
                }),
                _ => None,
            })
            .collect())
    }

    /// The neighbours that have not answered.
    #[doc(alias = "NUD_FAILED")]
    pub fn silent_neighbours(&mut self) -> Result<Vec<SilentNeighbour>, NetlinkError> {
        let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        let answer = self.dump(&request, || "list neighbours".into())?;
        Ok(answer
            .into_iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewNeighbour(message) => silent_neighbour_of(&message),
                _ => None,
            })
            .collect())
    }

    /// Asks the kernel which way a packet of this namespace to `destination` takes, by all of its
    /// tables and rules. No packet is sent.
    #[doc(alias = "RTM_GETROUTE")]
    pub fn way_to(&mut self, destination: IpAddr) -> Result<Way, NetlinkError> {
        let mut message = RouteMessage::default();
        (message.header.address_family, message.header.destination_prefix_length) =
            match destination {
                IpAddr::V4(_) => (AddressFamily::Inet, 32),
                IpAddr::V6(_) => (AddressFamily::Inet6, 128),
            };
        message.attributes.push(RouteAttribute::Destination(RouteAddress::from(destination)));
        let action = || format!("look up the route to {destination}");
        match self.get(RouteNetlinkMessage::GetRoute(message), action) {
            Ok(RouteNetlinkMessage::NewRoute(route)) => Ok(way_of(&route)),
            Ok(_) | Err(NetlinkError::Refused { errno: Errno::ENETUNREACH, .. }) => {
                Ok(Way::Nowhere)
            }
            // What a route of type unreachable, prohibit and blackhole answers, in this order.
            Err(NetlinkError::Refused {
                errno: Errno::EHOSTUNREACH | Errno::EACCES | Errno::EINVAL,
                ..
            }) => Ok(Way::Refused),
            Err(error) => Err(error),
        }
    }
}

fn uniqueness_of(message: &AddressMessage) -> Uniqueness {
    let header = message.header.flags;
    let wide = message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Flags(flags) => Some(*flags),
        _ => None,
    });
    let wide = wide.unwrap_or(AddressFlags::empty());
    let has = |narrow, flag| header.contains(narrow) || wide.contains(flag);
    if has(AddressHeaderFlags::Dadfailed, AddressFlags::Dadfailed) {
        Uniqueness::Duplicate
    } else if has(AddressHeaderFlags::Tentative, AddressFlags::Tentative)
        && !has(AddressHeaderFlags::Optimistic, AddressFlags::Optimistic)
    {
        Uniqueness::Tentative
    } else {
        Uniqueness::Settled
    }
}

fn silent_neighbour_of(message: &NeighbourMessage) -> Option<SilentNeighbour> {
    let has_failed = match message.header.state {
        NeighbourState::Failed => true,
        NeighbourState::Incomplete => false,
        _ => return None,
    };
    let ip = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    })?;
    Some(SilentNeighbour { ip, link: Ifindex(message.header.ifindex), has_failed })
}

fn way_of(route: &RouteMessage) -> Way {
    match route.header.kind {
        RouteType::Local => return Way::Local,
        RouteType::Unreachable | RouteType::BlackHole | RouteType::Prohibit => return Way::Refused,
        _ => {}
    }
    let (mut link, mut gateway, mut source) = (None, None, None);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Oif(ifindex) => link = Some(Ifindex(*ifindex)),
            RouteAttribute::Gateway(address) => gateway = ip_of(address),
            RouteAttribute::PrefSource(address) => source = ip_of(address),
            _ => {}
        }
    }
    link.map_or(Way::Nowhere, |link| Way::Out { link, gateway, source })
}

fn ip_of(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    }
}
