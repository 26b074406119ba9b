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
    ports: Table<Ifindex, PortEntry>,
    fdb: Table<MacKey, FdbEntry>,
}

impl TableMaps {
    pub(super) fn new(ports: Map, fdb: Map) -> Result<Self, DatapathError> {
        Ok(Self {
            ports: Table::open(names::MAP_PORTS, ports)?,
            fdb: Table::open(names::MAP_FDB, fdb)?,
        })
    }

    /// What the maps hold. The stations are those that were targets.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn read(&self) -> Result<Tables, DatapathError> {
        let entries: Vec<FdbEntry> = self.fdb.read()?.into_values().collect();
        let targets = entries.iter().filter(|entry| entry.flags.contains(FdbFlags::TARGET));
        Ok(Tables {
            ports: self.ports.read()?.into_iter().collect(),
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
        let mut changes = self.fdb.remove_stale(&fdb)?;
        changes += self.ports.write(&ports)?;
        changes += self.fdb.write(&fdb)?;
        changes += self.ports.remove_stale(&ports)?;
        Ok(changes)
    }
}

/// A hash map, and its name for messages.
struct Table<K, V> {
    name: &'static str,
    map: HashMap<MapData, K, V>,
}

impl<K: Pod + Eq + Hash, V: Pod + Eq> Table<K, V> {
    fn open(name: &'static str, map: Map) -> Result<Self, DatapathError> {
        let map = HashMap::try_from(map)
            .map_err(|source| DatapathError::Map { action: format!("open map {name}"), source })?;
        Ok(Self { name, map })
    }

    fn read(&self) -> Result<collections::HashMap<K, V>, DatapathError> {
        self.map.iter().collect::<Result<_, _>>().map_err(|source| self.failed("read", source))
    }

    /// Removes the entries that are not wanted.
    fn remove_stale(
        &mut self,
        wanted: &collections::HashMap<K, V>,
    ) -> Result<Changes, DatapathError> {
        let mut changes = Changes::default();
        for key in self.read()?.into_keys().filter(|key| !wanted.contains_key(key)) {
            match self.map.remove(&key) {
                Ok(()) => changes.removed += 1,
                Err(MapError::KeyNotFound) => {}
                Err(source) => return Err(self.failed("remove an entry from", source)),
            }
        }
        Ok(changes)
    }

    /// Writes the entries that are new or differ.
    fn write(&mut self, wanted: &collections::HashMap<K, V>) -> Result<Changes, DatapathError> {
        let present = self.read()?;
        let mut changes = Changes::default();
        let mut left_out = false;
        for (key, value) in wanted {
            match present.get(key) {
                Some(old) if old == value => continue,
                Some(_) => changes.changed += 1,
                None => changes.added += 1,
            }
            match self.map.insert(*key, *value, 0) {
                Ok(()) => {}
                Err(MapError::SyscallError(error))
                    if error.io_error.raw_os_error() == Some(Errno::E2BIG as i32) =>
                {
                    left_out = true;
                }
                Err(source) => return Err(self.failed("write", source)),
            }
        }
        if left_out {
            return Err(DatapathError::Full { map: self.name, entries: wanted.len() });
        }
        Ok(changes)
    }

    fn failed(&self, verb: &str, source: MapError) -> DatapathError {
        DatapathError::Map { action: format!("{verb} map {}", self.name), source }
    }
}
