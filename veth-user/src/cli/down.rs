//! `veth down`

use anyhow::Result;
use serde::Serialize;

use super::{
    arguments::DownOptions,
    session::{Session, print, print_json},
    target::Target,
};
use crate::{fabric, report::count};

#[derive(Serialize)]
struct Output<'a> {
    fabric: &'a str,
    steps: Vec<String>,
    had_datapath: bool,
}

pub(super) fn run(session: &Session, options: &DownOptions) -> Result<()> {
    let target = Target::of(&options.target)?;
    let name = target.name();
    let lowered = session.with_progress(|control| fabric::down(name, control))?;
    if session.json {
        return print_json(&Output {
            fabric: name.as_str(),
            steps: lowered.steps.iter().map(ToString::to_string).collect(),
            had_datapath: lowered.had_datapath,
        });
    }
    if lowered.steps.is_empty() && !lowered.had_datapath {
        print(&format!("fabric {name}: there is nothing to remove\n"))
    } else {
        print(&format!("fabric {name} is down ({})\n", count(lowered.steps.len(), "step")))
    }
}
