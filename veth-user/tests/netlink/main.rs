//! The verbs of the netlink layer against the real kernel, each test in namespaces of its own, and
//! with the system's tools for a second opinion. They need root, and say so.

mod bypass;
mod devices;
mod offloads;
mod reach;
mod revisit;
mod routes;
mod statistics;
mod talk;

use std::{convert::Infallible, fs, io::Write as _, os::fd::AsFd as _, process::Command};

use veth_common::{Ifindex, Mac};
use veth_user::{
    netlink::{LinkChange, Netlink, NewDevice},
    netns::{self, Netns},
    view::Address,
};

const RED_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const BLUE_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
const MTU_BYTES: u32 = 1500;

/// Runs `work` in namespaces of its own.
fn private<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let root = nix::unistd::geteuid().is_root();
    assert!(root, "this test needs root: run `cargo xtask test` as root");
    netns::private(work).expect("root can make namespaces")
}

/// The same for work that waits for the kernel.
fn private_async(work: impl AsyncFnOnce() + Send) {
    private(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime can be made").block_on(work());
    });
}

/// A namespace in which nobody but the test sends anything: without IPv6, unless it asks for it.
fn namespace(name: &str) -> Netns {
    let prepare = || {
        fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")
            .expect("a new namespace's settings are writable");
        Ok::<_, Infallible>(())
    };
    let Ok((netns, ())) =
        Netns::create(name, "veth test", prepare).expect("a namespace can be made");
    netns
}

/// The namespaces `red` and `blue`, with an end of a veth pair in each, named as they are.
fn red_and_blue() -> [Netns; 2] {
    let [red, blue] = ["red", "blue"].map(namespace);
    Netlink::open()
        .expect("a socket")
        .create_veth([&device("red", RED_MAC, Some(&red)), &device("blue", BLUE_MAC, Some(&blue))])
        .expect("a pair can be made");
    [red, blue]
}

fn device<'a>(name: &'a str, mac: Mac, netns: Option<&'a Netns>) -> NewDevice<'a> {
    let netns = netns.map(|netns| netns.as_fd());
    NewDevice { name, mac, mtu_bytes: MTU_BYTES, netns }
}

/// Runs `work` in `netns`, with a socket of that namespace.
fn inside<T: Send>(netns: &Netns, work: impl FnOnce(&mut Netlink) -> T + Send) -> T {
    let work = || work(&mut Netlink::open().expect("a socket"));
    netns.run(work).expect("the namespace can be entered")
}

fn set_up(netlink: &mut Netlink, ifindex: Ifindex) {
    let up = LinkChange { up: Some(true), ..LinkChange::default() };
    netlink.change_link(ifindex, &up).expect("a device can be set up");
}

/// Gives the link an address with the length of its prefix in bits.
fn add_address(netlink: &mut Netlink, ifindex: Ifindex, ip: &str, prefix_len: u8) {
    let ip = ip.parse().expect("an address");
    netlink.add_address(ifindex, Address { ip, prefix_len }).expect("an address can be added");
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
