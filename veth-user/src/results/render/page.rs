//! Results as a page that needs nothing but itself: no network, no script, no font.

use std::collections::BTreeSet;

use super::{
    super::{Path, PathKind, Results, Summary, Workload},
    chart::key,
    charts::{self, Chart},
    contents::Contents,
    date::utc,
    facts::Fact,
    figure::Difference,
    markup::Element,
    sheet::{Entry, Figure, Heading, Sheet, Weight},
};

const STYLE: &str = include_str!("page.css");

/// Results as one HTML page: charts, tables, machine, settings.
pub fn page(results: &Results, summary: &Summary) -> String {
    let contents = Contents::of(results, summary);
    let name = format!("veth bench: {}, Linux {}", results.machine.cpu, results.machine.kernel);
    let head = Element::new("head")
        .child(Element::new("meta").with("charset", "utf-8"))
        .child(
            Element::new("meta")
                .with("name", "viewport")
                .with("content", "width=device-width, initial-scale=1"),
        )
        .child(Element::new("title").text(name))
        .child(Element::new("style").text(STYLE));
    let body = Element::new("body")
        .child(header(results))
        .child(Element::new("main").children(sections(results, summary, &contents)))
        .child(Element::new("footer").text(format!(
            "Written by veth {}. More is better unless it says otherwise; ratios are medians over \
             rounds in which both paths were measured.",
            results.release
        )));
    let html = Element::new("html").with("lang", "en").child(head).child(body);
    format!("<!DOCTYPE html>\n{html}\n")
}

fn header(results: &Results) -> Element {
    let machine = &results.machine;
    let line = format!(
        "Linux {} · {} · {} rounds × {} ms · {}",
        machine.kernel,
        machine.cpu,
        results.settings.rounds,
        results.settings.round_ms,
        utc(results.started_at_s)
    );
    Element::new("header")
        .child(Element::new("h1").text("veth bench"))
        .child(Element::new("p").text(line))
}

fn sections(results: &Results, summary: &Summary, contents: &Contents) -> Vec<Element> {
    let mut sections = Vec::new();
    if !contents.warnings.is_empty() {
        sections.push(warnings(&contents.warnings));
    }
    if contents.is_empty() {
        sections.push(Element::new("p").with("class", "nothing").text("Nothing was measured."));
    }
    if let Some(comparison) = &contents.comparison {
        let note = format!(
            "How many times as good as {}, which is 1; more is better everywhere. Whiskers: 95 % \
             interval. Grey: no difference that can be told. Dashed: the direct pair, as short as \
             a path can be.",
            summary.baseline
        );
        let comparisons = charts::comparisons(summary);
        let note = (!comparisons.is_empty()).then(|| Element::new("p").text(note));
        sections.push(
            section(&comparison.title)
                .children(note)
                .children(grid(comparisons))
                .child(table(comparison)),
        );
    }
    if !contents.ports.is_empty() {
        sections.push(
            section("Cost against port count")
                .children(charts_with_legend(charts::ports(summary)))
                .child(tables(&contents.ports)),
        );
    }
    if !contents.latency.is_empty() {
        sections.push(
            section("Latency")
                .child(Element::new("p").text("Time of a round trip; less is better."))
                .children(charts_with_legend(charts::latencies(summary)))
                .child(tables(&contents.latency)),
        );
    }
    if let Some(cost) = &contents.cost {
        sections.push(section(&cost.title).child(table(cost)));
    }
    if !contents.unavailable.is_empty() {
        sections.push(section("Not measured").child(definitions(&contents.unavailable)));
    }
    sections.push(
        Element::new("div")
            .with("class", "pair")
            .child(section("Machine").child(definitions(&contents.machine)))
            .child(section("Settings").child(definitions(&contents.settings))),
    );
    if !contents.is_empty() {
        sections.push(words(results));
    }
    sections
}

fn section(title: &str) -> Element {
    Element::new("section").child(Element::new("h2").text(title))
}

fn warnings(warnings: &[String]) -> Element {
    let items = warnings.iter().map(|warning| Element::new("li").text(warning));
    Element::new("aside")
        .with("class", "warnings")
        .child(Element::new("h2").text("Warnings"))
        .child(Element::new("ul").children(items))
}

