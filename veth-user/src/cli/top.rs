//! `veth top`

mod terminal;

use std::{
    io::{self, IsTerminal as _},
    ops::ControlFlow,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use veth_common::PortSlot;

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
use terminal::{Screen, Waited};

/// How often the counters are read.
const INTERVAL: Duration = Duration::from_secs(1);
/// The first rates come sooner: nobody likes to look at nothing.
const FIRST_INTERVAL: Duration = Duration::from_millis(250);
/// One part in so many of the time is for looking at ports.
const LOOKING_SHARE: u32 = 250;
/// How long a new port may go unseen.
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
    dashboard.record(reader.snapshot()?);

    let mut screen = Screen::enter()?;
    let mut next = Instant::now() + FIRST_INTERVAL;
    let mut is_stale = true;
    while !session.stop.is_requested() {
        let now = Instant::now();
        if now >= next {
            dashboard.record(reader.snapshot()?);
            // A late reading puts off those after it: two at once would make a rate of nothing.
            next = (next + INTERVAL).max(now);
            is_stale = true;
        }
        if is_stale {
            screen.draw(|area, buffer| draw(&dashboard, palette, area, buffer))?;
            is_stale = false;
        }
        let wait = next.saturating_duration_since(Instant::now()).min(LOOK);
        if terminal::wait(wait)? == Waited::Gone {
            return Ok(());
        }
        while event::poll(Duration::ZERO).context("wait for a key")? {
            match event::read().context("read a key")? {
                Event::Key(event) if event.kind != KeyEventKind::Release => {
                    let Some(key) = key_of(event.code, event.modifiers) else { continue };
                    if dashboard.press(key) == ControlFlow::Break(()) {
                        return screen.leave();
                    }
                    is_stale = true;
                }
                Event::Resize(..) => is_stale = true,
                _ => {}
            }
        }
    }
    screen.leave()
}

/// The counters of a fabric, read every second. Which ports there are, and what their devices dropped, is
/// far dearer to know than what was counted: asking for it takes a small share of the time at most.
struct Watched {
    reader: Reader,
    ports: Vec<(PortSlot, PortSample)>,
    look_again: Instant,
}

impl Watched {
    fn open(fabric: &FabricName) -> Result<Self> {
        let reader = Reader::open(fabric)?;
        Ok(Self { reader, ports: Vec::new(), look_again: Instant::now() })
    }

    fn snapshot(&mut self) -> Result<Snapshot> {
        let started = Instant::now();
        if started >= self.look_again {
            self.ports = self.reader.ports()?;
            let pause = (started.elapsed() * LOOKING_SHARE).min(LONGEST_UNSEEN);
            self.look_again = Instant::now() + pause;
        }
        self.reader.count(&mut self.ports)
    }
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
