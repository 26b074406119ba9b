//! `veth explain`

mod input;
mod pcap;

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;
use veth_common::{Mac, Verdict};

pub(super) use input::{Frame, hex};

use super::{
    arguments::ExplainOptions,
    session::{Session, WrongArgument, complain, is_coloured, print, print_json},
    target::only_fabric,
};
use crate::{
    capture::{Comment, Headers, Protocol},
    diagnosis::plain,
    examination::Examination,
    explanation::{Step, frame},
    fabric::{Explained, Explainer, Obstacle, Outgoing, Source},
    topology::FabricName,
};

/// The longest that an `sk_buff` can be: no frame of a file may take more memory.
const LONGEST: usize = 14 + 65_536;

/// Where the files of this machine's containers are.
const ROOT: &str = "/";

#[derive(Serialize)]
struct Output {
    fabric: String,
    datapath: &'static str,
    /// The port that was asked about, unless the frames themselves say theirs.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// How the frame came to be that one, where it was made up, or which frames these are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// Whether the ports run the very program that was asked.
    is_attached_program: bool,
    frames: Vec<FrameOutput>,
}

#[derive(Serialize)]
struct FrameOutput {
    /// The port that it arrives on.
    from: String,
    frame: String,
    bytes: usize,
    verdict: &'static str,
    /// What it was when `veth capture` saw it.
    #[serde(skip_serializing_if = "Option::is_none")]
    captured_verdict: Option<&'static str>,
    help: &'static str,
    fast: bool,
    /// Who decided: `program`, or `rules` where the kernel runs no program on such a frame.
    decided_by: &'static str,
    steps: Vec<Step>,
    in_the_way: Vec<Obstacle>,
    /// Why all of this may not be about the frame that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

/// One frame to be asked about.
struct Question {
    source: Source,
    bytes: Vec<u8>,
    /// What `veth capture` noted of it.
    comment: Option<Comment>,
}

impl Question {
    const fn of(source: Source, bytes: Vec<u8>) -> Self {
        Self { source, bytes, comment: None }
    }
}

pub(super) fn run(session: &Session, options: &ExplainOptions) -> Result<()> {
    let name = only_fabric(options.name.as_deref())?;
    let mut explainer = Explainer::open(&name)?;
    let from = options.from.as_deref();
    let source = from.map(|from| named(&mut explainer, &name, from)).transpose()?;
    let (questions, note) = questions(&mut explainer, &name, source.as_ref(), options)?;
    let mut output = Output {
        fabric: name.to_string(),
        datapath: explainer.path().name(),
        from: source.map(|source| source.name),
        note,
        is_attached_program: explainer.is_attached_one(),
        frames: Vec::new(),
    };
    for question in &questions {
        let Question { source, bytes, comment } = question;
        let gso_size_bytes = comment.map_or(0, |comment| comment.segment_bytes);
        let outcome = explainer.explain(source, bytes, gso_size_bytes)?;
        output.frames.push(described(question, outcome));
    }
    add_remedies(&name, &mut output.frames);
    if session.json { print_json(&output) } else { print(&text(&output, is_coloured())) }
}

fn named(explainer: &mut Explainer, fabric: &FabricName, from: &str) -> Result<Source> {
    let text = || {
        WrongArgument(format!(
            "--from {from}: neither a port of {fabric} nor a namespace behind one; `veth status \
             {fabric}` lists them"
        ))
    };
    Ok(explainer.source(from)?.ok_or_else(text)?)
}

/// The frames that were asked about, and what there is to say of how they were come by.
fn questions(
    explainer: &mut Explainer,
    fabric: &FabricName,
    source: Option<&Source>,
    options: &ExplainOptions,
) -> Result<(Vec<Question>, Option<String>)> {
    let ExplainOptions { to_mac, to, hex, pcap, count, name: _, from: _ } = options;
    if let Some(path) = pcap {
        let count = usize::try_from(*count).unwrap_or(usize::MAX);
        return captured(explainer, fabric, source, (path, count));
    }
    // The arguments ask for it, but for captures.
    let source = source.context("--from says where the frame comes from")?.clone();
    if let Some(Frame(frame)) = hex {
        return Ok((vec![Question::of(source, frame.clone())], None));
    }
    let own = source.mac.ok_or_else(|| {
        WrongArgument(format!(
            "--from {}: the address of its peer cannot be seen; give the frame with --hex",
            source.name
        ))
    })?;
    if let Some(to) = to {
        return match explainer.outgoing(&source, own, *to)? {
            Outgoing::Frame { frame, note } => Ok((vec![Question::of(source, frame)], Some(note))),
            Outgoing::Nothing(why) => Err(WrongArgument(format!("--to {to}: {why}")).into()),
        };
    }
    // The arguments ask for one of the four.
    let to = to_mac.unwrap_or(Mac::BROADCAST);
    Ok((vec![Question::of(source, frame::datagram(own, to, None))], None))
}

/// The first frames of a capture: those from `source`, or from any port where the capture says from which.
fn captured(
    explainer: &Explainer,
    fabric: &FabricName,
    source: Option<&Source>,
    (path, count): (&Path, usize),
) -> Result<(Vec<Question>, Option<String>)> {
    let ports = explainer.sources();
    let port = |name: Option<&str>| ports.iter().find(|it| Some(it.name.as_str()) == name);
    let is_wanted = |interface: &pcap::Interface| {
        let from = port(interface.name.as_deref());
        match (&interface.fabric, from, source) {
            // In its own captures, an interface that is no port has been one.
            (Some(it), ..) if it != fabric.as_str() => false,
            (_, Some(from), Some(source)) => from.port == source.port,
            (Some(_), from, _) => from.is_some() && source.is_none(),
            // `eth0`, seen inside a namespace, may be the peer of any port.
            (None, from, source) => from.is_some() || source.is_some(),
        }
    };
    let pcap::Contents { frames, passed_over, is_cut } = pcap::read(path, count, &is_wanted)?;
    let path = path.display();
    if frames.is_empty() {
        let what = source.map_or_else(
            || format!("its frames do not say from which port of {fabric} they are; --from does"),
            |source| format!("has no frame from port {}", source.name),
        );
        let names = passed_over.join(", ");
        return Err(
            WrongArgument(format!("--pcap {path}: {what} (there are some of {names})")).into()
        );
    }
    let note = is_cut.then(|| {
        let number = frames.len();
        format!("{path} ends within a frame; this is about the {number} before that one")
    });
    let questions = frames.into_iter().filter_map(|frame| {
        let source = port(frame.interface.as_deref()).or(source)?.clone();
        Some(Question { source, bytes: frame.bytes, comment: frame.comment })
    });
    Ok((questions.collect(), note))
}

fn described(question: &Question, explained: Explained) -> FrameOutput {
    let Question { source, bytes, comment } = question;
    let Explained { verdict, has_run, explanation, obstacles } = explained;
    let may_be_gso = || {
        let protocol = Headers::of(bytes).protocol;
        [Some(Protocol::TCP), Some(Protocol::UDP)].contains(&protocol)
    };
    FrameOutput {
        from: source.name.clone(),
        frame: bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
        bytes: bytes.len(),
        verdict: verdict.name(),
        captured_verdict: comment.map(|comment| comment.verdict.name()),
        help: verdict.help(),
        fast: verdict.is_fast(),
        decided_by: if has_run { "program" } else { "rules" },
        steps: explanation.steps,
        in_the_way: obstacles,
        note: (verdict == Verdict::TooBig && comment.is_none() && may_be_gso()).then_some(
            "a frame of this size may be a GSO frame, of which each segment would be asked about; only \
             captures of `veth capture` say so",
        ),
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
        if output.frames.len() > 1 || output.from.is_none() {
            text += &format!("frame {}, from {}:\n", number + 1, frame.from);
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
    if let Some(then) = frame.captured_verdict.filter(|then| *then != frame.verdict) {
        text += &format!("note: it was {then} when it was captured\n");
    }
    if let Some(note) = frame.note {
        text += &format!("note: {note}\n");
    }
    for obstacle in &frame.in_the_way {
        text += &format!("in the way: {}\n", plain(&obstacle.text));
        if let Some(remedy) = &obstacle.remedy {
            text += &format!("  # {}\n", plain(remedy));
        }
    }
    text
}
