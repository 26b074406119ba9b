//! Which of it a person looks at: order, filter, selection, pause.

use std::{cmp::Ordering, ops::ControlFlow};

use super::history::{History, Row};
use crate::counters::{PairTraffic, Partner, Snapshot, Traffic};

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
    /// To the other view.
    Tab,
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

/// What ports, or pairs, are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// Frames per second.
    Frames,
    /// Bits per second.
    Bits,
    /// Mean frame size.
    Size,
    /// Share of the fast path; of a pair, its share of what its sender sends.
    Share,
    /// The port's name.
    Port,
}

impl Column {
    fn next(self) -> Self {
        match self {
            Self::Port => Self::Frames,
            Self::Frames => Self::Bits,
            Self::Bits => Self::Size,
            Self::Size => Self::Share,
            Self::Share => Self::Port,
        }
    }
}

/// What the lines of the screen are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    Ports,
    Pairs,
}

/// What keys mean at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    List,
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
    pub(super) view: View,
    pub(super) mode: Mode,
    pub(super) column: Column,
    pub(super) reversed: bool,
    pub(super) filter: String,
    /// The index of a port; without one, whatever port is first.
    selected: Option<u32>,
    /// The same for pairs.
    selected_pair: Option<(String, Partner)>,
}

/// A pair that is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct PairRow<'a> {
    pub(super) pair: &'a PairTraffic,
    /// The time in which that was sent.
    seconds: f64,
    /// Frames that its sender has sent in that time, to whomever.
    of_sender: u64,
}

