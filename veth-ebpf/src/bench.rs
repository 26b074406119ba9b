//! What the sinks of the benchmark ask of a frame.

use veth_common::SINK_PORT;

use crate::{
    header::{ETHERNET_LEN, Ethernet, Network},
    packet::Packet,
};

const UDP: u8 = 17;
const IPV4_PROTOCOL_AT: usize = ETHERNET_LEN + 9;
const IPV6_NEXT_HEADER_AT: usize = ETHERNET_LEN + 6;
const IPV6_LEN: usize = 40;
const UDP_DESTINATION_AT: usize = 2;

/// Whether the frame is one of the generator's.
#[inline(always)]
pub fn is_generated(packet: &impl Packet) -> bool {
    let Some(ethernet) = Ethernet::of(packet) else { return false };
    let (protocol_at, udp_at) = match Network::of(packet, ethernet.ether_type) {
        // The generator sends no options.
        Ok(Network::V4 { header_len: 20 }) => (IPV4_PROTOCOL_AT, ETHERNET_LEN + 20),
        Ok(Network::V6) => (IPV6_NEXT_HEADER_AT, ETHERNET_LEN + IPV6_LEN),
        _ => return false,
    };
    packet.read::<u8>(protocol_at) == Some(UDP)
        && packet.read::<u16>(udp_at + UDP_DESTINATION_AT) == Some(SINK_PORT.to_be())
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use etherparse::PacketBuilder;

    use super::*;
    use crate::packet::Bytes;

    fn udp(builder: etherparse::PacketBuilderStep<etherparse::IpHeaders>, port: u16) -> Vec<u8> {
        let mut frame = Vec::new();
        builder.udp(1024, port).write(&mut frame, &[0; 22]).expect("a vector takes any frame");
        frame
    }

    #[test]
    fn generated_frames_are_told_from_others() {
        let ethernet = || PacketBuilder::ethernet2([2; 6], [4; 6]);
        let v4 = || ethernet().ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        let v6 = || ethernet().ipv6([1; 16], [2; 16], 64);
        assert!(is_generated(&Bytes::linear(&udp(v4(), SINK_PORT))));
        assert!(is_generated(&Bytes::linear(&udp(v6(), SINK_PORT))));
        assert!(!is_generated(&Bytes::linear(&udp(v4(), SINK_PORT + 1))));
        assert!(!is_generated(&Bytes::linear(&udp(v6(), SINK_PORT + 1))));

        let mut tcp = Vec::new();
        v4().tcp(1024, SINK_PORT, 1, 1).write(&mut tcp, &[0; 22]).expect("as above");
        assert!(!is_generated(&Bytes::linear(&tcp)));
        let cut = &udp(v4(), SINK_PORT)[..37];
        assert!(!is_generated(&Bytes::linear(cut)));
        assert!(!is_generated(&Bytes::linear(&[0xff; 14])));
    }
}
