//! A pair between two namespaces, alone and beside another device.

use serde_json::Value;

use super::{example, ip, lost, way};
use crate::sandbox::{Sandbox, wait_until};

/// Whether `veth status` sees each end of the only pair up, and with a carrier.
#[track_caller]
fn states(sandbox: &Sandbox, fabric: &str) -> Vec<(String, bool, bool)> {
    let status = sandbox.veth(&["status", fabric, "--json"]).ok().json();
    let ends = status["pairs"][0]["ends"].as_array().expect("there is a pair").clone();
    let state = |end: &Value| {
        let is = |key: &str| end[key].as_bool().expect("is told");
        (end["netns"].as_str().unwrap_or_default().to_owned(), is("up"), is("carrier"))
    };
    ends.iter().map(state).collect()
}

#[test]
#[ignore = "needs root"]
fn pair_between_namespaces_works_both_ways() {
    let sandbox = Sandbox::new();
    let file = example!("two-ends.toml").up(&sandbox);
    sandbox.ping("red", "10.1.4.2");
    sandbox.ping("blue", "10.1.4.1");
    sandbox.ping("red", "fd14::2");
    sandbox.ping("blue", "fd14::1");
    let up = |netns: &str| (netns.to_owned(), true, true);
    assert_eq!(states(&sandbox, "duo"), [up("blue"), up("red")]);
    sandbox.veth(&["status", &file]).ok();
    assert_eq!(sandbox.sh("ip -o link | grep -vc ' lo:' || true"), "0\n", "nothing on the host");
    sandbox.down("duo");
}

#[test]
#[ignore = "needs root"]
fn either_end_down_is_no_carrier_at_both() {
    let sandbox = Sandbox::new();
    let duo = example!("two-ends.toml");
    duo.up(&sandbox);
    for (end, is_down) in [("red", [false, true]), ("blue", [true, false])] {
        let from = format!("netns = \"{end}\"");
        let file = duo.up_with(&sandbox, &[(&from, &format!("{from}, up = false"))]);
        sandbox.veth(&["status", &file]).ok();
        let expected = ["blue", "red"]
            .into_iter()
            .zip(is_down)
            .map(|(netns, is_down)| (netns.to_owned(), !is_down, false));
        assert_eq!(states(&sandbox, "duo"), expected.collect::<Vec<_>>(), "{end} is down");
        let _ = lost(&sandbox, "red", &["10.1.4.2"]);
        let _ = lost(&sandbox, "blue", &["10.1.4.1"]);
        let other = if end == "red" { "blue" } else { "red" };
        let link = ip(&sandbox, &format!("-n {other} link show dev veth0"));
        let flags = link["flags"].as_array().expect("ip tells").clone();
        assert!(flags.contains(&"UP".into()) && flags.contains(&"NO-CARRIER".into()), "{link}");

        duo.up(&sandbox);
        sandbox.ping("red", "10.1.4.2");
        sandbox.ping("blue", "fd14::1");
    }
    sandbox.down("duo");
}

#[test]
#[ignore = "needs root"]
fn first_route_to_a_subnet_wins_until_one_is_put_before_it() {
    let sandbox = Sandbox::new();
    let detour = example!("two-ways.toml");
    detour.up(&sandbox);
    for (from, to) in [("red", "10.1.5.2"), ("blue", "10.1.5.1")] {
        assert_eq!(way(&sandbox, from, to), "tap0");
        let _ = lost(&sandbox, from, &[to]);
    }

    // One of the two is not enough: answers go the other way.
    detour.up_with(
        &sandbox,
        &[("addresses = [\"10.1.5.1/24\"]\n#routes", "addresses = [\"10.1.5.1/24\"]\nroutes")],
    );
    assert_eq!(way(&sandbox, "red", "10.1.5.2"), "veth0");
    let _ = lost(&sandbox, "red", &["10.1.5.2"]);

    detour.up_with(&sandbox, &[("#routes", "routes")]);
    sandbox.ping("red", "10.1.5.2");
    sandbox.ping("blue", "10.1.5.1");

    // And back: what stood there before stands there again.
    detour.up(&sandbox);
    assert_eq!(way(&sandbox, "red", "10.1.5.2"), "tap0");
    sandbox.down("detour");
}

#[test]
#[ignore = "needs root"]
fn route_through_a_tap_hides_the_pair_until_it_points_at_the_pair() {
    let sandbox = Sandbox::new();
    let duo = example!("two-ends.toml");
    let file = duo.up(&sandbox);
    for (netns, last) in [("red", 101), ("blue", 102)] {
        // The tap's route comes after that of the pair, which is then lost for a moment.
        sandbox.sh(&format!(
            "ip -n {netns} tuntap add tap0 mode tap && ip -n {netns} addr add 10.1.4.{last}/24 dev tap0 \
             && ip -n {netns} link set tap0 up \
             && ip -n {netns} link set veth0 down && ip -n {netns} link set veth0 up"
        ));
    }
    assert_eq!(way(&sandbox, "red", "10.1.4.2"), "tap0");
    let _ = lost(&sandbox, "red", &["10.1.4.2"]);
    // Addresses of IPv6 went with the carrier; the way of IPv4 is nothing that the file speaks of.
    sandbox.veth(&["up", &file]).ok();
    assert_eq!(way(&sandbox, "red", "10.1.4.2"), "tap0");

    let routes = [
        ("\"fd14::1/64\"]", "\"fd14::1/64\"], routes = [\"10.1.4.0/24 dev\"]"),
        ("\"fd14::2/64\"]", "\"fd14::2/64\"], routes = [\"10.1.4.0/24 dev\"]"),
    ];
    duo.up_with(&sandbox, &routes);
    wait_until("the carrier to be back", || {
        states(&sandbox, "duo").iter().all(|(_, _, has_carrier)| *has_carrier)
    });
    sandbox.ping("red", "10.1.4.2");
    sandbox.ping("blue", "10.1.4.1");
    sandbox.ping("blue", "fd14::1");

    // By hand, with the tools of the system, it is the same.
    duo.up(&sandbox);
    assert_eq!(way(&sandbox, "red", "10.1.4.2"), "tap0");
    for netns in ["red", "blue"] {
        sandbox.sh(&format!("ip -n {netns} route replace 10.1.4.0/24 dev veth0"));
    }
    sandbox.ping("red", "10.1.4.2");
    sandbox.down("duo");
}
