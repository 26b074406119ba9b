//! The view of pairs: who talks to whom, each with its rates.

use super::{
    pen::{Look, Pen},
    state::{Column, Dashboard, PairRow},
};
use crate::report::{percent, si};

/// In front of the names: what marks the selected pair.
const MARK_WIDTH: u16 = 2;
/// As long as the name of a device can be, and a space.
const NAME_WIDTH: u16 = 16;

/// A column of figures.
struct Figure {
    column: Column,
    heading: &'static str,
    width: u16,
    /// Where it begins.
    at: u16,
}

/// The columns that there is room for.
fn figures(width: u16) -> Vec<Figure> {
    let mut at = MARK_WIDTH + 2 * NAME_WIDTH;
    let all = [
        (Column::Frames, "FRAMES/S", 11),
        (Column::Bits, "BIT/S", 11),
        (Column::Size, "SIZE", 8),
        (Column::Share, "SHARE", 9),
    ];
    let mut figures = Vec::new();
    for (column, heading, room) in all {
        if at + room <= width {
            figures.push(Figure { column, heading, width: room, at });
            at += room;
        }
    }
    figures
}

/// Draws headings and pairs into the lines from `top` on, as many as there are.
pub(super) fn draw(pen: &mut Pen<'_>, dashboard: &Dashboard, top: u16, height: u16) {
    let figures = figures(pen.area.width);
    draw_headings(pen, dashboard, &figures, top);
    let rows = dashboard.pair_rows();
    if rows.is_empty() {
        pen.line(top + 1, empty_text(dashboard), Look::Text);
        return;
    }
    let others = dashboard.history().traffic().map_or(0, |traffic| traffic.others);
    // What there was no room to count is said in the last line.
    let room = usize::from(height.saturating_sub(1 + u16::from(others > 0)));
    let place = dashboard.place_of_selected_pair(&rows);
    let first = place.saturating_sub(room / 2).min(rows.len().saturating_sub(room));
    for (line, (index, row)) in (top + 1..).zip(rows.iter().enumerate().skip(first).take(room)) {
        draw_pair(pen, &figures, row, line, index == place);
    }
    if others > 0 && height > 1 {
        let text = format!("  and {others} frames of pairs that the kernel has no room to count");
        pen.line(top + height - 1, &text, Look::Alarm);
    }
}

fn empty_text(dashboard: &Dashboard) -> &'static str {
    match dashboard.history().traffic() {
        None if dashboard.is_paused() => "  pairs were not counted then; space goes on",
        None => "  counting...",
        Some(traffic) if traffic.pairs.is_empty() => "  nobody has sent anything",
        Some(_) => "  no pair has that in one of its names; Esc shows all",
    }
}

fn draw_headings(pen: &mut Pen<'_>, dashboard: &Dashboard, figures: &[Figure], line: u16) {
    let name = |column, text| dashboard.heading(column, text);
    let from = name(Column::Port, "FROM");
    pen.left(MARK_WIDTH, line, NAME_WIDTH, &from, Look::Heading);
    pen.left(MARK_WIDTH + NAME_WIDTH, line, NAME_WIDTH, "TO", Look::Heading);
    for figure in figures {
        let heading = name(figure.column, figure.heading);
        pen.right(figure.at, line, figure.width, &heading, Look::Heading);
    }
}

fn draw_pair(
    pen: &mut Pen<'_>,
    figures: &[Figure],
    row: &PairRow<'_>,
    line: u16,
    is_selected: bool,
) {
    if is_selected {
        pen.left(0, line, MARK_WIDTH, ">", Look::Strong);
    }
    let names = [row.pair.from.as_str(), row.pair.to.label()];
    for (at, name) in [MARK_WIDTH, MARK_WIDTH + NAME_WIDTH].into_iter().zip(names) {
        pen.left(at, line, NAME_WIDTH - 1, name, Look::Text);
    }
    for figure in figures {
        let text = match figure.column {
            Column::Frames => si(row.frames_per_second()),
            Column::Bits => si(row.bits_per_second()),
            Column::Size => format!("{:.0}", row.frame_bytes()),
            Column::Share => percent(row.share()),
            Column::Port => continue,
        };
        pen.right(figure.at, line, figure.width, &text, Look::Text);
    }
    if is_selected {
        pen.mark(line, Look::Selected);
    }
}
