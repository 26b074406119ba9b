//! The maps of the datapath, and the typed way to them.
//!
//! The maps carry no pin flag: the control plane names the directory of its fabric when it
//! loads the object.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    helpers,
    macros::map,
    maps::{Array, HashMap, PerCpuArray},
};
use veth_common::{
    Counter, FdbEntry, Ifindex, Lease, MAX_SLOTS, MacKey, Meta, NEAR_PLACES, PortCounters,
    PortEntry, PortSlot, Verdict, near_place,
};

use crate::tables::Tables;

/// Room for every port of a bridge, and as many again while ports are replaced.
pub const PORTS_MAX: u32 = 2 * MAX_SLOTS;
/// Room for the stations of a busy bridge; the control plane reports what does not fit.
const STATIONS_MAX: u32 = 16_384;

// Not preallocated: memory follows the number of entries, and an entry that is deleted while a
// program reads it is less likely to be reused at once.
#[map(name = "VETH_PORTS")]
static PORTS: HashMap<Ifindex, PortEntry> = HashMap::with_max_entries(PORTS_MAX, BPF_F_NO_PREALLOC);

#[map(name = "VETH_FDB")]
static FDB: HashMap<MacKey, FdbEntry> = HashMap::with_max_entries(STATIONS_MAX, BPF_F_NO_PREALLOC);

#[map(name = "VETH_NEAR")]
static NEAR: Array<FdbEntry> = Array::with_max_entries(NEAR_PLACES, 0);

#[map(name = "VETH_COUNTERS")]
static COUNTERS: PerCpuArray<PortCounters> = PerCpuArray::with_max_entries(MAX_SLOTS, 0);

// Not for the program: the control plane keeps the identity of the pinned set in it.
#[map(name = "VETH_META")]
static META: Array<Meta> = Array::with_max_entries(1, 0);

/// Whether `bpf_ktime_get_coarse_ns` is there (5.11): the time of the last tick, without reading a
/// clock, which is exact enough for leases of seconds. The loader sets it; where it is zero, the
/// verifier never looks at the call.
#[unsafe(no_mangle)]
static HAS_COARSE_CLOCK: u8 = 0;

/// The tables of the kernel.
pub struct Maps;

#[expect(
    clippy::needless_borrows_for_generic_args,
    reason = "keys that are handed on by value make the program longer"
)]
impl Tables for Maps {
    #[inline(always)]
    fn port(&self, ifindex: Ifindex) -> Option<PortEntry> {
        // SAFETY: the value outlives this expression: the kernel frees map memory only after
        // the program's RCU section. It may be recycled meanwhile; a port's value is one aligned
        // word, so the copy is either the old or the new one.
        unsafe { PORTS.get(&ifindex) }.copied()
    }

    #[inline(always)]
    fn station(&self, key: MacKey) -> Option<FdbEntry> {
        if let Some(entry) = near_station(key) {
            return Some(entry);
        }
        // SAFETY: as for `port`; the entry repeats its key, and the caller compares it.
        unsafe { FDB.get(&key) }.copied()
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // SAFETY: a static of this object, which nobody writes after it was loaded. Volatile: the
        // loader may have given it another value than the compiler sees.
        let has_coarse_clock = unsafe { (&raw const HAS_COARSE_CLOCK).read_volatile() };
        if has_coarse_clock == 1 {
            // SAFETY: the helper takes no arguments and cannot fail.
            unsafe { helpers::bpf_ktime_get_coarse_ns() }
        } else {
            // SAFETY: as above.
            unsafe { helpers::bpf_ktime_get_ns() }
        }
    }
}

/// The station at `key`, if it is in its place of the near table and nobody writes there.
///
/// The CPU must not read the version again before it has read the entry. x86 reads in order; a CPU
/// that need not, would have to be told with a barrier, which programs have none of. There, every
/// station is looked up in the FDB map.
#[inline(always)]
fn near_station(key: MacKey) -> Option<FdbEntry> {
    if !cfg!(bpf_target_arch = "x86_64") {
        return None;
    }
    let near = NEAR.get_ptr(near_place(key))?;
    // SAFETY: the pointer is a value of the array, which lives as long as the program.
    let version = unsafe { &raw const (*near).version };
    // SAFETY: as above, and an aligned word. Volatile: the two readings of the version must stay
    // on either side of the entry.
    let before = unsafe { version.read_volatile() };
    // SAFETY: as above. User space may write at the same time; then the versions differ or are odd,
    // and what was read is thrown away.
    let entry = unsafe { near.read_volatile() };
    // SAFETY: as for the first reading.
    let after = unsafe { version.read_volatile() };
    // A place that was never written has zeros, which are no address that a frame must find.
    let is_whole = before == after && before % 2 == 0 && before != 0;
    (entry.key == key && is_whole).then_some(entry)
}

/// Ends the lease of the station at `key`, until the control plane has looked again.
///
/// An entry that user space writes at the same time may keep its lease; the bridge's own event
/// about the move then makes it look again.
#[inline(always)]
#[expect(
    clippy::needless_borrows_for_generic_args,
    reason = "keys that are handed on by value make the program longer"
)]
pub fn revoke(key: MacKey) {
    // One after the other: both pointers at once make code that the verifier refuses.
    if let Some(entry) = NEAR.get_ptr_mut(near_place(key)) {
        end_lease(entry, key);
    }
    if let Some(entry) = FDB.get_ptr_mut(&key) {
        end_lease(entry, key);
    }
}

/// Ends the lease of a value of a map, if that is the entry of `key`.
#[inline(always)]
fn end_lease(entry: *mut FdbEntry, key: MacKey) {
    // SAFETY: the pointer is a value of a map, which is there for as long as the program runs.
    let theirs = unsafe { &raw const (*entry).key };
    // SAFETY: as above.
    let lease = unsafe { &raw mut (*entry).lease };
    // SAFETY: as above, and an aligned word. Volatile: the entry is shared with programs on other CPUs.
    if unsafe { theirs.read_volatile() } == key {
        // SAFETY: as above; whoever reads it meanwhile sees the old lease or the new one.
        unsafe { lease.write_volatile(Lease::EXPIRED) };
    }
}

/// Adds one frame to the counters of (`slot`, `verdict`).
#[inline(always)]
pub fn count(slot: PortSlot, verdict: Verdict, frame: &Counter) {
    let Some(counters) = COUNTERS.get_ptr_mut(u32::from(slot.0)) else {
        // The slot is a bridge port number, which is below the size of the map.
        return;
    };
    // SAFETY: the pointer is this CPU's share of the slot. Programs at tc ingress run in softirq
    // and are not preempted by one another on a CPU, so nobody else writes here; user space only
    // reads.
    unsafe { &mut *counters }.by_verdict[verdict as usize].add(frame);
}
