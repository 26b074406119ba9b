//! Forwarding entries: what the datapath knows of a station.

use crate::{Ifindex, MacKey, PortSlot, Vlan};

/// Until when an entry may be used, in nanoseconds of `CLOCK_MONOTONIC` (`bpf_ktime_get_ns`).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease(pub u64);

impl Lease {
    /// Never expires: the entry of a managed fabric, which is static in the bridge too.
    pub const FOREVER: Self = Self(u64::MAX);
    /// Has always been expired.
    pub const EXPIRED: Self = Self(0);

    /// Whether the entry may be used at `now_ns`.
    #[inline]
    pub const fn is_valid_at(self, now_ns: u64) -> bool {
        now_ns < self.0
    }
}

/// What holds for a station, as bits.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FdbFlags(pub u16);

impl FdbFlags {
    /// Frames from this station may take the fast path: its port is eligible
    /// ([`PortFlags::ELIGIBLE`](crate::PortFlags::ELIGIBLE)), repeated here to save a lookup.
    pub const SOURCE: Self = Self(1 << 0);
    /// Frames to this station may be handed to the peer of its port: the port is an eligible
    /// veth, its peer is in another network namespace, and the address is the peer's own.
    pub const TARGET: Self = Self(1 << 1);
    /// Its port must not talk to other isolated ports.
    pub const ISOLATED: Self = Self(1 << 2);
    /// The address is the bridge's own, or a port's: the frame is for the host.
    pub const LOCAL: Self = Self(1 << 3);

    /// Whether all bits of `other` are set.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Value of the FDB map: the port behind which a station lives, with all that is needed to send
/// a frame there or to accept one from there, so that a frame costs two lookups and no more.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FdbEntry {
    /// The entry's own key. The kernel may recycle the memory of a deleted entry for another key
    /// while a program still reads it; comparing this after the lookup catches that.
    pub key: MacKey,
    /// Until when the entry may be used.
    pub lease: Lease,
    /// The port's device.
    pub port: Ifindex,
    /// Where the port's frames are counted.
    pub slot: PortSlot,
    /// What holds for the station.
    pub flags: FdbFlags,
    /// Largest layer-3 packet that reaches the station, in bytes: the smaller of the port's and
    /// the peer's MTU. A veth has no larger one than fits here.
    pub mtu_bytes: u16,
    /// The VLAN that untagged frames from the station are in.
    pub vlan: Vlan,
    /// In the near table: counts writes, and is odd during one. In the FDB map: zero.
    pub version: u32,
}

const _: () = assert!(size_of::<FdbEntry>() == 32 && align_of::<FdbEntry>() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lease_ends_at_its_time_and_forever_does_not() {
        assert!(Lease(100).is_valid_at(99));
        assert!(!Lease(100).is_valid_at(100));
        assert!(Lease::FOREVER.is_valid_at(u64::MAX - 1));
        assert!(!Lease::EXPIRED.is_valid_at(0));
    }
}
