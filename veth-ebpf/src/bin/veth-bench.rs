//! The object of the benchmark: a generator of frames, sinks that count them, and variants of the
//! tc program to compare it with.
//!
//! On any target but BPF this is an empty program, so that the workspace builds as a whole.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::{
        bindings::{
            TC_ACT_SHOT, TC_ACT_UNSPEC,
            xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS},
        },
        helpers,
        macros::{classifier, map, xdp},
        maps::{Array, PerCpuArray},
        programs::{TcContext, XdpContext},
    };
    use veth_common::{
        Counter, Generate, IPV4_SOURCE_PORT_AT, IPV6_SOURCE_PORT_AT, Sunk, TEMPLATE_BYTES, Verdict,
    };
    use veth_ebpf::{
        bench::is_generated, forward, maps, maps::Maps, packet::Packet, skb::Skb, xdp::Frame,
    };

    #[map(name = "BENCH_GENERATE")]
    static GENERATE: Array<Generate> = Array::with_max_entries(1, 0);

    /// Frames sent so far: which flow is next.
    #[map(name = "BENCH_SENT")]
    static SENT: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

    #[map(name = "BENCH_SUNK")]
    static SUNK: PerCpuArray<Sunk> = PerCpuArray::with_max_entries(1, 0);

    #[map(name = "BENCH_DELAY")]
    static DELAY_NS: Array<u64> = Array::with_max_entries(1, 0);

    /// Writes the headers of one frame, of the next flow, and sends it.
    #[xdp]
    pub fn bench_generate(ctx: XdpContext) -> u32 {
        let (Some(generate), Some(sent)) = (GENERATE.get(0), SENT.get_ptr_mut(0)) else {
            return XDP_ABORTED;
        };
        let data = ctx.data();
        if data + TEMPLATE_BYTES > ctx.data_end() {
            return XDP_ABORTED;
        }
        // Word by word: in one piece it would be a call that copies byte by byte.
        for (index, word) in generate.template.iter().enumerate() {
            // SAFETY: the first `TEMPLATE_BYTES` bytes lie before `data_end` by the check above, and
            // nobody else has the frame; the write asks for no alignment.
            unsafe { (data as *mut u64).add(index).write_unaligned(*word) };
        }
        // SAFETY: this CPU's own value, and this program is not entered again on it before it ends.
        let number = unsafe { *sent };
        // SAFETY: as above.
        unsafe { *sent = number.wrapping_add(1) };
        #[expect(clippy::cast_possible_truncation, reason = "flows come around")]
        let flow = number as u16 & generate.flows.wrapping_sub(1);
        let port = generate.first_port.wrapping_add(flow).to_be();
        // Two constants, because the verifier takes those without another check.
        let at = if usize::from(generate.source_port_at) == IPV4_SOURCE_PORT_AT {
            data + IPV4_SOURCE_PORT_AT
        } else {
            data + IPV6_SOURCE_PORT_AT
        };
        // SAFETY: both lie within the first `TEMPLATE_BYTES` bytes.
        unsafe { (at as *mut u16).write_unaligned(port) };
        // SAFETY: takes no pointers; the kernel looks the device up.
        let action = unsafe { helpers::bpf_redirect(generate.device.0, 0) };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "an XDP action"
        )]
        let action = action as u32;
        action
    }

    /// Counts and drops the generator's frames, and lets others through.
    #[classifier]
    pub fn bench_sink_tc(ctx: TcContext) -> i32 {
        if sink(&Skb::of(&ctx)) { TC_ACT_SHOT } else { TC_ACT_UNSPEC }
    }

    /// The same for XDP.
    #[xdp]
    pub fn bench_sink_xdp(ctx: XdpContext) -> u32 {
        if sink(&Frame::linear(&ctx)) { XDP_DROP } else { XDP_PASS }
    }

    #[inline(always)]
    fn sink(packet: &impl Packet) -> bool {
        let is_ours = is_generated(packet);
        if let Some(sunk) = SUNK.get_ptr_mut(0) {
            // SAFETY: this CPU's own value; sinks run in softirq and do not interrupt each other.
            let sunk = unsafe { &mut *sunk };
            if is_ours {
                sunk.frames = sunk.frames.wrapping_add(1);
                sunk.bytes = sunk.bytes.wrapping_add(u64::from(packet.len_bytes()));
            } else {
                sunk.others = sunk.others.wrapping_add(1);
            }
        }
        is_ours
    }

    /// Forwards like the tc program, but to the port and not to its peer: the frame takes the
    /// port's way out, with the queue at the other end.
    #[classifier]
    pub fn bench_redirect(ctx: TcContext) -> i32 {
        let skb = Skb::of(&ctx);
        let decision = decide(&skb);
        match decision.verdict {
            Verdict::Redirected => skb.redirect_to(decision.target.port),
            _ => TC_ACT_UNSPEC,
        }
    }

    /// Forwards like the tc program after a delay. The benchmark has to find it.
    #[classifier]
    pub fn bench_delayed(ctx: TcContext) -> i32 {
        /// Readings of the clock, at most: a delay of some microseconds.
        const PATIENCE: u32 = 1000;

        let delay_ns = DELAY_NS.get(0).copied().unwrap_or(0);
        let begin_ns = now_ns();
        for _ in 0..PATIENCE {
            if now_ns().wrapping_sub(begin_ns) >= delay_ns {
                break;
            }
        }
        let skb = Skb::of(&ctx);
        let decision = decide(&skb);
        match decision.verdict {
            Verdict::Redirected => skb.redirect_to_peer_of(decision.target.port),
            _ => TC_ACT_UNSPEC,
        }
    }

    /// Decides and counts, as the tc program does.
    #[inline(always)]
    fn decide(skb: &Skb) -> forward::Decision {
        let decision = forward::decide(skb, skb.ingress(), &Maps);
        let frame =
            Counter { frames: 1, bytes: u64::from(skb.len_bytes()), segments: skb.wire_segments() };
        maps::count(decision.slot, decision.verdict, &frame);
        decision
    }

    #[inline(always)]
    fn now_ns() -> u64 {
        // SAFETY: the helper takes no arguments and cannot fail.
        unsafe { helpers::bpf_ktime_get_ns() }
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
