//! An adopted bridge with hundreds of ports and thousands of stations.
//!
//! What it costs and how long it takes is printed, and not asserted: a busy machine proves nothing.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use nix::unistd::{SysconfVar, sysconf};
use tokio::time::timeout;
use veth_common::{Ifindex, Mac};
use veth_user::netlink::Monitor;

use crate::{
    adopt::adopted::Adopted,
    lifecycle::conversation::Datagrams,
    sandbox::{PATIENCE, Sandbox, wait_until},
    sync::lab::Maps,
    traffic::{
        talk::{end, introduce, silence_ipv6},
        wire::{EXPERIMENTAL, Wire, frame},
    },
};

const PORTS: u16 = 500;

/// Stations behind each port: the peer itself, and what only the bridge knows of.
const STATIONS: u8 = 20;

/// How long the agent is watched while nothing happens.
const IDLE: Duration = Duration::from_secs(30);

/// For how long nothing is heard when nothing happens.
const SILENCE: Duration = Duration::from_secs(10);

/// How often each event is measured.
const ROUNDS: u16 = 10;

/// A station behind a port; the first one is the peer itself.
fn station(port: u16, number: u8) -> Mac {
    let [high, low] = port.to_be_bytes();
    Mac([2, 0x5c, high, low, 0, number])
}

#[test]
#[ignore = "needs root"]
fn hundreds_of_ports_and_thousands_of_stations_are_followed() {
    let sandbox = Sandbox::new();
    build(&sandbox);
    let stations = count_stations(&sandbox);
    assert_eq!(stations, usize::from(PORTS) * usize::from(STATIONS));

    let started = Instant::now();
    let adopted = Adopted::attach(&sandbox, "lab");
    println!("{PORTS} ports, {stations} stations: attached after {:.1?}", started.elapsed());
    let maps = Maps::open(&sandbox);
    for number in [1, PORTS / 2, PORTS] {
        let port = port(&sandbox, &name(number));
        wait_until("a peer to be served", || maps.serves(station(number, 0), port));
        // A station behind it is known, and left to the bridge.
        assert!(maps.station(station(number, 1)).is_some_and(|it| it.port == port));
        assert!(maps.leaves_alone(station(number, 1)));
    }

    sandbox.on_host(wait_for_silence);
    let before = cpu_time(&adopted);
    thread::sleep(IDLE);
    let used = cpu_time(&adopted).saturating_sub(before);
    let share = used.as_secs_f64() / IDLE.as_secs_f64() * 100.0;
    println!(
        "the agent took {used:.1?} of {IDLE:.0?} in which nothing happened: {share:.1} % of a CPU"
    );

    let datagrams = {
        sandbox
            .sh("ip -n w1 addr add 10.78.0.1/24 dev eth0; ip -n w2 addr add 10.78.0.2/24 dev eth0");
        introduce(&sandbox, &[end("w1", "10.78.0.1"), end("w2", "10.78.0.2")]);
        Datagrams::between(&sandbox, "w1", "w2", "10.78.0.2")
    };
    let arrivals = (1..=ROUNDS).map(|round| {
        let number = PORTS + round;
        sandbox.sh(&format!("{}; {}", make(number), raise(number)));
        follow(&sandbox, &maps, number, station(number, 0))
    });
    report("a new port with a station", arrivals.collect());
    let moves = (1..=ROUNDS).map(|round| {
        let (from, to, moved) = (10 + round, 100 + round, station(10 + round, 0));
        sandbox.sh(&format!(
            "ip -n {} link set eth0 address {} && ip -n {} link set eth0 address {moved}",
            name(from),
            station(from, STATIONS),
            name(to)
        ));
        follow(&sandbox, &maps, to, moved)
    });
    report("a station's move", moves.collect());
    println!("{} datagrams arrived meanwhile", datagrams.assert_all_arrived());

    drop(maps);
    adopted.detach();
    assert!(count_stations(&sandbox) >= stations, "the bridge has forgotten stations");
    assert_eq!(sandbox.sh("ls /sys/fs/bpf/veth 2>/dev/null || true"), "", "pins are left");
}

