//! A table before it has a form: paths down, something across.

use super::figure::{self, Difference};

/// A table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sheet {
    pub(super) title: String,
    /// How to read it; may be empty.
    pub(super) note: String,
    /// Heading of the labels.
    pub(super) corner: &'static str,
    pub(super) columns: Vec<Heading>,
    pub(super) rows: Vec<Line>,
}

/// Over a column.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Heading {
    pub(super) name: String,
    /// On a line of its own; nothing when empty.
    pub(super) detail: String,
}

/// A row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Line {
    pub(super) label: String,
    /// As many as there are columns.
    pub(super) entries: Vec<Entry>,
}

/// What stands where a row and a column meet: texts one below the other, none without figures.
pub(super) type Entry = Vec<Figure>;

/// One text of an entry.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figure {
    /// Without its mark.
    pub(super) text: String,
    /// How sure it is; may be empty.
    pub(super) interval: String,
    pub(super) weight: Weight,
}

/// What a text is to its entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Weight {
    /// The figure itself.
    Main,
    /// How it compares.
    Compared(Difference),
    /// For those who want more.
    Aside,
}

impl Sheet {
    /// This table, if anything stands in it.
    pub(super) fn unless_empty(self) -> Option<Self> {
        let is_empty = self.rows.iter().all(|row| row.entries.iter().all(Vec::is_empty));
        (!is_empty).then_some(self)
    }

    /// Without the columns in which nothing stands.
    pub(super) fn without_empty_columns(mut self) -> Self {
        let is_kept: Vec<bool> = (0..self.columns.len())
            .map(|column| self.rows.iter().any(|row| !row.entries[column].is_empty()))
            .collect();
        let mut kept = is_kept.iter();
        self.columns.retain(|_| kept.next() == Some(&true));
        for row in &mut self.rows {
            let mut kept = is_kept.iter();
            row.entries.retain(|_| kept.next() == Some(&true));
        }
        self
    }
}

impl Heading {
    pub(super) fn new(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { name: name.into(), detail: detail.into() }
    }
}

impl Figure {
    pub(super) fn main(text: String) -> Self {
        Self { text, interval: String::new(), weight: Weight::Main }
    }

    pub(super) fn compared(text: String, difference: Difference) -> Self {
        Self { text, interval: String::new(), weight: Weight::Compared(difference) }
    }

    pub(super) fn aside(text: impl Into<String>) -> Self {
        Self { text: text.into(), interval: String::new(), weight: Weight::Aside }
    }

    pub(super) fn with_interval(self, interval: String) -> Self {
        Self { interval, ..self }
    }

    /// The text with its mark, without its interval.
    pub(super) fn marked(&self) -> String {
        match self.weight {
            Weight::Compared(difference) => difference.mark(&self.text),
            Weight::Main | Weight::Aside => self.text.clone(),
        }
    }
}

/// The texts of an entry with marks and intervals; a dash when there are none.
pub(super) fn texts(entry: &Entry) -> Vec<String> {
    if entry.is_empty() {
        return vec![figure::NONE.into()];
    }
    let text = |figure: &Figure| match figure.interval.as_str() {
        "" => figure.marked(),
        interval => format!("{} {interval}", figure.marked()),
    };
    entry.iter().map(text).collect()
}
