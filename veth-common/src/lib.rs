//! The contract between the eBPF datapath and its control plane.
//!
//! Everything that crosses the kernel boundary is defined here, once: the names of programs and
//! maps, the layout of map keys and values, the numbered list of verdicts. Layouts are asserted
//! at compile time. This crate does no I/O and needs no allocator, so that the same types serve
//! the BPF target, the control plane and host tests.

#![no_std]

#[cfg(test)]
extern crate std;

mod bench;
mod capture;
mod counters;
mod fdb;
mod mac;
pub mod names;
mod near;
mod pairs;
#[cfg(feature = "user")]
mod pod;
mod port;
mod prepared;
mod verdict;
mod vlan;

pub use bench::{
    Generate, IPV4_SOURCE_PORT_AT, IPV6_SOURCE_PORT_AT, SINK_PORT, Sunk, TEMPLATE_BYTES,
};
pub use capture::{
    CAPTURE_RING_BYTES, CAPTURE_SNAPLEN_LINEAR, CAPTURE_SNAPLEN_MAX, CaptureHead, CaptureRule,
    CaptureTally,
};
pub use counters::{Counter, PortCounters};
pub use fdb::{FdbEntry, FdbFlags, Lease};
pub use mac::{Mac, MacKey};
pub use near::{NEAR_PLACES, near_place};
pub use pairs::{PAIRS_MAX, Pair};
pub use port::{Ifindex, MAX_SLOTS, PortEntry, PortFlags, PortSlot};
pub use prepared::Prepared;
pub use verdict::{VERDICT_COUNT, Verdict};
pub use vlan::Vlan;

/// Version of the map layouts and of the meaning of their fields.
///
/// It is written into the pinned `VETH_META` map. A control plane reuses pinned maps only when
/// this number is its own; otherwise it builds a new set of maps beside the old one and moves the
/// ports over.
pub const ABI_VERSION: u32 = 3;

/// Identity of a pinned datapath: the single value of the `VETH_META` map.
///
/// The control plane writes the version last, so a version of zero marks a set of maps that are not
/// finished, or never will be.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// [`ABI_VERSION`] of the program that uses these maps.
    pub abi: u32,
    /// Release of the object, as `major << 16 | minor << 8 | patch`.
    pub release: u32,
    /// Inode of the network namespace of the fabric: pins are the machine's, fabrics are not.
    pub netns_inode: u64,
    /// Whose bridge it is.
    pub ownership: Ownership,
    /// What the user knows that the fast path passes by on an adopted bridge, as bits.
    pub bypasses: u32,
    /// Zero. Room for what later releases have to say: they must be able to read this one's.
    pub reserved: [u32; 6],
}

/// Whose a bridge is.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ownership(pub u32);

impl Ownership {
    /// veth made the bridge, and its entries hold for good.
    pub const MANAGED: Self = Self(0);
    /// Somebody else made it, and entries hold for as long as somebody looks after them.
    pub const ADOPTED: Self = Self(1);
}

const _: () = assert!(size_of::<Meta>() == 48);
