//! Results in a terminal.

use comfy_table::{ContentArrangement, Table};

use super::{
    super::{Results, Summary},
    contents::Contents,
    facts::Fact,
    figure::{BETTER, WORSE},
    sheet::{Heading, Line, Sheet, texts},
};
use crate::report;

const BOLD: &str = "\x1b[1m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const RESET: &str = "\x1b[0m";
/// Blanks on both sides of a column.
const PADDING: usize = 2;

/// Results as text for a terminal that is `width` columns wide, or for a file without an end to
/// its lines. A table that is too wide goes on below.
pub fn table(results: &Results, summary: &Summary, width: Option<u16>, colour: bool) -> String {
    let contents = Contents::of(results, summary);
    let mut parts: Vec<String> =
        contents.sheets().map(|sheet| sheet_text(sheet, width, colour)).collect();
    if contents.is_empty() {
        parts.push("nothing was measured\n".into());
    }
    if !contents.unavailable.is_empty() {
        let facts = facts_text(&contents.unavailable, width);
        parts.push(format!("{}\n{facts}", title("Not measured", colour)));
    }
    if !contents.warnings.is_empty() {
        parts.push(warnings_text(&contents.warnings, width, colour));
    }
    let facts: Vec<Fact> = contents.machine.into_iter().chain(contents.settings).collect();
    parts.push(facts_text(&facts, width));
    parts.join("\n")
}

fn sheet_text(sheet: &Sheet, width: Option<u16>, colour: bool) -> String {
    let mut text = title(&sheet.title, colour) + "\n";
    for (number, columns) in parts_that_fit(sheet, width).into_iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        let part = report::finish(&part_table(sheet, columns));
        text += &if colour { paint(&part) } else { part };
    }
    let note = (!sheet.note.is_empty()).then(|| paragraph(&sheet.note, width));
    text + &note.unwrap_or_default()
}

fn warnings_text(warnings: &[String], width: Option<u16>, colour: bool) -> String {
    const NAME: &str = "warning:";
    let text: String =
        warnings.iter().map(|warning| paragraph(&format!("{NAME} {warning}"), width)).collect();
    if colour { text.replace(NAME, &format!("{YELLOW}{NAME}{RESET}")) } else { text }
}

/// Ranges of columns that fit into `width` together with the labels, each at least one column.
fn parts_that_fit(sheet: &Sheet, width: Option<u16>) -> Vec<std::ops::Range<usize>> {
    let labels = sheet.rows.iter().map(|row| row.label.as_str()).chain([sheet.corner]);
    let label_width = labels.map(width_of).max().unwrap_or(0) + PADDING;
    let most = width.map_or(usize::MAX, usize::from);
    let mut parts = Vec::new();
    let (mut start, mut used) = (0, label_width);
    for (column, heading) in sheet.columns.iter().enumerate() {
        let entries = sheet.rows.iter().flat_map(|row| texts(&row.entries[column]));
        let width = entries
            .chain([heading.name.clone(), heading.detail.clone()])
            .map(|text| width_of(&text))
            .max()
            .unwrap_or(0)
            + PADDING;
        if used + width > most && column > start {
            parts.push(start..column);
            (start, used) = (column, label_width);
        }
        used += width;
    }
    parts.push(start..sheet.columns.len());
    parts
}

/// Columns that a terminal takes for `text`: what is shown has no wide characters.
fn width_of(text: &str) -> usize {
    text.chars().count()
}

fn part_table(sheet: &Sheet, columns: std::ops::Range<usize>) -> Table {
    let heading = |it: &Heading| match it.detail.as_str() {
        "" => it.name.clone(),
        detail => format!("{}\n{detail}", it.name),
    };
    let mut header = vec![sheet.corner.to_owned()];
    header.extend(sheet.columns[columns.clone()].iter().map(heading));
    let mut table = report::new_table(&header.iter().map(String::as_str).collect::<Vec<_>>());
    report::align_right(&mut table, &(1..=columns.len()).collect::<Vec<_>>());
    let is_tall = |row: &Line| row.entries[columns.clone()].iter().any(|entry| entry.len() > 1);
    // Entries of several lines need a gap to tell one row from the next.
    let spaced = sheet.rows.iter().any(is_tall);
    for row in &sheet.rows {
        let mut cells = vec![row.label.clone()];
        cells.extend(row.entries[columns.clone()].iter().map(|entry| texts(entry).join("\n")));
        if spaced && table.row_count() > 0 {
            table.add_row([""]);
        }
        table.add_row(cells);
    }
    table
}

