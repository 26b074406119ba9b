//! How figures look to people: units, shares, tables.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Row, Table, presets};
use veth_common::{PortCounters, Verdict};

use crate::counters::{Dropped, PortRates, Snapshot, Traffic};

/// `value` with an SI prefix and three significant digits: `1.23 M`.
pub fn si(value: f64) -> String {
    const PREFIXES: [&str; 5] = ["", "k", "M", "G", "T"];
    let mut value = value;
    let mut prefix = 0;
    // What rounds to 1000 belongs to the next prefix.
    while value >= 999.5 && prefix + 1 < PREFIXES.len() {
        value /= 1000.0;
        prefix += 1;
    }
    let digits = match value {
        _ if prefix == 0 && value.fract() == 0.0 => 0,
        _ if value >= 99.95 => 0,
        _ if value >= 9.995 => 1,
        _ => 2,
    };
    let space = if PREFIXES[prefix].is_empty() { "" } else { " " };
    format!("{value:.digits$}{space}{}", PREFIXES[prefix])
}

/// A share of 0 to 1 as a percentage. Only all is 100 %, and only none is 0 %.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let shown = if share < 1.0 { percent.min(99.9) } else { percent };
    let shown = if share > 0.0 { shown.max(0.1) } else { shown };
    format!("{shown:.1} %")
}

/// So many of something, whose name is that of one of them.
pub fn count(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// The rates of ports as a table.
pub fn rates_table(rates: &[PortRates]) -> String {
    let mut table = new_table(&["PORT", "FRAMES/S", "BYTES/S", "FAST PATH", "OTHER VERDICTS"]);
    align_right(&mut table, &[1, 2, 3]);
    for port in rates {
        let others: Vec<String> = port
            .others
            .iter()
            .map(|(verdict, rate)| format!("{} {}/s", verdict.name(), si(*rate)))
            .chain(
                (port.dropped_per_second > 0.0)
                    .then(|| format!("(dropped {}/s)", si(port.dropped_per_second))),
            )
            .chain(port.is_anew.then(|| "(counts anew)".to_owned()))
            .collect();
        table.add_row([
            port.name.clone(),
            si(port.frames_per_second),
            si(port.bytes_per_second),
            port.fast_share.map_or_else(|| "-".into(), percent),
            if others.is_empty() { "-".into() } else { others.join(", ") },
        ]);
    }
    finish(&table)
}

/// Who talked to whom, as a table of at most `lines` lines, the busiest first. Shares are of what the
/// sender sent.
pub fn pairs_table(traffic: &Traffic, lines: usize) -> String {
    let mut table = new_table(&["FROM", "TO", "FRAMES/S", "BYTES/S", "SIZE", "SHARE"]);
    align_right(&mut table, &[2, 3, 4, 5]);
    let of_senders = traffic.frames_by_sender();
    let per_second = |count: u64| si(count as f64 / traffic.seconds.max(f64::MIN_POSITIVE));
    for pair in traffic.pairs.iter().take(lines) {
        table.add_row([
            pair.from.clone(),
            pair.to.label().to_owned(),
            per_second(pair.frames),
            per_second(pair.bytes),
            format!("{:.0}", pair.bytes as f64 / pair.frames as f64),
            percent(pair.frames as f64 / of_senders[pair.from.as_str()] as f64),
        ]);
    }
    let mut text = finish(&table);
    match traffic.pairs.len() {
        0 => text += "nobody has sent anything\n",
        shown if shown > lines => {
            text += &format!("and {} with less\n", count(shown - lines, "pair"));
        }
        _ => {}
    }
    if traffic.others > 0 {
        let others = per_second(traffic.others);
        text += &format!("and {others} frames/s of pairs that the kernel has no room to count\n");
    }
    text
}

/// The totals of a snapshot as a table: one line for each port and verdict that occurred.
pub fn totals_table(snapshot: &Snapshot) -> String {
    let mut table =
        new_table(&["PORT", "NETNS", "VERDICT", "FRAMES", "BYTES", "SEGMENTS", "SHARE"]);
    align_right(&mut table, &[3, 4, 5, 6]);
    for port in &snapshot.ports {
        let total = port.counters.total().frames;
        let mut name = port.name.clone();
        let mut netns = port.netns.clone().unwrap_or_else(|| "-".into());
        let mut row = |verdict: &str, cells: [String; 4]| {
            let [frames, bytes, segments, share] = cells;
            table.add_row([
                std::mem::take(&mut name),
                std::mem::take(&mut netns),
                verdict.to_owned(),
                frames,
                bytes,
                segments,
                share,
            ]);
        };
        if total == 0 {
            row("-", ["0", "0", "0", "-"].map(str::to_owned));
        }
        for verdict in Verdict::ALL {
            let counter = port.counters.of(verdict);
            if counter.frames > 0 {
                row(
                    verdict.name(),
                    [
                        counter.frames.to_string(),
                        counter.bytes.to_string(),
                        counter.segments.to_string(),
                        percent(counter.frames as f64 / total as f64),
                    ],
                );
            }
        }
    }
    let mut text = finish(&table);
    for port in &snapshot.ports {
        let Dropped { arriving, leaving } = port.dropped;
        if arriving > 0 {
            text += &format!(
                "{}: its device dropped {arriving} frames that arrived and could not be handed on\n",
                port.name
            );
        }
        if leaving > 0 {
            text += &format!(
                "{}: its device dropped {leaving} frames that its peer did not take (down, or its \
                 queue full)\n",
                port.name
            );
        }
    }
    text
}

/// The verdicts that occurred, each with its frames and its sentence.
pub fn verdict_lines(counters: &PortCounters) -> Vec<String> {
    let total = counters.total().frames;
    Verdict::ALL
        .into_iter()
        .filter(|verdict| counters.of(*verdict).frames > 0)
        .map(|verdict| {
            let frames = counters.of(verdict).frames;
            let share = percent(frames as f64 / total as f64);
            format!("{frames:>12}  {share:>7}  {:<22} {}", verdict.name(), verdict.help())
        })
        .collect()
}

/// A table without lines, as wide as its contents.
pub fn new_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().copied());
    table
}

