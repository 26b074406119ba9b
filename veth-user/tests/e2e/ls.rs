//! `veth ls`: every pair is told with both ends, whatever namespaces they are in.
//!
//! The machine's processes are in sight of a private host, those of other tests included. So only
//! pairs with an end in the host are looked at, or those that a key chooses which nobody else has.

use std::fs;

use serde_json::{Value, json};
use veth_common::Mac;
use veth_user::netlink::{Netlink, NewDevice};

use crate::{
    lifecycle::PAIR,
    sandbox::{Run, Sandbox, Started, VETH, skip, wait_until},
};

/// Runs `veth ls --json ARGS`, and picks the pairs whose port is in the private host.
#[track_caller]
fn pairs(sandbox: &Sandbox, args: &[&str]) -> Vec<Value> {
    own(&sandbox.veth(&[&["ls", "--json"], args].concat()).ok())
}

#[track_caller]
fn own(run: &Run) -> Vec<Value> {
    let value = run.json();
    let pairs = value["pairs"].as_array().expect("pairs are a list").clone();
    pairs.into_iter().filter(|pair| pair["port"]["netns"]["own"] == true).collect()
}

/// The names of the ports.
fn ports(pairs: &[Value]) -> Vec<&str> {
    pairs.iter().map(|pair| pair["port"]["name"].as_str().expect("it was seen")).collect()
}

/// What `ip` says of a device; `options` choose the namespace.
#[track_caller]
fn device(sandbox: &Sandbox, options: &str, name: &str) -> Value {
    let text = sandbox.sh(&format!("ip -j {options} link show dev {name}"));
    let value: Value = serde_json::from_str(&text).expect("ip prints JSON");
    value[0].clone()
}

/// A process in a namespace of its own that has no name.
pub(crate) struct Lonely {
    pub(crate) pid: String,
    _process: Started,
}

impl Lonely {
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        let mut command = sandbox.command("unshare");
        command.args(["--net", "sh", "-c", "echo $$; exec sleep infinity"]);
        let mut process = Started::of(command);
        let pid = process.line();
        wait_until("the command to be sleep", || {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "sleep\n")
        });
        Self { pid, _process: process }
    }

    /// When it started, in ticks: the 22nd field, the 20th of those after the command.
    fn started_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("it runs");
        let (_, fields) = stat.rsplit_once(") ").expect("the command is in parentheses");
        fields.split(' ').nth(19).and_then(|it| it.parse().ok()).expect("the kernel tells")
    }
}

#[test]
#[ignore = "needs root"]
fn names_that_a_container_chooses_do_not_move_the_cursor() {
    let sandbox = Sandbox::new();
    sandbox.sh("for it in iptables ip6tables arptables; do \
                    it=/proc/sys/net/bridge/bridge-nf-call-$it; \
                    if [ -e $it ]; then echo 0 > $it; fi; done");
    sandbox.sh("ip link add lab type bridge && ip link set lab up && ip netns add red \
                && esc=$(printf '\\033') \
                && ip link add \"p${esc}[2Jx\" type veth peer name \"q${esc}[2Jx\" netns red \
                && ip link set \"p${esc}[2Jx\" master lab up");
    for args in [&["ls"][..], &["attach", "lab", "--dry-run"], &["attach", "lab", "--once"]] {
        let run = sandbox.veth(args).ok();
        assert!(!(run.stdout + &run.stderr).contains('\u{1b}'), "{args:?}");
    }
    for args in [&["status", "lab"][..], &["doctor", "lab"]] {
        let run = sandbox.veth(args);
        let text = run.stdout + &run.stderr;
        assert!(text.contains("?[2J") && !text.contains('\u{1b}'), "{args:?}: {text:?}");
    }
    sandbox.veth(&["detach", "lab"]).ok();
}

