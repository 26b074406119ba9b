//! Entries of a bridge's forwarding database.

use netlink_packet_core::{NLM_F_CREATE, NLM_F_REPLACE};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    neighbour::{NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState},
};
use veth_common::{Ifindex, Mac, Vlan};

use super::{Netlink, NetlinkError, TICK_MS};
use crate::view::{BridgeFdbEntry, FdbKind};

impl Netlink {
    /// The forwarding entries of `bridge`.
    pub fn bridge_fdb(&mut self, bridge: Ifindex) -> Result<Vec<BridgeFdbEntry>, NetlinkError> {
        let message = question_to(bridge);
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

    /// The entry by which `bridge` knows `mac` in `vlan`, if it does.
    ///
    /// # Minimum kernel version
    ///
    /// 5.0 (`RTM_GETNEIGH` of bridges). On an older one the error is
    /// [unsupported](NetlinkError::is_unsupported).
    pub fn bridge_fdb_entry(
        &mut self,
        bridge: Ifindex,
        mac: Mac,
        vlan: Vlan,
    ) -> Result<Option<BridgeFdbEntry>, NetlinkError> {
        let mut message = question_to(bridge);
        message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
        if vlan != Vlan::NONE {
            message.attributes.push(NeighbourAttribute::Vlan(vlan.0));
        }
        let action = || format!("look up {mac} on bridge {}", bridge.0);
        match self.get(RouteNetlinkMessage::GetNeighbour(message), action) {
            Ok(RouteNetlinkMessage::NewNeighbour(message)) => Ok(entry_of(&message, bridge)),
            Ok(_) => Ok(None),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
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

    /// Has the bridge take `mac` for seen on `port` in `vlan` just now, as if a frame had come from
    /// there. Without a VLAN, it takes it for seen in every VLAN of the port.
    ///
    /// # Minimum kernel version
    ///
    /// 3.0 (`NTF_USE` of bridges).
    #[doc(alias = "NTF_USE")]
    pub fn refresh_station(
        &mut self,
        port: Ifindex,
        mac: Mac,
        vlan: Vlan,
    ) -> Result<(), NetlinkError> {
        let mut message = message_of(port, mac);
        if vlan != Vlan::NONE {
            message.attributes.push(NeighbourAttribute::Vlan(vlan.0));
        }
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

/// A question for entries of `bridge`.
fn question_to(bridge: Ifindex) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.attributes.push(NeighbourAttribute::Controller(bridge.0));
    message
}

fn message_of(port: Ifindex, mac: Mac) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = port.0;
    message.header.flags = NeighbourFlags::Controller;
    message.attributes.push(NeighbourAttribute::LinkLayerAddress(mac.0.to_vec()));
    message
}

/// What a message says of a station.
pub(super) struct Told {
    pub(super) mac: Option<Mac>,
    pub(super) vlan: Vlan,
    /// The bridge that knows it; none where a device says it of its own filter.
    pub(super) controller: Option<Ifindex>,
    age_ms: u64,
}

/// Reads a message about a station, be it an answer or unasked.
pub(super) fn told_by(message: &NeighbourMessage) -> Told {
    let mut told = Told { mac: None, vlan: Vlan::NONE, controller: None, age_ms: 0 };
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::LinkLayerAddress(bytes) => {
                told.mac = bytes.as_slice().try_into().ok().map(Mac);
            }
            NeighbourAttribute::Controller(ifindex) => told.controller = Some(Ifindex(*ifindex)),
            NeighbourAttribute::CacheInfo(info) => {
                told.age_ms = u64::from(info.updated) * TICK_MS;
            }
            NeighbourAttribute::Vlan(id) => told.vlan = Vlan(*id),
            _ => {}
        }
    }
    told
}

fn entry_of(message: &NeighbourMessage, bridge: Ifindex) -> Option<BridgeFdbEntry> {
    let Told { mac, vlan, controller, age_ms } = told_by(message);
    let port = Ifindex(message.header.ifindex);
    // Devices answer with their own filters (NTF_SELF) in the same dump; those are no stations, unless they
    // are addresses that the bridge itself has from devices on top of it.
    let is_own = port == bridge && mac.is_some_and(Mac::is_station);
    if controller != Some(bridge) && !is_own {
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
    Some(BridgeFdbEntry { mac: mac?, vlan, port, kind, age_ms })
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use netlink_packet_core::{NetlinkDeserializable as _, NetlinkHeader};

    use super::*;

    const BRIDGE: Ifindex = Ifindex(3);

    /// What the kernel says of a station on port 5 of bridge 3, with `more` behind it.
    fn told(state: u8, more: &[u8]) -> Option<BridgeFdbEntry> {
        const STATION: [u8; 32] = [
            7, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 10, 0, 2, 0, 2, 0, 0, 0, 0, 0x21, 0, 0, 8, 0, 9, 0,
            3, 0, 0, 0,
        ];
        let mut payload = [&STATION[..], more].concat();
        payload[8] = state;
        let mut header = NetlinkHeader::default();
        // `RTM_NEWNEIGH`.
        header.message_type = 28;
        match RouteNetlinkMessage::deserialize(&header, &payload).expect("a whole message") {
            RouteNetlinkMessage::NewNeighbour(message) => entry_of(&message, BRIDGE),
            other => panic!("{other:?} is no entry"),
        }
    }

    #[test]
    fn entry_says_in_which_vlan_it_is() {
        let (learned, permanent) = (2, 0x80);
        let vlan_10 = [6, 0, 5, 0, 10, 0, 0, 0];
        let entry = told(learned, &[]).expect("is of this bridge");
        assert_eq!(
            (entry.vlan, entry.kind, entry.port),
            (Vlan::NONE, FdbKind::Learned, Ifindex(5))
        );
        let entry = told(learned, &vlan_10).expect("is of this bridge");
        assert_eq!((entry.vlan, entry.kind), (Vlan(10), FdbKind::Learned));
        let entry = told(permanent, &vlan_10).expect("is of this bridge");
        assert_eq!((entry.vlan, entry.kind), (Vlan(10), FdbKind::Local));
    }
}
