//! The same traffic over the plain bridge and over the fast path, in turn.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};
use serde::Serialize;

use super::{Session, Talker, say};
use crate::{
    Stop, fabric,
    sync::{HookPolicy, Keeping},
    topology::FabricName,
    traffic::{measure_round_trips, measure_stream},
};

/// Rounds of each path. A machine that is busy elsewhere disturbs some of them; the median of
/// the ratios within each round does not mind.
const ROUNDS: usize = 5;
const STREAM: Duration = Duration::from_millis(250);
const ROUND_TRIPS: Duration = Duration::from_millis(250);

/// What the rounds measured.
#[derive(Debug, Default, Serialize)]
pub(super) struct Comparison {
    pub(super) rounds: Vec<Round>,
}

/// One round: both paths, one right after the other.
#[derive(Debug, Serialize)]
pub(super) struct Round {
    pub(super) bridge: Figures,
    pub(super) fast: Figures,
}

/// What one path did in one round.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Figures {
    /// TCP payload, bits per second.
    pub(super) stream_bits_per_second: f64,
    /// UDP round trips of 64 bytes per second, one at a time.
    pub(super) round_trips_per_second: f64,
}

/// Measures both paths round by round, and leaves the datapath attached.
pub(super) fn compare(
    session: &Session,
    fabric: &FabricName,
    hook: HookPolicy,
    client: &Talker,
    server: &Talker,
) -> Result<Comparison> {
    let mut comparison = Comparison::default();
    let placement = OneCpu::enter()?;
    for round in 1..=ROUNDS {
        if session.stop.is_requested() {
            break;
        }
        if !session.json {
            say(&format!("comparing with the plain bridge: round {round} of {ROUNDS}"));
        }
        fabric::detach(fabric, &Stop::new())?;
        let bridge = measure(session, client, server)?;
        fabric::attach(fabric, hook, Keeping::Managed, &Stop::new())?;
        let fast = measure(session, client, server)?;
        // A round that was cut short says nothing.
        if !session.stop.is_requested() {
            comparison.rounds.push(Round { bridge, fast });
        }
    }
    drop(placement);
    Ok(comparison)
}

fn measure(session: &Session, client: &Talker, server: &Talker) -> Result<Figures> {
    let (client, server) = (client.endpoint(), server.endpoint());
    let round_trips = measure_round_trips(client, server, ROUND_TRIPS, &session.stop)?;
    let stream = measure_stream(client, server, STREAM, &session.stop)?;
    Ok(Figures {
        stream_bits_per_second: stream.bits_per_second(),
        round_trips_per_second: round_trips.per_second(),
    })
}

/// Keeps this thread, and those that it starts, on one CPU while it lives: whether two ends of a
/// conversation share a CPU makes more of a difference than the path between them.
struct OneCpu {
    before: CpuSet,
}

impl OneCpu {
    fn enter() -> Result<Self> {
        let this = Pid::from_raw(0);
        let before = sched_getaffinity(this).context("ask which CPUs may be used")?;
        let mut one = CpuSet::new();
        let first = (0..CpuSet::count()).find(|cpu| before.is_set(*cpu).unwrap_or(false));
        one.set(first.unwrap_or(0)).context("choose a CPU")?;
        sched_setaffinity(this, &one).context("stay on one CPU")?;
        Ok(Self { before })
    }
}

impl Drop for OneCpu {
    fn drop(&mut self) {
        // Only the placement of what comes after is at stake.
        let _ = sched_setaffinity(Pid::from_raw(0), &self.before);
    }
}
