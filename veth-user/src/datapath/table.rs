//! One hash map of the datapath, brought to what it should hold.

use std::{collections, hash::Hash};

use aya::{
    Pod,
    maps::{HashMap, Map, MapData, MapError},
};
use nix::errno::Errno;

use super::{Changes, DatapathError};

/// A hash map, and its name for messages.
pub(super) struct Table<K, V> {
    name: &'static str,
    map: HashMap<MapData, K, V>,
    /// What it holds, once that was read. To read it costs two calls for each entry.
    known: Option<collections::HashMap<K, V>>,
}

impl<K: Pod + Eq + Hash, V: Pod + Eq> Table<K, V> {
    pub(super) fn open(name: &'static str, map: Map) -> Result<Self, DatapathError> {
        let map = HashMap::try_from(map)
            .map_err(|source| DatapathError::Map { action: format!("open map {name}"), source })?;
        Ok(Self { name, map, known: None })
    }

    /// Takes nothing for known any more: somebody else may have written.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }

    /// What it holds.
    pub(super) fn present(&mut self) -> Result<&collections::HashMap<K, V>, DatapathError> {
        let known = if let Some(known) = self.known.take() {
            known
        } else {
            let read = self.map.iter().collect::<Result<_, _>>();
            read.map_err(|source| self.failed("read", source))?
        };
        Ok(self.known.insert(known))
    }

    /// The value of one entry at this moment, if there is one.
    pub(super) fn get(&mut self, key: &K) -> Result<Option<V>, DatapathError> {
        let value = match self.map.get(key, 0) {
            Ok(value) => Some(value),
            Err(MapError::KeyNotFound) => None,
            Err(source) => return Err(self.failed("read", source)),
        };
        self.note(*key, value);
        Ok(value)
    }

    /// Writes one entry; false when there is no room for it.
    pub(super) fn insert(&mut self, key: K, value: V) -> Result<bool, DatapathError> {
        match self.map.insert(key, value, 0) {
            Ok(()) => {
                self.note(key, Some(value));
                Ok(true)
            }
            Err(MapError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(Errno::E2BIG as i32) =>
            {
                Ok(false)
            }
            Err(source) => Err(self.failed("write", source)),
        }
    }

    /// Removes one entry; false when there was none.
    pub(super) fn remove(&mut self, key: &K) -> Result<bool, DatapathError> {
        let removed = match self.map.remove(key) {
            Ok(()) => true,
            Err(MapError::KeyNotFound) => false,
            Err(source) => return Err(self.failed("remove an entry from", source)),
        };
        self.note(*key, None);
        Ok(removed)
    }

    /// Removes the entries that are not wanted.
    pub(super) fn remove_stale(
        &mut self,
        wanted: &collections::HashMap<K, V>,
    ) -> Result<Changes, DatapathError> {
        let stale = self.present()?.keys().filter(|key| !wanted.contains_key(key));
        let mut changes = Changes::default();
        for key in stale.copied().collect::<Vec<_>>() {
            changes.removed += usize::from(self.remove(&key)?);
        }
        Ok(changes)
    }

    /// Writes the entries that are new or differ, those first that matter. What does not fit any more is
    /// left out and counted: to the program it is what it does not know, and so the bridge's.
    pub(super) fn write(
        &mut self,
        wanted: &collections::HashMap<K, V>,
        matters: impl Fn(&V) -> bool,
    ) -> Result<Changes, DatapathError> {
        let mut changes = Changes::default();
        let mut due = Vec::new();
        let present = self.present()?;
        for (key, value) in wanted {
            let old = present.get(key);
            if old != Some(value) {
                due.push((*key, *value, old.is_none()));
            }
        }
        due.sort_by_key(|(_, value, _)| !matters(value));
        for (key, value, is_new) in due {
            match (self.insert(key, value)?, is_new) {
                (true, true) => changes.added += 1,
                (true, false) => changes.changed += 1,
                (false, _) => changes.left_out += 1,
            }
        }
        Ok(changes)
    }

    fn note(&mut self, key: K, value: Option<V>) {
        let Some(known) = &mut self.known else { return };
        match value {
            Some(value) => drop(known.insert(key, value)),
            None => drop(known.remove(&key)),
        }
    }

    fn failed(&self, verb: &str, source: MapError) -> DatapathError {
        DatapathError::Map { action: format!("{verb} map {}", self.name), source }
    }
}
