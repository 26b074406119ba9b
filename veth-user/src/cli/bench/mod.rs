//! `veth bench`

mod arguments;
mod progress;
mod store;

use std::{path::Path, sync::mpsc, thread};

use anyhow::{Result, anyhow};
use serde::Serialize;
use terminal_size::{Width, terminal_size};

pub(super) use arguments::{BenchCommand, BenchOptions};
use arguments::{CompareOptions, ShowOptions};
use progress::Progress;

use super::session::{
    Interrupted, Session, WrongArgument, complain, is_coloured, print, print_json, say,
};
use crate::{
    bench::{self, Event, Options},
    datapath,
    results::{Comparison, Results, Summary, render},
    traffic::load::allowed_cpus,
};

/// What `--json` prints.
#[derive(Serialize)]
struct Output<'a> {
    results: &'a Results,
    summary: &'a Summary,
}

/// In which form to print results.
#[derive(Clone, Copy)]
enum Form {
    Table,
    Csv,
    Markdown,
    Json,
}

impl Form {
    fn of(csv: bool, markdown: bool, json: bool) -> Self {
        match (csv, markdown, json) {
            (true, ..) => Self::Csv,
            (_, true, _) => Self::Markdown,
            (_, _, true) => Self::Json,
            _ => Self::Table,
        }
    }
}

pub(super) fn run(session: &Session, arguments: &BenchOptions) -> Result<()> {
    if arguments.clean {
        return clean(session);
    }
    let allowed = allowed_cpus()?;
    let placement = arguments.cpus.place(&allowed).map_err(WrongArgument)?;
    let options = arguments.options(placement);
    let save = store::destination(arguments.save.as_deref())?;
    if let Some(page) = &arguments.html {
        // Found out now, not after a quarter of an hour.
        store::check_writable(page)?;
    }
    let (results, saved) = measure(session, &options, &save)?;
    let form = Form::of(arguments.csv, arguments.markdown, session.json);
    show(&results, form, arguments.html.as_deref())?;
    // What could not be saved has at least been shown.
    saved?;
    if has_rounds(&results) {
        say(&format!("results are in {}", save.display()));
    } else {
        complain("nothing was measured, and nothing saved");
    }
    if session.stop.is_requested() {
        return Err(Interrupted.into());
    }
    let failed = results.cells.iter().find(|cell| cell.rounds.is_empty());
    match failed {
        Some(cell) => {
            Err(anyhow!("{} could not be measured; the reason stands above", cell.name()))
        }
        None => Ok(()),
    }
}

fn has_rounds(results: &Results) -> bool {
    results.cells.iter().any(|cell| !cell.rounds.is_empty())
}

/// Runs the benchmark beside this thread, which shows how far it is and saves each round. Says
/// beside the results whether they are saved.
fn measure(session: &Session, options: &Options, save: &Path) -> Result<(Results, Result<()>)> {
    let (events, heard) = mpsc::channel();
    let mut progress = Progress::new();
    thread::scope(|scope| {
        let tell = move |event: Event| {
            // Nobody hears it any more when saving failed, and then there is a stop.
            let _ = events.send(event);
        };
        let stop = &session.stop;
        let benchmark = scope.spawn(move || bench::run(options, stop, &tell));
        let mut saved = Ok(());
        for event in heard {
            if let Event::Round(results) = &event
                && saved.is_ok()
            {
                saved = store::save(save, results);
                if saved.is_err() {
                    session.stop.request();
                }
            }
            progress.show(&event);
        }
        progress.finish();
        let results = benchmark.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        // What was measured since the last round was over. Nothing takes nobody's place.
        if saved.is_ok() && has_rounds(&results) {
            saved = store::save(save, &results);
        }
        Ok((results, saved))
    })
}

/// Writes the page, prints results in one form, and says where the page is: last, where it is seen.
fn show(results: &Results, form: Form, page: Option<&Path>) -> Result<()> {
    let summary = Summary::of(results);
    if let Some(path) = page {
        store::write(path, &render::page(results, &summary))?;
    }
    match form {
        Form::Csv => print(&render::csv(results)),
        Form::Markdown => print(&render::markdown(results, &summary)),
        Form::Json => print_json(&Output { results, summary: &summary }),
        Form::Table => {
            let width = terminal_size().map(|(Width(columns), _)| columns);
            print(&render::table(results, &summary, width, is_coloured()))
        }
    }?;
    if let Some(path) = page {
        say(&format!("the page is {}", path.display()));
    }
    Ok(())
}

/// The commands that only read results, which anybody may.
pub(super) fn read(command: &BenchCommand, json: bool) -> Result<()> {
    match command {
        BenchCommand::Compare(CompareOptions { before, after }) => {
            let comparison = Comparison::of(&store::load(before)?, &store::load(after)?);
            if json { print_json(&comparison) } else { print(&comparison.text()) }
        }
        BenchCommand::Show(ShowOptions { file, csv, markdown, html }) => {
            show(&store::load(file)?, Form::of(*csv, *markdown, json), html.as_deref())
        }
    }
}

/// What was found and removed.
#[derive(Serialize)]
struct Cleaned {
    /// Files of saves that were cut short.
    files: Vec<String>,
    /// Programs of a benchmark that are still in the kernel.
    programs: usize,
}

/// Removes what a benchmark that was killed can have left: half a file. All else was in namespaces
/// that ended with it; this says whether the kernel is done with them.
fn clean(session: &Session) -> Result<()> {
    let files = store::remove_unfinished()?;
    let files: Vec<String> = files.iter().map(|path| path.display().to_string()).collect();
    let cleaned = Cleaned { programs: datapath::bench::count_loaded()?, files };
    if session.json {
        return print_json(&cleaned);
    }
    let mut text = String::new();
    for file in &cleaned.files {
        text += &format!("removed {file}\n");
    }
    match cleaned.programs {
        0 => text += "nothing of a benchmark is left on this machine\n",
        count => {
            text += &format!(
                "{count} programs of a benchmark are in the kernel: one is running, or one that \
                 was killed is still being cleared away\n"
            );
        }
    }
    print(&text)
}
