//! What `capture` and `log` share: frames one after the other, and the names of their ports.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, bail};
use veth_common::{CaptureRule, CaptureTally, Ifindex, Verdict};

use super::session::{Session, WrongArgument, say};
use crate::{
    Stop,
    capture::{Captured, InOrder},
    datapath::{CaptureEnd, FrameSource, monotonic, realtime},
    fabric::{self, CountedPort},
    lock::{FabricLock, LockError},
    netlink::Netlink,
    topology::FabricName,
};

/// How long to wait before another look, after one that found nothing.
const IDLE: Duration = Duration::from_millis(10);
/// The same after one that found something: the ring buffer takes a flood of a few times that.
const BUSY: Duration = Duration::from_millis(1);

/// The bits of these verdicts; of all for none.
pub(super) fn bits(verdicts: &[Verdict]) -> u64 {
    let verdicts = if verdicts.is_empty() { &Verdict::ALL[..] } else { verdicts };
    verdicts.iter().fold(0, |bits, verdict| bits | 1 << *verdict as u64)
}

/// Where frames go.
pub(super) trait Sink {
    /// Takes a frame, seen at `time` since 1970, and says whether it wants more.
    fn frame(&mut self, frame: &Captured, time: Duration, ports: &mut Ports) -> Result<bool>;

    /// There is nothing more at the moment.
    fn pause(&mut self) -> Result<()>;
}

/// Frames of a fabric, as its datapath sees them.
pub(super) struct Frames {
    source: FrameSource,
    /// What 1970 is earlier than the program's clock.
    epoch: Duration,
    _lock: FabricLock,
}

impl Frames {
    /// Begins to capture.
    pub(super) fn begin(fabric: &FabricName, rule: CaptureRule) -> Result<Self> {
        let lock = lock(fabric)?;
        let epoch = realtime().saturating_sub(monotonic());
        let source = FrameSource::begin(fabric.as_str(), rule)?.with_context(|| {
            format!(
                "fabric {fabric} has no datapath that can capture; `veth status` says whether it \
                 has one, and `veth up` or `veth attach` brings an older one up to date"
            )
        })?;
        Ok(Self { source, epoch, _lock: lock })
    }

    /// Hands frames to `sink` until it has enough, somebody asks to stop, or the fabric gives up what is
    /// read here, which is told on stderr.
    pub(super) fn follow(
        &mut self,
        session: &Session,
        ports: &mut Ports,
        sink: &mut impl Sink,
    ) -> Result<()> {
        let (this, epoch) = (self.source.session(), self.epoch);
        let held = InOrder::default();
        let mut delivery =
            Delivery { session: this, epoch, held, ports, sink, wants_more: Ok(true) };
        while delivery.is_wanted() && !session.stop.is_requested() {
            let before = monotonic();
            let had_any = self.source.read(|record| delivery.take(record))?;
            if !had_any {
                delivery.nothing_until(before);
            }
            delivery.pause();
            if let Some(end) = self.source.has_ended()? {
                tell_end(delivery.ports.fabric(), end);
                break;
            }
            if had_any {
                std::thread::sleep(BUSY);
            } else {
                session.sleep(IDLE);
            }
        }
        self.source.end()?;
        self.source.drain(|record| delivery.take(record));
        delivery.finish()
    }

    /// For how long nothing was captured, because frames were not read.
    pub(super) const fn missed(&self) -> Duration {
        self.source.missed()
    }

    /// What became of the frames.
    pub(super) fn tally(&self) -> Result<CaptureTally> {
        Ok(self.source.tally()?)
    }
}

/// Frames on their way from the ring buffer to a sink.
struct Delivery<'a, S> {
    session: u32,
    epoch: Duration,
    held: InOrder,
    ports: &'a mut Ports,
    sink: &'a mut S,
    /// What the sink said last.
    wants_more: Result<bool>,
}

