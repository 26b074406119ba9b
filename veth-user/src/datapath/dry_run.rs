//! Running the program of a fabric on a frame without anybody noticing.

use std::path::Path;

use aya::{
    EbpfLoader,
    maps::{Array, HashMap, Map, MapData, MapError, xdp::DevMap},
    programs::{ProgramError, TestRun as _, TestRunOptions},
};
use nix::errno::Errno;
use veth_common::{
    ABI_VERSION, FdbEntry, FdbFlags, Ifindex, Mac, MacKey, PortEntry, PortSlot, Verdict, names,
    near_place,
};

use super::{
    CounterMap, DatapathError, dir_of,
    error::map_failed,
    features::has_coarse_clock,
    load::{lift_memory_limit, object_of},
    pins::{pin_name, pinned_meta},
    program::Program,
    release_text,
};
use crate::{
    explanation::{Entries, Lookup},
    forwarding::FastPath,
};

/// Stands in for the port: `BPF_PROG_TEST_RUN` has frames arrive on loopback unless told otherwise,
/// and cannot be told for XDP while the driver of the port runs none. Loopback is in every namespace,
/// and no bridge takes it.
const LOOPBACK: Ifindex = Ifindex(1);

/// The program of a fabric, loaded a second time, over maps of its own.
///
/// It must leave no trace. Counters are the least: a frame whose sender is known on another port makes
/// the program take that station's lease back, in the FDB map and the near table. So nothing that the
/// program writes is shared. For each frame, what it would look up is read from the pinned maps and
/// copied; only the devmap of XDP is the pinned one, because programs cannot write to it.
pub struct DryRun {
    path: FastPath,
    program: Program,
    is_attached_one: bool,
    pinned: Pinned,
    own: Own,
}

/// The maps that the program of the fabric uses.
struct Pinned {
    ports: HashMap<MapData, Ifindex, PortEntry>,
    fdb: HashMap<MapData, MacKey, FdbEntry>,
    near: Array<MapData, FdbEntry>,
    targets: Option<DevMap<MapData>>,
}

/// Those that nobody else sees.
struct Own {
    ports: HashMap<MapData, Ifindex, PortEntry>,
    fdb: HashMap<MapData, MacKey, FdbEntry>,
    near: Array<MapData, FdbEntry>,
    counters: CounterMap,
}

impl DryRun {
    /// Loads the program of `path` for `fabric`, whose maps are pinned. `None` when they are not, or
    /// are not finished.
    ///
    /// # Errors
    ///
    /// When the pins are of a release that this one cannot read, or the kernel refuses something.
    pub fn load(fabric: &str, path: FastPath) -> Result<Option<Self>, DatapathError> {
        let dir = dir_of(fabric);
        match pinned_meta(&dir)? {
            None => return Ok(None),
            Some(meta) if meta.abi == 0 => return Ok(None),
            Some(meta) if meta.abi != ABI_VERSION => {
                return Err(DatapathError::TooNew {
                    fabric: fabric.to_owned(),
                    theirs: release_text(meta.release),
                    abi: meta.abi,
                });
            }
            Some(_) => {}
        }
        lift_memory_limit();
        let pin = |name: &str| dir.join(name);
        let pinned = Pinned {
            ports: open(&pin(names::MAP_PORTS), HashMap::try_from)?,
            fdb: open(&pin(names::MAP_FDB), HashMap::try_from)?,
            near: open(&pin(names::MAP_NEAR), Array::try_from)?,
            targets: match path {
                FastPath::Tc => None,
                FastPath::Xdp => Some(open(&pin(names::MAP_TARGETS), DevMap::try_from)?),
            },
        };
        let mut loader = EbpfLoader::new();
        if path == FastPath::Xdp {
            // It was just opened, so this makes no pin.
            loader.map_pin_path(names::MAP_TARGETS, pin(names::MAP_TARGETS));
        }
        let has_coarse_clock = u8::from(has_coarse_clock(path)?);
        loader.override_global(names::GLOBAL_HAS_COARSE_CLOCK, &has_coarse_clock, true);
        let mut object = loader.load(object_of(path))?;
        let mut take = |name| object.take_map(name).ok_or(DatapathError::Missing(name));
        let own = Own {
            ports: as_map(names::MAP_PORTS, take(names::MAP_PORTS)?, HashMap::try_from)?,
            fdb: as_map(names::MAP_FDB, take(names::MAP_FDB)?, HashMap::try_from)?,
            near: as_map(names::MAP_NEAR, take(names::MAP_NEAR)?, Array::try_from)?,
            counters: CounterMap::new(take(names::MAP_COUNTERS)?)?,
        };
        let (program, info) = Program::load(object, path)?;
        let attached = pin(pin_name(path));
        let is_attached_one =
            attached.exists() && Program::open(&attached, path)?.1.tag() == info.tag();
        Ok(Some(Self { path, program, is_attached_one, pinned, own }))
    }