/// Charts side by side, as many as fit.
fn grid(charts: Vec<Chart>) -> Option<Element> {
    let figure = |Chart { heading, detail, drawing, .. }: Chart| {
        let caption = Element::new("figcaption")
            .child(Element::new("h3").text(heading))
            .child(Element::new("p").text(detail));
        Element::new("figure").child(caption).child(drawing)
    };
    let is_empty = charts.is_empty();
    let grid = Element::new("div").with("class", "grid");
    (!is_empty).then(|| grid.children(charts.into_iter().map(figure)))
}

fn charts_with_legend(charts: Vec<Chart>) -> impl Iterator<Item = Element> {
    let paths: BTreeSet<Path> = charts.iter().flat_map(|it| &it.paths).copied().collect();
    grid(charts).into_iter().flat_map(move |grid| [legend(&paths), grid])
}

fn legend(paths: &BTreeSet<Path>) -> Element {
    let item = |path: &Path| {
        let name = Element::new("span").text(path.to_string());
        Element::new("li").child(key(*path)).child(name)
    };
    Element::new("ul").with("class", "legend").children(paths.iter().map(item))
}

/// Small tables with their titles, side by side where there is space.
fn tables(sheets: &[Sheet]) -> Element {
    let titled = |sheet: &Sheet| {
        Element::new("div").child(Element::new("h3").text(&sheet.title)).child(table(sheet))
    };
    Element::new("div").with("class", "grid tables").children(sheets.iter().map(titled))
}

/// A table that scrolls by itself where it is too wide.
fn table(sheet: &Sheet) -> Element {
    let heading = |Heading { name, detail }: &Heading| {
        let detail = (!detail.is_empty()).then(|| Element::new("small").text(detail));
        let name = Element::new("span").text(name);
        Element::new("th").with("scope", "col").child(name).children(detail)
    };
    let corner = Element::new("th").with("scope", "col").text(sheet.corner);
    let header = Element::new("tr").child(corner).children(sheet.columns.iter().map(heading));
    let rows = sheet.rows.iter().map(|row| {
        let label = Element::new("th").with("scope", "row").text(&row.label);
        Element::new("tr").child(label).children(row.entries.iter().map(entry))
    });
    let table = Element::new("table")
        .child(Element::new("thead").child(header))
        .child(Element::new("tbody").children(rows));
    let scroll = Element::new("div")
        .with("class", "scroll")
        .with("role", "region")
        .with("aria-label", &sheet.title)
        .with("tabindex", "0")
        .child(table);
    let note = Element::new("p").with("class", "note");
    let note = (!sheet.note.is_empty()).then(|| note.text(&sheet.note));
    Element::new("div").child(scroll).children(note)
}

fn entry(entry: &Entry) -> Element {
    if entry.is_empty() {
        return Element::new("td").text(super::figure::NONE);
    }
    let class = |figure: &Figure| match figure.weight {
        Weight::Main => "main",
        Weight::Compared(Difference::Better) => "better",
        Weight::Compared(Difference::Worse) => "worse",
        Weight::Compared(Difference::None) => "same",
        Weight::Aside => "aside",
    };
    // A line may end before an interval, and nowhere else.
    let unbroken = |text: &str| text.replace(' ', "\u{a0}");
    let text = |it: &Figure| {
        let text = Element::new("span").with("class", class(it)).text(unbroken(&it.marked()));
        if it.interval.is_empty() {
            return text;
        }
        text.text(" ").child(Element::new("small").text(unbroken(&it.interval)))
    };
    Element::new("td").children(entry.iter().map(text))
}

fn definitions(facts: &[Fact]) -> Element {
    let pair = |Fact { name, text }: &Fact| {
        Element::new("div")
            .child(Element::new("dt").text(name))
            .child(Element::new("dd").text(text))
    };
    Element::new("dl").children(facts.iter().map(pair))
}

/// What the names of paths and workloads mean.
fn words(results: &Results) -> Element {
    let kinds: BTreeSet<PathKind> = results.cells.iter().map(|cell| cell.path.kind).collect();
    let workloads: BTreeSet<Workload> = results.cells.iter().map(|cell| cell.workload).collect();
    let fact = |name: String, help: &str| Fact { name, text: help.into() };
    let kinds: Vec<Fact> = kinds.iter().map(|it| fact(it.to_string(), it.help())).collect();
    let workloads: Vec<Fact> = workloads.iter().map(|it| fact(it.to_string(), it.help())).collect();
    Element::new("div")
        .with("class", "pair")
        .child(section("Paths").child(definitions(&kinds)))
        .child(section("Workloads").child(definitions(&workloads)))
}

