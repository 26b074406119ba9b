//! `veth attach` and `veth detach`

mod arguments;
mod unit;

use std::time::Duration;

use anyhow::{Context as _, Result};
use sd_notify::NotifyState;
use serde::Serialize;

use super::{
    keep::{End, keep, notify},
    metrics,
    session::{Session, complain, print, print_json, say},
};
use crate::{
    Stop, datapath,
    fabric::{self, FabricError},
    forwarding::{FastPath, eligibility},
    netns, report,
    sync::{Keeping, Reconciled},
    topology::FabricName,
    view::{Bypass, Bypasses},
};

pub(super) use arguments::{AttachOptions, DetachOptions};

/// How often to look whether a bridge that is gone is back.
const RETURN: Duration = Duration::from_millis(250);

/// What `--dry-run` tells.
#[derive(Serialize)]
struct Survey<'a> {
    bridge: &'a str,
    /// What the fast path would pass by on the way through the whole bridge, and was not accepted.
    refused: Bypasses,
    bypasses: Bypasses,
    ports: Vec<SurveyedPort<'a>>,
}

#[derive(Serialize)]
struct SurveyedPort<'a> {
    name: &'a str,
    ifindex: u32,
    fast: bool,
    reason: Option<&'static str>,
    explanation: Option<String>,
}

/// What `--once` tells.
#[derive(Serialize)]
struct Attached<'a> {
    bridge: &'a str,
    #[serde(flatten)]
    done: Reconciled,
}

#[derive(Serialize)]
struct Detached<'a> {
    bridge: &'a str,
    had_datapath: bool,
}

pub(super) fn attach(session: &Session, options: &AttachOptions) -> Result<()> {
    let name = parse(&options.bridge)?;
    let allowed: Bypasses = options.bypass.iter().copied().collect();
    if options.unit {
        return print(&unit::text(&name, options)?);
    }
    if let Some(dir) = &options.install {
        return unit::install(session, dir, &name, options);
    }
    if options.dry_run {
        return survey(session, &name, allowed);
    }
    session.runtime.block_on(follow(session, &name, options, allowed))
}

pub(super) fn detach(session: &Session, options: &DetachOptions) -> Result<()> {
    let name = parse(&options.bridge)?;
    let had_datapath = fabric::release(&name, &session.stop)?;
    if session.json {
        return print_json(&Detached { bridge: name.as_str(), had_datapath });
    }
    print(&if had_datapath {
        format!("bridge {name}: the fast path is detached; the bridge forwards\n")
    } else {
        format!("bridge {name}: nothing was attached\n")
    })
}

