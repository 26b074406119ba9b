//! From `up` to `down`: what is made, what stays when it is done again, and that nothing is left.

mod adopt;
mod agent;
mod by_hand;
pub(crate) mod conversation;
mod edit;
mod failure;
mod foreign;

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use crate::sandbox::{Run, Sandbox, VETH};

/// Where a port can be hooked, as `--hook` has it.
const HOOKS: [&str; 2] = ["tcx", "clsact"];

/// Two namespaces and the fast path between them.
pub(crate) const PAIR: &str = r#"
    name = "lab"

    [[netns]]
    name = "red"
    addresses = ["10.77.0.1/24", "fd77::1/64"]

    [[netns]]
    name = "blue"
    addresses = ["10.77.0.2/24", "fd77::2/64"]
"#;

/// What a repeated `up` must not change: indexes of links, inodes of namespaces, and pins.
fn identities(sandbox: &Sandbox, names: &[&str]) -> Vec<(u64, u64)> {
    names.iter().map(|name| (sandbox.ifindex(name), sandbox.netns_inode(name))).collect()
}

/// The clsact filters on the ingress of a port, as `tc` lists them; empty without any.
fn filters(sandbox: &Sandbox, port: &str) -> String {
    sandbox.sh(&format!("tc filter show dev {port} ingress"))
}

/// Frames that the fast path took from a port.
fn redirected(sandbox: &Sandbox, port: &str) -> u64 {
    sandbox.counter("lab", port, "redirected").0
}

/// `status NAME --json`, whatever its exit code.
fn status(sandbox: &Sandbox, target: &str) -> Value {
    sandbox.veth(&["status", target, "--json"]).json()
}

#[test]
#[ignore = "needs root"]
fn up_and_down_work_with_either_hook() {
    for hook in HOOKS {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pair.toml", PAIR);

        sandbox.veth(&["up", &file, "--hook", hook]).ok();
        sandbox.ping("red", "10.77.0.2");
        sandbox.ping("blue", "fd77::1");
        assert!(redirected(&sandbox, "red") >= 2, "{hook}: the fast path took nothing");
        for port in status(&sandbox, "lab")["ports"].as_array().expect("there are ports") {
            assert_eq!(port["hook"], hook);
            assert_eq!(port["fast"], true);
        }
        for port in ["red", "blue"] {
            assert_eq!(filters(&sandbox, port).contains("tc_ingress"), hook == "clsact");
        }

        sandbox.down("lab");
    }
}

#[test]
#[ignore = "needs root"]
fn second_up_does_nothing() {
    for hook in HOOKS {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pair.toml", PAIR);
        let first = sandbox.veth(&["up", &file, "--hook", hook, "--json"]).ok().json();
        assert!(!first["steps"].as_array().expect("steps are a list").is_empty());
        let before = (sandbox.ifindex("lab"), identities(&sandbox, &["red", "blue"]));

        for arguments in [&["up", &file, "--json"][..], &["up", &file, "--hook", hook, "--json"]] {
            let again = sandbox.veth(arguments).ok().json();
            assert_eq!(again["steps"], json!([]));
            let datapath = &again["datapath"];
            for count in ["attached", "replaced", "detached", "stations"] {
                assert_eq!(datapath[count], 0, "{hook}: {count}");
            }
            let nothing = json!({ "added": 0, "changed": 0, "removed": 0, "left_out": 0 });
            assert_eq!(datapath["tables"], nothing);
        }
        let text = sandbox.veth(&["up", &file]).ok().stdout;
        assert_eq!(text, "fabric lab was up as the file says (2 namespaces)\n");

        assert_eq!(before, (sandbox.ifindex("lab"), identities(&sandbox, &["red", "blue"])));
        sandbox.veth(&["down", &file]).ok();
        sandbox.assert_empty();
    }
}

