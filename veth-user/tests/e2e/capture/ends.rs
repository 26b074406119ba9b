//! How a capture begins and ends: over which files, and what it says when something else ends it.

use std::{fs, os::unix::fs::PermissionsExt as _, time::Duration};

use nix::sys::signal::Signal;

use super::{PAIR, SENT, fabric, send, start, stop, tally, tshark};
use crate::sandbox::{Sandbox, Started, VETH, wait_until};

/// Sends more than a pipe and the buffers before it hold.
fn overfill(sandbox: &Sandbox) {
    sandbox.inside("red", || {
        let socket = std::net::UdpSocket::bind("10.77.0.1:1026").expect("red has the address");
        for _ in 0..1000 {
            // The answer that nobody listens may come in between.
            let _ = socket.send_to(&[0xda; 1400], ("10.77.0.2", 9));
        }
    });
}

#[test]
#[ignore = "needs root"]
fn what_writes_to_a_reader_that_takes_nothing_can_be_stopped() {
    for (args, signal, told) in [
        (&["capture", "lab", "-w", "-"][..], Signal::SIGINT, "write stdout"),
        (&["capture", "lab", "-w", "FIFO"][..], Signal::SIGTERM, "fifo"),
        (&["log", "lab", "--rate", "100000"][..], Signal::SIGINT, "write to stdout"),
    ] {
        let sandbox = fabric("tc");
        let fifo = sandbox.file_path("fifo");
        sandbox.sh(&format!("mkfifo {fifo}"));
        // It is open, and nobody reads.
        let fifo_end = fs::OpenOptions::new().read(true).write(true).open(&fifo);
        let args: Vec<&str> =
            args.iter().map(|it| if *it == "FIFO" { fifo.as_str() } else { *it }).collect();
        let mut command = sandbox.start(&args);
        // It is stuck when it does not take frames from the ring buffer any more.
        wait_until("frames to be lost", || {
            overfill(&sandbox);
            tally(&sandbox).lost > 0
        });
        command.signal(signal);
        wait_until("it to end although nobody reads", || !command.is_running());
        let run = command.wait().fails(1, told);
        assert!(run.stderr.contains("told to stop"), "{args:?}: {}", run.stderr);
        drop(fifo_end.expect("the test made it"));
        sandbox.down("lab");
    }
}

#[test]
#[ignore = "needs root"]
fn time_in_which_nothing_was_read_is_told() {
    let sandbox = fabric("tc");
    let file = sandbox.file_path("paused.pcapng");
    let capture = start(&sandbox, &[], &file);
    capture.signal(Signal::SIGSTOP);
    wait_until("the lease to end", || {
        let before = tally(&sandbox).matched;
        sandbox.ping("red", "10.77.0.2");
        tally(&sandbox).matched == before
    });
    // What passes now is in no figure.
    std::thread::sleep(Duration::from_millis(100));
    capture.signal(Signal::SIGCONT);
    let run = stop(capture);
    assert!(run.stderr.contains("s nothing was captured"), "{}", run.stderr);
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn capture_ends_with_a_word_when_its_datapath_goes() {
    let sandbox = fabric("tc");
    let follow = |name: &str, change: &dyn Fn(), told: &[&str]| {
        let file = sandbox.file_path(name);
        let mut capture = start(&sandbox, &["--port", "red"], &file);
        send(&sandbox, SENT, 9);
        change();
        wait_until("the capture to end", || !capture.is_running());
        let run = capture.wait().ok();
        assert!(told.iter().any(|it| run.stderr.contains(it)), "{name}: {}", run.stderr);
        assert_eq!(tshark(&sandbox, &file, "udp", &["frame.len"]).len(), SENT, "{name}");
        fs::remove_file(&file).expect("it was written");
    };
    let removed = "fabric lab has no datapath any more";
    // The one or the other, as it happens to look while there is none.
    let replaced = &[removed, "fabric lab was given a new datapath"];
    let up = |datapath| _ = sandbox.veth(&["up", PAIR, "--datapath", datapath]).ok();
    let again = || {
        sandbox.down("lab");
        up("tc");
        sandbox.ping("red", "10.77.0.2");
    };
    follow("again", &again, replaced);
    let none_and_back = || {
        up("none");
        up("tc");
    };
    follow("none-and-back", &none_and_back, replaced);
    follow("none", &|| up("none"), &[removed]);
    up("tc");

    let mut log = sandbox.start(&["log", "lab"]);
    wait_until("the log to begin", || {
        send(&sandbox, 1, 9);
        tally(&sandbox).captured > 0
    });
    sandbox.down("lab");
    wait_until("the log to end", || !log.is_running());
    let run = log.wait().ok();
    assert!(run.stderr.contains(removed), "{}", run.stderr);
}

#[test]
#[ignore = "needs root"]
fn file_is_nobody_elses_whatever_was_there() {
    let sandbox = fabric("tc");
    let (file, link) = (sandbox.file("old.pcapng", "old text"), sandbox.file_path("link"));
    sandbox.sh(&format!("chmod 644 {file} && ln -s {file} {link}"));
    let capture = |path: &str| sandbox.veth(&["capture", "lab", "--count", "1", "-w", path]);

    capture(&link).fails(2, "is a symbolic link to a file");
    sandbox.sh(&format!("chown 1 {file}"));
    capture(&file).fails(2, "is a file of another user");
    sandbox.sh(&format!("chown 0 {file}"));
    sandbox.veth(&["capture", "nolab", "-w", &file]).fails(1, "nolab");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "old text");
    let metadata = |path: &str| fs::symlink_metadata(path);
    assert_eq!(metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o644);

    let run = start_over(&sandbox, &file);
    send(&sandbox, SENT, 9);
    stop(run);
    assert_eq!(metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(tshark(&sandbox, &file, "udp && !icmp", &["frame.len"]).len(), SENT);

    // What stands behind a link, and is no file, is meant.
    let mut piped = sandbox.command("sh");
    piped.args(["-c", &format!("{VETH} capture lab --count 1 -w /dev/stdout | tcpdump -n -r -")]);
    let mut piped = Started::of(piped);
    wait_until("tcpdump to have seen a frame", || {
        send(&sandbox, 1, 9);
        !piped.is_running()
    });
    assert!(piped.wait().ok().stdout.contains("10.77.0.2.9: UDP"));
    sandbox.down("lab");
}

/// Starts a capture over a file that is not empty, and waits until frames are captured.
fn start_over(sandbox: &Sandbox, file: &str) -> Started {
    let capture = sandbox.start(&["capture", "lab", "-w", file]);
    let begins_anew = || fs::read(file).is_ok_and(|it| it.starts_with(&[0x0a, 0x0d, 0x0d, 0x0a]));
    wait_until("the capture to begin", begins_anew);
    capture
}

#[test]
#[ignore = "needs root"]
fn full_disk_is_told_with_the_file_and_what_there_was() {
    let sandbox = fabric("tc");
    sandbox.sh("mkdir /run/small && mount -t tmpfs -o size=64k tmpfs /run/small");
    let mut capture = sandbox.start(&["capture", "lab", "-w", "/run/small/file"]);
    wait_until("the disk to be full", || {
        overfill(&sandbox);
        !capture.is_running()
    });
    let run = capture.wait().fails(1, "write /run/small/file: No space left on device");
    assert!(run.stderr.contains("at most "), "{}", run.stderr);
    assert!(run.stderr.contains(" frames written, "), "{}", run.stderr);
    sandbox.sh("umount /run/small");
    sandbox.down("lab");
}
