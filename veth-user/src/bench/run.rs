//! The run: paths are built, measured round by round, and left to end with their threads.

use std::time::SystemTime;

use hdrhistogram::Histogram;
use veth_common::CaptureTally;

use super::{
    BenchError, Options,
    cell::{self, Measurement},
    frames::FrameLab,
    path::{self, BuiltPath},
};
use crate::{
    machine, netns,
    results::{
        CapturedFrames, Cell, CellName, FORMAT, Latency, Machine, Path, Results, Round,
        Unavailable, Workload,
    },
    stop::Stop,
    sysctl,
};

/// The workloads that are repeated for each number of ports.
const PORT_WORKLOADS: [Workload; 2] = [Workload::UdpRr, Workload::Frames];

/// How often something is measured of which nothing arrives. On a busy machine neither end may have
/// had its turn within a short round; a path that carries nothing carries nothing the next time.
const TRIES: usize = 3;

/// How much of a reason is kept.
const REASON_CHARS: usize = 300;

/// Percentiles of latencies that are kept: a curve, and the usual ones.
const PERCENTILES: [f64; 17] = [
    1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 97.5, 99.0, 99.5, 99.75, 99.9, 99.95, 99.99,
    99.999, 100.0,
];

/// How far a run is.
#[derive(Clone, Debug)]
pub enum Event {
    /// A path is being built.
    Building {
        /// How many are.
        done: usize,
        /// How many there will be.
        all: usize,
        /// Which one.
        path: Path,
    },
    /// A cell is being measured.
    Measuring {
        /// How many measurements are done.
        done: usize,
        /// How many there will be.
        all: usize,
        /// Which one.
        cell: CellName,
    },
    /// A round is over: everything that was measured so far.
    Round(Box<Results>),
}

/// Measures what `options` say, and returns what was found; when stopped, what was found until
/// then. `tell` is told on the way, on another thread.
///
/// # Errors
///
/// When none of the paths can be built. Others that cannot are listed in the results.
pub fn run(
    options: &Options,
    stop: &Stop,
    tell: &(dyn Fn(Event) + Sync),
) -> Result<Results, BenchError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let results = Results {
        format: FORMAT,
        release: env!("CARGO_PKG_VERSION").to_owned(),
        started_at_s: now.map_or(0, |since| since.as_secs()),
        finished: false,
        machine: Machine {
            bridge_netfilter: !sysctl::bridge_netfilter().is_empty(),
            ..machine::facts()
        },
        settings: options.settings(),
        unavailable: Vec::new(),
        captured: Vec::new(),
        cells: Vec::new(),
    };
    netns::private(|| {
        let mut run = Run { options, stop, tell, results, contests: Vec::new(), done: 0 };
        let paths = run.build()?;
        run.measure(&paths);
        Ok(run.results)
    })?
}

struct Run<'a> {
    options: &'a Options,
    stop: &'a Stop,
    tell: &'a (dyn Fn(Event) + Sync),
    results: Results,
    contests: Vec<Contest>,
    /// Measurements so far.
    done: usize,
}

/// One workload, and the paths that it is measured over in turn.
struct Contest {
    workload: Workload,
    entrants: Vec<Entrant>,
}

/// A path in a contest.
struct Entrant {
    /// Which of the built paths.
    path: usize,
    /// Which of the cells.
    cell: usize,
    /// Latencies of all rounds.
    latency: Option<Histogram<u64>>,
    /// False when it has failed.
    is_able: bool,
}

