//! Ctrl-C and its like: what was measured is shown and saved, and nothing is left.

use std::{fs, path::Path, thread, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;

use super::{Lab, items};
use crate::{
    kill::Random,
    sandbox::{Run, Sandbox, Started, wait_until},
};

/// Starts a benchmark that would go on for hours.
fn start(sandbox: &Sandbox, workloads: &str, file: &str) -> Started {
    sandbox.start(&[
        "bench",
        "--paths",
        "bridge,tc",
        "--workloads",
        workloads,
        "--rounds",
        "10000",
        "--time",
        "0.02",
        "--save",
        file,
    ])
}

/// The results in a file that is there.
#[track_caller]
fn load(file: &str) -> Value {
    let text = fs::read_to_string(file).expect("results were saved");
    serde_json::from_str(&text).expect("are JSON")
}

/// Fails the test unless it ended as an interrupted benchmark does.
#[track_caller]
fn assert_interrupted(sandbox: &Sandbox, run: &Run, file: &str) {
    assert_eq!(run.code, 130, "{run:?}");
    let said: Vec<&str> = run.stderr.lines().collect();
    let saved = format!("results are in {file}");
    assert_eq!(said, [saved.as_str(), "veth: interrupted"]);
    // Being interrupted is no property of a path.
    assert!(!run.stdout.contains("Not measured"), "{}", run.stdout);
    assert!(run.stdout.contains("Compared with bridge"), "{}", run.stdout);
    assert!(run.stdout.contains("the run ended early"), "{}", run.stdout);
    let results = load(file);
    assert_eq!(results["finished"], false);
    assert_eq!(results["unavailable"], Value::Array(Vec::new()));
    for cell in items(&results["cells"]) {
        assert!(!items(&cell["rounds"]).is_empty(), "{cell}");
    }
    let shown = super::bench(sandbox, &["show", file]).ok();
    assert_eq!(shown.stdout, run.stdout, "what was saved is what was shown");
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn interrupted_bench_shows_and_saves_what_it_has() {
    let mut random = Random::new();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // The last is nearly always interrupted while the kernel makes frames.
        for workloads in ["udp_rr,tcp_stream", "udp_rr,latency_load", "frames"] {
            let sandbox = Lab::new();
            let file = sandbox.file_path("bench.json");
            let bench = start(&sandbox, workloads, &file);
            wait_until("a round to be saved", || Path::new(&file).exists());
            let delay = random.up_to(Duration::from_millis(400));
            thread::sleep(delay);
            bench.signal(signal);
            let run = bench.wait();
            println!("{workloads}: {signal} after the first round and {delay:?}");
            assert_interrupted(&sandbox, &run, &file);
        }
    }
}

#[test]
#[ignore = "needs root"]
fn bench_that_is_interrupted_before_the_first_round_is_over_leaves_nothing() {
    let mut random = Random::new();
    for signal in [Signal::SIGINT, Signal::SIGTERM].repeat(4) {
        let sandbox = Lab::new();
        let file = sandbox.file_path("bench.json");
        let bench = start(&sandbox, "udp_rr,frames", &file);
        // The last that it begins to listen for.
        wait_until("it to listen for signals", || bench.catches(Signal::SIGHUP));
        let delay = random.up_to(Duration::from_millis(300));
        thread::sleep(delay);
        bench.signal(signal);
        let run = bench.wait();
        println!("{signal} after {delay:?}: {}", run.code);
        assert!(!run.stderr.contains("panicked"), "{run:?}");
        sandbox.assert_empty();
        assert!(run.code == 130 && run.stderr.ends_with("veth: interrupted\n"), "{run:?}");
        assert!(!run.stdout.contains("Not measured"), "{}", run.stdout);
        // What was measured is kept, and nothing takes nobody's place.
        if run.stderr.contains("nothing was measured") {
            assert!(!Path::new(&file).exists());
        } else {
            assert_eq!(load(&file)["finished"], false);
        }
    }
}
