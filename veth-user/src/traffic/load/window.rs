//! The window in which is counted: the one who holds the clock opens and closes it, the workers
//! notice between two operations.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use super::{Edge, Edges, LoadOptions, Measured};
use crate::{
    Stop,
    traffic::{error::TrafficError, socket::TICK},
};

/// What one step of an end that answers came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Served {
    /// Something was asked, and there may be more.
    Something,
    /// Nothing was asked for a while.
    Nothing,
    /// Nothing more will be asked.
    Everything,
}

/// Closed, then open, then closed for good.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Set when the warm-up is over. A flag like a stop, and as cheap to look at.
    opened: Stop,
    /// Set when the traffic is to end. It has no parent, so a look is one load: the caller's stop
    /// is for the holder of the clock to notice.
    closed: Stop,
    failure: Mutex<Option<TrafficError>>,
}

impl Window {
    /// What tells the workers to end.
    pub(super) fn closed(&self) -> &Stop {
        &self.closed
    }

    pub(super) fn is_warming_up(&self) -> bool {
        !self.opened.is_requested() && !self.is_closed()
    }

    pub(super) fn was_opened(&self) -> bool {
        self.opened.is_requested()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.is_requested()
    }

    /// Repeats `step` till the window closes, and returns what it counted while it was open.
    /// `fresh` makes what it counts into.
    pub(super) fn count(
        &self,
        fresh: impl Fn() -> Measured,
        mut step: impl FnMut(&mut Measured) -> Result<(), TrafficError>,
    ) -> Result<Measured, TrafficError> {
        // Both are made now: the window opens without a pause.
        let (mut uncounted, mut measured) = (fresh(), fresh());
        while self.is_warming_up() {
            self.judge(step(&mut uncounted))?;
        }
        let opened_at = Instant::now();
        while !self.is_closed() {
            self.judge(step(&mut measured))?;
        }
        if self.was_opened() {
            measured.elapsed = opened_at.elapsed();
        }
        Ok(measured)
    }

    /// Repeats `step`, which counts nothing, till the window closes.
    pub(super) fn serve(
        &self,
        mut step: impl FnMut() -> Result<(), TrafficError>,
    ) -> Result<Measured, TrafficError> {
        while !self.is_closed() {
            self.judge(step())?;
        }
        Ok(Measured::default())
    }

    /// Repeats `step`, which counts nothing, till it has served everything, or nothing more after
    /// the window closed.
    pub(super) fn serve_to_the_end(
        &self,
        mut step: impl FnMut() -> Result<Served, TrafficError>,
    ) -> Result<Measured, TrafficError> {
        loop {
            match step() {
                Ok(Served::Everything) => break,
                Ok(Served::Nothing) | Err(_) if self.is_closed() => break,
                Ok(Served::Nothing | Served::Something) => {}
                Err(error) => self.judge(Err(error))?,
            }
        }
        Ok(Measured::default())
    }

    /// Holds the clock: the warm-up, the window, and its edges. Returns early, with the window
    /// closed, when `stop` is requested or a worker gave up.
    pub(super) fn conduct(&self, options: &LoadOptions, edges: Edges<'_>, stop: &Stop) {
        if self.pause(options.warm_up, stop) {
            self.opened.request();
            edges(Edge::Begin);
            self.pause(options.duration, stop);
            self.closed.request();
            edges(Edge::End);
        }
        self.closed.request();
    }

    /// Notes why a worker gave up, and closes the window.
    pub(super) fn fail(&self, error: TrafficError) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.closed.request();
    }

    /// Why the first worker gave up, if any did.
    pub(super) fn take_failure(&self) -> Option<TrafficError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whoever ends first hangs up on the other, so what fails in a closed window is no failure.
    /// What fails in an open one closes it, before the sockets of this end are gone.
    fn judge(&self, result: Result<(), TrafficError>) -> Result<(), TrafficError> {
        if result.is_ok() || self.is_closed() {
            return Ok(());
        }
        self.closed.request();
        result
    }

    /// Whether `duration` passed in peace.
    fn pause(&self, duration: Duration, stop: &Stop) -> bool {
        let started_at = Instant::now();
        loop {
            if stop.is_requested() || self.is_closed() {
                return false;
            }
            let left = duration.saturating_sub(started_at.elapsed());
            if left.is_zero() {
                return true;
            }
            thread::sleep(left.min(TICK));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::error::Place;
    use std::{io, net::Ipv4Addr};

    const HOUR: Duration = Duration::from_hours(1);

    fn failure(action: &'static str) -> TrafficError {
        let cause = io::Error::from(io::ErrorKind::BrokenPipe);
        Place::Here.failed(action, (Ipv4Addr::LOCALHOST, 1).into())(cause)
    }

    fn step(measured: &mut Measured) {
        measured.operations += 1;
    }

    #[test]
    fn only_what_happens_inside_is_counted() {
        let window = Window::default();
        let mut steps = 0;
        let measured = window.count(Measured::default, |measured| {
            step(measured);
            steps += 1;
            match steps {
                10 => window.opened.request(),
                15 => window.closed.request(),
                _ => {}
            }
            Ok(())
        });
        assert_eq!(measured.expect("no step failed").operations, 5);
    }

    #[test]
    fn window_that_never_opened_has_no_length() {
        let window = Window::default();
        let measured = window.count(Measured::default, |measured| {
            step(measured);
            window.closed.request();
            Ok(())
        });
        assert_eq!(measured.expect("no step failed"), Measured::default());
    }

    #[test]
    fn failure_closes_it_and_hanging_up_after_that_is_none() {
        let window = Window::default();
        window.serve(|| Err(failure("receive from"))).expect_err("the window was not closed");
        assert!(window.is_closed());

        let window = Window::default();
        let hang_up = window.serve(|| {
            window.closed.request();
            Err(failure("receive from"))
        });
        hang_up.expect("it was closed by then");
    }

    #[test]
    fn first_failure_is_the_one_that_is_told() {
        let window = Window::default();
        window.fail(failure("send to"));
        window.fail(failure("receive from"));
        let told = window.take_failure().expect("there were two").to_string();
        assert!(told.starts_with("send to"), "{told}");
    }

    #[test]
    fn edges_are_called_in_order_and_an_early_stop_calls_none() {
        let options = LoadOptions { warm_up: HOUR, duration: HOUR, payload_bytes: 0 };
        let called = Mutex::new(Vec::new());
        let note = |edge| called.lock().expect("no panic").push(edge);

        let (window, stop) = (Window::default(), Stop::new());
        stop.request();
        window.conduct(&options, &note, &stop);
        assert!(window.is_closed() && !window.was_opened());
        assert_eq!(*called.lock().expect("no panic"), []);

        let (window, stop) = (Window::default(), Stop::new());
        let options = LoadOptions { warm_up: Duration::ZERO, ..options };
        let note_and_stop = |edge| {
            note(edge);
            assert_eq!(window.is_closed(), edge == Edge::End);
            stop.request();
        };
        window.conduct(&options, &note_and_stop, &stop);
        assert_eq!(*called.lock().expect("no panic"), [Edge::Begin, Edge::End]);
    }
}