fn build(sandbox: &Sandbox) {
    // Stations that nobody hears of must outlast a test on a busy machine: an hour, in hundredths.
    sandbox.sh("ip link add lab type bridge ageing_time 360000 && ip link set lab up");
    silence_ipv6(sandbox, &[]);
    sandbox.on_host(crate::traffic::frames::bypass_netfilter);
    let scripts: String =
        (1..=PORTS).map(|number| format!("{}\n{}\n", make(number), raise(number))).collect();
    sandbox.sh(&format!("sh -e {}", sandbox.file("ports", &scripts)));
    let entries = (1..=PORTS).flat_map(|number| (0..STATIONS).map(move |it| (number, it)));
    let learned: String = entries
        .map(|(number, it)| {
            let (mac, port) = (station(number, it), name(number));
            format!("fdb replace {mac} dev {port} master dynamic\n")
        })
        .collect();
    sandbox.sh(&format!("bridge -batch {}", sandbox.file("stations", &learned)));
}

/// Waits until the kernel has nothing left to tell: of the state of links it does so a hundred times a second,
/// and each of these is news to the agent.
fn wait_for_silence() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(async {
        let mut monitor = Monitor::subscribe().expect("root may subscribe");
        let mut events = Vec::new();
        while let Ok(heard) = timeout(SILENCE, monitor.next(&mut events)).await {
            heard.expect("the socket is sound");
            events.clear();
        }
    });
}

fn name(number: u16) -> String {
    format!("w{number}")
}

/// What makes a namespace and its pair. IPv6 would send something by itself.
fn make(number: u16) -> String {
    let (name, mac) = (name(number), station(number, 0));
    format!(
        "ip netns add {name} && ip link add {name} type veth peer name eth0 address {mac} \
         netns {name} && ip netns exec {name} sysctl -qw net.ipv6.conf.all.disable_ipv6=1"
    )
}

/// What makes the pair part of the bridge.
fn raise(number: u16) -> String {
    let name = name(number);
    format!("ip link set {name} master lab up && ip -n {name} link set eth0 up")
}

fn port(sandbox: &Sandbox, name: &str) -> Ifindex {
    Ifindex(u32::try_from(sandbox.ifindex(name)).expect("the kernel's are not larger"))
}

/// The stations that the bridge has learned.
fn count_stations(sandbox: &Sandbox) -> usize {
    let entries = sandbox.sh("bridge fdb show br lab");
    entries.lines().filter(|line| line.starts_with("02:5c:") && !line.contains("permanent")).count()
}

/// How long after the first frame of a station the maps say where it is.
#[track_caller]
fn follow(sandbox: &Sandbox, maps: &Maps, number: u16, mac: Mac) -> Duration {
    let port = port(sandbox, &name(number));
    let wire = Wire::of(sandbox, &name(number));
    assert!(!maps.serves(mac, port), "{mac} has not said a word");
    // To a station that the fast path does not serve, so that the bridge sees every frame.
    let word = frame(station(2, 1), mac, EXPERIMENTAL, b"here I am");
    let started = Instant::now();
    wire.send(&word);
    while !maps.serves(mac, port) {
        assert!(started.elapsed() < PATIENCE, "the maps never followed {mac}");
        thread::sleep(Duration::from_micros(200));
    }
    let followed = started.elapsed();
    // What the maps say is what happens to a frame, and to one that comes back.
    for (from, to) in [(number, 1), (1, number)] {
        let [source, target] = [from, to].map(|it| if it == number { mac } else { station(1, 0) });
        let before = sandbox.counter("lab", &name(from), "redirected").0;
        let word = frame(target, source, EXPERIMENTAL, b"straight on");
        Wire::of(sandbox, &name(from)).send(&word);
        wait_until("a frame to be handed on", || {
            sandbox.counter("lab", &name(from), "redirected").0 > before
        });
    }
    followed
}

fn report(what: &str, mut delays: Vec<Duration>) {
    delays.sort();
    let (middle, longest) = (delays[delays.len() / 2], delays[delays.len() - 1]);
    println!("{what}: in the maps {middle:.1?} after its first frame, at most {longest:.1?}");
}

/// What the agent has taken of CPUs so far, in and out of the kernel.
fn cpu_time(adopted: &Adopted<'_>) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", adopted.agent_pid())).expect("it runs");
    let (_, fields) = stat.rsplit_once(") ").expect("the command is in parentheses");
    // The 14th and 15th field, and the command is the second one.
    let ticks = fields.split(' ').skip(11).take(2).map(|it| it.parse::<u32>().expect("a number"));
    let per_second = sysconf(SysconfVar::CLK_TCK).expect("is known").expect("is a number");
    let per_second = u32::try_from(per_second).expect("is a small number");
    Duration::from_secs(1) * ticks.sum::<u32>() / per_second
}
