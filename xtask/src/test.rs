//! `cargo xtask test`: every test of the workspace, those that need root included. A test that
//! cannot run is an error here, never a silent skip; what a kernel need not have and has not is
//! listed at the end.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::proc::{self, Cmd};
use crate::setup::debian;
use crate::{Workspace, run, setup};

/// What the tests run from outside, as (Debian package, program, reason).
const TEST_PACKAGES: &[(&str, &str, &str)] = &[
    (
        "iproute2",
        "ip",
        "a second opinion on links, addresses and namespaces, apart from our own netlink code",
    ),
    ("iputils-ping", "ping", "traffic that a user would send"),
    ("ethtool", "ethtool", "offloads as a user sets them, and a second opinion on them"),
    ("nftables", "nft", "rules that the fast path would pass by"),
    ("ebtables", "ebtables-legacy", "rules that the fast path would pass by, of the old kind"),
    ("podman", "podman", "containers whose bridge is adopted"),
    ("runc", "runc", "what podman runs them with"),
    ("netavark", "/usr/lib/podman/netavark", "what podman connects them with"),
    ("iptables", "iptables", "what netavark publishes ports with"),
    ("procps", "pgrep", "the process that a shell runs"),
    ("tmux", "tmux", "a terminal that can be asked what is on it"),
    ("busybox-static", "busybox", "a shell for containers that have nothing else"),
    ("tshark", "tshark", "a second opinion on the files that captures are written to"),
    ("tcpdump", "tcpdump", "VLAN tags of frames that arrived, which the kernel keeps beside them"),
    ("prometheus", "promtool", "metrics as Prometheus reads them, and a check of the alert rules"),
];

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only the tests whose names contain one of these
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
}

pub(crate) fn main(workspace: &Workspace, args: &Args) -> Result<()> {
    let runner = root_runner(proc::is_root()?, run::sudo_is_passwordless)?;
    setup::ensure(workspace)?;
    ensure_test_packages()?;

    // Documentation tests run apart: for them, --include-ignored would also compile the blocks
    // marked `ignore`, which are not tests at all.
    let mut cmd = Cmd::cargo(&workspace.root).args(["test", "--workspace", "--tests"]);
    if let Some(runner) = runner {
        cmd = cmd.env(runner_variable()?, runner);
    }
    // A test that finds a feature missing on a kernel that need not have it notes that here.
    let skips = workspace.target.join("skipped-tests");
    let _ = fs::remove_file(&skips);
    cmd = cmd.env(SKIPS, skips.display().to_string());
    let tested = cmd.args(["--", "--include-ignored"]).args(&args.filters).run("run the tests");
    list_skips(&skips);
    tested?;

    let doc = Cmd::cargo(&workspace.root).args(["test", "--workspace", "--doc", "--"]);
    doc.args(&args.filters).run("run the documentation tests")
}

/// Lists what was skipped, which is not the same as passed.
fn list_skips(path: &Path) {
    let Ok(text) = fs::read_to_string(path) else { return };
    for line in text.lines() {
        eprintln!("skipped: {line}");
    }
}

/// What cargo puts in front of a test binary so that it runs as root: nothing for root.
fn root_runner(is_root: bool, sudo_works: impl FnOnce() -> bool) -> Result<Option<&'static str>> {
    if is_root {
        return Ok(None);
    }
    if sudo_works() {
        return Ok(Some("sudo -n -E"));
    }
    bail!(
        "the tests marked `needs root` cannot run: this is not root, and there is no passwordless sudo. Run \
         `cargo xtask test` as root, or `cargo test --workspace` for the tests that need no root"
    );
}

/// cargo's name for "run binaries of the host through this", such as
/// `CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER`.
fn runner_variable() -> Result<String> {
    let verbose = Cmd::new("rustc").arg("-vV").ask("ask rustc for the host triple")?;
    let host = verbose
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("ask rustc for the host triple: `rustc -vV` has no `host:` line")?;
    Ok(format!("CARGO_TARGET_{}_RUNNER", host.to_uppercase().replace(['-', '.'], "_")))
}

fn ensure_test_packages() -> Result<()> {
    let missing: Vec<_> = TEST_PACKAGES
        .iter()
        .filter(|(_, program, _)| proc::find_program(program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    for (package, program, reason) in &missing {
        eprintln!("missing: {program} (Debian package {package}): {reason}");
    }
    let packages: Vec<&str> = missing.iter().map(|(package, ..)| *package).collect();
    if proc::find_program("apt-get").is_none() {
        bail!("install the programs named above: this machine has no apt-get to do it with");
    }
    debian::install(&packages, "install what the tests run")
}

/// Names the file to which tests append what they skipped, and why.
const SKIPS: &str = "VETH_TEST_SKIPS";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_needs_no_runner_and_sudo_is_not_asked() {
        let runner =
            root_runner(true, || panic!("sudo was asked")).expect("root can run everything");
        assert_eq!(runner, None);
    }

    #[test]
    fn a_user_with_sudo_runs_the_test_binaries_through_it() {
        assert_eq!(root_runner(false, || true).expect("sudo works"), Some("sudo -n -E"));
    }

    #[test]
    fn a_user_without_sudo_is_told_and_nothing_is_skipped() {
        let error = root_runner(false, || false).expect_err("no way to root");
        assert!(error.to_string().contains("cannot run"));
    }
}
