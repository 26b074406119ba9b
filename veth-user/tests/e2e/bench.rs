//! `bench`: what it measures, what it makes of it, what it writes, and that nothing is left of it.
//!
//! Rounds are short: what the figures are is of no interest here, but that there are some.

mod cells;
mod forms;
mod honesty;
mod kill;
mod refusal;
mod signals;

use std::{
    ops::Deref,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::Value;

use crate::sandbox::{Run, Sandbox};

/// Rounds that are soon over.
const SHORT: [&str; 4] = ["--time", "0.02", "--rounds", "2"];

/// A sandbox, and the turn to use it. Benchmarks all measure on the same CPU: two at once would take
/// as long as one after the other, and see less.
struct Lab {
    sandbox: Sandbox,
    _turn: MutexGuard<'static, ()>,
}

impl Lab {
    fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        // Whoever failed had its turn.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self { sandbox: Sandbox::new(), _turn: turn }
    }
}

impl Deref for Lab {
    type Target = Sandbox;

    fn deref(&self) -> &Sandbox {
        &self.sandbox
    }
}

/// Runs `veth bench ARGS`. What it would save in the user's directory, it saves in the sandbox's.
fn bench(sandbox: &Sandbox, args: &[&str]) -> Run {
    let mut command = sandbox.veth_command(&["bench"]);
    Run::of({
        command.args(args).env("XDG_STATE_HOME", sandbox.file_path("state"));
        command
    })
}

/// The results and the summary of `veth bench ARGS`, which has to succeed and leave nothing.
#[track_caller]
fn measure(sandbox: &Sandbox, args: &[&str]) -> Value {
    let output = bench(sandbox, &[args, &["--json"]].concat()).ok().json();
    sandbox.assert_empty();
    output
}

/// The items of a list in JSON.
#[track_caller]
fn items(list: &Value) -> &[Value] {
    list.as_array().expect("is a list")
}

/// The row of the summary for one workload over one path.
#[track_caller]
fn row<'a>(output: &'a Value, workload: &str, path: &str) -> &'a Value {
    let rows = items(&output["summary"]["rows"]);
    let is_it = |row: &&Value| (&row["workload"], &row["path"]) == (&workload.into(), &path.into());
    rows.iter().find(is_it).unwrap_or_else(|| panic!("no row {workload} {path}: {output}"))
}
