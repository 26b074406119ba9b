//! Captures through the fast path, read back by the tools that people read them with.

use std::{fs, os::unix::fs::PermissionsExt as _};

use aya::maps::{Map, MapData, PerCpuArray};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::signal::Signal,
    unistd::Pid,
};
use pcap_file::pcapng::{
    Block, PcapNgReader, blocks::interface_statistics::InterfaceStatisticsOption,
};
use veth_common::{CaptureTally, names};

use crate::sandbox::{Run, Sandbox, Started, VETH, skip, wait_until};

const PAIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pair.toml");

/// How many datagrams a test sends.
const SENT: usize = 40;
/// Bytes of a datagram's frame beside what the test puts in: Ethernet, IPv4, UDP.
const HEADERS: usize = 42;

/// A fabric of two namespaces that know each other.
fn fabric(datapath: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", PAIR, "--datapath", datapath]).ok();
    sandbox.ping("red", "10.77.0.2");
    sandbox
}

/// Sends datagrams of 20, 21, 22.. bytes from red to a port of blue.
fn send(sandbox: &Sandbox, count: usize, port: u16) {
    sandbox.inside("red", || {
        let socket = std::net::UdpSocket::bind("10.77.0.1:1024").expect("red has the address");
        for number in 0..count {
            let to = ("10.77.0.2", port);
            // Nobody listens, of which the kernel tells at the next one.
            let data = vec![0xda; 20 + number];
            if socket.send_to(&data, to).is_err() {
                socket.send_to(&data, to).expect("the datagram is sent");
            }
        }
    });
}

/// Starts a capture, and waits until frames are captured.
pub(crate) fn start(sandbox: &Sandbox, args: &[&str], file: &str) -> Started {
    let args = [&["capture", "lab", "-w", file][..], args].concat();
    let capture = sandbox.start(&args);
    wait_until("the capture to begin", || fs::metadata(file).is_ok_and(|file| file.len() > 0));
    capture
}

/// Stops it, and fails the test unless it ends well.
#[track_caller]
pub(crate) fn stop(capture: Started) -> Run {
    capture.signal(Signal::SIGINT);
    capture.wait().ok()
}

/// What the program has counted.
fn tally(sandbox: &Sandbox) -> CaptureTally {
    let pin = sandbox.path("/sys/fs/bpf/veth/lab").join(names::MAP_TALLY);
    let map = MapData::from_pin(pin).and_then(Map::from_map_data).expect("is pinned");
    let shares = PerCpuArray::<_, CaptureTally>::try_from(map).expect("is the tally");
    let mut total = CaptureTally::default();
    for share in shares.get(&0, 0).expect("has one value").iter() {
        total.add(share);
    }
    total
}

