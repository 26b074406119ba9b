//! `veth doctor`

use std::path::Path;

use anyhow::{Result, bail};
use serde::Serialize;

use super::{
    arguments::DoctorOptions,
    session::{Session, Told, WrongArgument, is_coloured, print, print_json},
};
use crate::{
    diagnosis::{Finding, Severity, Trace, plain},
    examination::Examination,
};

/// Where the files of this machine's containers are.
const ROOT: &str = "/";

#[derive(Serialize)]
struct Output<'a> {
    /// Whether nothing is wrong: there are notes at most.
    healthy: bool,
    findings: &'a [Finding],
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<&'a Trace>,
}

pub(super) fn run(session: &Session, options: &DoctorOptions) -> Result<()> {
    let target = options.target.as_deref();
    let Some(mut examination) = Examination::take(Path::new(ROOT), target)? else {
        bail!(
            "{:?} is no fabric, bridge, container, namespace, process, device or address of a veth \
             pair; `veth ls` lists those",
            target.unwrap_or_default()
        );
    };
    let (findings, trace) = match (&options.from, options.to) {
        (Some(from), Some(to)) => {
            let Some(mut trace) = examination.trace(from, to) else {
                let text = format!("--from {from}: no namespace with a veth pair is called so");
                return Err(WrongArgument(text).into());
            };
            (std::mem::take(&mut trace.findings), Some(trace))
        }
        _ => (examination.findings(), None),
    };
    let healthy = findings.iter().all(|it| it.severity == Severity::Note);
    if session.json {
        print_json(&Output { healthy, findings: &findings, trace: trace.as_ref() })?;
    } else {
        let (pairs, bridges) = examination.extent();
        let marks = Marks { coloured: is_coloured() };
        let mut text = trace.as_ref().map(describe).unwrap_or_default();
        for finding in &findings {
            text += &format!("{} {finding}", marks.of(finding.severity));
        }
        if healthy {
            text += &match &trace {
                Some(_) => "nothing wrong found on the way\n".to_owned(),
                None => format!("nothing wrong found (pairs: {pairs}, bridges: {bridges})\n"),
            };
        }
        print(&text)?;
    }
    if healthy { Ok(()) } else { Err(Told.into()) }
}

fn describe(trace: &Trace) -> String {
    let mut text = String::new();
    for (name, hops) in [("request", &trace.request), ("reply", &trace.reply)] {
        for hop in hops {
            text += &format!("{name:<8}{}\n", plain(hop));
        }
    }
    text
}

/// What stands before a finding.
struct Marks {
    coloured: bool,
}

impl Marks {
    fn of(&self, severity: Severity) -> String {
        let (word, colour) = match severity {
            Severity::Error => ("error:", 31),
            Severity::Warning => ("warning:", 33),
            Severity::Note => ("note:", 36),
        };
        if self.coloured { format!("\x1b[1;{colour}m{word}\x1b[0m") } else { word.to_owned() }
    }
}
