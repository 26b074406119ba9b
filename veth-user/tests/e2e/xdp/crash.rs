//! `veth` killed in the middle of a switch: the next `up` finds its way whatever it was, and peers
//! are as their users had them once XDP is gone.

use std::{fs, time::Duration};

use super::{Hooked, features, is_prepared, port_status, set_features};
use crate::{
    kill::{Random, kill_somewhere, time_of},
    lifecycle::PAIR,
    sandbox::{Sandbox, wait_until},
};

#[test]
#[ignore = "needs root"]
fn switch_that_was_killed_is_completed_or_undone_by_the_next_up() {
    const ROUNDS: usize = 24;
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    let up = |datapath| ["up", &file, "--datapath", datapath];
    sandbox.veth(&up("none")).ok();
    set_features(&sandbox, "red", "gro on tx-checksum-sctp off");
    let before = ["red", "blue"].map(|netns| features(&sandbox, netns));
    let mut random = Random::new();
    let mut longest = Duration::ZERO;
    for datapath in ["xdp", "tc", "xdp", "none"] {
        longest = longest.max(time_of(&sandbox, &up(datapath)));
    }

    // From what to what, and where to then.
    let ways =
        [("tc", "xdp", "tc"), ("xdp", "tc", "xdp"), ("none", "xdp", "none"), ("xdp", "none", "tc")];
    for (from, to, then) in ways.into_iter().cycle().take(ROUNDS) {
        sandbox.veth(&up(from)).ok();
        kill_somewhere(&sandbox, &up(to), &mut random, longest);
        sandbox.veth(&up(then)).ok();
        works_as(&sandbox, then);
        if then != "xdp" {
            let after = ["red", "blue"].map(|netns| features(&sandbox, netns));
            assert_eq!(after, before, "{from}, {to} killed, {then}");
        }
    }
    sandbox.veth(&up("none")).ok();
    assert_eq!(["red", "blue"].map(|netns| features(&sandbox, netns)), before);
    sandbox.down("lab");
}

/// The fabric forwards by `datapath` and by nothing else.
#[track_caller]
fn works_as(sandbox: &Sandbox, datapath: &str) {
    sandbox.ping("red", "10.77.0.2");
    for port in ["red", "blue"] {
        let status = port_status(sandbox, port);
        assert_eq!(Hooked::of(sandbox, port).xdp, datapath == "xdp", "{datapath}: {status}");
        wait_until(&format!("{port} to have the hook of {datapath} and no other"), || {
            let hooked = Hooked::of(sandbox, port);
            (hooked.tcx == 1 || hooked.clsact) == (datapath == "tc") && hooked.tcx <= 1
        });
        assert_eq!(status["fast"], datapath != "none", "{datapath}: {status}");
        if datapath == "xdp" {
            assert!(is_prepared(&features(sandbox, port)), "{datapath}: {port}");
        }
    }
    if datapath != "none" {
        assert!(sandbox.counter("lab", "red", "redirected").0 > 0, "the fast path took nothing");
    }
}

/// The ports run one fast path, and the pin of its program is not there: as a process leaves it that
/// is killed after it attached the ports and before it signed for them.
#[test]
#[ignore = "needs root"]
fn ports_of_an_unfinished_switch_are_moved_to_what_is_asked_for() {
    for (unfinished, program, then) in [
        ("xdp", "xdp_ingress", &["--datapath", "tc"][..]),
        ("xdp", "xdp_ingress", &["--datapath", "tc", "--hook", "tcx"]),
        ("xdp", "xdp_ingress", &["--datapath", "tc", "--hook", "clsact"]),
        ("xdp", "xdp_ingress", &["--datapath", "xdp"]),
        ("xdp", "xdp_ingress", &["--datapath", "none"]),
        ("tc", "tc_ingress", &["--datapath", "xdp"]),
        ("tc", "tc_ingress", &["--datapath", "none"]),
    ] {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pair.toml", PAIR);
        sandbox.veth(&["up", &file, "--datapath", "none"]).ok();
        let before = features(&sandbox, "red");
        sandbox.veth(&["up", &file, "--datapath", unfinished]).ok();
        fs::remove_file(sandbox.path(&format!("/sys/fs/bpf/veth/lab/{program}")))
            .expect("it is pinned");

        sandbox.veth(&[&["up", &file], then].concat()).ok();
        works_as(&sandbox, then[1]);
        if then[1] != "xdp" {
            assert_eq!(features(&sandbox, "red"), before, "{unfinished}, then {then:?}");
        }
        sandbox.down("lab");
    }
}
