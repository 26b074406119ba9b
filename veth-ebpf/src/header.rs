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

/// TPIDs that announce a VLAN tag: 802.1Q, 802.1ad and the older 0x9100 (`QinQ`).
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

#[cfg(test)]
mod tests {
    //! What these views say of a frame, against what etherparse says of it.
    //!
    //! They differ on purpose in this, and in nothing else:
    //! - Of an IPv4 header, only the fixed 20 bytes have to be there. Options that are announced
    //!   and cut off make the frame no less forwardable.
    //! - Lengths inside the headers (IPv4 total length, IPv6 payload length, UDP length) and
    //!   checksums are the receiver's to check.
    //! - IPv6 extension headers are not walked: what follows them is "not plain TCP or UDP".
    //! - Of a TCP header, only the data offset has to be there, and it is believed even below
    //!   five words; of a UDP header, nothing has to be there, as its length never varies.
    //! - Fragments are not told from whole packets.

    use etherparse::{
        EtherType as Type, Ethernet2HeaderSlice, IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header,
        Ipv4HeaderSlice, Ipv4Options, Ipv6Extensions, Ipv6Header, Ipv6HeaderSlice, NetSlice,
        PacketBuilder, SlicedPacket, TcpHeader, TcpHeaderSlice, TransportSlice, VlanHeader, VlanId,
        err::ipv4, err::ipv6, err::tcp,
    };
    use proptest::{collection::vec, prelude::*, sample::select};
    use std::vec::Vec;
    use veth_common::Mac;

    use super::*;
    use crate::packet::Bytes;

    #[derive(Clone, Debug)]
    struct Shape {
        tags: usize,
        is_v6: bool,
        ip_option_words: usize,
        transport: IpNumber,
        tcp_option_words: usize,
        payload_bytes: usize,
    }

    impl Shape {
        fn any() -> impl Strategy<Value = Self> {
            let transport =
                select(&[IpNumber::TCP, IpNumber::TCP, IpNumber::UDP, IpNumber::GRE][..]);
            let sizes = (0..=10_usize, 0..=10_usize, 0..64_usize);
            let tags = prop_oneof![4 => Just(0), 1 => Just(1), 1 => Just(2_usize)];
            (tags, any::<bool>(), transport, sizes).prop_map(
                |(tags, is_v6, transport, (ip_option_words, tcp_option_words, payload_bytes))| {
                    Self {
                        tags,
                        is_v6,
                        ip_option_words,
                        transport,
                        tcp_option_words,
                        payload_bytes,
                    }
                },
            )
        }

        fn ip(&self) -> IpHeaders {
            if self.is_v6 {
                let header =
                    Ipv6Header { next_header: self.transport, hop_limit: 64, ..Default::default() };
                return IpHeaders::Ipv6(header, Ipv6Extensions::default());
            }
            let options = &[1; 40][..4 * self.ip_option_words];
            let mut header = Ipv4Header { protocol: self.transport, ..Default::default() };
            header.options = Ipv4Options::try_from(options).expect("at most 40 bytes, in words");
            IpHeaders::Ipv4(header, Ipv4Extensions::default())
        }

        /// The frame, as etherparse writes it.
        fn write(&self, destination: Mac, source: Mac) -> Vec<u8> {
            let payload = &[0xda; 64][..self.payload_bytes];
            let link = PacketBuilder::ethernet2(source.0, destination.0);
            let vlan = |id| VlanId::try_new(id).expect("at most 4094");
            let ip = match self.tags {
                0 => link.ip(self.ip()),
                1 => link.single_vlan(vlan(7)).ip(self.ip()),
                _ => link.double_vlan(vlan(7), vlan(8)).ip(self.ip()),
            };
            let mut frame = Vec::new();
            let written = match self.transport {
                IpNumber::TCP => {
                    let mut header = TcpHeader::new(1, 2, 3, 4);
                    header
                        .set_options_raw(&[1; 40][..4 * self.tcp_option_words])
                        .expect("at most 40 bytes, in words");
                    ip.tcp_header(header).write(&mut frame, payload)
                }
                IpNumber::UDP => ip.udp(1, 2).write(&mut frame, payload),
                other => ip.write(&mut frame, other, payload),
            };
            written.expect("a vector takes any frame");
            frame
        }
    }

    fn any_mac() -> impl Strategy<Value = Mac> {
        any::<[u8; 6]>().prop_map(Mac)
    }

