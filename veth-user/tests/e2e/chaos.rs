//! Everything at once: ports flap, containers come and go under the same names, addresses move and
//! clash, entries are made and forgotten, flags flip, the agent is overrun, stopped and killed.
//!
//! The same happens to two bridges side by side, one of them adopted. While it happens, no frame may come
//! to anybody it is not for, nor twice, and those whom it does not concern lose none. Whenever it
//! is calm for a moment, both bridges deliver alike, frame for frame.
//!
//! `VETH_CHAOS_SECONDS` says for how long, and `VETH_CHAOS_SEED` repeats what happened.

mod event;
mod ledger;
mod probe;
mod side;

use std::{
    env,
    panic::resume_unwind,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use veth_common::Verdict;

use crate::{
    adopt::adopted::Adopted,
    sandbox::{PATIENCE, Sandbox, Started, dropped_by_machine, wait_until},
};
use event::{Chaos, Event, changes};
use ledger::{MEMBERS, disagreements, lost};
use side::{BRIDGE, Census, STEADY, Side};

/// How long a run takes when nobody says.
const SECONDS: u64 = 120;

/// How long one of two plain bridges takes, which shows that there are no false alarms.
const PLAIN_SECONDS: u64 = 10;

/// Time between two events, at most.
const PAUSE: Duration = Duration::from_millis(150);

/// Time for stations to be heard after an event, so that it is no race who spoke before the next one.
const HEARD: Duration = Duration::from_millis(20);

/// Time in which an agent has followed an event, on the average over all of them.
const FOLLOWS: Duration = Duration::from_millis(100);

#[test]
#[ignore = "needs root"]
fn adopted_bridge_delivers_like_a_plain_one_whatever_happens() {
    run(|sandbox| Some(Adopted::attach(sandbox, BRIDGE)), length(SECONDS));
}

#[test]
#[ignore = "needs root"]
fn two_plain_bridges_deliver_alike_whatever_happens() {
    run(|_| None, length(PLAIN_SECONDS));
}

fn length(seconds: u64) -> Duration {
    let chosen = env::var("VETH_CHAOS_SECONDS").ok();
    Duration::from_secs(chosen.map_or(seconds, |text| text.parse().expect("a number")))
}

/// Lets things happen to two bridges, for that long.
#[track_caller]
fn run(adopt: for<'a> fn(&'a Sandbox) -> Option<Adopted<'a>>, length: Duration) {
    let chaos = Chaos::new();
    let sides = ["plain", "other"].map(|name| Side::new(name, chaos.macs()));
    let adopted = adopt(&sides[1].sandbox);
    let since = sides.each_ref().map(|side| side.ledger().position());
    let mut run = Run {
        chaos,
        sides: &sides,
        adopted,
        since,
        dropped_before: dropped_by_machine(),
        tag: side::TRAFFIC + 1,
        events: 0,
        apart: Duration::ZERO,
    };
    let beginning = Instant::now();
    run.calm();
    while beginning.elapsed() < length {
        println!("after {:.1?}:", beginning.elapsed());
        run.burst();
        run.calm();
    }
    run.end(beginning.elapsed());
    for side in &sides {
        for member in 0..MEMBERS {
            side.bury(member);
        }
        side.sandbox.sh(&format!("ip link del {BRIDGE}"));
        side.sandbox.assert_empty();
    }
}

/// Two bridges, and what happens to both.
struct Run<'a> {
    chaos: Chaos,
    /// A plain bridge, and the other one.
    sides: &'a [Side; 2],
    adopted: Option<Adopted<'a>>,
    /// Where the traffic begins that counts: everybody was there.
    since: [[usize; MEMBERS]; 2],
    /// What the machine had dropped by then.
    dropped_before: u64,
    tag: u16,
    events: u32,
    /// By how much events took longer on one side than on the other.
    apart: Duration,
}