/// Aligns columns of figures, heading and all, to the right.
pub fn align_right(table: &mut Table, columns: &[usize]) {
    for index in columns {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// The text without control characters: names of devices, processes and containers are others' words, and
/// do not get to move the cursor.
pub fn plain(text: &str) -> String {
    text.chars().map(|it| if it.is_control() { '?' } else { it }).collect()
}

/// The same of a text of several lines.
pub fn plain_lines(text: &str) -> String {
    text.split('\n').map(plain).collect::<Vec<_>>().join("\n")
}

/// The table as text, without the blanks at the ends of lines, and ended by a newline. What moves the
/// cursor is taken out of its cells.
pub fn finish(table: &Table) -> String {
    let mut table = table.clone();
    for row in table.row_iter_mut() {
        let cells = row.cell_iter().map(Cell::content);
        // Before the layout, which takes such characters for having no width.
        let plain: Vec<String> = cells.map(|text| plain_lines(&text)).collect();
        *row = Row::from(plain);
    }
    table.lines().fold(String::new(), |mut text, line| {
        text.push_str(line.trim_end());
        text.push('\n');
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::{PairTraffic, Partner};

    #[test]
    fn figures_have_three_digits_and_a_prefix() {
        for (value, text) in [
            (0.0, "0"),
            (7.0, "7"),
            (0.5, "0.50"),
            (999.0, "999"),
            (999.7, "1.00 k"),
            (1234.0, "1.23 k"),
            (56_789.0, "56.8 k"),
            (999_600.0, "1.00 M"),
            (17.3e9, "17.3 G"),
            (5e15, "5000 T"),
        ] {
            assert_eq!(si(value), text, "{value}");
        }
    }

    #[test]
    fn names_in_a_table_do_not_move_the_cursor() {
        let mut table = new_table(&["PORT", "WHAT"]);
        table.add_row(["q\u{1b}[2Jx", "one\ntwo"]);
        assert_eq!(finish(&table), " PORT    WHAT\n q?[2Jx  one\n         two\n");
        assert_eq!(plain_lines("a\u{7}b\nc\u{9b}\n"), "a?b\nc?\n");
    }

    #[test]
    fn only_all_is_a_hundred_percent() {
        assert_eq!(percent(1.0), "100.0 %");
        assert_eq!(percent(0.99999), "99.9 %");
        assert_eq!(percent(0.00001), "0.1 %");
        assert_eq!(percent(0.0), "0.0 %");
    }

    #[test]
    fn table_of_pairs_has_the_busiest_and_says_what_it_leaves_out() {
        let pair = |from: &str, to, frames| PairTraffic {
            from: from.into(),
            to,
            frames,
            bytes: frames * 100,
            segments: frames,
        };
        let traffic = Traffic {
            fabric: "lab".into(),
            seconds: 2.0,
            pairs: vec![
                pair("red", Partner::Port("blue".into()), 3000),
                pair("red", Partner::Host, 1000),
            ],
            others: 990,
        };
        let text = pairs_table(&traffic, 1);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4, "{text}");
        for word in ["red", "blue", "1.50 k", "150 k", "100", "75.0 %"] {
            assert!(lines[1].contains(word), "{word}: {text}");
        }
        assert_eq!(lines[2], "and 1 pair with less");
        assert!(lines[3].starts_with("and 495 frames/s of pairs"));
        assert!(pairs_table(&traffic, 2).contains("(host)"));
        assert!(pairs_table(&Traffic::default(), 9).ends_with("nobody has sent anything\n"));
    }

    #[test]
    fn table_of_rates_names_the_other_verdicts() {
        let rates = PortRates {
            name: "red".into(),
            frames_per_second: 1500.0,
            bytes_per_second: 2.5e6,
            fast_share: Some(0.5),
            others: vec![(Verdict::Broadcast, 3.0), (Verdict::Multicast, 1.0)],
            dropped_per_second: 2.0,
            is_anew: false,
        };
        let text = rates_table(std::slice::from_ref(&rates));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].contains("FAST PATH"));
        assert!(lines[1].contains("1.50 k") && lines[1].contains("50.0 %"));
        assert!(lines[1].ends_with("broadcast 3/s, multicast 1/s, (dropped 2/s)"));
        let anew = rates_table(&[PortRates { is_anew: true, ..rates }]);
        assert!(anew.ends_with("(dropped 2/s), (counts anew)\n"), "{anew}");
    }
}
