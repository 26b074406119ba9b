//! `veth top` on a terminal: tmux is the terminal, so that what a person would see is text.

mod tmux;

use std::{fs, process::Command};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use veth_common::Verdict;

use crate::{
    sandbox::{Sandbox, Started, VETH, wait_until},
    traffic::{example, talk::silence_ipv6},
};
use tmux::Tmux;

/// A fabric that is up, and what sends through it for as long as it is held.
fn lab() -> (Sandbox, Started) {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    silence_ipv6(&sandbox, &["red", "blue"]);
    let mut ping = sandbox.command("ip");
    ping.args(["netns", "exec", "red", "ping", "-n", "-q", "-i", "0.01", "10.77.0.2"]);
    let ping = Started::of(ping);
    wait_until("frames to be redirected", || sandbox.counter("lab", "blue", "redirected").0 > 0);
    (sandbox, ping)
}

/// Starts `veth top` in it, and waits for the first rates. When it is over, the shell says so with a word
/// that is not on the screen before, however the lines that were typed are broken.
fn start<'a>(sandbox: &'a Sandbox, environment: &str) -> Tmux<'a> {
    let tmux = Tmux::start(sandbox, 80, 24);
    tmux.send(&["stty -a >before; echo it was here", "Enter"]);
    tmux.wait_for("it was here");
    let run = format!("{environment} {VETH} top lab; echo ended $?; stty -a >after; echo do''ne");
    tmux.send(&[run.as_str(), "Enter"]);
    tmux.wait_for("redirected");
    tmux
}

/// Fails the test unless the terminal is what it was before.
#[track_caller]
fn assert_restored(tmux: &Tmux<'_>, code: u8) {
    tmux.wait_for("done\n");
    let screen = tmux.screen();
    assert!(screen.contains(&format!("ended {code}\n")), "{screen}");
    assert!(screen.contains("it was here\n"), "the text before is gone: {screen}");
    assert!(!screen.contains("LAST MINUTE"), "the screen is still there: {screen}");
    assert_eq!(tmux.ask("#{alternate_on} #{cursor_flag}"), "0 1");
    let [before, after] = ["before", "after"]
        .map(|name| fs::read_to_string(tmux.dir().join(name)).expect("stty has written it"));
    assert!(before.contains(" icanon") && before.contains(" echo "), "{before}");
    assert_eq!(after, before);
}