/// Attaches, keeps the maps true, and detaches when asked to stop. A bridge that goes and comes back,
/// as podman's do with their first and last container, is attached to anew.
async fn follow(
    session: &Session,
    name: &FabricName,
    options: &AttachOptions,
    allowed: Bypasses,
) -> Result<()> {
    warn_of_hidden_pins(name)?;
    let hook = options.hook.map(Into::into);
    let feed = match options.metrics {
        Some(address) => Some(metrics::start(address, name).await?),
        None => None,
    };
    let mut may_be_absent = options.wait;
    loop {
        match fabric::survey(name, allowed) {
            Ok(view) => fabric::require_adoptable(&view)?,
            Err(FabricError::NoSuchBridge(_)) if may_be_absent => {
                // A service has begun when it waits, or nothing that starts after it ever would.
                notify(&[NotifyState::Ready]);
                if !is_back(session, name).await? {
                    break;
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        if options.once {
            let policy = fabric::hook_policy(FastPath::Tc, hook)?;
            let done = fabric::attach(name, policy, Keeping::Adopted { allowed }, &session.stop)?;
            if session.json {
                return print_json(&Attached { bridge: name.as_str(), done });
            }
            return print(&format!(
                "{name}: fast path on {} of {} ports; it ends within seconds unless `veth agent \
                 {name}` keeps it\n",
                done.eligible, done.ports
            ));
        }
        match keep(session, name, hook, Keeping::Adopted { allowed }, feed.as_ref()).await? {
            End::Stopped => break,
            End::BridgeGone => {
                say(&format!("bridge {name} is gone; waiting for it to come back"));
                release(name)?;
                may_be_absent = true;
            }
            End::DatapathGone => {
                complain(&format!("bridge {name} was detached; nothing is left to do"));
                return Ok(());
            }
        }
    }
    notify(&[NotifyState::Stopping]);
    release(name)?;
    say(&format!("bridge {name}: the fast path is detached; the bridge forwards"));
    Ok(())
}

/// Warns when the pins would be in a file system that nobody else sees: `ip netns exec` hides the one of
/// the machine.
fn warn_of_hidden_pins(bridge: &FabricName) -> Result<()> {
    if datapath::is_mounted() {
        return Ok(());
    }
    if let Some(name) = netns::entered_by_exec()? {
        complain(&format!(
            "what is pinned here is in no other process's sight, as `ip netns exec` hides the BPF file \
             system of the machine: `veth status` and `veth detach` will not find it. Better: nsenter \
             --net=/run/netns/{name} veth attach {bridge}"
        ));
    }
    Ok(())
}

/// Waits for the bridge; false when it is time to stop.
async fn is_back(session: &Session, name: &FabricName) -> Result<bool> {
    while !session.stop.is_requested() {
        if fabric::is_there(name)? {
            return Ok(true);
        }
        tokio::time::sleep(RETURN).await;
    }
    Ok(false)
}

/// Detaches, whatever became of the bridge. The wish to stop is why, and must not stop this.
fn release(name: &FabricName) -> Result<()> {
    match fabric::release(name, &Stop::new()) {
        Err(FabricError::NoSuchBridge(_)) => Ok(()),
        result => result.map(drop).map_err(Into::into),
    }
}

fn survey(session: &Session, name: &FabricName, allowed: Bypasses) -> Result<()> {
    let view = fabric::survey(name, allowed)?;
    let ports = view.ports.iter().map(|port| {
        let reason = eligibility(&view, port, FastPath::Tc).err();
        SurveyedPort {
            name: &port.link.name,
            ifindex: port.link.ifindex.0,
            fast: reason.is_none(),
            reason: reason.map(crate::forwarding::Ineligible::name),
            explanation: reason.map(|reason| reason.to_string()),
        }
    });
    let survey = Survey {
        bridge: name.as_str(),
        refused: view.bypassed.except(allowed),
        bypasses: allowed,
        ports: ports.collect(),
    };
    if session.json {
        print_json(&survey)?;
    } else {
        print(&report::plain_lines(&describe(&survey)))?;
    }
    Ok(fabric::require_adoptable(&view)?)
}

fn describe(survey: &Survey<'_>) -> String {
    let fast = survey.ports.iter().filter(|port| port.fast).count();
    let mut text = format!(
        "bridge {}: the fast path would serve {fast} of {} ports\n",
        survey.bridge,
        survey.ports.len()
    );
    let mut table = report::new_table(&["PORT", "IFINDEX", "FAST", "WHY NOT"]);
    report::align_right(&mut table, &[1]);
    for port in &survey.ports {
        table.add_row([
            port.name.to_owned(),
            port.ifindex.to_string(),
            if port.fast { "yes" } else { "no" }.into(),
            port.explanation.clone().unwrap_or_default(),
        ]);
    }
    if !survey.ports.is_empty() {
        text += &report::finish(&table);
    }
    text
}

fn parse(bridge: &str) -> Result<FabricName> {
    bridge.parse().with_context(|| format!("{bridge:?} is no bridge that can be attached to"))
}

/// An argument of `--bypass`.
pub(super) fn bypass(text: &str) -> Result<Bypass, String> {
    text.parse::<Bypass>().map_err(|error| error.to_string())
}
