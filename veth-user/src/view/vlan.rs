//! VLANs of a bridge that filters them.

use veth_common::Vlan;

use super::PortState;

/// Whether a bridge filters VLANs, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VlanFiltering {
    /// It does not: a tag is a part of the frame, and says nothing.
    Off,
    /// By tags of 802.1Q. Each VLAN has the state of its port, unless it was given one of its own.
    Plain,
    /// By tags of another kind (802.1ad).
    OtherProtocol,
    /// By tags of 802.1Q, with spanning trees for VLANs (MST).
    SpanningTrees,
}

/// The VLAN that untagged frames from a bridge port are in, and how frames of that VLAN fare there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "BRIDGE_VLAN_INFO_PVID")]
pub struct Pvid {
    /// The VLAN.
    pub vlan: Vlan,
    /// They leave the port without a tag.
    pub is_untagged: bool,
    /// Whether the VLAN takes part in forwarding there.
    pub state: PortState,
}
