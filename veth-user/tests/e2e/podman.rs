//! Containers of podman on a bridge that podman made: adopted, and let go again, while they talk.

mod lab;

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use nix::sys::signal::Signal;
use veth_common::Verdict;

use crate::{
    adopt::adopted::{Adopted, Counted},
    sandbox::{PATIENCE, Sandbox, Started, wait_until},
    traffic::{
        flow::Flow,
        talk::{End, contents, exchange_streams},
    },
};
use lab::{Container, GATEWAY, Podman};

/// How many numbers there are for echo requests.
const ROUND: u64 = 1 << 16;

/// Requests that may be on their way at one moment.
const LAST: usize = 10;

/// A thousand echo requests a second from one end to another.
struct Pings {
    ping: Started,
    log: String,
}

impl Pings {
    fn start(sandbox: &Sandbox, from: End<'_>, to: End<'_>) -> Self {
        let log = sandbox.file("pings", "");
        let mut command = sandbox.command("ip");
        let ping = format!("exec ping -n -i 0.001 {} >{log}", to.address);
        command.args(["netns", "exec", from.netns, "sh", "-c", &ping]);
        let pings = Self { ping: Started::of(command), log };
        pings.go_on();
        pings
    }

    /// Waits until there are more answers.
    #[track_caller]
    fn go_on(&self) {
        let before = self.answers().len();
        wait_until("pings to be answered", || self.answers().len() > before + 50);
    }

    /// Fails the test unless each request was answered once; the last ones are still on their way.
    #[track_caller]
    fn assert_all_answered(self) {
        self.go_on();
        let mut answers = self.answers();
        let Self { ping, .. } = self;
        ping.signal(Signal::SIGINT);
        ping.wait().ok();
        answers.sort_unstable();
        answers.truncate(answers.len() - LAST);
        let wanted: Vec<u64> = (1..=answers.len() as u64).collect();
        let missing: Vec<_> = wanted.iter().filter(|it| !answers.contains(it)).take(10).collect();
        assert_eq!(answers.len(), wanted.len(), "twice or never: {missing:?}");
        assert_eq!(missing, Vec::<&u64>::new(), "of {} pings", answers.len());
        println!("{} pings were answered", answers.len());
    }

    /// The numbers of those that were answered, as they came.
    fn answers(&self) -> Vec<u64> {
        let text = fs::read_to_string(&self.log).expect("ping writes it");
        // The last line may be half of one.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let number = |line: &str| {
            let (_, rest) = line.split_once("icmp_seq=")?;
            rest.split(' ').next()?.parse::<u64>().ok()
        };
        // Sixteen bits of them are sent.
        let mut rounds = 0;
        let mut last = 0;
        let mut whole_number = |number: u64| {
            if number + ROUND / 2 < last {
                rounds += 1;
            }
            last = number;
            rounds * ROUND + number
        };
        whole.lines().filter_map(number).map(&mut whole_number).collect()
    }
}

#[test]
#[ignore = "needs root"]
fn containers_are_adopted_and_let_go_under_load_without_a_trace() {
    let podman = Podman::new();
    let (red, blue) = (podman.run("red", 2, ""), podman.run("blue", 3, ""));
    let sandbox = &podman.sandbox;
    exchange_streams(sandbox, red.end(), blue.end(), 1 << 20);
    let before = podman.picture();

    let pings = Pings::start(sandbox, blue.end(), red.end());
    Flow::during(sandbox, red.end(), blue.end(), |flow| {
        flow.goes_on("nothing");
        let adopted = Adopted::attach(sandbox, &podman.bridge);
        flow.goes_on("the bridge was adopted");
        assert_ne!(podman.picture(), before, "the picture does not show what is attached");
        thread::sleep(Duration::from_secs(1));
        let counted = adopted.counted();
        for _ in 0..50 {
            flow.goes_on("the fast path took it");
        }
        pings.go_on();
        assert_fast(&adopted.counted().since(&counted));

        let green = podman.run("green", 4, "");
        flow.goes_on("a container was started");
        exchange_streams(sandbox, green.end(), red.end(), 1 << 20);
        wait_until("the new container to be served", || {
            exchange_streams(sandbox, blue.end(), green.end(), 1 << 20);
            sandbox.counter(&podman.bridge, &green.port, "redirected").0 > 100
        });
        podman.stop(&green);
        flow.goes_on("a container was stopped");
        pings.go_on();

        adopted.detach();
        flow.goes_on("the bridge was let go");
    });
    pings.assert_all_answered();
    podman.assert_untouched(&before);
    podman.down();
}

