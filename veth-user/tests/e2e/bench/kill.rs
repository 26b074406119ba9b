//! Benchmarks that are killed: the kernel clears everything away by itself.
//!
//! `VETH_KILL_SEED` repeats a run, as in the other crash tests.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use aya::programs::loaded_programs;
use nix::sys::signal::Signal;

use super::{Lab, bench};
use crate::{
    kill::Random,
    sandbox::{Sandbox, Started, VETH, wait_until},
};

/// A bit of everything: devices of every kind, every program, sockets and generated frames.
const ARGS: [&str; 8] = [
    "--paths",
    "direct,bridge,route,macvlan,redirect,tc,xdp,delayed:100",
    "--workloads",
    "udp_rr,tcp_stream,frames",
    "--rounds",
    "1",
    "--time",
    "0.02",
];

/// What a benchmark needs of what root may do; and it may write to any file.
const CAPABILITIES: &str = "+net_admin,+sys_admin,+dac_override";

/// Starts a benchmark as somebody else who may do what it takes. The kernel remembers by whom
/// a program was loaded, and nobody else here is `uid`: so its programs are known from those of other
/// benchmarks on this machine.
fn start_as(sandbox: &Sandbox, uid: u32, file: &str) -> Started {
    let mut command = sandbox.command("setpriv");
    for (option, value) in [
        ("--reuid", uid.to_string()),
        ("--inh-caps", CAPABILITIES.into()),
        ("--ambient-caps", CAPABILITIES.into()),
    ] {
        command.arg(format!("{option}={value}"));
    }
    command.args(["--", VETH, "bench", "--save", file]).args(ARGS);
    Started::of(command)
}

/// A user that only this test is, in this round.
fn stranger(round: u32) -> u32 {
    0x4000_0000 + std::process::id() * 64 + round
}

fn programs_of(uid: u32) -> usize {
    // One that goes while they are listed is none.
    loaded_programs().flatten().filter(|program| program.created_by_uid() == Some(uid)).count()
}

fn processes_of(uid: u32) -> usize {
    let processes = fs::read_dir("/proc").expect("is readable").flatten();
    processes.filter(|it| it.metadata().is_ok_and(|metadata| metadata.uid() == uid)).count()
}

#[test]
#[ignore = "needs root"]
fn killed_bench_leaves_nothing() {
    let sandbox = Lab::new();
    let file = sandbox.file_path("bench.json");
    let mut random = Random::new();
    let mut longest = Duration::ZERO;
    let mut with_programs = 0;
    for round in 0..16 {
        let uid = stranger(round);
        let began = Instant::now();
        let veth = start_as(&sandbox, uid, &file);
        // The first runs to its end: the others are killed some time before.
        if round > 0 {
            let delay = random.up_to(longest);
            thread::sleep(delay);
            with_programs += usize::from(programs_of(uid) > 0);
            veth.signal(Signal::SIGKILL);
            let ended = veth.wait();
            println!("killed after {delay:?}: {}", ended.code);
            assert!(matches!(ended.code, 0 | 137), "{ended:?}");
        } else {
            veth.wait().ok();
            longest = began.elapsed();
        }
        assert_eq!(processes_of(uid), 0);
        // They hang on devices and on pins, and so are the last to go: with them, all has gone.
        wait_until("programs to be gone", || programs_of(uid) == 0);
        sandbox.assert_empty();
        // What there is of results is whole.
        if Path::new(&file).exists() {
            bench(&sandbox, &["show", &file]).ok();
            fs::remove_file(&file).expect("the file is ours");
        }
    }
    assert!(with_programs > 0, "none was killed while it had programs");
}

#[test]
#[ignore = "needs root"]
fn clean_removes_half_a_file_and_says_so() {
    let sandbox = Lab::new();
    let state = sandbox.file_path("state/veth");
    fs::create_dir_all(&state).expect("the temporary directory is writable");
    let touch = |name: String| {
        fs::write(format!("{state}/{name}"), "half").expect("the directory is ours");
    };
    // No process has number 0; one that is there may still be writing.
    touch("bench-1-1.json.0.unfinished".into());
    touch(format!("bench-2-2.json.{}.unfinished", std::process::id()));
    touch("bench-3-3.json".into());
    let clean = |args: &[&str]| bench(&sandbox, &[&["--clean"], args].concat()).ok();

    let text = clean(&[]).stdout;
    assert!(text.starts_with(&format!("removed {state}/bench-1-1.json.0.unfinished\n")), "{text}");
    // Other benchmarks may be running on this machine.
    let last = text.lines().nth(1).expect("says what else there is");
    assert!(last.contains("nothing of a benchmark is left") || last.contains("are in the kernel"));
    let left = sandbox.sh(&format!("ls {state}"));
    assert_eq!(left.lines().count(), 2, "{left}");
    let cleaned = clean(&["--json"]).json();
    assert_eq!(cleaned["files"], serde_json::json!([]));
    assert!(cleaned["programs"].is_u64(), "{cleaned}");
    sandbox.assert_empty();
}
