//! Whether the fast path may serve a port, and if not, why.

use super::{FastPath, Ineligible};
use crate::view::{
    BridgeView, Bypass, Link, LinkKind, Offload, Offloads, PortState, PortView, VlanFiltering,
    XdpView,
};

/// Offloads that must be off in the peer of a port that XDP serves. An XDP frame is its bytes and
/// nothing else: whatever the sender left to the device would be lost with the `sk_buff`.
///
/// Segmentation need not be named: the kernel turns it off with the checksums that it builds on.
pub const UNFIT_FOR_XDP: Offloads = Offloads::NONE
    .with(Offload::TxChecksum)
    .with(Offload::TxChecksumSctp)
    .with(Offload::TxVlanInsert)
    .with(Offload::TxVlanStagInsert);

/// Offloads that must be on there: a veth takes XDP frames only when it polls (NAPI), which GRO makes
/// it do. Source: `veth_xdp_xmit` in
/// <https://github.com/torvalds/linux/blob/v6.12/drivers/net/veth.c>.
const FIT_FOR_XDP: Offloads = Offloads::NONE.with(Offload::RxGro);

/// Offloads of a port without which the kernel changes the frames that the bridge sends through it: it
/// computes their checksums and cuts their segments. `bpf_redirect_peer` goes past that. Source:
/// `validate_xmit_skb` in <https://github.com/torvalds/linux/blob/v6.12/net/core/dev.c>.
pub const KEEPS_FRAMES_WHOLE: Offloads = Offloads::NONE
    .with(Offload::TxChecksum)
    .with(Offload::TxChecksumSctp)
    .with(Offload::TxTcp4Segments)
    .with(Offload::TxTcp6Segments)
    .with(Offload::TxTcpEcnSegments)
    .with(Offload::TxTcpFixedIdSegments)
    .with(Offload::TxTcpAccEcnSegments)
    .with(Offload::TxUdpSegments);

/// What has to be turned off, and what on, in a peer that has `active` offloads.
pub fn xdp_needs(active: Offloads) -> (Offloads, Offloads) {
    (active.and(UNFIT_FOR_XDP), FIT_FOR_XDP.except(active))
}

/// Says whether `port` of `view` may be served by `path`, as a source and as a target.
pub fn eligibility(view: &BridgeView, port: &PortView, path: FastPath) -> Result<(), Ineligible> {
    check_bridge(&view.bridge)?;
    check_port(&port.link)?;
    check_vlan(view, port)?;
    check_bypassed(view, port)?;
    let peer = check_pair(port)?;
    if !peer.is_up {
        return Err(Ineligible::PeerDown);
    }
    match path {
        // An XDP frame does go through the peer's program.
        FastPath::Xdp => check_xdp(port, peer),
        FastPath::Tc if peer.xdp_program.is_some() => Err(Ineligible::PeerXdp),
        FastPath::Tc => check_offloads(port),
    }
}

/// Whether the program may forward from `port` at all: from a veth whose far end is in another
/// namespace.
pub fn is_hookable(port: &PortView, path: FastPath) -> bool {
    match (check_pair(port), path) {
        (Ok(_), FastPath::Tc) => true,
        (Ok(peer), FastPath::Xdp) => check_xdp_hook(port, peer).is_ok(),
        (Err(_), _) => false,
    }
}

/// Whether the program may run on `port` without ever forwarding from there, only to see who sends: a
/// station that moves behind it then loses its lease in the same moment as the bridge moves it.
///
/// Of a pair between two bridges, one end is enough, and always the same one.
pub fn is_watchable(port: &PortView) -> bool {
    let peer = port.link.peer.filter(|_| port.is_between_bridges);
    peer.is_none_or(|peer| port.link.ifindex < peer.ifindex)
}

/// Whether the bridge would send frames through `port` as they are. What the device cannot do at all
/// (offloads that came with a later kernel) nobody turned off.
fn check_offloads(port: &PortView) -> Result<(), Ineligible> {
    let unused = port.unused_offloads.ok_or(Ineligible::PortUnseen)?;
    if unused.and(KEEPS_FRAMES_WHOLE).is_empty() { Ok(()) } else { Err(Ineligible::PortOffloads) }
}

