//! Containers that podman runs inside a private host, on a network of their own.

use crate::{
    sandbox::{Run, Sandbox, wait_until},
    traffic::{
        frames::bypass_netfilter,
        talk::{End, end, silence_ipv6},
    },
    xdp::Hooked,
};

/// The prefix of the network's addresses; the bridge has the first one.
pub(super) const PREFIX: &str = "10.99.5.";

/// The address of the host on that network.
pub(super) const GATEWAY: &str = "10.99.5.1";

/// What podman keeps outside of `/run`, so that it has them to itself: containers and locks, the
/// networks, and semaphores that it shares with every other podman.
const DIRECTORIES: &str = "/var/lib /etc/containers /dev/shm";

/// podman with what its containers need here: nothing of systemd, no image, no daemon for events.
const PODMAN: &str = "podman --runtime runc --cgroup-manager cgroupfs --network-backend netavark \
                      --events-backend none --storage-driver vfs";

/// Nothing but a shell and its tools: no image is needed.
const ROOTFS: &str = "/run/rootfs";

/// A private host with a podman network `lab`.
pub(super) struct Podman {
    pub(super) sandbox: Sandbox,
    /// The bridge that podman made for it.
    pub(super) bridge: String,
    /// The parent of all control groups, which are the machine's.
    cgroup: String,
}

/// A container that runs.
pub(super) struct Container {
    pub(super) name: &'static str,
    /// The name of its namespace, which podman chose.
    pub(super) netns: String,
    pub(super) address: String,
    /// The device in the bridge.
    pub(super) port: String,
}

impl Container {
    pub(super) fn end(&self) -> End<'_> {
        end(&self.netns, &self.address)
    }
}

impl Podman {
    pub(super) fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.sh(&format!(
            "for dir in {DIRECTORIES}; do mount -t tmpfs tmpfs $dir; done
             mkdir -p {ROOTFS}/bin && cp /bin/busybox {ROOTFS}/bin/
             for tool in sh sleep; do ln -s busybox {ROOTFS}/bin/$tool; done
             chroot {ROOTFS} /bin/sh -c : || {{ echo 'busybox is not static' >&2; exit 1; }}"
        ));
        silence_ipv6(&sandbox, &[]);
        sandbox.on_host(bypass_netfilter);
        let cgroup = sandbox.file_path("cgroup").replace('/', "-");
        let mut podman = Self { sandbox, bridge: String::new(), cgroup };
        podman.podman(&format!("network create --disable-dns --subnet {PREFIX}0/24 lab"));
        let bridge = podman.podman("network inspect --format '{{.NetworkInterface}}' lab");
        bridge.trim().clone_into(&mut podman.bridge);
        podman
    }

    /// Starts a container whose address ends in `last`.
    #[track_caller]
    pub(super) fn run(&self, name: &'static str, last: u8, options: &str) -> Container {
        let (cgroup, address) = (&self.cgroup, format!("{PREFIX}{last}"));
        self.podman(&format!(
            "run -d --name {name} --cgroup-parent /{cgroup} --network lab --ip {address} {options} \
             --ulimit nofile=1000:1000 --ulimit nproc=1000:1000 --rootfs {ROOTFS} /bin/sleep 3600"
        ));
        let key = "'{{.NetworkSettings.SandboxKey}}'";
        let path = self.podman(&format!("inspect --format {key} {name}"));
        let netns = path.trim().rsplit('/').next().expect("is a path").to_owned();
        let link = self.sandbox.sh(&format!("ip -o link show | grep 'link-netns {netns}'"));
        let port = link.split([' ', '@']).nth(1).expect("a device has a name").to_owned();
        Container { name, netns, address, port }
    }

    #[track_caller]
    pub(super) fn stop(&self, container: &Container) {
        self.podman(&format!("rm -f -t 0 {}", container.name));
    }

    /// Everything about the bridge and its ports that somebody could have changed, in lines.
    pub(super) fn picture(&self) -> Vec<String> {
        let bridge = &self.bridge;
        // Timers run, which is no change.
        let show = |device: &str| {
            format!("ip -d link show dev {device} | sed -E 's/[a-z_]+_timer +[0-9.]+//g'")
        };
        let mut picture = self.sandbox.sh(&format!(
            "{}; bridge fdb show br {bridge} | sort; find /sys/fs/bpf/veth 2>/dev/null || true",
            show(bridge)
        ));
        let ports = self.sandbox.sh(&format!("ip -o link show master {bridge}"));
        for port in ports.lines().filter_map(|line| line.split([' ', '@']).nth(1)) {
            let hooked = Hooked::of(&self.sandbox, port);
            let device = self.sandbox.sh(&format!(
                "{}; tc qdisc show dev {port}; tc filter show dev {port} ingress; \
                 tc filter show dev {port} egress",
                show(port)
            ));
            picture.push_str(&format!("{hooked:?}\n{device}"));
        }
        picture.lines().map(str::to_owned).collect()
    }

    /// Fails the test unless everything is as it was before.
    #[track_caller]
    pub(super) fn assert_untouched(&self, before: &[String]) {
        let after = self.picture();
        let gone: Vec<_> = before.iter().filter(|line| !after.contains(line)).collect();
        let new: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
        assert!(after == before, "gone: {gone:#?}\nnew: {new:#?}");
    }

    /// Removes all of it, after which nothing may be left.
    #[track_caller]
    pub(super) fn down(self) {
        self.podman("rm -f -t 0 --all");
        self.podman("network rm lab");
        self.sandbox.assert_empty();
        wait_until("the control groups to go", || self.remove_cgroups());
    }

    #[track_caller]
    fn podman(&self, arguments: &str) -> String {
        // It complains about the syslog that a private host has not, so that is kept apart.
        let script =
            format!("{PODMAN} {arguments} 2>/run/errors || {{ cat /run/errors; exit 1; }}");
        self.sandbox.sh(&script)
    }

    /// Whether there are no control groups of these containers any more.
    fn remove_cgroups(&self) -> bool {
        let ours = format!("find /sys/fs/cgroup -depth -type d -path '*/{}*'", self.cgroup);
        self.sandbox.sh(&format!("{ours} -exec rmdir {{}} + 2>/dev/null; {ours}")).is_empty()
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        // Containers are processes of the machine, which outlive the namespaces that they came from.
        let mut command = self.sandbox.command("sh");
        command.args(["-c", &format!("{PODMAN} rm -f -t 0 --all")]);
        Run::of(command);
        self.remove_cgroups();
    }
}