    /// Whether it is instruction by instruction the program that the fabric runs. It is not when another
    /// release of veth brought the fabric up.
    pub const fn is_attached_one(&self) -> bool {
        self.is_attached_one
    }

    /// What the maps hold at this moment for a frame from `stations[0]` to `stations[1]` that arrives on
    /// `ingress`.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn entries(
        &self,
        ingress: Ifindex,
        stations: &[Mac],
        now_ns: u64,
    ) -> Result<Entries, DatapathError> {
        let mut entries = Entries { ingress, now_ns, ..Entries::default() };
        entries.port = found(names::MAP_PORTS, self.pinned.ports.get(&ingress, 0))?;
        for mac in stations {
            let key = MacKey::of(*mac);
            let lookup = Lookup {
                near: found(names::MAP_NEAR, self.pinned.near.get(&near_place(key), 0))?,
                fdb: found(names::MAP_FDB, self.pinned.fdb.get(&key, 0))?,
            };
            let target = lookup.find(key).map(|(entry, _)| entry);
            if let (Some(targets), Some(entry)) = (&self.pinned.targets, target)
                && entry.flags.contains(FdbFlags::TARGET)
                && Some(mac) == stations.last()
            {
                let device = found(names::MAP_TARGETS, targets.get(u32::from(entry.slot.0), 0))?;
                entries.lacks_device = device.is_none_or(|device| device.if_index == 0);
            }
            entries.stations.insert(*mac, lookup);
        }
        Ok(entries)
    }

    /// Runs the program on `frame`, whose segments have `gso_size_bytes` of payload each where that is not
    /// zero, over a copy of `entries`. `None` when the kernel runs no program on
    /// such a frame: one that ends within its headers, or is longer than a page.
    ///
    /// # Errors
    ///
    /// When the copy cannot be written, or the kernel refuses to run the program at all.
    pub fn run(
        &mut self,
        frame: &[u8],
        gso_size_bytes: u32,
        entries: &Entries,
    ) -> Result<Option<Verdict>, DatapathError> {
        // An XDP program is not told of segments.
        if self.path == FastPath::Xdp && gso_size_bytes > 0 {
            return Ok(None);
        }
        let slots = self.own.take(entries)?;
        let mut left = vec![0; frame.len()];
        let context = context(gso_size_bytes);
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut left),
            ctx_in: (gso_size_bytes > 0).then_some(context.as_slice()),
            repeat: 1,
            ..TestRunOptions::default()
        };
        let result = match self.path {
            FastPath::Tc => self.program.classifier()?.test_run(options),
            FastPath::Xdp => self.program.xdp()?.test_run(options),
        };
        let verdict = match result {
            Ok(_) => self.own.counted(&slots)?,
            Err(ProgramError::SyscallError(error)) if is_no_frame(&error.io_error) => None,
            Err(source) => {
                return Err(DatapathError::Program {
                    action: "run the program on a frame".into(),
                    source: Box::new(source),
                });
            }
        };
        self.own.clear(entries)?;
        Ok(verdict)
    }
}

