//! `veth log`

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use veth_common::{CaptureRule, Verdict};

use super::{
    capture::verdict,
    frames::{Frames, Ports, Sink, bits, tell_missed},
    session::{Session, print, print_json, say},
    target::only_fabric,
};
use crate::capture::{Captured, FrameLine, HEADERS_BYTES};

/// Options of `log`.
#[derive(Debug, Args)]
pub struct LogOptions {
    /// Name of a fabric; may be left out when there is only one.
    pub name: Option<String>,
    /// Only frames with this verdict; may be given several times.
    #[arg(long, value_parser = verdict)]
    pub verdict: Vec<Verdict>,
    /// At most so many frames in a second, on each CPU.
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
}

pub(super) fn run(session: &Session, options: &LogOptions) -> Result<()> {
    const SECOND_NS: u64 = 1_000_000_000;
    /// As many frames as may come at once: those of a tenth of a second.
    const BURST_NS: u64 = SECOND_NS / 10;

    let name = only_fabric(options.name.as_deref())?;
    let mut ports = Ports::of(&name)?;
    let rule = CaptureRule {
        verdicts: bits(&options.verdict),
        snaplen_bytes: HEADERS_BYTES,
        sample: 1,
        interval_ns: SECOND_NS / u64::from(options.rate),
        burst_ns: BURST_NS,
        ..CaptureRule::OFF
    };
    let mut frames = Frames::begin(&name, rule)?;
    let result = frames.follow(session, &mut ports, &mut Lines { json: session.json });
    let tally = frames.tally()?;
    if tally.limited > 0 || tally.lost > 0 {
        let more = tally.limited + tally.lost;
        say(&format!("{more} more frames were not told of; `--rate` tells of more"));
    }
    tell_missed(frames.missed());
    result
}

/// Lines on stdout.
struct Lines {
    json: bool,
}

impl Sink for Lines {
    fn frame(&mut self, frame: &Captured, time: Duration, ports: &mut Ports) -> Result<bool> {
        let port = ports.name(frame.ingress);
        let target = frame.target.map(|target| ports.name(target));
        let line = FrameLine::of(frame, time, port, target);
        if self.json {
            print_json(&line)?;
        } else {
            print(&format!("{line}\n"))?;
        }
        Ok(true)
    }

    fn pause(&mut self) -> Result<()> {
        Ok(())
    }
}
