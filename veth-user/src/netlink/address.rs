//! Addresses on links.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope},
};
use veth_common::Ifindex;

use super::{Netlink, NetlinkError};
use crate::view::Address;

impl Netlink {
    /// The addresses of `ifindex` that somebody gave it: link-local ones, and those that come and
    /// go by themselves (with a lifetime, from a router), are left out.
    pub fn addresses(&mut self, ifindex: Ifindex) -> Result<Vec<Address>, NetlinkError> {
        let mut message = AddressMessage::default();
        message.header.index = ifindex.0;
        let answer = self.dump(&RouteNetlinkMessage::GetAddress(message), || {
            format!("list addresses of link {}", ifindex.0)
        })?;
        Ok(answer
            .into_iter()
            .filter_map(|message| match message {
                // A kernel before 5.0 sends the addresses of all links.
                RouteNetlinkMessage::NewAddress(message)
                    if message.header.index == ifindex.0
                        && message.header.scope == AddressScope::Universe
                        && is_permanent(&message) =>
                {
                    address_of(&message)
                }
                _ => None,
            })
            .collect())
    }

    /// The addresses of all links of the namespace, each with its link. Link-local ones are left
    /// out; those that come and go by themselves are not.
    pub fn addresses_of_all(&mut self) -> Result<Vec<(Ifindex, Address)>, NetlinkError> {
        let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        let answer = self.dump(&request, || "list the addresses of all links".into())?;
        Ok(answer
            .into_iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewAddress(message)
                    if message.header.scope == AddressScope::Universe =>
                {
                    Some((Ifindex(message.header.index), address_of(&message)?))
                }
                _ => None,
            })
            .collect())
    }

    /// Adds an address for good, also where it is for a time. It is usable at once: no duplicate
    /// address detection, as the topology has proven it unique.
    pub fn add_address(&mut self, ifindex: Ifindex, address: Address) -> Result<(), NetlinkError> {
        let message = message_of(ifindex, address);
        self.execute(RouteNetlinkMessage::NewAddress(message), NLM_F_CREATE | NLM_F_REPLACE, || {
            format!("add address {}/{} to link {}", address.ip, address.prefix_len, ifindex.0)
        })
    }

    /// Removes an address.
    pub fn delete_address(
        &mut self,
        ifindex: Ifindex,
        address: Address,
    ) -> Result<(), NetlinkError> {
        let message = message_of(ifindex, address);
        self.execute(RouteNetlinkMessage::DelAddress(message), 0, || {
            format!("remove address {}/{} from link {}", address.ip, address.prefix_len, ifindex.0)
        })
    }
}

fn is_permanent(message: &AddressMessage) -> bool {
    message.header.flags.contains(AddressHeaderFlags::Permanent)
}

/// The address itself: `IFA_LOCAL` where there is one (IPv4), otherwise `IFA_ADDRESS`.
pub(super) fn address_of(message: &AddressMessage) -> Option<Address> {
    let mut ip = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(local) => ip = Some(*local),
            AddressAttribute::Address(address) => ip = ip.or(Some(*address)),
            _ => {}
        }
    }
    Some(Address { ip: ip?, prefix_len: message.header.prefix_len })
}

fn message_of(ifindex: Ifindex, Address { ip, prefix_len }: Address) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = ifindex.0;
    message.header.prefix_len = prefix_len;
    message.attributes.push(AddressAttribute::Local(ip));
    message.attributes.push(AddressAttribute::Address(ip));
    match ip {
        IpAddr::V4(ip) => {
            message.header.family = AddressFamily::Inet;
            if prefix_len < 31 {
                let hosts = u32::MAX.checked_shr(u32::from(prefix_len)).unwrap_or(0);
                let broadcast = (u32::from(ip) | hosts).into();
                message.attributes.push(AddressAttribute::Broadcast(broadcast));
            }
        }
        IpAddr::V6(_) => {
            message.header.family = AddressFamily::Inet6;
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
    }
    message
}
