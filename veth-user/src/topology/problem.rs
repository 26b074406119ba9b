//! What is wrong with a topology file: every problem with the path of the key it is about.
//!
//! Also how keys and values are written in messages, so that each problem stays on one line
//! whatever the file holds.

use std::fmt::{self, Write as _};

/// Characters of a value that a message repeats.
const QUOTE_CHARS: usize = 64;

/// One thing that is wrong with a topology file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct Problem {
    /// The key, as in `netns[1].addresses[0]`; for a syntax error, the place in the text.
    pub path: String,
    /// What is wrong with it, and what to do.
    pub message: String,
}

/// Everything that is wrong with a topology file. Never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// `outcome` if nothing was found, and what was found otherwise.
    ///
    /// An outcome is only missing for a reason that was found.
    pub(super) fn of<T>(outcome: Option<T>, findings: Findings) -> Result<T, Self> {
        match outcome {
            Some(outcome) if findings.0.is_empty() => Ok(outcome),
            _ => Err(Self(findings.0)),
        }
    }

    /// Each problem: first those of form (syntax, keys, types), then those of content, both in
    /// the order of the file, then those between entries.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_char('\n')?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Problem>);

impl Findings {
    /// Notes a problem with the key at `path`.
    pub(super) fn add(&mut self, path: impl Into<String>, message: impl fmt::Display) {
        self.0.push(Problem { path: path.into(), message: message.to_string() });
    }

    /// The value, or `None` once its error is noted.
    pub(super) fn keep<T, E: fmt::Display>(
        &mut self,
        path: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.add(path, error)).ok()
    }
}

/// `text` in quotes, with control characters escaped and a long tail cut off.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTE_CHARS) {
        None => format!("{text:?}"),
        Some((end, _)) => format!("{:?}...", &text[..end]),
    }
}

/// The path of `key` in the table at `parent`; quoted where TOML wants it quoted.
pub(super) fn key_path(parent: &str, key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let key = if !key.is_empty() && key.len() <= QUOTE_CHARS && key.bytes().all(is_bare) {
        key.to_owned()
    } else {
        quote(key)
    };
    if parent.is_empty() { key } else { format!("{parent}.{key}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_print_one_on_a_line() {
        let mut findings = Findings::default();
        findings.add("name", "is missing");
        findings.add(key_path("netns[0]", "a\nb"), format!("{} is odd", quote("x\ny")));
        let problems = Problems::of(Some(()), findings).expect_err("must be refused");
        assert_eq!(problems.to_string(), "name: is missing\nnetns[0].\"a\\nb\": \"x\\ny\" is odd");
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(quote(&"é".repeat(64)).chars().count(), 66);
        assert_eq!(quote(&"é".repeat(100_000)).chars().count(), 69);
        assert!(key_path("", &"k".repeat(100_000)).len() < 80);
    }
}