impl Run<'_> {
    /// Builds every path, and lists what will be measured.
    fn build(&mut self) -> Result<Vec<BuiltPath>, BenchError> {
        let paths = self.options.numbered_paths();
        let fabrics = paths.iter().filter(|path| path.kind.is_fabric());
        let scaled =
            fabrics.flat_map(|path| self.options.ports.iter().map(|it| (*path, Some(*it))));
        let wanted: Vec<(Path, Option<u32>)> =
            paths.iter().map(|path| (*path, None)).chain(scaled).collect();
        let mut built = Vec::new();
        for (done, (path, ports)) in wanted.iter().copied().enumerate() {
            if self.stop.is_requested() {
                break;
            }
            (self.tell)(Event::Building { done, all: wanted.len(), path });
            let index = u8::try_from(done).unwrap_or(u8::MAX);
            match path::build(path, index, ports, self.options, self.stop) {
                Ok(path) => built.push(path),
                // What was cut short says nothing of the path.
                Err(_) if self.stop.is_requested() => break,
                Err(error) if error.is_permission() => return Err(error),
                Err(error) => self.give_up(path, None, error.to_string()),
            }
        }
        if built.is_empty() && !self.stop.is_requested() {
            let reasons: Vec<String> =
                self.results.unavailable.iter().map(|it| it.reason.clone()).collect();
            return Err(BenchError::NoPath(reasons.join("; ")));
        }
        for workload in self.options.workloads.clone() {
            self.add_contest(workload, &built, |path| path.ports.is_none());
        }
        for workload in PORT_WORKLOADS {
            for ports in self.options.ports.clone() {
                self.add_contest(workload, &built, |path| path.ports == Some(ports));
            }
        }
        Ok(built)
    }

    fn add_contest(
        &mut self,
        workload: Workload,
        built: &[BuiltPath],
        takes_part: impl Fn(&BuiltPath) -> bool,
    ) {
        let mut entrants = Vec::new();
        for (index, path) in built.iter().enumerate().filter(|(_, path)| takes_part(path)) {
            if let Err(reason) = path.supports(workload) {
                self.give_up(path.path, Some(workload), reason);
                continue;
            }
            let cell = self.results.cells.len();
            let (path, ports) = (path.path, path.ports);
            let rounds = Vec::new();
            self.results.cells.push(Cell { workload, path, ports, rounds, latency: None });
            entrants.push(Entrant { path: index, cell, latency: None, is_able: true });
        }
        self.contests.push(Contest { workload, entrants });
    }

    fn give_up(&mut self, path: Path, workload: Option<Workload>, reason: String) {
        // What a verifier has to say goes on for pages.
        let reason = match reason.char_indices().nth(REASON_CHARS) {
            Some((at, _)) => format!("{}…", &reason[..at]),
            None => reason,
        };
        self.results.unavailable.push(Unavailable { path, workload, reason });
    }

    /// Measures round by round. In each, every path of a contest has its turn, one right after the
    /// other, and who begins goes around: what disturbs the machine disturbs them alike.
    fn measure(&mut self, paths: &[BuiltPath]) {
        let mut lab = FrameLab::default();
        let mut contests = std::mem::take(&mut self.contests);
        for round in 0..self.options.rounds {
            // There may be nobody below who looks.
            if self.stop.is_requested() {
                return;
            }
            for contest in &mut contests {
                let count = contest.entrants.len().max(1);
                contest.entrants.rotate_left(usize::from(round > 0) % count);
                for entrant in contest.entrants.iter_mut().filter(|entrant| entrant.is_able) {
                    if self.stop.is_requested() {
                        return;
                    }
                    self.take_turn(round, contest.workload, entrant, paths, &mut lab);
                }
            }
            self.results.captured = paths.iter().filter_map(captured).collect();
            self.results.finished = round + 1 == self.options.rounds;
            (self.tell)(Event::Round(Box::new(self.results.clone())));
        }
    }

    fn take_turn(
        &mut self,
        round: u32,
        workload: Workload,
        entrant: &mut Entrant,
        paths: &[BuiltPath],
        lab: &mut FrameLab,
    ) {
        let all = self.results.cells.len() * self.options.rounds as usize;
        let cell = self.results.cells[entrant.cell].name();
        (self.tell)(Event::Measuring { done: self.done, all, cell });
        self.done += 1;
        let path = &paths[entrant.path];
        let mut measure = || {
            path.watch(true)?;
            let measured = cell::measure(path, workload, self.options, lab, self.stop);
            path.watch(false)?;
            measured
        };
        let mut measured = measure();
        for _ in 1..TRIES {
            if !matches!(measured, Err(BenchError::NothingArrived(_))) {
                break;
            }
            measured = measure();
        }
        match measured {
            Ok(Some(Measurement { round: measured, latency })) => {
                let cell = &mut self.results.cells[entrant.cell];
                cell.rounds.push(Round { round, ..measured });
                if let Some(latency) = latency {
                    let sum = match entrant.latency.take() {
                        Some(sum) => sum + latency,
                        None => latency,
                    };
                    cell.latency = Some(summarize(&sum));
                    entrant.latency = Some(sum);
                }
            }
            Ok(None) => {}
            Err(_) if self.stop.is_requested() => {}
            Err(error) => {
                entrant.is_able = false;
                let reason = match path.ports {
                    Some(ports) => format!("with {ports} ports: {error}"),
                    None => error.to_string(),
                };
                self.give_up(path.path, Some(workload), reason);
            }
        }
    }
}

/// What became of the frames of a path that is captured.
fn captured(path: &BuiltPath) -> Option<CapturedFrames> {
    let CaptureTally { matched, lost, .. } = path.captured()?;
    Some(CapturedFrames { path: path.path, ports: path.ports, frames: matched, lost })
}

fn summarize(histogram: &Histogram<u64>) -> Latency {
    let at = |percentile| (percentile, histogram.value_at_percentile(percentile));
    Latency { count: histogram.len(), percentiles: PERCENTILES.map(at).to_vec() }
}
