//! Frames of the kernel's own making, from one end to a sink at the other.

use std::{
    thread,
    time::{Duration, Instant},
};

use veth_common::Sunk;

use super::{
    BenchError, Options,
    cell::{Measurement, Window, nanos},
    path::BuiltPath,
};
use crate::{
    datapath::bench::{FrameTemplate, Generator, Sink, SinkHook},
    results::{Round, Workload},
    stop::Stop,
    traffic::load::{self, Edge},
};

/// How long to wait between two looks at a sink, for frames that are on their way yet.
const SETTLE: Duration = Duration::from_millis(1);
const WARM_UP_FRAMES: u32 = 1 << 12;

/// What `sink` has counted when nothing more arrives.
fn settled(sink: &Sink) -> Result<Sunk, BenchError> {
    let mut before = sink.read()?;
    loop {
        thread::sleep(SETTLE);
        let after = sink.read()?;
        if after.frames == before.frames {
            return Ok(after);
        }
        before = after;
    }
}

/// The generator, loaded when it is needed first.
#[derive(Default)]
pub(super) struct FrameLab {
    generator: Option<Generator>,
}

/// What the generator did.
struct Sent {
    frames: u64,
    elapsed: Duration,
    /// What the sink had counted before.
    before: Sunk,
}

impl FrameLab {
    /// Sends frames for as long as a round is, and counts what arrives; `None` when stopped.
    ///
    /// A round is a whole number of batches, each as large as the options say: setting a batch
    /// up takes the kernel some time that is none of the path's.
    pub(super) fn measure(
        &mut self,
        path: &BuiltPath,
        workload: Workload,
        options: &Options,
        stop: &Stop,
    ) -> Result<Option<Measurement>, BenchError> {
        let hook = match workload {
            Workload::FramesXdp => SinkHook::Xdp,
            _ => SinkHook::Tc,
        };
        let server = &path.server;
        let sink = server.netns.run(|| Sink::attach(hook, server.port()))??;
        let template = FrameTemplate {
            source: path.client.mac,
            destination: path.next_hop,
            addresses: (path.client.address, path.server.address),
            frame_bytes: options.frame_bytes,
            flows: options.flows,
        };
        let mut generator = match self.generator.take() {
            Some(generator) => generator,
            None => Generator::load()?,
        };
        let window = Window::new(path, options);
        let sent = path.client.netns.run(|| -> Result<Sent, BenchError> {
            load::pin_to(options.placement.client_cpu)?;
            let mut send = |frames| generator.send(path.client.ifindex, &template, frames);
            // Some first: code and tables are then where they will be.
            send(WARM_UP_FRAMES)?;
            let before = settled(&sink)?;
            window.note(Edge::Begin);
            let begin = Instant::now();
            let mut frames = 0;
            while begin.elapsed() < options.round && !stop.is_requested() {
                send(options.batch_frames)?;
                frames += u64::from(options.batch_frames);
            }
            let elapsed = begin.elapsed();
            window.note(Edge::End);
            Ok(Sent { frames, elapsed, before })
        })?;
        self.generator = Some(generator);
        let Sent { frames, elapsed, before } = match sent {
            _ if stop.is_requested() => return Ok(None),
            // Who asks to stop may have come here first.
            Err(BenchError::Datapath(error)) if error.is_interrupted() => return Ok(None),
            sent => sent?,
        };
        let after = settled(&sink)?;
        let operations = after.frames - before.frames;
        if operations == 0 {
            return Err(BenchError::NothingArrived(frames));
        }
        Ok(Some(Measurement {
            round: Round {
                round: 0,
                value: operations as f64 / elapsed.as_secs_f64(),
                operations,
                bytes: after.bytes - before.bytes,
                lost: frames.saturating_sub(operations),
                elapsed_ns: nanos(elapsed),
                cpu_ns: window.cpu_ns(),
            },
            latency: None,
        }))
    }
}
