//! bpf-linker: looks at the one in the tools folder, and builds one there. Which version with which
//! LLVM is the supply's decision.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::proc::Cmd;

pub(super) fn path(tools: &Path) -> PathBuf {
    tools.join("bin/bpf-linker")
}

/// The path of the linker, if it starts and is of the wanted version.
pub(super) fn find(tools: &Path, wanted: &str) -> Result<String> {
    let linker = path(tools);
    if !linker.is_file() {
        bail!("no {}", linker.display());
    }
    // Starting it also shows that the shared LLVM it is linked to is still there.
    let answer = Cmd::new(&linker).arg("--version").ask("ask bpf-linker for its version")?;
    let version = answer.split_whitespace().last().unwrap_or_default();
    if version != wanted {
        bail!("{} is version {version}, this supply needs {wanted}", linker.display());
    }
    Ok(linker.display().to_string())
}

/// Builds the linker with `cargo`, a cargo of the supply that is ready for `install`.
pub(super) fn install(cargo: Cmd, tools: &Path, version: &str, options: &[&str]) -> Result<()> {
    let build = tools.join("build");
    let cmd = cargo
        .env("CARGO_TARGET_DIR", &build)
        // --force: what is there, if anything, is of another version or does not start.
        .args(["install", "bpf-linker", "--version", version, "--locked", "--force"])
        .args(options)
        .arg("--root")
        .arg(tools);
    eprintln!("building bpf-linker {version}; this takes a minute or two");
    let result = cmd.run("build bpf-linker");
    // Hundreds of megabytes that nothing reads again, whether the build went well or not.
    if build.exists() {
        fs::remove_dir_all(&build).with_context(|| format!("remove {}", build.display()))?;
    }
    result
}
