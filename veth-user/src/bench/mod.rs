//! The benchmark: paths between two namespaces, the same workloads over each, round by round.
//!
//! Everything is made in a network and a mount namespace of the benchmark's own, which end with its
//! threads: after success, failure, Ctrl-C or `kill -9` there is nothing to take down.

mod cell;
mod error;
mod frames;
mod options;
mod path;
mod run;

pub use error::BenchError;
pub use options::{Options, Placement, Preset};
pub use run::{Event, run};
