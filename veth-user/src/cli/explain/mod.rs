//! `veth explain`

mod input;

use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use veth_common::Mac;

pub(super) use input::{Frame, hex, mac};

use super::{
    arguments::ExplainOptions,
    session::{Session, WrongArgument, complain, is_coloured, print, print_json},
    target::only_fabric,
};
use crate::{
    diagnosis::plain,
    examination::Examination,
    explanation::{Step, frame},
    fabric::{Explained, Explainer, Obstacle, Outgoing, Source},
    topology::FabricName,
};

/// Where the files of this machine's containers are.
const ROOT: &str = "/";

#[derive(Serialize)]
struct Output {
    fabric: String,
    datapath: &'static str,
    from: String,
    /// How the frame came to be that one, where it was made up.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// Whether the ports run the very program that was asked.
    is_attached_program: bool,
    frames: Vec<FrameOutput>,
}

#[derive(Serialize)]
struct FrameOutput {
    frame: String,
    bytes: usize,
    verdict: &'static str,
    help: &'static str,
    fast: bool,
    /// Who decided: `program`, or `rules` where the kernel runs no program on such a frame.
    decided_by: &'static str,
    steps: Vec<Step>,
    in_the_way: Vec<Obstacle>,
}

pub(super) fn run(session: &Session, options: &ExplainOptions) -> Result<()> {
    let name = only_fabric(options.name.as_deref())?;
    let mut explainer = Explainer::open(&name)?;
    let source = explainer.source(&options.from)?.ok_or_else(|| {
        WrongArgument(format!(
            "--from {}: neither a port of {name} nor a namespace behind one; `veth status {name}` \
             lists them",
            options.from
        ))
    })?;
    let (frames, note) = frames(&mut explainer, &source, options)?;
    let mut output = Output {
        fabric: name.to_string(),
        datapath: explainer.path().name(),
        from: source.name.clone(),
        note,
        is_attached_program: explainer.is_attached_one(),
        frames: Vec::new(),
    };
    for frame in &frames {
        output.frames.push(described(frame, explainer.explain(&source, frame)?));
    }
    add_remedies(&name, &mut output.frames);
    if session.json { print_json(&output) } else { print(&text(&output, is_coloured())) }
}

/// The frames that were asked about, and what there is to say of how they were made up.
fn frames(
    explainer: &mut Explainer,
    source: &Source,
    options: &ExplainOptions,
) -> Result<(Vec<Vec<u8>>, Option<String>)> {
    let ExplainOptions { to_mac, to, hex, pcap, count, name: _, from: _ } = options;
    if let Some(Frame(frame)) = hex {
        return Ok((vec![frame.clone()], None));
    }
    if let Some(path) = pcap {
        let count = usize::try_from(*count).unwrap_or(usize::MAX);
        return Ok((input::read_capture(path, count)?, None));
    }
    let own = source.mac.ok_or_else(|| {
        WrongArgument(format!(
            "--from {}: the address of its peer cannot be seen; give the frame with --hex",
            source.name
        ))
    })?;
    if let Some(to) = to {
        return match explainer.outgoing(source, own, *to)? {
            Outgoing::Frame { frame, note } => Ok((vec![frame], Some(note))),
            Outgoing::Nothing(why) => Err(WrongArgument(format!("--to {to}: {why}")).into()),
        };
    }
    // The arguments ask for one of the four.
    let to = to_mac.unwrap_or(Mac::BROADCAST);
    Ok((vec![frame::datagram(own, to, None)], None))
}

fn described(frame: &[u8], explained: Explained) -> FrameOutput {
    let Explained { verdict, has_run, explanation, obstacles } = explained;
    FrameOutput {
        frame: frame.iter().map(|byte| format!("{byte:02x}")).collect(),
        bytes: frame.len(),
        verdict: verdict.name(),
        help: verdict.help(),
        fast: verdict.is_fast(),
        decided_by: if has_run { "program" } else { "rules" },
        steps: explanation.steps,
        in_the_way: obstacles,
    }
}

/// Adds what `veth doctor` would have people type about the ports that stand in the way.
fn add_remedies(fabric: &FabricName, frames: &mut [FrameOutput]) {
    let open = |it: &&mut Obstacle| it.remedy.is_none() && it.port.is_some();
    let mut obstacles: Vec<&mut Obstacle> =
        frames.iter_mut().flat_map(|it| &mut it.in_the_way).filter(open).collect();
    if obstacles.is_empty() {
        return;
    }
    // The machine is looked around only now. What was explained stands without that.
    let examination = match Examination::take(Path::new(ROOT), Some(fabric.as_str())) {
        Ok(Some(examination)) => examination,
        Ok(None) => return,
        Err(error) => return complain(&format!("what would help was not found out: {error}")),
    };
    let mut examination = examination;
    for finding in examination.findings() {
        let is_here = finding.netns.as_ref().is_some_and(|netns| netns.own);
        for obstacle in obstacles.iter_mut().filter(|_| is_here) {
            if obstacle.remedy.is_none() && obstacle.port == finding.device {
                obstacle.remedy.clone_from(&finding.remedy);
            }
        }
    }
}

fn text(output: &Output, is_coloured: bool) -> String {
    let mut text = String::new();
    if let Some(note) = &output.note {
        text += &format!("{}\n", plain(note));
    }
    for (number, frame) in output.frames.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        if output.frames.len() > 1 {
            text += &format!("frame {}:\n", number + 1);
        }
        text += &frame_text(frame, is_coloured);
    }
    if !output.is_attached_program {
        text += "note: the ports run the program of another release of veth, or none; `veth agent` or \
                 `veth up` replaces it\n";
    }
    text
}

fn frame_text(frame: &FrameOutput, is_coloured: bool) -> String {
    let paint = |text: &str, good: bool| match (is_coloured, good) {
        (false, _) => text.to_owned(),
        (true, true) => format!("\x1b[32m{text}\x1b[0m"),
        (true, false) => format!("\x1b[1;33m{text}\x1b[0m"),
    };
    let mut text = String::new();
    for (number, step) in frame.steps.iter().enumerate() {
        let mark = paint(if step.passed { "ok" } else { "no" }, step.passed);
        text += &format!("{:>3}. {mark}  {}\n", number + 1, plain(&step.text));
    }
    text += &format!("{}: {}\n", paint(frame.verdict, frame.fast), frame.help);
    if frame.decided_by == "rules" {
        text += "note: the kernel runs no program on such a frame by itself, so this is the same \
                 decision, made here\n";
    }
    for obstacle in &frame.in_the_way {
        text += &format!("in the way: {}\n", plain(&obstacle.text));
        if let Some(remedy) = &obstacle.remedy {
            text += &format!("  # {}\n", plain(remedy));
        }
    }
    text
}
