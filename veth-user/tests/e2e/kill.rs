//! Processes that end at the worst moment: killed, interrupted, or told to stop.
//!
//! The moments are random. `VETH_KILL_SEED` repeats a run; each test prints its seed.

use std::{
    env,
    fmt::Write as _,
    hash::{BuildHasher as _, RandomState},
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    lifecycle::PAIR,
    sandbox::{Sandbox, Started, wait_until},
};

/// A fabric with enough steps for a signal to fall between any two of them.
const EIGHT: &str = r#"
    name = "lab"

    [[netns]]
    name = "w{n}"
    count = 8
    pool = "10.77.0.0/24"
"#;

/// One whose `up` takes long enough to be met in its middle.
const MANY: &str = r#"
    name = "lab"

    [[netns]]
    name = "w{n}"
    count = 200
    pool = "10.77.0.0/16"
"#;

/// What ports are attached by, each twice: `recover` does another thing in every other round.
const OPTIONS: [[&str; 2]; 6] = [
    ["--hook", "tcx"],
    ["--hook", "tcx"],
    ["--hook", "clsact"],
    ["--hook", "clsact"],
    ["--datapath", "xdp"],
    ["--datapath", "xdp"],
];

/// Numbers that are the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    /// From the environment, or else from chance; tells which.
    pub(crate) fn new() -> Self {
        Self::named("VETH_KILL_SEED")
    }

    /// The same, from another variable.
    pub(crate) fn named(variable: &str) -> Self {
        let seed = env::var(variable).ok().map(|text| text.parse().expect("a number"));
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        println!("{variable}={seed}");
        Self(seed)
    }

    /// A time from zero to `longest`.
    pub(crate) fn up_to(&mut self, longest: Duration) -> Duration {
        longest.mul_f64(self.next() as f64 / u64::MAX as f64)
    }

    /// A number below `count`.
    pub(crate) fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).expect("fits");
        usize::try_from(self.next() % count).expect("is below a usize")
    }

    fn next(&mut self) -> u64 {
        // Splitmix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Kills `veth ARGS` after a random time, up to `longest`.
pub(crate) fn kill_somewhere(
    sandbox: &Sandbox,
    args: &[&str],
    random: &mut Random,
    longest: Duration,
) {
    let delay = random.up_to(longest);
    let veth = sandbox.start(args);
    thread::sleep(delay);
    veth.signal(Signal::SIGKILL);
    let ended = veth.wait();
    println!("{args:?} killed after {delay:?}: {}", ended.code);
    assert!(matches!(ended.code, 0 | 137), "{}{}", ended.stdout, ended.stderr);
}

/// Whatever the state, the next `up` makes a fabric that works, and the next `down` removes it.
/// Odd rounds go straight to `down`.
fn recover(sandbox: &Sandbox, file: &str, round: usize) {
    if round.is_multiple_of(2) {
        sandbox.veth(&["up", file]).ok();
        sandbox.veth(&["status", file]).ok();
        sandbox.ping("w1", "10.77.0.8");
        assert!(sandbox.counter("lab", "w1", "redirected").0 > 0, "the fast path took nothing");
    }
    sandbox.down("lab");
}

/// How long `veth ARGS` takes when nobody kills it.
pub(crate) fn time_of(sandbox: &Sandbox, args: &[&str]) -> Duration {
    let start = Instant::now();
    sandbox.veth(args).ok();
    start.elapsed()
}

#[test]
#[ignore = "needs root"]
fn killed_up_leaves_nothing_that_the_next_command_cannot_handle() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("eight.toml", EIGHT);
    let mut random = Random::new();
    for (round, options) in (0..24).zip(OPTIONS.into_iter().cycle()) {
        let up = ["up", &file, options[0], options[1]];
        let longest = time_of(&sandbox, &up);
        sandbox.veth(&["down", "lab"]).ok();
        kill_somewhere(&sandbox, &up, &mut random, longest);
        recover(&sandbox, &file, round);
    }
}

#[test]
#[ignore = "needs root"]
fn killed_down_leaves_nothing_that_the_next_command_cannot_handle() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("eight.toml", EIGHT);
    let mut random = Random::new();
    for (round, options) in (0..24).zip(OPTIONS.into_iter().cycle()) {
        let up = ["up", &file, options[0], options[1]];
        sandbox.veth(&up).ok();
        let longest = time_of(&sandbox, &["down", "lab"]);
        sandbox.veth(&up).ok();
        kill_somewhere(&sandbox, &["down", "lab"], &mut random, longest);
        recover(&sandbox, &file, round);
    }
}

#[test]
#[ignore = "needs root"]
fn killed_run_leaves_nothing_that_the_next_command_cannot_handle() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("eight.toml", EIGHT);
    let mut random = Random::new();
    let run = ["run", &file, "--seconds", "0.5"];
    let longest = time_of(&sandbox, &run);
    sandbox.assert_empty();
    for round in 0..8 {
        kill_somewhere(&sandbox, &run, &mut random, longest);
        recover(&sandbox, &file, round);
    }
}

