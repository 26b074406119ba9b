//! Screens as text, and what keys do to them.

use std::{ops::ControlFlow, time::Duration};

use ratatui::{Terminal, backend::TestBackend, buffer::Buffer, layout::Rect, style::Color};
use veth_common::{Counter, Pair, PortCounters, PortSlot, Verdict};

use super::*;
use crate::counters::{Dropped, PortSample, Snapshot};

/// A port that was given `redirected` and `broadcast` frames so far.
fn port(ifindex: u32, name: &str, redirected: u64, broadcast: u64) -> PortSample {
    let mut counters = PortCounters::ZERO;
    for (verdict, frames, bytes) in
        [(Verdict::Redirected, redirected, 1000), (Verdict::Broadcast, broadcast, 42)]
    {
        counters.by_verdict[verdict as usize] =
            Counter { frames, bytes: frames * bytes, segments: frames };
    }
    let netns = Some(format!("{name}-ns"));
    let slot = Some(PortSlot(u16::try_from(ifindex).expect("is small")));
    PortSample { name: name.into(), ifindex, slot, netns, counters, dropped: Dropped::default() }
}

fn snapshot(second: u64, ports: Vec<PortSample>) -> Snapshot {
    let at = Duration::from_secs(second);
    Snapshot { fabric: "lab".into(), datapath: "tc", at, ports, pairs: None }
}

/// Half a minute of three ports: one swings, one is all broadcast, one is silent.
fn lab() -> Dashboard {
    let mut dashboard = Dashboard::new();
    let mut redirected = 0;
    for second in 0..=30 {
        redirected += 1000 + 500 * (second % 5);
        let mut red = port(5, "red", redirected, second * 10);
        red.dropped.leaving = second;
        dashboard.record(snapshot(
            second,
            vec![red, port(6, "blue", 0, second * 7), port(7, "green", 0, 0)],
        ));
    }
    dashboard
}

/// A fabric of `count` ports, the first the busiest.
fn many(count: u32) -> Dashboard {
    let mut dashboard = Dashboard::new();
    for second in 0..3 {
        let ports =
            (0..count).map(|at| port(at + 1, &format!("p{at}"), second * u64::from(count - at), 0));
        dashboard.record(snapshot(second, ports.collect()));
    }
    dashboard
}

fn press(dashboard: &mut Dashboard, keys: &[Key]) {
    for key in keys {
        assert_eq!(dashboard.press(*key), ControlFlow::Continue(()), "{key:?}");
    }
}

fn type_in(dashboard: &mut Dashboard, text: &str) {
    for character in text.chars() {
        press(dashboard, &[Key::Char(character)]);
    }
}

fn buffer(dashboard: &Dashboard, palette: Palette, width: u16, height: u16) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("needs no device");
    let drawn = terminal.draw(|frame| draw(dashboard, palette, frame.area(), frame.buffer_mut()));
    drawn.expect("needs no device").buffer.clone()
}

/// The screen as text, without the blanks at the ends of lines.
fn screen(dashboard: &Dashboard, width: u16, height: u16) -> String {
    let buffer = buffer(dashboard, Palette::Plain, width, height);
    let lines = (0..height).map(|y| {
        let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
        format!("{}\n", line.trim_end())
    });
    lines.collect()
}

/// The names of the ports on the screen, from top to bottom, and which one is selected.
fn ports(dashboard: &Dashboard) -> (Vec<String>, usize) {
    let rows = dashboard.rows();
    let names = rows.iter().map(|row| row.sample.name.clone()).collect();
    (names, dashboard.place_of_selected(&rows))
}

#[test]
fn screen_of_80_by_24() {
    insta::assert_snapshot!(screen(&lab(), 80, 24));
}

#[test]
fn screen_of_120_by_40() {
    insta::assert_snapshot!(screen(&lab(), 120, 40));
}

#[test]
fn screen_of_160_by_24() {
    insta::assert_snapshot!(screen(&lab(), 160, 24));
}

#[test]
fn screen_of_60_by_15() {
    insta::assert_snapshot!(screen(&lab(), 60, 15));
}

