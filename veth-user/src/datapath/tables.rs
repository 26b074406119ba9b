//! The port and FDB maps: bringing them to what they should hold.

use std::{collections, hash::Hash, ops::AddAssign};

use aya::{
    Pod,
    maps::{HashMap, Map, MapData, MapError},
};
use nix::errno::Errno;
use veth_common::{FdbEntry, FdbFlags, Ifindex, MacKey, PortEntry, names};

use super::DatapathError;
use crate::forwarding::Tables;

/// How many entries an update touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Changes {
    /// New entries.
    pub added: usize,
    /// Entries with another value.
    pub changed: usize,
    /// Entries that went.
    pub removed: usize,
}

impl Changes {
    /// Whether there was nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.added == 0 && self.changed == 0 && self.removed == 0
    }
}

impl AddAssign for Changes {
    fn add_assign(&mut self, other: Self) {
        self.added += other.added;
        self.changed += other.changed;
        self.removed += other.removed;
    }
}

/// The maps that the forwarding decision reads.
pub struct TableMaps {
    ports: HashMap<MapData, Ifindex, PortEntry>,
    fdb: HashMap<MapData, MacKey, FdbEntry>,
}

impl TableMaps {
    pub(super) fn new(ports: Map, fdb: Map) -> Result<Self, DatapathError> {
        Ok(Self {
            ports: HashMap::try_from(ports).map_err(failed(names::MAP_PORTS, "open"))?,
            fdb: HashMap::try_from(fdb).map_err(failed(names::MAP_FDB, "open"))?,
        })
    }

    /// What the maps hold. The stations are those that were targets.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn read(&self) -> Result<Tables, DatapathError> {
        let ports: Result<_, _> = self.ports.iter().collect();
        let entries: Vec<FdbEntry> = self
            .fdb
            .iter()
            .map(|entry| entry.map(|(_, value)| value))
            .collect::<Result<_, _>>()
            .map_err(failed(names::MAP_FDB, "read"))?;
        let targets = entries.iter().filter(|entry| entry.flags.contains(FdbFlags::TARGET));
        Ok(Tables {
            ports: ports.map_err(failed(names::MAP_PORTS, "read"))?,
            stations: targets.map(|entry| (entry.key.mac(), entry.port)).collect(),
            fdb: entries.into_iter().map(|entry| (entry.key.mac(), entry)).collect(),
        })
    }

    /// Brings the maps to `tables`, and says how much that took.
    ///
    /// In every moment in between, an entry of the maps is right by the old or by the new
    /// tables: what loses its right to the fast path loses it first, what gains it comes last.
    ///
    /// # Errors
    ///
    /// When a map cannot be read or written, or is full.
    pub fn apply(&mut self, tables: &Tables) -> Result<Changes, DatapathError> {
        let fdb = tables.fdb.values().map(|entry| (entry.key, *entry)).collect();
        let ports = tables.ports.iter().map(|(ifindex, entry)| (*ifindex, *entry)).collect();
        let mut changes = remove_stale(&mut self.fdb, names::MAP_FDB, &fdb)?;
        changes += write(&mut self.ports, names::MAP_PORTS, &ports)?;
        changes += write(&mut self.fdb, names::MAP_FDB, &fdb)?;
        changes += remove_stale(&mut self.ports, names::MAP_PORTS, &ports)?;
        Ok(changes)
    }
}

/// Removes the entries that are not wanted.
fn remove_stale<K, V>(
    map: &mut HashMap<MapData, K, V>,
    name: &'static str,
    wanted: &collections::HashMap<K, V>,
) -> Result<Changes, DatapathError>
where
    K: Pod + Eq + Hash,
    V: Pod,
{
    let present: Vec<K> = map.keys().collect::<Result<_, _>>().map_err(failed(name, "read"))?;
    let mut changes = Changes::default();
    for key in present.into_iter().filter(|key| !wanted.contains_key(key)) {
        match map.remove(&key) {
            Ok(()) => changes.removed += 1,
            Err(MapError::KeyNotFound) => {}
            Err(source) => return Err(failed(name, "remove an entry from")(source)),
        }
    }
    Ok(changes)
}

/// Writes the entries that are new or differ.
fn write<K, V>(
    map: &mut HashMap<MapData, K, V>,
    name: &'static str,
    wanted: &collections::HashMap<K, V>,
) -> Result<Changes, DatapathError>
where
    K: Pod + Eq + Hash,
    V: Pod + Eq,
{
    let present: collections::HashMap<K, V> =
        map.iter().collect::<Result<_, _>>().map_err(failed(name, "read"))?;
    let mut changes = Changes::default();
    let mut left_out = false;
    for (key, value) in wanted {
        match present.get(key) {
            Some(old) if old == value => continue,
            Some(_) => changes.changed += 1,
            None => changes.added += 1,
        }
        match map.insert(*key, *value, 0) {
            Ok(()) => {}
            Err(MapError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(Errno::E2BIG as i32) =>
            {
                left_out = true;
            }
            Err(source) => return Err(failed(name, "write")(source)),
        }
    }
    if left_out {
        return Err(DatapathError::Full { map: name, entries: wanted.len() });
    }
    Ok(changes)
}

fn failed(map: &'static str, verb: &'static str) -> impl Fn(MapError) -> DatapathError {
    move |source| DatapathError::Map { action: format!("{verb} map {map}"), source }
}