#[test]
#[ignore = "needs root"]
fn ports_of_a_fabric_are_told_with_their_namespaces() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file]).ok();

    let pairs = pairs(&sandbox, &[]);
    assert_eq!(ports(&pairs), ["red", "blue"]);
    for (pair, last) in pairs.iter().zip([1, 2]) {
        let (port, peer) = (&pair["port"], &pair["peer"]);
        let name = port["name"].as_str().expect("it was seen");
        let outer = device(&sandbox, "", name);
        let inner = device(&sandbox, &format!("-n {name}"), "eth0");
        assert_eq!(pair["kind"], "veth");
        assert_eq!(port["ifindex"], outer["ifindex"]);
        assert_eq!(port["mac"], outer["address"]);
        assert_eq!(port["bridge"], "lab");
        assert_eq!(peer["name"], "eth0");
        assert_eq!(peer["ifindex"], inner["ifindex"]);
        assert_eq!(peer["mac"], inner["address"]);
        assert_eq!(
            peer["addresses"],
            json!([format!("10.77.0.{last}/24"), format!("fd77::{last}/64")])
        );
        assert_eq!(peer["netns"]["names"], json!([name]));
        assert_eq!(peer["netns"]["inode"], sandbox.netns_inode(name));
        assert_eq!(peer["netns"]["containers"], json!([]));
    }
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn namespace_without_a_name_is_told_by_its_process() {
    let sandbox = Sandbox::new();
    let lonely = Lonely::start(&sandbox);
    let pid = &lonely.pid;
    sandbox.sh(&format!(
        "ip link add br0 type bridge && ip link add out0 type veth peer name in0 netns {pid} \
         && ip link set out0 master br0 && nsenter -t {pid} -n ip addr add 10.9.8.7/24 dev in0"
    ));

    // One line below the heading, that a person can read.
    let text = sandbox.veth(&["ls", pid]).ok().stdout;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    let inner: Value = {
        let text = sandbox.sh(&format!("nsenter -t {pid} -n ip -j link show dev in0"));
        serde_json::from_str(&text).expect("ip prints JSON")
    };
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    let (outer, inner) = (sandbox.ifindex("out0").to_string(), &inner[0]);
    let (ifindex, mac) = (inner["ifindex"].to_string(), inner["address"].as_str().expect("a MAC"));
    assert_eq!(
        words,
        ["out0", &outer, "br0", pid, "(sleep)", "in0", &ifindex, mac, "10.9.8.7/24", "-"]
    );

    let pairs = pairs(&sandbox, &[pid]);
    let process = &pairs[0]["peer"]["netns"]["process"];
    assert_eq!(process["pid"].to_string(), *pid);
    assert_eq!(process["command"], "sleep");
}

#[test]
#[ignore = "needs root"]
fn both_ends_may_be_in_one_namespace_or_both_in_others() {
    let sandbox = Sandbox::new();
    // One of the pairs has the same index at both ends, which alone tells nothing.
    sandbox.sh(
        "ip netns add red && ip netns add blue && ip link add here0 type veth peer name here1 \
         && ip -n red link add there0 index 77 type veth peer name there1 index 77 netns blue \
         && ip -n red link add both0 type veth peer name both1",
    );
    let pairs = pairs(&sandbox, &[]);
    assert_eq!(ports(&pairs).len(), 1, "{pairs:?}");
    let names = |pair: &Value| {
        let mut names = [&pair["port"]["name"], &pair["peer"]["name"]]
            .map(|name| name.as_str().expect("it was seen").to_owned());
        names.sort();
        names
    };
    assert_eq!(names(&pairs[0]), ["here0", "here1"]);
    assert_eq!(pairs[0]["peer"]["netns"]["own"], true);

    let inodes = ["red", "blue"].map(|netns| sandbox.netns_inode(netns));
    let all = sandbox.veth(&["ls", "--json"]).ok().json();
    let all = all["pairs"].as_array().expect("pairs are a list");
    let mut told: Vec<_> = all
        .iter()
        .filter(|pair| inodes.iter().any(|inode| pair["port"]["netns"]["inode"] == *inode))
        .map(|pair| (names(pair), pair["port"]["netns"] == pair["peer"]["netns"]))
        .collect();
    told.sort();
    let owned = |names: [&str; 2]| names.map(str::to_owned);
    assert_eq!(told, [(owned(["both0", "both1"]), true), (owned(["there0", "there1"]), false)]);
}

