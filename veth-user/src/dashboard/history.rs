//! What was counted in the last minute.

use std::{
    collections::{HashMap, VecDeque},
    mem,
    time::Duration,
};

use veth_common::PortCounters;

use crate::counters::{PortRates, PortSample, Snapshot, Traffic, difference, rates, traffic};

/// How many snapshots, one each second, make the last minute.
pub const MINUTE: usize = 60;

/// How long a port that counts anew is told of.
const TOLD_FOR: Duration = Duration::from_mins(1);

/// The last two snapshots, the rates between them, and the rates of the last minute.
#[derive(Clone, Debug, Default)]
pub struct History {
    before: Option<Snapshot>,
    now: Option<Snapshot>,
    /// Of the ports of `now`, in their order; empty until there are two snapshots.
    rates: Vec<PortRates>,
    /// Frames per second, oldest first, by the index of the port. A port that leaves and returns has
    /// another index, and starts anew.
    recent: HashMap<u32, VecDeque<f64>>,
    /// When ports started to count anew that did so in the last minute, by the clock of the snapshots.
    anew: HashMap<u32, Duration>,
    /// The last snapshot that had pairs: those are read less often where there are many.
    paired: Option<Snapshot>,
    /// What was sent between the last two of them.
    traffic: Option<Traffic>,
}

/// A port of the latest snapshot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) sample: &'a PortSample,
    pub(super) rates: &'a PortRates,
}

impl Row<'_> {
    pub(super) fn bits_per_second(&self) -> f64 {
        self.rates.bytes_per_second * 8.0
    }

    /// Mean bytes of a frame; `None` without frames.
    pub(super) fn frame_bytes(&self) -> Option<f64> {
        let frames = self.rates.frames_per_second;
        (frames > 0.0).then(|| self.rates.bytes_per_second / frames)
    }
}

impl History {
    /// Takes in the next snapshot.
    pub fn record(&mut self, snapshot: Snapshot) {
        if snapshot.pairs.is_some() {
            let before = self.paired.replace(snapshot.clone());
            self.traffic = before.and_then(|before| traffic(&before, &snapshot));
        }
        if let Some(now) = self.now.take() {
            self.rates = rates(&now, &snapshot);
            // Ports that are gone stay behind in here.
            let mut earlier = mem::take(&mut self.recent);
            for (port, rates) in snapshot.ports.iter().zip(&self.rates) {
                let mut samples = earlier.remove(&port.ifindex).unwrap_or_default();
                if samples.len() == MINUTE {
                    samples.pop_front();
                }
                samples.push_back(rates.frames_per_second);
                self.recent.insert(port.ifindex, samples);
                if rates.is_anew {
                    self.anew.insert(port.ifindex, snapshot.at);
                }
            }
            self.anew.retain(|_, at| snapshot.at.saturating_sub(*at) <= TOLD_FOR);
            self.before = Some(now);
        }
        self.now = Some(snapshot);
    }

    /// Begins to look at pairs anew.
    pub(super) fn forget_pairs(&mut self) {
        (self.paired, self.traffic) = (None, None);
    }

    /// Who talked to whom of late; `None` until pairs were read twice.
    pub(super) fn traffic(&self) -> Option<&Traffic> {
        self.traffic.as_ref()
    }

    /// The latest snapshot.
    pub(super) fn latest(&self) -> Option<&Snapshot> {
        self.now.as_ref()
    }

    /// The ports that have rates.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let ports = self.now.as_ref().map_or(&[][..], |now| &now.ports);
        ports.iter().zip(&self.rates).map(|(sample, rates)| Row { sample, rates })
    }

    /// Frames per second of a port, oldest first.
    pub(super) fn recent(&self, ifindex: u32) -> impl DoubleEndedIterator<Item = f64> {
        self.recent.get(&ifindex).into_iter().flatten().copied()
    }

    /// For how many seconds a port has counted anew; `None` when that is long ago.
    pub(super) fn seconds_since_anew(&self, ifindex: u32) -> Option<u64> {
        let since = self.anew.get(&ifindex)?;
        Some(self.now.as_ref()?.at.saturating_sub(*since).as_secs())
    }

    /// What a port counted between the last two snapshots, and in how many seconds.
    pub(super) fn added(&self, port: &PortSample) -> (PortCounters, f64) {
        let (Some(before), Some(now)) = (&self.before, &self.now) else {
            return (PortCounters::ZERO, 0.0);
        };
        let earlier = before.ports.iter().find(|other| other.ifindex == port.ifindex);
        let earlier = earlier.map_or(PortCounters::ZERO, |earlier| earlier.counters);
        let seconds = now.at.saturating_sub(before.at).as_secs_f64();
        (difference(&earlier, &port.counters), seconds)
    }
}