/// Of the frames from container to container, the fast path has nearly all.
#[track_caller]
fn assert_fast(counted: &Counted) {
    let (fast, all) = (counted.of(Verdict::Redirected), counted.between_stations());
    println!("the fast path took {fast} of {all} frames");
    assert!(fast * 100 > all * 99, "{counted:?}");
}

#[test]
#[ignore = "needs root"]
fn killed_agent_loses_no_connection_and_the_next_one_brings_the_fast_path_back() {
    let podman = Podman::new();
    let (red, blue) = (podman.run("red", 2, ""), podman.run("blue", 3, ""));
    let sandbox = &podman.sandbox;
    let before = podman.picture();
    let pings = Pings::start(sandbox, blue.end(), red.end());
    Flow::during(sandbox, red.end(), blue.end(), |flow| {
        let mut adopted = Adopted::attach(sandbox, &podman.bridge);
        for round in ["killed", "killed again"] {
            wait_until("the fast path to take frames", || takes_frames(&adopted, flow));
            adopted.kill_agent();
            flow.goes_on(round);
            let counted = adopted.counted();
            wait_until("entries to expire", || {
                let added = adopted.counted().since(&counted);
                added.of(Verdict::SourceExpired) + added.of(Verdict::DestinationExpired) > 0
            });
            wait_until("the bridge to carry everything", || !takes_frames(&adopted, flow));
            pings.go_on();
            adopted.start_agent();
        }
        wait_until("the fast path to take frames", || takes_frames(&adopted, flow));
        adopted.detach();
        flow.goes_on("the bridge was let go");
    });
    pings.assert_all_answered();
    podman.assert_untouched(&before);
    podman.down();
}

/// Whether any frame of a stream takes the fast path.
#[track_caller]
fn takes_frames(adopted: &Adopted<'_>, flow: &Flow<'_>) -> bool {
    let before = adopted.counted();
    flow.goes_on("that");
    adopted.counted().since(&before).of(Verdict::Redirected) > 0
}

