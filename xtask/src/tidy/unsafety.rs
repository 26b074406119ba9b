//! `unsafe` stands in few files, and each use has its proof above it.

use super::source::{find_word, line_of};
use super::{File, Finding, is_rust, source};

/// `allowed` lists the files that may say `unsafe`.
pub(super) fn check(file: &File, code: &str, allowed: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines: Vec<&str> = file.text.lines().collect();
    for at in find_word(code, "unsafe") {
        let line = line_of(code, at);
        if !allowed.contains(&file.path.as_str()) {
            let message =
                "`unsafe` outside the files that may have it (UNSAFE_FILES in xtask's tidy)";
            findings.push(Finding::new(&file.path, line, message));
        } else if needs_proof(&code[at..]) && !has_proof(&lines, line) {
            findings.push(Finding::new(
                &file.path,
                line,
                "`unsafe` without a `// SAFETY:` in the lines above",
            ));
        }
    }
    findings
}

/// An entry that no longer says `unsafe` must leave the list, else the list grows only.
pub(super) fn check_allow_list(files: &[File], allowed: &[&str]) -> Vec<Finding> {
    let is_listed = |file: &&File| is_rust(&file.path) && allowed.contains(&file.path.as_str());
    let is_safe = |file: &&File| {
        let code = source::blank_comments_and_strings(&file.text);
        find_word(&code, "unsafe").next().is_none()
    };
    let finding = |file: &File| {
        Finding::new(&file.path, 0, "no `unsafe` here: take it off UNSAFE_FILES in xtask's tidy")
    };
    files.iter().filter(is_listed).filter(is_safe).map(finding).collect()
}

/// A block or an impl claims that something holds. A declaration (`unsafe fn`, `unsafe trait`,
/// `unsafe extern`) hands a duty to others, and an attribute such as `#[unsafe(no_mangle)]` is only
/// spelt that way.
fn needs_proof(code: &str) -> bool {
    let next = code.trim_start_matches("unsafe").trim_start();
    next.starts_with('{') || next.starts_with("impl")
}

/// Looks at the line itself, then upward over the same statement, its attributes and its comments.
fn has_proof(lines: &[&str], line: usize) -> bool {
    let mut above = lines[..line].iter().rev().map(|text| text.trim());
    if above.next().is_some_and(|own| own.contains("SAFETY:")) {
        return true;
    }
    for text in above {
        let is_comment = text.starts_with("//");
        if is_comment && text.contains("SAFETY:") {
            return true;
        }
        let is_attribute = text.starts_with("#[");
        let ends_statement = text.is_empty() || text.ends_with([';', '{', '}', ',']);
        if !is_comment && !is_attribute && ends_statement {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::*;

    const NONE: [usize; 0] = [];

    const LIST: &[&str] = &["a/pod.rs"];

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let code = source::blank_comments_and_strings(text);
        check(&file(path, text), &code, LIST).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn unsafe_outside_the_list_is_found_and_talk_of_it_is_not() {
        assert_eq!(
            lines("a/lib.rs", "// unsafe\nlet x = \"unsafe\";\n// SAFETY: no\nunsafe { f() }\n"),
            [4]
        );
    }

    #[test]
    fn a_block_or_impl_needs_its_proof_above() {
        let proven = "// SAFETY: all bits are valid,\n// and there is no padding.\n#[cfg(x)]\nunsafe impl Pod for A {}\n";
        assert_eq!(lines("a/pod.rs", proven), NONE);
        assert_eq!(lines("a/pod.rs", "let a = 1;\nunsafe impl Pod for A {}\n"), [2]);
        assert_eq!(
            lines("a/pod.rs", "// SAFETY: of another\nf();\nlet x = unsafe { g() };\n"),
            [3]
        );
    }

    #[test]
    fn a_proof_above_a_statement_of_several_lines_counts() {
        assert_eq!(
            lines("a/pod.rs", "// SAFETY: checked above.\nlet x =\n    unsafe { f() };\n"),
            NONE
        );
    }

    #[test]
    fn declarations_and_attributes_need_no_proof() {
        assert_eq!(
            lines("a/pod.rs", "pub unsafe trait Pod {}\n#[unsafe(no_mangle)]\nfn f() {}\n"),
            NONE
        );
    }

    #[test]
    fn a_listed_file_without_unsafe_is_found() {
        assert_eq!(check_allow_list(&[file("a/pod.rs", "//! Safe.\n")], LIST).len(), 1);
        assert_eq!(check_allow_list(&[file("a/pod.rs", "unsafe impl X for Y {}\n")], LIST), []);
    }
}
