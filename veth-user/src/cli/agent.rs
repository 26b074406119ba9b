//! `veth agent`

use anyhow::{Context as _, Result};
use sd_notify::NotifyState;
use serde::Serialize;

use super::{
    arguments::AgentOptions,
    session::{Session, complain, print, print_json},
};
use crate::{
    datapath, fabric,
    forwarding::FastPath,
    sync::{Agent, AgentStats, Reconciled, SyncError},
    topology::FabricName,
};

#[derive(Serialize)]
struct Round<'a> {
    fabric: &'a str,
    #[serde(flatten)]
    done: Reconciled,
    agent: AgentStats,
}

pub(super) fn run(session: &Session, options: &AgentOptions) -> Result<()> {
    let name: FabricName =
        options.name.parse().with_context(|| format!("{:?} is no fabric", options.name))?;
    fabric::require_datapath(&name)?;
    let hook = || {
        // What a fabric has can be switched while the agent runs.
        let path = datapath::pinned_path(name.as_str()).unwrap_or(FastPath::Tc);
        fabric::hook_policy(path, options.hook.map(Into::into))
    };
    session.runtime.block_on(async {
        let (mut agent, first) = Agent::start(&name, hook()?, &session.stop)?;
        tell(session, &name, first, agent.stats(), "ready")?;
        #[cfg(feature = "ebpf-log")]
        if let Some(path) = datapath::pinned_path(name.as_str())
            && let Some(program) = datapath::pinned_program(name.as_str(), path)?
        {
            datapath::print_records(program).context("read the program's records")?;
        }
        notify(&[NotifyState::Ready]);
        loop {
            let round = tokio::select! {
                round = agent.next(&session.stop, |error| {
                    complain(&format!("{name}: {error}; trying again"));
                }) => round,
                () = stopped(session) => break,
            };
            match round {
                Ok(done) if done.is_unchanged() => {}
                Ok(done) => tell(session, &name, done, agent.stats(), "followed a change")?,
                Err(SyncError::Absent(_)) => {
                    complain(&format!("fabric {name} is gone; nothing is left to do"));
                    break;
                }
                Err(error) if error.is_interrupted() => break,
                Err(SyncError::Replaced(_)) if datapath::read_meta(name.as_str())?.is_none() => {
                    complain(&format!(
                        "fabric {name} has no datapath any more; nothing is left to do"
                    ));
                    break;
                }
                Err(SyncError::Replaced(_)) => {
                    let (anew, first) = Agent::start(&name, hook()?, &session.stop)?;
                    agent = anew;
                    tell(session, &name, first, agent.stats(), "took over a new datapath")?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        notify(&[NotifyState::Stopping]);
        Ok(())
    })
}

async fn stopped(session: &Session) {
    while !session.stop.is_requested() {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

fn tell(
    session: &Session,
    fabric: &FabricName,
    done: Reconciled,
    agent: AgentStats,
    what: &str,
) -> Result<()> {
    if session.json {
        return print_json(&Round { fabric: fabric.as_str(), done, agent });
    }
    let Reconciled { ports, eligible, attached, replaced, detached, tables, .. } = done;
    print(&format!(
        "{fabric}: {what}: fast path on {eligible} of {ports} ports; {attached} attached, \
         {replaced} upgraded, {detached} detached; map entries +{} ~{} -{}\n",
        tables.added, tables.changed, tables.removed
    ))
}

/// Tells the service manager, if there is one.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        complain(&format!("notify the service manager: {error}"));
    }
}
