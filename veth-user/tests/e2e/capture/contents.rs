//! What is in a file: the frames that were sent, their order, their times, and how many are not there.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    sys::signal::Signal,
    unistd::Pid,
};
use pcap_file::pcapng::{
    Block, PcapNgReader, blocks::interface_statistics::InterfaceStatisticsOption,
};

use super::{SENT, datagram, fabric, send, start, stop, tshark};
use crate::{
    sandbox::{Sandbox, skip},
    traffic::{
        talk::{contents, end, exchange_streams, mac},
        wire::{Wire, frame},
    },
};

/// How far the clock of a file, which is set when a capture begins, may be from that of people.
const SLACK: Duration = Duration::from_millis(100);

/// Bytes of a datagram's frame beside what the test puts in: Ethernet, IPv4, UDP.
const HEADERS: usize = 42;

/// Bytes as tshark writes them.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The time since 1970.
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970")
}

fn capture_holds_what_was_sent(datapath: &str) {
    let sandbox = fabric(datapath);
    let file = sandbox.file_path("all.pcapng");
    let capture = start(&sandbox, &[], &file);
    let begin = now();
    send(&sandbox, SENT, 9);
    let end = now();
    let run = stop(capture);
    assert!(run.stderr.contains(" 0 lost"), "{}", run.stderr);

    let fields = [
        "frame.len",
        "frame.cap_len",
        "frame.time_epoch",
        "frame.comment",
        "frame.interface_name",
        "frame.interface_description",
        "frame.packet_flags_direction",
        "eth.src",
        "eth.dst",
        "udp.payload",
    ];
    let frames = tshark(&sandbox, &file, "udp.dstport == 9 && !icmp", &fields);
    assert_eq!(frames.len(), SENT, "{frames:?}");
    let [red, blue] = ["red", "blue"].map(|it| mac(&sandbox, Some(it), "eth0").to_string());
    let mut before = begin.saturating_sub(SLACK);
    for (number, frame) in frames.iter().enumerate() {
        let [length, captured, time, comment, interface, description, rest @ ..] = &frame[..]
        else {
            panic!("{frame:?}")
        };
        assert_eq!(length, &(HEADERS + 20 + number).to_string());
        assert_eq!(captured, length);
        assert_eq!(comment, "verdict: redirected -> blue");
        assert_eq!(interface, "red");
        assert!(description.contains("netns red"), "{description}");
        let [direction, from, to, payload] = rest else { panic!("{frame:?}") };
        // Inbound.
        assert!(direction.ends_with('1'), "{direction}");
        assert_eq!((from, to), (&red, &blue));
        assert_eq!(payload.replace(':', ""), hex(&datagram(number)));
        let (seconds, nanoseconds) = time.split_once('.').expect("has a fraction");
        assert_eq!(nanoseconds.len(), 9, "nanoseconds: {time}");
        let [seconds, nanoseconds] = [seconds, nanoseconds].map(str::parse::<u64>);
        let time = Duration::from_secs(seconds.expect("is a number"))
            + Duration::from_nanos(nanoseconds.expect("is a number"));
        assert!(time > before, "{time:?} does not follow {before:?}");
        before = time;
    }
    assert!(before <= end + SLACK, "{before:?} is after {end:?}");

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

fn tag_is_in_the_file_wherever_it_travelled(datapath: &str) {
    let sandbox = fabric(datapath);
    let [red, blue] = ["red", "blue"].map(|it| mac(&sandbox, Some(it), "eth0"));
    let wire = Wire::of(&sandbox, "red");
    // Priority 1, VLAN 100, and a type for experiments.
    let tag_and_data = [&[0x20, 100, 0x88, 0xb5][..], &[0x5a; 46]].concat();
    let tagged = frame(blue, red, 0x8100, &tag_and_data);
    for (name, snaplen) in [("whole.pcapng", "65536"), ("head.pcapng", "10")] {
        let file = sandbox.file_path(name);
        let args = ["--verdict", "vlan_tagged", "--count", "1", "--snaplen", snaplen];
        let capture = start(&sandbox, &args, &file);
        wire.send(&tagged);
        capture.wait().ok();
        let lengths = tshark(&sandbox, &file, "frame", &["frame.len", "frame.comment"]);
        assert_eq!(lengths, [[tagged.len().to_string(), "verdict: vlan_tagged".to_owned()]]);
        if snaplen != "10" {
            let tag = tshark(&sandbox, &file, "vlan", &["vlan.id", "vlan.priority", "data.data"]);
            assert_eq!(tag, [["100", "1", &hex(&[0x5a; 46])]]);
        }
    }
    drop(wire);
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn tag_beside_a_frame_is_in_the_file() {
    tag_is_in_the_file_wherever_it_travelled("tc");
}

#[test]
#[ignore = "needs root"]
fn tag_within_a_frame_is_in_the_file() {
    tag_is_in_the_file_wherever_it_travelled("xdp");
}

/// A stream, put together again from the file, is the one that was sent, though its frames are larger than any
/// that a wire takes.
#[test]
#[ignore = "needs root"]
fn stream_of_gso_frames_is_whole_in_the_file() {
    const LENGTH: usize = 1 << 18;
    let sandbox = fabric("tc");
    let file = sandbox.file_path("stream.pcapng");
    let capture = start(&sandbox, &["--proto", "tcp"], &file);
    exchange_streams(&sandbox, end("red", "10.77.0.1"), end("blue", "10.77.0.2"), LENGTH);
    let run = stop(capture);
    assert!(run.stderr.contains(" 0 lost"), "{}", run.stderr);

    let fields = ["frame.len", "frame.cap_len", "frame.comment"];
    let large = tshark(&sandbox, &file, "frame.len > 1514", &fields);
    assert!(!large.is_empty(), "there is no GSO frame");
    for frame in large {
        let [length, captured, comment] = &frame[..] else { panic!("{frame:?}") };
        assert_eq!(length, captured);
        assert!(comment.starts_with("verdict: redirected -> "), "{comment}");
        assert!(comment.ends_with(" segments of 1448 bytes"), "{comment}");
    }
    let text = sandbox.sh(&format!("tshark -n -r {file} -q -z follow,tcp,raw,0 2>/dev/null"));
    let lines = text.lines().filter(|it| it.trim().bytes().all(|it| it.is_ascii_hexdigit()));
    // What the second one says is indented.
    let (second, first): (Vec<&str>, Vec<&str>) = lines.partition(|it| it.starts_with('\t'));
    assert!(first.concat() == hex(&contents(1, LENGTH)), "red sent something else");
    assert!(second.concat().replace('\t', "") == hex(&contents(2, LENGTH)), "so did blue");
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
