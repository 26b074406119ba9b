//! `veth doctor`: each cause is made with `ip`, the ping is shown to fail, the finding to name the
//! cause, and the command that it proposes to make the ping work.
//!
//! The doctor runs in a process namespace of its own, so that of other tests nothing is in sight.

mod bridge;
mod fast_path;
mod forms;
mod healthy;
mod pair;
mod same_netns;
mod trace;

use std::{collections::BTreeSet, time::Instant};

use serde_json::Value;

use crate::sandbox::{PATIENCE, Run, Sandbox, VETH, wait_until};

/// Red and blue with a pair between them, both with an address of one subnet.
const RED_BLUE: &str = "ip netns add red && ip netns add blue \
     && ip -n red link add dev eth0 type veth peer name eth0 netns blue \
     && for netns in red blue; do ip -n $netns link set dev eth0 up; done \
     && ip -n red addr add 10.0.0.1/24 dev eth0 && ip -n blue addr add 10.0.0.2/24 dev eth0";

/// A private host with something wrong in it.
struct Patient {
    sandbox: Sandbox,
}

impl Patient {
    /// Makes one with a script.
    #[track_caller]
    fn new(script: &str) -> Self {
        let sandbox = Sandbox::new();
        sandbox.sh(script);
        Self { sandbox }
    }

    /// `veth doctor ARGS`.
    fn doctor(&self, args: &[&str]) -> Run {
        let mut command = self.sandbox.command("unshare");
        command.args(["--pid", "--fork", "--mount-proc", VETH, "doctor"]).args(args);
        Run::of(command)
    }

    /// What `veth doctor --json ARGS` finds. It must not change anything, and must say by its exit
    /// status whether it found something.
    #[track_caller]
    fn findings(&self, args: &[&str]) -> Vec<Value> {
        let before = self.state_at_rest();
        let run = self.doctor(&[args, &["--json"]].concat());
        let after = self.state();
        let changed: Vec<_> = before.symmetric_difference(&after).collect();
        assert!(changed.is_empty(), "changed: {changed:#?}");
        let output = run.json();
        let findings = output["findings"].as_array().expect("findings are a list").clone();
        let is_wrong = findings.iter().any(|it| it["severity"] != "note");
        assert_eq!(output["healthy"], !is_wrong, "{output}");
        assert_eq!(run.code, i32::from(is_wrong), "{output}{}", run.stderr);
        findings
    }

    /// What is wrong, without notes.
    #[track_caller]
    fn wrong(&self, args: &[&str]) -> Vec<Value> {
        let mut findings = self.findings(args);
        findings.retain(|it| it["severity"] != "note");
        findings
    }

    /// Everything about the network that a doctor could have changed, and that does not change by
    /// itself, a line each.
    fn state(&self) -> BTreeSet<String> {
        let look = "ip -d link; ip addr; ip route show table all; ip rule; bridge -d link; \
                    bridge fdb | grep -w permanent; nft list ruleset; tc qdisc; \
                    cd /proc/sys/net; \
                    grep -s ^ ipv4/ip_forward ipv[46]/conf/*/* ipv[46]/neigh/*/* bridge/*";
        let text = self.sandbox.sh(&format!(
            "for netns in . $(ls /run/netns); do inside=\"ip netns exec $netns\"; \
             test $netns = . && inside=; $inside sh -c \"{look}\" 2>&1 | sed \"s/^/$netns: /\"; done"
        ));
        // What the kernel does with addresses of the link and with carriers, it does when it likes.
        let is_own_making = |line: &&str| {
            ["fe80::", "ff00::", "33:33:"].iter().any(|beginning| line.contains(beginning))
        };
        let words = |line: &str| {
            let line = line.replace("NO-CARRIER,", "").replace(",LOWER_UP", "");
            let has_timers = line.contains("_timer");
            let is_state = |word: &str| {
                ["UP", "DOWN", "LOWERLAYERDOWN", "UNKNOWN", "tentative"].contains(&word)
            };
            let is_time = |word: &&str| has_timers && word.contains('.');
            let words = line.split_whitespace().filter(|word| !is_state(word) && !is_time(word));
            words.collect::<Vec<_>>().join(" ")
        };
        text.lines().filter(|line| !is_own_making(line)).map(words).collect()
    }

    /// The state, when it has come to rest.
    fn state_at_rest(&self) -> BTreeSet<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = self.state();
        loop {
            let state = self.state();
            let changed: Vec<_> = before.symmetric_difference(&state).collect();
            if changed.is_empty() {
                return state;
            }
            assert!(Instant::now() < deadline, "does not come to rest: {changed:#?}");
            before = state;
        }
    }

    /// Whether a ping from a namespace gets an answer; an empty name is the host. Arguments of
    /// `ping` come with the address.
    fn pings(&self, from: &str, to: &str) -> bool {
        let inside = if from.is_empty() { String::new() } else { format!("ip netns exec {from} ") };
        let script = format!("{inside}ping -n -q -c 1 -W 1 {to} >/dev/null 2>&1; echo $?");
        self.sandbox.sh(&script) == "0\n"
    }

    /// Runs what the findings propose, each command once.
    #[track_caller]
    fn treat(&self, findings: &[Value]) {
        let mut done: Vec<&str> = Vec::new();
        for finding in findings {
            let remedy = finding["remedy"].as_str().expect("there is something to do");
            if !done.contains(&remedy) {
                self.sandbox.sh(remedy);
                done.push(remedy);
            }
        }
    }

    /// Fails the test unless the doctor comes to find nothing: neighbours have to be found again.
    #[track_caller]
    fn is_silent(&self, args: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let findings = self.findings(args);
            if findings.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{findings:#?}");
        }
    }

    /// The ping fails, the doctor names the causes and nothing else, what it proposes makes the
    /// ping work, and then it is silent.
    #[track_caller]
    fn is_cured(&self, (from, to): (&str, &str), args: &[&str], expected: &[&str]) -> Vec<Value> {
        assert!(!self.pings(from, to), "the ping works before anything was done");
        let findings = self.wrong(args);
        assert_eq!(codes(&findings), expected, "{findings:#?}");
        for finding in &findings {
            assert!(finding["cause"].as_str().is_some_and(|it| !it.is_empty()), "{finding}");
            assert!(!finding["evidence"].as_array().expect("a list").is_empty(), "{finding}");
        }
        self.treat(&findings);
        wait_until("the ping to work", || self.pings(from, to));
        self.is_silent(args);
        findings
    }
}

/// The codes of findings, in order.
fn codes(findings: &[Value]) -> Vec<&str> {
    findings.iter().map(|it| it["code"].as_str().expect("every finding has a code")).collect()
}
