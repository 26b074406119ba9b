//! A machine of its own for each test: a private network namespace as the host, a private
//! `/run`, and a BPF file system that nobody else sees.

use std::{
    fs::{self, File},
    io::Read as _,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CloneFlags, setns},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

/// The binary under test.
pub(crate) const VETH: &str = env!("CARGO_BIN_EXE_veth");

/// How long anything may take that the tests wait for. Generous, because it is no measurement:
/// it only ends a test that would otherwise hang.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// A private host. It vanishes, with everything in it, when it is dropped.
pub(crate) struct Sandbox {
    /// Holds the namespaces open.
    holder: Child,
    /// For files of the test.
    dir: PathBuf,
}

impl Sandbox {
    /// Makes one.
    pub(crate) fn new() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test needs root: run `cargo xtask test` as root"
        );
        // The BPF file system is left for veth to mount, as on a machine that has none.
        let script = "mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up \
                      && { umount -l /sys/fs/bpf 2>/dev/null; echo ready; exec sleep infinity; }";
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private", "sh", "-c", script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare is part of util-linux");
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("stdout is piped");
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line)
            .expect("the holder's stdout is readable");
        assert_eq!(line, "ready\n", "the private host could not be set up");
        let dir = std::env::temp_dir().join(format!("veth-e2e-{}", holder.id()));
        fs::create_dir_all(&dir).expect("the temporary directory is writable");
        Self { holder, dir }
    }

    /// A command that runs in this host.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.holder.id().to_string(), "--net", "--mount", "--", program]);
        command
    }

    /// `veth ARGS`, not started yet.
    pub(crate) fn veth_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(VETH);
        command.args(args);
        command
    }

    /// Runs `veth ARGS` to its end.
    pub(crate) fn veth(&self, args: &[&str]) -> Run {
        Run::of(self.veth_command(args))
    }

    /// Runs a tool of the system, and fails the test when it fails.
    #[track_caller]
    pub(crate) fn sh(&self, script: &str) -> String {
        let mut command = self.command("sh");
        command.args(["-c", script]);
        let run = Run::of(command);
        assert_eq!(run.code, 0, "{script}: {}{}", run.stdout, run.stderr);
        run.stdout
    }

    /// Starts `veth ARGS`, and lets it run.
    pub(crate) fn start(&self, args: &[&str]) -> Started {
        Started::of(self.veth_command(args))
    }

    /// Where a path of this host is for the test itself.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.holder.id()))
    }

    /// The index of a device of this host.
    #[track_caller]
    pub(crate) fn ifindex(&self, device: &str) -> u64 {
        let text = self.sh(&format!("ip -j link show dev {device}"));
        let value: Value = serde_json::from_str(&text).expect("ip prints JSON");
        value[0]["ifindex"].as_u64().expect("a device has an index")
    }

    /// The inode of a namespace, which no other one has while it exists.
    #[track_caller]
    pub(crate) fn netns_inode(&self, netns: &str) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        let path = self.path(&format!("/run/netns/{netns}"));
        fs::metadata(path).expect("the namespace exists").ino()
    }

    /// Sends one echo request from a namespace, and fails the test when there is no answer.
    #[track_caller]
    pub(crate) fn ping(&self, from: &str, to: &str) {
        self.sh(&format!("ip netns exec {from} ping -n -q -c 1 -W 10 {to}"));
    }

    /// Writes a file of the test, and says where.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.file_path(name);
        fs::write(&path, text).expect("the temporary directory is writable");
        path
    }

    /// Where a file of the test is, or would be.
    pub(crate) fn file_path(&self, name: &str) -> String {
        self.dir.join(name).to_str().expect("the path is text").to_owned()
    }

    /// Runs `work` on a thread inside the namespace called `netns`.
    pub(crate) fn inside<T: Send>(&self, netns: &str, work: impl FnOnce() -> T + Send) -> T {
        let path = format!("/proc/{}/root/run/netns/{netns}", self.holder.id());
        in_netns(&path, work)
    }

    /// Runs `work` on a thread inside the host's own namespace.
    pub(crate) fn on_host<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_netns(&format!("/proc/{}/ns/net", self.holder.id()), work)
    }

    /// `stats --json` of a fabric.
    #[track_caller]
    pub(crate) fn stats(&self, fabric: &str) -> Value {
        self.veth(&["stats", fabric, "--json"]).ok().json()
    }

    /// One counter of one port: `(frames, bytes, segments)`.
    #[track_caller]
    pub(crate) fn counter(&self, fabric: &str, port: &str, verdict: &str) -> (u64, u64, u64) {
        counter_in(&self.stats(fabric), port, verdict)
    }

    /// A statistic of a device of the host, as `/sys/class/net/DEV/statistics` names it.
    #[track_caller]
    pub(crate) fn device_counter(&self, device: &str, name: &str) -> u64 {
        // sysfs shows the namespace of whoever mounted it, so the tool is asked instead.
        let text = self.sh(&format!("ip -j -s -s link show dev {device}"));
        let value: Value = serde_json::from_str(&text).expect("ip prints JSON");
        let (direction, name) = name.split_once('_').expect("as in rx_packets");
        value[0]["stats64"][direction][name].as_u64().expect("the device has that statistic")
    }

    /// Takes a fabric down, after which nothing may be left.
    #[track_caller]
    pub(crate) fn down(&self, fabric: &str) {
        self.veth(&["down", fabric]).ok();
        self.assert_empty();
    }

    /// Fails the test unless nothing of any fabric is left.
    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        wait_until("links to be gone", || self.sh("ip -o link | grep -vc ' lo:' || true") == "0\n");
        assert_eq!(self.sh("ls /run/netns"), "", "namespaces are left");
        assert_eq!(self.sh("ls /sys/fs/bpf/veth 2>/dev/null || true"), "", "pins are left");
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// One counter in the output of `stats --json`: `(frames, bytes, segments)`.
#[track_caller]
pub(crate) fn counter_in(stats: &Value, port: &str, verdict: &str) -> (u64, u64, u64) {
    let ports = stats["ports"].as_array().expect("stats have ports");
    let port = ports.iter().find(|it| it["name"] == port).expect("the fabric has that port");
    let counter = &port["verdicts"][verdict];
    let field = |name: &str| counter[name].as_u64().expect("every verdict is there");
    (field("frames"), field("bytes"), field("segments"))
}

