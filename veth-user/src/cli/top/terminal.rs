//! The terminal as a screen, and as it was again: when it is left, on an error, and in a panic.
//! Signals are the session's: they end the loop, which leaves like any other.

use std::{
    io::{self, Stdout},
    panic,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result};
use nix::sys::signal::{Signal, raise};
use ratatui::{
    Terminal,
    backend::CrosstermBackend,
    buffer::Buffer,
    crossterm::{
        cursor::Show,
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
    layout::Rect,
};

/// The terminal while it is a screen.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    entered: Entered,
}

impl Screen {
    /// Makes a screen of the terminal.
    pub(super) fn enter() -> Result<Self> {
        let entered = Entered::now().context("make a screen of the terminal")?;
        Ok(Self { terminal: Self::terminal()?, entered })
    }

    fn terminal() -> Result<Terminal<CrosstermBackend<Stdout>>> {
        let backend = CrosstermBackend::new(io::stdout());
        Terminal::new(backend).context("ask the terminal for its size")
    }

    /// Draws a screen; only what is different is written.
    pub(super) fn draw(&mut self, draw: impl FnOnce(Rect, &mut Buffer)) -> Result<()> {
        self.terminal
            .draw(|frame| draw(frame.area(), frame.buffer_mut()))
            .context("draw on the terminal")?;
        Ok(())
    }

    /// Makes the terminal what it was, stops this process until somebody has it go on, and makes a screen of
    /// the terminal again.
    pub(super) fn suspend(&mut self) -> Result<()> {
        self.entered.leave().context("restore the terminal")?;
        raise(Signal::SIGSTOP).context("stop")?;
        self.entered.enter().context("make a screen of the terminal")?;
        // What was drawn is gone, and the terminal may have another size.
        self.terminal = Self::terminal()?;
        Ok(())
    }

    /// Makes the terminal what it was.
    pub(super) fn leave(self) -> Result<()> {
        self.entered.leave().context("restore the terminal")
    }
}

/// That the terminal is a screen at the moment. Shared with the panic hook, so that whoever is first
/// restores it, once: what is printed afterwards must stay.
struct Entered(Arc<AtomicBool>);

impl Entered {
    fn now() -> io::Result<Self> {
        let entered = Self(Arc::default());
        entered.watch_for_panic();
        entered.enter()?;
        Ok(entered)
    }

    fn enter(&self) -> io::Result<()> {
        // Before the first change, which a failure of the second takes back on its way out.
        self.0.store(true, Ordering::Relaxed);
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)
    }

    /// A message of a panic would be lost with the screen. Threads that help may panic without an
    /// end to the screen.
    fn watch_for_panic(&self) {
        let (entered, drawing) = (Arc::clone(&self.0), thread::current().id());
        let earlier = panic::take_hook();
        panic::set_hook(Box::new(move |information| {
            if thread::current().id() == drawing {
                let _ = restore(&entered);
            }
            earlier(information);
        }));
    }

    fn leave(&self) -> io::Result<()> {
        restore(&self.0)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let _ = self.leave();
    }
}

fn restore(entered: &AtomicBool) -> io::Result<()> {
    if !entered.swap(false, Ordering::Relaxed) {
        return Ok(());
    }
    let shown = execute!(io::stdout(), LeaveAlternateScreen, Show);
    disable_raw_mode()?;
    shown
}
