//! Ports: what the datapath knows of the device that a frame arrived on.

/// Index of a network device in the namespace of the fabric. Zero is no device.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ifindex(pub u32);

/// A port's place in the counter map.
///
/// It is the port number that the bridge itself gave out (`IFLA_BRPORT_NO`), so it is unique in
/// the fabric and below [`MAX_SLOTS`]. Slot 0 is no port's: frames on a device that the fabric
/// does not know are counted there.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSlot(pub u16);

impl PortSlot {
    /// Where frames from unknown devices are counted.
    pub const UNKNOWN: Self = Self(0);
}

/// Number of counter slots: a Linux bridge has at most 1023 ports, numbered from 1.
///
/// Source: `BR_PORT_BITS` in
/// <https://github.com/torvalds/linux/blob/v6.12/net/bridge/br_private.h>.
pub const MAX_SLOTS: u32 = 1024;

/// What holds for a port, as bits.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortFlags(pub u16);

impl PortFlags {
    /// The bridge forwards from and to this port without any condition that the datapath cannot
    /// see, so frames from it may take the fast path.
    pub const ELIGIBLE: Self = Self(1 << 0);

    /// Whether all bits of `other` are set.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Value of the port map: who is behind an ifindex.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortEntry {
    /// Where its frames are counted.
    pub slot: PortSlot,
    /// What holds for it.
    pub flags: PortFlags,
}

const _: () = assert!(size_of::<PortEntry>() == 4 && size_of::<Ifindex>() == 4);
