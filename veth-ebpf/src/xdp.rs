//! `xdp_md` as a [`Packet`], and what an XDP program does to one.

use aya_ebpf::{bindings::xdp_md, helpers, programs::XdpContext};
use veth_common::{CAPTURE_SNAPLEN_LINEAR, CaptureHead, Ifindex};

use crate::{
    capture::{self, Place, Seen},
    forward::Decision,
    packet::{Packet, Plain},
};

/// The frame that an XDP program was called for.
#[derive(Clone, Copy)]
pub struct Frame {
    ingress: Ifindex,
    data: usize,
    data_end: usize,
    len_bytes: u32,
}

impl Frame {
    /// The frame of a program for frames of any size, which may lie in several pages.
    ///
    /// Minimum kernel version: 5.18 (`bpf_xdp_get_buff_len`).
    #[inline(always)]
    pub fn of(ctx: &XdpContext) -> Self {
        // SAFETY: the pointer is the context that the kernel passed to the program, and is valid
        // for its run.
        let len_bytes = unsafe { helpers::bpf_xdp_get_buff_len(ctx.ctx) };
        #[expect(clippy::cast_possible_truncation, reason = "a frame is shorter than 4 GiB")]
        let len_bytes = len_bytes as u32;
        Self { len_bytes, ..Self::linear(ctx) }
    }

    /// The frame of a program for frames that lie in one page.
    #[inline(always)]
    pub fn linear(ctx: &XdpContext) -> Self {
        let (data, data_end) = (ctx.data(), ctx.data_end());
        #[expect(clippy::cast_possible_truncation, reason = "both are in one page")]
        let len_bytes = (data_end - data) as u32;
        Self { ingress: Self::ingress_of(ctx.ctx), data, data_end, len_bytes }
    }

    #[inline(always)]
    fn ingress_of(context: *const xdp_md) -> Ifindex {
        // SAFETY: as for `of`: callers pass the context of the run they are in.
        Ifindex(unsafe { (*context).ingress_ifindex })
    }

    /// The device that the frame arrived on.
    #[inline(always)]
    pub fn ingress(&self) -> Ifindex {
        self.ingress
    }

    /// Captures the frame, if the rule is about it, from a program for frames of any size.
    ///
    /// Minimum kernel version: 5.18 (`bpf_xdp_load_bytes`).
    #[inline(always)]
    pub fn capture(&self, ctx: &XdpContext, decision: &Decision) {
        let target = decision.target.port.0;
        capture_frame(ctx.ctx, capture::pack(decision), target, self.len_bytes);
    }

    /// The same from a program for frames that lie in one page: the first 128 bytes.
    #[inline(always)]
    pub fn capture_linear(&self, ctx: &XdpContext, decision: &Decision) {
        capture_linear_frame(ctx.ctx, capture::pack(decision), decision.target.port.0);
    }
}

/// Captures the frame of `context`. A function of its own, so that the fast path has its registers
/// to itself.
#[inline(never)]
fn capture_frame(context: *mut xdp_md, packed: u32, target: u32, len_bytes: u32) {
    let ingress = Frame::ingress_of(context);
    let head = capture::head_of(packed, Ifindex(target));
    let head = CaptureHead { ingress, len_bytes, ..head };
    capture::offer(&AnyBytes(context), Seen { head, snaplen_bytes: u32::MAX });
}

/// The same, where the frame lies in one page.
#[inline(never)]
fn capture_linear_frame(context: *mut xdp_md, packed: u32, target: u32) {
    let frame = Frame::linear(&XdpContext::new(context));
    let head = capture::head_of(packed, Ifindex(target));
    let head = CaptureHead { ingress: frame.ingress, len_bytes: frame.len_bytes, ..head };
    // Bytes are copied in pairs.
    let snaplen_bytes = CAPTURE_SNAPLEN_LINEAR.min(frame.len_bytes & !1);
    capture::offer(&LinearBytes(frame), Seen { head, snaplen_bytes });
}

/// The bytes of a frame, in however many pages.
struct AnyBytes(*mut xdp_md);

impl capture::Source for AnyBytes {
    #[inline(always)]
    fn copy<const BYTES: usize>(&self, place: Place<'_, BYTES>) -> bool {
        let (to, bytes) = place.part();
        // SAFETY: the context is that of this run; `to` has room for `bytes` bytes, which is what
        // `Place` is made for and the verifier asks for.
        unsafe { helpers::bpf_xdp_load_bytes(self.0, 0, to.cast(), bytes) == 0 }
    }
}

/// The bytes of a frame that lies in one page.
struct LinearBytes(Frame);

impl capture::Source for LinearBytes {
    #[inline(always)]
    fn copy<const BYTES: usize>(&self, place: Place<'_, BYTES>) -> bool {
        #[expect(clippy::cast_ptr_alignment, reason = "it lies behind a head of whole words")]
        let to = place.start().cast::<u16>();
        // Two by two: of a check for one byte the compiler makes one that the verifier does not read
        // as such.
        for index in 0..BYTES.min(CAPTURE_SNAPLEN_LINEAR as usize) / 2 {
            let Some(pair) = self.0.read::<u16>(2 * index) else { break };
            // SAFETY: `index` is below half of `BYTES`, which is how much room there is.
            let at = unsafe { to.add(index) };
            // SAFETY: as above. Volatile: the compiler would make a call of the loop, and the verifier
            // lose the bounds.
            unsafe { at.write_volatile(pair) };
        }
        true
    }
}

impl Packet for Frame {
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
        self.len_bytes
    }

    /// Zero: the peers of ports that XDP serves have segmentation turned off.
    #[inline(always)]
    fn gso_size_bytes(&self) -> u32 {
        0
    }

    /// False: XDP cannot see a tag beside the frame. The peers of ports that XDP serves have tag
    /// insertion turned off, so that the tag is in the frame.
    #[inline(always)]
    fn has_vlan_tag(&self) -> bool {
        false
    }
}
