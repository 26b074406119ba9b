//! Private hosts: what is made in one is not seen outside, and ends with it, however it ends.
//!
//! The tests need root, and say so. Each one's outside is a private host as well, so that it knows
//! all that is there.

use std::{
    convert::Infallible,
    env,
    fs::{self, File},
    io::{BufRead as _, BufReader},
    os::fd::{AsFd as _, OwnedFd},
    panic::{self, AssertUnwindSafe},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use veth_common::Mac;
use veth_user::{
    netlink::{Netlink, VethPair},
    netns::{self, Named, Netns},
};

/// Longer than the kernel takes to end a namespace; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the outside of the outermost private host is in sight from within: its root directory is
/// that of the process's first thread, which never leaves it.
const MACHINE: &str = "/proc/self/root";

const PINS: &str = "/sys/fs/bpf/veth-test";

/// Runs `work` in a private host.
fn private<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let root = nix::unistd::geteuid().is_root();
    assert!(root, "this test needs root: run `cargo xtask test` as root");
    netns::private(work).expect("root can make namespaces")
}

fn here() -> OwnedFd {
    File::open("/proc/thread-self/ns/net").expect("a thread has a namespace").into()
}

fn create(name: &str) -> Netns {
    let Ok((netns, ())) = Netns::create(name, "veth test", || Ok::<_, Infallible>(()))
        .expect("a namespace can be made");
    netns
}

fn links() -> Vec<String> {
    let mut netlink = Netlink::open().expect("a socket");
    netlink.links().expect("links are readable").into_iter().map(|link| link.name).collect()
}

/// Makes one of everything: a named namespace, a pin directory, and a veth pair from that namespace
/// to `outside`. Its outer end goes when the namespace does.
fn make_things(outside: &OwnedFd) {
    let netns = create("inner");
    fs::create_dir(PINS).expect("the BPF file system is writable");
    let make = || {
        let pair = VethPair {
            port: "in",
            port_mac: Mac([2, 0, 0, 0, 0, 1]),
            peer: "out",
            peer_mac: Mac([2, 0, 0, 0, 0, 2]),
            peer_netns: outside.as_fd(),
            mtu_bytes: 1500,
        };
        Netlink::open().expect("a socket").create_veth_pair(&pair).expect("a pair can be made");
    };
    netns.run(make).expect("the namespace can be entered");
}

/// What there is here.
#[derive(Debug, PartialEq, Eq)]
struct Inventory {
    links: Vec<String>,
    namespaces: Vec<String>,
    mounts: String,
    has_pins: bool,
}

impl Inventory {
    fn take() -> Self {
        Self {
            links: links(),
            namespaces: netns::names().expect("names are readable"),
            mounts: fs::read_to_string("/proc/thread-self/mountinfo").expect("mounts are readable"),
            has_pins: Path::new(PINS).exists(),
        }
    }

    /// Asserts that nothing else is here, or soon will be: the kernel ends namespaces behind the
    /// back of who held them last.
    #[track_caller]
    fn assert_is_all(&self) {
        let deadline = Instant::now() + PATIENCE;
        while links() != self.links && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(Self::take(), *self);
    }
}

#[test]
#[ignore = "needs root"]
fn host_is_empty_and_out_of_sight() {
    let name = format!("vt-{}-private", std::process::id());
    let outside = netns::current_inode().expect("a thread has a namespace");
    private(|| {
        let inside = netns::current_inode().expect("a thread has a namespace");
        assert_ne!(inside, outside);
        assert_eq!(fs::read_dir("/run").expect("readable").count(), 0, "nothing is in /run");

        let netns = create(&name);
        fs::create_dir(PINS).expect("the BPF file system is writable");
        assert_eq!(netns::names().expect("readable"), [name.as_str()]);
        assert!(matches!(Netns::look_up(&name), Ok(Named::Namespace(_))));
        let theirs = netns.run(netns::current_inode).expect("it can be entered");
        assert_eq!(theirs.expect("a thread has one"), netns.inode().expect("it has an inode"));
        let inherited = thread::scope(|scope| {
            scope.spawn(netns::current_inode).join().expect("does not panic")
        });
        assert_eq!(inherited.expect("a thread has one"), inside);

        for path in [&format!("{}/{name}", netns::NETNS_DIR), PINS] {
            assert!(Path::new(path).exists(), "{path} is here");
            assert!(!Path::new(&format!("{MACHINE}{path}")).exists(), "{path} is out of sight");
        }
        netns::remove(&name).expect("it can be removed");
        assert!(matches!(Netns::look_up(&name), Ok(Named::Absent)));
    });
    assert_eq!(netns::current_inode().expect("a thread has a namespace"), outside);
}

#[test]
#[ignore = "needs root"]
fn nothing_is_left_when_the_work_is_done() {
    private(|| {
        let (outside, before) = (here(), Inventory::take());
        private(|| make_things(&outside));
        before.assert_is_all();
    });
}

#[test]
#[ignore = "needs root"]
fn nothing_is_left_when_the_work_panics() {
    private(|| {
        let (outside, before) = (here(), Inventory::take());
        let work = || -> () {
            make_things(&outside);
            panic!("on purpose");
        };
        let panicked = panic::catch_unwind(AssertUnwindSafe(|| private(work)));
        let panic = panicked.expect_err("the panic is handed on");
        assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
        before.assert_is_all();
    });
}

/// Tells the child of the next test from its parent.
const IS_CHILD: &str = "VETH_TEST_PRIVATE_CHILD";

#[test]
#[ignore = "needs root"]
fn nothing_is_left_when_the_process_is_killed() {
    if env::var_os(IS_CHILD).is_some() {
        wait_inside_to_be_killed();
    }
    private(|| {
        let before = Inventory::take();
        let mut child = Command::new(env::current_exe().expect("a process has a file"))
            .args(["--exact", "nothing_is_left_when_the_process_is_killed"])
            .args(["--include-ignored", "--nocapture"])
            .env(IS_CHILD, "yes")
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program can be run");
        let stdout = child.stdout.take().expect("stdout is piped");
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        let is_inside = lines.into_iter().any(|line| line.ends_with("inside"));
        let links_meanwhile = links();
        child.kill().expect("a child can be killed");
        child.wait().expect("a child can be waited for");
        assert!(is_inside, "the child did not get inside");
        assert!(links_meanwhile.contains(&"out".to_owned()), "{links_meanwhile:?}");
        before.assert_is_all();
    });
}

fn wait_inside_to_be_killed() -> ! {
    let outside = here();
    private(|| {
        make_things(&outside);
        println!("inside");
        loop {
            thread::park();
        }
    })
}
