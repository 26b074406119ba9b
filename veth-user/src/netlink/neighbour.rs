//! Neighbours: which MAC address an IP address has.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
};
use veth_common::{Ifindex, Mac};

use super::{Netlink, NetlinkError};

impl Netlink {
    /// Ties `ip` to `mac` on `ifindex` for good: nobody is asked for the address, and no answer
    /// changes it.
    #[doc(alias = "NUD_PERMANENT")]
    pub fn add_neighbour(
        &mut self,
        ifindex: Ifindex,
        ip: IpAddr,
        mac: Mac,
    ) -> Result<(), NetlinkError> {
        let mut message = NeighbourMessage::default();
        message.header.family = match ip {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message.header.ifindex = ifindex.0;
        message.header.state = NeighbourState::Permanent;
        message.attributes.push(NeighbourAttribute::Destination(ip.into()));
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        self.execute(
            RouteNetlinkMessage::NewNeighbour(message),
            NLM_F_CREATE | NLM_F_REPLACE,
            || format!("tie {ip} to {mac} on link {}", ifindex.0),
        )
    }

    /// The MAC address that `ip` is known to have on `ifindex`, if it is.
    pub fn neighbour(&mut self, ifindex: Ifindex, ip: IpAddr) -> Result<Option<Mac>, NetlinkError> {
        let request = RouteNetlinkMessage::GetNeighbour(NeighbourMessage::default());
        let answer = self.dump(&request, || "list neighbours".into())?;
        Ok(answer.into_iter().find_map(|message| match message {
            RouteNetlinkMessage::NewNeighbour(message) if message.header.ifindex == ifindex.0 => {
                mac_of(&message, ip)
            }
            _ => None,
        }))
    }
}

/// The MAC address in `message`, when it is about `ip` and may be used.
fn mac_of(message: &NeighbourMessage, ip: IpAddr) -> Option<Mac> {
    if matches!(message.header.state, NeighbourState::Failed | NeighbourState::Incomplete) {
        return None;
    }
    let wanted = NeighbourAddress::from(ip);
    let is_destination = |it: &NeighbourAttribute| matches!(it, NeighbourAttribute::Destination(it) if *it == wanted);
    message.attributes.iter().find(|it| is_destination(it))?;
    message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(bytes) => {
            Some(Mac(bytes.as_slice().try_into().ok()?))
        }
        _ => None,
    })
}
