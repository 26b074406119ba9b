//! `veth status`

use anyhow::Result;
use serde::Serialize;

use super::{
    arguments::StatusOptions,
    session::{Session, Told, print, print_json},
    target::Target,
};
use crate::{
    fabric::{self, EndStatus, FabricStatus, PairStatus},
    report,
};

#[derive(Serialize)]
struct Output {
    #[serde(flatten)]
    status: FabricStatus,
    /// What `up` would do, when a file says what is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<Vec<String>>,
}

pub(super) fn run(session: &Session, options: &StatusOptions) -> Result<()> {
    let outputs = match options.target.as_deref().map(Target::of).transpose()? {
        Some(Target::Name(name)) => {
            vec![Output { status: fabric::status(&name)?, missing: None }]
        }
        Some(Target::File(topology)) => {
            let missing = fabric::missing(&topology)?.iter().map(ToString::to_string).collect();
            vec![Output { status: fabric::status(topology.name())?, missing: Some(missing) }]
        }
        None => {
            let statuses = fabric::list()?
                .iter()
                .map(|name| Ok(Output { status: fabric::status(name)?, missing: None }))
                .collect::<Result<Vec<_>>>()?;
            if statuses.is_empty() && !session.json {
                return print("there is no fabric; `veth up FILE` makes one\n");
            }
            statuses
        }
    };
    if session.json {
        match (&options.target, outputs.as_slice()) {
            (Some(_), [output]) => print_json(output)?,
            _ => print_json(&outputs)?,
        }
    } else {
        let text = outputs.iter().map(describe).collect::<Vec<_>>().join("\n");
        print(&report::plain_lines(&text))?;
    }
    let healthy = outputs
        .iter()
        .all(|it| it.status.problems.is_empty() && it.missing.as_ref().is_none_or(Vec::is_empty));
    if healthy { Ok(()) } else { Err(Told.into()) }
}

fn describe(output: &Output) -> String {
    let status = &output.status;
    let mut text = if status.ports.is_empty() && status.mtu_bytes == 0 {
        let pairs = match status.pairs.len() {
            1 => "1 pair".to_owned(),
            count => format!("{count} pairs"),
        };
        format!("fabric {}: no bridge, {pairs}\n", status.fabric)
    } else {
        let fast = status.ports.iter().filter(|port| port.fast).count();
        let kind = if status.ownership == "adopted" { "bridge" } else { "fabric" };
        format!(
            "{kind} {}: datapath {}, MTU {}, fast path on {fast} of {} ports\n",
            status.fabric,
            status.datapath,
            status.mtu_bytes,
            status.ports.len()
        )
    };
    let mut table = report::new_table(&["PORT", "IFINDEX", "NETNS", "ADDRESSES", "HOOK", "FAST"]);
    report::align_right(&mut table, &[1]);
    for port in &status.ports {
        let addresses = status
            .namespaces
            .iter()
            .find(|member| Some(&member.name) == port.netns.as_ref())
            .map(|member| member.addresses.join(" "))
            .filter(|addresses| !addresses.is_empty());
        table.add_row([
            port.name.clone(),
            port.ifindex.to_string(),
            port.netns.clone().unwrap_or_else(|| "-".into()),
            addresses.unwrap_or_else(|| "-".into()),
            port.hook.map_or_else(|| "-".into(), |hook| hook.to_string()),
            if port.fast { "yes" } else { "no" }.into(),
        ]);
    }
    if !status.ports.is_empty() {
        text += &report::finish(&table);
    }
    if !status.pairs.is_empty() {
        text += &pairs_table(&status.pairs);
    }
    if status.ownership == "adopted" {
        for port in &status.ports {
            if let Some(explanation) = &port.explanation {
                text += &format!("port {} is left to the bridge: {explanation}\n", port.name);
            }
        }
        for bypass in status.bypasses.iter() {
            text += &format!("accepted (--bypass {bypass}): {}\n", bypass.explanation());
        }
    }
    for problem in &status.problems {
        text += &format!("problem: {problem}\n");
    }
    for step in output.missing.iter().flatten() {
        text += &format!("differs from the file: `veth up` would {step}\n");
    }
    text
}

fn pairs_table(pairs: &[PairStatus]) -> String {
    let mut table =
        report::new_table(&["END", "ADDRESSES", "STATE", "OTHER END", "ADDRESSES", "STATE"]);
    for PairStatus { ends } in pairs {
        let mut row = Vec::new();
        for end in [ends.first(), ends.get(1)] {
            row.extend(end.map_or_else(|| ["-"; 3].map(str::to_owned), cells));
        }
        table.add_row(row);
    }
    report::finish(&table)
}

/// What there is to say of an end: its name, its addresses, its state.
fn cells(end: &EndStatus) -> [String; 3] {
    let name = match &end.netns {
        Some(netns) => format!("{} in {netns}", end.ifname),
        None => end.ifname.clone(),
    };
    let addresses = if end.addresses.is_empty() { "-".to_owned() } else { end.addresses.join(" ") };
    let state = match (end.up, end.carrier) {
        (false, _) => "down",
        (true, false) => "no carrier",
        (true, true) => "up",
    };
    [name, addresses, state.to_owned()]
}
