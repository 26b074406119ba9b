//! A thread that is never left behind.

use std::{panic, thread::JoinHandle};

use crate::Stop;
use crate::netns::NetnsError;

/// A thread, and what tells it to end. Dropping it tells it and waits.
#[derive(Debug)]
pub(super) struct Worker<T> {
    /// `None` once joined.
    thread: Option<JoinHandle<Result<T, NetnsError>>>,
    end: Stop,
}

impl<T> Worker<T> {
    pub(super) fn new(thread: JoinHandle<Result<T, NetnsError>>, end: Stop) -> Self {
        Self { thread: Some(thread), end }
    }

    /// Tells the thread to end, and waits for what it has to say. A panic in it goes on here.
    pub(super) fn finish(mut self) -> Result<T, NetnsError> {
        self.end.request();
        let thread = self.thread.take().expect("only finish and drop take it, and both are last");
        thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.end.request();
        if let Some(thread) = self.thread.take() {
            // Whoever drops it does not want the result, and the panic has been printed.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread};

    #[test]
    fn dropped_worker_is_told_to_end_and_joined() {
        let end = Stop::new();
        let (ended, has_ended) = mpsc::channel();
        let seen = end.clone();
        let thread = thread::spawn(move || {
            while !seen.is_requested() {
                thread::yield_now();
            }
            ended.send(()).expect("the test holds the receiver");
            Ok(())
        });

        drop(Worker::new(thread, end));

        has_ended.try_recv().expect("the thread ended before drop returned");
    }
}
