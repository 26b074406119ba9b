//! The screen: a line about the fabric, its ports, the selected one's verdicts, and the keys.

use ratatui::{buffer::Buffer, layout::Rect};

use super::{
    detail::Detail,
    history::Row,
    pairs,
    pen::{Look, Palette, Pen},
    spark::sparkline,
    state::{Column, Dashboard, Mode, View},
};
use crate::report::{percent, si};

/// From which share on a port counts as fast, for its colour.
const FAST: f64 = 0.9;
/// As long as the name of a device can be.
const NAME_WIDTH: u16 = 15;
const FIGURE_WIDTH: u16 = 11;
const SIZE_WIDTH: u16 = 8;
/// In front of the names: what marks the selected port.
const MARK_WIDTH: u16 = 2;
/// A screen as wide as this has room for frame sizes beside a curve.
const WIDE: u16 = 72;
/// A curve that is shorter says nothing.
const SHORTEST_CURVE: u16 = 8;
/// Lines of the screen that are always there: fabric, headings, keys.
const FIXED_LINES: u16 = 3;

const HELP: &[&str] = &[
    "FRAMES/S BIT/S  what entered the fabric here; a GSO frame is one",
    "SIZE            mean bytes of a frame",
    "FAST PATH       share that went past the bridge",
    "LAST MINUTE     frames/s, each port by its own peak",
    "",
    "Tab             ports, or pairs of them: who talks to whom",
    "FROM TO SHARE   of what the sender sends; a word in brackets is no port",
    "",
    "up down k j     select a line     PgUp PgDn Home End   further",
    "s  r            sort by the next column, reversed",
    "/               only those whose name or netns has a text",
    "Esc             all again",
    "space           stand still; counting goes on",
    "q  Ctrl-C       leave",
];

/// Draws all of it into `area`. Whatever the size, nothing is written beyond it.
pub fn draw(dashboard: &Dashboard, palette: Palette, area: Rect, buffer: &mut Buffer) {
    let mut pen = Pen { area, buffer, palette };
    let rows = dashboard.rows();
    draw_fabric(&mut pen, dashboard, &rows);
    let Some(keys_line) = area.height.checked_sub(1).filter(|line| *line > 0) else { return };
    draw_keys(&mut pen, dashboard, keys_line);
    if dashboard.mode == Mode::Help {
        for (line, text) in (1..keys_line).zip(HELP) {
            pen.line(line, text, Look::Text);
        }
        return;
    }
    if dashboard.view == View::Pairs {
        pairs::draw(&mut pen, dashboard, 1, keys_line - 1);
        return;
    }
    let columns = Columns::of(area.width);
    columns.draw_headings(&mut pen, dashboard, 1);
    let Some(body) = area.height.checked_sub(FIXED_LINES) else { return };
    let place = dashboard.place_of_selected(&rows);
    let detail = rows.get(place).map(|row| Detail::of(dashboard.history(), row, area.width));
    let wanted = detail.as_ref().map_or(0, Detail::height);
    let shown = u16::try_from(rows.len()).unwrap_or(u16::MAX).max(1);
    let port_lines = shown.min(body - wanted.min(body / 2));

    // The selected port is in the middle, unless an end is near.
    let first = place
        .saturating_sub(usize::from(port_lines) / 2)
        .min(rows.len().saturating_sub(usize::from(port_lines)));
    for (line, (index, row)) in (2..2 + port_lines).zip(rows.iter().enumerate().skip(first)) {
        columns.draw_port(&mut pen, dashboard, row, line, index == place);
    }
    if rows.is_empty() {
        let text = match dashboard.history().latest() {
            Some(latest) if latest.ports.is_empty() => "  the fabric has no ports",
            _ if dashboard.history().rows().next().is_none() => "  counting...",
            _ => "  no port has that in its name or netns; Esc shows all",
        };
        pen.line(2, text, Look::Text);
    }
    if let Some(detail) = detail {
        let top = 2 + port_lines;
        detail.draw(&mut pen, top, keys_line.saturating_sub(top));
    }
}

/// A figure with its unit: `1.50 kbit/s`, `7 bit/s`.
fn bits_per_second(value: f64) -> String {
    let figure = si(value);
    let space = if figure.ends_with(|last: char| last.is_ascii_digit()) { " " } else { "" };
    format!("{figure}{space}bit/s")
}

fn draw_fabric(pen: &mut Pen<'_>, dashboard: &Dashboard, rows: &[Row<'_>]) {
    let Some(latest) = dashboard.history().latest() else { return };
    let mut column = 0;
    if dashboard.is_paused() {
        column = pen.left(0, 0, pen.area.width, "PAUSED", Look::Selected) + 1;
    }
    // Not `Iterator::sum`, by which nothing is a negative zero.
    let (mut frames, mut bits, mut fast) = (0.0, 0.0, 0.0);
    for row in rows {
        frames += row.rates.frames_per_second;
        bits += row.bits_per_second();
        fast += row.rates.fast_share.unwrap_or(0.0) * row.rates.frames_per_second;
    }
    let share = if frames > 0.0 { percent((fast / frames).min(1.0)) } else { "-".into() };
    let ports = match latest.ports.len() {
        1 => "1 port".to_owned(),
        all if dashboard.filter.is_empty() => format!("{all} ports"),
        all => format!("{} of {all} ports", rows.len()),
    };
    let text = format!(
        "{} ({})  {ports}  {} frames/s  {}  fast {share}",
        latest.fabric,
        latest.datapath,
        si(frames),
        bits_per_second(bits),
    );
    pen.left(column, 0, pen.area.width, &text, Look::Strong);
}

