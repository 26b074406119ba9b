//! Results as Markdown of GitHub's kind, for a README.

use super::{
    super::{Results, Summary},
    contents::Contents,
    facts::Fact,
    figure::{Difference, NONE},
    sheet::{Figure, Heading, Sheet, Weight},
};

/// Results as Markdown: tables, what is missing, what is doubtful, where and how it ran.
pub fn markdown(results: &Results, summary: &Summary) -> String {
    let contents = Contents::of(results, summary);
    let mut parts: Vec<String> = contents.sheets().map(sheet_text).collect();
    if contents.is_empty() {
        parts.push("Nothing was measured.\n".into());
    }
    if !contents.unavailable.is_empty() {
        parts.push(format!("Not measured:\n\n{}", list(&contents.unavailable)));
    }
    if !contents.warnings.is_empty() {
        let lines = contents.warnings.iter().map(|warning| format!("> {}\n", escape(warning)));
        parts.push(format!("> [!WARNING]\n{}", lines.collect::<Vec<_>>().join(">\n")));
    }
    let facts: Vec<Fact> = contents.machine.into_iter().chain(contents.settings).collect();
    parts.push(list(&facts));
    parts.join("\n")
}

/// A table. What stands in it is made here, of names and figures, and means nothing to Markdown.
fn sheet_text(sheet: &Sheet) -> String {
    let headings = sheet.columns.iter().map(|Heading { name, detail }| match detail.as_str() {
        "" => name.clone(),
        detail => format!("{name}<br>{detail}"),
    });
    let header: Vec<String> = [sheet.corner.into()].into_iter().chain(headings).collect();
    let alignment: Vec<&str> =
        ["---"].into_iter().chain(sheet.columns.iter().map(|_| "---:")).collect();
    let mut text = format!("### {}\n\n", sheet.title);
    text += &format!("| {} |\n| {} |\n", header.join(" | "), alignment.join(" | "));
    for row in &sheet.rows {
        let entries = row.entries.iter().map(|entry| match entry.as_slice() {
            [] => NONE.into(),
            figures => figures.iter().map(figure_text).collect::<Vec<_>>().join("<br>"),
        });
        let cells: Vec<String> = [row.label.clone()].into_iter().chain(entries).collect();
        text += &format!("| {} |\n", cells.join(" | "));
    }
    if !sheet.note.is_empty() {
        text += &format!("\n{}\n", sheet.note);
    }
    text
}

fn figure_text(figure: &Figure) -> String {
    let text = figure.marked();
    let text = match figure.weight {
        Weight::Compared(Difference::Better | Difference::Worse) => format!("**{text}**"),
        Weight::Compared(Difference::None) | Weight::Main => text,
        Weight::Aside => format!("<sub>{text}</sub>"),
    };
    format!("{text} {}", figure.interval).trim_end().to_owned()
}

fn list(facts: &[Fact]) -> String {
    let line = |Fact { name, text }: &Fact| format!("- {}: {}\n", escape(name), escape(text));
    facts.iter().map(line).collect()
}

/// `text` without meaning to Markdown.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '&' => escaped += "&amp;",
            '\\' | '|' | '*' | '`' | '[' | ']' | '#' | '~' => {
                escaped.push('\\');
                escaped.push(character);
            }
            // Between letters an underscore is one, and names read better so.
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn markdown_of_a_run() {
        let (results, summary) = fixture::rich();
        insta::assert_snapshot!(markdown(&results, &summary));
    }

    #[test]
    fn text_from_elsewhere_is_only_text() {
        let (mut results, summary) = fixture::small();
        results.machine.cpu = "a|b <script>`x`\n# not a heading".into();
        let text = markdown(&results, &summary);
        assert!(text.contains("a\\|b &lt;script&gt;\\`x\\` \\# not a heading"), "{text}");
    }

    #[test]
    fn rows_have_as_many_cells_as_the_header() {
        let (results, summary) = fixture::rich();
        for block in markdown(&results, &summary).split("\n\n") {
            let cells = |line: &str| line.matches('|').count();
            let mut rows = block.lines().filter(|line| line.starts_with('|')).map(cells);
            let first = rows.next();
            assert!(rows.all(|count| Some(count) == first), "{block}");
        }
    }

    #[test]
    fn nothing_measured_says_so() {
        let (results, summary) = fixture::empty();
        assert!(markdown(&results, &summary).starts_with("Nothing was measured."));
    }
}
