//! The command line.
//!
//! One file for each command; what they share about talking to a person is in `session`.

mod agent;
mod arguments;
mod attach;
mod bench;
mod capture;
mod doctor;
mod down;
mod explain;
mod frames;
mod generate;
mod keep;
mod log;
mod ls;
mod metrics;
mod outlet;
mod run;
mod session;
mod stats;
mod status;
mod target;
mod top;
mod up;

use std::process::ExitCode;

use clap::Parser as _;

pub use arguments::{Arguments, Command};
use session::Session;

/// Runs the program and says how it ended.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // Texts that the build asks for need no privileges, no runtime and no kernel.
    match &arguments.command {
        Command::Completions { shell } => {
            return session::report(generate::completions(*shell));
        }
        Command::Man { dir } => return session::report(generate::man_pages(dir)),
        Command::Bench(options) => {
            if let Some(command) = &options.command {
                return session::report(bench::read(command, arguments.json));
            }
        }
        _ => {}
    }
    let session = match Session::start(arguments.json) {
        Ok(session) => session,
        Err(error) => return session::report(Err(error)),
    };
    session::report(match &arguments.command {
        Command::Up(options) => up::run(&session, options),
        Command::Down(options) => down::run(&session, options),
        Command::Status(options) => status::run(&session, options),
        Command::Stats(options) => stats::run(&session, options),
        Command::Capture(options) => capture::run(&session, options),
        Command::Log(options) => log::run(&session, options),
        Command::Top(options) => top::run(&session, options),
        Command::Ls(options) => ls::run(&session, options),
        Command::Doctor(options) => doctor::run(&session, options),
        Command::Explain(options) => explain::run(&session, options),
        Command::Run(options) => run::run(&session, options),
        Command::Agent(options) => agent::run(&session, options),
        Command::Metrics(options) => metrics::run(&session, options),
        Command::Attach(options) => attach::attach(&session, options),
        Command::Detach(options) => attach::detach(&session, options),
        Command::Bench(options) => bench::run(&session, options),
        Command::Completions { .. } | Command::Man { .. } => Ok(()),
    })
}
