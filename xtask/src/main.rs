//! The repository's own commands, run as `cargo xtask <command>`. Each command is one module; this
//! file only parses the command line and knows where the workspace is.

mod bench;
mod dist;
mod ebpf;
mod proc;
mod run;
mod setup;
mod test;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The repository's own commands")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Find or install what the eBPF object needs to be built
    Setup(setup::Args),
    /// Build veth and run it (as root): `veth run examples/pair.toml`, or what stands after `--`
    Run(run::Args),
    /// Build veth and compare paths with it (as root): a table, and a page in target/bench
    Bench(bench::Args),
    /// Run every test, those that need root included
    Test(test::Args),
    /// Report the size and stack use of the eBPF programs, and hold them to the committed baseline
    Ebpf(ebpf::Args),
    /// Check the invariants of the repository that a machine can check
    Tidy,
    /// Build the release binary, shell completions and man pages into target/dist
    Dist,
}

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    match perform(command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn perform(command: Task) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match command {
        Task::Setup(args) => return setup::main(&workspace, &args),
        Task::Run(args) => match run::main(&workspace, args)? {},
        Task::Bench(args) => match bench::main(&workspace, args)? {},
        Task::Test(args) => test::main(&workspace, &args)?,
        Task::Ebpf(args) => return ebpf::main(&workspace, &args),
        Task::Tidy => return tidy::main(&workspace.root),
        Task::Dist => dist::main(&workspace)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Where things are.
#[derive(Debug)]
struct Workspace {
    /// The folder of the root Cargo.toml.
    root: PathBuf,
    /// Cargo's target directory.
    target: PathBuf,
    /// What `setup` installs, and the file that says so. The build script of veth-user reads the
    /// same variables.
    tools: PathBuf,
}

impl Workspace {
    fn find() -> Result<Self> {
        // Cargo says it at run time as well, and only that is right when two clones share a target
        // directory, and with it the built xtask.
        let manifest_dir = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest_dir
            .parent()
            .context("find the workspace: the folder of xtask has no parent")?
            .to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => std::path::absolute(dir).context("make CARGO_TARGET_DIR absolute")?,
            None => root.join("target"),
        };
        let tools = match std::env::var_os("VETH_TOOLS_DIR") {
            Some(dir) => std::path::absolute(dir).context("make VETH_TOOLS_DIR absolute")?,
            None => target.join("tools"),
        };
        Ok(Self { root, target, tools })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