#[test]
fn screen_of_help() {
    let mut dashboard = lab();
    press(&mut dashboard, &[Key::Char('?')]);
    insta::assert_snapshot!(screen(&dashboard, 80, 24));
    press(&mut dashboard, &[Key::Char('x')]);
    assert_eq!(screen(&dashboard, 80, 24), screen(&lab(), 80, 24), "any key leaves the help");
}

#[test]
fn screen_of_many_ports_follows_the_selected_one() {
    let mut dashboard = many(100);
    press(&mut dashboard, &[Key::PageDown, Key::PageDown, Key::Down]);
    insta::assert_snapshot!(screen(&dashboard, 80, 24));
}

/// The lab while pairs are looked at: red talks to blue more and more, and a little to green.
fn talking() -> Dashboard {
    let pairs = |second: u64| {
        let pair = |source, target| Pair { source: PortSlot(source), target: PortSlot(target) };
        let counter = |frames| Counter { frames, bytes: frames * 500, segments: frames };
        vec![
            (Pair::OTHERS, counter(second * 3)),
            (pair(5, 6), counter(second * 900)),
            (pair(5, 7), counter(second * 80)),
            (pair(6, 5), counter(second * 2000)),
        ]
    };
    let mut dashboard = lab();
    press(&mut dashboard, &[Key::Tab]);
    for second in 31..=32 {
        let ports = vec![
            port(5, "red", second * 980, second * 10),
            port(6, "blue", second * 2000, second * 7),
            port(7, "green", 0, 0),
        ];
        dashboard.record(Snapshot { pairs: Some(pairs(second)), ..snapshot(second, ports) });
    }
    dashboard
}

/// The pairs on the screen, from top to bottom, and which one is selected.
fn pairs(dashboard: &Dashboard) -> (Vec<String>, usize) {
    let rows = dashboard.pair_rows();
    let names = rows.iter().map(|row| format!("{} {}", row.pair.from, row.pair.to.label()));
    (names.collect(), dashboard.place_of_selected_pair(&rows))
}

#[test]
fn pairs_on_80_by_24() {
    insta::assert_snapshot!(screen(&talking(), 80, 24));
}

#[test]
fn pairs_on_60_by_15() {
    insta::assert_snapshot!(screen(&talking(), 60, 15));
}

#[test]
fn pairs_on_120_by_40() {
    insta::assert_snapshot!(screen(&talking(), 120, 40));
}

#[test]
fn tab_turns_to_pairs_and_back_and_counts_anew() {
    let mut dashboard = lab();
    assert!(!dashboard.wants_pairs());
    press(&mut dashboard, &[Key::Tab]);
    assert!(dashboard.wants_pairs());
    assert!(screen(&dashboard, 80, 24).contains("counting..."));
    let mut dashboard = talking();
    assert_eq!(pairs(&dashboard).0.len(), 5);
    press(&mut dashboard, &[Key::Tab, Key::Tab]);
    assert_eq!(pairs(&dashboard).0, [""; 0]);
}

#[test]
fn pairs_are_sorted_selected_and_filtered_like_ports() {
    let mut dashboard = talking();
    let all = ["blue red", "red blue", "red green", "red (everybody)", "blue (everybody)"];
    assert_eq!(pairs(&dashboard).0, all);
    press(&mut dashboard, &[Key::Down, Key::Char('r')]);
    assert_eq!(pairs(&dashboard), (all.into_iter().rev().map(str::to_owned).collect(), 3));
    // By name.
    press(&mut dashboard, &[Key::Char('r')]);
    press(&mut dashboard, &[Key::Char('s'); 4]);
    let by_name = ["blue red", "blue (everybody)", "red blue", "red green", "red (everybody)"];
    assert_eq!(pairs(&dashboard).0, by_name);
    press(&mut dashboard, &[Key::Char('/')]);
    type_in(&mut dashboard, "GREEN");
    assert_eq!(pairs(&dashboard).0, ["red green"]);
    type_in(&mut dashboard, "!");
    assert!(screen(&dashboard, 80, 24).contains("no pair has that"));
}

