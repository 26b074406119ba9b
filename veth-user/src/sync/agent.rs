//! The agent: reconciles whenever something changed.

use std::{ops::AddAssign, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{HookPolicy, Keeping, Reconciled, Reconciler, Scope, SyncError};
use crate::{
    Stop,
    lock::FabricLock,
    netlink::{Event, Monitor},
    topology::FabricName,
};

/// How long to gather events before looking: a port that comes or goes makes a handful of them,
/// and the first of them must not wait longer than this for the last.
const GATHER: Duration = Duration::from_millis(10);

/// How often to look at everything, whatever was heard. That is for what no event tells, like programs
/// at tcx hooks.
const AUDIT: Duration = Duration::from_secs(30);

/// The least time between two such looks.
const AUDIT_MIN: Duration = Duration::from_millis(200);

/// How often to read maps that only this process should write to.
const REREAD: Duration = Duration::from_mins(5);

/// How often leases are renewed: often enough that two renewals may be late.
const RENEWAL: Duration = Duration::from_secs(1);

/// The longest rest after a round. One that took much longer was stopped in between, and leases are renewed
/// meanwhile.
const REST_MAX: Duration = Duration::from_millis(250);

/// How long to wait before trying again what failed: at first, and at most.
const RETRY: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What an agent has seen and done since it started.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct AgentStats {
    /// Netlink messages about links and forwarding entries.
    pub events: u64,
    /// Times when messages were lost, and everything was looked at again.
    pub overruns: u64,
    /// Looks at the bridge.
    pub rounds: u64,
    /// Rounds that failed and were tried again.
    pub failures: u64,
}

impl AddAssign for AgentStats {
    fn add_assign(&mut self, other: Self) {
        let Self { events, overruns, rounds, failures } = other;
        self.events += events;
        self.overruns += overruns;
        self.rounds += rounds;
        self.failures += failures;
    }
}

/// Keeps one fabric true.
pub struct Agent {
    fabric: FabricName,
    reconciler: Reconciler,
    monitor: Monitor,
    stats: watch::Sender<AgentStats>,
    /// Until when the next round because of events has to wait, after the last one.
    rested: Instant,
    /// What was heard and not looked at yet, and until when to wait for more.
    heard: Option<(Scope, Instant)>,
    /// When everything was last looked at.
    audited: Instant,
    /// When the maps were last read for no reason.
    read: Instant,
    /// The right to keep a bridge of somebody else's.
    _keeper: Option<FabricLock>,
    /// When leases are to be renewed; `None` where they have no end.
    renewal: Option<Instant>,
}

impl Agent {
    /// Subscribes, then brings the fabric to what its bridge is: nothing that changes in between
    /// goes unseen. Needs a tokio runtime.
    ///
    /// # Errors
    ///
    /// When there is no such fabric, or the kernel refuses something.
    pub fn start(
        fabric: &FabricName,
        hook: HookPolicy,
        keeping: Keeping,
        stop: &Stop,
    ) -> Result<(Self, Reconciled), SyncError> {
        let keeper = match keeping {
            Keeping::Managed => None,
            Keeping::Adopted { .. } => Some(FabricLock::acquire_keeping(fabric.as_str())?),
        };
        let monitor = Monitor::subscribe()?;
        let _lock = FabricLock::acquire(fabric.as_str(), stop, &mut || {})?;
        let mut reconciler = Reconciler::start(fabric, hook, keeping)?;
        let first = reconciler.reconcile(stop)?;
        let stats = watch::Sender::new(AgentStats::default());
        let fabric = fabric.clone();
        let renewal = (keeping != Keeping::Managed).then(|| Instant::now() + RENEWAL);
        let now = Instant::now();
        let agent = Self {
            fabric,
            reconciler,
            monitor,
            stats,
            rested: now,
            heard: None,
            audited: now,
            read: now,
            _keeper: keeper,
            renewal,
        };
        Ok((agent, first))
    }

    /// What it has seen and done so far.
    pub fn stats(&self) -> AgentStats {
        *self.stats.borrow()
    }

    /// The same for whoever looks while the agent is at work. The last figures stay when it ends.
    pub fn watch(&self) -> watch::Receiver<AgentStats> {
        self.stats.subscribe()
    }

    /// Waits until something changes, and follows it.
    ///
    /// Dropping the future is safe: a round runs to its end or has not begun.
    ///
    /// # Errors
    ///
    /// When the fabric or its datapath is gone. Other failures are handed to `failed`, and tried
    /// again.
    pub async fn next(
        &mut self,
        stop: &Stop,
        mut failed: impl FnMut(&SyncError),
    ) -> Result<Reconciled, SyncError> {
        // Four looks before the bridge forgets what it does not see.
        let audit = self.reconciler.ageing().map_or(AUDIT, |ageing| AUDIT.min(ageing / 4));
        let heard = self.wait(self.audited + audit.max(AUDIT_MIN)).await?;
        let is_heard = heard.is_some();
        let mut scope = heard.unwrap_or(Scope::Everything);
        let mut pause = RETRY;
        let mut told = None;
        loop {
            self.stats.send_modify(|stats| stats.rounds += 1);
            match self.round(scope, is_heard, stop) {
                Ok(done) => return Ok(done),
                Err(error @ (SyncError::Absent(_) | SyncError::Replaced(_))) => return Err(error),
                Err(error) if error.is_interrupted() => return Err(error),
                Err(error) => {
                    self.stats.send_modify(|stats| stats.failures += 1);
                    let text = error.to_string();
                    if told.as_ref() != Some(&text) {
                        failed(&error);
                        told = Some(text);
                    }
                }
            }
            // What a round that failed has seen is not to be relied on, and this future may be dropped.
            self.heard = Some((Scope::Everything, Instant::now()));
            tokio::time::sleep(pause).await;
            pause = RETRY_MAX.min(pause * 2);
            (scope, self.heard) = (Scope::Everything, None);
        }
    }

    /// One look, while no other process works on the fabric.
    fn round(
        &mut self,
        scope: Scope,
        is_heard: bool,
        stop: &Stop,
    ) -> Result<Reconciled, SyncError> {
        let _lock = FabricLock::acquire(self.fabric.as_str(), stop, &mut || {})?;
        let started = Instant::now();
        if scope == Scope::Everything {
            self.audited = started;
        }
        let round = self.reconciler.follow(scope, stop);
        if is_heard {
            // Under a storm of events at most half of a CPU goes into looking.
            self.rested = Instant::now() + started.elapsed().min(REST_MAX);
        }
        round
    }

    /// Waits for an event and those that come with it, and says what they are about; or until `audit`,
    /// or there is another reason to look at everything.
    async fn wait(&mut self, audit: Instant) -> Result<Option<Scope>, SyncError> {
        let mut events = Vec::new();
        loop {
            let deadline = self.heard.as_ref().map_or(audit, |(_, until)| audit.min(*until));
            let renewal = self.renewal.unwrap_or(deadline);
            tokio::select! {
                heard = self.monitor.next(&mut events) => heard?,
                () = sleep_until(deadline.min(renewal)) => {}
            }
            if !events.is_empty() {
                let overruns = events.iter().filter(|event| **event == Event::Overrun).count();
                self.stats.send_modify(|stats| {
                    stats.events += events.len() as u64;
                    stats.overruns += overruns as u64;
                });
                let until = self.rested.max(Instant::now() + GATHER);
                let (scope, _) = self.heard.get_or_insert((Scope::nothing(), until));
                events.drain(..).for_each(|event| scope.add(event));
            }
            if self.renewal.is_some() && Instant::now() >= renewal {
                self.renewal = Some(Instant::now() + RENEWAL);
                // What failed is tried again, and told of, by a look.
                if let Some(due) = self.reconciler.renew().unwrap_or(Some(Scope::Everything)) {
                    let (scope, until) =
                        self.heard.get_or_insert((Scope::nothing(), Instant::now()));
                    scope.merge(due);
                    *until = Instant::now();
                }
            }
            if Instant::now() >= audit {
                if self.heard.take().is_none() && self.read.elapsed() > REREAD {
                    self.read = Instant::now();
                    self.reconciler.suspect();
                }
                return Ok(None);
            }
            if let Some((scope, _)) = self.heard.take_if(|(_, until)| Instant::now() >= *until) {
                return Ok(Some(scope));
            }
        }
    }
}
