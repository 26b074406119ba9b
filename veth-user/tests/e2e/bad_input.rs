//! Wrong files, wrong arguments, missing privileges: a clear error with the exit code that means
//! it, nothing made, nothing left.
//!
//! Kernels that lack a feature cannot be played here; what is said of them has unit tests.

use std::{
    fs,
    io::pipe,
    process::{Command, Stdio},
};

use crate::{
    lifecycle::PAIR,
    sandbox::{Run, Sandbox, VETH},
};

/// Files with one thing wrong in each, and what must be said of it: the path of the key, and a
/// part of the reason.
const WRONG: [(&str, &str, &str); 36] = [
    ("colour = 1\nname = 'lab'\n[[netns]]\nname = 'a'", "colour: ", "unknown key"),
    ("name = 'lab'\n[[netns]]\nname = 'a'\nmac = 'x'", "netns[0].mac: ", "unknown key"),
    ("name = 'lab'\n[[netns]]\nname = 'a'\n[[netns]]\nname = 'a'", "netns[1].name: ", "too"),
    ("name = 'lab'\n[[netns]]\nname = 'lab'", "netns[0].name: ", "name of the fabric"),
    ("name = 'sixteen_bytes_ab'\n[[netns]]\nname = 'a'", "name: ", "16 bytes"),
    ("name = 'lab'\n[[netns]]\nname = 'sixteen_bytes_ab'", "netns[0].name: ", "16 bytes"),
    ("name = 'lab'\n[[netns]]\nname = 'sixteen_byte{n}'\ncount = 1000", "netns[0].name: ", "bytes"),
    ("name = 'a/b'\n[[netns]]\nname = 'a'", "name: ", "'/'"),
    ("name = 'lab'\n[[netns]]\nname = '../x'", "netns[0].name: ", "'/'"),
    ("name = \"a\\u0000b\"\n[[netns]]\nname = 'a'", "name: ", "ends the name"),
    ("name = 'lab'\n[[netns]]\nname = \"a\\u0000\"", "netns[0].name: ", "ends the name"),
    ("name = ''\n[[netns]]\nname = 'a'", "name: ", "empty"),
    ("name = 'lab'\n[[netns]]\nname = 'lo'", "netns[0].name: ", "reserved"),
    ("[[netns]]\nname = 'a'", "name: ", "is missing"),
    ("name = 'lab'", "netns: ", "at least one"),
    ("name = 7\n[[netns]]\nname = 'a'", "name: ", "is an integer, not a string"),
    ("name = 'lab'\n[netns]\nname = 'a'", "netns: ", "[[netns]]"),
    (
        "name = 'lab'\n[[netns]]\nname = 'a'\naddresses = ['10.0.0.1']",
        "netns[0].addresses[0]: ",
        "prefix",
    ),
    (
        "name = 'lab'\n[[netns]]\nname = 'a'\naddresses = ['10.0.0.1/33']",
        "netns[0].addresses[0]: ",
        "out of range",
    ),
    (
        "name = 'lab'\n[[netns]]\nname = 'a'\naddresses = ['ten/8']",
        "netns[0].addresses[0]: ",
        "not an address",
    ),
    (
        "name = 'lab'\n[[netns]]\nname = 'a'\naddresses = ['10.0.0.0/24']",
        "netns[0].addresses[0]: ",
        "network",
    ),
    (
        "name = 'lab'\n[[netns]]\nname = 'a'\naddresses = ['127.0.0.1/8']",
        "netns[0].addresses[0]: ",
        "loopback",
    ),
    (
        "name = 'lab'\n[[netns]]\nname = 'a'\naddresses = ['224.0.0.1/24']",
        "netns[0].addresses[0]: ",
        "multicast",
    ),
    (
        "name = 'lab'\n[[netns]]\nname = 'a'\naddresses = ['10.0.0.1/24', '10.0.0.1/16']",
        "netns[0].addresses[1]: ",
        "too",
    ),
    (
        "name = 'lab'\n[[netns]]\nname = 'a'\naddresses = ['fd00::1/64']\n[[netns]]\nname = 'b'\naddresses = ['fd00:0::1/64']",
        "netns[1].addresses[0]: ",
        "too",
    ),
    (
        "name = 'lab'\n[[netns]]\nname = 'a'\naddresses = ['10.0.0.3/24']\n[[netns]]\nname = 'w{n}'\ncount = 5\npool = '10.0.0.0/24'",
        "netns[0].addresses[0]: ",
        "handed out",
    ),
    (
        "name = 'lab'\n[[netns]]\nname = 'w{n}'\ncount = 5\npool = '10.0.0.0/29'\n[[netns]]\nname = 'v{n}'\ncount = 5\npool = '10.0.0.0/24'",
        "netns[1].pool: ",
        "overlaps",
    ),
    (
        "name = 'lab'\n[[netns]]\nname = 'w{n}'\ncount = 7\npool = '10.0.0.0/29'",
        "netns[0].pool: ",
        "runs out",
    ),
    (
        "name = 'lab'\n[[netns]]\nname = 'w{n}'\ncount = 0\npool = '10.0.0.0/24'",
        "netns[0].count: ",
        "the least is 1",
    ),
    (
        "name = 'lab'\n[[netns]]\nname = 'w{n}'\ncount = 100000\npool = '10.0.0.0/8'",
        "netns[0].count: ",
        "too many",
    ),
    (
        "name = 'lab'\n[[netns]]\nname = 'w{n}'\ncount = -1",
        "netns[0].count: ",
        "no number of namespaces",
    ),
    ("name = 'lab'\nmtu = 67\n[[netns]]\nname = 'a'", "mtu: ", "out of range"),
    ("name = 'lab'\nmtu = 65536\n[[netns]]\nname = 'a'", "mtu: ", "out of range"),
    (
        "name = 'lab'\nmtu = 1000\n[[netns]]\nname = 'a'\naddresses = ['fd00::1/64']",
        "mtu: ",
        "IPv6",
    ),
    ("name = 'lab'\ndatapath = 'ebpf'\n[[netns]]\nname = 'a'", "datapath: ", "is not a datapath"),
    ("name = 'lab'\nname = 'lab'\n[[netns]]\nname = 'a'", "line 2, column 1: ", "duplicate"),
];

