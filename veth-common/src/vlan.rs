//! VLANs: which of the networks of one bridge a station is in.

/// A VLAN of a bridge that filters VLANs.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vlan(pub u16);

impl Vlan {
    /// No VLAN: the bridge does not filter them, and is one network.
    pub const NONE: Self = Self(0);
}
