//! Whether two runs are like for like.

use std::fmt::Display;

use super::Change;
use crate::results::{MIN_ROUNDS, Machine, Results, Settings};

/// What is different about how and where `before` and `after` were measured, apart from the
/// release, whose difference is what a comparison is for.
pub(super) fn differences(before: &Results, after: &Results) -> Vec<String> {
    let mut found = Differences::default();
    found.machine(&before.machine, &after.machine);
    found.settings(&before.settings, &after.settings);
    for (results, which) in [(before, "before"), (after, "after")] {
        if !results.finished {
            found
                .notes
                .push(format!("the run {which} ended early: it has fewer rounds than asked"));
        }
    }
    found.notes
}

/// The cells of `changes` that have too few rounds for a difference, if there are any.
pub(super) fn too_few_rounds(
    before: &Results,
    after: &Results,
    changes: &[Change],
) -> Option<String> {
    let rounds = |results: &Results, change: &Change| {
        let cell = results.cells.iter().find(|cell| cell.name() == change.cell);
        cell.map_or(0, |cell| cell.rounds.len())
    };
    let is_few = |change: &&Change| rounds(before, change).min(rounds(after, change)) < MIN_ROUNDS;
    match changes.iter().filter(is_few).count() {
        0 => None,
        count => Some(format!(
            "{count} of {} cells have fewer than {MIN_ROUNDS} rounds, so no difference is claimed \
             there; measure again with --rounds 10",
            changes.len()
        )),
    }
}

#[derive(Default)]
struct Differences {
    notes: Vec<String>,
}

impl Differences {
    fn machine(&mut self, before: &Machine, after: &Machine) {
        // In full, so that what is added to a machine is compared as well.
        let Machine {
            kernel,
            cpu,
            cpus,
            hypervisor,
            clock,
            governor,
            mitigations,
            // What the run had is among its settings.
            bridge_netfilter: _,
        } = before;
        self.add("kernel", kernel, &after.kernel);
        self.add("CPU model", cpu, &after.cpu);
        self.add("CPUs", cpus, &after.cpus);
        self.add("hypervisor", known(hypervisor.as_ref()), known(after.hypervisor.as_ref()));
        self.add("clock source", known(clock.as_ref()), known(after.clock.as_ref()));
        self.add("frequency governor", known(governor.as_ref()), known(after.governor.as_ref()));
        self.mitigations(mitigations, &after.mitigations);
    }

    fn settings(&mut self, before: &Settings, after: &Settings) {
        let Settings {
            // More rounds only make the interval narrower.
            rounds: _,
            round_ms,
            warmup_ms,
            baseline,
            client_cpu,
            server_cpu,
            payload_bytes,
            frame_bytes,
            flows,
            batch_frames,
            ipv6,
            bridge_netfilter,
        } = before;
        self.add("ms of each round", round_ms, &after.round_ms);
        self.add("ms of warm-up", warmup_ms, &after.warmup_ms);
        self.add("baseline", baseline, &after.baseline);
        self.add("client's CPU", client_cpu, &after.client_cpu);
        self.add("server's CPU", server_cpu, &after.server_cpu);
        self.add("bytes of payload", payload_bytes, &after.payload_bytes);
        self.add("bytes of a frame", frame_bytes, &after.frame_bytes);
        self.add("flows", flows, &after.flows);
        self.add("frames of a batch", batch_frames, &after.batch_frames);
        self.add("IPv6", on(*ipv6), on(after.ipv6));
        self.add("bridge netfilter", on(*bridge_netfilter), on(after.bridge_netfilter));
    }

    /// Only those whose state is not the same: the whole list would fill the screen.
    fn mitigations(&mut self, before: &[(String, String)], after: &[(String, String)]) {
        let state = |of: &[(String, String)], name: &str| {
            let found = of.iter().find(|(other, _)| other == name);
            found.map_or_else(|| "none".to_owned(), |(_, state)| state.clone())
        };
        let is_new = |name: &&String| !before.iter().any(|(other, _)| other == *name);
        let names = before.iter().map(|(name, _)| name);
        for name in names.chain(after.iter().map(|(name, _)| name).filter(is_new)) {
            self.add(&format!("mitigation of {name}:"), &state(before, name), &state(after, name));
        }
    }

    fn add<T: PartialEq + Display + ?Sized>(&mut self, what: &str, before: &T, after: &T) {
        if before != after {
            self.notes.push(format!("not like for like: {what} {before} before, {after} after"));
        }
    }
}

fn known(name: Option<&String>) -> &str {
    name.map_or("unknown", String::as_str)
}

const fn on(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{
        Comparison, Workload,
        samples::{cell, results},
    };

    #[test]
    fn runs_of_different_releases_and_lengths_are_like_for_like() {
        let before = results(vec![]);
        let mut after = before.clone();
        after.release = "0.2.0".into();
        after.started_at_s += 1;
        after.settings.rounds += 10;
        assert_eq!(differences(&before, &after), Vec::<String>::new());
    }

    #[test]
    fn each_difference_has_its_line() {
        let before = results(vec![]);
        let mut after = before.clone();
        after.machine.kernel = "6.1.0".into();
        after.machine.governor = Some("powersave".into());
        after.settings.bridge_netfilter = true;
        after.settings.round_ms = 1000;
        after.settings.server_cpu = 2;
        after.settings.ipv6 = true;
        after.finished = false;
        let notes = differences(&before, &after);
        assert_eq!(
            notes,
            [
                "not like for like: kernel 6.12.30 before, 6.1.0 after",
                "not like for like: frequency governor unknown before, powersave after",
                "not like for like: ms of each round 500 before, 1000 after",
                "not like for like: server's CPU 1 before, 2 after",
                "not like for like: IPv6 off before, on after",
                "not like for like: bridge netfilter off before, on after",
                "the run after ended early: it has fewer rounds than asked",
            ]
        );
    }

    #[test]
    fn mitigations_that_are_the_same_are_not_told() {
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, state)| ((*name).into(), (*state).into())).collect()
        };
        let (mut before, mut after) = (results(vec![]), results(vec![]));
        before.machine.mitigations = pairs(&[("meltdown", "PTI"), ("retbleed", "IBRS")]);
        after.machine.mitigations = pairs(&[("retbleed", "IBRS"), ("srso", "Safe RET")]);
        assert_eq!(
            differences(&before, &after),
            [
                "not like for like: mitigation of meltdown: PTI before, none after",
                "not like for like: mitigation of srso: none before, Safe RET after",
            ]
        );
    }

    #[test]
    fn too_few_rounds_are_counted() {
        let run = results(vec![
            cell(Workload::TcpRr, "bridge", &[1.0; 8]),
            cell(Workload::TcpRr, "tc", &[1.0; 7]),
        ]);
        let notes = Comparison::of(&run, &run).notes;
        assert!(notes.len() == 1 && notes[0].starts_with("1 of 2 cells"), "{notes:?}");
    }
}
