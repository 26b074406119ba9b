//! `__sk_buff` as a [`Packet`], and the few things a tc program does to one.

use aya_ebpf::{bindings::__sk_buff, helpers, programs::TcContext};
use veth_common::{CaptureHead, Ifindex};

use crate::{
    capture::{self, Place, Seen},
    forward::Decision,
    packet::{Packet, Plain},
};

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

    /// Captures the frame, if the rule is about it.
    #[inline(always)]
    pub fn capture(&self, decision: &Decision) {
        capture_skb(self.context, capture::pack(decision), decision.target.port.0);
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

/// Captures the frame of `context`. A function of its own, so that the fast path has its registers
/// to itself.
#[inline(never)]
fn capture_skb(context: *mut __sk_buff, packed: u32, target: u32) {
    // SAFETY: the caller is a method of `Skb`, whose pointer is the context of this run.
    let fields = unsafe { &*context };
    let head = CaptureHead {
        ingress: Ifindex(fields.ifindex),
        len_bytes: fields.len,
        gso_size_bytes: fields.gso_size,
        gso_segments: fields.gso_segs,
        ..capture::head_of(packed, Ifindex(target))
    };
    let head = if fields.vlan_present == 0 {
        head
    } else {
        #[expect(clippy::cast_possible_truncation, reason = "both are 16 bits wide on the wire")]
        let (tci, tpid) = (fields.vlan_tci as u16, fields.vlan_proto as u16);
        CaptureHead { vlan_tci: tci, vlan_tpid: u16::from_be(tpid), ..head }
    };
    capture::offer(&SkbBytes(context), Seen { head, snaplen_bytes: u32::MAX });
}

/// The bytes of a frame, wherever they lie.
struct SkbBytes(*mut __sk_buff);

impl capture::Source for SkbBytes {
    #[inline(always)]
    fn copy<const BYTES: usize>(&self, place: Place<'_, BYTES>) -> bool {
        let (to, bytes) = place.part();
        // SAFETY: the context is that of this run; `to` has room for `bytes` bytes, which is what
        // `Place` is made for and the verifier asks for.
        unsafe { helpers::bpf_skb_load_bytes(self.0.cast(), 0, to.cast(), bytes) == 0 }
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
