//! The committed measure of the eBPF objects, and the budget that holds a change to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::object::{Object, Program};

/// Instructions may grow by this much without `--bless`: compilers differ by a few between builds
/// of one version.
const INSTRUCTION_SLACK_PERCENT: u64 = 2;
/// Most of an object is BTF, in which paths and names count.
const SIZE_SLACK_PERCENT: u64 = 5;

/// What is committed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Baseline {
    /// The compiler that it was measured with; another one may do better or worse through no fault
    /// of ours.
    pub(super) rustc: String,
    pub(super) objects: BTreeMap<String, Measure>,
}

/// What is committed of one object.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Measure {
    pub(super) bytes: u64,
    pub(super) programs: BTreeMap<String, Program>,
}

impl Baseline {
    pub(super) fn of(rustc: &str, objects: &BTreeMap<String, Object>) -> Self {
        let measure =
            |object: &Object| Measure { bytes: object.bytes, programs: object.programs.clone() };
        let objects =
            objects.iter().map(|(name, object)| (name.clone(), measure(object))).collect();
        Self { rustc: rustc.to_owned(), objects }
    }

    pub(super) fn read(path: &Path) -> Result<Self> {
        let what = || format!("read the baseline {}", path.display());
        let text = fs::read_to_string(path).with_context(what)?;
        serde_json::from_str(&text).with_context(what)
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("write the baseline as JSON")? + "\n";
        fs::write(path, text).with_context(|| format!("write the baseline {}", path.display()))
    }

    /// Everything in which `now` is over budget, or no longer of the same shape.
    pub(super) fn judge(&self, now: &Self) -> Vec<String> {
        let mut findings = missing("object", self.objects.keys(), &now.objects);
        for (name, measure) in &now.objects {
            let Some(before) = self.objects.get(name) else {
                findings.push(format!("object {name} is not in the baseline"));
                continue;
            };
            judge_measure(name, before, measure, &mut findings);
        }
        findings
    }
}

fn judge_measure(object: &str, before: &Measure, now: &Measure, findings: &mut Vec<String>) {
    let Measure { bytes, programs } = now;
    findings.extend(over(
        &format!("{object}: size in bytes"),
        before.bytes,
        *bytes,
        SIZE_SLACK_PERCENT,
    ));
    findings.extend(missing("program", before.programs.keys(), programs));
    for (name, program) in programs {
        let Some(old) = before.programs.get(name) else {
            findings.push(format!("{object}: program {name} is not in the baseline"));
            continue;
        };
        let Program { section, instructions, stack_bytes } = program;
        if old.section != *section {
            findings
                .push(format!("{object}: {name} moved from section {} to {section}", old.section));
        }
        let what = format!("{object}: instructions of {name}");
        findings.extend(over(&what, old.instructions, *instructions, INSTRUCTION_SLACK_PERCENT));
        findings.extend(over(
            &format!("{object}: stack bytes of {name}"),
            old.stack_bytes,
            *stack_bytes,
            0,
        ));
    }
}

fn over(what: &str, before: u64, now: u64, slack_percent: u64) -> Option<String> {
    let budget = before + before * slack_percent / 100;
    (now > budget).then(|| {
        format!("{what}: {now}, and the budget is {budget} (baseline {before} + {slack_percent} %)")
    })
}

fn missing<'a, V>(
    kind: &str,
    before: impl Iterator<Item = &'a String>,
    now: &BTreeMap<String, V>,
) -> Vec<String> {
    before
        .filter(|name| !now.contains_key(*name))
        .map(|name| format!("{kind} {name} is gone"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(bytes: u64, instructions: u64, stack_bytes: u64) -> Baseline {
        let program = Program { section: "classifier".into(), instructions, stack_bytes };
        let measure = Measure { bytes, programs: BTreeMap::from([("tc_ingress".into(), program)]) };
        Baseline { rustc: "1.96.0".into(), objects: BTreeMap::from([("veth-tc".into(), measure)]) }
    }

    #[test]
    fn within_the_slack_nothing_is_found() {
        assert_eq!(baseline(1000, 500, 64).judge(&baseline(1050, 510, 64)), Vec::<String>::new());
        assert_eq!(baseline(1000, 500, 64).judge(&baseline(900, 400, 0)), Vec::<String>::new());
    }

    #[test]
    fn each_budget_is_held_by_itself() {
        for (now, word) in [
            (baseline(1051, 500, 64), "size in bytes"),
            (baseline(1000, 511, 64), "instructions of tc_ingress"),
            (baseline(1000, 500, 65), "stack bytes of tc_ingress"),
        ] {
            let findings = baseline(1000, 500, 64).judge(&now);
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert!(findings[0].contains(word), "{findings:?}");
        }
    }

    #[test]
    fn a_program_that_comes_or_goes_is_found() {
        let mut more = baseline(1000, 500, 64);
        let measure = more.objects.get_mut("veth-tc").expect("it is there");
        let program = measure.programs["tc_ingress"].clone();
        measure.programs.insert("tc_egress".into(), program);
        assert!(
            baseline(1000, 500, 64).judge(&more)[0].contains("tc_egress is not in the baseline")
        );
        assert!(more.judge(&baseline(1000, 500, 64))[0].contains("tc_egress is gone"));
    }

    #[test]
    fn the_file_format_round_trips() {
        let text = serde_json::to_string(&baseline(1, 2, 3)).expect("plain data");
        assert_eq!(serde_json::from_str::<Baseline>(&text).expect("own text"), baseline(1, 2, 3));
    }
}
