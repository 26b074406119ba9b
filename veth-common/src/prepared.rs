//! What was changed at a port to make XDP work there, so that it can be put back.

use crate::Ifindex;

/// Value of the map of preparations: what the peer of a port had before it was prepared for XDP.
///
/// It is written before anything is changed and removed after everything is put back, so that
/// whoever finds it after a crash can finish either. The program does not read it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Inode of the network namespace of the peer.
    pub peer_netns_inode: u64,
    /// The peer's index there.
    pub peer: Ifindex,
    /// Offloads of the peer that were on and had to be off, as bits.
    pub turned_off: u16,
    /// Offloads of the peer that were off and had to be on, as bits.
    pub turned_on: u16,
}

const _: () = assert!(size_of::<Prepared>() == 16 && align_of::<Prepared>() == 8);