#[test]
#[ignore = "needs root"]
fn what_goes_through_the_host_is_as_before_on_an_adopted_bridge() {
    let podman = Podman::new();
    let red = podman.run("red", 2, "--publish 8080:80");
    let blue = podman.run("blue", 3, "");
    let sandbox = &podman.sandbox;
    sandbox.sh("ip netns add outside && ip link add uplink type veth peer name eth0 netns outside
         ip addr add 192.0.2.1/24 dev uplink && ip link set uplink up
         ip -n outside addr add 192.0.2.2/24 dev eth0 && ip -n outside link set eth0 up");
    let inside = |end: &Container| Place::Netns(end.netns.clone());
    let outside = Place::Netns("outside".to_owned());
    let check = |when: &str| {
        for (what, client, server, bound, to, seen_as) in [
            ("host to published port", &Place::Host, inside(&red), 80, (GATEWAY, 8080), GATEWAY),
            (
                "outside to published port",
                &outside,
                inside(&red),
                80,
                ("192.0.2.1", 8080),
                "192.0.2.2",
            ),
            (
                "container to published port",
                &inside(&blue),
                inside(&red),
                80,
                (GATEWAY, 8080),
                GATEWAY,
            ),
            ("container to host", &inside(&blue), Place::Host, 7000, (GATEWAY, 7000), "10.99.5.3"),
            ("host to container", &Place::Host, inside(&blue), 7000, ("10.99.5.3", 7000), GATEWAY),
            (
                "container to outside",
                &inside(&blue),
                Place::Netns("outside".to_owned()),
                7000,
                ("192.0.2.2", 7000),
                "192.0.2.1",
            ),
        ] {
            let seen = converse(sandbox, client, &server, bound, to);
            assert_eq!(seen, seen_as.parse::<IpAddr>().expect("is an address"), "{when}: {what}");
        }
    };
    check("before");
    let adopted = Adopted::attach(sandbox, &podman.bridge);
    check("adopted");
    wait_until("the fast path to have what is its own", || {
        exchange_streams(sandbox, red.end(), blue.end(), 1 << 20);
        adopted.counted().of(Verdict::Redirected) > 0
    });
    let counted = adopted.counted();
    check("with the fast path in use");
    assert!(adopted.counted().since(&counted).of(Verdict::DestinationLocal) > 0);
    adopted.detach();
    check("after");
    sandbox.sh("ip link del uplink && ip netns del outside");
    podman.down();
}

/// Where a program runs.
#[derive(Debug)]
enum Place {
    Host,
    Netns(String),
}

impl Place {
    fn inside<T: Send>(&self, sandbox: &Sandbox, work: impl FnOnce() -> T + Send) -> T {
        match self {
            Self::Host => sandbox.on_host(work),
            Self::Netns(netns) => sandbox.inside(netns, work),
        }
    }
}

/// Sends a text both ways over one stream, whose client calls an address that may be translated, and
/// says who the server takes the client to be.
#[track_caller]
fn converse(
    sandbox: &Sandbox,
    client: &Place,
    server: &Place,
    bound: u16,
    (address, port): (&str, u16),
) -> IpAddr {
    let mut listener = None;
    // The one before may still be closing.
    wait_until("the port to be free", || {
        listener = server.inside(sandbox, || TcpListener::bind(("0.0.0.0", bound))).ok();
        listener.is_some()
    });
    let listener = listener.expect("waited for");
    let to = SocketAddr::new(address.parse().expect("is an address"), port);
    let near = client.inside(sandbox, || TcpStream::connect_timeout(&to, PATIENCE));
    let near = near.unwrap_or_else(|error| panic!("{client:?} to {to}: {error}"));
    let (far, from) = listener.accept().expect("the client has connected");
    for [from, to] in [[&near, &far], [&far, &near]] {
        to.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
        let text = contents(u64::from(port), 1 << 18);
        let heard = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut to, mut heard): (&TcpStream, _) = (to, vec![0; text.len()]);
                to.read_exact(&mut heard).expect("the text arrives");
                heard
            });
            let mut from: &TcpStream = from;
            from.write_all(&text).expect("the stream takes it");
            reader.join().expect("no panic")
        });
        assert!(heard == text, "{client:?} to {to:?}: another text");
    }
    // The side that ends first keeps the port for a while, so that is not the server.
    near.shutdown(Shutdown::Write).expect("the stream can end");
    let mut end: &TcpStream = &far;
    assert_eq!(end.read(&mut [0]).expect("the end arrives"), 0);
    from.ip()
}

#[test]
#[ignore = "needs root"]
fn container_is_told_by_its_name() {
    let podman = Podman::new();
    let (red, blue) = (podman.run("red", 2, ""), podman.run("blue", 3, ""));
    for container in [&red, &blue] {
        let told = podman.sandbox.veth(&["ls", container.name, "--json"]).ok().json();
        // Something else on this machine may have that name.
        let pairs = told["pairs"].as_array().expect("pairs are a list").iter();
        let pairs: Vec<_> = pairs.filter(|pair| pair["port"]["netns"]["own"] == true).collect();
        assert_eq!(pairs.len(), 1, "{told}");
        let (port, peer) = (&pairs[0]["port"], &pairs[0]["peer"]);
        assert_eq!(port["name"], *container.port);
        assert_eq!(port["bridge"], *podman.bridge);
        assert_eq!(peer["name"], "eth0");
        assert_eq!(peer["addresses"][0], format!("{}/24", container.address));
        assert_eq!(peer["netns"]["containers"][0]["name"], container.name);
    }
    podman.down();
}
