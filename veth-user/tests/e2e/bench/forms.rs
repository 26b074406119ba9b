//! The forms in which results are shown and kept, and what is read back.

use std::{collections::BTreeSet, fs};

use serde_json::Value;

use super::{Lab, bench, items, measure};
use crate::sandbox::{Run, Sandbox, VETH};

const CSV_HEADER: &str =
    "workload,path,ports,round,value,value_unit,operations,bytes,lost,elapsed_ns,cpu_ns";

/// Runs `veth bench ARGS` in the sandbox without any privilege that benchmarks need.
fn unprivileged(sandbox: &Sandbox, args: &[&str]) -> Run {
    let mut command = sandbox.command("setpriv");
    command.args(["--bounding-set=-net_admin,-sys_admin,-bpf", "--", VETH, "bench"]).args(args);
    Run::of(command)
}

/// Measures a little, and saves it in a file of that name.
#[track_caller]
fn save(sandbox: &Sandbox, name: &str, path: &str) -> String {
    let file = sandbox.file_path(name);
    let args = ["--paths", path, "--workloads", "udp_rr", "--rounds", "8", "--time", "0.02"];
    measure(sandbox, &[&args[..], &["--save", &file]].concat());
    file
}

#[test]
#[ignore = "needs root"]
fn same_results_are_shown_in_every_form() {
    let sandbox = Lab::new();
    let [file, page] = ["bench.json", "bench.html"].map(|name| sandbox.file_path(name));
    let args = ["--paths", "direct,bridge,tc", "--workloads", "tcp_rr,udp_rr,frames"];
    let rest = ["--rounds", "6", "--time", "0.02", "--save", &file, "--html", &page];
    let shown = bench(&sandbox, &[&args[..], &rest].concat()).ok();
    assert!(!shown.stdout.contains('\x1b'), "no terminal, no escapes: {}", shown.stdout);
    let said = format!("the page is {page}\nresults are in {file}\n");
    assert_eq!(shown.stderr, said, "no terminal, no progress");

    let show = |args: &[&str]| unprivileged(&sandbox, &[&["show", &file], args].concat()).ok();
    assert_eq!(show(&[]).stdout, shown.stdout);
    let output = show(&["--json"]).json();
    let text = fs::read_to_string(&file).expect("was saved");
    let saved: Value = serde_json::from_str(&text).expect("is JSON");
    assert_eq!(output["results"], saved);
    assert_eq!(output["results"]["finished"], true);
    // Each cell of the results is a row of the summary.
    let cells = items(&saved["cells"]);
    let names = |list: &[Value]| -> BTreeSet<String> {
        list.iter().map(|it| format!("{} {}", it["workload"], it["path"])).collect()
    };
    assert_eq!(names(items(&output["summary"]["rows"])), names(cells));
    assert_eq!(cells.len(), 9);

    assert_csv(&show(&["--csv"]).stdout, cells);
    assert_markdown(&show(&["--markdown"]).stdout);
    assert_page(&fs::read_to_string(&page).expect("was written"));

    // Shown again, the page is the same, in place of what was there.
    let again = sandbox.file("again.html", "something else");
    show(&["--html", &again]);
    assert_eq!(fs::read(&again).expect("was written"), fs::read(&page).expect("was written"));
    let left = sandbox.sh(&format!("ls {}", sandbox.file_path("")));
    assert_eq!(left, "again.html\nbench.html\nbench.json\n", "half a file is left");
}

/// One line for each round, with as many values as the header has names.
#[track_caller]
fn assert_csv(text: &str, cells: &[Value]) {
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some(CSV_HEADER));
    for cell in cells {
        for round in items(&cell["rounds"]) {
            let line: Vec<&str> = lines.next().expect("a line for each round").split(',').collect();
            assert_eq!(line.len(), CSV_HEADER.split(',').count(), "{line:?}");
            assert_eq!([&cell["workload"], &cell["path"]], [line[0], line[1]], "{line:?}");
            let number = |key: &str| round[key].as_u64().expect("is a number").to_string();
            assert_eq!([number("round"), number("operations")], [line[3], line[6]], "{line:?}");
        }
    }
    assert_eq!(lines.next(), None);
}

/// A table whose lines have as many cells as their headings.
#[track_caller]
fn assert_markdown(text: &str) {
    assert!(text.contains("### Compared with bridge"), "{text}");
    let columns = |line: &str| line.matches(" | ").count();
    let mut lines = text.lines().skip_while(|line| !line.starts_with("| path"));
    let header = lines.next().expect("has a table");
    for name in ["tcp_rr", "udp_rr", "frames"] {
        assert!(header.contains(name), "{name}: {header}");
    }
    for path in ["---", "direct", "bridge", "tc"] {
        let line = lines.next().expect("has a line for each path");
        assert!(line.starts_with(&format!("| {path} ")), "{line}");
        assert_eq!(columns(line), columns(header), "{line}");
    }
}

