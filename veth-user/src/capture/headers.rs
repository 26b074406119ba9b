//! What a frame says of itself: addresses, protocol, ports. As far as its bytes go, and no further.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use veth_common::Mac;

/// A protocol above IP, or the one above Ethernet where there is no IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Number of a protocol above IP.
    Ip(u8),
    /// An `EtherType`.
    Ether(u16),
}

impl Protocol {
    /// TCP.
    pub const TCP: Self = Self::Ip(6);
    /// UDP.
    pub const UDP: Self = Self::Ip(17);

    /// The protocols that have names. The first name of one is what it is called.
    const NAMES: [(&'static str, Self); 10] = [
        ("icmp", Self::Ip(1)),
        ("igmp", Self::Ip(2)),
        ("tcp", Self::TCP),
        ("udp", Self::UDP),
        ("icmp6", Self::Ip(58)),
        ("icmpv6", Self::Ip(58)),
        ("ipv6-icmp", Self::Ip(58)),
        ("sctp", Self::Ip(132)),
        ("arp", Self::Ether(0x0806)),
        ("lldp", Self::Ether(0x88cc)),
    ];

    /// The protocol of that name, or of that number above IP.
    pub fn from_name(name: &str) -> Option<Self> {
        let named = Self::NAMES.into_iter().find(|(it, _)| it.eq_ignore_ascii_case(name));
        named.map(|(_, protocol)| protocol).or_else(|| name.parse().ok().map(Self::Ip))
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().map(|(name, _)| name)
    }

    /// Its name, or its number.
    pub fn name(self) -> String {
        let named = Self::NAMES.into_iter().find(|(_, it)| *it == self);
        match (named, self) {
            (Some((name, _)), _) => name.to_owned(),
            (None, Self::Ip(number)) => format!("ip {number}"),
            (None, Self::Ether(number)) => format!("ethertype {number:#06x}"),
        }
    }
}

/// What the headers of a frame say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Source and destination.
    pub macs: Option<[Mac; 2]>,
    /// Source and destination.
    pub addresses: Option<[IpAddr; 2]>,
    /// The innermost that is known.
    pub protocol: Option<Protocol>,
    /// Source and destination, of TCP, UDP and SCTP. A fragment that is not the first has none.
    pub ports: Option<[u16; 2]>,
}

/// How many bytes hold all that is looked for, in most frames.
pub const HEADERS_BYTES: u32 = 128;

impl Headers {
    /// What the headers of `frame` say, which may have been cut anywhere.
    pub fn of(frame: &[u8]) -> Self {
        let mut headers = Self::default();
        // Each `None` is where the frame ends; what was found before stays.
        let _ = headers.read(frame);
        headers
    }

    fn read(&mut self, frame: &[u8]) -> Option<()> {
        const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
        const FRAGMENT_OFFSET: u16 = 0x1fff;

        self.macs = Some([Mac(chunk(frame, 6)?), Mac(chunk(frame, 0)?)]);
        let mut at = 12;
        let mut ether_type = u16::from_be_bytes(chunk(frame, at)?);
        while TAGS.contains(&ether_type) {
            at += 4;
            ether_type = u16::from_be_bytes(chunk(frame, at)?);
        }
        let packet = frame.get(at + 2..)?;
        self.protocol = Some(Protocol::Ether(ether_type));
        match ether_type {
            0x0800 => {
                let source = Ipv4Addr::from(chunk::<4>(packet, 12)?);
                let destination = Ipv4Addr::from(chunk::<4>(packet, 16)?);
                self.addresses = Some([source.into(), destination.into()]);
                let [protocol] = chunk(packet, 9)?;
                self.protocol = Some(Protocol::Ip(protocol));
                if u16::from_be_bytes(chunk(packet, 6)?) & FRAGMENT_OFFSET == 0 {
                    let [first] = chunk(packet, 0)?;
                    self.read_ports(protocol, packet.get(usize::from(first & 0x0f) * 4..)?);
                }
            }
            0x86dd => {
                let source = Ipv6Addr::from(chunk::<16>(packet, 8)?);
                let destination = Ipv6Addr::from(chunk::<16>(packet, 24)?);
                self.addresses = Some([source.into(), destination.into()]);
                let [next] = chunk(packet, 6)?;
                self.read_ipv6(next, packet.get(40..)?);
            }
            0x0806 => {
                let source = Ipv4Addr::from(chunk::<4>(packet, 14)?);
                let destination = Ipv4Addr::from(chunk::<4>(packet, 24)?);
                self.addresses = Some([source.into(), destination.into()]);
            }
            _ => {}
        }
        Some(())
    }

