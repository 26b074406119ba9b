//! A terminal that can be asked what is on it.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use crate::sandbox::{Run, Sandbox, wait_until};

/// A tmux server with one window, in which a shell runs. It ends when it is dropped.
pub(super) struct Tmux<'a> {
    sandbox: &'a Sandbox,
    socket: String,
}

impl<'a> Tmux<'a> {
    /// Starts it; nobody's settings apply.
    pub(super) fn start(sandbox: &'a Sandbox, columns: u16, lines: u16) -> Self {
        // A server that was told to end still answers for a moment.
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let tmux = Self { sandbox, socket: sandbox.file_path(&format!("tmux-{number}")) };
        let (columns, lines) = (columns.to_string(), lines.to_string());
        let dir = tmux.dir().display().to_string();
        let shell = "env -u NO_COLOR PS1='$ ' sh";
        tmux.run(&["new-session", "-d", "-x", &columns, "-y", &lines, "-c", &dir, shell]);
        tmux.wait_for("$");
        tmux
    }

    /// Where the shell is.
    pub(super) fn dir(&self) -> PathBuf {
        Path::new(&self.socket).parent().expect("is in a directory").to_owned()
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> String {
        self.try_run(args).ok().stdout
    }

    fn try_run(&self, args: &[&str]) -> Run {
        let mut command = self.sandbox.command("tmux");
        command.env_remove("TMUX").env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
        command.args(["-u", "-f", "/dev/null", "-S", &self.socket]).args(args);
        Run::of(command)
    }

    /// Types: text, or names of keys as tmux has them.
    #[track_caller]
    pub(super) fn send(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    /// Makes the window another size.
    #[track_caller]
    pub(super) fn resize(&self, columns: u16, lines: u16) {
        self.run(&["resize-window", "-x", &columns.to_string(), "-y", &lines.to_string()]);
    }

    /// What is on the screen.
    #[track_caller]
    pub(super) fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// The graphic attributes of everything on the screen, as the numbers of each escape sequence.
    #[track_caller]
    pub(super) fn attributes(&self) -> String {
        let text = self.run(&["capture-pane", "-p", "-e"]);
        let sequences = text.split("\x1b[").skip(1).filter_map(|rest| rest.split_once('m'));
        sequences.map(|(numbers, _)| format!("{}|", numbers.replace(':', ";"))).collect()
    }

    /// A format of tmux, filled in.
    #[track_caller]
    pub(super) fn ask(&self, format: &str) -> String {
        self.run(&["display-message", "-p", format]).trim_end().to_owned()
    }

    /// Waits until `text` is on the screen.
    #[track_caller]
    pub(super) fn wait_for(&self, text: &str) {
        self.wait_until(text, |screen| screen.contains(text));
    }

    /// Waits until the screen is as it should be; the test that fails shows it.
    #[track_caller]
    pub(super) fn wait_until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let mut screen = String::new();
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(what, || {
                screen = self.screen();
                is_so(&screen)
            });
        }));
        assert!(waited.is_ok(), "{what:?} is not so on:\n{screen}");
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        self.try_run(&["kill-server"]);
    }
}
