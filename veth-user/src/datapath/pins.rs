//! What is pinned of a fabric, for whoever only wants to look.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aya::maps::{Array, Map, MapData, MapError, MapInfo};
use veth_common::{Ifindex, Lease, Mac, Meta, PortEntry, names};

use super::{
    DatapathError,
    attach::program_of_link,
    bpffs, dir_of,
    error::map_failed,
    program::Program,
    tables::{read_ports, read_targets},
};
use crate::forwarding::FastPath;

/// Name of the directory of the links, below the fabric's.
pub(super) const LINKS: &str = "ports";

/// The identity of the pinned datapath of `fabric`: `None` when it has none, zeros when its
/// construction was interrupted.
///
/// # Errors
///
/// When the pin is there and cannot be read (`CAP_BPF`).
pub fn read_meta(fabric: &str) -> Result<Option<Meta>, DatapathError> {
    pinned_meta(&dir_of(fabric))
}

/// Id of the program of `path` that is pinned for `fabric`, if there is one.
///
/// # Errors
///
/// When the pin is there and cannot be read (`CAP_BPF`).
pub fn pinned_program(fabric: &str, path: FastPath) -> Result<Option<u32>, DatapathError> {
    let pin = dir_of(fabric).join(pin_name(path));
    if !pin.exists() {
        return Ok(None);
    }
    Program::open(&pin, path).map(|(_, info)| Some(info.id()))
}

/// Whether the program with the id `program` is pinned for another fabric than `fabric`.
///
/// # Errors
///
/// When the pins cannot be read (`CAP_BPF`).
pub fn is_of_another(fabric: &str, program: u32) -> Result<bool, DatapathError> {
    for other in bpffs::fabrics()?.iter().filter(|other| *other != fabric) {
        if pinned_program(other, FastPath::Tc)? == Some(program) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The fast path whose program is pinned for `fabric`.
pub fn pinned_path(fabric: &str) -> Option<FastPath> {
    let dir = dir_of(fabric);
    [FastPath::Tc, FastPath::Xdp].into_iter().find(|path| dir.join(pin_name(*path)).exists())
}

/// The stations that the pinned maps of `fabric` have as targets; none without pins.
///
/// # Errors
///
/// When the pins are there and cannot be read (`CAP_BPF`).
pub fn pinned_stations(fabric: &str) -> Result<BTreeMap<Mac, Ifindex>, DatapathError> {
    let Some(fdb) = pinned_fdb(fabric)? else { return Ok(BTreeMap::new()) };
    Ok(read_targets(fdb)?.into_iter().map(|entry| (entry.key.mac(), entry.port)).collect())
}

/// The leases of the targets in the pinned maps of `fabric`; none without pins.
///
/// # Errors
///
/// When the pins are there and cannot be read (`CAP_BPF`).
pub fn pinned_leases(fabric: &str) -> Result<Vec<Lease>, DatapathError> {
    let Some(fdb) = pinned_fdb(fabric)? else { return Ok(Vec::new()) };
    Ok(read_targets(fdb)?.into_iter().map(|entry| entry.lease).collect())
}

/// What the pinned port map of `fabric` holds; nothing without pins.
///
/// # Errors
///
/// When the pin is there and cannot be read (`CAP_BPF`).
pub fn pinned_ports(fabric: &str) -> Result<BTreeMap<Ifindex, PortEntry>, DatapathError> {
    pinned_map(fabric, names::MAP_PORTS)?.map_or_else(|| Ok(BTreeMap::new()), read_ports)
}

fn pinned_fdb(fabric: &str) -> Result<Option<Map>, DatapathError> {
    pinned_map(fabric, names::MAP_FDB)
}

fn pinned_map(fabric: &str, name: &str) -> Result<Option<Map>, DatapathError> {
    let pin = dir_of(fabric).join(name);
    if !pin.exists() {
        return Ok(None);
    }
    let map = MapData::from_pin(&pin).and_then(Map::from_map_data);
    map.map(Some)
        .map_err(|source| DatapathError::Map { action: format!("open {}", pin.display()), source })
}

/// The map that is pinned as `name` in `dir`.
pub(super) fn open_pin(dir: &Path, name: &'static str) -> Result<Map, DatapathError> {
    let map = MapData::from_pin(dir.join(name)).and_then(Map::from_map_data);
    map.map_err(map_failed("open", name))
}

/// Whether `held` is the map that is pinned as `name` for `fabric`: the pin may have gone, and another map have
/// taken its place.
pub(super) fn is_pinned(
    held: &MapData,
    fabric: &str,
    name: &'static str,
) -> Result<bool, DatapathError> {
    let pin = dir_of(fabric).join(name);
    if !pin.exists() {
        return Ok(false);
    }
    let id = |info: Result<MapInfo, MapError>| {
        info.map(|info| info.id()).map_err(map_failed("examine", name))
    };
    match MapInfo::from_pin(&pin) {
        // It went just now.
        Err(_) if !pin.exists() => Ok(false),
        pinned => Ok(id(pinned)? == id(held.info())?),
    }
}

pub(super) fn pinned_meta(dir: &Path) -> Result<Option<Meta>, DatapathError> {
    let path = dir.join(names::MAP_META);
    if !path.exists() {
        return Ok(None);
    }
    let read =
        || Array::<_, Meta>::try_from(Map::from_map_data(MapData::from_pin(&path)?)?)?.get(&0, 0);
    read()
        .map(Some)
        .map_err(|source| DatapathError::Map { action: format!("read {}", path.display()), source })
}

/// The pinned links below `dir`, by the index that their ports had.
pub(super) fn pinned_links(dir: &Path) -> Result<Vec<(Ifindex, PathBuf)>, DatapathError> {
    Ok(bpffs::list(&dir.join(LINKS))?
        .into_iter()
        .filter_map(|path| {
            let ifindex = path.file_name()?.to_str()?.parse().ok()?;
            Some((Ifindex(ifindex), path))
        })
        .collect())
}

/// What the program of `path` is pinned as.
pub(super) const fn pin_name(path: FastPath) -> &'static str {
    match path {
        FastPath::Tc => names::TC_INGRESS,
        FastPath::Xdp => names::XDP_INGRESS,
    }
}

/// Id of the program of the link that is pinned in `fabric` for the port with that index.
///
/// # Errors
///
/// When the pin is there and cannot be opened (`CAP_BPF`).
pub fn linked_program(fabric: &str, ifindex: Ifindex) -> Result<Option<u32>, DatapathError> {
    program_of_link(&link_pin(&dir_of(fabric), ifindex))
}

/// Detaches the programs of `fabric` from every port that has them through a link.
///
/// # Errors
///
/// When a pin is there and cannot be removed.
pub fn remove_links(fabric: &str) -> Result<(), DatapathError> {
    Ok(bpffs::remove_dir(&dir_of(fabric).join(LINKS))?)
}

/// Whether a link for the port with that index is pinned in `fabric`.
pub fn has_link(fabric: &str, ifindex: Ifindex) -> bool {
    link_pin(&dir_of(fabric), ifindex).exists()
}

pub(super) fn link_pin(dir: &Path, ifindex: Ifindex) -> PathBuf {
    dir.join(LINKS).join(ifindex.0.to_string())
}
