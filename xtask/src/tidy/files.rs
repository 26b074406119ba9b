//! Finds the files of the repository, and the rules about a file as such: its name, its first line,
//! its length.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::{File, Finding};

/// A name that says nothing of what is inside, so anything ends up inside.
const GRAB_BAGS: &[&str] = &["util", "utils", "helper", "helpers", "misc"];
const MAX_LINES: usize = 450;
/// Not part of the repository.
const SKIPPED_DIRS: &[&str] = &[".git", "target"];
/// What the rules read. Everything else is checked by its name alone.
const TEXT_EXTENSIONS: &[&str] = &["rs", "toml", "md"];

pub(super) fn read_all(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    read_dir(root, "", &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn read_dir(dir: &Path, prefix: &str, files: &mut Vec<File>) -> Result<()> {
    let what = || format!("list {}", dir.display());
    for entry in fs::read_dir(dir).with_context(what)? {
        let entry = entry.with_context(what)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        // Not following links: what they point to is either in the repository already, or not ours.
        let kind = entry.file_type().with_context(|| format!("look at {path}"))?;
        if kind.is_dir() {
            if !SKIPPED_DIRS.contains(&name.as_str()) {
                read_dir(&entry.path(), &format!("{path}/"), files)?;
            }
        } else if kind.is_file() {
            let is_text =
                TEXT_EXTENSIONS.iter().any(|extension| super::has_extension(&path, extension));
            let text = if is_text {
                fs::read_to_string(entry.path()).with_context(|| format!("read {path}"))?
            } else {
                String::new()
            };
            files.push(File { path, text });
        }
    }
    Ok(())
}

pub(super) fn check_name(file: &File) -> Option<Finding> {
    let named = file.path.split('/').find(|part| {
        let stem = part.split_once('.').map_or(*part, |(stem, _extension)| stem);
        GRAB_BAGS.contains(&stem)
    })?;
    Some(Finding::new(
        &file.path,
        0,
        format!("`{named}` says nothing: name it after the noun that is inside"),
    ))
}

pub(super) fn check_header(file: &File) -> Option<Finding> {
    if file.text.starts_with("//!") {
        return None;
    }
    Some(Finding::new(
        &file.path,
        1,
        "a file opens with `//!`: what it is for, and what it leaves to others",
    ))
}

pub(super) fn check_length(file: &File) -> Option<Finding> {
    let lines = file.text.lines().count();
    (lines > MAX_LINES).then(|| {
        Finding::new(
            &file.path,
            0,
            format!("{lines} lines, and {MAX_LINES} is the most: it asks to be two"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::*;

    #[test]
    fn grab_bags_are_found_as_files_and_as_folders() {
        for path in ["veth-user/src/utils.rs", "veth-user/tests/helpers/mod.rs", "docs/misc.md"] {
            assert!(check_name(&file(path, "")).is_some(), "{path}");
        }
        for path in ["veth-common/src/lib.rs", "veth-user/src/utility_pole.rs", ".gitignore"] {
            assert_eq!(check_name(&file(path, "")), None, "{path}");
        }
    }

    #[test]
    fn a_file_without_a_header_is_found() {
        assert!(check_header(&file("build.rs", "use std::fs;\n//! late\n")).is_some());
        assert_eq!(check_header(&file("build.rs", "//! Builds.\n")), None);
    }

    #[test]
    fn a_file_that_is_too_long_is_found() {
        assert!(check_length(&file("a.rs", &"x\n".repeat(451))).is_some());
        assert_eq!(check_length(&file("a.rs", &"x\n".repeat(450))), None);
    }
}