#[test]
#[ignore = "needs root"]
fn wrong_file_is_refused_with_the_path_of_the_key() {
    let sandbox = Sandbox::new();
    for (number, (text, path, reason)) in WRONG.into_iter().enumerate() {
        let file = sandbox.file(&format!("wrong{number}.toml"), text);
        let run = sandbox.veth(&["up", &file]).fails(2, path);
        assert!(run.stderr.contains(reason), "{text}\n{}", run.stderr);
        assert!(run.stderr.contains(&file), "{text}\n{}", run.stderr);
        assert_eq!(run.stdout, "", "{text}");
        // Everything but the name of the file is one line for the one problem.
        assert_eq!(run.stderr.lines().count(), 2, "{text}\n{}", run.stderr);
    }
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn every_command_that_takes_a_file_refuses_a_wrong_one() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("wrong.toml", "name = 'lab'\ncolour = 1\n[[netns]]\nname = 'a'\n");
    for command in ["up", "down", "run", "status"] {
        sandbox.veth(&[command, &file]).fails(2, "colour: ");
    }
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn all_problems_of_a_file_are_told_at_once() {
    let sandbox = Sandbox::new();
    let file = sandbox.file(
        "wrong.toml",
        "name = 'a/b'\nmtu = 9\ncolour = 1\n[[netns]]\nname = 'x'\naddresses = ['1.2.3/8', 'z']\n\
         [[netns]]\nname = 'x'\ncount = 0\n",
    );
    let run = sandbox.veth(&["up", &file]);
    assert_eq!(run.code, 2);
    for path in [
        "colour: ",
        "name: ",
        "mtu: ",
        "netns[0].addresses[0]: ",
        "netns[0].addresses[1]: ",
        "netns[1].name: ",
        "netns[1].count: ",
    ] {
        assert!(run.stderr.lines().any(|line| line.starts_with(path)), "{path}: {}", run.stderr);
    }
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn wrong_file_leaves_a_fabric_that_is_up_alone() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file]).ok();
    sandbox.file("pair.toml", &PAIR.replace("10.77.0.2", "10.77.0.256"));
    sandbox.veth(&["up", &file]).fails(2, "netns[1].addresses[0]: ");
    sandbox.veth(&["down", &file]).fails(2, "netns[1].addresses[0]: ");
    sandbox.ping("red", "10.77.0.2");
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn file_that_cannot_be_read_is_wrong_input_too() {
    let sandbox = Sandbox::new();
    let garbage = sandbox.file("garbage.toml", "");
    fs::write(&garbage, [0, 159, 146, 150, 255]).expect("the file is ours");
    let missing = garbage.replace("garbage", "missing");
    let directory = garbage.replace("garbage.toml", "");
    for (file, reason) in [
        (missing.as_str(), "No such file or directory"),
        (directory.as_str(), "Is a directory"),
        (garbage.as_str(), "UTF-8"),
    ] {
        for command in ["up", "down", "run", "status"] {
            let run = sandbox.veth(&[command, file]).fails(2, reason);
            assert!(run.stderr.contains(file), "{}", run.stderr);
        }
    }
    let binary = sandbox.file("binary.toml", "\u{0}\u{1}\u{2}name = [[[");
    sandbox.veth(&["up", &binary]).fails(2, "line 1, column 1: ");
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn name_that_no_fabric_can_have_is_a_wrong_argument() {
    let sandbox = Sandbox::new();
    for args in [["down", "a b"], ["stats", "a/b"], ["agent", "sixteen_bytes_ab"], ["status", ""]] {
        let run = sandbox.veth(&args);
        assert_eq!(run.code, 2, "{args:?}: {}{}", run.stdout, run.stderr);
    }
    for args in
        [&["up"][..], &["fly"], &["stats", "lab", "--watch", "0"], &["up", "x", "--hook", "xdp"]]
    {
        assert_eq!(sandbox.veth(args).code, 2, "{args:?}");
    }
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn fabric_that_is_not_there_is_named() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    for args in [["stats", "lab"], ["status", "lab"], ["agent", "lab"], ["status", &file]] {
        let run = sandbox.veth(&args).fails(1, "fabric lab");
        assert!(run.stderr.contains("`veth status`"), "{args:?}: {}", run.stderr);
    }
    sandbox.veth(&["stats"]).fails(1, "there is no fabric");
    assert!(sandbox.veth(&["status"]).ok().stdout.contains("there is no fabric"));
    assert_eq!(sandbox.veth(&["status", "--json"]).ok().stdout, "[]\n");
    // An agent that finds nothing has made nothing either.
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn fabric_without_a_datapath_has_no_stats() {
    let sandbox = Sandbox::new();
    let text = PAIR.replace("name = \"lab\"", "name = \"lab\"\ndatapath = \"none\"");
    let file = sandbox.file("none.toml", &text);
    sandbox.veth(&["up", &file]).ok();
    sandbox.veth(&["stats", "lab"]).fails(1, "has no datapath");
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn missing_capability_is_named() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    let cases = [
        ("-net_admin", &["CAP_NET_ADMIN"][..], &["CAP_SYS_ADMIN"][..]),
        ("-sys_admin", &["CAP_SYS_ADMIN"], &["CAP_NET_ADMIN"]),
        ("-net_admin,-sys_admin", &["CAP_NET_ADMIN", "CAP_SYS_ADMIN"], &[]),
    ];
    for (dropped, missing, there) in cases {
        for args in [&["up", &file][..], &["down", "lab"], &["status"], &["stats"]] {
            let mut command = sandbox.command("setpriv");
            command.args([&format!("--bounding-set={dropped}"), "--", VETH]).args(args);
            let run = Run::of(command).fails(4, "missing ");
            for name in missing {
                assert!(run.stderr.contains(name), "{name}: {}", run.stderr);
            }
            for name in there {
                assert!(!run.stderr.contains(name), "{name}: {}", run.stderr);
            }
        }
    }
    sandbox.assert_empty();
}

/// Runs `veth ARGS` with nobody who reads what it prints.
fn unread(sandbox: &Sandbox, args: &[&str], also_stderr: bool) -> i32 {
    let mut command: Command = sandbox.veth_command(args);
    let closed = || {
        let (reader, writer) = pipe().expect("there are descriptors");
        drop(reader);
        writer
    };
    command.stdin(Stdio::null()).stdout(closed());
    if also_stderr {
        command.stderr(closed());
        return command.status().expect("the command exists").code().unwrap_or(-1);
    }
    let run = Run::from(command.stderr(Stdio::piped()).output().expect("the command exists"));
    assert_eq!(run.stderr, "", "{args:?}");
    run.code
}

#[test]
#[ignore = "needs root"]
fn reader_that_is_gone_is_no_failure() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file]).ok();
    for args in [
        &["stats", "lab"][..],
        &["stats", "lab", "--json"],
        &["stats", "lab", "--watch", "0.01"],
        &["status"],
        &["status", "lab", "--json"],
        &["up", &file, "--dry-run"],
        &["up", &file],
        &["--help"],
        &["completions", "bash"],
    ] {
        assert_eq!(unread(&sandbox, args, false), 0, "{args:?}");
    }
    assert_eq!(unread(&sandbox, &["down", "lab"], false), 0);
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn error_that_nobody_reads_keeps_its_exit_code() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("wrong.toml", "colour = 1");
    assert_eq!(unread(&sandbox, &["up", &file], true), 2);
    assert_eq!(unread(&sandbox, &["stats", "lab"], true), 1);
    sandbox.assert_empty();
}
