//! The selected port: what became of its frames, in words.

use veth_common::Verdict;

use super::{
    history::{History, Row},
    pen::{Look, Pen},
};
use crate::{
    counters::Dropped,
    report::{percent, si},
};

const VERDICT_WIDTH: u16 = 22;
const RATE_WIDTH: u16 = 10;
const SHARE_WIDTH: u16 = 9;
const TOTAL_WIDTH: u16 = 14;
/// Where a sentence begins when it has lines of its own.
const INDENT: u16 = 4;
/// Where it begins when it fits beside the figures.
const BESIDE: u16 = 2 + VERDICT_WIDTH + RATE_WIDTH + SHARE_WIDTH + TOTAL_WIDTH + 2;
/// What a sentence beside the figures needs at least.
const SENTENCE_WIDTH: u16 = 92;

/// What there is to say of a port, line by line.
pub(super) struct Detail {
    title: String,
    lines: Vec<Line>,
    /// Whether sentences stand beside the figures.
    is_wide: bool,
}

enum Line {
    Verdict {
        name: &'static str,
        rate: String,
        share: String,
        total: u64,
        sentence: Option<&'static str>,
    },
    Sentence(String),
    Alarm(String),
}

impl Detail {
    /// The verdicts that ever occurred on a port, most frequent first.
    pub(super) fn of(history: &History, row: &Row<'_>, width: u16) -> Self {
        let (added, seconds) = history.added(row.sample);
        let per_second = |frames: u64| if seconds > 0.0 { frames as f64 / seconds } else { 0.0 };
        let all = added.total().frames;
        let mut verdicts: Vec<Verdict> = Verdict::ALL
            .into_iter()
            .filter(|verdict| row.sample.counters.of(*verdict).frames > 0)
            .collect();
        verdicts.sort_by_key(|verdict| {
            let (new, total) = (added.of(*verdict), row.sample.counters.of(*verdict));
            std::cmp::Reverse((new.frames, total.frames))
        });

        let is_wide = width >= BESIDE + SENTENCE_WIDTH;
        let mut lines = drops(row);
        for verdict in verdicts {
            let frames = added.of(verdict).frames;
            lines.push(Line::Verdict {
                name: verdict.name(),
                rate: si(per_second(frames)),
                share: if all > 0 { percent(frames as f64 / all as f64) } else { "-".into() },
                total: row.sample.counters.of(verdict).frames,
                sentence: is_wide.then_some(verdict.help()),
            });
            if !is_wide {
                let room = usize::from(width.saturating_sub(INDENT));
                lines.extend(wrap(verdict.help(), room).into_iter().map(Line::Sentence));
            }
        }
        if lines.is_empty() {
            lines.push(Line::Sentence("No frame has entered the fabric here.".into()));
        }
        let netns = row.sample.netns.as_deref();
        let netns = netns.map_or_else(String::new, |netns| format!(", netns {netns}"));
        let peak = history.recent(row.sample.ifindex).fold(0.0, f64::max);
        let anew = match history.seconds_since_anew(row.sample.ifindex) {
            Some(seconds) => format!(", counts anew since {seconds} s"),
            None => String::new(),
        };
        let title = format!("{}{netns}, peak {} frames/s{anew}", row.sample.name, si(peak));
        Self { title, lines, is_wide }
    }

    /// How many lines all of it takes: a title, headings, and what is below.
    pub(super) fn height(&self) -> u16 {
        u16::try_from(self.lines.len()).unwrap_or(u16::MAX).saturating_add(2)
    }

    /// Draws as much of it as fits into `height` lines.
    pub(super) fn draw(&self, pen: &mut Pen<'_>, top: u16, height: u16) {
        /// With less, there would be headings over nothing.
        const LEAST: u16 = 3;
        if height < LEAST {
            return;
        }
        let end = pen.left(0, top, pen.area.width, &format!("── {} ", self.title), Look::Strong);
        let rest = usize::from(pen.area.width.saturating_sub(end));
        pen.left(end, top, pen.area.width, &"─".repeat(rest), Look::Quiet);
        self.draw_headings(pen, top + 1);
        let room = usize::from(height - 2);
        // What does not fit is said in the last line.
        let fitting = if self.lines.len() > room { room - 1 } else { room };
        let (shown, hidden) = self.lines.split_at(fitting.min(self.lines.len()));
        for (line, entry) in (top + 2..).zip(shown) {
            Self::draw_line(pen, line, entry);
        }
        let is_verdict = |line: &&Line| matches!(line, Line::Verdict { .. });
        match hidden.iter().filter(is_verdict).count() {
            _ if hidden.is_empty() => {}
            0 => Self::draw_line(pen, top + height - 1, &hidden[0]),
            more => {
                let text = format!("and {more} more; a taller screen shows them");
                pen.left(2, top + height - 1, pen.area.width, &text, Look::Text);
            }
        }
    }

    fn draw_headings(&self, pen: &mut Pen<'_>, line: u16) {
        pen.left(2, line, VERDICT_WIDTH, "VERDICT", Look::Heading);
        let mut column = 2 + VERDICT_WIDTH;
        for (width, text) in
            [(RATE_WIDTH, "FRAMES/S"), (SHARE_WIDTH, "SHARE"), (TOTAL_WIDTH, "FRAMES")]
        {
            pen.right(column, line, width, text, Look::Heading);
            column += width;
        }
        if self.is_wide {
            pen.left(BESIDE, line, SENTENCE_WIDTH, "MEANING", Look::Heading);
        }
    }

    fn draw_line(pen: &mut Pen<'_>, line: u16, entry: &Line) {
        match entry {
            Line::Verdict { name, rate, share, total, sentence } => {
                pen.left(2, line, VERDICT_WIDTH, name, Look::Strong);
                let mut column = 2 + VERDICT_WIDTH;
                let total = total.to_string();
                for (width, text) in
                    [(RATE_WIDTH, rate), (SHARE_WIDTH, share), (TOTAL_WIDTH, &total)]
                {
                    pen.right(column, line, width, text, Look::Text);
                    column += width;
                }
                if let Some(sentence) = sentence {
                    pen.left(BESIDE, line, SENTENCE_WIDTH, sentence, Look::Text);
                }
            }
            Line::Sentence(text) => {
                pen.left(INDENT, line, pen.area.width, text, Look::Text);
            }
            Line::Alarm(text) => {
                pen.left(2, line, pen.area.width, text, Look::Alarm);
            }
        }
    }
}

/// What the port's device dropped, which no verdict tells of.
fn drops(row: &Row<'_>) -> Vec<Line> {
    let Dropped { arriving, leaving } = row.sample.dropped;
    if arriving + leaving == 0 {
        return Vec::new();
    }
    let text = format!("DROPPED by its device so far: {arriving} arriving, {leaving} leaving");
    vec![Line::Alarm(text)]
}

/// `text` in lines of at most `width` characters; a longer word has a line of its own.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
