//! Pairs: how much one port has handed to the peer of another.

use crate::PortSlot;

/// Room for pairs: those of a hundred ports that all talk to each other, or of a thousand that talk to
/// sixteen each. What more there are is counted together, as [`Pair::OTHERS`].
pub const PAIRS_MAX: u32 = 16_384;

/// Key of the pair map: who sent, and to whom.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// The port that frames arrived on.
    pub source: PortSlot,
    /// The port whose peer they were handed to.
    pub target: PortSlot,
}

impl Pair {
    /// All pairs that there is no room for. No port has this slot.
    pub const OTHERS: Self = Self { source: PortSlot::UNKNOWN, target: PortSlot::UNKNOWN };
}

const _: () = assert!(size_of::<Pair>() == 4);
