//! The record of what was changed at ports and their peers for XDP.

use aya::maps::{HashMap, Map, MapData, MapError};
use veth_common::{Ifindex, Prepared, names};

use super::{DatapathError, dir_of};

/// What has to be put back when XDP leaves a port, by the index of the port.
///
/// The record is a pinned map, so that it outlives whoever wrote it.
pub struct PreparedMap {
    /// `None` where XDP never was.
    map: Option<HashMap<MapData, Ifindex, Prepared>>,
}

impl PreparedMap {
    /// The pinned record of `fabric`; without a pin, an empty one.
    ///
    /// # Errors
    ///
    /// When the pin is there and cannot be opened (`CAP_BPF`).
    pub fn open(fabric: &str) -> Result<Self, DatapathError> {
        let path = dir_of(fabric).join(names::MAP_PREPARED);
        if !path.exists() {
            return Ok(Self { map: None });
        }
        let open = || HashMap::try_from(Map::from_map_data(MapData::from_pin(path)?)?);
        Ok(Self { map: Some(open().map_err(failed("open"))?) })
    }

    /// All records.
    ///
    /// # Errors
    ///
    /// When the map cannot be read.
    pub fn read(&self) -> Result<Vec<(Ifindex, Prepared)>, DatapathError> {
        let Some(map) = &self.map else { return Ok(Vec::new()) };
        map.iter().collect::<Result<_, _>>().map_err(failed("read"))
    }

    /// Whether nothing has to be put back.
    ///
    /// # Errors
    ///
    /// When the map cannot be read.
    pub fn is_empty(&self) -> Result<bool, DatapathError> {
        Ok(self.read()?.is_empty())
    }

    /// Records that `more` is about to be changed for `port`. What was recorded for the same peer
    /// before stays: it is the older truth.
    ///
    /// # Errors
    ///
    /// When there is no map, or it cannot be read or written.
    pub fn add(&mut self, port: Ifindex, more: Prepared) -> Result<(), DatapathError> {
        let map = self.map.as_mut().ok_or(DatapathError::Missing(names::MAP_PREPARED))?;
        let mut record = more;
        match map.get(&port, 0) {
            Ok(old) if (old.peer_netns_inode, old.peer) == (more.peer_netns_inode, more.peer) => {
                // Turning one back by itself, the user has said how it is to be.
                record.turned_off = (old.turned_off | more.turned_off) & !more.turned_on;
                record.turned_on = (old.turned_on | more.turned_on) & !more.turned_off;
            }
            Ok(_) | Err(MapError::KeyNotFound) => {}
            Err(source) => return Err(failed("read")(source)),
        }
        map.insert(port, record, 0).map_err(failed("write"))
    }

    /// Strikes the record of `port` out.
    ///
    /// # Errors
    ///
    /// When the map cannot be written.
    pub fn remove(&mut self, port: Ifindex) -> Result<(), DatapathError> {
        let Some(map) = &mut self.map else { return Ok(()) };
        match map.remove(&port) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(source) => Err(failed("write")(source)),
        }
    }
}

fn failed(verb: &'static str) -> impl Fn(MapError) -> DatapathError {
    move |source| DatapathError::Map {
        action: format!("{verb} map {}", names::MAP_PREPARED),
        source,
    }
}
