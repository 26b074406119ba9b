//! Whose bridge it is, and what that asks of whoever keeps its maps.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use nix::time::{ClockId, clock_gettime};
use veth_common::{Ifindex, Lease, Meta, Ownership, PortSlot, Verdict};

use super::SyncError;
use crate::{
    datapath::CounterMap,
    forwarding::{LEASE, Tables, overlooked},
    netlink::Netlink,
    view::{BridgeView, Bypasses, LinkKind},
};

/// How a bridge is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// veth made the bridge, and tells it where the stations are.
    Managed,
    /// Somebody else made it: it says where the stations are, and nothing of it is changed.
    Adopted {
        /// What the user accepts that frames pass by.
        allowed: Bypasses,
    },
}

impl Keeping {
    /// How the bridge whose pins have this identity is kept.
    pub fn of(meta: &Meta) -> Self {
        match meta.ownership {
            Ownership::ADOPTED => Self::Adopted { allowed: Bypasses::from_bits(meta.bypasses) },
            _ => Self::Managed,
        }
    }

    /// What stands in the pins.
    pub(super) const fn signature(self) -> (Ownership, Bypasses) {
        match self {
            Self::Managed => (Ownership::MANAGED, Bypasses::NONE),
            Self::Adopted { allowed } => (Ownership::ADOPTED, allowed),
        }
    }
}

/// The lease of entries that are written now.
pub(super) fn new_lease() -> Lease {
    Lease(now_ns().saturating_add(u64::try_from(LEASE.as_nanos()).unwrap_or(u64::MAX)))
}

/// The clock of leases, in nanoseconds: `CLOCK_MONOTONIC`, as the program reads it.
pub(crate) fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .expect("the kernel has had this clock since before it had namespaces");
    Duration::from(now).as_nanos().try_into().unwrap_or(u64::MAX)
}

/// After how long the bridge of `view` forgets a station.
pub(super) fn ageing_of(view: &BridgeView) -> Option<Duration> {
    match view.bridge.kind {
        LinkKind::Bridge { ageing_ms, .. } if ageing_ms > 0 => {
            Some(Duration::from_millis(ageing_ms))
        }
        _ => None,
    }
}

/// Tells a bridge of stations that it no longer sees because their frames take the fast path.
#[derive(Default)]
pub(super) struct Refresher {
    /// How many frames of each port had taken the fast path when it was last looked at.
    redirected: BTreeMap<PortSlot, u64>,
    /// Since when.
    since: Option<Instant>,
}

impl Refresher {
    /// Refreshes the entries of `view` that would age although their stations send, and says how many
    /// those were. Stations that sent nothing since the last look are left to age.
    pub(super) fn refresh(
        &mut self,
        host: &mut Netlink,
        view: &BridgeView,
        tables: &Tables,
        counters: &CounterMap,
    ) -> Result<usize, SyncError> {
        let Some(ageing) = ageing_of(view) else { return Ok(0) };
        // Not with every event: what is looked for takes a good part of the ageing time.
        if self.since.is_some_and(|since| since.elapsed() < ageing / 16) {
            return Ok(0);
        }
        self.since = Some(Instant::now());
        let mut sent = BTreeMap::new();
        let mut redirected = BTreeMap::new();
        for (ifindex, port) in &tables.ports {
            let frames = counters.read(port.slot)?.of(Verdict::Redirected).frames;
            let before = self.redirected.get(&port.slot).copied();
            sent.insert(*ifindex, before.is_some_and(|before| before != frames));
            redirected.insert(port.slot, frames);
        }
        self.redirected = redirected;
        let sends = |port: Ifindex| sent.get(&port) == Some(&true);
        let mut refreshed = 0;
        for entry in overlooked(view, tables, ageing, sends) {
            match host.refresh_station(entry.port, entry.mac, entry.vlan) {
                Ok(()) => refreshed += 1,
                // The port went, or does not learn any more.
                Err(error) if error.is_not_found() || error.is_invalid() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(refreshed)
    }
}
