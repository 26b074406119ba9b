//! What cannot be: wrong arguments, missing privileges, places that cannot be written to, a kernel
//! that refuses in the middle.

use std::fs;

use super::{Lab, SHORT, bench};
use crate::sandbox::{Run, VETH};

#[test]
#[ignore = "needs root"]
fn place_that_cannot_be_written_to_is_refused_at_once() {
    let sandbox = Lab::new();
    let missing = sandbox.file_path("missing/bench.json");
    let directory = sandbox.file_path("");
    // A run of so many rounds would take days: that this ends shows that none began.
    let endless = ["--rounds", "10000", "--time", "60"];
    for place in [&missing, &directory] {
        for option in ["--save", "--html"] {
            let run = bench(&sandbox, &[&endless[..], &[option, place]].concat());
            let run = run.fails(1, "write to ");
            assert!(run.stderr.contains(place.as_str()), "{}", run.stderr);
            assert_eq!((run.stdout.as_str(), run.stderr.lines().count()), ("", 1), "{run:?}");
        }
    }
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn wrong_arguments_are_named() {
    let sandbox = Lab::new();
    for (args, text) in [
        (&["--paths", "tunnel"][..], "direct, bridge"),
        (&["--workloads", "ftp"], "tcp_stream, tcp_rr"),
        (&["--rounds", "0"], "1..=10000"),
        (&["--time", "0"], "--time"),
        (&["--cpus", "both"], "same, split"),
        (&["--cpus", "0,99999"], "CPU 99999"),
        (&["--ports", "1"], "2..=1000"),
        (&["--frame", "9000"], "64..=1514"),
        (&["--csv", "--json"], "cannot be used with"),
        (&["--preset", "huge"], "quick, full"),
        (&["compare", "one"], "<AFTER>"),
        (&["show"], "<FILE>"),
    ] {
        let run = bench(&sandbox, args).fails(2, text);
        assert_eq!(run.stdout, "", "{args:?}");
    }
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn missing_capability_is_named_before_anything_is_made() {
    let sandbox = Lab::new();
    let file = sandbox.file_path("bench.json");
    for (dropped, name) in [("-net_admin", "CAP_NET_ADMIN"), ("-sys_admin", "CAP_SYS_ADMIN")] {
        for args in [&["--save", &file][..], &["--clean"]] {
            let mut command = sandbox.command("setpriv");
            command.args([&format!("--bounding-set={dropped}"), "--", VETH, "bench"]).args(args);
            Run::of(command).fails(4, name);
        }
    }
    assert!(fs::metadata(&file).is_err(), "{file} was written");
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn root_of_a_user_namespace_is_told_what_the_kernel_refuses() {
    let sandbox = Lab::new();
    let mut command = sandbox.command("unshare");
    command.args(["--user", "--map-root-user", "--net", "--mount", "--", VETH, "bench"]);
    command.args(SHORT).env("XDG_STATE_HOME", sandbox.file_path("state"));
    let run = Run::of(command);
    assert!(run.code == 4 && run.stderr.starts_with("veth: "), "{run:?}");
    sandbox.assert_empty();
}

/// With few descriptors the kernel refuses here or there: while a path is built, when a program is
/// loaded or attached, or nowhere.
#[test]
#[ignore = "needs root"]
fn kernel_that_refuses_in_the_middle_leaves_nothing() {
    let sandbox = Lab::new();
    let args = ["--paths", "direct,bridge,tc,xdp", "--workloads", "udp_rr,frames", "--csv"];
    let (mut failed, mut partly) = (0, 0);
    for limit in [9, 12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64] {
        let mut command = sandbox.command("prlimit");
        command.args([&format!("--nofile={limit}"), "--", VETH, "bench"]).args(args).args(SHORT);
        let run = Run::of({
            command.env("XDG_STATE_HOME", sandbox.file_path("state"));
            command
        });
        assert!(matches!(run.code, 0 | 1), "{limit}: {run:?}");
        assert!(!run.stderr.contains("panicked"), "{limit}: {run:?}");
        if run.code == 1 {
            assert!(run.stderr.contains("veth: "), "{limit}: {run:?}");
            failed += 1;
            partly += usize::from(run.stdout.lines().count() > 1);
        }
        sandbox.assert_empty();
    }
    println!("{failed} failed, {partly} of them in part");
    assert!(failed > partly && partly > 0, "the limits do not meet the middle");
}

#[test]
#[ignore = "needs root"]
fn file_that_holds_no_results_is_named() {
    let sandbox = Lab::new();
    let missing = sandbox.file_path("missing.json");
    let garbage = sandbox.file("garbage.json", "{\"format\": 1}");
    let newer = sandbox.file("newer.json", "");
    let good = sandbox.file_path("good.json");
    let args = ["--paths", "direct", "--workloads", "udp_rr", "--save", &good];
    bench(&sandbox, &[&args[..], &SHORT].concat()).ok();
    let text = fs::read_to_string(&good).expect("was saved");
    let text = text.replace("\"format\":1", "\"format\":999");
    fs::write(&newer, text).expect("the file is ours");
    for (file, reason) in [
        (&missing, "No such file or directory"),
        (&garbage, "missing field"),
        (&newer, "format 999"),
    ] {
        let run = bench(&sandbox, &["show", file]).fails(1, reason);
        assert!(run.stderr.contains(file.as_str()), "{}", run.stderr);
        bench(&sandbox, &["compare", &good, file]).fails(1, reason);
        bench(&sandbox, &["compare", file, &good]).fails(1, reason);
    }
}