#[test]
#[ignore = "needs root"]
fn every_kind_of_key_finds_its_pair() {
    let sandbox = Sandbox::new();
    let lonely = Lonely::start(&sandbox);
    let pid = &lonely.pid;
    sandbox.sh(&format!(
        "ip netns add red && ip link add veth-red type veth peer name eth0 netns red \
         && ip link add veth-web type veth peer name eth0 netns {pid} \
         && ip link add veth-x type veth peer name veth-y"
    ));
    // As podman and runc leave it.
    let id = format!("{:0>64}", format!("feed{pid}"));
    let ticks = lonely.started_ticks();
    let write = |path: &str, text: &str| {
        let path = sandbox.path(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("/run is writable");
        fs::write(path, text).expect("/run is writable");
    };
    write(
        &format!("/run/runc/{id}/state.json"),
        &json!({ "id": id, "init_process_pid": pid.parse::<u32>().expect("a number"),
                 "init_process_start": ticks })
        .to_string(),
    );
    write(
        "/run/containers/storage/overlay-containers/containers.json",
        &json!([{ "id": id, "names": ["shop"] }]).to_string(),
    );

    let inner = device(&sandbox, "-n red", "eth0");
    let mac = inner["address"].as_str().expect("a MAC");
    for (key, port) in [
        ("red", "veth-red"),
        ("veth-red", "veth-red"),
        (mac, "veth-red"),
        (&mac.to_uppercase(), "veth-red"),
        (pid, "veth-web"),
        ("shop", "veth-web"),
        (&id, "veth-web"),
        (&id[..60], "veth-web"),
    ] {
        assert_eq!(ports(&pairs(&sandbox, &[key])), [port], "{key}");
    }
    let of_device = pairs(&sandbox, &["veth-web"]);
    assert_eq!(of_device[0]["peer"]["netns"]["containers"], json!([{ "id": id, "name": "shop" }]));
    // A device is found by the name of either end.
    assert_eq!(pairs(&sandbox, &["veth-x"]), pairs(&sandbox, &["veth-y"]));

    let none = "no-such-thing";
    sandbox.veth(&["ls", none]).fails(1, none);
    let run = sandbox.veth(&["ls", none, "--json"]).fails(1, none);
    assert_eq!(run.json(), json!({ "pairs": [], "unseen": [] }));

    // Another process has got that id since.
    write(
        &format!("/run/runc/{id}/state.json"),
        &json!({ "id": id, "init_process_pid": pid.parse::<u32>().expect("a number"),
                 "init_process_start": ticks + 1 })
        .to_string(),
    );
    sandbox.veth(&["ls", "shop"]).fails(1, "shop");
}

#[test]
#[ignore = "needs root"]
fn netkit_pairs_are_pairs() {
    let sandbox = Sandbox::new();
    let device = |name: &'static str, last| NewDevice {
        name,
        mac: Mac([2, 0, 0, 0, 0, last]),
        mtu_bytes: 1500,
        netns: None,
    };
    let made = sandbox.on_host(|| {
        Netlink::open().expect("a socket").create_netkit([&device("nk0", 1), &device("nk1", 2)])
    });
    match made {
        Ok(()) => {}
        Err(error) if error.is_unknown_kind() => return skip("this kernel has no netkit"),
        Err(error) => panic!("{error}"),
    }
    let here = pairs(&sandbox, &["nk0"]);
    assert_eq!(here[0]["kind"], "netkit");
    assert_eq!(here[0]["peer"]["netns"]["own"], true);

    sandbox.sh("ip netns add red && ip link set nk1 netns red");
    let pairs = pairs(&sandbox, &["nk0"]);
    assert_eq!(ports(&pairs), ["nk0"]);
    assert_eq!(pairs[0]["peer"]["name"], "nk1");
    assert_eq!(pairs[0]["peer"]["netns"]["names"], json!(["red"]));
}

#[test]
#[ignore = "needs root"]
fn what_cannot_be_looked_at_is_told() {
    let sandbox = Sandbox::new();
    let as_nobody_outside = |args: &[&str]| {
        let mut command = sandbox.command("unshare");
        command.args(["--user", "--map-root-user"]).args(args);
        Run::of(command)
    };
    if as_nobody_outside(&["true"]).code != 0 {
        return skip("user namespaces are forbidden on this machine");
    }
    // Nothing but the device leads to `hidden`; `empty` has no device.
    sandbox.sh("ip netns add red && ip netns add empty && ip netns add hidden \
         && ip link add veth-red type veth peer name eth0 netns red \
         && ip link add veth-gone type veth peer name eth0 netns hidden");
    let holder = fs::File::open(sandbox.path("/run/netns/hidden")).expect("it is there");
    sandbox.sh("ip netns del hidden");

    // Root sees of it what the kernel tells from here.
    let run = sandbox.veth(&["ls", "--json", "veth-gone"]).ok();
    assert!(run.stderr.contains("nothing in sight"), "{}", run.stderr);
    let pairs = own(&run);
    assert_eq!(pairs[0]["peer"]["name"], "eth0");
    assert_eq!(pairs[0]["peer"]["netns"], Value::Null);
    drop(holder);
    wait_until("the namespace to end", || !sandbox.sh("ip -o link").contains("veth-gone"));

    let run = as_nobody_outside(&[VETH, "ls"]).ok();
    for netns in ["red", "empty"] {
        let note = format!("namespace {netns} was not looked into");
        assert!(run.stderr.contains(&note), "{}", run.stderr);
    }
    let words: Vec<Vec<&str>> =
        run.stdout.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let ifindex = sandbox.ifindex("veth-red").to_string();
    let inner = device(&sandbox, "-n red", "eth0")["ifindex"].to_string();
    assert_eq!(
        words,
        [
            vec!["veth-red", &ifindex, "-", "red", "?", &inner, "?", "?", "-"],
            vec!["?", "?", "?", "empty", "?", "?", "?", "?", "-"],
        ]
    );
    let unseen = &as_nobody_outside(&[VETH, "ls", "--json", "empty"]).ok().json()["unseen"];
    assert_eq!(unseen[0]["netns"]["names"], json!(["empty"]));
    assert!(unseen[0]["reason"].as_str().is_some_and(|it| it.contains("not permitted")));
}