#[test]
fn pairs_that_are_read_less_often_keep_their_rates() {
    let mut dashboard = talking();
    let before = pairs(&dashboard);
    dashboard.record(snapshot(33, vec![port(5, "red", 0, 0)]));
    assert_eq!(pairs(&dashboard), before);
}

#[test]
fn any_size_can_be_drawn() {
    for dashboard in [lab(), talking()] {
        any_size_of(dashboard);
    }
}

fn any_size_of(mut dashboard: Dashboard) {
    for keys in [&[][..], &[Key::Char('/'), Key::Char('r')], &[Key::Enter, Key::Char('?')]] {
        press(&mut dashboard, keys);
        for (width, height) in (0..100).flat_map(|width| (0..30).map(move |it| (width, it))) {
            let area = Rect::new(0, 0, width, height);
            draw(&dashboard, Palette::Sixteen, area, &mut Buffer::empty(area));
        }
    }
}

#[test]
fn figures_are_whole_or_not_there() {
    for width in 0..100 {
        let text = screen(&lab(), width, 24);
        let line = text.lines().find(|line| line.contains("redirected"));
        let figures = line.unwrap_or_default().split_whitespace().skip(1).collect::<Vec<_>>();
        let all = ["1.00", "k", "99.0", "%", "61000"];
        assert!([0, 2, 4, 5].contains(&figures.len()) && all.starts_with(&figures), "{figures:?}");
    }
}

#[test]
fn plain_screens_have_no_colour_and_the_same_text() {
    let dashboard = lab();
    let coloured = buffer(&dashboard, Palette::Sixteen, 80, 24);
    let plain = buffer(&dashboard, Palette::Plain, 80, 24);
    let is_coloured = |buffer: &Buffer| {
        buffer.content.iter().any(|cell| (cell.fg, cell.bg) != (Color::Reset, Color::Reset))
    };
    assert!(is_coloured(&coloured) && !is_coloured(&plain));
    let text = |buffer: &Buffer| -> String {
        buffer.content.iter().map(ratatui::buffer::Cell::symbol).collect()
    };
    assert_eq!(text(&coloured), text(&plain));
}

#[test]
fn s_sorts_by_the_next_column_and_r_reverses() {
    let mut dashboard = Dashboard::new();
    dashboard.record(snapshot(0, Vec::new()));
    // Few large frames, many small ones, none.
    let ports_now = vec![port(1, "a", 10, 0), port(2, "b", 0, 90), port(3, "c", 0, 0)];
    dashboard.record(snapshot(1, ports_now));
    for (by, order) in [
        ("FRAMES/S▼", "bac"),
        ("BIT/S▼", "abc"),
        ("SIZE▼", "abc"),
        ("PATH▼", "abc"),
        ("PORT▼", "abc"),
    ] {
        assert!(screen(&dashboard, 80, 24).contains(by), "{by}");
        assert_eq!(ports(&dashboard).0.concat(), order, "{by}");
        press(&mut dashboard, &[Key::Char('s')]);
    }
    press(&mut dashboard, &[Key::Char('r')]);
    assert!(screen(&dashboard, 80, 24).contains("FRAMES/S▲"));
    assert_eq!(ports(&dashboard).0.concat(), "cab");
}

#[test]
fn selection_stays_with_the_port_and_inside_the_list() {
    let mut dashboard = many(30);
    press(&mut dashboard, &[Key::Up]);
    assert_eq!(ports(&dashboard).1, 0);
    press(&mut dashboard, &[Key::Down, Key::Down]);
    assert_eq!(ports(&dashboard).1, 2);
    press(&mut dashboard, &[Key::Char('r')]);
    let (names, place) = ports(&dashboard);
    assert_eq!((names[place].as_str(), place), ("p2", 27));
    press(&mut dashboard, &[Key::PageDown]);
    assert_eq!(ports(&dashboard).1, 29);
    press(&mut dashboard, &[Key::Home]);
    assert_eq!(ports(&dashboard).1, 0);
    press(&mut dashboard, &[Key::End]);
    assert_eq!(ports(&dashboard).1, 29);
}

