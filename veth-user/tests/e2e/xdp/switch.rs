//! A fabric that is switched from one datapath to another while traffic goes on.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use aya::programs::links::{FdLink, PinnedLink};
use nix::sys::signal::Signal;

use super::{Hooked, features, is_prepared, pins, port_status};
use crate::{
    lifecycle::{PAIR, conversation::Conversation},
    sandbox::{Sandbox, wait_until},
    traffic::{
        flow::{Ending, Flow},
        talk::{end, introduce, send_datagrams, silence_ipv6},
        totals::Totals,
    },
};

/// One switch: the arguments of `up`, and what there is then.
struct Switch {
    arguments: &'static [&'static str],
    /// As `status` names it.
    hook: Option<&'static str>,
    /// As `ls` lists them.
    pins: &'static str,
}

const TC_PINS: &str = "VETH_CAPTURE\nVETH_COUNTERS\nVETH_FDB\nVETH_FRAMES\nVETH_META\nVETH_NEAR\nVETH_PAIRS\n\
     VETH_PAIRS_UNTIL\nVETH_PORTS\nVETH_TALLY\nports\ntc_ingress\n";
/// With the marks of the qdiscs that were made.
const CLSACT_PINS: &str = "VETH_CAPTURE\nVETH_COUNTERS\nVETH_FDB\nVETH_FRAMES\nVETH_META\nVETH_NEAR\nVETH_PAIRS\n\
     VETH_PAIRS_UNTIL\nVETH_PORTS\nVETH_TALLY\nports\nqdiscs\ntc_ingress\n";
const XDP_PINS: &str = "VETH_CAPTURE\nVETH_COUNTERS\nVETH_FDB\nVETH_FRAMES\nVETH_META\nVETH_NEAR\n\
                        VETH_PAIRS\nVETH_PAIRS_UNTIL\nVETH_PORTS\nVETH_PREPARED\nVETH_TALLY\nVETH_TARGETS\nports\nxdp_ingress\n";

const NONE: Switch = Switch { arguments: &["--datapath", "none"], hook: None, pins: "" };
const XDP: Switch = Switch { arguments: &["--datapath", "xdp"], hook: Some("xdp"), pins: XDP_PINS };
const TCX: Switch =
    Switch { arguments: &["--datapath", "tc", "--hook", "tcx"], hook: Some("tcx"), pins: TC_PINS };
const CLSACT: Switch = Switch {
    arguments: &["--datapath", "tc", "--hook", "clsact"],
    hook: Some("clsact"),
    pins: CLSACT_PINS,
};

/// Every way from one to another.
const ROUND: [Switch; 10] = [XDP, NONE, XDP, TCX, XDP, CLSACT, XDP, CLSACT, NONE, TCX];

impl Switch {
    #[track_caller]
    fn make(&self, sandbox: &Sandbox, file: &str) {
        sandbox.veth(&[&["up", file], self.arguments].concat()).ok();
    }

    /// Everything that hangs on ports or is pinned is this datapath's, and all of it is there.
    #[track_caller]
    fn check(&self, sandbox: &Sandbox) {
        let Self { arguments, hook, pins: wanted } = self;
        let hooked = hook.map_or(Hooked::NONE, Hooked::only);
        for name in ["red", "blue"] {
            let port = port_status(sandbox, name);
            assert_eq!(port["hook"].as_str(), *hook, "{arguments:?}: {port}");
            assert_eq!(port["fast"], hook.is_some(), "{arguments:?}: {port}");
            // A tcx program does no harm, and is not waited for by veth.
            wait_until(&format!("{hooked:?} at {name} after {arguments:?}"), || {
                Hooked::of(sandbox, name) == hooked
            });
        }
        let status = sandbox.veth(&["status", "lab", "--json"]).ok().json();
        assert_eq!(status["datapath"], arguments[1]);
        assert_eq!(pins(sandbox), *wanted, "{arguments:?}");
    }
}

#[test]
#[ignore = "needs root"]
fn connections_live_through_every_switch() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    TCX.make(&sandbox, &file);
    let (red, blue) = (end("red", "10.77.0.1"), end("blue", "10.77.0.2"));
    let mut idle = Conversation::between(&sandbox, "red", "blue", "10.77.0.2");
    let mut other_family = Conversation::between(&sandbox, "blue", "red", "fd77::1");
    idle.go_on();
    other_family.go_on();

    Flow::during(&sandbox, red, blue, |flow| {
        for switch in &ROUND {
            switch.make(&sandbox, &file);
            flow.goes_on(&format!("{:?}", switch.arguments));
            idle.go_on();
            other_family.go_on();
            sandbox.ping("red", "10.77.0.2");
            sandbox.ping("blue", "fd77::1");
            switch.check(&sandbox);
        }
    });
    sandbox.down("lab");
}

