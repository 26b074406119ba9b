//! Every crate of the workspace takes the workspace's lints.

use super::{File, Finding};

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let is_crate = |file: &&File| {
        let name = file.path.rsplit('/').next();
        name == Some("Cargo.toml") && section(&file.text, "package").is_some()
    };
    let finding = |file: &File| {
        Finding::new(
            &file.path,
            0,
            "a crate takes the workspace's lints: `[lints]` with `workspace = true`",
        )
    };
    files.iter().filter(is_crate).filter(|file| !takes_lints(&file.text)).map(finding).collect()
}

fn takes_lints(manifest: &str) -> bool {
    let is_set = |line: &str| {
        line.split('#').next().unwrap_or_default().replace(' ', "") == "workspace=true"
    };
    section(manifest, "lints").is_some_and(|mut lines| lines.any(is_set))
        || manifest.lines().any(|line| line.replace(' ', "").starts_with("lints.workspace=true"))
}

/// The lines of one table, if the manifest has it.
fn section<'a>(manifest: &'a str, name: &str) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
    let header = format!("[{name}]");
    let mut lines = manifest.lines();
    lines.find(|line| line.trim() == header)?;
    Some(lines.take_while(|line| !line.trim_start().starts_with('[')))
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::*;

    #[test]
    fn a_crate_without_the_workspace_lints_is_found() {
        for text in [
            "[package]\nname = \"a\"\n",
            "[package]\nname = \"a\"\n[lints]\n[dependencies]\nworkspace = true\n",
        ] {
            assert_eq!(check(&[file("a/Cargo.toml", text)]).len(), 1, "{text}");
        }
    }

    #[test]
    fn a_crate_with_them_and_a_workspace_manifest_are_fine() {
        let spelled =
            file("a/Cargo.toml", "[package]\nname = \"a\"\n\n[lints]\nworkspace = true # all\n");
        let dotted = file("b/Cargo.toml", "lints.workspace = true\n[package]\nname = \"b\"\n");
        let workspace = file("Cargo.toml", "[workspace]\nmembers = [\"a\"]\n");
        assert_eq!(check(&[spelled, dotted, workspace]), []);
    }
}