    fn sound_frame() -> impl Strategy<Value = (Shape, Vec<u8>)> {
        (Shape::any(), any_mac(), any_mac()).prop_map(|(shape, destination, source)| {
            let frame = shape.write(destination, source);
            (shape, frame)
        })
    }

    /// Frames with bytes changed anywhere in their headers, cut anywhere.
    fn damaged_frame() -> impl Strategy<Value = Vec<u8>> {
        // The bytes that the views look at, more often than the rest.
        let at = prop_oneof![
            2 => select(&[12, 13, 14, 20, 23, 26, 46, 66][..]),
            1 => 0..140_usize,
        ];
        // Any, and the first byte of some IP header.
        let byte = prop_oneof![any::<u8>(), 0x40..0x70_u8];
        let cut = prop_oneof![1 => Just(usize::MAX), 2 => 0..140_usize];
        (sound_frame(), vec((at, byte), 0..3), cut).prop_map(|((_, mut frame), changes, cut)| {
            for (at, byte) in changes {
                if let Some(place) = frame.get_mut(at) {
                    *place = byte;
                }
            }
            frame.truncate(cut);
            frame
        })
    }

    /// What etherparse makes of the network header, with the difference that is listed above.
    fn expected_network(frame: &[u8], ether_type: Type) -> Result<Network, Verdict> {
        let packet = &frame[ETHERNET_LEN..];
        match ether_type {
            Type::IPV4 => match Ipv4HeaderSlice::from_slice(packet) {
                Ok(header) => Ok(Network::V4 { header_len: header.slice().len() }),
                // Only options are missing.
                Err(ipv4::HeaderSliceError::Len(error))
                    if error.required_len > Ipv4Header::MIN_LEN =>
                {
                    Ok(Network::V4 { header_len: error.required_len })
                }
                Err(ipv4::HeaderSliceError::Len(_)) => Err(Verdict::Truncated),
                Err(ipv4::HeaderSliceError::Content(_)) => Err(Verdict::Malformed),
            },
            Type::IPV6 => match Ipv6HeaderSlice::from_slice(packet) {
                Ok(_) => Ok(Network::V6),
                Err(ipv6::HeaderSliceError::Len(_)) => Err(Verdict::Truncated),
                Err(ipv6::HeaderSliceError::Content(_)) => Err(Verdict::Malformed),
            },
            _ => Ok(Network::Other),
        }
    }

