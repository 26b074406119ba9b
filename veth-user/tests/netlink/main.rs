//! The verbs of the netlink layer against the real kernel, each test in namespaces of its own, and
//! with the system's tools for a second opinion. They need root, and say so.

mod offloads;

use std::{fs, io::Write as _, os::fd::OwnedFd, process::Command};

use veth_common::{Ifindex, Mac};
use veth_user::{
    netlink::{Netlink, VethPair},
    netns,
};

const RED_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const BLUE_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);

/// Runs `work` in namespaces of its own.
fn private<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let root = nix::unistd::geteuid().is_root();
    assert!(root, "this test needs root: run `cargo xtask test` as root");
    netns::private(work).expect("root can make namespaces")
}

/// The network namespace of the calling thread.
fn here() -> OwnedFd {
    fs::File::open("/proc/thread-self/ns/net").expect("a thread has a namespace").into()
}

/// A veth pair, `red` and `blue`, with both ends here.
fn veth_pair(netlink: &mut Netlink) -> [Ifindex; 2] {
    let here = here();
    let pair = VethPair {
        port: "red",
        port_mac: RED_MAC,
        peer: "blue",
        peer_mac: BLUE_MAC,
        peer_netns: std::os::fd::AsFd::as_fd(&here),
        mtu_bytes: 1500,
    };
    netlink.create_veth_pair(&pair).expect("a pair can be made");
    ["red", "blue"].map(|name| ifindex(netlink, name))
}

fn ifindex(netlink: &mut Netlink, name: &str) -> Ifindex {
    netlink.link_by_name(name).expect("links are readable").expect("the link is there").ifindex
}

/// What `program` prints when run here; `None` when it is not installed.
#[track_caller]
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = match Command::new(program).args(args).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{program}: {error}"),
    };
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    Some(String::from_utf8(output.stdout).expect("tools print text"))
}

/// Notes that something goes untested, and why; `cargo xtask test` lists it at its end.
fn skip(what: &str) {
    println!("skipped: {what}");
    if let Some(path) = std::env::var_os("VETH_TEST_SKIPS") {
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| writeln!(file, "{what}"))
            .expect("the list of skipped tests is writable");
    }
}
