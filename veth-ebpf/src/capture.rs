//! Captured frames: what of a frame goes into the ring buffer, and whether.
//!
//! While nothing is captured, a program reads one word and does nothing else. What is captured, and
//! until when, is [`CaptureRule`]; who reads the frames, is the control plane's business.

use core::marker::PhantomData;

use aya_ebpf::{
    helpers,
    macros::map,
    maps::{PerCpuArray, RingBuf},
};
use veth_common::{
    CAPTURE_RING_BYTES, CAPTURE_SNAPLEN_MAX, CaptureHead, CaptureRule, CaptureTally, Ifindex,
    PortSlot, Verdict,
};

use crate::forward::Decision;

#[map(name = "VETH_FRAMES")]
static FRAMES: RingBuf = RingBuf::with_byte_size(CAPTURE_RING_BYTES, 0);

#[map(name = "VETH_TALLY")]
static TALLY: PerCpuArray<CaptureTally> = PerCpuArray::with_max_entries(1, 0);

/// What is to be captured. User space writes it, while programs read it.
#[unsafe(no_mangle)]
static mut CAPTURE: CaptureRule = CaptureRule::OFF;

/// The reader looks by itself: to be woken would cost the sender.
const BPF_RB_NO_WAKEUP: u64 = 1;

/// A record of the ring buffer: a frame of which at most `BYTES` bytes are captured.
#[repr(C)]
struct Record<const BYTES: usize> {
    head: CaptureHead,
    bytes: [u8; BYTES],
}

/// A captured frame, before its bytes are copied.
#[derive(Clone, Copy)]
pub struct Seen {
    /// What is said of it.
    pub head: CaptureHead,
    /// How many bytes the source can copy.
    pub snaplen_bytes: u32,
}

/// Where bytes of a frame can be had.
pub trait Source {
    /// Copies the beginning of the frame to `place`; false when that failed.
    fn copy<const BYTES: usize>(&self, place: Place<'_, BYTES>) -> bool;
}

/// Room for `BYTES` bytes, of which some are wanted. `BYTES` is a power of two.
pub struct Place<'a, const BYTES: usize> {
    start: *mut u8,
    wanted: u32,
    room: PhantomData<&'a mut [u8; BYTES]>,
}

impl<const BYTES: usize> Place<'_, BYTES> {
    /// Where it begins.
    #[inline(always)]
    pub const fn start(&self) -> *mut u8 {
        self.start
    }

    /// Where it begins, and how many bytes are wanted there: between one and `BYTES`.
    #[inline(always)]
    pub fn part(&self) -> (*mut u8, u32) {
        const { assert!(BYTES.is_power_of_two() && BYTES <= CAPTURE_SNAPLEN_MAX as usize) };
        // SAFETY: a variable of this function. Volatile: the compiler knows the bounds and would
        // leave the mask out, which is how the verifier learns of them.
        let wanted = unsafe { (&raw const self.wanted).read_volatile() };
        #[expect(clippy::cast_possible_truncation, reason = "at most 65536")]
        let mask = BYTES as u32 - 1;
        (self.start, (wanted.wrapping_sub(1) & mask) + 1)
    }
}

/// Whether anything may be captured.
#[inline(always)]
pub fn is_on() -> bool {
    // SAFETY: only its address is taken.
    let until_ns = unsafe { &raw const CAPTURE.until_ns };
    // SAFETY: a static of this object, and an aligned word. Volatile: user space writes it.
    unsafe { until_ns.read_volatile() != 0 }
}

/// Slot and verdict in one word, so that few are handed on.
#[inline(always)]
pub const fn pack(decision: &Decision) -> u32 {
    (decision.slot.0 as u32) << 16 | decision.verdict as u32
}

/// The beginning of what is said of a frame, from [`pack`] and the target.
#[inline(always)]
pub fn head_of(packed: u32, target: Ifindex) -> CaptureHead {
    let verdict = packed & 0xffff;
    let (slot, verdict) = (PortSlot((packed >> 16) as u16), verdict as u16);
    let is_handed_on = verdict == Verdict::Redirected as u16;
    let target = if is_handed_on { target } else { Ifindex(0) };
    CaptureHead { slot, verdict, target, ..CaptureHead::default() }
}