impl<S: Sink> Delivery<'_, S> {
    const fn is_wanted(&self) -> bool {
        matches!(self.wants_more, Ok(true))
    }

    /// Takes a record, and hands on what nothing is expected to come before.
    fn take(&mut self, record: &[u8]) {
        // What an earlier capture left is not this one's.
        let frame = Captured::parse(record).filter(|frame| frame.session == self.session);
        if let Some(frame) = frame {
            self.held.push(frame);
            self.hand_on(InOrder::pop);
        }
    }

    /// The ring buffer was empty at this time.
    fn nothing_until(&mut self, time: Duration) {
        self.held.nothing_until(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        self.hand_on(InOrder::pop);
    }

    /// Hands on what is left.
    fn finish(mut self) -> Result<()> {
        self.hand_on(InOrder::take);
        self.wants_more.map(|_| ())
    }

    /// Hands on what `next` takes out, unless the sink has enough.
    fn hand_on(&mut self, next: impl Fn(&mut InOrder) -> Option<Captured>) {
        while self.is_wanted()
            && let Some(frame) = next(&mut self.held)
        {
            let time = self.epoch + Duration::from_nanos(frame.time_ns);
            self.wants_more = self.sink.frame(&frame, time, self.ports);
        }
    }

    /// There is nothing more at the moment.
    fn pause(&mut self) {
        if self.is_wanted() {
            self.wants_more = self.sink.pause().map(|()| true);
        }
    }
}

/// Says why nothing more comes. That is no failure: what there was has been captured.
fn tell_end(fabric: &FabricName, end: CaptureEnd) {
    say(&match end {
        CaptureEnd::Removed => format!("fabric {fabric} has no datapath any more"),
        CaptureEnd::Replaced => format!(
            "fabric {fabric} was given a new datapath, which this capture does not see: start another one"
        ),
    });
}

/// Says for how long nothing was captured, if it was not all the time.
pub(super) fn tell_missed(missed: Duration) {
    if !missed.is_zero() {
        let seconds = missed.as_secs_f64();
        say(&format!(
            "for {seconds:.1} s nothing was captured, and frames were not counted: the output took \
             nothing"
        ));
    }
}

/// The right to capture: there is one ring buffer, and one reader of it.
fn lock(fabric: &FabricName) -> Result<FabricLock> {
    // It is not worth waiting for: the other one may take hours.
    let stop = Stop::new();
    stop.request();
    match FabricLock::acquire(&format!("{fabric}.capture"), &stop, &mut || {}) {
        Err(LockError::Interrupted) => {
            bail!("another `veth capture` or `veth log` is at work on fabric {fabric}")
        }
        result => Ok(result?),
    }
}

/// The ports of a fabric, and those that it had.
pub(super) struct Ports {
    fabric: FabricName,
    host: Netlink,
    known: BTreeMap<Ifindex, CountedPort>,
}

impl Ports {
    /// The ports that `fabric` has now.
    pub(super) fn of(fabric: &FabricName) -> Result<Self> {
        let host = Netlink::open()?;
        let mut ports = Self { fabric: fabric.clone(), host, known: BTreeMap::new() };
        ports.look()?;
        Ok(ports)
    }

    fn look(&mut self) -> Result<()> {
        for port in fabric::counted_ports(&mut self.host, &self.fabric)? {
            self.known.insert(port.ifindex, port);
        }
        Ok(())
    }

    /// The fabric.
    pub(super) const fn fabric(&self) -> &FabricName {
        &self.fabric
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Ifindex> {
        self.known.keys().copied().collect()
    }

    /// The port of that name; none, which is zero, for no name.
    pub(super) fn find(&self, name: Option<&str>) -> Result<Ifindex> {
        let Some(name) = name else { return Ok(Ifindex(0)) };
        let port = self.known.values().find(|port| port.name == name).map(|port| port.ifindex);
        let text = || WrongArgument(format!("fabric {} has no port {name}", self.fabric));
        Ok(port.ok_or_else(text)?)
    }

    /// Its name, or its index when nobody knows its name any more.
    pub(super) fn name(&mut self, port: Ifindex) -> String {
        self.get(port).map_or_else(|| format!("if{}", port.0), |port| port.name.clone())
    }

    /// The namespace of its peer.
    pub(super) fn netns(&mut self, port: Ifindex) -> Option<String> {
        self.get(port)?.netns.clone()
    }

    fn get(&mut self, port: Ifindex) -> Option<&CountedPort> {
        if !self.known.contains_key(&port) {
            // It is new; or it is gone, as the fabric may be.
            let _ = self.look();
        }
        self.known.get(&port)
    }
}
