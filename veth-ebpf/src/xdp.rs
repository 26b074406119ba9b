//! `xdp_md` as a [`Packet`], and what an XDP program does to one.

use aya_ebpf::{bindings::xdp_md, helpers, programs::XdpContext};
use veth_common::Ifindex;

use crate::packet::{Packet, Plain};

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
