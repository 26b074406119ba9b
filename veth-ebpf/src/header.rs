//! Views of the headers that the decision looks at: Ethernet, the start of IP, of TCP and UDP.
//!
//! Offsets and sizes come from `network-types`. Fields are read where they lie, one by one,
//! because a copy of a whole header costs the verifier and the CPU a stack frame.

use network_types::{
    eth::{EthHdr, EtherType},
    ip::{IpProto, Ipv4Hdr, Ipv6Hdr},
    udp::UdpHdr,
};
use veth_common::{MacKey, Verdict};

use crate::packet::Packet;

/// Length of an Ethernet header in bytes.
pub const ETHERNET_LEN: usize = EthHdr::LEN;

const SOURCE_OFFSET: usize = core::mem::offset_of!(EthHdr, src_addr);
const ETHER_TYPE_OFFSET: usize = core::mem::offset_of!(EthHdr, ether_type);

/// TPIDs that announce a VLAN tag: 802.1Q, 802.1ad and the older 0x9100 (QinQ).
const VLAN_TPIDS: [u16; 3] =
    [EtherType::Ieee8021q as u16, EtherType::Ieee8021ad as u16, 0x9100_u16.to_be()];

/// The Ethernet header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ethernet {
    /// To whom.
    pub destination: MacKey,
    /// From whom.
    pub source: MacKey,
    /// In network byte order, as it lies in the frame.
    pub ether_type: u16,
}

impl Ethernet {
    /// The header of `packet`, or `None` for a runt.
    #[inline(always)]
    pub fn of(packet: &impl Packet) -> Option<Self> {
        // The last field first: when that is readable, all of it is, and the verifier carries
        // the one bounds check to the rest.
        let ether_type: u16 = packet.read(ETHER_TYPE_OFFSET)?;
        // Each address is read together with the two bytes behind it, which are inside the
        // header, and these are masked off: one load instead of six.
        let destination: u64 = packet.read(0)?;
        let source: u64 = packet.read(SOURCE_OFFSET)?;
        Some(Self { destination: first_six(destination), source: first_six(source), ether_type })
    }

    /// Whether the frame carries a VLAN tag behind its addresses.
    #[inline(always)]
    pub fn is_vlan_tagged(&self) -> bool {
        VLAN_TPIDS.contains(&self.ether_type)
    }
}

/// The key made of the first six of eight bytes in memory order.
#[inline(always)]
fn first_six(word: u64) -> MacKey {
    const MASK: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
    MacKey(word & MASK)
}

/// What follows the Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// IPv4.
    V4 {
        /// Header length in bytes, options included: 20 to 60.
        header_len: usize,
    },
    /// IPv6, without looking at extension headers.
    V6,
    /// Anything else; the bridge forwards it by its MAC addresses, and so do we.
    Other,
}

impl Network {
    /// Checks that the header that `ether_type` announces is there and is what it claims to be.
    ///
    /// # Errors
    ///
    /// [`Verdict::Truncated`] and [`Verdict::Malformed`].
    #[inline(always)]
    pub fn of(packet: &impl Packet, ether_type: u16) -> Result<Self, Verdict> {
        if ether_type == EtherType::Ipv4 as u16 {
            // Touching the last byte of the fixed header proves that all of it is there.
            let _: u8 = packet.read(ETHERNET_LEN + Ipv4Hdr::LEN - 1).ok_or(Verdict::Truncated)?;
            let vihl: u8 = packet.read(ETHERNET_LEN).ok_or(Verdict::Truncated)?;
            let header_len = usize::from(vihl & 0x0f) * 4;
            if vihl >> 4 != 4 || header_len < Ipv4Hdr::LEN {
                return Err(Verdict::Malformed);
            }
            Ok(Self::V4 { header_len })
        } else if ether_type == EtherType::Ipv6 as u16 {
            let _: u8 = packet.read(ETHERNET_LEN + Ipv6Hdr::LEN - 1).ok_or(Verdict::Truncated)?;
            let version: u8 = packet.read(ETHERNET_LEN).ok_or(Verdict::Truncated)?;
            if version >> 4 != 6 {
                return Err(Verdict::Malformed);
            }
            Ok(Self::V6)
        } else {
            Ok(Self::Other)
        }
    }

    /// Length in bytes of the network and transport headers that each segment of a GSO frame
    /// repeats, or `None` when they are not plain TCP or UDP.
    #[inline(always)]
    pub fn segment_header_len(self, packet: &impl Packet) -> Option<u32> {
        let (header_len, proto_offset) = match self {
            Self::V4 { header_len } => (header_len, core::mem::offset_of!(Ipv4Hdr, proto)),
            Self::V6 => (Ipv6Hdr::LEN, core::mem::offset_of!(Ipv6Hdr, next_hdr)),
            Self::Other => return None,
        };
        let proto: u8 = packet.read(ETHERNET_LEN + proto_offset)?;
        let transport_len = if proto == IpProto::Tcp as u8 {
            /// The data offset is the upper half of the thirteenth byte, in 32-bit words.
            const DATA_OFFSET: usize = 12;
            let data_offset: u8 = packet.read(ETHERNET_LEN + header_len + DATA_OFFSET)?;
            usize::from(data_offset >> 4) * 4
        } else if proto == IpProto::Udp as u8 {
            UdpHdr::LEN
        } else {
            return None;
        };
        // Both summands are at most 60.
        #[expect(clippy::cast_possible_truncation, reason = "at most 120")]
        Some((header_len + transport_len) as u32)
    }
}