/// Waits until `condition` holds; fails the test when it never does.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn in_netns<T: Send>(path: &str, work: impl FnOnce() -> T + Send) -> T {
    let netns = File::open(path).expect("the namespace exists");
    thread::scope(|scope| {
        let worker = scope.spawn(move || {
            setns(netns, CloneFlags::CLONE_NEWNET).expect("root may enter it");
            work()
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// A command that runs. It is killed when the test ends before it does.
pub(crate) struct Started(Option<Child>);

impl Started {
    /// Starts `command`.
    pub(crate) fn of(mut command: Command) -> Self {
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(Some(command.spawn().expect("the command exists")))
    }

    /// Sends it a signal. `nsenter` becomes the command, so it is the command that gets it.
    pub(crate) fn signal(&self, signal: Signal) {
        let child = self.0.as_ref().expect("it was not waited for");
        let pid = i32::try_from(child.id()).expect("a process id is positive");
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(pid), signal);
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.as_ref().expect("it was not waited for").id()
    }

    /// Whether it has begun to listen for a signal.
    pub(crate) fn catches(&self, signal: Signal) -> bool {
        let child = self.0.as_ref().expect("it was not waited for");
        let status = fs::read_to_string(format!("/proc/{}/status", child.id()));
        let status = status.expect("it has not been waited for, so it is there");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
        let mask = u64::from_str_radix(mask.trim(), 16).expect("is a mask in hexadecimal");
        mask & (1 << (signal as i32 - 1)) != 0
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let child = self.0.as_mut().expect("it was not waited for");
        let stdout = child.stdout.as_mut().expect("stdout is piped");
        // Byte by byte, so that nothing of what follows is swallowed.
        let (mut line, mut byte) = (Vec::new(), [0]);
        while stdout.read(&mut byte).expect("its output is readable") == 1 && byte != *b"\n" {
            line.extend(byte);
        }
        String::from_utf8(line).expect("it prints text")
    }

    /// Waits until it ends.
    pub(crate) fn wait(mut self) -> Run {
        let child = self.0.take().expect("it is waited for once");
        child.wait_with_output().expect("its output is readable").into()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        let child = self.0.as_mut().expect("it was not waited for");
        child.try_wait().expect("it is a child").is_none()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How many frames the machine has dropped because the queue of a CPU was full: of any namespace, and of
/// any kind of bridge. Tests run side by side, and some of them send floods.
pub(crate) fn dropped_by_machine() -> u64 {
    let text = fs::read_to_string("/proc/net/softnet_stat").expect("is readable");
    let dropped = |line: &str| {
        let field = line.split(' ').nth(1).expect("what was dropped is the second field");
        u64::from_str_radix(field, 16).expect("is a number")
    };
    text.lines().map(dropped).sum()
}

/// Notes that something goes untested, and why; `cargo xtask test` lists it at its end.
pub(crate) fn skip(what: &str) {
    println!("skipped: {what}");
    if let Some(path) = std::env::var_os("VETH_TEST_SKIPS") {
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        let note =
            |mut file: File| std::io::Write::write_all(&mut file, format!("{what}\n").as_bytes());
        file.and_then(note).expect("the list of skipped tests is writable");
    }
}

/// A command that has run.
#[derive(Debug)]
pub(crate) struct Run {
    /// Its exit code; 128 plus the signal when it was killed.
    pub(crate) code: i32,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it complained about.
    pub(crate) stderr: String,
}

impl Run {
    /// Runs `command` to its end.
    pub(crate) fn of(mut command: Command) -> Self {
        command.stdin(Stdio::null()).output().expect("the command exists").into()
    }

    /// Fails the test unless it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless it failed with `code` and an error that contains `text`.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, text: &str) -> Self {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        assert!(self.stderr.contains(text), "{text:?} is not in: {}", self.stderr);
        self
    }

    /// Its output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).expect("prints JSON")
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        use std::os::unix::process::ExitStatusExt as _;
        let killed = || output.status.signal().map_or(-1, |signal| 128 + signal);
        Self {
            code: output.status.code().unwrap_or_else(killed),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
