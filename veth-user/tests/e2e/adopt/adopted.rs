//! A bridge that somebody else made, with `veth` beside it.

use std::{
    fmt,
    fs::File,
    process::{Child, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use veth_common::{VERDICT_COUNT, Verdict};

use crate::{
    sandbox::{Sandbox, wait_until},
    traffic::totals::verdicts,
};

/// An adopted bridge, and the process that keeps its maps true.
pub(crate) struct Adopted<'a> {
    sandbox: &'a Sandbox,
    bridge: String,
    agent: Child,
}

impl<'a> Adopted<'a> {
    /// Runs `veth attach`, and waits until the fast path is there.
    #[track_caller]
    pub(crate) fn attach(sandbox: &'a Sandbox, bridge: &str) -> Self {
        let agent = start(sandbox, "attach", bridge);
        let mut adopted = Self { sandbox, bridge: bridge.to_owned(), agent };
        adopted.wait_until_ready();
        adopted
    }

    /// Kills the process without a word.
    pub(crate) fn kill_agent(&mut self) {
        self.agent.kill().expect("can be killed");
        self.agent.wait().expect("has ended");
    }

    /// Runs `veth agent` after the last one was killed.
    pub(crate) fn start_agent(&mut self) {
        self.agent = start(self.sandbox, "agent", &self.bridge);
    }

    /// Lets the process go on that was stopped, or runs `veth agent` when it was killed.
    pub(crate) fn resume_agent(&mut self) {
        if self.agent.try_wait().expect("can be looked at").is_some() {
            self.start_agent();
        } else {
            self.signal_agent(Signal::SIGCONT);
        }
    }

    /// Sends the process a signal.
    pub(crate) fn signal_agent(&self, signal: Signal) {
        kill(self.agent_pid(), signal).expect("it runs");
    }

    /// Its process id: `nsenter` becomes `veth`.
    pub(crate) fn agent_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.agent.id()).expect("a process id is positive"))
    }

    /// Whether every port of the bridge that is up takes part in the fast path.
    pub(crate) fn is_fast(&self) -> bool {
        let run = self.sandbox.veth(&["status", &self.bridge, "--json"]);
        let Ok(status) = serde_json::from_str::<Value>(&run.stdout) else { return false };
        let ports = status["ports"].as_array();
        ports.is_some_and(|ports| !ports.is_empty() && ports.iter().all(|it| it["fast"] == true))
    }

    /// What verdicts have counted so far, over all ports.
    #[track_caller]
    pub(crate) fn counted(&self) -> Counted {
        let stats = self.sandbox.stats(&self.bridge);
        let mut frames = [0; VERDICT_COUNT];
        for port in stats["ports"].as_array().expect("stats have ports") {
            let port = port["name"].as_str().expect("a port has a name");
            for (verdict, counter) in verdicts(&stats, port) {
                frames[verdict as usize] += counter.frames;
            }
        }
        Counted(frames)
    }

    /// Takes everything off the bridge.
    #[track_caller]
    pub(crate) fn detach(mut self) {
        self.sandbox.veth(&["detach", &self.bridge]).ok();
        wait_until("the agent to end with what it kept true", || {
            self.agent.try_wait().expect("can be looked at").is_some()
        });
    }

    /// How often events came faster than the processes took them, as far as they said so.
    pub(crate) fn overruns(&self) -> u64 {
        let said = self.said();
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let (mut total, mut before) = (0, 0);
        for now in lines.filter_map(|line| line["agent"]["overruns"].as_u64()) {
            // Each process counts anew.
            total += now.checked_sub(before).unwrap_or(now);
            before = now;
        }
        total
    }

    /// What the process has printed, for somebody who has to find out why a test failed.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(self.sandbox.file_path(LOG)).expect("it has a log")
    }

    #[track_caller]
    fn wait_until_ready(&mut self) {
        wait_until("the adopted bridge to be served", || {
            let ended = self.agent.try_wait().expect("can be looked at");
            assert!(ended.is_none(), "veth ended: {}", self.said());
            self.is_fast()
        });
    }
}

impl Drop for Adopted<'_> {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

/// Where the process prints to. Nobody reads along, and a pipe would fill.
const LOG: &str = "agent.log";

fn start(sandbox: &Sandbox, command: &str, bridge: &str) -> Child {
    let path = sandbox.file_path(LOG);
    let log = File::options().create(true).append(true).open(path).expect("is writable");
    sandbox
        .veth_command(&[command, bridge, "--json"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file can be shared"))
        .stderr(log)
        .spawn()
        .expect("veth starts")
}

/// Frames by verdict.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted([u64; VERDICT_COUNT]);

impl Counted {
    pub(crate) fn of(&self, verdict: Verdict) -> u64 {
        self.0[verdict as usize]
    }

    /// What was added since `earlier`; ports that went away take theirs with them.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let mut added = self.0;
        for (now, then) in added.iter_mut().zip(earlier.0) {
            *now = now.saturating_sub(then);
        }
        Self(added)
    }

    /// The frames that one station sent to another one, whatever became of them.
    pub(crate) fn between_stations(&self) -> u64 {
        let elsewhere = [Verdict::Broadcast, Verdict::Multicast, Verdict::DestinationLocal];
        self.0.iter().sum::<u64>() - elsewhere.iter().map(|it| self.of(*it)).sum::<u64>()
    }
}

impl fmt::Debug for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = Verdict::ALL.into_iter().filter(|it| self.of(*it) > 0);
        f.debug_map().entries(counted.map(|it| (it.name(), self.of(it)))).finish()
    }
}
