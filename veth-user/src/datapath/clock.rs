//! The clock of the programs, and that of people.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// The clock of the programs, since boot.
pub fn monotonic() -> Duration {
    clock(ClockId::CLOCK_MONOTONIC)
}

/// The clock of people, since 1970.
pub fn realtime() -> Duration {
    clock(ClockId::CLOCK_REALTIME)
}

/// The moment that is `lease` from now, as programs compare it with their clock, in nanoseconds.
pub(super) fn end_of(lease: Duration) -> u64 {
    u64::try_from((monotonic() + lease).as_nanos()).unwrap_or(u64::MAX)
}

fn clock(id: ClockId) -> Duration {
    Duration::from(clock_gettime(id).expect("every kernel has this clock"))
}
