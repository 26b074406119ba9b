//! Whether what is called a difference is one: a path does not differ from itself, and a path with
//! a delay planted in it does.
//!
//! Nothing here depends on how fast the machine is, or how busy: only on both paths having their
//! turns one right after the other.

use serde_json::Value;

use super::{Lab, items, measure, row};
use crate::sandbox::Sandbox;

/// Rounds of a comparison that has to find a fifth: more where the machine does other things as
/// well, and one look is not enough.
const ROUNDS: [&str; 3] = ["24", "96", "384"];

#[test]
#[ignore = "needs root"]
fn path_does_not_differ_from_itself() {
    let sandbox = Lab::new();
    let paths = ["--paths", "bridge,bridge", "--workloads", "udp_rr,tcp_rr"];
    let output = measure(&sandbox, &[&paths[..], &["--rounds", "12", "--time", "0.05"]].concat());
    for workload in ["udp_rr", "tcp_rr"] {
        let ratio = &row(&output, workload, "bridge#2")["to_baseline"];
        println!("{workload}: {ratio}");
        assert_eq!(ratio["differs"], false, "{workload}: {}", output["results"]["cells"]);
        assert!(row(&output, workload, "bridge")["to_baseline"].is_null());
    }
}

/// Time of one operation over tc, in nanoseconds: of the fastest round, which nothing disturbed.
fn time_of_one(sandbox: &Sandbox, workload: &str) -> u64 {
    let args = ["--paths", "tc", "--workloads", workload, "--rounds", "5", "--time", "0.05"];
    let output = measure(sandbox, &args);
    let rounds = items(&output["results"]["cells"][0]["rounds"]);
    let time = |round: &Value| {
        let number = |key: &str| round[key].as_u64().expect("is a number");
        number("elapsed_ns") / number("operations")
    };
    rounds.iter().map(time).min().expect("has rounds")
}

/// Plants a delay of a fifth of an operation, in which `frames` frames are delayed.
fn assert_delay_is_found(workload: &str, frames: u64) {
    let sandbox = Lab::new();
    let operation_ns = time_of_one(&sandbox, workload);
    let delay_ns = operation_ns / 5 / frames;
    let delayed = format!("delayed:{delay_ns}");
    let paths = format!("tc,{delayed}");
    let args = ["--paths", &paths, "--baseline", "tc", "--workloads", workload];
    for rounds in ROUNDS {
        let rest = ["--rounds", rounds, "--time", "0.05"];
        let output = measure(&sandbox, &[&args[..], &rest].concat());
        let ratio = &row(&output, workload, &delayed)["to_baseline"];
        println!("{workload}: {delay_ns} ns in {operation_ns}, {rounds} rounds: {ratio}");
        if ratio["differs"] == true {
            // In the right direction: what is delayed is no faster.
            assert!(ratio["high"].as_f64() < Some(1.0), "{ratio}");
            return;
        }
    }
    panic!("{workload}: a delay of {delay_ns} ns in {operation_ns} was not found");
}

#[test]
#[ignore = "needs root"]
fn delay_in_a_round_trip_is_found() {
    // One frame there and one back.
    assert_delay_is_found("udp_rr", 2);
}

#[test]
#[ignore = "needs root"]
fn delay_of_a_generated_frame_is_found() {
    assert_delay_is_found("frames", 1);
}