/// Puts the frame into the ring buffer, if the rule is about it.
#[inline(always)]
pub fn offer(source: &impl Source, seen: Seen) {
    let rule = &raw const CAPTURE;
    // SAFETY: as in `is_on`. User space may be writing: it first says that nothing is captured, so
    // that a rule that holds is whole; only its end is written again.
    let rule = unsafe { rule.read_volatile() };
    // SAFETY: the helper takes no arguments and cannot fail.
    let now_ns = unsafe { helpers::bpf_ktime_get_ns() };
    if now_ns >= rule.until_ns || !is_about(&rule, &seen.head) {
        return;
    }
    let Some(tally) = TALLY.get_ptr_mut(0) else { return };
    // SAFETY: this CPU's own value; programs at ingress run in softirq and are not preempted by one
    // another. User space writes it only before a capture begins.
    let tally = unsafe { &mut *tally };
    let number = tally.matched;
    tally.matched = number.wrapping_add(1);
    if rule.sample > 1 && number % u64::from(rule.sample) != 0 {
        return;
    }
    if !has_token(&rule, tally, now_ns) {
        tally.limited = tally.limited.wrapping_add(1);
        return;
    }
    let wanted = seen.head.len_bytes.min(rule.snaplen_bytes).min(seen.snaplen_bytes);
    let wanted = wanted.clamp(1, CAPTURE_SNAPLEN_MAX);
    let head =
        CaptureHead { time_ns: now_ns, session: rule.session, captured_bytes: wanted, ..seen.head };
    // The verifier wants records of known sizes.
    let is_captured = match wanted {
        ..=128 => put::<128>(source, &head),
        129..=512 => put::<512>(source, &head),
        513..=2048 => put::<2048>(source, &head),
        2049..=16_384 => put::<16_384>(source, &head),
        _ => put::<65_536>(source, &head),
    };
    if is_captured {
        tally.captured = tally.captured.wrapping_add(1);
    } else {
        tally.lost = tally.lost.wrapping_add(1);
    }
}

#[inline(always)]
fn is_about(rule: &CaptureRule, head: &CaptureHead) -> bool {
    let any = Ifindex(0);
    rule.verdicts >> (head.verdict & 63) & 1 == 1
        && (rule.port == any || rule.port == head.ingress)
        && (rule.peer == any || rule.peer == head.target)
}

/// Takes a token from the bucket, which is kept as the time at which it will be full.
#[inline(always)]
fn has_token(rule: &CaptureRule, tally: &mut CaptureTally, now_ns: u64) -> bool {
    if rule.interval_ns == 0 {
        return true;
    }
    let full_ns = tally.full_ns.max(now_ns);
    if full_ns - now_ns > rule.burst_ns {
        return false;
    }
    tally.full_ns = full_ns + rule.interval_ns;
    true
}

/// Puts a record with room for `BYTES` bytes into the ring buffer; false when it has no room.
#[inline(always)]
fn put<const BYTES: usize>(source: &impl Source, head: &CaptureHead) -> bool {
    let Some(mut record) = FRAMES.reserve::<Record<BYTES>>(0) else { return false };
    let record_at = record.as_mut_ptr();
    // SAFETY: the record is as large as its type, and nobody else's until it is submitted.
    let head_at = unsafe { &raw mut (*record_at).head };
    // SAFETY: as above.
    unsafe { head_at.write(*head) };
    // SAFETY: as above.
    let start = unsafe { &raw mut (*record_at).bytes }.cast::<u8>();
    let place = Place::<BYTES> { start, wanted: head.captured_bytes, room: PhantomData };
    if source.copy(place) {
        record.submit(BPF_RB_NO_WAKEUP);
        true
    } else {
        record.discard(BPF_RB_NO_WAKEUP);
        false
    }
}