impl Run<'_> {
    /// Lets much happen at once.
    #[track_caller]
    fn burst(&mut self) {
        let noise = self.sides.each_ref().map(noise);
        for _ in 0..5 + self.chaos.random().below(15) {
            let event = self.chaos.next();
            self.happen(&event);
            thread::sleep(HEARD + self.chaos.random().up_to(PAUSE));
        }
        for noise in noise {
            noise.signal(Signal::SIGKILL);
            // Its last batch ends by itself, and takes the device along.
            noise.wait();
        }
    }

    #[track_caller]
    fn happen(&mut self, event: &Event) {
        println!("  {event}");
        self.events += 1;
        match (event, &mut self.adopted) {
            (Event::AgentStops, Some(adopted)) => adopted.signal_agent(Signal::SIGSTOP),
            (Event::AgentIsKilled, Some(adopted)) => adopted.kill_agent(),
            (Event::AgentGoesOn, Some(adopted)) => adopted.resume_agent(),
            _ => {}
        }
        let [plain, other] = thread::scope(|scope| {
            let happening = self.sides.each_ref().map(|side| {
                scope.spawn(|| {
                    let started = Instant::now();
                    event.happen(side);
                    started.elapsed()
                })
            });
            happening.map(|it| it.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        self.apart += plain.abs_diff(other);
    }

    /// Waits until both bridges deliver alike, and looks whether it stays like that.
    #[track_caller]
    fn calm(&mut self) {
        for event in self.chaos.calm() {
            self.happen(&event);
        }
        for side in self.sides {
            // Whoever joined under STP.
            wait_until("ports to be told whether to forward", || {
                let ports = side.sandbox.sh("bridge link");
                !["listening", "learning"].iter().any(|it| ports.contains(&format!("state {it}")))
            });
        }
        let started = Instant::now();
        let mut censuses = 1;
        loop {
            let found = self.census(|censuses| censuses.iter().for_each(Census::settle));
            if found.is_empty() {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "{}: {found:#?}", self.said());
            censuses += 1;
        }
        println!("  alike after {:.1?}, and {censuses} censuses", started.elapsed());
        let contested = self.chaos.contested();
        for _ in 0..3 {
            let started = Instant::now();
            loop {
                let before = dropped_by_machine();
                let found = self.census(|censuses| {
                    let deadline = Instant::now() + PATIENCE;
                    while !compare(censuses, contested).is_empty() && Instant::now() < deadline {
                        censuses.iter().for_each(Census::settle);
                    }
                });
                if found.is_empty() {
                    break;
                }
                let is_excused = dropped_by_machine() > before && started.elapsed() < 3 * PATIENCE;
                assert!(is_excused, "no longer alike: {found:#?}{}", self.said());
            }
        }
        for side in self.sides {
            side.assert_no_findings(&self.said());
        }
        if let Some(adopted) = &self.adopted {
            let before = adopted.counted();
            wait_until("the fast path to take frames", || {
                adopted.counted().since(&before).of(Verdict::Redirected) > 0
            });
        }
    }

    /// Sends from everybody to everybody, lets `settle` wait for it, and says where the bridges differ.
    fn census(&mut self, settle: impl FnOnce(&[Census<'_>; 2])) -> Vec<String> {
        let censuses = self.sides.each_ref().map(|side| side.census(self.tag));
        self.tag += Census::TAGS;
        settle(&censuses);
        compare(&censuses, self.chaos.contested())
    }

    /// Ends it, and judges all that was sent.
    #[track_caller]
    fn end(self, length: Duration) {
        let said = self.said();
        let Self { sides, adopted, since, events, apart, dropped_before, .. } = self;
        if let Some(adopted) = adopted {
            println!("{:?}", adopted.counted());
            println!("the agent was overrun {} times", adopted.overruns());
            adopted.detach();
        }
        let mut lost_by = [[(0, 0); 2]; 2];
        for ((side, since), lost_by) in sides.iter().zip(since).zip(&mut lost_by) {
            side.end_traffic();
            side.assert_no_findings(&said);
            let ledger = side.ledger();
            let traffic = ledger.matrix(side::TRAFFIC, since);
            *lost_by = [true, false].map(|steady| {
                lost(&traffic, |from, to| {
                    (STEADY.contains(&from) && STEADY.contains(&to)) == steady
                })
            });
            let [(steady, of_steady), (others, of_others)] = lost_by;
            let (stale, stalest) = ledger.stale();
            println!(
                "{} bridge: lost {steady} of {of_steady} frames of the steady pair, {others} of \
                 {of_others} others; {stale} went to who had given up the address up to {stalest:.1?} before",
                side.name
            );
        }
        let [[plain_steady, plain_others], [steady, others]] = lost_by;
        let dropped = dropped_by_machine() - dropped_before;
        println!("the machine dropped {dropped} frames");
        let excused = u64::from(plain_steady.0) + dropped;
        assert!(u64::from(steady.0) <= excused, "the steady pair lost more{said}");
        let not_dropped = u64::from(steady.0).saturating_sub(dropped);
        assert!(not_dropped * 100 <= u64::from(steady.1), "the steady pair lost much{said}");
        // An event is about one station or two, and takes longer on one of the sides. Beyond that it
        // costs the adopted bridge what is sent until the agent has followed, unless the stations
        // themselves are heard before: a program that sees one elsewhere ends its lease.
        let stations = f64::from(others.1) / length.as_secs_f64() / STEADY[0] as f64 * 2.0;
        let tolerance = stations * (apart + FOLLOWS * events).as_secs_f64() + dropped as f64;
        let lost_more = f64::from(others.0) - f64::from(plain_others.0);
        println!("{events} events; lost {lost_more} more, and {tolerance:.0} could be understood");
        assert!(lost_more <= tolerance, "more was lost than following takes{said}");
    }

    /// The last that the agent said.
    fn said(&self) -> String {
        let text = self.adopted.as_ref().map_or(String::new(), Adopted::said);
        let lines: Vec<&str> = text.lines().rev().take(20).collect();
        format!("\nthe agent, backwards: {lines:#?}")
    }
}

fn compare([plain, other]: &[Census<'_>; 2], contested: [bool; MEMBERS]) -> Vec<String> {
    let (plain, other) = (plain.matrices(), other.matrices());
    let sizes = plain.iter().zip(&other);
    sizes.flat_map(|(plain, other)| disagreements(plain, other, contested)).collect()
}

/// Makes and deletes devices beside the bridge at full rate, and changes them.
fn noise(side: &Side) -> Started {
    let file = side.sandbox.file("noise", &changes("noise", 500));
    let mut command = side.sandbox.command("sh");
    command.args(["-c", &format!("while ip -batch {file}; do :; done")]);
    Started::of(command)
}
