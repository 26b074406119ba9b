//! `veth top`

mod input;
mod terminal;

use std::{
    io::{self, IsTerminal as _},
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    arguments::TopOptions,
    session::{Session, WrongArgument, is_coloured},
    stats::Reader,
    target::only_fabric,
};
use crate::{
    counters::{PortSample, Snapshot},
    dashboard::{Dashboard, Key, Palette, draw},
    topology::FabricName,
};
use input::{Input, Waited};
use terminal::Screen;

/// How often the counters are read.
const INTERVAL: Duration = Duration::from_secs(1);
/// The first rates come sooner: nobody likes to look at nothing.
const FIRST_INTERVAL: Duration = Duration::from_millis(250);
/// One part in so many of the time is for looking at ports, and another one for reading pairs.
const LOOKING_SHARE: u32 = 250;
/// How long what devices dropped may go unseen, and what a pair sends.
const LONGEST_UNSEEN: Duration = Duration::from_secs(10);
/// How long a wish to stop may go unnoticed.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn run(session: &Session, options: &TopOptions) -> Result<()> {
    if session.json || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let text = "`veth top` draws on a terminal, for people; `veth stats --watch` prints the same \
                    rates, with --json for programs";
        return Err(WrongArgument(text.into()).into());
    }
    let name = only_fabric(options.name.as_deref())?;
    let mut reader = Watched::open(&name)?;
    let palette = if is_coloured() { Palette::Sixteen } else { Palette::Plain };
    let mut dashboard = Dashboard::new();
    dashboard.record(reader.snapshot(false)?);

    let wish = Wish::listen(session)?;
    let mut screen = Screen::enter()?;
    let input = Input::listen();
    let mut next = Instant::now() + FIRST_INTERVAL;
    let mut is_stale = true;
    while !session.stop.is_requested() {
        if wish.to_suspend.swap(false, Ordering::Relaxed) {
            screen.suspend()?;
            is_stale = true;
        }
        let now = Instant::now();
        if now >= next {
            dashboard.record(reader.snapshot(dashboard.wants_pairs())?);
            // A late reading puts off those after it: two at once would make a rate of nothing.
            next = (next + INTERVAL).max(now);
            is_stale = true;
        }
        if is_stale {
            screen.draw(|area, buffer| draw(&dashboard, palette, area, buffer))?;
            is_stale = false;
            // What the terminal is like after a panic has to be tried, and there is none to be had.
            #[cfg(debug_assertions)]
            assert!(std::env::var_os("VETH_TOP_PANICS").is_none(), "asked to panic");
        }
        let mut wait = next.saturating_duration_since(Instant::now()).min(LOOK);
        // All that was typed meanwhile, before it is drawn.
        loop {
            match input.wait(wait)? {
                Waited::Gone => return Ok(()),
                Waited::Nothing => break,
                Waited::Event(Event::Key(event)) if is_suspend(event) => {
                    wish.to_suspend.store(true, Ordering::Relaxed);
                }
                Waited::Event(Event::Key(event)) if event.kind != KeyEventKind::Release => {
                    let Some(key) = key_of(event.code, event.modifiers) else { continue };
                    let had_pairs = dashboard.wants_pairs();
                    if dashboard.press(key) == ControlFlow::Break(()) {
                        return screen.leave();
                    }
                    if dashboard.wants_pairs() && !had_pairs {
                        // The first reading of pairs, which the next one is compared with.
                        next = Instant::now();
                    }
                    is_stale = true;
                }
                Waited::Event(event) => is_stale |= matches!(event, Event::Resize(..)),
            }
            wait = Duration::ZERO;
        }
    }
    screen.leave()
}

/// What signals ask for, beyond what they ask of every command.
struct Wish {
    to_suspend: Arc<AtomicBool>,
}

impl Wish {
    /// Listens for them: the terminal has to be what it was before they do what they do.
    fn listen(session: &Session) -> Result<Self> {
        let wish = Self { to_suspend: Arc::default() };
        let _guard = session.runtime.enter();
        let suspend = SignalKind::from_raw(Signal::SIGTSTP as i32);
        let mut suspend = signal(suspend).context("listen for signals")?;
        let to_suspend = Arc::clone(&wish.to_suspend);
        session.runtime.spawn(async move {
            while suspend.recv().await.is_some() {
                to_suspend.store(true, Ordering::Relaxed);
            }
        });
        let mut quit = signal(SignalKind::quit()).context("listen for signals")?;
        let stop = session.stop.clone();
        session.runtime.spawn(async move {
            while quit.recv().await.is_some() {
                stop.request();
            }
        });
        Ok(wish)
    }
}

/// Ctrl-Z: a terminal that is a screen makes no signal of it.
fn is_suspend(event: KeyEvent) -> bool {
    event.modifiers.contains(KeyModifiers::CONTROL) && event.code == KeyCode::Char('z')
}

/// The counters of a fabric, read every second. Which ports there are, what their devices dropped, and what
/// pairs of them have counted, is far dearer to know than what each port counted: asking for it takes a
/// small share of the time at most.
struct Watched {
    reader: Reader,
    ports: Vec<PortSample>,
    look_again: Instant,
    read_pairs_again: Instant,
}

impl Watched {
    fn open(fabric: &FabricName) -> Result<Self> {
        let reader = Reader::open(fabric)?;
        let now = Instant::now();
        Ok(Self { reader, ports: Vec::new(), look_again: now, read_pairs_again: now })
    }

    fn snapshot(&mut self, with_pairs: bool) -> Result<Snapshot> {
        let started = Instant::now();
        if started >= self.look_again || self.reader.has_other_ports() {
            self.ports = self.reader.ports()?;
            self.look_again = pause_after(started);
        }
        let snapshot = self.reader.count(&self.ports)?;
        if !with_pairs {
            self.reader.leave_pairs();
            self.read_pairs_again = started;
            return Ok(snapshot);
        }
        let started = Instant::now();
        if started < self.read_pairs_again {
            return Ok(snapshot);
        }
        let pairs = self.reader.read_pairs()?;
        self.read_pairs_again = pause_after(started);
        Ok(Snapshot { pairs: Some(pairs), ..snapshot })
    }
}

/// When to do again what was begun at `started` and is done now.
fn pause_after(started: Instant) -> Instant {
    Instant::now() + (started.elapsed() * LOOKING_SHARE).min(LONGEST_UNSEEN)
}

/// What a key means; `None` for those that mean nothing here.
fn key_of(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
    if modifiers.contains(KeyModifiers::CONTROL) {
        return (code == KeyCode::Char('c')).then_some(Key::Interrupt);
    }
    Some(match code {
        KeyCode::Char(character) => Key::Char(character),
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Tab => Key::Tab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_keys_are_no_letters() {
        let key = |code, modifiers| key_of(KeyCode::Char(code), modifiers);
        assert_eq!(key('c', KeyModifiers::CONTROL), Some(Key::Interrupt));
        assert_eq!(key('q', KeyModifiers::CONTROL), None);
        assert_eq!(key('G', KeyModifiers::SHIFT), Some(Key::Char('G')));
    }
}
