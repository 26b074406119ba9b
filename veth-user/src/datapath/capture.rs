//! Reading captured frames: the rule that asks for them, the ring buffer that they come through, and
//! what became of those that did not fit.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use aya::{
    maps::{Array, Map, MapData, MapInfo, PerCpuArray, PerCpuValues, RingBuf},
    util::nr_cpus,
};
use veth_common::{CaptureRule, CaptureTally, names};

use super::{
    DatapathError,
    clock::{end_of, monotonic},
    dir_of,
    error::map_failed,
    pins::open_pin,
};

/// How long the program captures without hearing from the reader.
const LEASE: Duration = Duration::from_secs(2);
/// How often it hears. A datapath that is loaded meanwhile forgets the rule, so this is also how long
/// it takes until frames come again.
const RENEWAL: Duration = Duration::from_millis(200);

/// How often to look whether the maps are still those of the fabric.
const LOOK: Duration = Duration::from_secs(1);

/// The maps that a capture needs.
const PINS: [&str; 3] = [names::MAP_CAPTURE, names::MAP_TALLY, names::MAP_FRAMES];

/// What a fabric's captures are doing, for whoever only wants to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CaptureStatus {
    /// Whether frames are captured now.
    pub is_active: bool,
    /// What became of frames since the last capture began.
    pub tally: CaptureTally,
}

impl CaptureStatus {
    /// Looks at the pinned maps of `fabric`; `None` when it has none for captures.
    ///
    /// # Errors
    ///
    /// When the pins are there and cannot be read (`CAP_BPF`).
    pub fn read(fabric: &str) -> Result<Option<Self>, DatapathError> {
        let dir = dir_of(fabric);
        let pins = [names::MAP_CAPTURE, names::MAP_TALLY];
        if pins.iter().any(|name| !dir.join(name).exists()) {
            return Ok(None);
        }
        let [rule, tally] = pins.map(|name| open_pin(&dir, name));
        let rule = Array::<_, CaptureRule>::try_from(rule?).and_then(|rule| rule.get(&0, 0));
        let rule = rule.map_err(map_failed("read", names::MAP_CAPTURE))?;
        let tally = PerCpuArray::try_from(tally?).map_err(map_failed("open", names::MAP_TALLY))?;
        let is_active = end_of(Duration::ZERO) < rule.until_ns;
        Ok(Some(Self { is_active, tally: total(&tally)? }))
    }
}

/// Why a capture sees nothing any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaptureEnd {
    /// The fabric has no datapath any more.
    Removed,
    /// It has another one, with maps of its own.
    Replaced,
}

/// A capture of a fabric. It ends when this is dropped, and by itself when its process dies.
pub struct FrameSource {
    dir: PathBuf,
    /// Ids of the maps that are open, of [`PINS`] in their order.
    ids: [u32; PINS.len()],
    looked: Instant,
    rule: CaptureRule,
    renewed: Instant,
    missed: Duration,
    variables: Array<MapData, CaptureRule>,
    tally: PerCpuArray<MapData, CaptureTally>,
    frames: RingBuf<MapData>,
}

impl FrameSource {
    /// Begins to capture what `rule` says; its session and its end are set here. `None` when the
    /// datapath of `fabric` is of a release that could not, or when there is none.
    ///
    /// Only one process at a time may do this.
    ///
    /// # Minimum kernel version
    ///
    /// 5.8 (`BPF_MAP_TYPE_RINGBUF`).
    ///
    /// # Errors
    ///
    /// When the pins cannot be opened (`CAP_BPF`) or written.
    pub fn begin(fabric: &str, rule: CaptureRule) -> Result<Option<Self>, DatapathError> {
        let dir = dir_of(fabric);
        if PINS.iter().any(|name| !dir.join(name).exists()) {
            return Ok(None);
        }
        let [(variables, a), (tally, b), (frames, c)] =
            [open(&dir, PINS[0])?, open(&dir, PINS[1])?, open(&dir, PINS[2])?];
        let mut source = Self {
            dir,
            ids: [a, b, c],
            looked: Instant::now(),
            // Frames of an earlier capture may still be in the ring buffer.
            rule: CaptureRule { session: session(), ..rule },
            renewed: Instant::now(),
            missed: Duration::ZERO,
            variables: Array::try_from(variables)
                .map_err(map_failed("open", names::MAP_CAPTURE))?,
            tally: PerCpuArray::try_from(tally).map_err(map_failed("open", names::MAP_TALLY))?,
            frames: RingBuf::try_from(frames).map_err(map_failed("open", names::MAP_FRAMES))?,
        };
        // Programs must not see half of a rule: this one says that there is none, and its other
        // fields are those of the one that follows.
        source.write(0)?;
        source.reset()?;
        source.write(end_of(LEASE))?;
        Ok(Some(source))
    }

