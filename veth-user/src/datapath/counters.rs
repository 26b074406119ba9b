//! The counter map: reading a port's counters, and starting them anew.

use aya::{
    maps::{IterableMap as _, Map, MapData, PerCpuArray, PerCpuValues},
    util::nr_cpus,
};
use veth_common::{PortCounters, PortSlot, names};

use super::{DatapathError, dir_of, pins::is_pinned};

/// The verdict counters of a fabric.
pub struct CounterMap {
    counters: PerCpuArray<MapData, PortCounters>,
}

impl CounterMap {
    pub(super) fn new(map: Map) -> Result<Self, DatapathError> {
        let counters = PerCpuArray::try_from(map)
            .map_err(|source| DatapathError::Map { action: opening(), source })?;
        Ok(Self { counters })
    }

    /// The pinned counters of `fabric`, or `None` when it has no datapath.
    ///
    /// # Errors
    ///
    /// When the pin is there and cannot be opened (`CAP_BPF`).
    pub fn open(fabric: &str) -> Result<Option<Self>, DatapathError> {
        let path = dir_of(fabric).join(names::MAP_COUNTERS);
        if !path.exists() {
            return Ok(None);
        }
        MapData::from_pin(path)
            .and_then(Map::from_map_data)
            .map_err(|source| DatapathError::Map { action: opening(), source })
            .and_then(Self::new)
            .map(Some)
    }

    /// Whether these are the counters that are pinned for `fabric` now.
    ///
    /// # Errors
    ///
    /// When the pin is there and cannot be examined (`CAP_BPF`).
    pub fn is_pinned_for(&self, fabric: &str) -> Result<bool, DatapathError> {
        is_pinned(self.counters.map(), fabric, names::MAP_COUNTERS)
    }

    /// The counters of a port, summed over the CPUs.
    ///
    /// # Errors
    ///
    /// When the map cannot be read.
    pub fn read(&self, slot: PortSlot) -> Result<PortCounters, DatapathError> {
        let shares = self.counters.get(&u32::from(slot.0), 0).map_err(|source| {
            DatapathError::Map { action: format!("read the counters of slot {}", slot.0), source }
        })?;
        let mut total = PortCounters::ZERO;
        for share in shares.iter() {
            total.add(share);
        }
        Ok(total)
    }

    /// Starts a port's counters anew: its slot may have been another port's before.
    ///
    /// # Errors
    ///
    /// When the map cannot be written.
    pub fn reset(&mut self, slot: PortSlot) -> Result<(), DatapathError> {
        let action = || format!("reset the counters of slot {}", slot.0);
        let cpus =
            nr_cpus().map_err(|(_, source)| DatapathError::Cpus { action: action(), source })?;
        let zero = PerCpuValues::try_from(vec![PortCounters::ZERO; cpus])
            .map_err(|source| DatapathError::Cpus { action: action(), source })?;
        self.counters
            .set(u32::from(slot.0), zero, 0)
            .map_err(|source| DatapathError::Map { action: action(), source })
    }
}

fn opening() -> String {
    format!("open map {}", names::MAP_COUNTERS)
}
