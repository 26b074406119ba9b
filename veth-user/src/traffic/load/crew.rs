//! The threads of one measurement, each on its CPU.

use std::sync::Arc;

use super::{Edges, LoadOptions, Measured, placement::pin_to, window::Window};
use crate::{
    Stop,
    traffic::{endpoint::Endpoint, error::TrafficError, worker::Worker},
};

/// What a worker counted; `None` when it gave up, and the window knows why.
pub(super) type Tally = Option<Measured>;

/// Starts workers around one window, and measures with them.
#[derive(Debug, Default)]
pub(super) struct Crew {
    window: Arc<Window>,
}

impl Crew {
    /// Starts `work` on `cpu`. It ends when the window closes, at the latest when it is dropped.
    pub(super) fn start(
        &self,
        at: Endpoint<'_>,
        cpu: usize,
        work: impl FnOnce(&Window) -> Result<Measured, TrafficError> + Send + 'static,
    ) -> Result<Worker<Tally>, TrafficError> {
        let share = Share(Arc::clone(&self.window));
        at.start(self.window.closed(), move || {
            let Share(window) = &share;
            // Failures are noted while `work` still has its sockets: what the far side then says
            // follows from their end.
            if let Err(error) = pin_to(cpu) {
                window.fail(error);
                return None;
            }
            work(window).map_err(|error| window.fail(error)).ok()
        })
    }

    /// Lets the traffic run its time, ends all `workers`, and returns what they counted together.
    pub(super) fn measure(
        self,
        workers: impl IntoIterator<Item = Worker<Tally>>,
        options: &LoadOptions,
        edges: Edges<'_>,
        stop: &Stop,
    ) -> Result<Measured, TrafficError> {
        self.window.conduct(options, edges, stop);
        let mut together = Measured::default();
        for worker in workers {
            if let Some(measured) = worker.finish()? {
                together = together.and(measured);
            }
        }
        self.window.take_failure().map_or(Ok(together), Err)
    }
}

/// A worker's hold on the window. However the worker ends, if it fails, panics or never gets into
/// its namespace, nobody goes on without it.
struct Share(Arc<Window>);

impl Drop for Share {
    fn drop(&mut self) {
        self.0.closed().request();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::load::{Edge, allowed_cpus};
    use nix::sched::sched_getcpu;
    use std::{net::Ipv4Addr, time::Duration};

    const FOREVER: LoadOptions = LoadOptions {
        warm_up: Duration::ZERO,
        duration: Duration::from_hours(1),
        payload_bytes: 0,
    };

    fn here() -> Endpoint<'static> {
        Endpoint::here(Ipv4Addr::LOCALHOST)
    }

    #[test]
    fn worker_runs_on_its_cpu() {
        for cpu in allowed_cpus().expect("ask") {
            let crew = Crew::default();
            let worker = crew.start(here(), cpu, move |window| {
                window.serve(|| {
                    assert_eq!(sched_getcpu().expect("ask"), cpu);
                    Ok(())
                })
            });
            worker.expect("start").finish().expect("no namespace to enter").expect("no failure");
        }
    }

    #[test]
    fn worker_that_fails_ends_the_measurement_with_its_error() {
        let crew = Crew::default();
        let cpu = allowed_cpus().expect("ask")[0];
        let workers = [
            crew.start(here(), cpu, |window| window.serve(|| Ok(()))).expect("start"),
            crew.start(here(), usize::MAX, |window| window.serve(|| Ok(()))).expect("start"),
        ];
        let window = Arc::downgrade(&crew.window);
        let error = crew
            .measure(workers, &FOREVER, &|_: Edge| {}, &Stop::new())
            .expect_err("there is no such CPU");
        assert!(matches!(error, TrafficError::Pin { cpu: usize::MAX, .. }), "{error}");
        // Every thread holds a share of the window.
        assert_eq!(window.strong_count(), 0);
    }

    #[test]
    fn dropped_worker_leaves_no_thread_behind() {
        let crew = Crew::default();
        let cpu = allowed_cpus().expect("ask")[0];
        let worker = crew.start(here(), cpu, |window| window.serve(|| Ok(()))).expect("start");
        drop(worker);
        assert_eq!(Arc::strong_count(&crew.window), 1);
    }
}
