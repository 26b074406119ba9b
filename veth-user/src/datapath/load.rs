//! Loading the object, or taking over what is pinned.

use std::path::{Path, PathBuf};

use aya::{
    EbpfLoader,
    maps::{Array, MapData, MapError},
};
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use veth_common::{ABI_VERSION, Ifindex, Meta, Ownership, names};

use super::{
    Attached, CounterMap, DatapathError, Hook, PortDevice, PreparedMap, Present, RELEASE,
    TC_OBJECT, TableMaps, XDP_OBJECT,
    attach::{attach_clsact, attach_tcx, attach_xdp, detach_clsact, live_hook},
    bpffs, dir_of,
    features::has_coarse_clock,
    pins::{LINKS, link_pin, pin_name, pinned_links, pinned_meta},
    program::Program,
    qdisc, release_text,
};
use crate::{forwarding::FastPath, view::Bypasses};

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
    path: FastPath,
    program: Program,
    program_id: u32,
    source: ProgramSource,
    tables: TableMaps,
    counters: CounterMap,
    prepared: PreparedMap,
    meta: Array<MapData, Meta>,
}

impl Datapath {
    /// Loads the datapath of `fabric`, reusing its pins where they are this release's. New ones say from
    /// the beginning for whose bridge they are, and what frames may pass by there.
    ///
    /// Ports that are attached keep running what they run; [`attach`](Self::attach) moves them.
    /// When they run the other fast path, see [`let_go_of_other`](Self::let_go_of_other).
    ///
    /// # Errors
    ///
    /// When the object or the pins cannot be loaded, the pins are of a release that this one
    /// cannot read, or of a fabric in another network namespace than that of `netns_inode`.
    pub fn load(
        fabric: &str,
        netns_inode: u64,
        path: FastPath,
        (ownership, bypasses): (Ownership, Bypasses),
    ) -> Result<Self, DatapathError> {
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
        for name in maps_of(path) {
            loader.map_pin_path(name, dir.join(name));
        }
        for (variable, pin) in names::VARIABLES {
            loader.map_pin_path(variable, dir.join(pin));
        }
        let has_coarse_clock = u8::from(has_coarse_clock(path)?);
        loader.override_global(names::GLOBAL_HAS_COARSE_CLOCK, &has_coarse_clock, true);
        let mut object = loader.load(object_of(path))?;
        let mut take = |name| object.take_map(name).ok_or(DatapathError::Missing(name));
        let (ports, fdb, near) =
            (take(names::MAP_PORTS)?, take(names::MAP_FDB)?, take(names::MAP_NEAR)?);
        let targets = match path {
            FastPath::Tc => None,
            FastPath::Xdp => Some(take(names::MAP_TARGETS)?),
        };
        let tables = TableMaps::new(ports, fdb, near, targets)?;
        let counters = CounterMap::new(take(names::MAP_COUNTERS)?)?;
        let meta =
            Array::<_, Meta>::try_from(take(names::MAP_META)?).map_err(meta_failed("open"))?;
        let mut meta = meta;
        if meta.get(&0, 0).map_err(meta_failed("read"))? == Meta::default() {
            // Without the version: they are unfinished.
            let bypasses = bypasses.bits();
            let unfinished = Meta { netns_inode, ownership, bypasses, ..Meta::default() };
            meta.set(0, unfinished, 0).map_err(meta_failed("write"))?;
        }
        // What XDP prepared has to be put back by whatever comes after it.
        let prepared = PreparedMap::open(fabric)?;
        let (fresh, fresh_info) = Program::load(object, path)?;

        let pin = dir.join(pin_name(path));
        let old = if pin.exists() { Some(Program::open(&pin, path)?) } else { None };
        let theirs = pinned.map_or(0, |meta| meta.release);
        let (program, info, source) = match old {
            Some((old, info)) if info.tag() == fresh_info.tag() => {
                (old, info, ProgramSource::Adopted)
            }
            Some((old, info)) if theirs > RELEASE => (old, info, ProgramSource::Newer),
            Some(_) => (fresh, fresh_info, ProgramSource::Upgraded),
            None => (fresh, fresh_info, ProgramSource::Loaded),
        };
        let program_id = info.id();
        Ok(Self {
            dir,
            netns_inode,
            path,
            program,
            program_id,
            source,
            tables,
            counters,
            prepared,
            meta,
        })
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
        let pin = self.dir.join(pin_name(self.path));
        Ok(pin.exists() && Program::open(&pin, self.path)?.1.id() == self.program_id)
    }

    /// Where the program comes from.
    pub const fn source(&self) -> ProgramSource {
        self.source
    }

    /// Which fast path it is.
    pub const fn path(&self) -> FastPath {
        self.path
    }

    /// What was changed at ports and their peers for XDP.
    pub const fn prepared(&mut self) -> &mut PreparedMap {
        &mut self.prepared
    }

    /// The maps that the forwarding decision reads.
    pub const fn tables(&mut self) -> &mut TableMaps {
        &mut self.tables
    }

    /// The counters.
    pub const fn counters(&mut self) -> &mut CounterMap {
        &mut self.counters
    }

    /// Lets go of every port that runs the other fast path through a link, if this fabric had
    /// that until now, and says whether it had. The bridge takes over until the ports are attached
    /// anew: the two never count one frame twice, and neither sees tables that were made for the other.
    ///
    /// # Errors
    ///
    /// When a pin cannot be removed.
    pub fn let_go_of_other(&mut self) -> Result<bool, DatapathError> {
        let had_other = self.dir.join(pin_name(self.path.other())).exists();
        if had_other {
            self.forget_links_except(|_| false)?;
        }
        Ok(had_other)
    }

