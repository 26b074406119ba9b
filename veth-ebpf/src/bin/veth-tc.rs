//! The tc object: one classifier for the ingress of every port.
//!
//! On any target but BPF this is an empty program, so that the workspace builds as a whole.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod program {
    use aya_ebpf::{bindings::TC_ACT_UNSPEC, macros::classifier, programs::TcContext};
    use veth_common::{Counter, Verdict};
    use veth_ebpf::{capture, forward, maps, maps::Maps, packet::Packet as _, pairs, skb::Skb};

    /// Runs for every frame that a namespace sends into the fabric.
    #[classifier]
    pub fn tc_ingress(ctx: TcContext) -> i32 {
        let skb = Skb::of(&ctx);
        let decision = forward::decide(&skb, skb.ingress(), &Maps);
        let frame =
            Counter { frames: 1, bytes: u64::from(skb.len_bytes()), segments: skb.wire_segments() };
        maps::count(decision.slot, decision.verdict, &frame);
        if capture::is_on() {
            skb.capture(&decision);
        }

        #[cfg(feature = "log")]
        aya_log_ebpf::debug!(
            &ctx,
            "ifindex {}: {} ({} bytes)",
            skb.ingress().0,
            decision.verdict.name(),
            skb.len_bytes()
        );

        match decision.verdict {
            Verdict::Redirected => {
                if pairs::is_on() {
                    pairs::count(&decision, &frame);
                }
                skb.redirect_to_peer_of(decision.target.port)
            }
            _ => {
                if let Some(station) = forward::moved_station(&skb, skb.ingress(), &Maps) {
                    maps::revoke(station);
                }
                // "No opinion": the next program or filter, then the bridge, take the frame.
                TC_ACT_UNSPEC
            }
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
