//! A fabric with an agent, and a look into the maps that the agent keeps true.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use aya::maps::{HashMap, Map, MapData};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use veth_common::{FdbEntry, FdbFlags, Ifindex, Mac, MacKey, PortEntry, names};

use crate::{
    sandbox::{PATIENCE, Sandbox, skip, wait_until},
    traffic::{
        TRIO,
        talk::{End, end, is_reachable, mac},
    },
};

/// The fabric `lab`, with red, blue, green and grey.
pub(crate) struct Lab {
    pub(crate) sandbox: Sandbox,
    pub(crate) file: String,
    pub(crate) agent: Agent,
    pub(crate) maps: Maps,
}

impl Lab {
    pub(crate) fn up() -> Self {
        Self::up_with(&[])
    }

    /// The same over one of the fast paths. That it is what the file says, too, so that another `up`
    /// changes nothing.
    pub(crate) fn over(datapath: &str) -> Self {
        let text = format!("datapath = \"{datapath}\"\n{TRIO}");
        Self::up_as(&text, &[])
    }

    pub(crate) fn up_with(options: &[&str]) -> Self {
        Self::up_as(TRIO, options)
    }

    fn up_as(topology: &str, options: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let file = sandbox.file("lab.toml", topology);
        sandbox.veth(&[&["up", &file], options].concat()).ok();
        let agent = Agent::start(&sandbox);
        let maps = Maps::open(&sandbox);
        Self { sandbox, file, agent, maps }
    }

    /// Does `script`, waits until the maps have followed, and prints how long that took at most:
    /// the time of the script is in it.
    #[track_caller]
    pub(crate) fn follow(&self, what: &str, script: &str, followed: impl Fn(&Maps) -> bool) {
        let started = Instant::now();
        self.sandbox.sh(script);
        let done = started.elapsed();
        while !followed(&self.maps) {
            let said = || self.agent.lines.lock().expect("no panic").clone();
            assert!(started.elapsed() < PATIENCE, "{what}: the maps never followed: {:?}", said());
            thread::sleep(Duration::from_micros(200));
        }
        let (all, after) = (started.elapsed(), started.elapsed().saturating_sub(done));
        println!("{what}: followed {all:.1?} after its command began, {after:.1?} after its end");
    }

    /// See [`kernel_has_vlan_filtering`].
    pub(crate) fn kernel_has_vlan_filtering(&self) -> bool {
        kernel_has_vlan_filtering(&self.sandbox)
    }

    pub(crate) fn mac(&self, member: &str) -> Mac {
        mac(&self.sandbox, Some(member), "eth0")
    }

    /// The index of a device of the host.
    pub(crate) fn port(&self, name: &str) -> Ifindex {
        let index = self.sandbox.ifindex(name);
        Ifindex(u32::try_from(index).expect("the kernel's are not larger"))
    }

    /// What a verdict has counted on a port.
    #[track_caller]
    pub(crate) fn counted(&self, port: &str, verdict: &str) -> u64 {
        self.sandbox.counter("lab", port, verdict).0
    }

    /// Waits until datagrams from one end to the other arrive, and are counted as `verdict`.
    #[track_caller]
    pub(crate) fn expect_verdict(&self, from: End<'_>, to: End<'_>, verdict: &str) {
        wait_until(&format!("{from:?} to {to:?} as {verdict}"), || {
            let before = self.counted(from.netns, verdict);
            is_reachable(&self.sandbox, from, to) && self.counted(from.netns, verdict) > before
        });
    }

    /// Waits until both ends talk to each other over the fast path.
    #[track_caller]
    pub(crate) fn expect_fast(&self, one: End<'_>, other: End<'_>) {
        self.expect_verdict(one, other, "redirected");
        self.expect_verdict(other, one, "redirected");
    }

    pub(crate) fn down(self) {
        let Self { sandbox, agent, maps, .. } = self;
        drop(maps);
        agent.stop();
        sandbox.down("lab");
    }
}