/// A well-formed page that needs nothing from anywhere.
#[track_caller]
fn assert_page(text: &str) {
    let options = roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() };
    let page = roxmltree::Document::parse_with_options(text, options).expect("is well-formed");
    for node in page.descendants().filter(roxmltree::Node::is_element) {
        let name = node.tag_name().name();
        let loads = ["script", "link", "img", "iframe", "object", "embed", "image", "base"];
        assert!(!loads.contains(&name), "<{name}> loads something, or might");
        for attribute in node.attributes() {
            let is_reference = ["src", "href", "srcset", "data"].contains(&attribute.name());
            let value = attribute.value();
            assert!(!is_reference || value.starts_with('#'), "{}={value}", attribute.name());
            assert!(!value.contains("url(http"), "{}={value}", attribute.name());
        }
    }
    let styles = page.descendants().filter(|node| node.has_tag_name("style"));
    let styles: String = styles.filter_map(|node| node.text()).collect();
    assert!(!styles.contains("url(") && !styles.contains("@import"), "{styles}");
    for part in ["tcp_rr", "udp_rr", "frames", "bridge", "direct"] {
        assert!(page.root().descendants().any(|node| node.text() == Some(part)), "{part}");
    }
}

#[test]
#[ignore = "needs root"]
fn run_does_not_differ_from_itself() {
    let sandbox = Lab::new();
    let file = save(&sandbox, "bench.json", "bridge,tc");
    let same = unprivileged(&sandbox, &["compare", &file, &file, "--json"]).ok().json();
    let changes = items(&same["changes"]);
    assert_eq!(changes.len(), 2);
    for change in changes {
        assert_eq!(change["separates"], false, "{change}");
        assert_eq!(change["ratio"]["differs"], false, "{change}");
    }
    let text = unprivileged(&sandbox, &["compare", &file, &file]).ok().stdout;
    for part in ["udp_rr", "bridge", "tc"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
#[ignore = "needs root"]
fn slower_program_is_found_between_two_runs() {
    let sandbox = Lab::new();
    let before = save(&sandbox, "before.json", "tc");
    // Twenty microseconds at each end of a round trip are as much again, at least.
    let after = save(&sandbox, "after.json", "delayed:20000");
    let text = fs::read_to_string(&after).expect("was saved").replace("delayed:20000", "tc");
    fs::write(&after, text).expect("the file is ours");

    let change = |before: &str, after: &str| {
        let output = unprivileged(&sandbox, &["compare", before, after, "--json"]).ok().json();
        let [change] = items(&output["changes"]) else { panic!("not one change: {output}") };
        assert_eq!([&change["workload"], &change["path"]], ["udp_rr", "tc"]);
        assert_eq!(change["separates"], true, "{change}");
        assert_eq!(change["ratio"]["differs"], true, "{change}");
        change["ratio"]["median"].as_f64().expect("is a number")
    };
    assert!(change(&before, &after) < 1.0);
    assert!(change(&after, &before) > 1.0);
}

#[test]
#[ignore = "needs root"]
fn results_without_a_place_are_saved_in_the_state_directory() {
    let sandbox = Lab::new();
    let args = ["--paths", "direct", "--workloads", "udp_rr", "--rounds", "1", "--time", "0.02"];
    let run = bench(&sandbox, &args).ok();
    let file = run.stderr.strip_prefix("results are in ").expect("says where").trim_end();
    assert!(file.starts_with(&sandbox.file_path("state/veth/bench-")), "{file}");
    unprivileged(&sandbox, &["show", file]).ok();
}

#[test]
#[ignore = "needs root"]
fn colours_are_for_terminals_and_for_who_wants_them() {
    let sandbox = Lab::new();
    let file = save(&sandbox, "bench.json", "bridge,delayed:20000");
    let on_terminal = |environment: &str, redirect: &str| {
        let line = format!("{environment} {VETH} bench show {file} {redirect}");
        let mut command = sandbox.command("script");
        command.args(["-qec", &line, "/dev/null"]).env_remove("NO_COLOR");
        Run::of(command).ok().stdout
    };
    assert!(on_terminal("", "").contains("\x1b[31m"), "worse is red");
    assert!(!on_terminal("NO_COLOR=1", "").contains('\x1b'));
    assert!(!on_terminal("", "| cat").contains('\x1b'));
}
