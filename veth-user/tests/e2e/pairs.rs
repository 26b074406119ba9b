//! Pairs past the bridge from `up` to `down`: made once, mended, edited, refused, and never left
//! behind.

use serde_json::{Value, json};

use crate::{
    kill::{Random, kill_somewhere, time_of},
    sandbox::{Sandbox, Started, wait_until},
};

/// Everything that a pair can have, and no bridge.
const PAIRS: &str = r#"
    name = "lab"

    [[pair]]
    a = { netns = "red", ifname = "veth0", addresses = ["10.1.0.1/24", "fd01::1/64"], routes = ["10.9.0.0/16 via 10.1.0.2", "fd09::/64 via fd01::2"] }
    b = { netns = "blue", ifname = "veth0", addresses = ["10.1.0.2/24", "fd01::2/64"], sysctls = { "net.ipv4.ip_forward" = 1, "net.ipv4.tcp_rmem" = "4096 8192 16384" } }

    [[pair]]
    a = { netns = "red", ifname = "up0", addresses = ["10.2.0.1/24"], routes = ["default via 10.2.0.2"] }
    b = { ifname = "out0", addresses = ["10.2.0.2/24"], sysctls = { "net.ipv4.conf.out0.forwarding" = 0 } }

    [[pair]]
    a = { netns = "blue", ifname = "loop0" }
    b = { netns = "blue", ifname = "loop1", up = false }
"#;

/// A bridge, and pairs past it: from its namespaces, and between two of them.
const MIXED: &str = r#"
    name = "lab"

    [[netns]]
    name = "red"
    addresses = ["10.77.0.1/24"]

    [[netns]]
    name = "blue"
    addresses = ["10.77.0.2/24"]

    [[pair]]
    a = { netns = "red", addresses = ["10.1.0.1/24"] }
    b = { netns = "blue", addresses = ["10.1.0.2/24"] }

    [[pair]]
    a = { netns = "red", ifname = "away0", addresses = ["10.3.0.1/24"] }
    b = { netns = "far", ifname = "eth0", addresses = ["10.3.0.2/24"] }
"#;

#[track_caller]
fn steps(sandbox: &Sandbox, args: &[&str]) -> Vec<String> {
    let output = sandbox.veth(&[args, &["--json"]].concat()).ok().json();
    let steps = output["steps"].as_array().expect("steps are a list").iter();
    steps.map(|step| step.as_str().expect("a step is text").to_owned()).collect()
}

/// The only end of that name in `status NAME --json`.
#[track_caller]
fn end(status: &Value, netns: Option<&str>, ifname: &str) -> Value {
    let pairs = status["pairs"].as_array().expect("pairs are a list").iter();
    let ends: Vec<&Value> =
        pairs.flat_map(|pair| pair["ends"].as_array().expect("ends are a list")).collect();
    let is_it = |end: &&&Value| end["netns"] == json!(netns) && end["ifname"] == ifname;
    let found: Vec<&&Value> = ends.iter().filter(is_it).collect();
    let [end] = found[..] else { panic!("{ifname} is not there once: {status}") };
    (*end).clone()
}

