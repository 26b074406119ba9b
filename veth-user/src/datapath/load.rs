//! Loading the object, or taking over what is pinned.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData},
    programs::{ProgramInfo, SchedClassifier},
};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use veth_common::{ABI_VERSION, Ifindex, Mac, Meta, names};

use super::{
    Attached, CounterMap, DatapathError, Hook, PortDevice, RELEASE, TC_OBJECT, TableMaps,
    attach::{attach_clsact, attach_tcx, detach_clsact, has_live_link},
    bpffs, dir_of, release_text,
};

/// Name of the directory of the links, below the fabric's.
const LINKS: &str = "ports";

/// Where the program of a loaded datapath comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProgramSource {
    /// The embedded object; there was none before.
    Loaded,
    /// The embedded object; it takes the place of another program.
    Upgraded,
    /// The pin; it is the same program.
    #[default]
    Adopted,
    /// The pin; it is of a newer release than this.
    Newer,
}

/// The datapath of a fabric, loaded and pinned, ready to be attached.
pub struct Datapath {
    dir: PathBuf,
    netns_inode: u64,
    program: Program,
    program_id: u32,
    source: ProgramSource,
    tables: TableMaps,
    counters: CounterMap,
    meta: Array<MapData, Meta>,
}

enum Program {
    Loaded(Ebpf),
    Pinned(Box<SchedClassifier>),
}

impl Program {
    fn classifier(&mut self) -> Result<&mut SchedClassifier, DatapathError> {
        match self {
            Self::Loaded(object) => classifier(object),
            Self::Pinned(program) => Ok(program),
        }
    }
}

impl Datapath {
    /// Loads the datapath of `fabric`, reusing its pins where they are this release's.
    ///
    /// Ports that are attached keep running what they run; [`attach`](Self::attach) moves them.
    ///
    /// # Errors
    ///
    /// When the object or the pins cannot be loaded, the pins are of a release that this one
    /// cannot read, or of a fabric in another network namespace than that of `netns_inode`.
    pub fn load(fabric: &str, netns_inode: u64) -> Result<Self, DatapathError> {
        let dir = dir_of(fabric);
        bpffs::create_dir(&dir.join(LINKS))?;
        lift_memory_limit();

        let pinned = pinned_meta(&dir)?.filter(|meta| *meta != Meta::default());
        match pinned {
            Some(meta) if meta.abi == ABI_VERSION && meta.netns_inode != netns_inode => {
                return Err(DatapathError::Elsewhere { fabric: fabric.to_owned() });
            }
            Some(meta) if meta.abi == ABI_VERSION => {}
            Some(meta) if meta.abi > ABI_VERSION => {
                return Err(DatapathError::TooNew {
                    fabric: fabric.to_owned(),
                    theirs: release_text(meta.release),
                    abi: meta.abi,
                });
            }
            // Maps of an older layout, or of an interrupted construction. Attached programs keep
            // their own maps until they are replaced, so the names are free to be used anew.
            _ => remove_objects(&dir)?,
        }

        let mut loader = EbpfLoader::new();
        for name in names::MAPS {
            loader.map_pin_path(name, dir.join(name));
        }
        let mut object = loader.load(TC_OBJECT)?;
        let tables = TableMaps::new(
            take_map(&mut object, names::MAP_PORTS)?,
            take_map(&mut object, names::MAP_FDB)?,
        )?;
        let counters = CounterMap::new(take_map(&mut object, names::MAP_COUNTERS)?)?;
        let meta = Array::try_from(take_map(&mut object, names::MAP_META)?).map_err(|source| {
            DatapathError::Map { action: "open the identity map".into(), source }
        })?;
        let fresh = classifier(&mut object)?;
        fresh.load().map_err(program_failed("load tc_ingress into the kernel"))?;
        let fresh = fresh.info().map_err(program_failed("examine the loaded program"))?;

        let pin = dir.join(names::TC_INGRESS);
        let old = if pin.exists() { Some(open_program(&pin)?) } else { None };
        let theirs = pinned.map_or(0, |meta| meta.release);
        let (program, id, source) = match old {
            Some((old, info)) if info.tag() == fresh.tag() => {
                (Program::Pinned(Box::new(old)), info.id(), ProgramSource::Adopted)
            }
            Some((old, info)) if theirs > RELEASE => {
                (Program::Pinned(Box::new(old)), info.id(), ProgramSource::Newer)
            }
            Some(_) => (Program::Loaded(object), fresh.id(), ProgramSource::Upgraded),
            None => (Program::Loaded(object), fresh.id(), ProgramSource::Loaded),
        };
        Ok(Self { dir, netns_inode, program, program_id: id, source, tables, counters, meta })
    }

