//! `veth up`

use anyhow::Result;
use serde::Serialize;

use super::{
    arguments::UpOptions,
    session::{Session, complain, print, print_json},
    target::read_topology,
};
use crate::{
    datapath::ProgramSource,
    fabric::{self, Raised},
    plan::Step,
    report::count,
    sync::Reconciled,
    sysctl,
    topology::Topology,
};

#[derive(Serialize)]
struct Output<'a> {
    fabric: &'a str,
    steps: Vec<String>,
    datapath: Option<Reconciled>,
}

pub(super) fn run(session: &Session, options: &UpOptions) -> Result<()> {
    let mut topology = read_topology(&options.file)?;
    if let Some(datapath) = options.datapath {
        topology = topology.with_datapath(datapath);
    }
    let name = topology.name().as_str();
    if options.dry_run {
        let steps = texts(&fabric::missing(&topology)?);
        if session.json {
            return print_json(&Output { fabric: name, steps, datapath: None });
        }
        if steps.is_empty() {
            return print(&format!("fabric {name} is as the file says\n"));
        }
        return print(&steps.iter().map(|step| format!("would {step}\n")).collect::<String>());
    }
    let raised = session
        .with_progress(|control| fabric::up(&topology, options.hook.map(Into::into), control))?;
    if raised.datapath.is_some_and(|datapath| datapath.attached > 0) {
        warn_of_bridge_netfilter(name);
    }
    if session.json {
        let steps = texts(&raised.steps);
        return print_json(&Output { fabric: name, steps, datapath: raised.datapath });
    }
    print(&describe(&topology, &raised))
}

/// Says what the fast path passes by without anybody having asked for it.
fn warn_of_bridge_netfilter(name: &str) {
    let settings = sysctl::bridge_netfilter();
    if !settings.is_empty() {
        complain(&format!(
            "warning: br_netfilter is on ({}): its rules apply to what the bridge of {name} forwards, \
             and not to what takes the fast path; where they matter, use datapath = \"none\"",
            settings.join(", ")
        ));
    }
}

/// What happened, in one or two lines.
fn describe(topology: &Topology, raised: &Raised) -> String {
    let name = topology.name();
    let what = inventory(topology);
    let unchanged = raised.steps.is_empty()
        && !raised.lost_datapath
        && raised.datapath.is_none_or(|datapath| datapath.is_unchanged());
    let mut text = if unchanged {
        format!("fabric {name} was up as the file says ({what})\n")
    } else {
        format!("fabric {name} is up: {what}, {}\n", count(raised.steps.len(), "step"))
    };
    if let Some(datapath) = raised.datapath.filter(|_| !unchanged) {
        let Reconciled { ports, eligible, attached, replaced, refused, detached, .. } = datapath;
        text += &format!(
            "datapath {}: fast path on {} of {ports} ports",
            topology.datapath(),
            eligible.saturating_sub(refused)
        );
        for (count, what) in [
            (attached, "attached"),
            (replaced, "upgraded in place"),
            (refused, "refused by the device"),
            (detached, "detached"),
        ] {
            if count > 0 {
                text += &format!(", {count} {what}");
            }
        }
        text.push('\n');
    }
    if raised.lost_datapath {
        text.push_str("datapath none: the program was detached, and the bridge forwards\n");
    }
    if raised.datapath.is_some_and(|datapath| datapath.program == ProgramSource::Newer) {
        text.push_str("its program is of a newer veth than this one, and was left as it is\n");
    }
    text
}

/// How much of what a topology has.
fn inventory(topology: &Topology) -> String {
    let namespaces = topology.namespaces().len() + topology.portless().len();
    match topology.pairs().len() {
        0 => count(namespaces, "namespace"),
        pairs => format!("{}, {}", count(namespaces, "namespace"), count(pairs, "pair")),
    }
}

fn texts(steps: &[Step]) -> Vec<String> {
    steps.iter().map(ToString::to_string).collect()
}
