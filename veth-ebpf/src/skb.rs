//! `__sk_buff` as a [`Packet`], and the few things a tc program does to one.

use aya_ebpf::{bindings::__sk_buff, helpers, programs::TcContext};
use veth_common::Ifindex;

use crate::packet::{Packet, Plain};

/// `PACKET_HOST` of `linux/if_packet.h`.
const PACKET_HOST: u32 = 0;

/// The frame that a tc program was called for.
#[derive(Clone, Copy)]
pub struct Skb {
    context: *mut __sk_buff,
    data: usize,
    data_end: usize,
}

impl Skb {
    /// The frame of `ctx`.
    #[inline(always)]
    pub fn of(ctx: &TcContext) -> Self {
        Self { context: ctx.skb.skb, data: ctx.data(), data_end: ctx.data_end() }
    }

    #[inline(always)]
    fn fields(&self) -> &__sk_buff {
        // SAFETY: the pointer is the context that the kernel passed to the program. It is valid
        // for the program's run, and `Skb` is made from a `TcContext` only, inside that run.
        unsafe { &*self.context }
    }

    /// The device that the frame arrived on.
    #[inline(always)]
    pub fn ingress(&self) -> Ifindex {
        Ifindex(self.fields().ifindex)
    }

    /// How many frames a wire would have seen: a GSO frame counts its segments.
    ///
    /// Minimum kernel version: 5.1 (`__sk_buff::gso_segs`).
    #[inline(always)]
    pub fn wire_segments(&self) -> u64 {
        // Zero for ordinary frames, and for GSO frames of untrusted origin (packet sockets)
        // whose segments nobody has counted yet.
        u64::from(self.fields().gso_segs.max(1))
    }

    /// Hands the frame to `target`, to leave through it; returns the action for the kernel.
    #[inline(always)]
    pub fn redirect_to(&self, target: Ifindex) -> i32 {
        // SAFETY: takes no pointers; the kernel validates the ifindex when it redirects.
        let action = unsafe { helpers::bpf_redirect(target.0, 0) };
        #[expect(clippy::cast_possible_truncation, reason = "a TC_ACT_* value")]
        let action = action as i32;
        action
    }

    /// Hands the frame to the peer of `target`; returns the action for the kernel.
    ///
    /// Minimum kernel version: 5.10 (`bpf_redirect_peer`).
    #[inline(always)]
    pub fn redirect_to_peer_of(&self, target: Ifindex) -> i32 {
        // The port took the frame for somebody else's (PACKET_OTHERHOST), and before 6.15 that
        // sticks: the receiver's IP layer would drop it. It cannot fail here: the type of a
        // frame at ingress is one of the four that the helper accepts.
        // SAFETY: the context pointer is valid, see `fields`.
        let _ = unsafe { helpers::bpf_skb_change_type(self.context, PACKET_HOST) };
        // SAFETY: takes no pointers; the kernel validates the ifindex when it redirects.
        let action = unsafe { helpers::bpf_redirect_peer(target.0, 0) };
        #[expect(clippy::cast_possible_truncation, reason = "a TC_ACT_* value")]
        let action = action as i32;
        action
    }
}

impl Packet for Skb {
    #[inline(always)]
    fn read<T: Plain>(&self, offset: usize) -> Option<T> {
        let start = self.data + offset;
        if start + size_of::<T>() > self.data_end {
            return None;
        }
        // SAFETY: `start..start + size_of::<T>()` lies between `data` and `data_end` by the
        // check above, which is also what the verifier asks for; the read asks for no
        // alignment, and `T: Plain` takes any bit pattern.
        Some(unsafe { (start as *const T).read_unaligned() })
    }

    #[inline(always)]
    fn len_bytes(&self) -> u32 {
        self.fields().len
    }

    #[inline(always)]
    fn gso_size_bytes(&self) -> u32 {
        self.fields().gso_size
    }

    #[inline(always)]
    fn has_vlan_tag(&self) -> bool {
        self.fields().vlan_present != 0
    }
}
