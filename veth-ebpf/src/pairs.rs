//! Pairs: how much each port hands to each other one, while somebody wants to know.
//!
//! While nobody does, a program reads one word and does nothing else.

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    macros::map,
    maps::PerCpuHashMap,
};
use veth_common::{Counter, PAIRS_MAX, Pair, PortSlot};

use crate::{forward::Decision, maps::Maps, tables::Tables as _};

#[map(name = "VETH_PAIRS")]
static PAIRS: PerCpuHashMap<Pair, Counter> =
    PerCpuHashMap::with_max_entries(PAIRS_MAX, BPF_F_NO_PREALLOC);

/// How many frames of a pair are counted, on each CPU, before it is looked whether somebody still asks:
/// the clock costs as much as the rest.
const FRAMES_PER_LOOK: u64 = 256;

/// Until when pairs are counted. User space writes it, while programs read it.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".bss.pairs")]
static mut PAIRS_UNTIL_NS: u64 = 0;

/// Whether pairs may be counted.
#[inline(always)]
pub fn is_on() -> bool {
    until_ns() != 0
}

#[inline(always)]
fn until_ns() -> u64 {
    let until_ns = &raw const PAIRS_UNTIL_NS;
    // SAFETY: a static of this object, and an aligned word. Volatile: user space writes it.
    unsafe { until_ns.read_volatile() }
}

/// Has nothing counted any more when nobody has asked for too long, and says whether that is so.
#[inline(always)]
fn end_if_over() -> bool {
    let is_over = Maps.now_ns() >= until_ns();
    if is_over {
        let until_ns = &raw mut PAIRS_UNTIL_NS;
        // SAFETY: as in `until_ns`.
        unsafe { until_ns.write_volatile(0) };
    }
    is_over
}

/// Counts a frame that was redirected.
#[inline(always)]
pub fn count(decision: &Decision, frame: &Counter) {
    let (source, target) = (u32::from(decision.slot.0), u32::from(decision.target.slot.0));
    count_pair(source << 16 | target, frame.bytes, frame.segments);
}

/// Counts a frame of the pair `packed`. A function of its own, so that the fast path has its registers
/// to itself.
#[inline(never)]
fn count_pair(packed: u32, bytes: u64, segments: u64) {
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a word")]
    let (source, target) = (PortSlot((packed >> 16) as u16), PortSlot(packed as u16));
    let (pair, frame) = (Pair { source, target }, Counter { frames: 1, bytes, segments });
    if add(pair, &frame) {
        return;
    }
    if end_if_over() {
        return;
    }
    // The first of its kind, on whichever CPU. Another one may have been quicker just now; if there is
    // no room, user space made an entry for what there is no room for.
    if PAIRS.insert(pair, frame, u64::from(BPF_NOEXIST)).is_err() && !add(pair, &frame) {
        let _ = add(Pair::OTHERS, &frame);
    }
}

/// Adds a frame to the counter of `pair`; false when there is none.
#[inline(always)]
fn add(pair: Pair, frame: &Counter) -> bool {
    let Some(counter) = PAIRS.get_ptr_mut(pair) else { return false };
    // SAFETY: as below.
    if unsafe { (*counter).frames } % FRAMES_PER_LOOK == 0 {
        let _ = end_if_over();
    }
    // SAFETY: the pointer is this CPU's share of the pair, which is there for as long as the program
    // runs. Programs at ingress run in softirq and are not preempted by one another on a CPU, so nobody
    // else writes here. The entry may be deleted and recycled for another pair meanwhile, which then
    // has a frame too many: that happens only when nobody has looked for a while.
    unsafe { &mut *counter }.add(frame);
    true
}
