//! VLANs of bridge ports.

use std::collections::BTreeMap;

use netlink_packet_core::{DecodeError, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};
use veth_common::{Ifindex, Vlan};

use super::{
    Netlink, NetlinkError,
    attributes::{Attributes, attribute, attributes_of},
};
use crate::view::{PortState, Pvid};

/// `RTM_GETVLAN`.
const GET_VLAN: u16 = 114;
/// `BRIDGE_VLANDB_ENTRY`, and what is in it: `BRIDGE_VLANDB_ENTRY_INFO`, `BRIDGE_VLANDB_ENTRY_STATE`.
const ENTRY: u16 = 1;
const INFO: u16 = 1;
const STATE: u16 = 3;
/// `BRIDGE_VLAN_INFO_PVID`.
const IS_PVID: u16 = 1 << 1;
/// `BRIDGE_VLAN_INFO_UNTAGGED`.
const IS_UNTAGGED: u16 = 1 << 2;
/// `BR_STATE_FORWARDING`.
const FORWARDING: u8 = 3;

/// `RTM_NEWVLAN` and `RTM_DELVLAN`.
pub(super) const VLAN_EVENTS: [u16; 2] = [112, 113];

impl Netlink {
    /// The VLAN that untagged frames are in, for each port of a bridge that has one; `None` when this
    /// kernel cannot be asked. `AF_BRIDGE` links say it as well, but not whether that VLAN forwards.
    ///
    /// # Minimum kernel version
    ///
    /// 5.6 (`RTM_GETVLAN`).
    #[doc(alias = "RTM_GETVLAN")]
    pub fn pvids(&mut self) -> Result<Option<BTreeMap<Ifindex, Pvid>>, NetlinkError> {
        let question =
            VlanMessage { kind: GET_VLAN, port: Ifindex(0), attributes: Attributes::default() };
        match self.dump(&question, || "list VLANs of bridge ports".into()) {
            Ok(answer) => Ok(Some(answer.iter().filter_map(pvid_of).collect())),
            Err(error) if error.is_unsupported() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// The port that `message` is about, and its PVID, when that is in this message.
fn pvid_of(message: &VlanMessage) -> Option<(Ifindex, Pvid)> {
    let entries = attributes_of(message.attributes.as_bytes());
    let pvid = entries.filter(|(kind, _)| *kind == ENTRY).find_map(|(_, entry)| {
        let info: &[u8; 4] = attribute(entry, INFO)?.try_into().ok()?;
        let [f0, f1, v0, v1] = *info;
        let flags = u16::from_ne_bytes([f0, f1]);
        // A range begins with the PVID, if that is in it, and is alike in all else.
        (flags & IS_PVID != 0).then(|| Pvid {
            vlan: Vlan(u16::from_ne_bytes([v0, v1])),
            is_untagged: flags & IS_UNTAGGED != 0,
            state: match attribute(entry, STATE) {
                Some([FORWARDING]) => PortState::Forwarding,
                _ => PortState::NotForwarding,
            },
        })
    })?;
    Some((message.port, pvid))
}

/// A message about the VLANs of one device: `struct br_vlan_msg`, then attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct VlanMessage {
    /// What it says or asks, `RTM_...`.
    kind: u16,
    /// The device; none asks for those of all.
    port: Ifindex,
    /// What it says.
    attributes: Attributes,
}

/// Length of `struct br_vlan_msg`, in bytes: the address family, what is reserved, the device.
const HEADER_BYTES: usize = 8;

impl NetlinkSerializable for VlanMessage {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        HEADER_BYTES + self.attributes.as_bytes().len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        /// `AF_BRIDGE`.
        const FAMILY: u8 = 7;
        let (header, attributes) = buffer.split_at_mut(HEADER_BYTES);
        header[..4].copy_from_slice(&[FAMILY, 0, 0, 0]);
        header[4..].copy_from_slice(&self.port.0.to_ne_bytes());
        attributes.copy_from_slice(self.attributes.as_bytes());
    }
}

impl NetlinkDeserializable for VlanMessage {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        let Some((&[_, _, _, _, i0, i1, i2, i3], attributes)) =
            payload.split_first_chunk::<HEADER_BYTES>()
        else {
            return Err(DecodeError::buffer_too_small(payload.len(), HEADER_BYTES));
        };
        let port = Ifindex(u32::from_ne_bytes([i0, i1, i2, i3]));
        Ok(Self { kind: header.message_type, port, attributes: attributes.into() })
    }
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    #[track_caller]
    fn told(payload: &[u8]) -> Option<(Ifindex, Pvid)> {
        let mut header = NetlinkHeader::default();
        header.message_type = VLAN_EVENTS[0];
        pvid_of(&VlanMessage::deserialize(&header, payload).expect("a whole message"))
    }

    /// What the kernel says of a port after `bridge vlan add dev PORT vid VID ...`.
    const TRUNK: [u8; 8] = [7, 0, 0, 0, 5, 0, 0, 0];
    const ENTRY_OF_30_TAGGED: [u8; 20] =
        [20, 0, 1, 0x80, 8, 0, 1, 0, 0, 0, 30, 0, 5, 0, 3, 0, 3, 0, 0, 0];
    const ENTRY_OF_10_AS_PVID: [u8; 20] =
        [20, 0, 1, 0x80, 8, 0, 1, 0, 6, 0, 10, 0, 5, 0, 3, 0, 3, 0, 0, 0];

    #[test]
    fn pvid_is_found_among_the_vlans_of_a_port() {
        let message = [&TRUNK[..], &ENTRY_OF_30_TAGGED, &ENTRY_OF_10_AS_PVID].concat();
        let pvid = Pvid { vlan: Vlan(10), is_untagged: true, state: PortState::Forwarding };
        assert_eq!(told(&message), Some((Ifindex(5), pvid)));
        assert_eq!(told(&[&TRUNK[..], &ENTRY_OF_30_TAGGED].concat()), None);
        assert_eq!(told(&TRUNK), None);
    }

    #[test]
    fn pvid_that_leaves_tagged_or_does_not_forward_is_told_so() {
        let with = |at: usize, value: u8| {
            let mut entry = ENTRY_OF_10_AS_PVID;
            entry[at] = value;
            told(&[&TRUNK[..], &entry].concat()).map(|(_, pvid)| (pvid.is_untagged, pvid.state))
        };
        assert_eq!(with(8, 2), Some((false, PortState::Forwarding)));
        // Every other state, and none that is readable.
        for state in [0, 1, 2, 4] {
            assert_eq!(with(16, state), Some((true, PortState::NotForwarding)));
        }
        assert_eq!(with(14, 9), Some((true, PortState::NotForwarding)));
    }

    #[test]
    fn message_that_is_cut_says_nothing() {
        let message = [&TRUNK[..], &ENTRY_OF_10_AS_PVID].concat();
        for length in HEADER_BYTES..HEADER_BYTES + 12 {
            assert_eq!(told(&message[..length]), None, "{length} bytes");
        }
        assert!(VlanMessage::deserialize(&NetlinkHeader::default(), &message[..7]).is_err());
    }

    #[test]
    fn question_is_about_all_ports_of_bridges() {
        let question =
            VlanMessage { kind: GET_VLAN, port: Ifindex(0), attributes: Attributes::default() };
        let mut bytes = vec![0xff; question.buffer_len()];
        question.serialize(&mut bytes);
        assert_eq!((question.message_type(), &bytes[..]), (114, &[7, 0, 0, 0, 0, 0, 0, 0][..]));
    }
}
