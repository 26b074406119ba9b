//! `cargo xtask tidy`: the invariants of the repository that a machine can check. Each rule is a
//! function from files to findings, so that its test is a small fixture. What the rules protect is
//! explained in ARCHITECTURE.md.

mod confine;
mod documents;
mod files;
mod layers;
mod manifests;
mod source;
mod unsafety;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

/// The only files that may say `unsafe`. A new one needs a reason in review.
const UNSAFE_FILES: &[&str] = &[
    "veth-common/src/pod.rs",
    "veth-ebpf/src/bin/veth-bench.rs",
    "veth-ebpf/src/bin/veth-tc.rs",
    "veth-ebpf/src/bin/veth-xdp.rs",
    "veth-ebpf/src/capture.rs",
    "veth-ebpf/src/pairs.rs",
    "veth-ebpf/src/maps.rs",
    "veth-ebpf/src/packet.rs",
    "veth-ebpf/src/skb.rs",
    "veth-ebpf/src/xdp.rs",
];

/// A text file of the repository.
#[derive(Debug)]
struct File {
    /// Relative to the root, with `/`.
    path: String,
    text: String,
}

/// A rule that does not hold, and where.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// Counted from one; zero means the file as a whole.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, message } = self;
        if *line == 0 {
            write!(f, "{path}: {message}")
        } else {
            write!(f, "{path}:{line}: {message}")
        }
    }
}

pub(crate) fn main(root: &Path) -> Result<ExitCode> {
    let files = files::read_all(root)?;
    let findings = check(&files);
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        println!("tidy: {} files, nothing to complain about", files.len());
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("error: tidy found {} violations in {} files", findings.len(), files.len());
    Ok(ExitCode::FAILURE)
}

fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        findings.extend(files::check_name(file));
        if is_rust(&file.path) {
            findings.extend(files::check_header(file));
            findings.extend(files::check_length(file));
            let code = source::blank_comments_and_strings(&file.text);
            findings.extend(confine::check(&file.path, &code));
            findings.extend(layers::check(&file.path, &code));
            findings.extend(unsafety::check(file, &code, UNSAFE_FILES));
        }
    }
    findings.extend(unsafety::check_allow_list(files, UNSAFE_FILES));
    findings.extend(manifests::check(files));
    findings.extend(documents::check_examples(files));
    findings.extend(documents::check_links(files));
    findings
}

fn is_rust(path: &str) -> bool {
    has_extension(path, "rs")
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|it| it == extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file for the tests of the rules.
    pub(super) fn file(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_finding_reads_like_a_compiler_message() {
        assert_eq!(Finding::new("a/b.rs", 7, "no").to_string(), "a/b.rs:7: no");
        assert_eq!(Finding::new("a/b.rs", 0, "no").to_string(), "a/b.rs: no");
    }

    #[test]
    fn a_clean_file_has_no_findings() {
        let clean =
            file("veth-user/src/plan/mod.rs", "//! Plans.\n\nuse crate::topology::Topology;\n");
        assert_eq!(check(&[clean]), []);
    }
}