#[test]
#[ignore = "needs root"]
fn pairs_come_and_go_without_a_bridge() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pairs.toml", PAIRS);
    let dry = steps(&sandbox, &["up", "--dry-run", &file]);
    sandbox.assert_empty();
    assert_eq!(steps(&sandbox, &["up", &file]), dry, "the very plan is carried out");

    sandbox.ping("red", "10.1.0.2");
    sandbox.ping("blue", "fd01::1");
    sandbox.ping("red", "10.2.0.2");
    let get = |args: &str| sandbox.sh(&format!("ip -n red route get {args}"));
    assert!(get("10.9.1.1").contains("via 10.1.0.2 dev veth0"));
    assert!(get("fd09::1").contains("via fd01::2 dev veth0"));
    assert!(get("192.0.2.1").contains("via 10.2.0.2 dev up0"));
    let setting = |name: &str| sandbox.sh(&format!("ip netns exec blue sysctl -n {name}"));
    assert_eq!(setting("net.ipv4.ip_forward"), "1\n");
    assert_eq!(setting("net.ipv4.tcp_rmem"), "4096\t8192\t16384\n");
    assert_eq!(sandbox.sh("ls /sys/fs/bpf/veth 2>/dev/null || true"), "", "there is no datapath");

    let text = sandbox.veth(&["up", &file]).ok().stdout;
    assert_eq!(text, "fabric lab was up as the file says (2 namespaces, 3 pairs)\n");
    let status = sandbox.veth(&["status", "lab", "--json"]).ok().json();
    assert_eq!((&status["datapath"], &status["problems"]), (&json!("none"), &json!([])));
    let red = end(&status, Some("red"), "veth0");
    assert_eq!(red["addresses"], json!(["10.1.0.1/24", "fd01::1/64"]));
    assert_eq!(red["routes"], json!(["10.9.0.0/16 via 10.1.0.2", "fd09::/64 via fd01::2"]));
    assert_eq!((&red["up"], &red["carrier"]), (&json!(true), &json!(true)));
    let half = [(Some("blue"), "loop0", true), (Some("blue"), "loop1", false)];
    for (netns, ifname, up) in half {
        let end = end(&status, netns, ifname);
        assert_eq!((&end["up"], &end["carrier"]), (&json!(up), &json!(false)));
    }
    assert_eq!(end(&status, None, "out0")["addresses"], json!(["10.2.0.2/24"]));
    let all = sandbox.veth(&["status", "--json"]).ok().json();
    assert_eq!(all[0]["fabric"], "lab");
    for command in ["agent", "stats"] {
        sandbox.veth(&[command, "lab"]).fails(1, "lab");
    }

    sandbox.down("lab");
    assert_eq!(steps(&sandbox, &["down", &file]), [""; 0]);
}