    /// What etherparse makes of the headers of a segment, with the differences listed above.
    fn expected_segment_header_len(frame: &[u8], network: Network) -> Option<u32> {
        let packet = &frame[ETHERNET_LEN..];
        let (ip_len, protocol) = match network {
            // The options may be missing, which etherparse does not take.
            Network::V4 { header_len } => (header_len, IpNumber(packet[9])),
            Network::V6 => {
                let header = Ipv6HeaderSlice::from_slice(packet).expect("was a header before");
                (header.slice().len(), header.next_header())
            }
            Network::Other => return None,
        };
        let transport = packet.get(ip_len..).unwrap_or_default();
        let transport_len = match protocol {
            IpNumber::TCP => match TcpHeaderSlice::from_slice(transport) {
                Ok(header) => header.slice().len(),
                Err(tcp::HeaderSliceError::Content(tcp::HeaderError::DataOffsetTooSmall {
                    data_offset,
                })) => 4 * usize::from(data_offset),
                // Its data offset is all that has to be there.
                Err(tcp::HeaderSliceError::Len(_)) => 4 * usize::from(transport.get(12)? >> 4),
            },
            IpNumber::UDP => etherparse::UdpHeader::LEN,
            _ => return None,
        };
        u32::try_from(ip_len + transport_len).ok()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn ethernet_header_is_what_etherparse_finds(frame in damaged_frame()) {
            let ours = Ethernet::of(&Bytes::linear(&frame));
            let theirs = Ethernet2HeaderSlice::from_slice(&frame).ok();
            prop_assert_eq!(ours.is_some(), theirs.is_some());
            let (Some(ours), Some(theirs)) = (ours, theirs) else { return Ok(()) };
            prop_assert_eq!(ours.destination, MacKey::of(Mac(theirs.destination())));
            prop_assert_eq!(ours.source, MacKey::of(Mac(theirs.source())));
            prop_assert_eq!(u16::from_be(ours.ether_type), theirs.ether_type().0);
            let tags = [
                Type::VLAN_TAGGED_FRAME,
                Type::PROVIDER_BRIDGING,
                Type::VLAN_DOUBLE_TAGGED_FRAME,
            ];
            prop_assert_eq!(ours.is_vlan_tagged(), tags.contains(&theirs.ether_type()));
        }

        #[test]
        fn network_header_is_what_etherparse_finds(frame in damaged_frame()) {
            let packet = Bytes::linear(&frame);
            let Some(ethernet) = Ethernet::of(&packet) else { return Ok(()) };
            let ours = Network::of(&packet, ethernet.ether_type);
            let theirs = expected_network(&frame, Type(u16::from_be(ethernet.ether_type)));
            prop_assert_eq!(ours, theirs);
            if let Ok(network) = ours {
                prop_assert_eq!(
                    network.segment_header_len(&packet),
                    expected_segment_header_len(&frame, network)
                );
            }
        }

        /// The whole stack of etherparse, which checks all lengths, on frames that are sound.
        #[test]
        fn segment_headers_of_a_sound_frame_end_where_its_payload_begins(
            (shape, frame) in sound_frame()
        ) {
            let packet = Bytes::linear(&frame);
            let ethernet = Ethernet::of(&packet).expect("longer than its header");
            let theirs = SlicedPacket::from_ethernet(&frame).expect("etherparse wrote it");
            prop_assert_eq!(ethernet.is_vlan_tagged(), !theirs.link_exts.is_empty());
            if ethernet.is_vlan_tagged() {
                return Ok(());
            }
            let network = Network::of(&packet, ethernet.ether_type).expect("sound");
            match (&theirs.net, network) {
                (Some(NetSlice::Ipv4(ip)), Network::V4 { header_len }) => {
                    prop_assert_eq!(header_len, ip.header().slice().len());
                }
                (Some(NetSlice::Ipv6(_)), Network::V6) => {}
                (net, network) => prop_assert!(false, "{:?} is not {:?}", network, net),
            }
            let payload = match &theirs.transport {
                Some(TransportSlice::Tcp(tcp)) => Some(tcp.payload()),
                Some(TransportSlice::Udp(udp)) => Some(udp.payload()),
                _ => None,
            };
            let headers = payload.map(|payload| frame.len() - payload.len() - ETHERNET_LEN);
            let ours = network.segment_header_len(&packet).map(usize::try_from);
            prop_assert_eq!(ours.transpose().expect("small"), headers, "{:?}", shape);
        }
    }

    /// `0x9200` and `0x9300` were tags of `QinQ`, too. Neither Linux nor etherparse takes them for tags.
    #[test]
    fn other_tags_of_the_past_are_no_tags() {
        for tpid in [0x9200_u16, 0x9300] {
            let ethernet = Ethernet {
                destination: MacKey::default(),
                source: MacKey::default(),
                ether_type: tpid.to_be(),
            };
            assert!(!ethernet.is_vlan_tagged());
        }
    }

    #[test]
    fn vlan_header_that_etherparse_writes_is_a_tag() {
        let tag = VlanHeader::Single(etherparse::SingleVlanHeader::default());
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2; 6], [4; 6])
            .vlan(tag)
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(1, 2)
            .write(&mut frame, &[])
            .expect("a vector takes any frame");
        let ethernet = Ethernet::of(&Bytes::linear(&frame)).expect("longer than its header");
        assert!(ethernet.is_vlan_tagged());
    }

    #[test]
    fn tcp_behind_an_ipv6_extension_header_is_not_plain_tcp() {
        const HOP_BY_HOP: IpNumber = IpNumber::IPV6_HEADER_HOP_BY_HOP;
        let mut header = Ipv6Header { next_header: HOP_BY_HOP, ..Default::default() };
        header.set_payload_length(28).expect("small");
        let mut frame = Vec::from([0; 12]);
        frame.extend_from_slice(&Type::IPV6.0.to_be_bytes());
        frame.extend_from_slice(&header.to_bytes());
        frame.extend_from_slice(&[IpNumber::TCP.0, 0, 1, 4, 0, 0, 0, 0]);
        frame.extend_from_slice(&TcpHeader::new(1, 2, 3, 4).to_bytes());
        let theirs = SlicedPacket::from_ethernet(&frame).expect("sound");
        assert!(matches!(theirs.transport, Some(TransportSlice::Tcp(_))));

        let packet = Bytes::linear(&frame);
        let network = Network::of(&packet, EtherType::Ipv6 as u16);
        assert_eq!(network, Ok(Network::V6));
        assert_eq!(Network::V6.segment_header_len(&packet), None);
    }
}
