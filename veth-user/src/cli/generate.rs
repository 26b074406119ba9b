//! Completions and man pages, made from the arguments themselves.

use std::{io, path::Path, process::ExitCode};

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Arguments;

pub(super) fn completions(shell: Shell) -> ExitCode {
    clap_complete::generate(shell, &mut Arguments::command(), "veth", &mut io::stdout());
    ExitCode::SUCCESS
}

pub(super) fn man_pages(dir: &Path) -> Result<()> {
    clap_mangen::generate_to(Arguments::command(), dir)
        .with_context(|| format!("write man pages to {}", dir.display()))
}
