//! Keeping a bridge's fast path true, and telling about it: what `agent` and `attach` have in common.

use anyhow::Result;
use sd_notify::NotifyState;
use serde::Serialize;

use super::session::{Session, complain, print, print_json};
use crate::{
    datapath::{self, Hook},
    exposition::Feed,
    fabric,
    forwarding::FastPath,
    sync::{Agent, AgentStats, Keeping, Reconciled, SyncError},
    topology::FabricName,
};

#[derive(Serialize)]
struct Round<'a> {
    fabric: &'a str,
    #[serde(flatten)]
    done: Reconciled,
    agent: AgentStats,
}

/// Why there is nothing left to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Somebody asked to stop.
    Stopped,
    /// The bridge is gone.
    BridgeGone,
    /// The datapath was taken down.
    DatapathGone,
}

/// Keeps `name` until there is nothing left to keep, and lets `feed` know how that goes.
pub(super) async fn keep(
    session: &Session,
    name: &FabricName,
    hook: Option<Hook>,
    keeping: Keeping,
    feed: Option<&Feed>,
) -> Result<End> {
    let end = follow(session, name, hook, keeping, feed).await;
    if let Some(feed) = feed {
        feed.leave();
    }
    end
}

async fn follow(
    session: &Session,
    name: &FabricName,
    hook: Option<Hook>,
    keeping: Keeping,
    feed: Option<&Feed>,
) -> Result<End> {
    let policy = || {
        // What a fabric has can be switched while the agent runs.
        let path = datapath::pinned_path(name.as_str()).unwrap_or(FastPath::Tc);
        fabric::hook_policy(path, hook)
    };
    let (mut agent, first) = match Agent::start(name, policy()?, keeping, &session.stop) {
        Err(SyncError::Absent(_)) => return Ok(End::BridgeGone),
        Err(error) if error.is_interrupted() => return Ok(End::Stopped),
        started => started?,
    };
    let show = |agent: &Agent| {
        if let Some(feed) = feed {
            feed.follow(agent.watch());
        }
    };
    let mut teller = Teller { session, has_complained: false };
    show(&agent);
    teller.tell(name, first, agent.stats(), "ready");
    #[cfg(feature = "ebpf-log")]
    if let Some(path) = datapath::pinned_path(name.as_str())
        && let Some(program) = datapath::pinned_program(name.as_str(), path)?
    {
        use anyhow::Context as _;
        datapath::print_records(program).context("read the program's records")?;
    }
    notify(&[NotifyState::Ready]);
    loop {
        let round = tokio::select! {
            round = agent.next(&session.stop, |error| {
                complain(&format!("{name}: {error}; trying again"));
            }) => round,
            () = session.stopped() => return Ok(End::Stopped),
        };
        match round {
            Ok(done) if done.is_unchanged() => {}
            Ok(done) => teller.tell(name, done, agent.stats(), "followed a change"),
            Err(SyncError::Absent(_)) => return Ok(End::BridgeGone),
            Err(error) if error.is_interrupted() => return Ok(End::Stopped),
            Err(SyncError::Replaced(_)) if datapath::read_meta(name.as_str())?.is_none() => {
                return Ok(End::DatapathGone);
            }
            Err(SyncError::Replaced(_)) => {
                // It has the right to keep the bridge.
                drop(agent);
                let (anew, first) = Agent::start(name, policy()?, keeping, &session.stop)?;
                agent = anew;
                show(&agent);
                teller.tell(name, first, agent.stats(), "took over a new datapath");
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Prints what rounds did. The fast path is kept for the frames and not for whoever reads of it: when
/// nobody does any more (`| head`), or a disk is full, it is kept all the same.
struct Teller<'a> {
    session: &'a Session,
    /// Whether somebody was told that nothing can be printed.
    has_complained: bool,
}

impl Teller<'_> {
    fn tell(&mut self, fabric: &FabricName, done: Reconciled, agent: AgentStats, what: &str) {
        let printed = if self.session.json {
            print_json(&Round { fabric: fabric.as_str(), done, agent })
        } else {
            print(&describe(fabric, done, what))
        };
        if let Err(error) = printed
            && !self.has_complained
        {
            self.has_complained = true;
            complain(&format!("{fabric}: {error:#}; the fast path is kept without a word"));
        }
    }
}

fn describe(fabric: &FabricName, done: Reconciled, what: &str) -> String {
    let Reconciled { ports, eligible, attached, replaced, detached, tables, .. } = done;
    let left_out = match tables.left_out {
        0 => String::new(),
        count => format!("; no room for {count} stations, which are the bridge's"),
    };
    format!(
        "{fabric}: {what}: fast path on {eligible} of {ports} ports; {attached} attached, \
         {replaced} upgraded, {detached} detached; map entries +{} ~{} -{}{left_out}\n",
        tables.added, tables.changed, tables.removed
    )
}

/// Tells the service manager, if there is one.
pub(super) fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        complain(&format!("notify the service manager: {error}"));
    }
}