#[test]
#[ignore = "needs root"]
fn killed_agent_leaves_forwarding_as_it_was() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("eight.toml", EIGHT);
    let mut random = Random::new();
    for round in 0..10 {
        sandbox.veth(&["up", &file]).ok();
        // Killed when it starts, or while it follows ports that come and go.
        let agent = sandbox.start(&["agent", "lab"]);
        let delay = random.up_to(Duration::from_millis(400));
        let killed = thread::scope(|scope| {
            let killed = scope.spawn(|| {
                thread::sleep(delay);
                agent.signal(Signal::SIGKILL);
            });
            sandbox.sh("ip link set w3 nomaster; ip -n w4 link set eth0 down; ip link del w5");
            sandbox.sh("ip link set w3 master lab; ip -n w4 link set eth0 up");
            killed.join()
        });
        killed.expect("sending a signal does not fail");
        println!("agent killed after {delay:?}: {}", agent.wait().code);

        sandbox.ping("w1", "10.77.0.2");
        assert!(sandbox.counter("lab", "w1", "redirected").0 > 0, "the fast path took nothing");
        recover(&sandbox, &file, round);
    }
}

#[test]
#[ignore = "needs root"]
fn interrupted_up_takes_back_what_it_did() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let sandbox = Sandbox::new();
        let file = sandbox.file("many.toml", MANY);
        let up = sandbox.start(&["up", &file]);
        wait_for(&sandbox, "w5");
        up.signal(signal);
        let ended = up.wait().fails(130, "interrupted");
        assert!(ended.stderr.contains("what had been done was taken back"), "{}", ended.stderr);
        sandbox.assert_empty();
    }
}

#[test]
#[ignore = "needs root"]
fn interrupted_edit_leaves_the_fabric_as_it_was() {
    let sandbox = Sandbox::new();
    let pair = sandbox.file("pair.toml", PAIR);
    let mut text = PAIR.to_owned();
    let _ = write!(text, "[[netns]]\nname = \"w{{n}}\"\ncount = 200\n");
    let more = sandbox.file("more.toml", &text);
    sandbox.veth(&["up", &pair]).ok();
    let before = (sandbox.ifindex("red"), sandbox.netns_inode("blue"));

    let up = sandbox.start(&["up", &more]);
    wait_for(&sandbox, "w5");
    up.signal(Signal::SIGINT);
    up.wait().fails(130, "interrupted");

    assert_eq!(before, (sandbox.ifindex("red"), sandbox.netns_inode("blue")));
    sandbox.veth(&["status", &pair]).ok();
    sandbox.ping("red", "10.77.0.2");
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn interrupted_down_is_completed_by_the_next() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("many.toml", MANY);
    sandbox.veth(&["up", &file]).ok();
    let down = sandbox.start(&["down", "lab"]);
    wait_until("the first namespace to go", || !sandbox.path("/run/netns/w1").exists());
    down.signal(Signal::SIGINT);
    let ended = down.wait();
    assert!(matches!(ended.code, 0 | 130), "{}{}", ended.stdout, ended.stderr);
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn interrupted_run_leaves_nothing() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let sandbox = Sandbox::new();
        let file = sandbox.file("many.toml", MANY);
        let run = sandbox.start(&["run", &file]);
        wait_for(&sandbox, "w5");
        run.signal(signal);
        run.wait().fails(130, "interrupted");
        sandbox.assert_empty();
    }
}

#[test]
#[ignore = "needs root"]
fn run_that_is_interrupted_under_traffic_leaves_nothing() {
    let mut random = Random::new();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGINT, Signal::SIGTERM] {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pair.toml", PAIR);
        let run = sandbox.start(&["run", &file, "--seconds", "600"]);
        wait_for(&sandbox, "blue");
        let delay = random.up_to(Duration::from_secs(8));
        thread::sleep(delay);
        run.signal(signal);
        let ended = run.wait();
        assert!(matches!(ended.code, 0 | 130), "after {delay:?}: {}{}", ended.code, ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
        sandbox.assert_empty();
    }
}

#[test]
#[ignore = "needs root"]
fn run_whose_reader_is_gone_leaves_nothing() {
    for streams in ["| true", "2>&1 | true"] {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pair.toml", PAIR);
        let mut command = sandbox.command("bash");
        let veth = crate::sandbox::VETH;
        let script = format!("{veth} run {file} --seconds 2 {streams}; exit ${{PIPESTATUS[0]}}");
        command.args(["-c", &script]);
        let ended = Started::of(command).wait();
        sandbox.assert_empty();
        assert_eq!(ended.code, 0, "{streams}: {}", ended.stderr);
    }
}

/// Waits until a namespace has its name.
#[track_caller]
fn wait_for(sandbox: &Sandbox, netns: &str) {
    let path = sandbox.path(&format!("/run/netns/{netns}"));
    wait_until("the namespace to be made", || path.exists());
}