#[test]
#[ignore = "needs root"]
fn second_down_is_fine() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file]).ok();
    sandbox.veth(&["down", "lab"]).ok();
    for target in ["lab", &file] {
        let again = sandbox.veth(&["down", target, "--json"]).ok().json();
        assert_eq!(again["steps"], json!([]));
        assert_eq!(again["had_datapath"], false);
    }
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn dry_run_makes_nothing() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    let dry = sandbox.veth(&["up", "--dry-run", &file, "--json"]).ok().json();
    sandbox.assert_empty();
    // It is the very plan that is then carried out.
    let wet = sandbox.veth(&["up", &file, "--json"]).ok().json();
    assert_eq!(dry["steps"], wet["steps"]);
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn pins_are_for_root_alone() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file]).ok();
    for dir in ["/sys/fs/bpf/veth", "/sys/fs/bpf/veth/lab", "/sys/fs/bpf/veth/lab/ports"] {
        let mode = fs::metadata(sandbox.path(dir)).expect("the directory is there").permissions();
        assert_eq!(mode.mode() & 0o7777, 0o700, "{dir}");
    }
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn frames_go_on_when_no_veth_process_exists() {
    for hook in HOOKS {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pair.toml", PAIR);
        sandbox.veth(&["up", &file, "--hook", hook]).ok();
        assert_eq!(processes(&sandbox), "");
        sandbox.ping("red", "10.77.0.2");
        let before = redirected(&sandbox, "red");
        sandbox.ping("red", "10.77.0.2");
        assert!(redirected(&sandbox, "red") > before);
        sandbox.down("lab");
    }
}

/// The veth processes in the namespace of this host.
fn processes(sandbox: &Sandbox) -> String {
    sandbox.sh(&format!(
        "for pid in /proc/[0-9]*; do \
           [ \"$(readlink $pid/exe)\" = {VETH} ] \
           && [ \"$(readlink $pid/ns/net)\" = \"$(readlink /proc/self/ns/net)\" ] && echo $pid; \
         done; true"
    ))
}

#[test]
#[ignore = "needs root"]
fn two_fabrics_live_side_by_side() {
    let sandbox = Sandbox::new();
    let lab = sandbox.file("lab.toml", PAIR);
    let other = PAIR.replace("lab", "den").replace("red", "fox").replace("blue", "cub");
    let den = sandbox.file("den.toml", &other);
    sandbox.veth(&["up", &lab]).ok();
    sandbox.veth(&["up", &den, "--hook", "clsact"]).ok();
    let all = sandbox.veth(&["status", "--json"]).ok().json();
    let names: Vec<&Value> =
        all.as_array().expect("a list").iter().map(|it| &it["fabric"]).collect();
    assert_eq!(names, ["den", "lab"]);

    sandbox.veth(&["down", "den"]).ok();
    sandbox.ping("red", "10.77.0.2");
    assert!(redirected(&sandbox, "red") > 0);
    assert_eq!(sandbox.veth(&["up", &lab, "--json"]).ok().json()["steps"], json!([]));
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn completions_and_man_pages_need_no_privileges() {
    let sandbox = Sandbox::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = without_capabilities(&sandbox, &["completions", shell]).ok().stdout;
        assert!(text.contains("veth") && text.contains("status"), "{shell}: {text}");
    }
    let dir = sandbox.file("man", "");
    fs::remove_file(&dir).expect("it was just written");
    fs::create_dir(&dir).expect("the name is free");
    without_capabilities(&sandbox, &["man", &dir]).ok();
    for page in ["veth.1", "veth-up.1", "veth-status.1", "veth-agent.1"] {
        let text = fs::read_to_string(format!("{dir}/{page}")).expect("the page is written");
        assert!(text.contains(".TH"), "{page}");
    }
    sandbox.assert_empty();
}

/// Runs `veth ARGS` as a root that may do nothing that root may.
fn without_capabilities(sandbox: &Sandbox, args: &[&str]) -> Run {
    let mut command = sandbox.command("setpriv");
    command.args(["--bounding-set=-net_admin,-sys_admin,-bpf", "--", VETH]).args(args);
    Run::of(command)
}
