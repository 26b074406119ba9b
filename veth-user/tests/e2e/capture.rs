//! Captures through the fast path, read back by the tools that people read them with.

mod contents;
mod ends;

use std::fs;

use aya::maps::{Map, MapData, PerCpuArray};
use nix::sys::signal::Signal;
use veth_common::{CaptureTally, names};

use crate::{
    sandbox::{Run, Sandbox, Started, VETH, wait_until},
    traffic::talk::{contents, mac},
};

const PAIR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pair.toml");

/// How many datagrams a test sends.
const SENT: usize = 40;

/// A fabric of two namespaces that know each other.
fn fabric(datapath: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", PAIR, "--datapath", datapath]).ok();
    sandbox.ping("red", "10.77.0.2");
    sandbox
}

/// What the datagram of that number has in it: 20 bytes, 21, 22.., no two of them the same.
fn datagram(number: usize) -> Vec<u8> {
    contents(number as u64, 20 + number)
}

/// Sends datagrams from red to a port of blue.
fn send(sandbox: &Sandbox, count: usize, port: u16) {
    sandbox.inside("red", || {
        let socket = std::net::UdpSocket::bind("10.77.0.1:1024").expect("red has the address");
        for number in 0..count {
            let (to, data) = (("10.77.0.2", port), datagram(number));
            // Nobody listens, of which the kernel tells at the next one.
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
    let [red_mac, blue_mac] = ["red", "blue"].map(|it| mac(&sandbox, Some(it), "eth0").to_string());
    assert_eq!(
        count("source", &["--port", "red", "--verdict", "redirected", "--mac", &red_mac]).len(),
        SENT
    );
    assert_eq!(count("destination", &["--peer", "blue", "--mac", &blue_mac]).len(), SENT);
    assert_eq!(count("nobody", &with(&["--mac", "02:00:00:00:00:99"])).len(), 0);
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
