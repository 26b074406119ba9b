//! The near table: keeping it a part of the FDB map.

use std::collections::HashMap;

use aya::maps::{Array, Map, MapData, MapError};
use veth_common::{FdbEntry, FdbFlags, Ifindex, Lease, MacKey, PortSlot, Vlan, names, near_place};

use super::DatapathError;

/// What a place has when its station went. No address has this key; a place that never had a
/// station has the version zero.
const VACANT: FdbEntry = FdbEntry {
    key: MacKey(u64::MAX),
    lease: Lease::EXPIRED,
    port: Ifindex(0),
    slot: PortSlot::UNKNOWN,
    flags: FdbFlags(0),
    mtu_bytes: 0,
    vlan: Vlan::NONE,
    version: 0,
};

/// The near table of a fabric.
///
/// The kernel writes a value of an array while programs read it. So a place is first marked as being
/// written, by an odd version, then written, then marked as done by the next even one; and the
/// program takes what it read only when the version was even and the same before and after.
pub(super) struct Near {
    map: Array<MapData, FdbEntry>,
    /// What is known to be in its place: what was read there or written.
    known: HashMap<u32, FdbEntry>,
}

impl Near {
    pub(super) fn open(map: Map) -> Result<Self, DatapathError> {
        let map = Array::try_from(map).map_err(failed("open"))?;
        Ok(Self { map, known: HashMap::new() })
    }

    /// Takes nothing for known any more: somebody else may have written.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// Takes the station at `key` out, unless it is as `wanted`.
    pub(super) fn withdraw(
        &mut self,
        key: MacKey,
        wanted: Option<&FdbEntry>,
    ) -> Result<(), DatapathError> {
        let present = self.read(key)?;
        let is_right = wanted.is_some_and(|wanted| is_same(wanted, &present));
        if present.key == key && !is_right { self.write(key, &present, &VACANT) } else { Ok(()) }
    }

    /// Puts `entry` in its place, unless another station has it.
    pub(super) fn offer(&mut self, entry: &FdbEntry) -> Result<(), DatapathError> {
        let present = self.read(entry.key)?;
        let is_done = present.version != 0 && present.version.is_multiple_of(2);
        let is_free = !is_done || present.key == VACANT.key;
        let is_changed = present.key == entry.key && !is_same(entry, &present);
        if is_free || is_changed { self.write(entry.key, &present, entry) } else { Ok(()) }
    }

    /// The lease of the station at `key`, if that has its place, as it is at this moment.
    pub(super) fn lease_of(&mut self, key: MacKey) -> Result<Option<Lease>, DatapathError> {
        self.known.remove(&near_place(key));
        let present = self.read(key)?;
        Ok((present.key == key && present.version != 0).then_some(present.lease))
    }

    fn read(&mut self, key: MacKey) -> Result<FdbEntry, DatapathError> {
        let place = near_place(key);
        if let Some(known) = self.known.get(&place) {
            return Ok(*known);
        }
        let present = self.map.get(&place, 0).map_err(failed("read"))?;
        self.known.insert(place, present);
        Ok(present)
    }

    /// Writes `entry` to the place of `key`, where `present` is, possibly left half written by
    /// somebody who was killed.
    fn write(
        &mut self,
        key: MacKey,
        present: &FdbEntry,
        entry: &FdbEntry,
    ) -> Result<(), DatapathError> {
        let place = near_place(key);
        // In case that this comes to nothing half way.
        self.known.remove(&place);
        let odd = present.version | 1;
        // Zero is for places that were never written.
        let even = odd.checked_add(1).unwrap_or(2);
        for entry in [
            FdbEntry { version: odd, ..*present },
            FdbEntry { version: odd, ..*entry },
            FdbEntry { version: even, ..*entry },
        ] {
            self.map.set(place, entry, 0).map_err(failed("write"))?;
        }
        self.known.insert(place, FdbEntry { version: even, ..*entry });
        Ok(())
    }
}

/// Whether `near`, when it is not half written, says the same as `entry`.
fn is_same(entry: &FdbEntry, near: &FdbEntry) -> bool {
    near.version.is_multiple_of(2) && FdbEntry { version: entry.version, ..*near } == *entry
}

fn failed(verb: &'static str) -> impl Fn(MapError) -> DatapathError {
    move |source| DatapathError::Map { action: format!("{verb} map {}", names::MAP_NEAR), source }
}
