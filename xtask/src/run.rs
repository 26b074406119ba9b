//! `cargo xtask run`: from a clone to a running fabric in one command. Builds as the user, and
//! hands only the built binary to root.

use std::convert::Infallible;
use std::ffi::OsString;

use anyhow::Result;
use clap::ArgAction;

use crate::proc::{self, Cmd};
use crate::{Workspace, setup};

const EXAMPLE: &str = "examples/pair.toml";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Stop after this many seconds (of the example; not with arguments after `--`)
    #[arg(long, value_name = "N", conflicts_with = "command")]
    seconds: Option<u32>,
    /// Build with optimisation; `--release=false` builds without
    #[arg(
        long, action = ArgAction::Set, default_value_t = true, default_missing_value = "true",
        num_args = 0..=1, require_equals = true
    )]
    release: bool,
    /// Run `veth ARGS` instead of the example
    #[arg(last = true, value_name = "ARGS")]
    command: Vec<OsString>,
}

pub(crate) fn main(workspace: &Workspace, args: Args) -> Result<Infallible> {
    setup::ensure(workspace)?;
    let profile = build(workspace, args.release)?;

    let veth = workspace.target.join(profile).join("veth");
    let why = "run veth (it makes network namespaces and loads eBPF programs)";
    let cmd = Cmd::as_root(veth, why)?.args(command_line(workspace, args));
    // After exec, Ctrl-C, the terminal and the exit code belong to veth alone: nothing to forward.
    cmd.exec("run veth")
}

/// Builds the binary and returns the name of the folder it is in.
pub(crate) fn build(workspace: &Workspace, release: bool) -> Result<&'static str> {
    let cmd =
        Cmd::cargo(&workspace.root).args(["build", "--package", "veth-user", "--bin", "veth"]);
    let (cmd, profile) = if release { (cmd.arg("--release"), "release") } else { (cmd, "debug") };
    cmd.run("build veth")?;
    Ok(profile)
}

fn command_line(workspace: &Workspace, args: Args) -> Vec<OsString> {
    if !args.command.is_empty() {
        return args.command;
    }
    let mut line = vec!["run".into(), workspace.root.join(EXAMPLE).into_os_string()];
    if let Some(seconds) = args.seconds {
        line.extend(["--seconds".into(), seconds.to_string().into()]);
    }
    line
}

/// Whether sudo would work without asking for a password.
pub(crate) fn sudo_is_passwordless() -> bool {
    proc::find_program("sudo").is_some()
        && Cmd::new("sudo").args(["-n", "true"]).ask("ask sudo for passwordless root").is_ok()
}
