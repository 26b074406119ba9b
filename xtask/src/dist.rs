//! `cargo xtask dist`: what a packager takes: the release binary, the shell completions and the man
//! pages. The texts come from the binary itself, so they cannot disagree with it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::proc::Cmd;
use crate::{Workspace, run, setup};

/// Each shell, and the file name under which it looks for veth's completions.
const COMPLETIONS: &[(&str, &str)] =
    &[("bash", "veth.bash"), ("zsh", "_veth"), ("fish", "veth.fish")];

pub(crate) fn main(workspace: &Workspace) -> Result<()> {
    setup::ensure(workspace)?;
    let profile = run::build(workspace, true)?;
    let built = workspace.target.join(profile).join("veth");

    let dist = workspace.target.join("dist");
    if dist.exists() {
        // A page of a subcommand that is gone must not live on in a package.
        fs::remove_dir_all(&dist).with_context(|| format!("empty {}", dist.display()))?;
    }
    let completions = dist.join("completions");
    let man = dist.join("man");
    for dir in [&completions, &man] {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    }

    let veth = dist.join("veth");
    fs::copy(&built, &veth)
        .with_context(|| format!("copy {} to {}", built.display(), veth.display()))?;
    for (shell, file) in COMPLETIONS {
        let what = format!("write the {shell} completions");
        let text = Cmd::new(&veth).args(["completions", shell]).run_for_stdout(&what)?;
        let path = completions.join(file);
        fs::write(&path, text).with_context(|| format!("{what} to {}", path.display()))?;
    }
    Cmd::new(&veth).arg("man").arg(&man).run("write the man pages")?;
    list(&dist)
}

/// Prints what was written, with sizes.
fn list(dir: &Path) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry.with_context(|| format!("list {}", dir.display()))?.path());
    }
    paths.sort();
    for path in paths {
        if path.is_dir() {
            list(&path)?;
        } else {
            let size = fs::metadata(&path)
                .with_context(|| format!("read the size of {}", path.display()))?
                .len();
            println!("{size:>10}  {}", path.display());
        }
    }
    Ok(())
}
