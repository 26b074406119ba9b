//! What a person does at the terminal, and whether it is still there.
//!
//! crossterm reads the end of a terminal that is gone again and again, without an end of its own. So it
//! reads in a thread, which nobody waits for when the screen is left: it ends with the process.

use std::{
    io,
    os::fd::AsFd as _,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::crossterm::event::{self, Event};

/// The events of the terminal.
pub(super) struct Input {
    events: Receiver<io::Result<Event>>,
}

/// What there was when it was waited for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Waited {
    /// This.
    Event(Event),
    /// Nothing yet.
    Nothing,
    /// The terminal has hung up.
    Gone,
}

impl Input {
    /// Begins to read.
    pub(super) fn listen() -> Self {
        let (sender, events) = mpsc::channel();
        thread::spawn(move || while sender.send(event::read()).is_ok() {});
        Self { events }
    }

    /// Waits for an event, at most as long as `time`.
    pub(super) fn wait(&self, time: Duration) -> Result<Waited> {
        match self.events.recv_timeout(time) {
            Ok(event) => event.map(Waited::Event).context("read a key"),
            Err(RecvTimeoutError::Timeout) if has_hung_up() => Ok(Waited::Gone),
            Err(RecvTimeoutError::Timeout) => Ok(Waited::Nothing),
            Err(RecvTimeoutError::Disconnected) => Ok(Waited::Gone),
        }
    }
}

fn has_hung_up() -> bool {
    let stdin = io::stdin();
    let mut terminal = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    // Without an answer, whoever asks next will have one.
    poll(&mut terminal, PollTimeout::ZERO).is_ok()
        && terminal[0].revents().is_some_and(|events| events.intersects(gone))
}
