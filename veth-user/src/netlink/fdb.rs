//! Entries of a bridge's forwarding database.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
};
use veth_common::{Ifindex, Mac};

use super::{Netlink, NetlinkError, TICK_MS};
use crate::view::{BridgeFdbEntry, FdbKind};

impl Netlink {
    /// The forwarding entries of `bridge`.
    pub fn bridge_fdb(&mut self, bridge: Ifindex) -> Result<Vec<BridgeFdbEntry>, NetlinkError> {
        let mut message = NeighbourMessage::default();
        message.header.family = AddressFamily::Bridge;
        message.attributes.push(NeighbourAttribute::Controller(bridge.0));
        let answer = self.dump(&RouteNetlinkMessage::GetNeighbour(message), || {
            format!("list forwarding entries of bridge {}", bridge.0)
        })?;
        Ok(answer
            .into_iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewNeighbour(message) => entry_of(&message, bridge),
                _ => None,
            })
            .collect())
    }

    /// Ties `mac` to `port` for good: the bridge neither ages nor moves it.
    ///
    /// # Minimum kernel version
    ///
    /// 4.20 (`NTF_STICKY`).
    #[doc(alias = "NTF_STICKY")]
    pub fn pin_station(&mut self, port: Ifindex, mac: Mac) -> Result<(), NetlinkError> {
        let mut message = message_of(port, mac);
        message.header.state = NeighbourState::Noarp;
        message.header.flags |= NeighbourFlags::Sticky;
        self.execute(
            RouteNetlinkMessage::NewNeighbour(message),
            NLM_F_CREATE | NLM_F_REPLACE,
            || format!("tie {mac} to bridge port {}", port.0),
        )
    }

    /// Has the bridge take `mac` for seen on `port` just now, as if a frame had come from there.
    ///
    /// # Minimum kernel version
    ///
    /// 3.0 (`NTF_USE` of bridges).
    #[doc(alias = "NTF_USE")]
    pub fn refresh_station(&mut self, port: Ifindex, mac: Mac) -> Result<(), NetlinkError> {
        let mut message = message_of(port, mac);
        message.header.state = NeighbourState::Reachable;
        message.header.flags |= NeighbourFlags::Use;
        self.execute(RouteNetlinkMessage::NewNeighbour(message), NLM_F_CREATE, || {
            format!("refresh {mac} on bridge port {}", port.0)
        })
    }

    /// Makes the bridge forget `mac` on `port`.
    pub fn forget_station(&mut self, port: Ifindex, mac: Mac) -> Result<(), NetlinkError> {
        let message = message_of(port, mac);
        self.execute(RouteNetlinkMessage::DelNeighbour(message), 0, || {
            format!("forget {mac} on bridge port {}", port.0)
        })
    }
}

fn message_of(port: Ifindex, mac: Mac) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = port.0;
    message.header.flags = NeighbourFlags::Controller;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
    message
}

fn entry_of(message: &NeighbourMessage, bridge: Ifindex) -> Option<BridgeFdbEntry> {
    let mut mac = None;
    let mut controller = None;
    let mut age_ms = 0;
    let mut has_vlan = false;
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                mac = bytes.as_slice().try_into().ok().map(Mac);
            }
            NeighbourAttribute::Controller(ifindex) => controller = Some(Ifindex(*ifindex)),
            NeighbourAttribute::CacheInfo(info) => age_ms = u64::from(info.updated) * TICK_MS,
            NeighbourAttribute::Vlan(_) => has_vlan = true,
            _ => {}
        }
    }
    let port = Ifindex(message.header.ifindex);
    // Devices answer with their own filters (NTF_SELF) in the same dump; those are no stations.
    if controller != Some(bridge) && port != bridge {
        return None;
    }
    // A bridge that does not filter VLANs finds stations without one, and one that does has no fast
    // path. Addresses of its own are its own in any VLAN.
    if has_vlan && message.header.state != NeighbourState::Permanent {
        return None;
    }
    let kind = if message.header.state == NeighbourState::Permanent {
        FdbKind::Local
    } else if message.header.flags.contains(NeighbourFlags::Sticky) {
        FdbKind::Sticky
    } else if message.header.state == NeighbourState::Noarp {
        FdbKind::Static
    } else {
        FdbKind::Learned
    };
    Some(BridgeFdbEntry { mac: mac?, port, kind, age_ms })
}