    /// Attaches the program to `port`, or makes sure that it is.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn attach(
        &mut self,
        hook: Hook,
        port: PortDevice<'_>,
        present: Present,
    ) -> Result<Attached, DatapathError> {
        let pin = self.link_pin(port.ifindex);
        if live_hook(port, present, &pin)?.is_some_and(|present| present.path() != self.path) {
            // Left by a switch that was not completed, or not begun as far as the pins tell.
            bpffs::unpin(&pin)?;
        }
        let attached = match hook {
            Hook::Tcx => attach_tcx(self.program.classifier()?, self.program_id, port, &pin)?,
            Hook::Xdp => attach_xdp(self.program.xdp()?, self.program_id, port, present, &pin)?,
            Hook::Clsact => {
                let program = self.program.classifier()?;
                let attached =
                    attach_clsact(program, self.program_id, port, present.filter, &self.dir)?;
                bpffs::unpin(&pin)?;
                return Ok(attached);
            }
        };
        if present.filter.is_some() {
            // Left by a fabric that was up with another hook.
            detach_clsact(port)?;
        }
        Ok(attached)
    }

    /// Where on `port` a program of this fabric hangs, this or an older one.
    ///
    /// # Errors
    ///
    /// When a pin or the hook cannot be examined.
    pub fn hook_of(
        &self,
        port: PortDevice<'_>,
        present: Present,
    ) -> Result<Option<Hook>, DatapathError> {
        let linked = live_hook(port, present, &self.link_pin(port.ifindex))?;
        Ok(linked.or(present.filter.map(|_| Hook::Clsact)))
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

    /// Drops the marks of the clsact qdiscs of devices that are gone.
    ///
    /// # Errors
    ///
    /// When a mark cannot be removed.
    pub fn forget_clsacts_except(
        &self,
        keep: impl Fn(Ifindex) -> bool,
    ) -> Result<(), DatapathError> {
        Ok(qdisc::forget_clsacts_except(&self.dir, keep)?)
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

    /// Makes this the fabric's datapath: pins the program in place of any other and signs the maps,
    /// which say whose bridge it is and what frames may pass by there.
    ///
    /// To be called when the tables are written and the ports are attached; a process that dies
    /// before leaves pins that the next [`load`](Self::load) takes for unfinished.
    ///
    /// # Errors
    ///
    /// When the pin or the map cannot be written.
    pub fn commit(
        &mut self,
        ownership: Ownership,
        bypasses: Bypasses,
    ) -> Result<(), DatapathError> {
        if matches!(self.source, ProgramSource::Loaded | ProgramSource::Upgraded) {
            // The old one first: two kinds at once would not say which is right.
            for path in [self.path.other(), self.path] {
                bpffs::unpin(&self.dir.join(pin_name(path)))?;
            }
            self.program.pin(&self.dir.join(pin_name(self.path)))?;
            self.source = ProgramSource::Adopted;
            self.sign(Meta {
                abi: ABI_VERSION,
                release: RELEASE,
                netns_inode: self.netns_inode,
                ownership,
                bypasses: bypasses.bits(),
                ..Meta::default()
            })?;
        }
        let signed = self.signature()?;
        let meta = Meta { ownership, bypasses: bypasses.bits(), ..signed };
        if meta != signed {
            self.sign(meta)?;
        }
        if self.path == FastPath::Tc && self.prepared.is_empty()? {
            for name in names::XDP_MAPS {
                bpffs::unpin(&self.dir.join(name))?;
            }
        }
        Ok(())
    }

    /// What was committed last, by whoever did.
    ///
    /// # Errors
    ///
    /// When the map cannot be read.
    pub fn signature(&self) -> Result<Meta, DatapathError> {
        self.meta.get(&0, 0).map_err(meta_failed("read"))
    }

    fn sign(&mut self, meta: Meta) -> Result<(), DatapathError> {
        self.meta.set(0, meta, 0).map_err(meta_failed("write"))
    }

    fn link_pin(&self, ifindex: Ifindex) -> PathBuf {
        link_pin(&self.dir, ifindex)
    }
}

fn meta_failed(verb: &'static str) -> impl Fn(MapError) -> DatapathError {
    move |source| DatapathError::Map { action: format!("{verb} the identity map"), source }
}

/// Removes the pins of programs and maps. What was prepared has to be put back whatever release did
/// it, so that record stays.
fn remove_objects(dir: &Path) -> Result<(), DatapathError> {
    let paths = [FastPath::Tc, FastPath::Xdp];
    let variables = names::VARIABLES.map(|(_, pin)| pin);
    let maps = names::MAPS.into_iter().chain([names::MAP_TARGETS]).chain(variables);
    for name in maps.chain(paths.map(pin_name)) {
        bpffs::unpin(&dir.join(name))?;
    }
    Ok(())
}

fn maps_of(path: FastPath) -> impl Iterator<Item = &'static str> {
    let more: &[&str] = match path {
        FastPath::Tc => &[],
        FastPath::Xdp => &names::XDP_MAPS,
    };
    names::MAPS.iter().chain(more).copied()
}

pub(super) const fn object_of(path: FastPath) -> &'static [u8] {
    match path {
        FastPath::Tc => TC_OBJECT,
        FastPath::Xdp => XDP_OBJECT,
    }
}

/// Before 5.11 the kernel counts maps as locked memory of the process. Where that is not allowed
/// the map creation itself will say so.
pub(super) fn lift_memory_limit() {
    let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
}
