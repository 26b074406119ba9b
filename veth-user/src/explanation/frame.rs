//! Frames, made up to ask about: the smallest that does what is asked for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use veth_common::Mac;

use crate::view::Address;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// The bytes of an Ethernet frame without its checksum, at the least.
const SHORTEST: usize = 60;

/// A UDP datagram without content from one station to another. The decision does not look at the IP
/// addresses, so they are left out where nobody has asked for any.
pub fn datagram(source: Mac, destination: Mac, ips: Option<(IpAddr, IpAddr)>) -> Vec<u8> {
    let any = Ipv4Addr::UNSPECIFIED;
    match ips {
        Some((IpAddr::V6(from), IpAddr::V6(to))) => {
            ipv6((source, destination), UDP, (from, to), &[0, 9, 0, 9, 0, 8, 0, 0])
        }
        Some((IpAddr::V4(from), IpAddr::V4(to))) => ipv4(source, destination, from, to),
        Some(_) | None => ipv4(source, destination, any, any),
    }
}

/// What a station asks everybody, or a group, who wants to know the MAC address of `to`.
pub fn question(source: Mac, from: Option<IpAddr>, to: IpAddr) -> Vec<u8> {
    match to {
        IpAddr::V4(to) => {
            let from = match from {
                Some(IpAddr::V4(from)) => from,
                _ => Ipv4Addr::UNSPECIFIED,
            };
            let mut frame = ethernet(source, Mac::BROADCAST, ARP);
            // Ethernet, IPv4, and a request.
            frame.extend([0, 1, 0x08, 0, 6, 4, 0, 1]);
            frame.extend(source.0);
            frame.extend(from.octets());
            frame.extend([0; 6]);
            frame.extend(to.octets());
            padded(frame)
        }
        IpAddr::V6(to) => {
            let from = match from {
                Some(IpAddr::V6(from)) => from,
                _ => Ipv6Addr::UNSPECIFIED,
            };
            let [.., high, mid, low] = to.octets();
            let group =
                Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, high, mid, low]);
            let mut payload = vec![135, 0, 0, 0, 0, 0, 0, 0];
            payload.extend(to.octets());
            payload.extend([1, 1]);
            payload.extend(source.0);
            let destination = group_mac(group.into()).unwrap_or(Mac::BROADCAST);
            ipv6((source, destination), ICMPV6, (from, group), &payload)
        }
    }
}

/// The MAC address that frames to a group, or to everybody, have; `None` for the address of one host.
pub fn group_mac(ip: IpAddr) -> Option<Mac> {
    match ip {
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some(Mac::BROADCAST),
        IpAddr::V4(ip) if ip.is_multicast() => {
            let [_, b, c, d] = ip.octets();
            Some(Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d]))
        }
        IpAddr::V6(ip) if ip.is_multicast() => {
            let [.., a, b, c, d] = ip.octets();
            Some(Mac([0x33, 0x33, a, b, c, d]))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Whether `ip` means everybody in the subnet of a host's `own` address. Where two hosts make a subnet, there
/// is no such address.
pub fn is_broadcast_of(own: &Address, ip: IpAddr) -> bool {
    let (IpAddr::V4(host), IpAddr::V4(ip)) = (own.ip, ip) else { return false };
    let subnet = u32::MAX.checked_shl(32 - u32::from(own.prefix_len.min(32))).unwrap_or(0);
    own.prefix_len <= 30 && ip.to_bits() == host.to_bits() | !subnet
}

fn ethernet(source: Mac, destination: Mac, ether_type: u16) -> Vec<u8> {
    [&destination.0[..], &source.0, &ether_type.to_be_bytes()].concat()
}

fn ipv4(source: Mac, destination: Mac, from: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let mut frame = ethernet(source, destination, IPV4);
    // Without its checksum: nobody on the way looks at it, and the frame is never sent.
    frame.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, UDP, 0, 0]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend([0, 9, 0, 9, 0, 8, 0, 0]);
    padded(frame)
}

fn ipv6(
    (source, destination): (Mac, Mac),
    next_header: u8,
    (from, to): (Ipv6Addr, Ipv6Addr),
    payload: &[u8],
) -> Vec<u8> {
    let mut frame = ethernet(source, destination, IPV6);
    let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([next_header, 255]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend(payload);
    padded(frame)
}

fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(SHORTEST), 0);
    frame
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    const RED: Mac = Mac([0x02, 0, 0, 0, 0, 0x21]);
    const BLUE: Mac = Mac([0x02, 0, 0, 0, 0, 0x22]);

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("is an address")
    }

    #[test]
    fn datagrams_are_what_they_say() {
        for ips in
            [None, Some((ip("10.77.0.1"), ip("10.77.0.2"))), Some((ip("fd77::1"), ip("fd77::2")))]
        {
            let frame = datagram(RED, BLUE, ips);
            assert!(frame.len() >= SHORTEST);
            let packet = SlicedPacket::from_ethernet(&frame).expect("is sound");
            assert!(matches!(packet.transport, Some(TransportSlice::Udp(_))), "{ips:?}");
            let Some((_, to)) = ips else { continue };
            match packet.net {
                Some(NetSlice::Ipv4(ip)) => assert_eq!(ip.header().destination_addr(), to),
                Some(NetSlice::Ipv6(ip)) => assert_eq!(ip.header().destination_addr(), to),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn questions_go_to_everybody_or_to_a_group() {
        let arp = question(RED, None, ip("10.77.0.2"));
        assert_eq!(arp[..6], Mac::BROADCAST.0);
        assert_eq!(arp[38..42], [10, 77, 0, 2]);
        let solicitation = question(RED, Some(ip("fd77::1")), ip("fd77::2:3456"));
        assert_eq!(solicitation[..6], [0x33, 0x33, 0xff, 0x02, 0x34, 0x56]);
        let packet = SlicedPacket::from_ethernet(&solicitation).expect("is sound");
        assert!(matches!(packet.transport, Some(TransportSlice::Icmpv6(_))));
    }

    #[test]
    fn last_address_of_a_subnet_is_everybody() {
        let own = |text, prefix_len| Address { ip: ip(text), prefix_len };
        assert!(is_broadcast_of(&own("10.77.0.1", 24), ip("10.77.0.255")));
        assert!(is_broadcast_of(&own("10.77.0.1", 30), ip("10.77.0.3")));
        for (address, to) in [
            (own("10.77.0.1", 24), "10.77.0.2"),
            (own("10.77.0.1", 24), "10.77.1.255"),
            (own("10.77.0.1", 31), "10.77.0.1"),
            (own("10.77.0.255", 32), "10.77.0.255"),
            (own("fd77::1", 64), "fd77::ffff:ffff:ffff:ffff"),
        ] {
            assert!(!is_broadcast_of(&address, ip(to)), "{address} and {to}");
        }
    }

    #[test]
    fn groups_have_addresses_that_follow_from_theirs() {
        assert_eq!(group_mac(ip("224.0.0.251")), Some(Mac([1, 0, 0x5e, 0, 0, 0xfb])));
        assert_eq!(group_mac(ip("ff02::1")), Some(Mac([0x33, 0x33, 0, 0, 0, 1])));
        assert_eq!(group_mac(ip("255.255.255.255")), Some(Mac::BROADCAST));
        assert_eq!(group_mac(ip("10.77.0.2")), None);
    }
}
