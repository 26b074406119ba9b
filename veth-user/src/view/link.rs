//! Devices: bridges, ports, peers.

use veth_common::{Ifindex, Mac, PortSlot};

use super::VlanFiltering;

/// Id of a namespace as one other namespace knows it. It means nothing anywhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetnsId(pub i32);

/// A device, as far as a fabric cares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index in the namespace that was asked.
    pub ifindex: Ifindex,
    /// Its name there.
    pub name: String,
    /// What made it.
    pub kind: LinkKind,
    /// Its address; `None` for devices whose addresses are not MACs.
    pub mac: Option<Mac>,
    /// Its MTU in bytes.
    pub mtu_bytes: u32,
    /// Whether it was set up.
    pub is_up: bool,
    /// The group that it is in; zero unless somebody chose another.
    pub group: u32,
    /// Whether it queues what is sent through it: it has a queueing discipline of its own.
    pub has_qdisc: bool,
    /// How many ask it for all frames, whoever these are for.
    pub promiscuity: u32,
    /// Id of the XDP program that sees what it receives.
    pub xdp_program: Option<u32>,
    /// The bridge (or other controller) that it is a port of.
    pub controller: Option<Ifindex>,
    /// The other end, for a veth or netkit.
    pub peer: Option<PeerRef>,
    /// The alias that somebody gave it.
    pub alias: Option<String>,
    /// Its settings as a bridge port, when it is one.
    pub bridge_port: Option<BridgePort>,
}

/// Kinds of device that a fabric tells apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// One end of a veth pair.
    Veth,
    /// A Linux bridge.
    Bridge {
        /// Whether it drops frames, and adds and removes tags, by which VLANs its ports are in.
        vlan_filtering: VlanFiltering,
        /// After how many milliseconds it forgets a station that was not seen.
        ageing_ms: u64,
        /// Whether it was itself told to hand frames to iptables, ip6tables or arptables, whatever the setting of
        /// its namespace says.
        calls_netfilter: bool,
    },
    /// Anything else, by the kernel's name; empty for hardware.
    Other(String),
}

/// The other end of a veth or netkit pair, as this end names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerRef {
    /// Its index in its own namespace.
    pub ifindex: Ifindex,
    /// Its namespace; `None` when that is the namespace of this end.
    pub netns: Option<NetnsId>,
}

/// Spanning tree state of a bridge port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortState {
    /// Takes part in forwarding.
    Forwarding,
    /// Does not: disabled, listening, learning or blocking.
    NotForwarding,
}

/// A bridge's settings for one of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own in the kernel")]
pub struct BridgePort {
    /// The bridge's own number for it, from 1.
    pub slot: PortSlot,
    /// Spanning tree state.
    pub state: PortState,
    /// May not talk to other isolated ports.
    pub isolated: bool,
    /// Learns source addresses.
    pub learning: bool,
    /// Only known stations may send.
    pub locked: bool,
    /// The bridge answers ARP and neighbour solicitations for what is behind it.
    pub answers_neighbours: bool,
    /// It turns VLANs into tunnels, and tunnels into VLANs.
    pub tunnels_vlans: bool,
}
