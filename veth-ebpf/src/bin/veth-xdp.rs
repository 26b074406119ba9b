//! The XDP object: one program for the ingress of every port, in two builds.
//!
//! On any target but BPF this is an empty program, so that the workspace builds as a whole.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::{
        bindings::{BPF_F_NO_PREALLOC, xdp_action::XDP_PASS},
        macros::{map, xdp},
        maps::{DevMap, HashMap},
        programs::XdpContext,
    };
    use veth_common::{Counter, Ifindex, MAX_SLOTS, Prepared, Verdict};
    use veth_ebpf::{
        capture,
        forward::{self, Decision, Target},
        maps,
        maps::{Maps, PORTS_MAX},
        packet::Packet as _,
        pairs,
        xdp::Frame,
    };

    #[map(name = "VETH_TARGETS")]
    static TARGETS: DevMap = DevMap::with_max_entries(MAX_SLOTS, 0);

    // Not for the program: the control plane keeps in it what it has to put back.
    #[map(name = "VETH_PREPARED")]
    static PREPARED: HashMap<Ifindex, Prepared> =
        HashMap::with_max_entries(PORTS_MAX, BPF_F_NO_PREALLOC);

    /// Runs for every frame that a namespace sends into the fabric.
    #[xdp(frags)]
    pub fn xdp_ingress(ctx: XdpContext) -> u32 {
        let frame = Frame::of(&ctx);
        let (decision, action) = forward(&ctx, frame);
        if capture::is_on() {
            frame.capture(&ctx, &decision);
        }
        action
    }

    /// The same, for kernels whose XDP frames lie in one page.
    #[xdp]
    pub fn xdp_ingress_linear(ctx: XdpContext) -> u32 {
        let frame = Frame::linear(&ctx);
        let (decision, action) = forward(&ctx, frame);
        if capture::is_on() {
            frame.capture_linear(&ctx, &decision);
        }
        action
    }

    #[inline(always)]
    fn forward(_ctx: &XdpContext, frame: Frame) -> (Decision, u32) {
        let decision = forward::decide(&frame, frame.ingress(), &Maps);
        let (verdict, action) = match decision.verdict {
            Verdict::Redirected => redirect(decision.target),
            reason => (reason, XDP_PASS),
        };
        let counter = Counter { frames: 1, bytes: u64::from(frame.len_bytes()), segments: 1 };
        maps::count(decision.slot, verdict, &counter);
        if verdict == Verdict::Redirected && pairs::is_on() {
            pairs::count(&decision, &counter);
        }

        #[cfg(feature = "log")]
        aya_log_ebpf::debug!(
            _ctx,
            "ifindex {}: {} ({} bytes)",
            frame.ingress().0,
            verdict.name(),
            frame.len_bytes()
        );

        (Decision { verdict, ..decision }, action)
    }

    /// Hands the frame to `target`, or to the bridge when the devmap does not have it (any more).
    #[inline(always)]
    fn redirect(target: Target) -> (Verdict, u32) {
        match TARGETS.redirect(u32::from(target.slot.0), u64::from(XDP_PASS)) {
            Ok(action) => (Verdict::Redirected, action),
            Err(action) => (Verdict::DestinationIneligible, action),
        }
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