fn draw_keys(pen: &mut Pen<'_>, dashboard: &Dashboard, line: u16) {
    let text = match dashboard.mode {
        Mode::Filter => format!("filter: {}_  (Enter keeps it, Esc shows all)", dashboard.filter),
        Mode::Help => "any key: back  q quit".to_owned(),
        Mode::List if !dashboard.filter.is_empty() => {
            format!("filter: {}  (/ changes it, Esc shows all)  ? help", dashboard.filter)
        }
        Mode::List => {
            let other = if dashboard.view == View::Ports { "pairs" } else { "ports" };
            format!("q quit  Tab {other}  s sort  r reverse  / filter  space pause  ? help")
        }
    };
    let end = pen.line(line, &text, Look::Heading);
    let (count, place) = dashboard.position();
    if dashboard.mode == Mode::List && count > 0 {
        let place = format!("{}/{count}", place + 1);
        let room = pen.area.width.saturating_sub(end + 1);
        if place.len() <= usize::from(room) {
            pen.right(end + 1, line, room, &place, Look::Quiet);
        }
    }
}

/// Which columns there is room for, and where they begin.
struct Columns {
    frames: u16,
    bits: u16,
    size: Option<u16>,
    fast: u16,
    /// Where it begins, and how long it is.
    curve: Option<(u16, u16)>,
}

impl Columns {
    fn of(width: u16) -> Self {
        let frames = MARK_WIDTH + NAME_WIDTH;
        let bits = frames + FIGURE_WIDTH;
        let mut end = bits + FIGURE_WIDTH;
        let size = (width >= WIDE).then_some(end);
        if size.is_some() {
            end += SIZE_WIDTH;
        }
        let fast = end;
        let curve_start = fast + FIGURE_WIDTH + 2;
        let room = width.saturating_sub(curve_start).min(60);
        let curve = (room >= SHORTEST_CURVE).then_some((curve_start, room));
        Self { frames, bits, size, fast, curve }
    }

    fn draw_headings(&self, pen: &mut Pen<'_>, dashboard: &Dashboard, line: u16) {
        let name = |column, text| dashboard.heading(column, text);
        let look = Look::Heading;
        pen.left(MARK_WIDTH, line, NAME_WIDTH, &name(Column::Port, "PORT"), look);
        pen.right(self.frames, line, FIGURE_WIDTH, &name(Column::Frames, "FRAMES/S"), look);
        pen.right(self.bits, line, FIGURE_WIDTH, &name(Column::Bits, "BIT/S"), look);
        if let Some(size) = self.size {
            pen.right(size, line, SIZE_WIDTH, &name(Column::Size, "SIZE"), look);
        }
        pen.right(self.fast, line, FIGURE_WIDTH, &name(Column::Share, "FAST PATH"), look);
        if let Some((start, length)) = self.curve {
            let title = if length < 11 { "MINUTE" } else { "LAST MINUTE" };
            pen.left(start, line, length, title, look);
        }
    }

    fn draw_port(
        &self,
        pen: &mut Pen<'_>,
        dashboard: &Dashboard,
        row: &Row<'_>,
        line: u16,
        is_selected: bool,
    ) {
        let rates = row.rates;
        if is_selected {
            pen.left(0, line, MARK_WIDTH, ">", Look::Strong);
        }
        pen.left(MARK_WIDTH, line, NAME_WIDTH, &row.sample.name, Look::Text);
        let frames = si(rates.frames_per_second);
        pen.right(self.frames, line, FIGURE_WIDTH, &frames, Look::Text);
        pen.right(self.bits, line, FIGURE_WIDTH, &si(row.bits_per_second()), Look::Text);
        if let Some(size) = self.size {
            let bytes = row.frame_bytes().map_or_else(|| "-".into(), |bytes| format!("{bytes:.0}"));
            pen.right(size, line, SIZE_WIDTH, &bytes, Look::Text);
        }
        let (share, look) = match rates.fast_share {
            None => ("-".into(), Look::Quiet),
            Some(share) if share >= FAST => (percent(share), Look::Good),
            Some(share) => (percent(share), Look::Fair),
        };
        pen.right(self.fast, line, FIGURE_WIDTH, &share, look);
        if let Some((start, length)) = self.curve {
            let recent = dashboard.history().recent(row.sample.ifindex);
            pen.left(start, line, length, &sparkline(recent, usize::from(length)), Look::Text);
        }
        if is_selected {
            pen.mark(line, Look::Selected);
        }
    }
}
