//! `up` on a fabric that runs: the frames do not notice, whether it is adopted, upgraded, or
//! moved to another hook.

use std::fs;

use aya::programs::links::{FdLink, PinnedLink};

use super::{HOOKS, PAIR, conversation::Datagrams, filters, redirected, status};
use crate::sandbox::Sandbox;

/// How often `up` is repeated under traffic.
const ROUNDS: usize = 8;

/// Id of the program on a port, wherever it hangs.
fn program_of(sandbox: &Sandbox, port: &str) -> u32 {
    let link = sandbox.path(&format!("/sys/fs/bpf/veth/lab/ports/{}", sandbox.ifindex(port)));
    if link.exists() {
        let link: FdLink = PinnedLink::from_pin(link).expect("the pin is a link").into();
        return link.info().expect("links tell of themselves").program_id();
    }
    let filters = filters(sandbox, port);
    let mut words = filters.split_whitespace().skip_while(|word| *word != "id");
    let id = words.nth(1).expect("the port has a program");
    id.parse().expect("an id is a number")
}

/// Sends datagrams from red to blue while `work` goes on; every one of them must arrive, and by
/// the fast path.
#[track_caller]
fn under_traffic(sandbox: &Sandbox, work: impl FnOnce()) {
    // The stations know each other before anything is counted.
    sandbox.ping("red", "10.77.0.2");
    let before = redirected(sandbox, "red");
    let datagrams = Datagrams::between(sandbox, "red", "blue", "10.77.0.2");
    work();
    let sent = datagrams.assert_all_arrived();
    let fast = redirected(sandbox, "red").saturating_sub(before);
    assert!(fast >= sent, "{sent} datagrams arrived, and {fast} frames took the fast path");
}

#[test]
#[ignore = "needs root"]
fn repeated_up_loses_no_frame_and_no_count() {
    for hook in HOOKS {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pair.toml", PAIR);
        sandbox.veth(&["up", &file, "--hook", hook]).ok();
        let program = program_of(&sandbox, "red");

        under_traffic(&sandbox, || {
            for _ in 0..ROUNDS {
                sandbox.veth(&["up", &file]).ok();
            }
        });

        assert_eq!(program_of(&sandbox, "red"), program, "{hook}: the program is another one");
        sandbox.down("lab");
    }
}

#[test]
#[ignore = "needs root"]
fn program_is_replaced_without_a_gap() {
    for hook in HOOKS {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pair.toml", PAIR);
        sandbox.veth(&["up", &file, "--hook", hook]).ok();

        under_traffic(&sandbox, || {
            for _ in 0..ROUNDS {
                let old = ["red", "blue"].map(|port| program_of(&sandbox, port));
                // Whose program it is that runs cannot be told without the pin.
                fs::remove_file(sandbox.path("/sys/fs/bpf/veth/lab/tc_ingress"))
                    .expect("the program is pinned");
                let done = sandbox.veth(&["up", &file, "--json"]).ok().json();
                assert_eq!(done["datapath"]["replaced"], 2, "{hook}: {done}");
                assert_eq!(done["datapath"]["attached"], 0, "{hook}: {done}");
                let new = ["red", "blue"].map(|port| program_of(&sandbox, port));
                assert!(old[0] != new[0] && old[1] != new[1], "{hook}: {old:?}, then {new:?}");
            }
        });

        for port in status(&sandbox, "lab")["ports"].as_array().expect("there are ports") {
            assert_eq!(port["hook"], hook);
        }
        sandbox.down("lab");
    }
}

#[test]
#[ignore = "needs root"]
fn ports_move_to_the_other_hook_without_losing_a_frame() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file, "--hook", "tcx"]).ok();
    sandbox.ping("red", "10.77.0.2");
    let datagrams = Datagrams::between(&sandbox, "red", "blue", "10.77.0.2");

    for hook in ["clsact", "tcx", "clsact"] {
        sandbox.veth(&["up", &file, "--hook", hook]).ok();
        for port in status(&sandbox, "lab")["ports"].as_array().expect("there are ports") {
            assert_eq!(port["hook"], hook);
            assert_eq!(port["fast"], true);
        }
        assert_eq!(filters(&sandbox, "red").contains("tc_ingress"), hook == "clsact");
    }

    datagrams.assert_all_arrived();
    // What a port has is what it keeps.
    sandbox.veth(&["up", &file]).ok();
    assert_eq!(status(&sandbox, "lab")["ports"][0]["hook"], "clsact");
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn counters_go_on_when_ports_move_to_the_other_hook() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file, "--hook", "tcx"]).ok();
    under_traffic(&sandbox, || {
        for hook in ["clsact", "tcx"] {
            sandbox.veth(&["up", &file, "--hook", hook]).ok();
        }
    });
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn unfinished_datapath_is_completed() {
    for hook in HOOKS {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pair.toml", PAIR);
        sandbox.veth(&["up", &file, "--hook", hook]).ok();
        // As a process leaves it that is killed before it signs the maps.
        fs::remove_file(sandbox.path("/sys/fs/bpf/veth/lab/VETH_META")).expect("it is pinned");
        fs::remove_file(sandbox.path("/sys/fs/bpf/veth/lab/tc_ingress")).expect("it is pinned");

        sandbox.veth(&["up", &file]).ok();
        sandbox.ping("red", "10.77.0.2");
        assert!(redirected(&sandbox, "red") > 0);
        assert_eq!(status(&sandbox, "lab")["problems"], serde_json::json!([]));
        sandbox.down("lab");
    }
}