/// Whether bridges can filter VLANs here (`CONFIG_BRIDGE_VLAN_FILTERING`, of any version); says so
/// when they cannot, because something then goes untested.
pub(crate) fn kernel_has_vlan_filtering(sandbox: &Sandbox) -> bool {
    let try_it = "ip link add probe type bridge vlan_filtering 1 2>&1 || true";
    let answer = sandbox.sh(&format!("{try_it}; ip link del probe 2>/dev/null || true"));
    assert!(answer.is_empty() || answer.contains("not supported"), "{answer}");
    if !answer.is_empty() {
        skip("VLAN filtering: this kernel's bridges have none (CONFIG_BRIDGE_VLAN_FILTERING)");
    }
    answer.is_empty()
}

pub(crate) fn red() -> End<'static> {
    end("red", "10.77.0.1")
}

pub(crate) fn blue() -> End<'static> {
    end("blue", "10.77.0.2")
}

pub(crate) fn green() -> End<'static> {
    end("green", "10.77.0.3")
}

/// The maps of the fabric, as the program sees them.
pub(crate) struct Maps {
    fdb: HashMap<MapData, MacKey, FdbEntry>,
    ports: HashMap<MapData, Ifindex, PortEntry>,
}

impl Maps {
    pub(crate) fn open(sandbox: &Sandbox) -> Self {
        let map = |name| {
            let pin = sandbox.path(&format!("/sys/fs/bpf/veth/lab/{name}"));
            let data = MapData::from_pin(pin).expect("the map is pinned");
            Map::from_map_data(data).expect("is a map of a known kind")
        };
        Self {
            fdb: HashMap::try_from(map(names::MAP_FDB)).expect("is a hash map"),
            ports: HashMap::try_from(map(names::MAP_PORTS)).expect("is a hash map"),
        }
    }

    pub(crate) fn station(&self, mac: Mac) -> Option<FdbEntry> {
        self.fdb.get(&MacKey::of(mac), 0).ok()
    }

    /// Whether frames from and to a station may take the fast path, through that port.
    pub(crate) fn serves(&self, mac: Mac, port: Ifindex) -> bool {
        let both = FdbFlags::SOURCE.with(FdbFlags::TARGET);
        self.station(mac).is_some_and(|it| it.port == port && it.flags.contains(both))
    }

    /// Whether neither frames from nor frames to a station may take the fast path.
    pub(crate) fn leaves_alone(&self, mac: Mac) -> bool {
        self.station(mac).is_none_or(|it| {
            !it.flags.contains(FdbFlags::SOURCE) && !it.flags.contains(FdbFlags::TARGET)
        })
    }

    pub(crate) fn has_port(&self, port: Ifindex) -> bool {
        self.ports.get(&port, 0).is_ok()
    }
}

/// `veth agent lab --json`, or `veth attach lab --json`, running.
pub(crate) struct Agent {
    child: Child,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Agent {
    /// Starts one, and waits until it is ready.
    pub(crate) fn start(sandbox: &Sandbox) -> Self {
        Self::start_as(sandbox, &["agent", "lab", "--json"])
    }

    /// The same with another command that keeps maps true.
    pub(crate) fn start_as(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let mut child = sandbox
            .veth_command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("veth starts");
        let stdout = BufReader::new(child.stdout.take().expect("is piped"));
        let lines = Arc::<Mutex<Vec<Value>>>::default();
        let said = Arc::clone(&lines);
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("each line is JSON");
                said.lock().expect("no panic").push(line);
            }
        });
        let agent = Self { child, lines };
        wait_until("the agent to be ready", || !agent.said().is_empty());
        agent
    }

    /// What it has said so far, one value for each round that changed something.
    pub(crate) fn said(&self) -> Vec<Value> {
        self.lines.lock().expect("no panic").clone()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).expect("is a process id");
        kill(Pid::from_raw(id), signal).expect("it runs");
    }

    /// Waits until it ends by itself, and says how.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        wait_until("the agent to end", || {
            self.child.try_wait().expect("can be looked at").is_some()
        });
        self.child.wait().expect("has ended").code()
    }

    /// Asks it to stop, as a service manager does.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(Signal::SIGTERM);
        assert_eq!(self.exit_code(), Some(0));
    }

    /// Kills it without a word.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("can be killed");
        self.child.wait().expect("has ended");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
