//! Why the fast path does not serve a port: a name for programs, and a sentence for people.

use std::fmt;

use crate::view::Bypass;

/// Why a port is left to the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ineligible {
    /// The bridge filters VLANs, and those of its ports were not looked at.
    VlanFiltering,
    /// The bridge filters VLANs by tags that are not of 802.1Q.
    VlanProtocol,
    /// VLANs of the bridge have spanning trees of their own.
    VlanSpanningTrees,
    /// Untagged frames are in no VLAN of the port, and the bridge drops them.
    NoPvid,
    /// Frames of the VLAN that untagged ones are in leave the port with a tag.
    PvidTagged,
    /// The VLAN does not take part in forwarding on the port.
    PvidNotForwarding,
    /// The port turns VLANs into tunnels.
    VlanTunnel,
    /// The bridge is down.
    BridgeDown,
    /// The port is no veth.
    NotVeth,
    /// The bridge gave it no number.
    NoSlot,
    /// The port is down.
    Down,
    /// The spanning tree does not let it forward.
    NotForwarding,
    /// Only known stations may send.
    Locked,
    /// Source addresses are not learned.
    LearningOff,
    /// The bridge answers for stations.
    AnswersNeighbours,
    /// The far end cannot be seen.
    NoPeer,
    /// The far end is in the namespace of the bridge.
    PeerInSameNetns,
    /// The far end names another device as its own far end.
    PairMismatch,
    /// The far end is down.
    PeerDown,
    /// An XDP program of the far end would not see the frames.
    PeerXdp,
    /// A queueing discipline of the port would not see the frames.
    Qdisc,
    /// Something that the user does not let the frames pass by would not see them.
    Bypassed(Bypass),
    /// The kernel does work on what the bridge sends through the port, which frames of the fast path
    /// would be spared.
    PortOffloads,
    /// The offloads of the port cannot be seen.
    PortUnseen,
    /// Somebody else's XDP program is attached to the port.
    XdpTaken,
    /// The MTU of the far end is too large for XDP on this kernel.
    XdpMtu,
    /// Offloads of the far end are not as XDP needs them.
    XdpOffloads,
    /// Offloads of the far end cannot be seen.
    XdpUnseen,
}

impl Ineligible {
    /// Stable name, for JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VlanFiltering => "vlan_filtering",
            Self::VlanProtocol => "vlan_protocol",
            Self::VlanSpanningTrees => "vlan_spanning_trees",
            Self::NoPvid => "no_pvid",
            Self::PvidTagged => "pvid_tagged",
            Self::PvidNotForwarding => "pvid_not_forwarding",
            Self::VlanTunnel => "vlan_tunnel",
            Self::BridgeDown => "bridge_down",
            Self::NotVeth => "not_veth",
            Self::NoSlot => "no_slot",
            Self::Down => "down",
            Self::NotForwarding => "not_forwarding",
            Self::Locked => "locked",
            Self::LearningOff => "learning_off",
            Self::AnswersNeighbours => "answers_neighbours",
            Self::NoPeer => "no_peer",
            Self::PeerInSameNetns => "peer_in_same_netns",
            Self::PairMismatch => "pair_mismatch",
            Self::PeerDown => "peer_down",
            Self::PeerXdp => "peer_xdp",
            Self::Qdisc => "qdisc",
            Self::Bypassed(bypass) => match bypass {
                Bypass::BrNetfilter => "bypasses_br_netfilter",
                Bypass::NftBridge => "bypasses_nft_bridge",
                Bypass::NftNetdev => "bypasses_nft_netdev",
                Bypass::Ebtables => "bypasses_ebtables",
                Bypass::TcIngress => "bypasses_tc_ingress",
                Bypass::TcEgress => "bypasses_tc_egress",
                Bypass::Qdisc => "bypasses_qdisc",
                Bypass::Promiscuous => "bypasses_promiscuous",
            },
            Self::PortOffloads => "port_offloads",
            Self::PortUnseen => "port_unseen",
            Self::XdpTaken => "xdp_taken",
            Self::XdpMtu => "xdp_mtu",
            Self::XdpOffloads => "xdp_offloads",
            Self::XdpUnseen => "xdp_unseen",
        }
    }
}

impl fmt::Display for Ineligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VlanFiltering => "the bridge filters VLANs",
            Self::VlanProtocol => "the bridge filters VLANs by tags other than those of 802.1Q",
            Self::VlanSpanningTrees => "VLANs of the bridge have spanning trees of their own (MST)",
            Self::NoPvid => "it has no VLAN for untagged frames (PVID), so the bridge drops them",
            Self::PvidTagged => "frames of its VLAN for untagged ones (PVID) leave it with a tag",
            Self::PvidNotForwarding => {
                "its VLAN for untagged frames (PVID) does not forward on it (spanning tree)"
            }
            Self::VlanTunnel => "it turns VLANs into tunnels",
            Self::BridgeDown => "the bridge is down",
            Self::NotVeth => "it is no veth",
            Self::NoSlot => "the bridge gave it no port number",
            Self::Down => "it is down",
            Self::NotForwarding => "the bridge does not forward on it (spanning tree, no carrier)",
            Self::Locked => "it is locked: only known stations may send",
            Self::LearningOff => "it does not learn source addresses",
            Self::AnswersNeighbours => {
                "the bridge answers ARP or neighbour discovery there (proxy_arp, neigh_suppress)"
            }
            Self::NoPeer => "its peer cannot be seen",
            Self::PeerInSameNetns => "its peer is in the namespace of the bridge",
            Self::PairMismatch => "its peer belongs to another pair",
            Self::PeerDown => "its peer is down",
            Self::PeerXdp => "its peer has an XDP program, which the fast path would pass by",
            Self::Qdisc => "it has a queueing discipline, which the fast path would pass by",
            Self::Bypassed(bypass) => {
                let explanation = bypass.explanation();
                return write!(f, "{explanation} (`--bypass {bypass}` accepts that)");
            }
            Self::PortOffloads => {
                "offloads of it are off: the bridge finishes checksums or cuts segments there, and the \
                 fast path would not"
            }
            Self::PortUnseen => "its offloads cannot be seen",
            Self::XdpTaken => "somebody else's XDP program is attached to it",
            Self::XdpMtu => "the MTU of its peer is too large for XDP on this kernel",
            Self::XdpOffloads => {
                "its peer leaves checksums, segments or VLAN tags to the device, or has no GRO; \
                 XDP needs it otherwise"
            }
            Self::XdpUnseen => "the offloads of its peer cannot be seen or set",
        })
    }
}
