//! `cargo xtask bench`: from a clone to a table and a page of figures in one command. Builds as the
//! user, and hands only the built binary to root.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::proc::Cmd;
use crate::{Workspace, run, setup};

/// The options that say where something is written, and the file in target/bench without them.
const OUTPUTS: [(&str, &str); 2] = [("--html", "bench.html"), ("--save", "bench.json")];

/// The options that choose what is measured are those of `veth bench`, which explains them itself.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// Arguments of `veth bench`, such as `--preset full`; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

pub(crate) fn main(workspace: &Workspace, args: Args) -> Result<Infallible> {
    setup::ensure(workspace)?;
    let profile = run::build(workspace, true)?;

    let dir = workspace.target.join("bench");
    // Made here and not by root, so that it is the user's to remove.
    fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
    let veth = workspace.target.join(profile).join("veth");
    let why = "run veth bench (it makes network namespaces and loads eBPF programs)";
    let cmd = Cmd::as_root(veth, why)?.arg("bench").args(command_line(&dir, args.args));
    // After exec, Ctrl-C, the terminal and the exit code belong to veth alone. It says itself where
    // the page is.
    cmd.exec("run veth bench")
}

/// `args`, and where to write what they do not say.
fn command_line(dir: &Path, mut args: Vec<OsString>) -> Vec<OsString> {
    // `show` and `compare` measure nothing.
    let has_command = args.first().is_some_and(|it| !it.as_encoded_bytes().starts_with(b"-"));
    if has_command {
        return args;
    }
    for (option, file) in OUTPUTS {
        if !args.iter().any(|arg| is_option(arg, option)) {
            args.extend([option.into(), dir.join(file).into_os_string()]);
        }
    }
    args
}

/// Whether `arg` is `option`, or that with a value.
fn is_option(arg: &OsStr, option: &str) -> bool {
    let rest = arg.as_encoded_bytes().strip_prefix(option.as_bytes());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(args: &[&str]) -> Vec<OsString> {
        command_line(Path::new("/t"), args.iter().map(OsString::from).collect())
    }

    #[test]
    fn page_and_results_are_written_to_the_target_folder() {
        assert_eq!(line(&[]), ["--html", "/t/bench.html", "--save", "/t/bench.json"]);
    }

    #[test]
    fn places_that_were_chosen_are_kept() {
        let line = line(&["--save", "a.json", "--html=b.html", "--rounds", "3"]);
        assert_eq!(line, ["--save", "a.json", "--html=b.html", "--rounds", "3"]);
    }

    #[test]
    fn other_commands_are_passed_on_as_they_are() {
        assert_eq!(line(&["show", "a.json"]), ["show", "a.json"]);
    }
}
