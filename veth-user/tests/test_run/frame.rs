//! Frames, made by hand.

use veth_common::Mac;

pub(crate) const RED_MAC: Mac = Mac([0x02, 0, 0, 0, 0, 0x21]);
pub(crate) const BLUE_MAC: Mac = Mac([0x02, 0, 0, 0, 0, 0x22]);

pub(crate) const ETHERNET_BYTES: usize = 14;
pub(crate) const IPV4: u16 = 0x0800;
pub(crate) const IPV6: u16 = 0x86dd;
pub(crate) const ARP: u16 = 0x0806;

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const GRE: u8 = 47;

pub(crate) fn ethernet(destination: Mac, source: Mac, ether_type: u16) -> Vec<u8> {
    [&destination.0[..], &source.0, &ether_type.to_be_bytes()].concat()
}

/// An IPv4 frame of `len` bytes in all, with so many words of IP and TCP options.
pub(crate) fn ipv4(protocol: u8, ip_words: u8, tcp_words: u8, len: usize) -> Vec<u8> {
    let mut frame = ethernet(BLUE_MAC, RED_MAC, IPV4);
    let mut header = [0; 20];
    header[0] = 0x45 + ip_words;
    header[2..4].copy_from_slice(&total_len(len));
    header[8] = 64;
    header[9] = protocol;
    frame.extend_from_slice(&header);
    frame.resize(frame.len() + 4 * usize::from(ip_words), 1);
    transport(&mut frame, protocol, tcp_words);
    frame.resize(len, 0xda);
    frame
}

/// An IPv6 frame of `len` bytes in all, with so many words of TCP options.
pub(crate) fn ipv6(next_header: u8, tcp_words: u8, len: usize) -> Vec<u8> {
    let mut frame = ethernet(BLUE_MAC, RED_MAC, IPV6);
    let mut header = [0; 40];
    header[0] = 0x60;
    header[6] = next_header;
    header[7] = 64;
    frame.extend_from_slice(&header);
    transport(&mut frame, next_header, tcp_words);
    frame.resize(len, 0xda);
    frame
}

/// A tag in front of the type of `frame`.
pub(crate) fn tagged(mut frame: Vec<u8>, tpid: u16) -> Vec<u8> {
    frame.splice(12..12, tpid.to_be_bytes().into_iter().chain([0, 7]));
    frame
}

pub(crate) fn with_destination(mut frame: Vec<u8>, destination: Mac) -> Vec<u8> {
    frame[..6].copy_from_slice(&destination.0);
    frame
}

pub(crate) fn with_source(mut frame: Vec<u8>, source: Mac) -> Vec<u8> {
    frame[6..12].copy_from_slice(&source.0);
    frame
}

/// `frame` with another first byte of its IP header: version, and header length for IPv4.
pub(crate) fn with_version(mut frame: Vec<u8>, byte: u8) -> Vec<u8> {
    frame[ETHERNET_BYTES] = byte;
    frame
}

fn transport(frame: &mut Vec<u8>, protocol: u8, tcp_words: u8) {
    match protocol {
        TCP => {
            let mut header = [0; 20];
            header[12] = (5 + tcp_words) << 4;
            frame.extend_from_slice(&header);
            frame.resize(frame.len() + 4 * usize::from(tcp_words), 1);
        }
        UDP => frame.extend_from_slice(&[0; 8]),
        _ => {}
    }
}

fn total_len(frame_len: usize) -> [u8; 2] {
    u16::try_from(frame_len.saturating_sub(ETHERNET_BYTES)).unwrap_or(u16::MAX).to_be_bytes()
}