/// The kernel gives the numbers of a namespace and of a device out again: the record of what was changed
/// at the old peer may name the new one.
#[test]
#[ignore = "needs root"]
fn namespace_that_comes_back_is_prepared_like_the_first() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    for _ in 0..3 {
        XDP.make(&sandbox, &file);
        assert!(is_prepared(&features(&sandbox, "blue")));
        sandbox.ping("red", "10.77.0.2");
        XDP.check(&sandbox);
        sandbox.sh("ip netns del blue");
        wait_until("the port to go with its namespace", || {
            sandbox.sh("ip -o link show dev blue 2>/dev/null || true").is_empty()
        });
    }
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn switch_that_is_interrupted_goes_back() {
    const PORTS: usize = 100;
    let text = format!(
        "name = \"lab\"\n[[netns]]\nname = \"w{{n}}\"\ncount = {PORTS}\npool = \"10.80.0.0/16\"\n"
    );
    let sandbox = Sandbox::new();
    let file = sandbox.file("many.toml", &text);
    sandbox.veth(&["up", &file]).ok();
    let before = features(&sandbox, "w1");
    let mut was_interrupted = false;
    for delay_ms in [20, 60, 100, 140, 180, 220] {
        let up = sandbox.start(&["up", &file, "--datapath", "xdp"]);
        wait_until("it to listen for signals", || up.catches(Signal::SIGINT));
        thread::sleep(Duration::from_millis(delay_ms));
        up.signal(Signal::SIGINT);
        let ended = up.wait();
        if ended.code == 0 {
            // It was quicker.
            sandbox.veth(&["up", &file]).ok();
            continue;
        }
        was_interrupted = true;
        let ended = ended.fails(130, "what had been done was taken back");
        let status = sandbox.veth(&["status", "lab", "--json"]).ok().json();
        assert_eq!(status["datapath"], "tc", "{}", ended.stderr);
        let ports = status["ports"].as_array().expect("is a list");
        assert_eq!(ports.iter().filter(|port| port["fast"] == true).count(), PORTS);
        assert_eq!(features(&sandbox, "w1"), before);
        assert_eq!(features(&sandbox, &format!("w{PORTS}")), before);
        sandbox.ping("w1", "10.80.0.2");
    }
    assert!(was_interrupted, "every switch was over before it could be interrupted");
    sandbox.down("lab");
}

/// The kernel lets go of a program some time after nobody holds it any more. For as long, senders
/// have to finish their frames.
#[test]
#[ignore = "needs root"]
fn peers_are_put_back_when_the_program_is_gone_and_not_before() {
    for switch in [&NONE, &TCX] {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pair.toml", PAIR);
        NONE.make(&sandbox, &file);
        let before = features(&sandbox, "red");
        XDP.make(&sandbox, &file);
        let pin = format!("/sys/fs/bpf/veth/lab/ports/{}", sandbox.ifindex("red"));
        let pin = sandbox.path(&pin);
        let link: FdLink = PinnedLink::from_pin(&pin).expect("the pin is a link").into();

        let mut up = sandbox.start(&[&["up", &file], switch.arguments].concat());
        wait_until("the pin to be removed", || !pin.exists());
        // Time enough to go wrong.
        thread::sleep(Duration::from_millis(300));
        assert!(up.is_running(), "the program still runs, and up has ended");
        assert!(Hooked::of(&sandbox, "red").xdp);
        assert!(is_prepared(&features(&sandbox, "red")), "frames go on through XDP unfinished");
        sandbox.ping("red", "10.77.0.2");

        drop(link);
        up.wait().ok();
        assert_eq!(features(&sandbox, "red"), before);
        switch.check(&sandbox);
        sandbox.down("lab");
    }
}

/// Between tc and XDP the counters go on, and no frame is counted by both.
#[test]
#[ignore = "needs root"]
fn each_frame_is_counted_once_whatever_is_switched() {
    let sandbox = Sandbox::new();
    // Without IPv6, which is silenced, `up` has nothing to repair.
    let text = PAIR.replace(", \"fd77::1/64\"", "").replace(", \"fd77::2/64\"", "");
    let file = sandbox.file("pair.toml", &text);
    TCX.make(&sandbox, &file);
    silence_ipv6(&sandbox, &["red", "blue"]);
    let (red, blue) = (end("red", "10.77.0.1"), end("blue", "10.77.0.2"));
    introduce(&sandbox, &[red, blue]);
    let [first] = Totals::settled(&sandbox, "lab", ["red"]);

    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let talker = scope.spawn(|| {
            let (from, to) = (red.datagrams(&sandbox), blue.datagrams(&sandbox));
            let to = to.local_addr().expect("is bound");
            while !done.load(Ordering::Relaxed) {
                from.send_to(b"counted once", to).expect("there is a way");
                thread::sleep(Duration::from_micros(100));
            }
        });
        let ending = Ending(&done);
        let mut counted = 0;
        for switch in [XDP, TCX, XDP, CLSACT, XDP, XDP, TCX, CLSACT] {
            switch.make(&sandbox, &file);
            wait_until("frames to be counted on", || {
                let now = sandbox.counter("lab", "red", "redirected").0;
                assert!(now >= counted, "{:?}: from {counted} back to {now}", switch.arguments);
                let goes_on = now > counted;
                counted = now;
                goes_on
            });
        }
        drop(ending);
        talker.join().expect("no panic");
    });

    let [last] = Totals::settled(&sandbox, "lab", ["red"]);
    let (frames, _) = last.counted();
    let entered = last.entered.0 - first.entered.0;
    let counted = frames - first.counted().0;
    // Some enter in the moments in which the bridge alone forwards.
    assert!(counted <= entered, "{entered} frames entered, and {counted} were counted");

    // And when nothing is switched, every frame is.
    send_datagrams(&sandbox, red, blue, 100, 200);
    let [settled] = Totals::settled(&sandbox, "lab", ["red"]);
    assert_eq!(settled.since(&last).counted().0, settled.since(&last).entered.0);
    sandbox.down("lab");
}