#[test]
#[ignore = "needs root"]
fn pair_with_both_ends_on_the_host_is_found_by_its_marks() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("here.toml", "name = \"lab\"\n[[pair]]\na = { }\nb = { }\n");
    sandbox.veth(&["up", &file]).ok();
    let status = sandbox.veth(&["status", "--json"]).ok().json();
    assert_eq!(status[0]["pairs"].as_array().map(Vec::len), Some(1));
    let alias = |device: &str| {
        sandbox.sh(&format!("cat /sys/class/net/{device}/ifalias || ip link show {device}"))
    };
    assert!(alias("veth0").contains("veth end lab//veth0 - /veth1"));
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn whatever_was_done_to_pairs_by_hand_is_mended() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pairs.toml", PAIRS);
    sandbox.veth(&["up", &file]).ok();
    let red = sandbox.netns_inode("red");
    for damage in [
        "ip -n red link set veth0 down",
        "ip -n red addr flush dev veth0",
        "ip -n red route flush proto 118",
        "ip -n red link set veth0 mtu 1400 address 02:09:09:09:09:09",
        "ip -n blue link del veth0",
        "ip -n red link set veth0 down name other && ip -n red link set other up",
        "ip -n red link set veth0 netns blue name moved",
        "ip link set out0 alias ''",
        "ip link set out0 down",
        "ip -n blue link set lo down",
        "ip -n blue link set loop1 up",
        "ip netns exec blue sysctl -q -w net.ipv4.ip_forward=0",
        "ip netns del blue",
    ] {
        sandbox.sh(damage);
        sandbox.veth(&["status", &file]).fails(1, "");
        sandbox.veth(&["up", &file]).ok();
        sandbox.veth(&["status", &file]).ok();
        sandbox.ping("red", "10.1.0.2");
        sandbox.ping("blue", "fd01::1");
        sandbox.ping("red", "10.2.0.2");
    }
    assert_eq!(sandbox.netns_inode("red"), red, "what stands is not made again");
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn edited_pairs_change_by_the_difference() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pairs.toml", PAIRS);
    sandbox.veth(&["up", &file]).ok();
    let edited = PAIRS
        .replace("\"10.1.0.1/24\", ", "\"10.1.0.5/24\", ")
        .replace("10.9.0.0/16", "10.8.0.0/16")
        .replace("ifname = \"up0\"", "ifname = \"up1\"");
    let edited = sandbox.file("edited.toml", &edited);
    let steps = steps(&sandbox, &["up", &edited]);
    // Its other end has a name that is wanted again.
    assert_eq!(steps[0], "delete veth pair out0 - up0 in red, which is in the way");
    let on_veth0 = |step: &&String| step.ends_with("veth0 in red") || step.ends_with("in blue");
    assert_eq!(
        steps.iter().filter(on_veth0).collect::<Vec<_>>(),
        [
            "remove route 10.9.0.0/16 via 10.1.0.2 from veth0 in red",
            "remove route fd09::/64 via fd01::2 from veth0 in red",
            "remove 10.1.0.1/24 from veth0 in red",
            "add 10.1.0.5/24 to veth0 in red",
            "add route 10.8.0.0/16 via 10.1.0.2 to veth0 in red",
            "add route fd09::/64 via fd01::2 to veth0 in red",
        ]
    );
    sandbox.veth(&["status", &edited]).ok();
    sandbox.ping("blue", "10.1.0.5");
    assert!(sandbox.sh("ip -n red route").contains("default via 10.2.0.2 dev up1"));
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn pairs_stand_beside_a_bridge_and_its_fast_path() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("mixed.toml", MIXED);
    sandbox.veth(&["up", &file]).ok();
    assert_eq!(steps(&sandbox, &["up", &file]), [""; 0]);
    sandbox.ping("red", "10.77.0.2");
    sandbox.ping("red", "10.1.0.2");
    sandbox.ping("far", "10.3.0.1");
    assert!(sandbox.counter("lab", "red", "redirected").0 > 0, "the fast path took nothing");
    let status = sandbox.veth(&["status", &file, "--json"]).ok().json();
    assert_eq!(status["ports"].as_array().map(Vec::len), Some(2));
    assert_eq!(status["pairs"].as_array().map(Vec::len), Some(2));

    // Without the bridge, the pairs stay; and with it again.
    let (_, pairs) = MIXED.split_once("    [[pair]]").expect("there are pairs");
    let alone = format!("name = \"lab\"\n[[pair]]{pairs}");
    let alone = sandbox.file("alone.toml", &alone);
    let inode = sandbox.netns_inode("red");
    sandbox.veth(&["up", &alone]).ok();
    sandbox.veth(&["status", &alone]).ok();
    sandbox.ping("far", "10.3.0.1");
    assert_eq!(sandbox.sh("ip -o link | grep -vc ' lo:' || true"), "0\n", "the bridge is gone");
    sandbox.veth(&["up", &file]).ok();
    sandbox.veth(&["status", &file]).ok();
    sandbox.ping("red", "10.77.0.2");
    assert_eq!(sandbox.netns_inode("red"), inode);
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn pair_does_not_outlive_the_fabric_in_namespaces_that_somebody_holds() {
    for text in [PAIRS, MIXED] {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pairs.toml", text);
        sandbox.veth(&["up", &file]).ok();
        let held = ["red", "blue"].map(|netns| {
            let mut command = sandbox.command("ip");
            command.args(["netns", "exec", netns, "sh", "-c", "echo $$; exec sleep infinity"]);
            let mut process = Started::of(command);
            (process.line(), process)
        });
        sandbox.down("lab");
        for (pid, _process) in &held {
            let links = format!("nsenter -t {pid} -n ip -o link | grep -vc ' lo:' || true");
            assert_eq!(sandbox.sh(&links), "0\n");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn things_of_others_are_named_and_nothing_is_touched() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pairs.toml", PAIRS);
    sandbox.sh("ip link add out0 type bridge && ip netns add blue");
    let refused = sandbox.veth(&["up", &file]).fails(3, "end out0: there is a bridge of that name");
    assert!(refused.stderr.contains("namespace blue"), "{}", refused.stderr);
    assert_eq!(sandbox.sh("ls /run/netns"), "blue\n");
    sandbox.sh("ip link del out0 && ip netns del blue");
    // What the fabric itself has there is not taken for a stranger's, but is not taken away either.
    let ports = MIXED.replace("far", "red2").replace("name = \"red\"", "name = \"out0\"");
    let file_of_ports = sandbox.file("ports.toml", &ports.replace("\"red\"", "\"out0\""));
    sandbox.veth(&["up", &file]).ok();
    sandbox.veth(&["up", &file_of_ports]).fails(3, "is something else in this fabric");
    sandbox.veth(&["status", &file]).ok();
    sandbox.veth(&["down", "lab"]).ok();
    // A device called like a fabric without a bridge is no obstacle, nor is one like a namespace.
    sandbox.sh("ip link add lab type bridge && ip link add red type bridge");
    sandbox.veth(&["status", "lab"]).fails(1, "");
    sandbox.veth(&["up", &file]).ok();
    let status = sandbox.veth(&["status", &file]).ok().stdout;
    assert!(status.starts_with("fabric lab: no bridge, 3 pairs\n"), "{status}");
    sandbox.veth(&["down", "lab"]).ok();
    sandbox.sh("ip link del lab && ip link del red");
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn step_that_fails_takes_all_others_back() {
    let sandbox = Sandbox::new();
    let good = sandbox.file("pairs.toml", PAIRS);
    let unknown = PAIRS.replace("net.ipv4.tcp_rmem", "net.ipv4.no_such_thing");
    let file = sandbox.file("unknown.toml", &unknown);
    let failed = sandbox.veth(&["up", &file]).fails(1, "this kernel has no such setting");
    assert!(failed.stderr.contains("what had been done was taken back"), "{}", failed.stderr);
    sandbox.assert_empty();

    // And back to what there was, when it fails in the middle of an edit.
    sandbox.veth(&["up", &good]).ok();
    let edited = unknown.replace("\"net.ipv4.ip_forward\" = 1", "\"net.ipv4.ip_forward\" = 0");
    let file = sandbox.file("edited.toml", &edited);
    sandbox.veth(&["up", &file]).fails(1, "what had been done was taken back");
    sandbox.veth(&["status", &good]).ok();
    sandbox.ping("red", "10.1.0.2");

    // A pair that had to make room is put back, with all that it had.
    let moved = unknown
        .replace("\"10.1.0.1/24\", ", "")
        .replace("10.9.0.0/16 via 10.1.0.2\", \"", "")
        .replace(
            "a = { netns = \"red\", ifname = \"veth0\"",
            "a = { netns = \"green\", ifname = \"veth0\"",
        );
    let file = sandbox.file("moved.toml", &moved);
    let failed = sandbox.veth(&["up", &file]).fails(1, "what had been done was taken back");
    assert!(!failed.stderr.contains("failed too"), "{}", failed.stderr);
    sandbox.veth(&["status", &good]).ok();
    sandbox.ping("red", "10.1.0.2");
    sandbox.ping("blue", "fd01::1");
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn killed_up_and_down_of_pairs_are_completed_by_the_next() {
    let sandbox = Sandbox::new();
    let mut random = Random::new();
    for text in [PAIRS, MIXED] {
        let file = sandbox.file("pairs.toml", text);
        for round in 0..12 {
            let longest = time_of(&sandbox, &["up", &file]);
            sandbox.veth(&["down", "lab"]).ok();
            kill_somewhere(&sandbox, &["up", &file], &mut random, longest);
            if round % 2 == 0 {
                sandbox.veth(&["up", &file]).ok();
                sandbox.veth(&["status", &file]).ok();
                sandbox.ping("red", "10.1.0.2");
                kill_somewhere(&sandbox, &["down", "lab"], &mut random, longest);
            }
            if round % 4 == 0 {
                sandbox.veth(&["up", &file]).ok();
                sandbox.ping("blue", "10.1.0.1");
            }
            sandbox.down("lab");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn pair_that_was_made_and_not_marked_is_completed_or_removed() {
    for command in ["up", "down"] {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pairs.toml", PAIRS);
        sandbox.veth(&["up", &file]).ok();
        // As a process that was killed between the two leaves them.
        sandbox.sh("ip link set out0 alias '' && ip -n red link set veth0 alias '' && ip -n red link set up0 alias ''");
        let status = sandbox.veth(&["status", "lab"]).fails(1, "");
        assert!(status.stdout.contains("was left unfinished"), "{}", status.stdout);
        if command == "up" {
            sandbox.veth(&["up", &file]).ok();
            sandbox.veth(&["status", &file]).ok();
            sandbox.ping("red", "10.1.0.2");
        }
        sandbox.down("lab");
    }
}

#[test]
#[ignore = "needs root"]
fn run_needs_a_fabric_with_ports() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pairs.toml", PAIRS);
    sandbox.veth(&["run", &file]).fails(1, "lab has only pairs");
    let mixed = sandbox.file("mixed.toml", MIXED);
    sandbox.veth(&["run", &mixed, "--seconds", "0.2"]).ok();
    wait_until("the fabric to be gone", || !sandbox.path("/run/netns/far").exists());
    sandbox.assert_empty();
}
