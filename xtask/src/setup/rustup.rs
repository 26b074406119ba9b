//! The rustup supply: a nightly pinned by date with the sources of `core`, and a bpf-linker that
//! borrows that nightly's own LLVM, so that the two cannot drift apart.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::probe::{self, Check, Probe};
use super::record::Toolchain;
use super::{Supply, linker};
use crate::proc::{self, Cmd};

const TOOLCHAIN: &str = "nightly-2026-05-20";
/// The last line of bpf-linker that can borrow rustc's LLVM (later ones link to a system LLVM
/// only). Its default features ask for the LLVM 22 of the toolchain above; the two constants move
/// together.
const LINKER: &str = "0.10.4";
/// Without a network rustup fails at once; this is for a network that swallows packets.
const DOWNLOAD_LIMIT: Duration = Duration::from_mins(10);

pub(super) fn by_hand() -> String {
    format!("  rustup: rustup toolchain install {TOOLCHAIN} --profile minimal --component rust-src")
}

pub(super) fn probe(tools: &Path) -> Probe {
    let can_install = proc::find_program("rustup").is_some();
    let rustc = find_rustc(can_install);
    let sysroot = rustc.as_ref().ok().and_then(|rustc| Some(rustc.parent()?.parent()?.to_owned()));
    let mut toolchain = vec![Check::new(
        format!("rustc of {TOOLCHAIN}"),
        rustc
            .as_ref()
            .map(|path| path.display().to_string())
            .map_err(|error| anyhow::anyhow!("{error:#}")),
    )];
    let mut found = None;
    if let (Ok(rustc), Some(sysroot)) = (rustc, sysroot) {
        toolchain.push(Check::new("the sources of core (rust-src)", probe::core_sources(&sysroot)));
        toolchain.push(Check::new("LLVM as a shared library", borrowed_llvm(&sysroot)));
        match describe(tools, rustc, &sysroot) {
            Ok(described) => found = Some(described),
            Err(error) => toolchain.push(Check::new("the compiler's versions", Err(error))),
        }
    }
    let linker = vec![Check::new(format!("bpf-linker {LINKER}"), linker::find(tools, LINKER))];
    Probe { can_install, toolchain, linker, found }
}

pub(super) fn install_toolchain() -> Result<()> {
    Cmd::new("rustup")
        .args([
            "toolchain",
            "install",
            TOOLCHAIN,
            "--profile",
            "minimal",
            "--component",
            "rust-src",
        ])
        .arg("--no-self-update")
        .run_within("install the pinned nightly", DOWNLOAD_LIMIT)
}

pub(super) fn install_linker(tools: &Path) -> Result<()> {
    let cargo = Cmd::new("rustup").without_toolchain_env().args(["run", TOOLCHAIN, "cargo"]);
    linker::install(cargo, tools, LINKER, &[])
}

fn find_rustc(has_rustup: bool) -> Result<PathBuf> {
    if !has_rustup {
        bail!("this machine has no rustup");
    }
    let path = Cmd::new("rustup")
        .args(["which", "--toolchain", TOOLCHAIN, "rustc"])
        // A question must not install anything.
        .env("RUSTUP_AUTO_INSTALL", "0")
        .ask("ask rustup for the pinned nightly")
        .map_err(|error| {
            anyhow::anyhow!("not installed ({})", first_line(&format!("{error:#}")))
        })?;
    Ok(path.into())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The library that bpf-linker opens at run time, by the same rule: a name that begins with
/// `libLLVM`.
fn borrowed_llvm(sysroot: &Path) -> Result<String> {
    let lib = sysroot.join("lib");
    let entries = std::fs::read_dir(&lib).with_context(|| format!("list {}", lib.display()))?;
    let names =
        entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()));
    let found = names.into_iter().find(|name| name.starts_with("libLLVM"));
    let name = found.with_context(|| format!("no libLLVM* in {}", lib.display()))?;
    Ok(lib.join(name).display().to_string())
}

fn describe(tools: &Path, rustc: PathBuf, sysroot: &Path) -> Result<Toolchain> {
    let version = probe::rustc_version(&rustc)?;
    Ok(Toolchain {
        supply: Supply::Rustup.name().to_owned(),
        cargo: rustc.with_file_name("cargo"),
        rustc,
        linker: linker::path(tools),
        bootstrap: false,
        library_path: Some(sysroot.join("lib")),
        rustc_version: version.full,
        // Borrowed, hence the same, hence never older.
        llvm_version: version.llvm.to_string(),
        linker_version: LINKER.to_owned(),
    })
}
