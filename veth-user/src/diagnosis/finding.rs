//! A finding: what is wrong, how that is known, and what to do.

use std::fmt;

use serde::Serialize;

use super::{Code, Facts, Place, Severity};
use crate::report::plain;

/// Something that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What it is.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// A finer name, where the code has several causes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The namespace that it is in.
    pub netns: Option<Whereabouts>,
    /// The device that it is about.
    pub device: Option<String>,
    /// The cause, a sentence.
    pub cause: String,
    /// What was read, a line each.
    pub evidence: Vec<String>,
    /// A command line that changes it.
    pub remedy: Option<String>,
    /// The device that it is about.
    #[serde(skip)]
    pub place: Option<Place>,
}

/// A namespace, as a finding names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Whereabouts {
    /// What it is called.
    pub label: String,
    /// Its inode.
    pub inode: u64,
    /// Whether it is the one that was looked around from.
    pub own: bool,
}

impl Finding {
    /// A finding about a device.
    pub fn at(facts: &Facts, place: Place, code: Code, cause: impl Into<String>) -> Self {
        let netns = &facts.at(place).namespace;
        Self {
            netns: Some(Whereabouts {
                label: facts.netns_name(place.netns),
                inode: netns.inode,
                own: netns.own,
            }),
            device: facts.link(place).map(|link| link.name.clone()),
            place: Some(place),
            ..Self::new(code, cause)
        }
    }

    /// A finding about no device in particular.
    pub fn new(code: Code, cause: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            reason: None,
            netns: None,
            device: None,
            cause: cause.into(),
            evidence: Vec::new(),
            remedy: None,
            place: None,
        }
    }

    /// With something that was read.
    #[must_use]
    pub fn because(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }

    /// With what to do.
    #[must_use]
    pub fn try_this(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// As a person reads it, without the mark before it: names are others' words, and do not get to
/// move the cursor.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, cause, evidence, remedy, .. } = self;
        writeln!(f, "{} [{}]", plain(cause), code.name())?;
        for line in evidence {
            writeln!(f, "    {}", plain(line))?;
        }
        match remedy {
            Some(remedy) => writeln!(f, "  # {}", plain(remedy)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finding_reads_as_cause_evidence_and_remedy() {
        let finding = Finding::new(Code::EndDown, "eth0 in red is down")
            .because("eth0 is not UP")
            .try_this("ip -n red link set dev eth0 up");
        let text = "eth0 in red is down [end_down]\n    eth0 is not UP\n  # ip -n red link set dev eth0 up\n";
        assert_eq!(finding.to_string(), text);
    }

    #[test]
    fn names_do_not_move_the_cursor() {
        let finding = Finding::new(Code::EndDown, "a\u{1b}[2Jb");
        assert_eq!(finding.to_string(), "a?[2Jb [end_down]\n");
    }
}