    /// Whether the pins are this datapath's: always until it is [committed](Self::commit), and
    /// afterwards for as long as nobody takes it down or puts another in its place.
    ///
    /// # Errors
    ///
    /// When the pinned program cannot be examined.
    pub fn is_current(&self) -> Result<bool, DatapathError> {
        if matches!(self.source, ProgramSource::Loaded | ProgramSource::Upgraded) {
            return Ok(true);
        }
        let pin = self.dir.join(names::TC_INGRESS);
        Ok(pin.exists() && open_program(&pin)?.1.id() == self.program_id)
    }

    /// Where the program comes from.
    pub const fn source(&self) -> ProgramSource {
        self.source
    }

    /// The maps that the forwarding decision reads.
    pub const fn tables(&mut self) -> &mut TableMaps {
        &mut self.tables
    }

    /// The counters.
    pub const fn counters(&mut self) -> &mut CounterMap {
        &mut self.counters
    }

    /// Attaches the program to `port`, or makes sure that it is.
    ///
    /// `filter` is the id of the program of our clsact filter on this port, if it has one.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn attach(
        &mut self,
        hook: Hook,
        port: PortDevice<'_>,
        filter: Option<u32>,
    ) -> Result<Attached, DatapathError> {
        let pin = self.link_pin(port.ifindex);
        let program = self.program.classifier()?;
        match hook {
            Hook::Tcx => {
                let attached = attach_tcx(program, self.program_id, port, &pin)?;
                if filter.is_some() {
                    // Left by a fabric that was up with the other hook.
                    detach_clsact(port)?;
                }
                Ok(attached)
            }
            Hook::Clsact => {
                let attached = attach_clsact(program, self.program_id, port, filter)?;
                bpffs::unpin(&pin)?;
                Ok(attached)
            }
        }
    }

    /// Whether the program, this or an older one, hangs on `port` through a tcx link.
    ///
    /// # Errors
    ///
    /// When the pin or the hook cannot be examined.
    pub fn has_link(&self, port: PortDevice<'_>) -> Result<bool, DatapathError> {
        has_live_link(port, &self.link_pin(port.ifindex))
    }

    /// Detaches the program from `port`. Not being attached is fine.
    ///
    /// # Errors
    ///
    /// When the pin or filter is there and cannot be removed.
    pub fn detach(
        &mut self,
        port: PortDevice<'_>,
        filter: Option<u32>,
    ) -> Result<(), DatapathError> {
        bpffs::unpin(&self.link_pin(port.ifindex))?;
        if filter.is_some() { detach_clsact(port) } else { Ok(()) }
    }

    /// Drops the pinned links of devices that are gone, which no longer are attached to anything.
    ///
    /// # Errors
    ///
    /// When a pin cannot be removed.
    pub fn forget_links_except(
        &mut self,
        keep: impl Fn(Ifindex) -> bool,
    ) -> Result<Vec<Ifindex>, DatapathError> {
        let mut forgotten = Vec::new();
        for (ifindex, path) in pinned_links(&self.dir)? {
            if !keep(ifindex) {
                bpffs::unpin(&path)?;
                forgotten.push(ifindex);
            }
        }
        Ok(forgotten)
    }

    /// Makes this the fabric's datapath: pins the program and signs the maps.
    ///
    /// To be called when the tables are written and the ports are attached; a process that dies
    /// before leaves pins that the next [`load`](Self::load) takes for unfinished.
    ///
    /// # Errors
    ///
    /// When the pin or the map cannot be written.
    pub fn commit(&mut self) -> Result<(), DatapathError> {
        if matches!(self.source, ProgramSource::Loaded | ProgramSource::Upgraded) {
            let pin = self.dir.join(names::TC_INGRESS);
            bpffs::unpin(&pin)?;
            self.program.classifier()?.pin(&pin).map_err(|source| DatapathError::Pin {
                action: format!("pin {}", pin.display()),
                source,
            })?;
            self.source = ProgramSource::Adopted;
            let meta = Meta { abi: ABI_VERSION, release: RELEASE, netns_inode: self.netns_inode };
            self.meta.set(0, meta, 0).map_err(|source| DatapathError::Map {
                action: "write the identity map".into(),
                source,
            })?;
        }
        Ok(())
    }

    fn link_pin(&self, ifindex: Ifindex) -> PathBuf {
        self.dir.join(LINKS).join(ifindex.0.to_string())
    }
}