/// Names and texts, which go on below one another where the line ends.
fn facts_text(facts: &[Fact], width: Option<u16>) -> String {
    let mut table = flowing_table(width);
    for Fact { name, text } in facts {
        table.add_row([name, text]);
    }
    report::finish(&table)
}

/// Text that goes on below where the line ends.
fn paragraph(text: &str, width: Option<u16>) -> String {
    let mut table = flowing_table(width);
    table.add_row([text]);
    report::finish(&table)
}

fn flowing_table(width: Option<u16>) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    if let Some(width) = width {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    table
}

fn title(text: &str, colour: bool) -> String {
    if colour { format!(" {BOLD}{text}{RESET}") } else { format!(" {text}") }
}

/// Colours what is marked, from the mark to the end of its column: two blanks, or the line's end.
/// The layout is done by now, so that it need not know what takes no space.
fn paint(text: &str) -> String {
    let mut painted = String::new();
    let mut rest = text;
    while let Some(at) = rest.find([BETTER, WORSE]) {
        let (before, marked) = rest.split_at(at);
        let end = marked.find('\n').unwrap_or(marked.len());
        let end = marked[..end].find("  ").unwrap_or(end);
        let colour = if marked.starts_with(BETTER) { GREEN } else { RED };
        painted += &format!("{before}{colour}{}{RESET}", &marked[..end]);
        rest = &marked[end..];
    }
    painted + rest
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn table_of_80_columns() {
        let (results, summary) = fixture::rich();
        let text = table(&results, &summary, Some(80), false);
        assert!(text.lines().all(|line| width_of(line) <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn table_of_160_columns() {
        let (results, summary) = fixture::rich();
        let text = table(&results, &summary, Some(160), false);
        assert!(text.lines().all(|line| width_of(line) <= 160), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn no_line_is_longer_than_the_terminal_is_wide() {
        let (results, summary) = fixture::rich();
        for width in 60..220 {
            let text = table(&results, &summary, Some(width), false);
            assert!(text.lines().all(|line| width_of(line) <= width.into()), "{width}\n{text}");
        }
    }

    #[test]
    fn without_a_width_each_table_is_in_one_part() {
        let (results, summary) = fixture::rich();
        let text = table(&results, &summary, None, false);
        let header = text.lines().find(|line| line.contains("tcp_stream")).expect("has a header");
        assert!(header.contains("frames_xdp"), "{header}");
    }

    #[test]
    fn colours_change_nothing_but_colours() {
        let (results, summary) = fixture::rich();
        let plain = table(&results, &summary, Some(100), false);
        let mut colourful = table(&results, &summary, Some(100), true);
        assert!(!plain.contains('\x1b'));
        assert!(colourful.contains(&format!("{GREEN}▲ 1.17x [1.15, 1.19]{RESET}")), "{colourful}");
        for code in [BOLD, GREEN, RED, YELLOW, RESET] {
            colourful = colourful.replace(code, "");
        }
        assert_eq!(colourful, plain);
    }

    #[test]
    fn nothing_measured_says_so_and_where() {
        let (results, summary) = fixture::empty();
        let text = table(&results, &summary, Some(80), false);
        assert!(text.starts_with("nothing was measured\n"), "{text}");
        assert!(text.contains("Kernel") && text.contains("warning: the run ended early"), "{text}");
    }

    #[test]
    fn one_path_is_a_table_too() {
        let (results, mut summary) = fixture::small();
        summary.rows.retain(|row| row.path == summary.baseline);
        let text = table(&results, &summary, Some(80), false);
        assert!(text.contains("baseline") && !text.contains('▲'), "{text}");
    }
}