    /// Whether the fabric has given up the maps that are read here. Looks about once a second.
    ///
    /// # Errors
    ///
    /// When a pin is there and cannot be opened (`CAP_BPF`).
    pub fn has_ended(&mut self) -> Result<Option<CaptureEnd>, DatapathError> {
        if self.looked.elapsed() < LOOK {
            return Ok(None);
        }
        self.looked = Instant::now();
        for (name, id) in PINS.into_iter().zip(self.ids) {
            let pin = self.dir.join(name);
            match MapInfo::from_pin(&pin) {
                Ok(info) if info.id() == id => {}
                Ok(_) => return Ok(Some(CaptureEnd::Replaced)),
                Err(_) if !pin.exists() => return Ok(Some(CaptureEnd::Removed)),
                Err(source) => return Err(map_failed("look at", name)(source)),
            }
        }
        Ok(None)
    }

    /// Which capture this is; frames of other ones are to be passed over.
    pub const fn session(&self) -> u32 {
        self.rule.session
    }

    /// Takes what has been captured, record by record, and keeps the capture going. Says whether
    /// there was anything.
    ///
    /// # Errors
    ///
    /// When the rule cannot be written.
    pub fn read(&mut self, mut take: impl FnMut(&[u8])) -> Result<bool, DatapathError> {
        /// As many as are taken before the lease is looked at.
        const AT_ONCE: usize = 4096;

        if self.renewed.elapsed() >= RENEWAL {
            self.note_missed();
            self.write(end_of(LEASE))?;
            self.renewed = Instant::now();
        }
        let mut any = false;
        for _ in 0..AT_ONCE {
            let Some(record) = self.frames.next() else { break };
            any = true;
            take(&record);
        }
        Ok(any)
    }

    /// Ends the capture. What is in the ring buffer can still be [read](Self::drain).
    ///
    /// # Errors
    ///
    /// When the rule cannot be written.
    pub fn end(&mut self) -> Result<(), DatapathError> {
        self.note_missed();
        self.write(0)
    }

    /// For how long the capture was off, because nobody called [`read`](Self::read) while its lease was
    /// valid.
    pub const fn missed(&self) -> Duration {
        self.missed
    }

    fn note_missed(&mut self) {
        self.missed += self.renewed.elapsed().saturating_sub(LEASE);
    }

    /// Takes what was captured before the end.
    pub fn drain(&mut self, mut take: impl FnMut(&[u8])) {
        while let Some(record) = self.frames.next() {
            take(&record);
        }
    }

    /// What became of the frames that the capture was about, on all CPUs.
    ///
    /// # Errors
    ///
    /// When the map cannot be read.
    pub fn tally(&self) -> Result<CaptureTally, DatapathError> {
        total(&self.tally)
    }

    fn write(&mut self, until_ns: u64) -> Result<(), DatapathError> {
        let rule = CaptureRule { until_ns, ..self.rule };
        self.variables.set(0, rule, 0).map_err(map_failed("write", names::MAP_CAPTURE))
    }

    fn reset(&mut self) -> Result<(), DatapathError> {
        let cpus = |source| DatapathError::Cpus {
            action: format!("reset map {}", names::MAP_TALLY),
            source,
        };
        let count = nr_cpus().map_err(|(_, source)| cpus(source))?;
        let zero = PerCpuValues::try_from(vec![CaptureTally::default(); count]).map_err(cpus)?;
        self.tally.set(0, zero, 0).map_err(map_failed("write", names::MAP_TALLY))
    }
}

impl Drop for FrameSource {
    fn drop(&mut self) {
        // If this fails, the lease ends by itself.
        let _ = self.end();
    }
}

/// The shares of all CPUs.
fn total(tally: &PerCpuArray<MapData, CaptureTally>) -> Result<CaptureTally, DatapathError> {
    let shares = tally.get(&0, 0).map_err(map_failed("read", names::MAP_TALLY))?;
    let mut total = CaptureTally::default();
    for share in shares.iter() {
        total.add(share);
    }
    Ok(total)
}

/// The map that is pinned as `name`, and its id.
fn open(dir: &Path, name: &'static str) -> Result<(Map, u32), DatapathError> {
    let open = || {
        let map = MapData::from_pin(dir.join(name))?;
        let id = map.info()?.id();
        Ok((Map::from_map_data(map)?, id))
    };
    open().map_err(map_failed("open", name))
}

/// A number that the capture before this one does not have.
fn session() -> u32 {
    let now = monotonic();
    now.subsec_nanos() ^ std::process::id().rotate_left(16)
}
