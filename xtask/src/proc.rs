//! The one place that starts other programs: it echoes the command line before it runs, and its
//! errors say what was attempted and why it failed. What to run, and when, is left to the callers.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A command line that is shown before it runs.
#[derive(Debug)]
pub(crate) struct Cmd(Command);

impl Cmd {
    /// A command that inherits the environment and the terminal.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self(Command::new(program))
    }

    /// The cargo that runs this xtask, so that the user's choice of toolchain (`cargo +x xtask`)
    /// holds.
    pub(crate) fn cargo(root: &Path) -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut cmd = Self::new(cargo);
        cmd.0.current_dir(root);
        // A relative CARGO_TARGET_DIR means the folder the user stands in, not the workspace we
        // change to.
        if let Some(dir) = std::env::var_os("CARGO_TARGET_DIR")
            && let Ok(dir) = std::path::absolute(PathBuf::from(dir))
        {
            cmd.0.env("CARGO_TARGET_DIR", dir);
        }
        cmd
    }

    /// The command, run as root: as it is for root, through sudo for anybody else.
    pub(crate) fn as_root(program: impl AsRef<OsStr>, why: &str) -> Result<Self> {
        if is_root()? {
            return Ok(Self::new(program));
        }
        if find_program("sudo").is_none() {
            bail!("{why} needs root, and this machine has no sudo: run it as root");
        }
        Ok(Self::new("sudo").arg(program))
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.0.arg(arg);
        self
    }

    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.0.args(args);
        self
    }

    pub(crate) fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.0.env(key, value);
        self
    }

    /// Drops what `cargo run` and rustup put into our environment, so that another toolchain's
    /// cargo is not misled.
    pub(crate) fn without_toolchain_env(mut self) -> Self {
        for key in [
            "CARGO",
            "CARGO_ENCODED_RUSTFLAGS",
            "LD_LIBRARY_PATH",
            "RUSTC",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
        ] {
            self.0.env_remove(key);
        }
        self
    }

    /// Runs to the end on the user's terminal.
    pub(crate) fn run(mut self, what: &str) -> Result<()> {
        self.echo();
        let status = self.0.status().with_context(|| self.cannot_start(what))?;
        self.judge(what, status)
    }

    /// Like [`Cmd::run`], but gives up on a command that hangs (a download without a network,
    /// mostly).
    pub(crate) fn run_within(mut self, what: &str, limit: Duration) -> Result<()> {
        self.echo();
        let mut child = self.0.spawn().with_context(|| self.cannot_start(what))?;
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) =
                child.try_wait().with_context(|| format!("{what}: wait for it"))?
            {
                return self.judge(what, status);
            }
            if Instant::now() >= deadline {
                child.kill().with_context(|| format!("{what}: stop it after {limit:?}"))?;
                child.wait().with_context(|| format!("{what}: wait for it after {limit:?}"))?;
                bail!("{what}: not finished after {limit:?}, stopped: {}", self.line());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs on the user's terminal and hands back what the command wrote to stdout.
    pub(crate) fn run_for_stdout(mut self, what: &str) -> Result<Vec<u8>> {
        self.echo();
        self.0.stdin(Stdio::inherit()).stderr(Stdio::inherit());
        let output = self.0.output().with_context(|| self.cannot_start(what))?;
        self.judge(what, output.status)?;
        Ok(output.stdout)
    }

    /// Asks a question without side effects, hence without an echo. The answer is stdout, trimmed.
    pub(crate) fn ask(mut self, what: &str) -> Result<String> {
        self.0.stdin(Stdio::null());
        let output = self.0.output().with_context(|| self.cannot_start(what))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("{what}: {} ({}): {}", self.line(), output.status, stderr.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Like [`Cmd::ask`], for a program that answers with an exit code and may print part of the
    /// answer all the same.
    pub(crate) fn ask_any(mut self, what: &str) -> Result<String> {
        self.0.stdin(Stdio::null());
        let output = self.0.output().with_context(|| self.cannot_start(what))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Becomes the command: Ctrl-C, the terminal and the exit code are then the command's own.
    pub(crate) fn exec(mut self, what: &str) -> Result<Infallible> {
        self.echo();
        let error = self.0.exec();
        Err(error).with_context(|| self.cannot_start(what))
    }

    fn echo(&self) {
        eprintln!("$ {}", self.line());
    }

    fn cannot_start(&self, what: &str) -> String {
        format!("{what}: cannot start `{}`", self.line())
    }

    fn judge(&self, what: &str, status: ExitStatus) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        bail!("{what}: `{}` failed ({status})", self.line());
    }

    /// The command as one could type it again.
    fn line(&self) -> String {
        let env = self
            .0
            .get_envs()
            .filter_map(|(key, value)| Some(format!("{}={}", key.display(), quote(value?))));
        let words = std::iter::once(self.0.get_program()).chain(self.0.get_args()).map(quote);
        env.chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// Whether this process may do what root may do.
pub(crate) fn is_root() -> Result<bool> {
    // procfs shows the effective uid as the owner, which saves a libc dependency for one call.
    let owner =
        std::fs::metadata("/proc/self").context("read the owner of /proc/self to learn our uid")?;
    Ok(owner.uid() == 0)
}

/// Looks a program up in PATH and in the folders of root's programs, which a user's PATH on Debian
/// leaves out.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|candidate| candidate.is_file())
}

fn quote(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:+,@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_can_be_typed_again() {
        let cmd = Cmd::new("cargo").args(["test", "--", "a b", "it's"]).env("X", "1 2");
        assert_eq!(cmd.line(), r"X='1 2' cargo test -- 'a b' 'it'\''s'");
    }

    #[test]
    fn a_failure_names_the_attempt_and_the_command() {
        let error = Cmd::new("false").arg("x").run("try the impossible").expect_err("it fails");
        let text = format!("{error:#}");
        assert!(text.starts_with("try the impossible: `false x` failed"), "{text}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error =
            Cmd::new("no-such-program-here").ask("ask nobody").expect_err("it is not there");
        assert!(format!("{error:#}").contains("no-such-program-here"));
    }

    #[test]
    fn a_command_that_hangs_is_stopped() {
        let error = Cmd::new("sleep")
            .arg("30")
            .run_within("nap", Duration::from_millis(50))
            .expect_err("too slow");
        assert!(format!("{error:#}").contains("not finished after 50ms"));
    }
}
