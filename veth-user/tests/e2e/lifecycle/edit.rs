//! `up` after the file was edited: only the difference is applied, and what did not change does
//! not notice.

use serde_json::json;

use super::{HOOKS, PAIR, conversation::Conversation, filters, identities, redirected, status};
use crate::sandbox::Sandbox;

/// The pair, and a third.
fn trio() -> String {
    format!("{PAIR}\n[[netns]]\nname = \"green\"\naddresses = [\"10.77.0.3/24\"]\n")
}

#[test]
#[ignore = "needs root"]
fn edit_leaves_those_alone_that_it_is_not_about() {
    for hook in HOOKS {
        let sandbox = Sandbox::new();
        let pair = sandbox.file("pair.toml", PAIR);
        let trio = sandbox.file("trio.toml", &trio());
        sandbox.veth(&["up", &pair, "--hook", hook]).ok();
        let before = (sandbox.ifindex("lab"), identities(&sandbox, &["red", "blue"]));
        let mut talk = Conversation::between(&sandbox, "red", "blue", "10.77.0.2");
        talk.go_on();

        let steps = sandbox.veth(&["up", &trio, "--json"]).ok().json()["steps"].clone();
        let steps = steps.as_array().expect("steps are a list");
        assert!(steps.iter().all(|step| step.to_string().contains("green")), "{steps:?}");
        talk.go_on();
        sandbox.ping("green", "10.77.0.1");

        let steps = sandbox.veth(&["up", &pair, "--json"]).ok().json()["steps"].clone();
        assert_eq!(steps, json!(["delete port green and its peer", "remove namespace green"]));
        talk.go_on();
        assert_eq!(before, (sandbox.ifindex("lab"), identities(&sandbox, &["red", "blue"])));
        sandbox.veth(&["status", &pair]).ok();

        sandbox.down("lab");
    }
}

#[test]
#[ignore = "needs root"]
fn edited_mtu_and_addresses_are_changed_in_place() {
    let sandbox = Sandbox::new();
    let pair = sandbox.file("pair.toml", PAIR);
    let edited = PAIR.replace("name = \"lab\"", "name = \"lab\"\nmtu = 9000");
    let edited = edited.replace("\"10.77.0.1/24\", ", "\"10.77.0.1/24\", \"10.78.0.1/24\", ");
    let edited = edited.replace(", \"fd77::2/64\"", "");
    let edited = sandbox.file("edited.toml", &edited);
    sandbox.veth(&["up", &pair]).ok();
    let before = identities(&sandbox, &["red", "blue"]);
    let mut talk = Conversation::between(&sandbox, "red", "blue", "10.77.0.2");
    talk.go_on();

    sandbox.veth(&["up", &edited]).ok();
    talk.go_on();
    for script in ["ip link show lab", "ip link show red", "ip -n blue link show eth0"] {
        assert!(sandbox.sh(script).contains("mtu 9000"), "{script}");
    }
    assert!(sandbox.sh("ip -n red addr show eth0").contains("10.78.0.1/24"));
    assert!(!sandbox.sh("ip -n blue addr show eth0").contains("fd77::2"));
    // A frame that only fits the new MTU, over the fast path.
    let fast = redirected(&sandbox, "red");
    sandbox.sh("ip netns exec red ping -n -q -c 1 -W 10 -M do -s 8000 10.77.0.2");
    assert!(redirected(&sandbox, "red") > fast);

    sandbox.veth(&["up", &pair]).ok();
    talk.go_on();
    assert!(sandbox.sh("ip link show red").contains("mtu 1500"));
    assert_eq!(before, identities(&sandbox, &["red", "blue"]));
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn datapath_comes_and_goes_under_a_connection() {
    let without = PAIR.replace("name = \"lab\"", "name = \"lab\"\ndatapath = \"none\"");
    for hook in HOOKS {
        let sandbox = Sandbox::new();
        let tc = sandbox.file("tc.toml", PAIR);
        let none = sandbox.file("none.toml", &without);
        sandbox.veth(&["up", &none]).ok();
        let before = identities(&sandbox, &["red", "blue"]);
        let mut talk = Conversation::between(&sandbox, "red", "blue", "10.77.0.2");
        talk.go_on();

        for _ in 0..2 {
            let done = sandbox.veth(&["up", &tc, "--hook", hook, "--json"]).ok().json();
            assert_eq!(done["steps"], json!([]));
            assert_eq!(done["datapath"]["attached"], 2);
            let fast = redirected(&sandbox, "red");
            talk.go_on();
            assert!(redirected(&sandbox, "red") > fast, "{hook}: the fast path takes nothing");

            let done = sandbox.veth(&["up", &none, "--json"]).ok().json();
            assert_eq!(done["steps"], json!([]));
            assert_eq!(status(&sandbox, "lab")["datapath"], "none");
            assert_eq!(filters(&sandbox, "red") + &filters(&sandbox, "blue"), "");
            assert_eq!(sandbox.sh("ls /sys/fs/bpf/veth 2>/dev/null || true"), "");
            talk.go_on();
        }

        assert_eq!(before, identities(&sandbox, &["red", "blue"]));
        sandbox.down("lab");
    }
}

#[test]
#[ignore = "needs root"]
fn datapath_none_takes_the_filters_off_even_when_the_pins_are_gone() {
    let sandbox = Sandbox::new();
    let tc = sandbox.file("tc.toml", PAIR);
    let none = PAIR.replace("name = \"lab\"", "name = \"lab\"\ndatapath = \"none\"");
    let none = sandbox.file("none.toml", &none);
    sandbox.veth(&["up", &tc, "--hook", "clsact"]).ok();
    sandbox.sh("rm -r /sys/fs/bpf/veth/lab");
    sandbox.veth(&["up", &none]).ok();
    assert_eq!(filters(&sandbox, "red") + &filters(&sandbox, "blue"), "");
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn addresses_that_somebody_changed_inside_are_put_right() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file]).ok();
    sandbox
        .sh("ip -n red addr del 10.77.0.1/24 dev eth0 && ip -n red addr add 10.99.0.1/24 dev eth0");
    sandbox.veth(&["up", &file]).ok();
    let addresses = sandbox.sh("ip -n red addr show eth0");
    assert!(addresses.contains("10.77.0.1/24") && !addresses.contains("10.99"), "{addresses}");
    sandbox.ping("red", "10.77.0.2");
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn second_address_of_a_subnet_survives_the_removal_of_the_first() {
    let sandbox = Sandbox::new();
    let two = "name = \"lab\"\n[[netns]]\nname = \"red\"\n\
               addresses = [\"10.77.0.1/24\", \"10.77.0.3/24\"]\n";
    let file = sandbox.file("lab.toml", two);
    sandbox.veth(&["up", &file]).ok();
    sandbox.file("lab.toml", &two.replace("\"10.77.0.1/24\", ", ""));
    sandbox.veth(&["up", &file]).ok();
    let addresses = sandbox.sh("ip -n red -4 addr show eth0");
    assert!(
        addresses.contains("10.77.0.3/24") && !addresses.contains("10.77.0.1/24"),
        "{addresses}"
    );
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn address_that_was_given_a_lifetime_is_made_permanent_again() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file]).ok();
    let lifetime = "valid_lft 1000 preferred_lft 1000";
    sandbox.sh(&format!("ip -n red addr change 10.77.0.1/24 dev eth0 {lifetime}"));
    sandbox.veth(&["up", &file]).ok();
    let addresses = sandbox.sh("ip -n red -4 addr show eth0");
    assert!(addresses.contains("valid_lft forever"), "{addresses}");
    sandbox.down("lab");
}