#[test]
fn selected_port_that_leaves_hands_over_to_the_first() {
    let mut dashboard = lab();
    press(&mut dashboard, &[Key::Down]);
    assert_eq!(ports(&dashboard).1, 1);
    dashboard.record(snapshot(31, vec![port(7, "green", 1, 0), port(5, "red", 0, 0)]));
    let (names, place) = ports(&dashboard);
    assert_eq!((names.concat().as_str(), place), ("greenred", 0));
}

#[test]
fn filter_finds_names_and_namespaces_and_escape_ends_it() {
    let mut dashboard = lab();
    press(&mut dashboard, &[Key::Char('/')]);
    type_in(&mut dashboard, "qR");
    assert_eq!(ports(&dashboard).0.len(), 0);
    let nothing = screen(&dashboard, 80, 24);
    assert!(nothing.contains("no port has that"), "{nothing}");
    assert!(
        nothing.starts_with("lab (tc)  0 of 3 ports  0 frames/s  0 bit/s  fast -"),
        "{nothing}"
    );
    press(&mut dashboard, &[Key::Backspace, Key::Backspace]);
    type_in(&mut dashboard, "RE");
    assert_eq!(ports(&dashboard).0, ["red", "green"]);
    press(&mut dashboard, &[Key::Backspace, Key::Backspace]);
    type_in(&mut dashboard, "blue-ns");
    press(&mut dashboard, &[Key::Enter]);
    assert_eq!(ports(&dashboard).0, ["blue"]);
    assert!(screen(&dashboard, 80, 24).contains("1 of 3 ports"));
    press(&mut dashboard, &[Key::Escape]);
    assert_eq!(ports(&dashboard).0.len(), 3);
}

#[test]
fn pause_stands_still_while_counting_goes_on() {
    let mut dashboard = lab();
    let before = screen(&dashboard, 80, 24);
    press(&mut dashboard, &[Key::Char(' ')]);
    dashboard.record(snapshot(31, vec![port(5, "red", 1_000_000, 0)]));
    let paused = screen(&dashboard, 80, 24);
    assert!(paused.starts_with("PAUSED lab"), "{paused}");
    let below = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
    assert_eq!(below(&paused), below(&before));
    press(&mut dashboard, &[Key::Char(' ')]);
    assert_eq!(ports(&dashboard).0, ["red"]);
}

#[test]
fn q_and_interrupt_leave_but_a_filter_takes_a_q() {
    let mut dashboard = lab();
    assert_eq!(dashboard.press(Key::Char('q')), ControlFlow::Break(()));
    press(&mut dashboard, &[Key::Char('/'), Key::Char('q')]);
    assert_eq!(dashboard.press(Key::Interrupt), ControlFlow::Break(()));
}

#[test]
fn a_port_that_returns_under_another_index_starts_anew() {
    let mut dashboard = lab();
    dashboard.record(snapshot(31, vec![port(9, "red", 5, 0)]));
    assert_eq!(dashboard.history().recent(9).collect::<Vec<_>>(), [5.0]);
    assert_eq!(dashboard.history().recent(5).count(), 0);
    for second in 32..=35 {
        dashboard.record(snapshot(second, vec![port(9, "red", 5, 0)]));
    }
    let told = screen(&dashboard, 80, 24);
    assert!(
        told.contains("── red, netns red-ns, peak 5 frames/s, counts anew since 4 s ─"),
        "{told}"
    );
    for second in 36..=92 {
        dashboard.record(snapshot(second, vec![port(9, "red", 5, 0)]));
    }
    assert!(!screen(&dashboard, 80, 24).contains("anew"));
}

#[test]
fn before_there_are_rates_it_says_that_it_counts() {
    let mut dashboard = Dashboard::new();
    dashboard.record(snapshot(0, vec![port(5, "red", 5, 0)]));
    assert!(screen(&dashboard, 80, 24).contains("counting..."));
}