/// The screen without what changes from second to second: figures are `#`, curves are gone, blanks
/// between columns are one, and so are blank lines. Multicast is what IPv6 sent before it was silenced, if
/// it had the time.
fn masked(screen: &str) -> String {
    const CURVE: &str = "▁▂▃▄▅▆▇█·";
    let mut text = String::new();
    // A sentence may be in several lines.
    let is_certain = |line: &&str| {
        let text = line.trim();
        let sentence = !text.is_empty() && Verdict::Multicast.help().contains(text);
        !sentence && !line.contains(Verdict::Multicast.name())
    };
    for line in screen.lines().filter(is_certain) {
        if line.is_empty() && text.ends_with("\n\n") {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let mut words: Vec<&str> = Vec::new();
        for word in line.split_whitespace() {
            match word {
                _ if word.parse::<f64>().is_ok() => words.push("#"),
                "k" | "M" | "G" if words.last() == Some(&"#") => {}
                "kbit/s" | "Mbit/s" => words.push("bit/s"),
                _ if word.chars().all(|it| CURVE.contains(it)) => {}
                _ => words.push(word),
            }
        }
        text += &format!("{}{}\n", &line[..indent], words.join(" "));
    }
    text
}

#[test]
#[ignore = "needs root"]
fn screens_of_three_sizes() {
    let (sandbox, ping) = lab();
    let tmux = start(&sandbox, "");
    assert_eq!(tmux.ask("#{alternate_on} #{cursor_flag}"), "1 0");
    // By name, so that it is always the same one that is first.
    tmux.send(&["s", "s", "s", "s", "Down"]);
    tmux.wait_for("PORT▼");
    // The last is the first again, to be left as it was found.
    for (columns, lines) in [(120, 40), (60, 15), (80, 24)] {
        tmux.resize(columns, lines);
        let last = usize::from(lines) - 1;
        let is_drawn = |screen: &str| {
            let keys = screen.lines().nth(last).is_some_and(|line| line.starts_with("q quit"));
            // The line under the ports is as wide as the screen.
            let mut lines = screen.lines();
            let line = lines.find(|line| line.starts_with("── red"));
            keys && line.is_some_and(|line| line.chars().count() == usize::from(columns))
        };
        tmux.wait_until(&format!("a screen of {columns} by {lines}"), is_drawn);
        insta::assert_snapshot!(format!("{columns}_by_{lines}"), masked(&tmux.screen()));
    }
    tmux.send(&["q"]);
    assert_restored(&tmux, 0);
    drop((tmux, ping));
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn terminal_is_restored_by_keys_and_signals() {
    let (sandbox, ping) = lab();
    for key in ["q", "C-c"] {
        println!("{key}");
        let tmux = start(&sandbox, "");
        tmux.send(&[key]);
        assert_restored(&tmux, 0);
    }
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        println!("{signal}");
        let tmux = start(&sandbox, "");
        kill(child_of(&tmux.ask("#{pane_pid}")), signal).expect("it runs");
        assert_restored(&tmux, 0);
    }
    drop(ping);
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn terminal_that_goes_ends_it() {
    let (sandbox, ping) = lab();
    // Signal and hang-up come in any order, and something that was typed may come between.
    for typed in [&[][..], &["j", "k", "j"]] {
        let tmux = start(&sandbox, "");
        let veth = child_of(&tmux.ask("#{pane_pid}"));
        assert!(kill(veth, None).is_ok());
        tmux.send(&[typed, &["s"]].concat());
        drop(tmux);
        wait_until("it to end", || kill(veth, None).is_err());
    }
    drop(ping);
    sandbox.down("lab");
}

/// The only child of a process.
fn child_of(pid: &str) -> Pid {
    let mut pgrep = Command::new("pgrep");
    let output = pgrep.args(["-P", pid]).output().expect("procps is there");
    let text = String::from_utf8_lossy(&output.stdout);
    Pid::from_raw(text.trim().parse().expect("it has one child"))
}

#[test]
#[ignore = "needs root"]
fn fabric_that_goes_ends_it_with_the_reason() {
    let (sandbox, ping) = lab();
    let tmux = start(&sandbox, "");
    drop(ping);
    sandbox.down("lab");
    assert_restored(&tmux, 1);
    assert!(tmux.screen().contains("veth: "), "{}", tmux.screen());
}

#[test]
#[ignore = "needs root"]
fn terminal_is_restored_after_a_panic_and_its_message_stays() {
    let (sandbox, ping) = lab();
    let tmux = Tmux::start(&sandbox, 80, 24);
    tmux.send(&["stty -a >before; echo it was here", "Enter"]);
    tmux.wait_for("it was here");
    let run = format!(
        "RUST_BACKTRACE=0 VETH_TOP_PANICS=1 {VETH} top lab; echo ended $?; stty -a >after; echo do''ne"
    );
    tmux.send(&[run.as_str(), "Enter"]);
    tmux.wait_for("ended 101\n");
    assert_restored(&tmux, 101);
    assert!(tmux.screen().contains("asked to panic"), "{}", tmux.screen());
    drop((tmux, ping));
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn stopped_top_gives_the_terminal_back_and_takes_it_again() {
    let (sandbox, ping) = lab();
    for by_key in [true, false] {
        let tmux = Tmux::start(&sandbox, 80, 24);
        tmux.send(&["stty -a >before; echo it was here", "Enter"]);
        tmux.wait_for("it was here");
        // A shell with jobs, as a person has.
        tmux.send(&[format!("set -m; {VETH} top lab").as_str(), "Enter"]);
        tmux.wait_for("redirected");
        if by_key {
            tmux.send(&["C-z"]);
        } else {
            kill(child_of(&tmux.ask("#{pane_pid}")), Signal::SIGTSTP).expect("it runs");
        }
        tmux.wait_for("Stopped");
        assert_eq!(tmux.ask("#{alternate_on} #{cursor_flag}"), "0 1");
        tmux.send(&["stty -a >after; echo mean''while", "Enter"]);
        tmux.wait_for("meanwhile\n");
        let [before, after] = ["before", "after"]
            .map(|name| fs::read_to_string(tmux.dir().join(name)).expect("stty has written it"));
        assert_eq!(after, before);
        tmux.send(&["fg", "Enter"]);
        tmux.wait_until("the whole screen", |screen| {
            screen.contains("lab (tc)")
                && screen.contains("q quit")
                && !screen.contains("meanwhile")
        });
        tmux.send(&["q"]);
        tmux.wait_until("the shell", |screen| screen.trim_end().ends_with('$'));
        assert_eq!(tmux.ask("#{alternate_on} #{cursor_flag}"), "0 1");
    }
    drop(ping);
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn fabric_that_goes_and_comes_is_counted_on() {
    let (sandbox, ping) = lab();
    // A shell that does not care for jobs does not notice when one stands still.
    let tmux = start(&sandbox, "set +m;");
    drop(ping);
    // In the time between two readings, for all that top can tell.
    let veth = child_of(&tmux.ask("#{pane_pid}"));
    kill(veth, Signal::SIGSTOP).expect("it runs");
    sandbox.down("lab");
    sandbox.veth(&["up", example!("pair")]).ok();
    silence_ipv6(&sandbox, &["red", "blue"]);
    let mut ping = sandbox.command("ip");
    ping.args(["netns", "exec", "red", "ping", "-n", "-q", "-i", "0.01", "10.77.0.2"]);
    let ping = Started::of(ping);
    kill(veth, Signal::SIGCONT).expect("it runs");
    tmux.wait_until("frames of the new fabric", |screen| {
        let redirected = screen.lines().find(|line| line.trim_start().starts_with("redirected"));
        screen.contains("counts anew") && redirected.is_some_and(|line| !line.contains(" 0 "))
    });
    tmux.send(&["q"]);
    assert_restored(&tmux, 0);
    drop((tmux, ping));
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn keys_filter_pause_and_explain() {
    let (sandbox, ping) = lab();
    let tmux = start(&sandbox, "");
    tmux.send(&["/", "bl"]);
    tmux.wait_for("filter: bl_");
    tmux.send(&["Enter"]);
    tmux.wait_until("only one port", |screen| {
        screen.contains("1 of 2 ports") && !screen.contains("  red ")
    });
    tmux.send(&["Escape"]);
    tmux.wait_for("  red ");
    tmux.send(&["?"]);
    tmux.wait_for("reversed");
    tmux.send(&["x", "Space"]);
    tmux.wait_for("PAUSED");
    tmux.send(&["Space"]);
    tmux.wait_until("time to go on", |screen| !screen.contains("PAUSED"));
    tmux.send(&["q"]);
    assert_restored(&tmux, 0);
    drop((tmux, ping));
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn tab_shows_who_talks_to_whom() {
    let (sandbox, ping) = lab();
    let tmux = start(&sandbox, "");
    tmux.send(&["Tab"]);
    let is_told = |screen: &str| {
        let has = |from: &str, to: &str| {
            screen.lines().any(|line| {
                let mut words = line.trim_start_matches('>').split_whitespace();
                words.next() == Some(from) && words.next() == Some(to)
            })
        };
        screen.contains("FROM") && has("red", "blue") && has("blue", "red")
    };
    for (columns, lines) in [(120, 40), (60, 15), (80, 24)] {
        tmux.resize(columns, lines);
        tmux.wait_until(&format!("pairs on {columns} by {lines}"), is_told);
    }
    tmux.send(&["Tab"]);
    tmux.wait_for("LAST MINUTE");
    tmux.send(&["q"]);
    assert_restored(&tmux, 0);
    drop((tmux, ping));
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn colours_are_the_sixteen_of_the_terminal_or_none() {
    let (sandbox, ping) = lab();
    for (environment, is_coloured) in [("", true), ("NO_COLOR=", true), ("NO_COLOR=1", false)] {
        let tmux = start(&sandbox, environment);
        let attributes = tmux.attributes();
        let numbers = attributes.split([';', '|']);
        let is_inverse = numbers.clone().any(|number| number == "7");
        assert!(is_inverse, "{environment}: what is selected shows in any case: {attributes}");
        let is_colour = |number: &str| {
            let number = number.parse::<u8>().unwrap_or(0);
            matches!(number, 30..=38 | 40..=48 | 90..=97 | 100..=107)
        };
        assert_eq!(numbers.clone().any(is_colour), is_coloured, "{environment}: {attributes}");
        // The sixteen have two spellings; as indices they are the first of 256.
        assert!(!attributes.contains("38;2;") && !attributes.contains("48;2;"), "{attributes}");
        for index in attributes.split("8;5;").skip(1) {
            let index: u8 =
                index.split([';', '|']).next().map_or(0, |it| it.parse().unwrap_or(255));
            assert!(index < 16, "{environment}: more than sixteen: {attributes}");
        }
        tmux.send(&["q"]);
        assert_restored(&tmux, 0);
    }
    drop(ping);
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn without_a_terminal_it_names_what_does_without() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    for arguments in [&["top", "lab"][..], &["top"], &["top", "lab", "--json"]] {
        let run = sandbox.veth(arguments);
        assert_eq!(run.stdout, "");
        run.fails(2, "veth stats --watch");
    }
    sandbox.down("lab");
}
