//! Completions and man pages, made from the arguments themselves.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Arguments, session::print};

pub(super) fn completions(shell: Shell) -> Result<()> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "veth", &mut text);
    print(&String::from_utf8_lossy(&text))
}

pub(super) fn man_pages(dir: &Path) -> Result<()> {
    clap_mangen::generate_to(Arguments::command(), dir)
        .with_context(|| format!("write man pages to {}", dir.display()))
}
