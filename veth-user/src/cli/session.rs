//! What every command shares: privileges, signals, progress, and how errors become exit codes.

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::outlet::Outlet;
use crate::{
    Stop,
    bench::BenchError,
    datapath::DatapathError,
    fabric::{Control, FabricError},
    plan::Step,
    privilege::{self, Capability},
    report::plain_lines,
    sync::SyncError,
    topology::{NameError, Problems},
};

/// How long an operation may take before it shows how far it is.
const PATIENCE: Duration = Duration::from_millis(700);

/// The wish to stop of this process: signals come to all of it, and so does whoever waits to print.
static STOP: OnceLock<Stop> = OnceLock::new();

/// A command on its way.
pub(super) struct Session {
    /// Requested by Ctrl-C and by SIGTERM.
    pub(super) stop: Stop,
    /// The same for those that wait for it.
    stopped: watch::Receiver<bool>,
    /// For what waits on more than one thing.
    pub(super) runtime: Runtime,
    /// Whether output is for programs.
    pub(super) json: bool,
}

/// The process lacks capabilities.
#[derive(Debug, thiserror::Error)]
#[error("missing {}; run veth as root", list(.0))]
struct Unprivileged(Vec<Capability>);

/// The topology file is wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadFile {
    /// It cannot be read.
    #[error("read {path}: {source}")]
    Unreadable { path: String, source: io::Error },
    /// What it says makes no topology.
    #[error("{path}:\n{problems}")]
    Wrong { path: String, problems: Problems },
}

/// Something that was found wrong and was already told in full.
#[derive(Debug, thiserror::Error)]
#[error("")]
pub(super) struct Told;

/// An argument makes no sense on this machine.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WrongArgument(pub(super) String);

/// Somebody asked to stop; what was done until then has been shown.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
pub(super) struct Interrupted;

fn list(missing: &[Capability]) -> String {
    let names: Vec<String> =
        missing.iter().map(|it| format!("{} (for {})", it.name, it.purpose)).collect();
    names.join(" and ")
}

impl Session {
    /// Checks privileges and starts to listen for signals.
    pub(super) fn start(json: bool) -> Result<Self> {
        let missing = privilege::missing();
        if !missing.is_empty() {
            return Err(Unprivileged(missing).into());
        }
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("start the runtime")?;
        let stop = STOP.get_or_init(Stop::new).clone();
        let (stopping, stopped) = watch::channel(false);
        {
            let _guard = runtime.enter();
            for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
                let mut signals = signal(kind).context("listen for signals")?;
                let (stop, stopping) = (stop.clone(), stopping.clone());
                runtime.spawn(async move {
                    while signals.recv().await.is_some() {
                        stop.request();
                        stopping.send_replace(true);
                    }
                });
            }
        }
        Ok(Self { stop, stopped, runtime, json })
    }

    /// Runs an operation on a fabric; when it takes long, a bar shows how far it is.
    pub(super) fn with_progress<T>(&self, work: impl FnOnce(&mut Control<'_>) -> T) -> T {
        let bar = ProgressBar::hidden();
        let started = std::time::Instant::now();
        let mut shown = false;
        let mut progress = |done: usize, all: usize, step: &Step| {
            if !shown && started.elapsed() > PATIENCE {
                bar.set_style(style());
                bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
                shown = true;
            }
            bar.set_length(all as u64);
            bar.set_position(done as u64);
            bar.set_message(step.to_string());
        };
        let mut waiting = || say("another veth process works on this fabric; waiting for it");
        let result =
            work(&mut Control { stop: &self.stop, progress: &mut progress, waiting: &mut waiting });
        bar.finish_and_clear();
        result
    }

    /// Waits until a signal asks to stop.
    pub(super) async fn stopped(&self) {
        // Those that listen for signals are there for as long as the runtime is.
        let _ = self.stopped.clone().wait_for(|stopped| *stopped).await;
    }

    /// Waits until the time is over; false when it was cut short by the wish to stop.
    pub(super) fn sleep(&self, time: Duration) -> bool {
        const LOOK: Duration = Duration::from_millis(20);
        let end = std::time::Instant::now() + time;
        while !self.stop.is_requested() {
            let left = end.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(LOOK));
        }
        false
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Prints `value` as one line of JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string(value).context("write JSON")?;
    print(&format!("{text}\n"))
}

/// Prints text, and takes a reader that has gone (`| head`) for a wish to stop, not a failure. A reader
/// that takes nothing is waited for until it is time to stop.
pub(super) fn print(text: &str) -> Result<()> {
    let out = io::stdout().lock();
    match Outlet::new(&out, stop()).write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        result => result.context("write to stdout"),
    }
}

/// The wish to stop; of a command that listens for no signals, one that nobody has.
fn stop() -> Stop {
    STOP.get().cloned().unwrap_or_default()
}

#[derive(Debug, thiserror::Error)]
#[error("the reader of the output is gone")]
struct ReaderGone;

/// Whether output goes to a person.
pub(super) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Whether output may be coloured: on a terminal, unless the user does not want it
/// (<https://no-color.org>).
pub(super) fn is_coloured() -> bool {
    is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Says what went wrong, and chooses the exit code that means it.
pub(super) fn report(result: Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    if !error.is::<Told>() && !error.is::<ReaderGone>() {
        complain(&causes(&error));
    }
    ExitCode::from(exit_code(&error))
}

/// Says something on stderr. Nobody may be there to hear it, which is no reason to fail.
pub(super) fn complain(text: &str) {
    say(&format!("veth: {text}"));
}

/// Says on stderr what is going on.
pub(super) fn say(text: &str) {
    let text = format!("{}\n", plain_lines(text));
    let _ = Outlet::new(io::stderr(), stop()).write_all(text.as_bytes());
}

/// The error and its causes on one line. Most errors tell their cause themselves; it is not told
/// again.
fn causes(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .reduce(|text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
        .unwrap_or_default()
}

fn exit_code(error: &anyhow::Error) -> u8 {
    const FAILED: u8 = 1;
    const WRONG_INPUT: u8 = 2;
    const NOT_OURS: u8 = 3;
    const UNABLE: u8 = 4;
    const INTERRUPTED: u8 = 130;

    let mut code = FAILED;
    for cause in error.chain() {
        if cause.is::<ReaderGone>() {
            return 0;
        }
        if cause.is::<BadFile>() || cause.is::<NameError>() || cause.is::<WrongArgument>() {
            code = WRONG_INPUT;
        }
        if cause.is::<Interrupted>() {
            code = INTERRUPTED;
        }
        if cause.is::<Unprivileged>() || is_unable(cause) {
            code = UNABLE;
        }
        if cause.downcast_ref::<SyncError>().is_some_and(SyncError::is_interrupted) {
            code = INTERRUPTED;
        }
        if let Some(error) = cause.downcast_ref::<FabricError>() {
            if error.is_interrupted() {
                code = INTERRUPTED;
            } else if error.is_conflict() {
                code = NOT_OURS;
            } else if error.is_permission() || error.is_unsupported() {
                code = UNABLE;
            }
        }
    }
    code
}

fn is_unable(cause: &(dyn std::error::Error + 'static)) -> bool {
    let datapath = cause.downcast_ref::<DatapathError>();
    let sync = cause.downcast_ref::<SyncError>();
    matches!(datapath, Some(DatapathError::Unsupported(_)))
        || datapath.is_some_and(DatapathError::is_permission)
        || sync.is_some_and(SyncError::is_permission)
        || cause.downcast_ref::<BenchError>().is_some_and(BenchError::is_permission)
}