#[cfg(test)]
mod tests {
    use roxmltree::{Document, ParsingOptions};

    use super::{super::fixture, *};

    fn parse(text: &str) -> Document<'_> {
        let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
        Document::parse_with_options(text, options).expect("is well-formed")
    }

    #[test]
    fn page_of_a_run() {
        let (results, summary) = fixture::rich();
        insta::assert_binary_snapshot!("page.html", page(&results, &summary).into_bytes());
    }

    #[test]
    fn style_needs_no_escaping_and_nothing_from_elsewhere() {
        assert!(!STYLE.contains(['<', '>', '&', '"', '\'']));
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }

    #[test]
    fn page_has_no_script_and_refers_to_nothing() {
        let (results, summary) = fixture::rich();
        let text = page(&results, &summary);
        let document = parse(&text);
        let names: BTreeSet<&str> =
            document.descendants().map(|node| node.tag_name().name()).collect();
        for name in ["script", "link", "img", "iframe", "object"] {
            assert!(!names.contains(name), "{name}");
        }
        let mut attributes = document.descendants().flat_map(|node| node.attributes());
        assert!(attributes.all(|it| !["src", "href", "style"].contains(&it.name())));
    }

    #[test]
    fn hostile_text_stays_text() {
        let hostile = "</style></title><script>alert(\"1\")</script><img src=x onerror='a'>&amp;";
        let (mut results, mut summary) = fixture::rich();
        let before = parse(&page(&results, &summary))
            .descendants()
            .filter(roxmltree::Node::is_element)
            .count();
        let machine = &mut results.machine;
        for text in [&mut machine.kernel, &mut machine.cpu, &mut results.release] {
            *text = hostile.into();
        }
        for text in [&mut machine.clock, &mut machine.hypervisor, &mut machine.governor] {
            *text = Some(hostile.into());
        }
        machine.mitigations[0] = (hostile.into(), hostile.into());
        results.unavailable[0].reason = hostile.into();
        summary.warnings[0] = hostile.into();
        let text = page(&results, &summary);
        let document = parse(&text);
        let elements = document.descendants().filter(roxmltree::Node::is_element);
        assert_eq!(elements.count(), before);
        let seen = document.descendants().filter(|node| {
            node.is_text() && node.text().is_some_and(|text| text.contains(hostile))
        });
        // Title, header and footer; kernel, CPU, clock, hypervisor, governor, mitigations, release,
        // reason, warning.
        assert_eq!(seen.count(), 12);
        assert!(!text.contains("<script") && !text.contains("<img"));
    }

    #[test]
    fn ids_are_unique_and_charts_refer_to_theirs() {
        let (results, summary) = fixture::rich();
        let text = page(&results, &summary);
        let document = parse(&text);
        let ids: Vec<&str> =
            document.descendants().filter_map(|node| node.attribute("id")).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        let labels = document.descendants().filter_map(|node| node.attribute("aria-labelledby"));
        let labels: Vec<&str> = labels.flat_map(|it| it.split(' ')).collect();
        assert_eq!(labels.len(), ids.len());
        assert!(labels.iter().all(|label| ids.contains(label)));
    }

    #[test]
    fn run_without_figures_is_a_page_with_its_machine() {
        let (results, summary) = fixture::empty();
        let text = page(&results, &summary);
        parse(&text);
        assert!(text.contains("Nothing was measured.") && text.contains("AMD EPYC"), "{text}");
        assert!(text.contains("the run ended early") && !text.contains("<table"));
    }

    #[test]
    fn one_path_is_a_page_without_comparison() {
        let (results, mut summary) = fixture::small();
        summary.rows.retain(|row| row.path == summary.baseline);
        let text = page(&results, &summary);
        parse(&text);
        assert!(!text.contains("id=\"ratio-") && text.contains("id=\"latency-udp_rr-title\""));
    }

    #[test]
    fn bridge_against_itself_has_a_baseline_and_no_difference() {
        let (results, summary) = fixture::against_itself();
        let text = page(&results, &summary);
        let document = parse(&text);
        let count = |class: &str| {
            document.descendants().filter(|it| it.attribute("class") == Some(class)).count()
        };
        let counts = ["name", "baseline", "same", "better", "worse", "ceiling"].map(count);
        // One more of the same: the ratio in the table.
        assert_eq!(counts, [2, 1, 2, 0, 0, 0]);
        assert!(text.contains("bridge#2: 1.00x [0.98, 1.02] of bridge, no difference"), "{text}");
    }
}
