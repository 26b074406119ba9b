//! Somebody deletes parts of a fabric by hand: `down` removes the rest, `up` makes it whole, and
//! `status` says what is missing.

use super::{HOOKS, PAIR, status};
use crate::sandbox::{Sandbox, wait_until};

/// What somebody may delete, and how.
const PARTS: [(&str, &str); 4] = [
    ("netns", "ip netns del red"),
    ("port", "ip link del blue"),
    ("bridge", "ip link del lab"),
    ("pins", "rm -r /sys/fs/bpf/veth/lab"),
];

/// All combinations of parts, none and all of them included.
fn combinations() -> impl Iterator<Item = Vec<(&'static str, &'static str)>> {
    (0..1_u32 << PARTS.len()).map(|chosen| {
        let parts = PARTS.iter().enumerate();
        parts.filter(|(at, _)| chosen & (1 << at) != 0).map(|(_, part)| *part).collect()
    })
}

/// Brings the pair up, deletes `parts` of it, and says which.
fn damage(sandbox: &Sandbox, file: &str, hook: &str, parts: &[(&str, &str)]) -> String {
    sandbox.veth(&["up", file, "--hook", hook]).ok();
    for (_, script) in parts {
        sandbox.sh(script);
    }
    let names: Vec<&str> = parts.iter().map(|(name, _)| *name).collect();
    format!("{hook}, without {names:?}")
}

#[test]
#[ignore = "needs root"]
fn down_removes_what_is_left() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    for hook in HOOKS {
        for parts in combinations() {
            let what = damage(&sandbox, &file, hook, &parts);
            println!("{what}");
            sandbox.down("lab");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn up_makes_it_whole_again() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    for hook in HOOKS {
        for parts in combinations() {
            let what = damage(&sandbox, &file, hook, &parts);
            println!("{what}");
            sandbox.veth(&["up", &file]).ok();
            sandbox.ping("red", "10.77.0.2");
            assert!(super::redirected(&sandbox, "red") > 0, "{what}: the fast path is not back");
            sandbox.veth(&["status", &file]).ok();
            sandbox.down("lab");
        }
    }
}

#[test]
#[ignore = "needs root"]
fn status_names_what_is_missing() {
    let cases = [
        ("ip link del blue", "port blue is missing", "create veth pair blue - eth0 in blue"),
        ("ip link del lab", "the bridge is missing", "create the bridge"),
        ("ip link set lab down", "the bridge is down", "set the bridge up"),
        ("ip link set red nomaster", "port red is not in the bridge", "make red a port"),
        ("ip -n red link set lo down", "lo is down in namespace red", "set lo of red up"),
        ("ip link set blue down", "port blue is left to the bridge", "make blue a port"),
        ("ip -n blue link set eth0 down", "port blue is left to the bridge", "eth0 in blue up"),
        ("umount /run/netns/red", "of namespace red only a file is left", "remove namespace red"),
    ];
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    for (script, problem, step) in cases {
        sandbox.veth(&["up", &file]).ok();
        assert_eq!(status(&sandbox, "lab")["problems"], serde_json::json!([]));
        sandbox.sh(script);

        let named = sandbox.veth(&["status", "lab"]);
        assert_eq!(named.code, 1, "{script}");
        assert!(named.stdout.contains(problem), "{script}: {}", named.stdout);
        assert_eq!(named.stderr, "", "{script}");
        let compared = sandbox.veth(&["status", &file]);
        assert_eq!(compared.code, 1, "{script}");
        assert!(compared.stdout.contains("differs from the file"), "{}", compared.stdout);
        assert!(compared.stdout.contains(step), "{script}: {}", compared.stdout);

        sandbox.veth(&["up", &file]).ok();
        sandbox.veth(&["status", &file]).ok();
        sandbox.down("lab");
    }
}

#[test]
#[ignore = "needs root"]
fn status_of_a_file_knows_of_a_member_of_which_nothing_is_left() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file]).ok();
    sandbox.sh("ip netns del red");
    // The port goes with its peer, when the kernel gets round to it.
    wait_until("the port to be gone", || !sandbox.sh("ip link").contains("red@"));
    let compared = sandbox.veth(&["status", &file]);
    assert_eq!(compared.code, 1);
    assert!(compared.stdout.contains("`veth up` would create namespace red"));
    sandbox.veth(&["up", &file]).ok();
    sandbox.veth(&["status", &file]).ok();
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn status_names_a_port_that_lost_its_program() {
    for (hook, script) in
        [("tcx", "rm /sys/fs/bpf/veth/lab/ports/*"), ("clsact", "tc qdisc del dev red clsact")]
    {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pair.toml", PAIR);
        sandbox.veth(&["up", &file, "--hook", hook]).ok();
        sandbox.sh(script);
        let named = sandbox.veth(&["status", "lab"]);
        assert_eq!(named.code, 1);
        let problem = "port red: the program is not attached";
        assert!(named.stdout.contains(problem), "{hook}: {}", named.stdout);

        sandbox.veth(&["up", &file]).ok();
        sandbox.veth(&["status", &file]).ok();
        sandbox.down("lab");
    }
}

#[test]
#[ignore = "needs root"]
fn status_of_a_file_that_is_not_up_lists_all_steps() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file]).ok();
    sandbox.sh("ip link del lab && ip link del red && ip netns del red && ip netns del blue");
    // Of the fabric only pins are left.
    let compared = sandbox.veth(&["status", &file, "--json"]);
    assert_eq!(compared.code, 1);
    let missing = compared.json()["missing"].to_string();
    for step in ["create the bridge", "create namespace red", "create veth pair blue"] {
        assert!(missing.contains(step), "{missing}");
    }
    sandbox.veth(&["down", &file]).ok();
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn fabric_of_which_only_namespaces_are_left_is_still_listed() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file]).ok();
    sandbox.sh("ip link del red && ip link del blue && ip link del lab && rm -r /sys/fs/bpf/veth");
    let all = sandbox.veth(&["status"]);
    assert!(all.stdout.contains("fabric lab"), "{}{}", all.stdout, all.stderr);
    assert_eq!(all.code, 1);
    sandbox.down("lab");
}