    /// Reads what follows an IPv6 header: extension headers, each of which says what the next one is.
    ///
    /// Source: <https://www.rfc-editor.org/rfc/rfc8200#section-4>.
    fn read_ipv6(&mut self, mut next: u8, mut rest: &[u8]) {
        /// More than any host sends; a frame may claim any number.
        const HEADERS: usize = 8;
        const FRAGMENT: u8 = 44;
        const AUTHENTICATION: u8 = 51;
        /// Hop-by-hop options, routing, options for the destination, mobility, HIP, Shim6.
        const WITH_LENGTH: [u8; 6] = [0, 43, 60, 135, 139, 140];

        for _ in 0..HEADERS {
            self.protocol = Some(Protocol::Ip(next));
            let Some([following, length]) = chunk::<2>(rest, 0) else { return };
            let length = usize::from(length);
            let length_bytes = match next {
                FRAGMENT => 8,
                AUTHENTICATION => (length + 2) * 4,
                _ if WITH_LENGTH.contains(&next) => (length + 1) * 8,
                _ => return self.read_ports(next, rest),
            };
            let is_later = next == FRAGMENT
                && chunk(rest, 2).is_none_or(|field| u16::from_be_bytes(field) >> 3 != 0);
            if is_later {
                // What is in there is no header.
                self.protocol = Some(Protocol::Ip(following));
                return;
            }
            next = following;
            rest = rest.get(length_bytes..).unwrap_or_default();
        }
    }

    fn read_ports(&mut self, protocol: u8, segment: &[u8]) {
        if [6, 17, 132].contains(&protocol)
            && let (Some(source), Some(destination)) = (chunk(segment, 0), chunk(segment, 2))
        {
            self.ports = Some([u16::from_be_bytes(source), u16::from_be_bytes(destination)]);
        }
    }
}

fn chunk<const BYTES: usize>(bytes: &[u8], at: usize) -> Option<[u8; BYTES]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
pub(super) mod tests {
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    use super::*;

    pub(in crate::capture) fn udp_frame() -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4([10, 77, 0, 1], [10, 77, 0, 2], 64)
            .udp(1024, 53)
            .write(&mut frame, &[0; 20])
            .expect("a vector takes any frame");
        frame
    }

    #[test]
    fn headers_of_a_datagram_are_read() {
        let headers = Headers::of(&udp_frame());
        assert_eq!(headers.macs, Some([Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2])]));
        let addresses = ["10.77.0.1", "10.77.0.2"].map(|it| it.parse().expect("is one"));
        assert_eq!(headers.addresses, Some(addresses));
        assert_eq!(headers.protocol, Some(Protocol::Ip(17)));
        assert_eq!(headers.ports, Some([1024, 53]));
    }

    #[test]
    fn names_of_protocols_lead_back() {
        for (name, protocol) in Protocol::NAMES {
            assert_eq!(Protocol::from_name(name), Some(protocol));
            assert_eq!(Protocol::from_name(&name.to_uppercase()), Some(protocol));
            assert_eq!(Protocol::from_name(&protocol.name()), Some(protocol));
        }
        assert_eq!(Protocol::Ip(58).name(), "icmp6");
        assert_eq!(Protocol::from_name("47"), Some(Protocol::Ip(47)));
        assert_eq!(Protocol::from_name("carrier pigeon"), None);
    }

    /// An IPv6 frame with this after its header.
    fn ipv6(next: u8, rest: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, next, 1]);
        frame.extend([0xfd; 32]);
        frame.extend(rest);
        frame
    }

    #[test]
    fn extension_headers_are_passed_over() {
        let udp = [4, 0, 0, 53, 0, 8, 0, 0];
        // What multicast listeners send: a router alert before ICMPv6.
        let report = ipv6(0, &[58, 0, 5, 2, 0, 0, 1, 0, 143, 0, 0, 0]);
        assert_eq!(Headers::of(&report).protocol, Some(Protocol::Ip(58)));
        let options = ipv6(60, &[[43, 1].as_slice(), &[0; 14], &[17, 0], &[0; 6], &udp].concat());
        let fragment = |offset: u8| ipv6(44, &[&[17, 0, 0, offset, 0, 0, 0, 1][..], &udp].concat());
        let authenticated = ipv6(51, &[&[17, 4][..], &[0; 22], &udp].concat());
        for frame in [ipv6(17, &udp), options, fragment(1), authenticated] {
            let headers = Headers::of(&frame);
            assert_eq!(headers.protocol, Some(Protocol::UDP), "{frame:02x?}");
            assert_eq!(headers.ports, Some([1024, 53]), "{frame:02x?}");
        }
        let later = Headers::of(&fragment(8));
        assert_eq!((later.protocol, later.ports), (Some(Protocol::UDP), None));
        // Headers without end.
        let headers = Headers::of(&ipv6(0, &[0; 1000]));
        assert_eq!((headers.protocol, headers.ports), (Some(Protocol::Ip(0)), None));
    }

    proptest! {
        #[test]
        fn a_frame_that_was_cut_says_less_and_nothing_else(cut in 0..62_usize) {
            let frame = udp_frame();
            let (whole, part) = (Headers::of(&frame), Headers::of(&frame[..cut]));
            prop_assert!(part.macs.is_none() || part.macs == whole.macs);
            prop_assert!(part.addresses.is_none() || part.addresses == whole.addresses);
            prop_assert!(part.ports.is_none() || part.ports == whole.ports);
        }

        #[test]
        fn any_bytes_can_be_looked_at(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let headers = Headers::of(&bytes);
            prop_assert_eq!(headers.macs.is_some(), bytes.len() >= 12);
        }
    }
}
