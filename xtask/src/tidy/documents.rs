//! The documents agree with the tree: each example is mentioned, each relative link leads
//! somewhere.

use std::collections::BTreeSet;

use super::{File, Finding, has_extension};

pub(super) fn check_examples(files: &[File]) -> Vec<Finding> {
    let is_document = |file: &&File| {
        file.path == "README.md" || (file.path.starts_with("docs/") && is_markdown(file))
    };
    let documents: Vec<&File> = files.iter().filter(is_document).collect();
    let is_example =
        |file: &&File| file.path.starts_with("examples/") && has_extension(&file.path, "toml");
    let is_mentioned = |example: &&File| {
        let name = example.path.rsplit('/').next().unwrap_or_default();
        documents.iter().any(|document| document.text.contains(name))
    };
    let finding = |example: &File| {
        Finding::new(&example.path, 0, "an example that neither README.md nor docs/ mentions")
    };
    files.iter().filter(is_example).filter(|example| !is_mentioned(example)).map(finding).collect()
}

pub(super) fn check_links(files: &[File]) -> Vec<Finding> {
    let mut known = BTreeSet::new();
    for file in files {
        // A link may lead to a folder as well.
        let mut path = file.path.as_str();
        known.insert(path);
        while let Some((folder, _)) = path.rsplit_once('/') {
            path = folder;
            known.insert(path);
        }
    }
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| is_markdown(file)) {
        for (line, link) in relative_links(&file.text) {
            let is_known = resolve(&file.path, link)
                .is_some_and(|path| path.is_empty() || known.contains(path.as_str()));
            if !is_known {
                findings.push(Finding::new(
                    &file.path,
                    line,
                    format!("the link to `{link}` leads nowhere"),
                ));
            }
        }
    }
    findings
}

fn is_markdown(file: &File) -> bool {
    has_extension(&file.path, "md")
}

/// The targets of `[text](target)` outside code, without their `#anchor`, each with its line.
fn relative_links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    let mut in_fence = false;
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim_start().starts_with("```") {
            in_fence = !in_fence;
            continue;
        }
        if in_fence {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            // An odd number of backticks before it: inside `code`.
            let in_code = line[..at].matches('`').count() % 2 == 1;
            let target = line[at + 2..].split([')', ' ']).next().unwrap_or_default();
            let path = target.split('#').next().unwrap_or_default();
            let is_relative =
                !path.is_empty() && !path.contains("://") && !path.starts_with("mailto:");
            if is_relative && !in_code {
                links.push((number, path));
            }
        }
    }
    links
}

/// The path of a link from the root of the repository; none when it leaves the repository.
fn resolve(document: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    if link.starts_with('/') {
        parts.clear();
    }
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::*;

    #[test]
    fn an_example_that_nobody_mentions_is_found() {
        let example = || file("examples/pair.toml", "");
        assert_eq!(check_examples(&[example(), file("README.md", "nothing")]).len(), 1);
        assert_eq!(check_examples(&[example(), file("README.md", "`examples/pair.toml`")]), []);
        assert_eq!(check_examples(&[example(), file("docs/tutorial.md", "see pair.toml")]), []);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found_with_its_line() {
        let findings =
            check_links(&[file("docs/a.md", "text\n[b](b.md) and [c](../README.md#top)\n")]);
        assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2, 2]);
    }

    #[test]
    fn links_to_files_folders_and_the_web_are_fine() {
        let text = "[b](b.md) [up](../README.md \"title\") [dir](../examples/) [root](/docs/b.md) [w](https://x.org/y)\n[here](#x)";
        let files = [
            file("docs/a.md", text),
            file("docs/b.md", ""),
            file("README.md", ""),
            file("examples/x.toml", ""),
        ];
        assert_eq!(check_links(&files), []);
    }

    #[test]
    fn code_holds_no_links() {
        let text = "`[a](b)`\n```text\n[a](b)\n```\n";
        assert_eq!(check_links(&[file("a.md", text)]), []);
    }

    #[test]
    fn a_link_out_of_the_repository_leads_nowhere() {
        assert_eq!(check_links(&[file("a.md", "[x](../../secret.md)")]).len(), 1);
    }
}
