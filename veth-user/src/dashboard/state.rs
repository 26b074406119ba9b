//! Which of it a person looks at: order, filter, selection, pause.

use std::{cmp::Ordering, ops::ControlFlow};

use super::history::{History, Row};
use crate::counters::Snapshot;

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character.
    Char(char),
    /// The last character is taken back.
    Backspace,
    /// Something is done.
    Enter,
    /// Something is left.
    Escape,
    /// One line up.
    Up,
    /// One line down.
    Down,
    /// Many lines up.
    PageUp,
    /// Many lines down.
    PageDown,
    /// To the first line.
    Home,
    /// To the last line.
    End,
    /// Ctrl-C.
    Interrupt,
}

/// What ports are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Frames per second.
    Frames,
    /// Bits per second.
    Bits,
    /// Mean frame size.
    Size,
    /// Share of the fast path.
    Fast,
    /// The port's name.
    Port,
}

impl Column {
    fn next(self) -> Self {
        match self {
            Self::Port => Self::Frames,
            Self::Frames => Self::Bits,
            Self::Bits => Self::Size,
            Self::Size => Self::Fast,
            Self::Fast => Self::Port,
        }
    }
}

/// What keys mean at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Ports,
    /// The filter is being typed.
    Filter,
    Help,
}

/// A fabric's last minute, and how it is looked at.
#[derive(Debug)]
pub struct Dashboard {
    live: History,
    /// What is shown instead while time stands still. Counting goes on.
    frozen: Option<Box<History>>,
    pub(super) mode: Mode,
    pub(super) column: Column,
    pub(super) reversed: bool,
    pub(super) filter: String,
    /// The index of a port; without one, whatever port is first.
    selected: Option<u32>,
}

impl Default for Dashboard {
    fn default() -> Self {
        Self::new()
    }
}

impl Dashboard {
    /// Busiest port first, and nothing recorded yet.
    pub fn new() -> Self {
        Self {
            live: History::default(),
            frozen: None,
            mode: Mode::Ports,
            column: Column::Frames,
            reversed: false,
            filter: String::new(),
            selected: None,
        }
    }

    /// Takes in the next snapshot.
    pub fn record(&mut self, snapshot: Snapshot) {
        self.live.record(snapshot);
    }

    /// Does what a key asks for; breaks when that is to leave.
    pub fn press(&mut self, key: Key) -> ControlFlow<()> {
        if key == Key::Interrupt {
            return ControlFlow::Break(());
        }
        match self.mode {
            Mode::Ports => return self.press_in_ports(key),
            Mode::Filter => self.press_in_filter(key),
            Mode::Help if key == Key::Char('q') => return ControlFlow::Break(()),
            Mode::Help => self.mode = Mode::Ports,
        }
        ControlFlow::Continue(())
    }

    fn press_in_ports(&mut self, key: Key) -> ControlFlow<()> {
        /// How far a page is.
        const PAGE: isize = 10;
        match key {
            Key::Char('q') => return ControlFlow::Break(()),
            Key::Char('s') => self.column = self.column.next(),
            Key::Char('r') => self.reversed = !self.reversed,
            Key::Char('/') => self.mode = Mode::Filter,
            Key::Char(' ' | 'p') => self.toggle_pause(),
            Key::Char('?' | 'h') => self.mode = Mode::Help,
            Key::Char('k') | Key::Up => self.select(-1),
            Key::Char('j') | Key::Down => self.select(1),
            Key::PageUp => self.select(-PAGE),
            Key::PageDown => self.select(PAGE),
            Key::Char('g') | Key::Home => self.selected = None,
            Key::Char('G') | Key::End => self.select(isize::MAX),
            Key::Escape => self.filter.clear(),
            Key::Char(_) | Key::Backspace | Key::Enter | Key::Interrupt => {}
        }
        ControlFlow::Continue(())
    }

    fn press_in_filter(&mut self, key: Key) {
        match key {
            Key::Char(character) => self.filter.push(character),
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Enter => self.mode = Mode::Ports,
            Key::Escape => {
                self.filter.clear();
                self.mode = Mode::Ports;
            }
            Key::Up => self.select(-1),
            Key::Down => self.select(1),
            Key::PageUp | Key::PageDown | Key::Home | Key::End | Key::Interrupt => {}
        }
    }

    fn toggle_pause(&mut self) {
        self.frozen = match self.frozen {
            Some(_) => None,
            None => Some(Box::new(self.live.clone())),
        };
    }

    /// Moves the selection by `lines` of what is shown, as far as there are any.
    fn select(&mut self, lines: isize) {
        let rows = self.rows();
        let Some(last) = rows.len().checked_sub(1) else { return };
        let place = self.place_of_selected(&rows).saturating_add_signed(lines).min(last);
        self.selected = Some(rows[place].sample.ifindex);
    }

    pub(super) fn is_paused(&self) -> bool {
        self.frozen.is_some()
    }

    /// What is shown.
    pub(super) fn history(&self) -> &History {
        self.frozen.as_deref().unwrap_or(&self.live)
    }

    /// The ports that the filter lets through, in order.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let wanted = self.filter.to_lowercase();
        let is_wanted = |text: &str| text.to_lowercase().contains(&wanted);
        let mut rows: Vec<Row<'_>> = self
            .history()
            .rows()
            .filter(|row| {
                wanted.is_empty()
                    || is_wanted(&row.sample.name)
                    || row.sample.netns.as_deref().is_some_and(is_wanted)
            })
            .collect();
        rows.sort_by(|left, right| {
            let order = self.compare(left, right);
            let order = if self.reversed { order.reverse() } else { order };
            order.then_with(|| left.sample.name.cmp(&right.sample.name))
        });
        rows
    }

    /// Where the selected port is among `rows`: the first when it is not there.
    pub(super) fn place_of_selected(&self, rows: &[Row<'_>]) -> usize {
        let is_selected = |row: &Row<'_>| Some(row.sample.ifindex) == self.selected;
        rows.iter().position(is_selected).unwrap_or(0)
    }

    /// Most first; names from A to Z.
    fn compare(&self, left: &Row<'_>, right: &Row<'_>) -> Ordering {
        // A port without frames has no size and no share: it is below every one that has.
        let figure = |row: &Row<'_>| match self.column {
            Column::Frames => row.rates.frames_per_second,
            Column::Bits => row.bits_per_second(),
            Column::Size => row.frame_bytes().unwrap_or(-1.0),
            Column::Fast => row.rates.fast_share.unwrap_or(-1.0),
            Column::Port => 0.0,
        };
        match self.column {
            Column::Port => left.sample.name.cmp(&right.sample.name),
            _ => figure(right).total_cmp(&figure(left)),
        }
    }
}
