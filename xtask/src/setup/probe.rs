//! What was found of one supply: a list of checks, and the toolchain they add up to when nothing is
//! missing.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::record::Toolchain;
use super::version::{RustcVersion, Version};
use crate::proc::Cmd;

/// The state of one part: where it was found, or why it does not count as found.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) part: String,
    pub(super) state: Result<String, String>,
}

impl Check {
    /// A part that was looked for; an error is shown with its causes.
    pub(super) fn new(part: impl Into<String>, state: Result<String>) -> Self {
        Self { part: part.into(), state: state.map_err(|error| format!("{error:#}")) }
    }
}

/// One supply as it is on this machine.
#[derive(Debug)]
pub(super) struct Probe {
    /// Whether the program that would install it is here.
    pub(super) can_install: bool,
    /// The compiler and the sources of `core`.
    pub(super) toolchain: Vec<Check>,
    /// bpf-linker.
    pub(super) linker: Vec<Check>,
    /// Known once nothing is missing.
    pub(super) found: Option<Toolchain>,
}

impl Probe {
    pub(super) fn has_toolchain(&self) -> bool {
        self.toolchain.iter().all(|check| check.state.is_ok())
    }

    pub(super) fn complete(&self) -> Option<&Toolchain> {
        let linker = self.linker.iter().all(|check| check.state.is_ok());
        self.found.as_ref().filter(|_| linker && self.has_toolchain())
    }

    pub(super) fn into_complete(self) -> Option<Toolchain> {
        self.complete()?;
        self.found
    }

    pub(super) fn print(&self, supply: &str) {
        for Check { part, state } in self.toolchain.iter().chain(&self.linker) {
            match state {
                Ok(found) => eprintln!("{supply}: found   {part}: {found}"),
                Err(why) => eprintln!("{supply}: missing {part}: {why}"),
            }
        }
    }
}

/// Asks a compiler, given by its path, for its versions.
pub(super) fn rustc_version(rustc: &Path) -> Result<RustcVersion> {
    let cmd = Cmd::new(rustc).arg("-vV").without_toolchain_env();
    RustcVersion::parse(&cmd.ask("ask rustc for its version")?)
}

/// The sources of `core`, which `-Z build-std` compiles, are where the compiler looks for them.
pub(super) fn core_sources(sysroot: &Path) -> Result<String> {
    let core = sysroot.join("lib/rustlib/src/rust/library/core");
    if !core.join("src/lib.rs").is_file() {
        bail!("no {}", core.display());
    }
    Ok(core.display().to_string())
}

/// The workspace's own `rust-version`, which the compiler of the eBPF object must satisfy as well.
pub(super) fn minimum_rust() -> Result<Version> {
    Version::parse(env!("CARGO_PKG_RUST_VERSION")).context("read rust-version of the workspace")
}
