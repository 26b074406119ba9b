//! What is explained is what happens: the steps that are told of a frame end with the verdict that the
//! programs count for it.

use std::{collections::BTreeSet, fs};

use veth_common::{Mac, Verdict};
use veth_user::{
    datapath::{self, DryRun},
    explanation::{Check, Entries, Explanation, Lookup, explain},
    forwarding::{FastPath, Tables},
    netns,
};

use crate::{
    fixtures::{self, Fixture, RED},
    program::{Kind, Moved, Program},
    xdp,
};

/// The machine has been up for longer than the shortest lease of the fixtures.
const NOW_NS: u64 = 1_000_000_000;

fn explained(fixture: &Fixture) -> Explanation {
    let (frame, tables) = fixture.parts();
    let port = tables.ports.get(&RED).copied();
    let mut entries = Entries { ingress: RED, port, now_ns: NOW_NS, ..Entries::default() };
    for (mac, entry) in &tables.fdb {
        entries.stations.insert(*mac, Lookup { near: None, fdb: Some(*entry) });
    }
    explain(&frame, &entries, &|port| format!("#{}", port.0))
}

#[test]
fn steps_of_each_fixture_end_with_its_verdict() {
    let mut told = BTreeSet::new();
    for fixture in fixtures::all().into_iter().chain(xdp::fixtures(Kind::Xdp)) {
        let Explanation { verdict, steps, .. } = explained(&fixture);
        assert_eq!(verdict, fixture.verdict, "{}", fixture.name);
        let last = steps.last().expect("there is a step");
        assert_eq!(last.passed, verdict.is_fast(), "{}: {steps:?}", fixture.name);
        let before = &steps[..steps.len() - 1];
        assert!(before.iter().all(|step| step.passed), "{}: {steps:?}", fixture.name);
        assert!(steps.iter().all(|step| !step.text.is_empty()), "{}: {steps:?}", fixture.name);
        told.insert(verdict);
    }
    // The kernel runs no program on a runt, so that one is no fixture.
    let wanted = Verdict::ALL.into_iter().filter(|it| *it != Verdict::Runt);
    assert_eq!(told, wanted.collect(), "there is a fixture for each verdict");
}

/// `veth explain` runs the program over copies of what is pinned. So the fabric's own counters must not move.
#[test]
#[ignore = "needs root"]
fn program_gives_each_fixture_its_verdict_when_it_is_only_asked() {
    let mut told = BTreeSet::new();
    for (kind, path) in [(Kind::Tc, FastPath::Tc), (Kind::Xdp, FastPath::Xdp)] {
        let more = if kind.is_xdp() { xdp::fixtures(kind) } else { Vec::new() };
        let fixtures: Vec<_> = fixtures::of(kind).into_iter().chain(more).collect();
        // The pins of the machine are left alone.
        let verdicts = netns::private(|| asked(&fixtures, kind, path)).expect("root may");
        for (fixture, verdict) in fixtures.iter().zip(verdicts) {
            assert_eq!(verdict, Some(fixture.verdict), "{}, {}", kind.name(), fixture.name);
            told.insert(fixture.verdict);
        }
    }
    let wanted = Verdict::ALL.into_iter().filter(|it| *it != Verdict::Runt);
    assert_eq!(told, wanted.collect(), "there is a fixture for each verdict");
}

/// What the program says of fixtures, asked as `veth explain` asks it.
fn asked(fixtures: &[Fixture], kind: Kind, path: FastPath) -> Vec<Option<Verdict>> {
    let mut program = Program::load(kind, &Tables::default());
    let dir = datapath::dir_of("lab");
    fs::create_dir_all(&dir).expect("there is a BPF file system");
    program.pin(&dir);
    let mut dry_run = DryRun::load("lab", path).expect("it loads").expect("the maps are pinned");
    let mut ask = |fixture: &Fixture| {
        let (frame, tables) = fixture.parts();
        program.fill(&tables);
        let mac = |at: usize| Mac(frame.head[at..at + 6].try_into().expect("six bytes"));
        let entries = dry_run.entries(RED, &[mac(6), mac(0)], NOW_NS).expect("are readable");
        let verdict = dry_run.run(frame.head, frame.gso_size_bytes, &entries).expect("it runs");
        assert_eq!(program.moved(), Moved::new(), "{}: asking is counted", fixture.name);
        program.empty(&tables);
        verdict
    };
    fixtures.iter().map(&mut ask).collect()
}

#[test]
fn runt_is_explained_although_no_program_runs_on_it() {
    let runt = Fixture::new("runt", Verdict::Runt, vec![0; 13]);
    let Explanation { verdict, steps, .. } = explained(&runt);
    assert_eq!(verdict, Verdict::Runt);
    assert_eq!(steps.last().expect("there is a step").check, Check::Ethernet);
}

/// The kernel takes a device that goes out of the devmap by itself.
#[test]
fn lost_device_is_told_last() {
    let mac = |last| Mac([0x02, 0, 0, 0, 0, last]);
    let fixture = Fixture::new("lost", Verdict::Redirected, fixtures::known_unicast());
    let (frame, tables) = fixture.parts();
    let port = tables.ports.get(&RED).copied();
    let lookup = |mac| (mac, Lookup { near: None, fdb: tables.fdb.get(&mac).copied() });
    let stations = [0x21, 0x22].map(mac).map(lookup).into();
    let entries = Entries { ingress: RED, port, stations, lacks_device: true, now_ns: NOW_NS };
    let Explanation { verdict, steps, .. } = explain(&frame, &entries, &|_| "port".into());
    assert_eq!(verdict, Verdict::DestinationIneligible);
    assert_eq!(steps.last().expect("there is a step").check, Check::Device);
}
