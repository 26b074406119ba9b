//! What an agent tells the endpoint of its process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::{metrics::AgentSample, sync::AgentStats, topology::FabricName};

/// The figures of the agents that kept one fabric in this process, one after the other. They go on
/// when one takes the place of another.
#[derive(Clone)]
pub struct Feed {
    fabric: FabricName,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Of those that are no more.
    past: AgentStats,
    current: Option<watch::Receiver<AgentStats>>,
}

impl Feed {
    /// A feed without an agent yet.
    pub fn new(fabric: &FabricName) -> Self {
        Self { fabric: fabric.clone(), state: Arc::default() }
    }

    /// From now on, this agent keeps the fabric.
    pub fn follow(&self, agent: watch::Receiver<AgentStats>) {
        self.leave();
        self.state().current = Some(agent);
    }

    /// From now on, nobody keeps the fabric.
    pub fn leave(&self) {
        let mut state = self.state();
        if let Some(last) = state.current.take() {
            state.past += *last.borrow();
        }
    }

    /// The figures at this moment.
    pub(super) fn sample(&self) -> AgentSample {
        let state = self.state();
        let mut sum = state.past;
        if let Some(current) = &state.current {
            sum += *current.borrow();
        }
        let AgentStats { events, overruns, rounds, failures } = sum;
        AgentSample {
            fabric: self.fabric.to_string(),
            is_active: state.current.is_some(),
            events,
            overruns,
            rounds,
            failures,
        }
    }

    /// Nothing is left half done while it is held, so a panic elsewhere does no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_go_on_when_one_agent_follows_another() {
        let feed = Feed::new(&"lab".parse().expect("is a name"));
        assert!(!feed.sample().is_active);
        let first = watch::Sender::new(AgentStats { rounds: 3, ..AgentStats::default() });
        feed.follow(first.subscribe());
        first.send_modify(|stats| stats.rounds += 1);
        assert_eq!((feed.sample().rounds, feed.sample().is_active), (4, true));
        drop(first);
        assert_eq!(feed.sample().rounds, 4, "the last figures stay");
        let second = watch::Sender::new(AgentStats { rounds: 1, ..AgentStats::default() });
        feed.follow(second.subscribe());
        assert_eq!(feed.sample().rounds, 5);
        feed.leave();
        assert_eq!((feed.sample().rounds, feed.sample().is_active), (5, false));
    }
}
