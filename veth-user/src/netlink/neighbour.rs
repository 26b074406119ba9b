//! Neighbours: which MAC address an IP address has.

use std::net::IpAddr;

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState},
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
}
