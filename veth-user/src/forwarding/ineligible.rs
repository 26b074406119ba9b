//! Why the fast path does not serve a port: a name for programs, and a sentence for people.

use std::fmt;

use crate::view::Bypass;

/// Why a port is left to the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ineligible {
    /// The bridge filters VLANs.
    VlanFiltering,
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
            },
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