impl PairRow<'_> {
    pub(super) fn frames_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.pair.frames as f64 / self.seconds } else { 0.0 }
    }

    pub(super) fn bits_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.pair.bytes as f64 * 8.0 / self.seconds } else { 0.0 }
    }

    /// Mean bytes of a frame. A pair without a frame is none.
    pub(super) fn frame_bytes(&self) -> f64 {
        self.pair.bytes as f64 / self.pair.frames as f64
    }

    /// Its share of what its sender sends.
    pub(super) fn share(&self) -> f64 {
        self.pair.frames as f64 / self.of_sender as f64
    }

    fn is(&self, selected: Option<&(String, Partner)>) -> bool {
        selected.is_some_and(|(from, to)| *from == self.pair.from && *to == self.pair.to)
    }
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
            view: View::Ports,
            mode: Mode::List,
            column: Column::Frames,
            reversed: false,
            filter: String::new(),
            selected: None,
            selected_pair: None,
        }
    }

    /// Whether the next snapshot should have pairs.
    pub fn wants_pairs(&self) -> bool {
        self.view == View::Pairs
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
            Mode::List => return self.press_in_list(key),
            Mode::Filter => self.press_in_filter(key),
            Mode::Help if key == Key::Char('q') => return ControlFlow::Break(()),
            Mode::Help => self.mode = Mode::List,
        }
        ControlFlow::Continue(())
    }

    fn press_in_list(&mut self, key: Key) -> ControlFlow<()> {
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
            // Whatever is first, now and later.
            Key::Char('g') | Key::Home => (self.selected, self.selected_pair) = (None, None),
            Key::Char('G') | Key::End => self.select(isize::MAX),
            Key::Tab => self.turn(),
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
            Key::Enter => self.mode = Mode::List,
            Key::Escape => {
                self.filter.clear();
                self.mode = Mode::List;
            }
            Key::Up => self.select(-1),
            Key::Down => self.select(1),
            Key::PageUp | Key::PageDown | Key::Home | Key::End | Key::Tab | Key::Interrupt => {}
        }
    }

    /// To the other view. What is shown of pairs is of two readings that follow each other.
    fn turn(&mut self) {
        self.view = match self.view {
            View::Ports => View::Pairs,
            View::Pairs => View::Ports,
        };
        self.live.forget_pairs();
    }

    fn toggle_pause(&mut self) {
        self.frozen = match self.frozen {
            Some(_) => None,
            None => Some(Box::new(self.live.clone())),
        };
    }

    /// Moves the selection by `lines` of what is shown, as far as there are any.
    fn select(&mut self, lines: isize) {
        let moved = |place: usize, count: usize| {
            Some(place.saturating_add_signed(lines).min(count.checked_sub(1)?))
        };
        match self.view {
            View::Ports => {
                let rows = self.rows();
                if let Some(place) = moved(self.place_of_selected(&rows), rows.len()) {
                    self.selected = Some(rows[place].sample.ifindex);
                }
            }
            View::Pairs => {
                let rows = self.pair_rows();
                if let Some(place) = moved(self.place_of_selected_pair(&rows), rows.len()) {
                    let PairTraffic { from, to, .. } = rows[place].pair;
                    self.selected_pair = Some((from.clone(), to.clone()));
                }
            }
        }
    }

    /// The heading of a column, which says whether it is the one that lines are sorted by.
    pub(super) fn heading(&self, column: Column, text: &str) -> String {
        match (self.column == column, self.reversed) {
            (false, _) => text.to_owned(),
            // Which end of the order is on top.
            (true, false) => format!("{text}▼"),
            (true, true) => format!("{text}▲"),
        }
    }

    /// How many lines the list has, and the place of the selected one.
    pub(super) fn position(&self) -> (usize, usize) {
        match self.view {
            View::Ports => {
                let rows = self.rows();
                (rows.len(), self.place_of_selected(&rows))
            }
            View::Pairs => {
                let rows = self.pair_rows();
                (rows.len(), self.place_of_selected_pair(&rows))
            }
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.frozen.is_some()
    }

    /// What is shown.
    pub(super) fn history(&self) -> &History {
        self.frozen.as_deref().unwrap_or(&self.live)
    }

    /// Whether the filter lets any of these texts through.
    fn lets_through<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> bool {
        let wanted = self.filter.to_lowercase();
        wanted.is_empty() || texts.into_iter().any(|text| text.to_lowercase().contains(&wanted))
    }

    /// The ports that the filter lets through, in order.
    pub(super) fn rows(&self) -> Vec<Row<'_>> {
        let mut rows: Vec<Row<'_>> = self
            .history()
            .rows()
            .filter(|row| {
                let name = [row.sample.name.as_str()];
                self.lets_through(name.into_iter().chain(row.sample.netns.as_deref()))
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

    /// The pairs that the filter lets through, in order.
    pub(super) fn pair_rows(&self) -> Vec<PairRow<'_>> {
        let Some(traffic) = self.history().traffic() else { return Vec::new() };
        let Traffic { pairs, seconds, .. } = traffic;
        let by_sender = traffic.frames_by_sender();
        let mut rows: Vec<PairRow<'_>> = pairs
            .iter()
            .filter(|pair| self.lets_through([pair.from.as_str(), pair.to.label()]))
            .map(|pair| {
                let of_sender = by_sender[pair.from.as_str()];
                PairRow { pair, seconds: *seconds, of_sender }
            })
            .collect();
        let figure = |row: &PairRow<'_>| match self.column {
            Column::Frames => row.frames_per_second(),
            Column::Bits => row.bits_per_second(),
            Column::Size => row.frame_bytes(),
            Column::Share => row.share(),
            Column::Port => 0.0,
        };
        rows.sort_by(|left, right| {
            let ends = (&left.pair.from, &left.pair.to).cmp(&(&right.pair.from, &right.pair.to));
            let order = match self.column {
                Column::Port => ends,
                _ => figure(right).total_cmp(&figure(left)),
            };
            let order = if self.reversed { order.reverse() } else { order };
            order.then(ends)
        });
        rows
    }

    /// Where the selected pair is among `rows`: the first when it is not there.
    pub(super) fn place_of_selected_pair(&self, rows: &[PairRow<'_>]) -> usize {
        rows.iter().position(|row| row.is(self.selected_pair.as_ref())).unwrap_or(0)
    }

    /// Most first; names from A to Z.
    fn compare(&self, left: &Row<'_>, right: &Row<'_>) -> Ordering {
        // A port without frames has no size and no share: it is below every one that has.
        let figure = |row: &Row<'_>| match self.column {
            Column::Frames => row.rates.frames_per_second,
            Column::Bits => row.bits_per_second(),
            Column::Size => row.frame_bytes().unwrap_or(-1.0),
            Column::Share => row.rates.fast_share.unwrap_or(-1.0),
            Column::Port => 0.0,
        };
        match self.column {
            Column::Port => left.sample.name.cmp(&right.sample.name),
            _ => figure(right).total_cmp(&figure(left)),
        }
    }
}
