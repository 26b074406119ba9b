//! What the forwarding decision may ask: the port and FDB tables, and the time.

use veth_common::{FdbEntry, Ifindex, MacKey, PortEntry};

/// The tables as seen by one frame.
///
/// In the kernel these are maps; in tests a table made by hand. Entries are returned by value:
/// the caller decides on one consistent copy.
pub trait Tables {
    /// The port behind `ifindex`, if the fabric has it.
    fn port(&self, ifindex: Ifindex) -> Option<PortEntry>;

    /// What is known of the station at `key`.
    fn station(&self, key: MacKey) -> Option<FdbEntry>;

    /// `CLOCK_MONOTONIC` in nanoseconds. Asked only when an entry has a lease that can end.
    fn now_ns(&self) -> u64;
}