impl Own {
    /// Takes `entries` for what is known, with loopback in the place of the port. Says where the frame may
    /// be counted.
    fn take(&mut self, entries: &Entries) -> Result<Vec<PortSlot>, DatapathError> {
        let as_here = |entry: FdbEntry| {
            let is_ingress = entry.port == entries.ingress;
            FdbEntry { port: if is_ingress { LOOPBACK } else { entry.port }, ..entry }
        };
        let mut slots = vec![PortSlot::UNKNOWN];
        if let Some(port) = entries.port {
            slots.push(port.slot);
            let written = self.ports.insert(LOOPBACK, port, 0);
            written.map_err(map_failed("write", names::MAP_PORTS))?;
        }
        for (mac, Lookup { near, fdb }) in &entries.stations {
            let key = MacKey::of(*mac);
            slots.extend([near, fdb].into_iter().flatten().map(|entry| entry.slot));
            if let Some(entry) = near {
                let written = self.near.set(near_place(key), as_here(*entry), 0);
                written.map_err(map_failed("write", names::MAP_NEAR))?;
            }
            if let Some(entry) = fdb {
                let written = self.fdb.insert(key, as_here(*entry), 0);
                written.map_err(map_failed("write", names::MAP_FDB))?;
            }
        }
        slots.sort_unstable();
        slots.dedup();
        for slot in &slots {
            self.counters.reset(*slot)?;
        }
        Ok(slots)
    }

    /// The verdict that one of `slots` counted.
    fn counted(&self, slots: &[PortSlot]) -> Result<Option<Verdict>, DatapathError> {
        for slot in slots {
            let counters = self.counters.read(*slot)?;
            let counted = Verdict::ALL.into_iter().find(|it| counters.of(*it).frames > 0);
            if counted.is_some() {
                return Ok(counted);
            }
        }
        Ok(None)
    }

    /// Forgets what was taken; places of the near table are written anew each time they are used.
    fn clear(&mut self, entries: &Entries) -> Result<(), DatapathError> {
        if entries.port.is_some() {
            self.ports.remove(&LOOPBACK).map_err(map_failed("empty", names::MAP_PORTS))?;
        }
        for (mac, lookup) in &entries.stations {
            if lookup.fdb.is_some() {
                let removed = self.fdb.remove(&MacKey::of(*mac));
                removed.map_err(map_failed("empty", names::MAP_FDB))?;
            }
        }
        Ok(())
    }
}

/// A `struct __sk_buff` with nothing but the size of segments set. Its offsets never change.
fn context(gso_size_bytes: u32) -> [u8; 192] {
    const GSO_SIZE: usize = 176;
    let mut context = [0; 192];
    context[GSO_SIZE..GSO_SIZE + 4].copy_from_slice(&gso_size_bytes.to_ne_bytes());
    context
}

/// Whether the kernel takes offence at the frame, not at the program.
fn is_no_frame(error: &std::io::Error) -> bool {
    [Errno::EINVAL, Errno::EMSGSIZE].iter().any(|errno| error.raw_os_error() == Some(*errno as i32))
}

fn open<T>(
    pin: &Path,
    convert: impl FnOnce(Map) -> Result<T, MapError>,
) -> Result<T, DatapathError> {
    let map = MapData::from_pin(pin).and_then(Map::from_map_data).and_then(convert);
    map.map_err(|source| DatapathError::Map { action: format!("open {}", pin.display()), source })
}

fn as_map<T>(
    name: &'static str,
    map: Map,
    convert: impl FnOnce(Map) -> Result<T, MapError>,
) -> Result<T, DatapathError> {
    convert(map).map_err(map_failed("open", name))
}

/// What a lookup found; nothing being there is no failure.
fn found<T>(
    name: &'static str,
    looked_up: Result<T, MapError>,
) -> Result<Option<T>, DatapathError> {
    match looked_up {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(source) => Err(map_failed("read", name)(source)),
    }
}