/// What tshark says of the frames of a file: the fields, line by line. It must have nothing to complain
/// about.
#[track_caller]
fn tshark(sandbox: &Sandbox, file: &str, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = sandbox.command("tshark");
    command.args(["-n", "-r", file, "-Y", filter, "-T", "fields", "-E", "separator=|"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let run = Run::of(command).ok();
    let warnings: Vec<_> = run.stderr.lines().filter(|line| !line.contains("root")).collect();
    assert_eq!(warnings, Vec::<&str>::new());
    let line = |line: &str| line.split('|').map(str::to_owned).collect();
    run.stdout.lines().map(line).collect()
}

fn capture_holds_what_was_sent(datapath: &str) {
    let sandbox = fabric(datapath);
    let file = sandbox.file_path("all.pcapng");
    let capture = start(&sandbox, &[], &file);
    send(&sandbox, SENT, 9);
    let run = stop(capture);
    assert!(run.stderr.contains(" 0 lost"), "{}", run.stderr);

    let fields = [
        "frame.len",
        "frame.cap_len",
        "frame.time_epoch",
        "frame.comment",
        "frame.interface_name",
        "frame.interface_description",
    ];
    let frames = tshark(&sandbox, &file, "udp.dstport == 9 && !icmp", &fields);
    assert_eq!(frames.len(), SENT, "{frames:?}");
    let mut before = String::new();
    for (number, frame) in frames.iter().enumerate() {
        let [length, captured, time, comment, interface, description] = &frame[..] else {
            panic!("{frame:?}")
        };
        assert_eq!(length, &(HEADERS + 20 + number).to_string());
        assert_eq!(captured, length);
        assert_eq!(comment, "verdict: redirected -> blue");
        assert_eq!(interface, "red");
        assert!(description.contains("netns red"), "{description}");
        assert!(*time > before, "{time} does not follow {before}");
        assert_eq!(time.split_once('.').map(|(_, it)| it.len()), Some(9), "nanoseconds: {time}");
        before.clone_from(time);
    }
    // The clock of the file is that of people.
    let seconds: u64 = before.split('.').next().and_then(|it| it.parse().ok()).expect("a time");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    assert!(now.expect("after 1970").as_secs().abs_diff(seconds) < 3600, "{seconds}");

    let text = sandbox.sh(&format!("tcpdump -n -r {file} 'udp dst port 9' 2>/dev/null"));
    assert_eq!(text.lines().count(), SENT, "{text}");
    let mode = fs::metadata(&file).expect("it was written").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let (fast, ..) = sandbox.counter("lab", "red", "redirected");
    assert!(fast >= SENT as u64, "the frames took the fast path");
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn capture_holds_what_was_sent_through_tc() {
    capture_holds_what_was_sent("tc");
}

#[test]
#[ignore = "needs root"]
fn capture_holds_what_was_sent_through_xdp() {
    capture_holds_what_was_sent("xdp");
}

#[test]
#[ignore = "needs root"]
fn filters_snaplen_and_samples_do_what_they_say() {
    let sandbox = fabric("tc");
    let count = |name: &str, args: &[&str]| {
        let file = sandbox.file_path(name);
        let capture = start(&sandbox, args, &file);
        send(&sandbox, SENT, 9);
        stop(capture);
        let frames = tshark(&sandbox, &file, "!icmp", &["frame.cap_len", "frame.interface_name"]);
        fs::remove_file(&file).expect("it was written");
        frames
    };
    let red = ["--port", "red", "--verdict", "redirected"];
    let with = |more: &[&'static str]| [&red[..], more].concat();
    assert_eq!(count("port", &red).len(), SENT);
    assert_eq!(count("peer", &["--peer", "blue"]).len(), SENT);
    // What blue answers is ICMP, and tshark was asked for the rest.
    assert_eq!(count("other-peer", &["--peer", "red"]).len(), 0);
    assert_eq!(count("other-verdict", &["--verdict", "destination_unknown"]).len(), 0);
    assert_eq!(count("flow", &with(&["--proto", "udp", "--dport", "9"])).len(), SENT);
    assert_eq!(count("other-flow", &with(&["--dport", "10"])).len(), 0);
    assert_eq!(count("either-port", &with(&["--l4-port", "9"])).len(), SENT);
    assert_eq!(count("either-port-from", &with(&["--l4-port", "1024"])).len(), SENT);
    assert_eq!(count("from-port", &with(&["--sport", "1024"])).len(), SENT);
    assert_eq!(count("from-other-port", &with(&["--sport", "9"])).len(), 0);
    assert_eq!(count("host", &with(&["--host", "10.77.0.2"])).len(), SENT);
    assert_eq!(count("other-host", &with(&["--host", "10.77.0.3"])).len(), 0);
    for [captured, interface] in count("snaplen", &with(&["--snaplen", "50"]))
        .into_iter()
        .map(|frame| <[String; 2]>::try_from(frame).expect("two fields"))
    {
        assert_eq!((captured.as_str(), interface.as_str()), ("50", "red"));
    }
    // One of four on each CPU: on each, the first is one of them.
    let sampled = count("sample", &with(&["--sample", "1/4"])).len();
    let cpus = std::thread::available_parallelism().expect("there is one").get();
    assert!((SENT / 4..=SENT / 4 + cpus).contains(&sampled), "{sampled}");

    let file = sandbox.file_path("count");
    let capture = start(&sandbox, &with(&["--count", "3"]), &file);
    send(&sandbox, SENT, 9);
    capture.wait().ok();
    assert_eq!(tshark(&sandbox, &file, "frame", &["frame.len"]).len(), 3);
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn killed_capture_leaves_nothing_on() {
    let sandbox = fabric("tc");
    let file = sandbox.file_path("killed.pcapng");
    let capture = start(&sandbox, &[], &file);
    let other = sandbox.file_path("other");
    sandbox.veth(&["capture", "lab", "-w", &other]).fails(1, "is at work on fabric lab");
    assert!(fs::metadata(&other).is_err(), "an empty file is left");
    sandbox.ping("red", "10.77.0.2");
    assert!(tally(&sandbox).matched > 0, "the capture is on");
    capture.signal(Signal::SIGKILL);
    assert_eq!(capture.wait().code, 128 + 9);

    // What is sent while the lease lasts is taken for nobody.
    wait_until("the lease to end", || {
        let before = tally(&sandbox).matched;
        sandbox.ping("red", "10.77.0.2");
        tally(&sandbox).matched == before
    });

    // The next one begins anew.
    let file = sandbox.file_path("next.pcapng");
    let capture = start(&sandbox, &["--port", "red"], &file);
    send(&sandbox, SENT, 9);
    stop(capture);
    assert_eq!(tshark(&sandbox, &file, "udp", &["frame.len"]).len(), SENT);
    sandbox.down("lab");
}

/// The figures of a file's statistics block: frames that the capture was about, that were lost, and that are
/// in the file.
#[track_caller]
fn statistics(file: &str) -> [u64; 3] {
    let bytes = fs::File::open(file).expect("it was written");
    let mut reader = PcapNgReader::new(bytes).expect("is a pcapng file");
    let mut found = None;
    while let Some(block) = reader.next_block() {
        if let Block::InterfaceStatistics(block) = block.expect("is sound") {
            assert_eq!(found, None, "there is one such block");
            let mut figures = [0; 3];
            for option in &block.options {
                match option {
                    InterfaceStatisticsOption::IsbIfRecv(it) => figures[0] = *it,
                    InterfaceStatisticsOption::IsbOsDrop(it) => figures[1] = *it,
                    InterfaceStatisticsOption::IsbUsrDeliv(it) => figures[2] = *it,
                    _ => {}
                }
            }
            found = Some(figures);
        }
    }
    found.expect("there is a statistics block")
}

#[test]
#[ignore = "needs root"]
fn what_a_flood_loses_is_counted() {
    let sandbox = fabric("tc");
    for (name, filter) in [("flood.pcapng", &[][..]), ("filtered.pcapng", &["--proto", "udp"][..])]
    {
        let file = sandbox.file_path(name);
        let args = [&["--port", "red", "--verdict", "redirected"], filter].concat();
        let capture = start(&sandbox, &args, &file);
        // While it does not read, the ring buffer fills.
        capture.signal(Signal::SIGSTOP);
        let (before, ..) = sandbox.counter("lab", "red", "redirected");
        sandbox.inside("red", || {
            let socket = std::net::UdpSocket::bind("10.77.0.1:1025").expect("red has the address");
            for _ in 0..4_000 {
                // The answer that nobody listens may come in between.
                let _ = socket.send_to(&[0xda; 1400], ("10.77.0.2", 9));
            }
        });
        let (after, ..) = sandbox.counter("lab", "red", "redirected");
        capture.signal(Signal::SIGCONT);
        let run = stop(capture);

        let frames = tshark(&sandbox, &file, "frame", &["frame.len"]).len() as u64;
        let (sent, lost) = (after - before, after - before - frames);
        let told = format!("{frames} frames written, {lost} lost for want of room");
        assert!(run.stderr.contains(&told), "{told:?} is not in {}", run.stderr);
        assert!(frames > 0 && lost > 0, "{frames} of {sent}");
        assert_eq!(statistics(&file), [sent, lost, frames]);
        let is_doubted = run.stderr.contains("nobody knows whether those that were lost");
        assert_eq!(is_doubted, !filter.is_empty(), "{}", run.stderr);
    }
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn capture_is_piped_into_tcpdump() {
    let sandbox = fabric("tc");
    let script = format!("{VETH} capture lab --proto udp -w - | tcpdump -n -l -c 3 -r -");
    let mut command = sandbox.command("sh");
    command.args(["-c", &script]);
    let mut piped = Started::of(command);
    wait_until("tcpdump to have seen enough", || {
        send(&sandbox, 1, 9);
        !piped.is_running()
    });
    let run = piped.wait().ok();
    assert_eq!(run.stdout.lines().filter(|line| line.contains("10.77.0.2.9: UDP")).count(), 3);
    sandbox.down("lab");
}

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

/// Sends many datagrams from `member`, from one CPU alone.
fn flood_from(sandbox: &Sandbox, cpu: usize, member: &str, [own, to]: [&str; 2]) {
    sandbox.inside(member, || {
        let mut cpus = CpuSet::new();
        cpus.set(cpu).expect("is a CPU");
        sched_setaffinity(Pid::from_raw(0), &cpus).expect("the machine has that CPU");
        let socket = std::net::UdpSocket::bind((own, 1027)).expect("has the address");
        for _ in 0..20_000 {
            // The answer that nobody listens may come in between.
            let _ = socket.send_to(&[0xda; 20], (to, 9));
        }
    });
}

#[test]
#[ignore = "needs root"]
fn frames_of_two_cpus_are_in_the_order_of_their_times() {
    let [red, blue] = ["10.77.0.1", "10.77.0.2"];
    let cpus = sched_getaffinity(Pid::from_raw(0)).expect("is known");
    let cpus: Vec<usize> = (0..CpuSet::count()).filter(|it| cpus.is_set(*it) == Ok(true)).collect();
    let [first, second, ..] = cpus[..] else {
        return skip("frames of two CPUs in a capture: this machine has one CPU");
    };
    let sandbox = fabric("tc");
    let file = sandbox.file_path("order.pcapng");
    let capture = start(&sandbox, &["--snaplen", "64", "--proto", "udp"], &file);
    std::thread::scope(|scope| {
        scope.spawn(|| flood_from(&sandbox, first, "red", [red, blue]));
        scope.spawn(|| flood_from(&sandbox, second, "blue", [blue, red]));
    });
    stop(capture);
    let said = sandbox.sh(&format!("capinfos -o -c {file}"));
    assert!(said.contains("Strict time order:   True"), "{said}");
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
    std::thread::sleep(std::time::Duration::from_millis(100));
    capture.signal(Signal::SIGCONT);
    let run = stop(capture);
    assert!(run.stderr.contains("s nothing was captured"), "{}", run.stderr);
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn log_tells_of_frames_and_of_no_more_than_its_rate() {
    let sandbox = fabric("tc");
    let mut log = sandbox.start(&["log", "lab", "--verdict", "redirected", "--rate", "10"]);
    // It says nothing before the first frame.
    wait_until("the log to begin", || {
        log.catches(Signal::SIGINT) && {
            send(&sandbox, 1, 9);
            tally(&sandbox).captured > 0
        }
    });
    let line = log.line();
    let told = "red redirected -> blue udp 10.77.0.1 port 1024 > 10.77.0.2 port 9 62 bytes";
    assert!(line.ends_with(told), "{line}");
    send(&sandbox, 1000, 9);
    let run = stop(log);
    assert!(run.stdout.lines().count() < 500, "{}", run.stdout.lines().count());
    assert!(run.stderr.contains("more frames were not told of"), "{}", run.stderr);
    sandbox.down("lab");
}