/// The identity of the pinned datapath of `fabric`: `None` when it has none, zeros when its
/// construction was interrupted.
///
/// # Errors
///
/// When the pin is there and cannot be read (`CAP_BPF`).
pub fn read_meta(fabric: &str) -> Result<Option<Meta>, DatapathError> {
    pinned_meta(&dir_of(fabric))
}

/// Id of the pinned program of `fabric`, if it has one.
///
/// # Errors
///
/// When the pin is there and cannot be read (`CAP_BPF`).
pub fn pinned_program(fabric: &str) -> Result<Option<u32>, DatapathError> {
    let pin = dir_of(fabric).join(names::TC_INGRESS);
    if pin.exists() { open_program(&pin).map(|(_, info)| Some(info.id())) } else { Ok(None) }
}

/// The stations that the pinned maps of `fabric` have as targets; none without pins.
///
/// # Errors
///
/// When the pins are there and cannot be read (`CAP_BPF`).
pub fn pinned_stations(fabric: &str) -> Result<BTreeMap<Mac, Ifindex>, DatapathError> {
    let dir = dir_of(fabric);
    let (ports, fdb) = (dir.join(names::MAP_PORTS), dir.join(names::MAP_FDB));
    if !ports.exists() || !fdb.exists() {
        return Ok(BTreeMap::new());
    }
    let open = |path: &Path| {
        MapData::from_pin(path).and_then(Map::from_map_data).map_err(|source| DatapathError::Map {
            action: format!("open {}", path.display()),
            source,
        })
    };
    Ok(TableMaps::new(open(&ports)?, open(&fdb)?)?.read()?.stations)
}

fn pinned_meta(dir: &Path) -> Result<Option<Meta>, DatapathError> {
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
fn pinned_links(dir: &Path) -> Result<Vec<(Ifindex, PathBuf)>, DatapathError> {
    Ok(bpffs::list(&dir.join(LINKS))?
        .into_iter()
        .filter_map(|path| {
            let ifindex = path.file_name()?.to_str()?.parse().ok()?;
            Some((Ifindex(ifindex), path))
        })
        .collect())
}

fn remove_objects(dir: &Path) -> Result<(), DatapathError> {
    for name in names::MAPS.into_iter().chain(names::TC_PROGRAMS) {
        bpffs::unpin(&dir.join(name))?;
    }
    Ok(())
}

fn open_program(pin: &Path) -> Result<(SchedClassifier, ProgramInfo), DatapathError> {
    let failed = program_failed("open the pinned program");
    let program = SchedClassifier::from_pin(pin).map_err(&failed)?;
    let info = program.info().map_err(&failed)?;
    Ok((program, info))
}

fn classifier(object: &mut Ebpf) -> Result<&mut SchedClassifier, DatapathError> {
    object
        .program_mut(names::TC_INGRESS)
        .ok_or(DatapathError::Missing(names::TC_INGRESS))?
        .try_into()
        .map_err(program_failed("take tc_ingress for a classifier"))
}

fn take_map(object: &mut Ebpf, name: &'static str) -> Result<Map, DatapathError> {
    object.take_map(name).ok_or(DatapathError::Missing(name))
}

fn program_failed(action: &'static str) -> impl Fn(aya::programs::ProgramError) -> DatapathError {
    move |source| DatapathError::Program { action: action.into(), source: Box::new(source) }
}

/// Before 5.11 the kernel counts maps as locked memory of the process. Where that is not allowed
/// the map creation itself will say so.
fn lift_memory_limit() {
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
}

/// Whether a tcx link for the port with that index is pinned in `fabric`.
pub fn has_link(fabric: &str, ifindex: Ifindex) -> bool {
    dir_of(fabric).join(LINKS).join(ifindex.0.to_string()).exists()
}
