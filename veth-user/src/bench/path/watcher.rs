//! Somebody who watches a fabric while it is measured: what does that cost the frames?

use std::{
    io::{self, Write as _},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use veth_common::{CaptureRule, CaptureTally};

use super::BenchError;
use crate::{
    capture::{Captured, InOrder, PacketBlock, Pcapng},
    datapath::{DatapathError, FrameSource, PairMap},
    exposition,
    metrics::{self, Format},
    netns::Netns,
    stop::Stop,
    topology::FabricName,
};

/// How often somebody reads who reads figures.
const READING: Duration = Duration::from_secs(1);
/// How often to see whether there is something to do.
const LOOK: Duration = Duration::from_millis(1);
/// How much of each frame is captured, in bytes.
const SNAPLEN_BYTES: u32 = 96;

/// What somebody watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watching {
    /// Who talks to whom.
    Pairs,
    /// Every frame.
    Frames,
    /// What Prometheus is told.
    Metrics,
}

/// A thread that watches while it is told to, until dropped.
pub(super) struct Watcher {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    stop: Stop,
    is_on: AtomicBool,
    /// Whether it is at work: it takes a moment to begin and to end.
    is_at_work: AtomicBool,
    /// What became of the frames that were captured so far.
    tally: Mutex<CaptureTally>,
}

impl Watcher {
    /// Somebody in the namespace `hub` who watches nothing yet.
    pub(super) fn new(hub: Netns, fabric: &FabricName, watching: Watching, stop: &Stop) -> Self {
        let shared = Arc::new(Shared {
            stop: stop.child(),
            is_on: AtomicBool::new(false),
            is_at_work: AtomicBool::new(false),
            tally: Mutex::default(),
        });
        let thread = thread::spawn({
            let (shared, fabric) = (Arc::clone(&shared), fabric.clone());
            move || {
                // It fails when the fabric is gone, and then nothing is measured either.
                let _ = hub.run(|| shared.work(&fabric, watching));
                shared.is_at_work.store(false, Ordering::Relaxed);
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// Begins, or ends, and returns when that has happened.
    ///
    /// # Errors
    ///
    /// When it has failed.
    pub(super) fn watch(&self, is_on: bool) -> Result<(), BenchError> {
        self.shared.is_on.store(is_on, Ordering::Relaxed);
        while self.shared.is_at_work.load(Ordering::Relaxed) != is_on {
            if self.thread.as_ref().is_none_or(JoinHandle::is_finished) {
                if self.shared.stop.is_requested() {
                    return Ok(());
                }
                return Err(BenchError::Unavailable("the fabric cannot be watched".into()));
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// What became of the frames that were captured so far.
    pub(super) fn tally(&self) -> CaptureTally {
        *self.shared.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.shared.stop.request();
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn work(&self, fabric: &FabricName, watching: Watching) -> Result<(), DatapathError> {
        let mut metrics = exposition::Source::new(Some(fabric.clone()), None, |_| {});
        let mut again = Instant::now();
        while !self.stop.is_requested() {
            if !self.is_on.load(Ordering::Relaxed) {
                thread::sleep(LOOK);
                continue;
            }
            match watching {
                Watching::Pairs => self.read_pairs(fabric)?,
                Watching::Frames => self.capture(fabric)?,
                Watching::Metrics => {
                    self.is_at_work.store(true, Ordering::Relaxed);
                    if Instant::now() >= again {
                        again = Instant::now() + READING;
                        let text = metrics::encode(&metrics.sample(), Format::OpenMetrics);
                        // Nobody reads it.
                        let _ = io::sink().write_all(text.as_bytes());
                    }
                    thread::sleep(LOOK);
                }
            }
            if !self.is_on.load(Ordering::Relaxed) {
                self.is_at_work.store(false, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Whether to go on with what was begun.
    fn goes_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed) && !self.stop.is_requested()
    }

    fn read_pairs(&self, fabric: &FabricName) -> Result<(), DatapathError> {
        let begun = PairMap::begin(fabric.as_str())?;
        let Some(mut pairs) = begun else { return Err(DatapathError::Missing("pair map")) };
        self.is_at_work.store(true, Ordering::Relaxed);
        let mut again = Instant::now();
        while self.goes_on() {
            if Instant::now() >= again {
                again = Instant::now() + READING;
                pairs.read()?;
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Captures like `veth capture -w /dev/null`.
    fn capture(&self, fabric: &FabricName) -> Result<(), DatapathError> {
        let rule = CaptureRule {
            verdicts: u64::MAX,
            snaplen_bytes: SNAPLEN_BYTES,
            sample: 1,
            ..CaptureRule::OFF
        };
        let begun = FrameSource::begin(fabric.as_str(), rule)?;
        let Some(mut frames) = begun else { return Err(DatapathError::Missing("ring buffer")) };
        self.is_at_work.store(true, Ordering::Relaxed);
        let mut held = InOrder::default();
        let mut take = |record: &[u8]| {
            let Some(frame) = Captured::parse(record) else { return };
            held.push(frame);
            while let Some(frame) = held.pop() {
                write_to_nothing(&frame);
            }
        };
        while self.goes_on() {
            if !frames.read(&mut take)? {
                thread::sleep(LOOK);
            }
        }
        frames.end()?;
        frames.drain(&mut take);
        let tally = frames.tally()?;
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).add(&tally);
        Ok(())
    }
}

fn write_to_nothing(frame: &Captured) {
    let block = Pcapng::packet(PacketBlock {
        interface: 0,
        time: Duration::from_nanos(frame.time_ns),
        len_bytes: frame.len_bytes,
        bytes: &frame.bytes,
        verdict: frame.verdict,
        target: None,
        segments: frame.gso_segments,
        segment_bytes: frame.gso_size_bytes,
    });
    let _ = io::sink().write_all(&block);
}
