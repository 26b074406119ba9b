//! An `up` that fails half way: it says why, takes back what it did, and leaves what was there.

use serde_json::json;

use super::{HOOKS, PAIR, conversation::Conversation, identities, redirected};
use crate::sandbox::{Run, Sandbox, VETH};

/// `veth up` with at most `descriptors` open files.
fn up_with(sandbox: &Sandbox, descriptors: u32, args: &[&str]) -> Run {
    let mut command = sandbox.command("prlimit");
    command.args([&format!("--nofile={descriptors}"), VETH, "up"]).args(args);
    Run::of(command)
}

#[test]
#[ignore = "needs root"]
fn up_that_runs_out_of_descriptors_leaves_nothing_wherever_it_is() {
    for hook in HOOKS {
        let sandbox = Sandbox::new();
        let file = sandbox.file("pair.toml", PAIR);
        let mut taken_back = 0;
        // With fewer, the process does not get as far as to read the file.
        for descriptors in 10.. {
            assert!(descriptors < 64, "a pair needs more than that");
            let run = up_with(&sandbox, descriptors, &[&file, "--hook", hook]);
            if run.code == 0 {
                break;
            }
            assert_eq!(run.code, 1, "{descriptors}: {}", run.stderr);
            assert!(!run.stderr.contains("panicked"), "{descriptors}: {}", run.stderr);
            taken_back += u32::from(run.stderr.contains("what had been done was taken back"));
            sandbox.assert_empty();
        }
        // In namespaces, in the object, in maps, in attachments.
        assert!(taken_back >= 4, "{hook}: only {taken_back} failures were half way");
        sandbox.ping("red", "10.77.0.2");
        assert!(redirected(&sandbox, "red") > 0);
        sandbox.down("lab");
    }
}

#[test]
#[ignore = "needs root"]
fn error_tells_each_cause_once() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    for descriptors in 9..20 {
        let run = up_with(&sandbox, descriptors, &[&file]);
        let error = run.stderr.replace("; what had been done was taken back", "");
        let causes: Vec<&str> = error.trim_end().split(": ").collect();
        let said_twice = causes.windows(2).any(|pair| pair[0] == pair[1]);
        assert!(!said_twice, "{descriptors}: {}", run.stderr);
    }
    sandbox.assert_empty();
}

#[test]
#[ignore = "needs root"]
fn datapath_that_cannot_be_added_leaves_the_fabric_without_one() {
    let without = PAIR.replace("name = \"lab\"", "name = \"lab\"\ndatapath = \"none\"");
    for hook in HOOKS {
        let sandbox = Sandbox::new();
        let tc = sandbox.file("tc.toml", PAIR);
        let none = sandbox.file("none.toml", &without);
        sandbox.veth(&["up", &none]).ok();
        let before = identities(&sandbox, &["red", "blue"]);
        let mut talk = Conversation::between(&sandbox, "red", "blue", "10.77.0.2");
        for descriptors in 12.. {
            assert!(descriptors < 64, "a pair needs more than that");
            if up_with(&sandbox, descriptors, &[&tc, "--hook", hook]).code == 0 {
                break;
            }
            talk.go_on();
            assert_eq!(before, identities(&sandbox, &["red", "blue"]));
            let pins = sandbox.sh("ls /sys/fs/bpf/veth 2>/dev/null || true");
            assert_eq!(pins, "", "{hook}, {descriptors} descriptors: pins are left");
        }
        sandbox.down("lab");
    }
}

#[test]
#[ignore = "needs root"]
fn edit_that_fails_half_way_is_taken_back() {
    let sandbox = Sandbox::new();
    let pair = sandbox.file("pair.toml", PAIR);
    // In the order of the file: a new member, another MTU, and then what the kernel will refuse.
    let edited = PAIR.replace(
        "[[netns]]\n    name = \"red\"",
        "mtu = 1400\n[[netns]]\nname = \"green\"\naddresses = [\"10.77.0.3/24\"]\n\
         [[netns]]\nname = \"red\"",
    );
    let edited = edited.replace("\"fd77::2/64\"", "\"fd77::2/64\", \"fd78::2/64\"");
    let edited = sandbox.file("edited.toml", &edited);
    sandbox.veth(&["up", &pair]).ok();
    sandbox.sh("ip netns exec blue sysctl -q -w net.ipv6.conf.eth0.disable_ipv6=1");
    // Somebody has switched IPv6 off inside, and its addresses are gone.
    let pair = sandbox.file("pair.toml", &PAIR.replace(", \"fd77::2/64\"", ""));
    assert_eq!(sandbox.veth(&["up", &pair, "--json"]).ok().json()["steps"], json!([]));
    let before = identities(&sandbox, &["red", "blue"]);
    let mut talk = Conversation::between(&sandbox, "red", "blue", "10.77.0.2");
    talk.go_on();

    let failed = sandbox.veth(&["up", &edited]);
    assert_ne!(failed.code, 0);
    assert!(failed.stderr.contains("fd77::2/64"), "{}", failed.stderr);
    assert!(failed.stderr.contains("what had been done was taken back"), "{}", failed.stderr);

    talk.go_on();
    assert_eq!(before, identities(&sandbox, &["red", "blue"]));
    assert!(sandbox.sh("ip link show red").contains("mtu 1500"));
    assert_eq!(sandbox.sh("ls /run/netns"), "blue\nred\n");
    // Nothing is left to do for the old file: it is as it was.
    assert_eq!(sandbox.veth(&["up", &pair, "--json"]).ok().json()["steps"], json!([]));
    sandbox.veth(&["status", &pair]).ok();
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn bpf_file_system_that_cannot_be_had_is_explained() {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    // There is nowhere to mount it on.
    sandbox.sh("mount -t tmpfs -o ro tmpfs /sys/fs");
    let run = sandbox.veth(&["up", &file]).fails(1, "mount the BPF file system on /sys/fs/bpf");
    assert!(run.stderr.contains("mount -t bpf bpf /sys/fs/bpf"), "{}", run.stderr);
    assert!(run.stderr.contains("what had been done was taken back"), "{}", run.stderr);
    sandbox.assert_empty();
    sandbox.sh("umount /sys/fs");

    // It is there, and nobody may write to it.
    sandbox.sh("mount -t bpf -o ro bpf /sys/fs/bpf");
    sandbox.veth(&["up", &file]).fails(1, "/sys/fs/bpf/veth/lab");
    sandbox.assert_empty();
    sandbox.sh("umount /sys/fs/bpf");

    sandbox.veth(&["up", &file]).ok();
    sandbox.ping("red", "10.77.0.2");
    sandbox.down("lab");
}
