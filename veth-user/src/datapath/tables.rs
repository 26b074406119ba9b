//! The port and FDB maps: bringing them to what they should hold.

use std::{
    collections::{self, BTreeMap, BTreeSet},
    ops::AddAssign,
    thread,
    time::Duration,
};

use aya::maps::{
    Map, MapData, MapError,
    xdp::{DevMap, XdpMapError},
};
use nix::errno::Errno;
use veth_common::{FdbEntry, FdbFlags, Ifindex, Lease, Mac, MacKey, PortEntry, PortFlags, names};

use super::{DatapathError, near::Near, table::Table};
use crate::forwarding::Tables;

/// Longer than any program runs: they run to their end in softirq, within microseconds.
const READERS: Duration = Duration::from_millis(2);

/// How many entries an update touched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Changes {
    /// New entries.
    pub added: usize,
    /// Entries with another value.
    pub changed: usize,
    /// Entries that went.
    pub removed: usize,
    /// Entries for which there is no room. They are the bridge's.
    pub left_out: usize,
}

impl Changes {
    /// Whether there was nothing that could be done.
    pub const fn is_empty(&self) -> bool {
        self.added == 0 && self.changed == 0 && self.removed == 0
    }
}

impl AddAssign for Changes {
    fn add_assign(&mut self, other: Self) {
        self.added += other.added;
        self.changed += other.changed;
        self.removed += other.removed;
        self.left_out += other.left_out;
    }
}

/// The maps that the forwarding decision reads.
pub struct TableMaps {
    ports: Table<Ifindex, PortEntry>,
    fdb: Table<MacKey, FdbEntry>,
    near: Near,
    /// Only XDP has it.
    targets: Option<Targets>,
}

impl TableMaps {
    pub(super) fn new(
        ports: Map,
        fdb: Map,
        near: Map,
        targets: Option<Map>,
    ) -> Result<Self, DatapathError> {
        Ok(Self {
            ports: Table::open(names::MAP_PORTS, ports)?,
            fdb: Table::open(names::MAP_FDB, fdb)?,
            near: Near::open(near)?,
            targets: targets.map(Targets::open).transpose()?,
        })
    }

    /// What the maps hold. The stations are those that were targets.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn read(&mut self) -> Result<Tables, DatapathError> {
        let fdb = self.fdb.present()?;
        Ok(Tables {
            stations: targets_in(fdb),
            fdb: fdb.values().map(|entry| (entry.key.mac(), *entry)).collect(),
            ports: self.ports.present()?.iter().map(|(port, entry)| (*port, *entry)).collect(),
            left_out: 0,
        })
    }

    /// Takes nothing for known any more, and so reads the maps anew when they are needed: somebody else
    /// may have written to them.
    pub fn forget(&mut self) {
        self.ports.forget();
        self.fdb.forget();
        self.near.forget();
    }

    /// Brings the maps to `tables`, and says how much that took.
    ///
    /// In every moment in between, an entry of the maps is right by the old or by the new
    /// tables: what loses its right to the fast path loses it first, what gains it comes last.
    ///
    /// # Errors
    ///
    /// When a map cannot be read or written.
    pub fn apply(&mut self, tables: &Tables) -> Result<Changes, DatapathError> {
        let fdb: collections::HashMap<MacKey, FdbEntry> =
            tables.fdb.values().map(|entry| (entry.key, *entry)).collect();
        let ports = tables.ports.iter().map(|(ifindex, entry)| (*ifindex, *entry)).collect();
        // What is near is in the FDB map, too, at any time.
        for key in self.fdb.present()?.keys() {
            self.near.withdraw(*key, fdb.get(key).filter(|entry| is_worth_a_place(entry)))?;
        }
        let mut changes = self.fdb.remove_stale(&fdb)?;
        if let Some(targets) = &mut self.targets {
            // Between the entries that go and those that come: no entry names a slot that is
            // another port's by now.
            let moved = |(key, entry): (&MacKey, &FdbEntry)| {
                fdb.get(key).is_some_and(|wanted| wanted.slot != entry.slot).then_some(*key)
            };
            let moved: Vec<MacKey> = self.fdb.present()?.iter().filter_map(moved).collect();
            for key in moved {
                changes.removed += usize::from(self.fdb.remove(&key)?);
            }
            if changes.removed > 0 {
                // A program that read an entry just before it went, is done with it by then.
                thread::sleep(READERS);
            }
            targets.apply(tables)?;
        }
        changes += self.ports.write(&ports, |_| true)?;
        changes += self.fdb.write(&fdb, is_worth_a_place)?;
        changes.left_out += tables.left_out;
        for entry in fdb.values().filter(|entry| is_worth_a_place(entry)) {
            self.near.offer(entry)?;
        }
        changes += self.ports.remove_stale(&ports)?;
        Ok(changes)
    }
}

/// What became of an attempt to renew leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Every entry has the new lease.
    Done,
    /// Some were not as they had been left, because the program took them back or somebody removed
    /// them. They stay as they are until somebody has looked at the bridge.
    Contradicted,
}

