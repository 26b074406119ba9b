//! Whether a frame reaches the target in one piece: sound IP header, within the MTU.

use veth_common::Verdict;

use crate::{
    header::{ETHERNET_LEN, Network},
    packet::Packet,
};

#[expect(clippy::cast_possible_truncation, reason = "14")]
const ETHERNET_BYTES: u32 = ETHERNET_LEN as u32;

/// Checks that the frame, or each segment that a GSO frame will become, fits `mtu_bytes`.
///
/// The bridge compares ordinary frames with the MTU plus header and room for one VLAN tag, and
/// lets GSO frames through unseen (`is_skb_forwardable`, `__is_skb_forwardable` in
/// <https://github.com/torvalds/linux/blob/v6.12/include/linux/netdevice.h>). The stricter rule
/// here leaves both borders to the bridge.
#[inline(always)]
pub(super) fn fits(packet: &impl Packet, ether_type: u16, mtu_bytes: u16) -> Result<(), Verdict> {
    let network = Network::of(packet, ether_type)?;
    let gso_size_bytes = packet.gso_size_bytes();
    let frame_bytes = if gso_size_bytes == 0 {
        packet.len_bytes()
    } else {
        let header_len = network.segment_header_len(packet).ok_or(Verdict::GsoUnknown)?;
        ETHERNET_BYTES + header_len + gso_size_bytes
    };
    if frame_bytes > ETHERNET_BYTES + u32::from(mtu_bytes) { Err(Verdict::TooBig) } else { Ok(()) }
}