/// Whether the peer is prepared for XDP.
fn check_xdp(port: &PortView, peer: &Link) -> Result<(), Ineligible> {
    let active = check_xdp_hook(port, peer)?.peer_offloads.ok_or(Ineligible::XdpUnseen)?;
    let (off, on) = xdp_needs(active);
    if off.is_empty() && on.is_empty() { Ok(()) } else { Err(Ineligible::XdpOffloads) }
}

/// Whether the kernel would attach an XDP program to `port`.
fn check_xdp_hook<'a>(port: &'a PortView, peer: &Link) -> Result<&'a XdpView, Ineligible> {
    let xdp = port.xdp.as_ref().ok_or(Ineligible::XdpUnseen)?;
    if xdp.is_taken {
        return Err(Ineligible::XdpTaken);
    }
    match xdp.mtu_limit_bytes {
        Some(limit) if peer.mtu_bytes > limit => Err(Ineligible::XdpMtu),
        _ => Ok(xdp),
    }
}

fn check_bridge(bridge: &Link) -> Result<(), Ineligible> {
    if bridge.is_up { Ok(()) } else { Err(Ineligible::BridgeDown) }
}

/// Whether untagged frames from and to `port` are in one VLAN there and stay untagged.
fn check_vlan(view: &BridgeView, port: &PortView) -> Result<(), Ineligible> {
    let LinkKind::Bridge { vlan_filtering, .. } = view.bridge.kind else { return Ok(()) };
    match vlan_filtering {
        VlanFiltering::Off => return Ok(()),
        VlanFiltering::OtherProtocol => return Err(Ineligible::VlanProtocol),
        // No event tells of their states.
        VlanFiltering::SpanningTrees => return Err(Ineligible::VlanSpanningTrees),
        VlanFiltering::Plain => {}
    }
    if port.link.bridge_port.is_some_and(|port| port.tunnels_vlans) {
        return Err(Ineligible::VlanTunnel);
    }
    let pvids = view.pvids.as_ref().ok_or(Ineligible::VlanFiltering)?;
    let pvid = pvids.get(&port.link.ifindex).ok_or(Ineligible::NoPvid)?;
    if !pvid.is_untagged {
        return Err(Ineligible::PvidTagged);
    }
    match pvid.state {
        PortState::Forwarding => Ok(()),
        PortState::NotForwarding => Err(Ineligible::PvidNotForwarding),
    }
}

fn check_port(link: &Link) -> Result<(), Ineligible> {
    if link.kind != LinkKind::Veth {
        return Err(Ineligible::NotVeth);
    }
    let Some(port) = link.bridge_port.filter(|port| port.slot.0 != 0) else {
        return Err(Ineligible::NoSlot);
    };
    if !link.is_up {
        return Err(Ineligible::Down);
    }
    if port.locked {
        return Err(Ineligible::Locked);
    }
    if !port.learning {
        return Err(Ineligible::LearningOff);
    }
    if port.answers_neighbours {
        return Err(Ineligible::AnswersNeighbours);
    }
    match port.state {
        PortState::Forwarding => Ok(()),
        PortState::NotForwarding => Err(Ineligible::NotForwarding),
    }
}

/// Whether frames from and to `port` would pass nothing by but what they are allowed to.
fn check_bypassed(view: &BridgeView, port: &PortView) -> Result<(), Ineligible> {
    if let Some(bypass) = view.bypassed.or(port.bypassed).except(view.allowed).iter().next() {
        return Err(Ineligible::Bypassed(bypass));
    }
    if port.link.has_qdisc && !view.allowed.contains(Bypass::Qdisc) {
        return Err(Ineligible::Qdisc);
    }
    Ok(())
}

/// The peer, when it is in another namespace and the two ends point at each other.
fn check_pair(port: &PortView) -> Result<&Link, Ineligible> {
    let Some(reference) = port.link.peer else {
        return Err(if port.link.kind == LinkKind::Veth {
            Ineligible::NoPeer
        } else {
            Ineligible::NotVeth
        });
    };
    if reference.netns.is_none() {
        return Err(Ineligible::PeerInSameNetns);
    }
    let peer = port.peer.as_ref().ok_or(Ineligible::NoPeer)?;
    let points_back = peer.peer.is_some_and(|back| back.ifindex == port.link.ifindex);
    if peer.ifindex == reference.ifindex && points_back {
        Ok(peer)
    } else {
        Err(Ineligible::PairMismatch)
    }
}

#[cfg(test)]
mod tests;