impl TableMaps {
    /// The stations of `served` whose entries the program took back: they were seen on another port.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn revoked<'a>(
        &mut self,
        served: impl IntoIterator<Item = &'a FdbEntry>,
    ) -> Result<BTreeSet<Mac>, DatapathError> {
        let mut revoked = BTreeSet::new();
        for entry in served {
            if self.lease_of(entry.key)? == Some(Lease::EXPIRED) {
                revoked.insert(entry.key.mac());
            }
        }
        Ok(revoked)
    }

    /// Writes `served` anew, with the leases that they have there, unless the program took them back.
    ///
    /// # Errors
    ///
    /// When a map cannot be read or written.
    pub fn renew<'a>(
        &mut self,
        served: impl IntoIterator<Item = &'a FdbEntry>,
    ) -> Result<Renewal, DatapathError> {
        let mut renewal = Renewal::Done;
        for entry in served {
            match self.lease_of(entry.key)? {
                None | Some(Lease::EXPIRED) => renewal = Renewal::Contradicted,
                Some(_) => {
                    self.fdb.insert(entry.key, *entry)?;
                    self.near.offer(entry)?;
                }
            }
        }
        Ok(renewal)
    }

    /// Until when an entry may be used. The program takes a lease back in both of its places, but may
    /// miss one that is being written.
    fn lease_of(&mut self, key: MacKey) -> Result<Option<Lease>, DatapathError> {
        let lease = self.fdb.get(&key)?.map(|entry| entry.lease);
        let near = self.near.lease_of(key)?;
        Ok(lease.map(|lease| near.map_or(lease, |near| lease.min(near))))
    }
}

/// The entries of the port map `ports`.
pub(super) fn read_ports(ports: Map) -> Result<BTreeMap<Ifindex, PortEntry>, DatapathError> {
    let mut table = Table::<Ifindex, PortEntry>::open(names::MAP_PORTS, ports)?;
    Ok(table.present()?.iter().map(|(port, entry)| (*port, *entry)).collect())
}

/// The entries of the FDB map `fdb` that are targets.
pub(super) fn read_targets(fdb: Map) -> Result<Vec<FdbEntry>, DatapathError> {
    let mut table = Table::<MacKey, FdbEntry>::open(names::MAP_FDB, fdb)?;
    let entries = table.present()?.values();
    Ok(entries.filter(|entry| entry.flags.contains(FdbFlags::TARGET)).copied().collect())
}

fn targets_in(fdb: &collections::HashMap<MacKey, FdbEntry>) -> BTreeMap<Mac, Ifindex> {
    let targets = fdb.values().filter(|entry| entry.flags.contains(FdbFlags::TARGET));
    targets.map(|entry| (entry.key.mac(), entry.port)).collect()
}

/// Whether frames from or to a station are looked up often enough: those that may take the fast path,
/// and those of the host.
fn is_worth_a_place(entry: &FdbEntry) -> bool {
    [FdbFlags::SOURCE, FdbFlags::TARGET, FdbFlags::LOCAL]
        .into_iter()
        .any(|flag| entry.flags.contains(flag))
}

/// The devmap: devices by slot.
struct Targets {
    map: DevMap<MapData>,
}

impl Targets {
    fn open(map: Map) -> Result<Self, DatapathError> {
        let map = DevMap::try_from(map).map_err(targets_failed("open"))?;
        Ok(Self { map })
    }

    /// Brings the map to the eligible ports of `tables`.
    ///
    /// The kernel takes devices out by itself when they go, so what is there is looked at each time.
    fn apply(&mut self, tables: &Tables) -> Result<(), DatapathError> {
        let eligible = tables.ports.iter().filter(|(_, it)| it.flags.contains(PortFlags::ELIGIBLE));
        let wanted: collections::HashMap<u32, Ifindex> =
            eligible.map(|(ifindex, entry)| (u32::from(entry.slot.0), *ifindex)).collect();
        for slot in 0..self.map.len() {
            // Zero is no device, and takes one out.
            let wanted = wanted.get(&slot).map_or(0, |ifindex| ifindex.0);
            let present = match self.map.get(slot, 0) {
                Ok(device) => device.if_index,
                Err(MapError::KeyNotFound) => 0,
                Err(source) => return Err(targets_failed("read")(source)),
            };
            if present == wanted {
                continue;
            }
            match self.map.set(slot, wanted, None, 0) {
                Ok(()) => {}
                // The device went since it was looked at; frames to it go to the bridge.
                Err(XdpMapError::MapError(MapError::SyscallError(error)))
                    if error.io_error.raw_os_error() == Some(Errno::EINVAL as i32) => {}
                Err(XdpMapError::MapError(source)) => return Err(targets_failed("write")(source)),
                Err(XdpMapError::ChainedProgramNotSupported) => {
                    unreachable!("no chained program is given")
                }
            }
        }
        Ok(())
    }
}

fn targets_failed(verb: &'static str) -> impl Fn(MapError) -> DatapathError {
    move |source| DatapathError::Map {
        action: format!("{verb} map {}", names::MAP_TARGETS),
        source,
    }
}
