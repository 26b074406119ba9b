//! The arguments, and the help that teaches them.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use veth_common::Mac;

use super::{
    attach::{AttachOptions, DetachOptions},
    bench::BenchOptions,
    capture::CaptureOptions,
    log::LogOptions,
};
use crate::{datapath::Hook, topology::DatapathKind};

/// A fast, observable path between network namespaces.
///
/// veth connects namespaces through a Linux bridge and hands the frames whose fate is certain
/// straight to their receiver, past the bridge, with an eBPF program. Everything else, and
/// everything doubtful, stays with the bridge.
#[derive(Debug, Parser)]
#[command(
    name = "veth",
    version,
    arg_required_else_help = true,
    after_help = "Examples:
  veth run examples/pair.toml --seconds 10     try it: fabric, traffic, figures, clean-up
  veth up examples/pair.toml                   bring a fabric up and leave it up
  ip netns exec red ping 10.77.0.2             use it
  veth stats lab --watch                       see what its frames do
  veth bench                                   what the fast path is worth on this machine
  veth down lab                                take it down
  veth attach docker0                          put the fast path on a bridge that is in use

Exit status:
  0  done                         3  something of that name is not ours
  1  failed                       4  a capability or kernel feature is missing
  2  wrong arguments or file    130  interrupted"
)]
pub struct Arguments {
    /// Print JSON instead of text for people.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Bring a fabric up, or to what its file says now.
    #[command(after_help = "Examples:
  veth up examples/pair.toml            make the fabric
  veth up examples/pair.toml            again: nothing to do
  veth up --dry-run examples/pair.toml  say what would be done
  veth up --datapath xdp examples/pair.toml
                                        switch it to XDP while traffic goes on

A fabric that is up is changed by as little as the file differs from it. When a step fails, what
was done is taken back. The datapath keeps running when veth does not.")]
    Up(UpOptions),
    /// Take a fabric down: its datapath, ports, namespaces and bridge.
    #[command(after_help = "Examples:
  veth down lab
  veth down examples/pair.toml

What is already gone is no error. What is not the fabric's own is not touched.")]
    Down(DownOptions),
    /// Say what is there, what the fast path serves, and what is missing.
    #[command(after_help = "Examples:
  veth status                      all fabrics
  veth status lab
  veth status examples/pair.toml   also says what differs from the file

Exit status 1 when something is not as it should be.")]
    Status(StatusOptions),
    /// Show counters: for each port, what became of every frame, and why.
    #[command(after_help = "Examples:
  veth stats lab             totals
  veth stats lab --watch     rates, every second
  veth stats lab --watch 5   rates, every five seconds
  veth stats lab --pairs     who talks to whom
  veth stats lab --json | jq '.ports[].verdicts.redirected.frames'

Frames are counted where they enter the fabric. `redirected` counts what was handed to the
receiver's end; the kernel does not say whether it took it.")]
    Stats(StatsOptions),
    /// Capture frames as the datapath sees them, the fast path included.
    #[command(after_help = "Examples:
  veth capture lab -w lab.pcapng
  veth capture lab -w - | tcpdump -n -r -
  veth capture lab --port red --verdict destination_unknown --count 10 -w red.pcapng
  veth capture lab --host 10.77.0.2 --proto tcp --snaplen 96 -w tcp.pcapng

Each port is an interface of the file, and each frame says in its comment what became of it. Frames
are seen where they enter the fabric. A capture that is killed is over after two seconds.")]
    Capture(Box<CaptureOptions>),
    /// Print a line for each frame, but not for more than a few in a second.
    #[command(after_help = "Examples:
  veth log lab
  veth log lab --verdict destination_unknown --verdict source_moved
  veth log lab --rate 1000 --json | jq .verdict")]
    Log(LogOptions),
    /// Watch a fabric on the whole screen: ports by rate, verdicts of the selected one, who talks to whom.
    #[command(after_help = "Examples:
  veth top        the only fabric there is
  veth top lab    this one

Tab shows who talks to whom, `?` lists the keys, `q` leaves. NO_COLOR is honoured. Without a terminal, `veth stats --watch` says
the same.")]
    Top(TopOptions),
    /// List every veth pair of the machine: both ends, in all namespaces, and whose they are.
    #[command(after_help = "Examples:
  veth ls                      all pairs
  veth ls web                  the one of a container, by its name or the beginning of its id
  veth ls red                  those of a named namespace
  veth ls 4711                 those of the namespace that a process is in
  veth ls veth3f2a             which container is behind a device
  veth ls 02:42:ac:11:00:02    who has an address
  veth ls web --json | jq -r '.pairs[].port.name'

PORT is the end here, unless it says where; the other columns are about the other end. `-` as NETNS
is the namespace here, and `?` is what could not be looked at, which stderr explains. Nothing is
changed, and no daemon is asked.")]
    Ls(LsOptions),
    /// Say why a ping does not get through, or a port is not accelerated, and what to do.
    #[command(after_help = "Examples:
  veth doctor                               everything that has to do with a veth pair
  veth doctor lab                           a fabric
  veth doctor docker0                       any other bridge
  veth doctor web                           a container, a namespace, a process or a device
  veth doctor --from red --to 10.77.0.2     follow one ping, and its reply
  veth doctor --json | jq -r '.findings[].remedy'

Each finding has a code, which docs/doctor.md explains, what was read, and a command to paste.
Nothing is changed, and no packet is sent. Exit status 1 when something is wrong; notes do not
count.")]
    Doctor(DoctorOptions),
    /// Say what becomes of a frame, and step by step why, without sending it.
    #[command(after_help = "Examples:
  veth explain lab --from red --to 10.77.0.2         what red would send there
  veth explain lab --from red --to-mac 02:00:00:00:00:02
  veth explain lab --from red --hex 'ffffffffffff 020000000001 0806 0001...'
  veth explain docker0 --from veth3f2a --pcap slow.pcapng --count 3
  veth explain lab --pcap lab.pcapng                 a file of veth capture says from which port
  veth explain lab --from red --to 10.77.0.2 --json | jq -r '.frames[].verdict'

The fabric's own program runs on the frame, over copies of what its maps hold, so that nothing is
counted and nothing is changed. Exit status 0 whatever the verdict is.")]
    Explain(ExplainOptions),
    /// Bring a fabric up, send traffic through it, show what happens, and take it down.
    #[command(after_help = "Examples:
  veth run examples/pair.toml               until Ctrl-C
  veth run examples/pair.toml --seconds 5

Traffic goes between the first two namespaces that have addresses of one family. The same traffic
is measured over the plain bridge and over the fast path in turn.")]
    Run(RunOptions),
    /// Put the fast path on a bridge that somebody else made: docker0, podman, libvirt, CNI.
    #[command(after_help = "Examples:
  veth attach docker0 --dry-run     say for each port whether it can be served, and if not, why
  veth attach docker0               attach, and follow containers that come and go; Ctrl-C detaches
  veth attach docker0 --bypass br_netfilter
                                    although the host's iptables rules for bridged frames (and
                                    DOCKER-USER between containers) then do not apply
  veth attach docker0 --install     write a systemd unit that does this at boot
  veth detach docker0               take it off again

Nothing of the bridge, its ports or its containers is changed. What the fast path would pass by is
refused; --bypass accepts it by name:
  br_netfilter nft_bridge nft_netdev ebtables tc_ingress tc_egress qdisc promiscuous

When this process is killed, the bridge has all frames again within 3 seconds; `veth agent docker0`
takes the fast path up where it was left.")]
    Attach(AttachOptions),
    /// Take the fast path off a bridge that somebody else made.
    #[command(after_help = "Examples:
  veth detach docker0

Nothing being attached is no error.")]
    Detach(DetachOptions),
    /// Keep a fabric's maps true while ports come and go.
    #[command(after_help = "Examples:
  veth agent lab
  veth agent docker0

Runs until it is told to stop or the fabric is gone; forwarding goes on without it. Under systemd
(Type=notify) it reports when it is ready.")]
    Agent(AgentOptions),
    /// Tell Prometheus what is counted: frames by verdict, drops, leases, agents.
    #[command(after_help = "Examples:
  veth metrics                              all fabrics, on 127.0.0.1:9478
  veth metrics lab --listen 127.0.0.1:9500  one of them
  curl http://127.0.0.1:9478/metrics        what there is

docs/metrics.md lists the metrics; beside it are a Grafana dashboard and alert rules. `veth agent`
and `veth attach` tell the same of their fabric, and of themselves, with --metrics.")]
    Metrics(MetricsOptions),
    /// Compare paths between namespaces: the same workloads over each, side by side.
    #[command(
        args_conflicts_with_subcommands = true,
        subcommand_negates_reqs = true,
        after_help = "Examples:
  veth bench                                 about a minute, the usual paths
  veth bench --preset full --html page.html  everything, and a page of it
  veth bench --paths bridge,tc --workloads udp_rr,frames --rounds 20
  veth bench --paths bridge,bridge           what the machine alone makes of it
  veth bench --ports 2,16,128,1000           what a fabric's size costs
  veth bench compare before.json after.json  what a change made of it

Paths:      direct bridge route macvlan loopback redirect tc adopted
            xdp netkit
Workloads:  tcp_stream tcp_rr tcp_crr udp_rr udp_pps latency_load
            frames frames_xdp

Every path is made in namespaces that nobody else sees and that end with this
process, however it ends. Results are saved after each round."
    )]
    Bench(Box<BenchOptions>),
    /// Print shell completions.
    #[command(hide = true)]
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Write man pages.
    #[command(hide = true)]
    Man {
        /// Into which directory.
        dir: PathBuf,
    },
}

/// Options of `up`.
#[derive(Debug, Args)]
pub struct UpOptions {
    /// Topology file.
    pub file: PathBuf,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
    /// What forwards frames: tc, xdp or none; by default what the file says.
    #[arg(long, value_name = "DATAPATH")]
    pub datapath: Option<DatapathKind>,
    /// Where to attach the program; by default the best that the kernel has.
    #[arg(long, value_name = "HOOK")]
    pub hook: Option<HookName>,
}

/// Options of `down`.
#[derive(Debug, Args)]
pub struct DownOptions {
    /// Name of a fabric, or a topology file.
    #[arg(value_name = "NAME|FILE")]
    pub target: String,
}

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusOptions {
    /// Name of a fabric, or a topology file; all fabrics without.
    #[arg(value_name = "NAME|FILE")]
    pub target: Option<String>,
}

/// Options of `stats`.
#[derive(Debug, Args)]
pub struct StatsOptions {
    /// Name of a fabric; may be left out when there is only one.
    pub name: Option<String>,
    /// Show rates again and again, every SECS seconds.
    #[arg(long, value_name = "SECS", num_args = 0..=1, default_missing_value = "1", value_parser = seconds)]
    pub watch: Option<f64>,
    /// Count for a second who talks to whom, or with --watch again and again.
    #[arg(long)]
    pub pairs: bool,
}

/// Options of `top`.
#[derive(Debug, Args)]
pub struct TopOptions {
    /// Name of a fabric; may be left out when there is only one.
    pub name: Option<String>,
}

/// Options of `ls`.
#[derive(Debug, Args)]
pub struct LsOptions {
    /// Only what belongs to this container, namespace, process, device, bridge, MAC or IP address.
    pub filter: Option<String>,
}

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorOptions {
    /// Name of a fabric or bridge, or what `veth ls` finds pairs by; everything without.
    #[arg(value_name = "NAME|PAIR")]
    pub target: Option<String>,
    /// Follow a ping from this namespace.
    #[arg(long, value_name = "NETNS", requires = "to", conflicts_with = "target")]
    pub from: Option<String>,
    /// To this address.
    #[arg(long, value_name = "ADDRESS", requires = "from")]
    pub to: Option<IpAddr>,
}

/// Options of `explain`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("frame").required(true))]
pub struct ExplainOptions {
    /// Name of a fabric or of a bridge that veth is attached to; may be left out when there is only one.
    pub name: Option<String>,
    /// Where the frame comes from: a port, or the namespace behind it. Frames of `veth capture` say
    /// that themselves; of those, only the ones from there are taken.
    #[arg(long, value_name = "PORT|NETNS", required_unless_present = "pcap")]
    pub from: Option<String>,
    /// A datagram to this MAC address.
    #[arg(long, value_name = "MAC", group = "frame")]
    pub to_mac: Option<Mac>,
    /// What the namespace would send now to reach this IP address.
    #[arg(long, value_name = "ADDRESS", group = "frame")]
    pub to: Option<IpAddr>,
    /// This frame, from its destination address on; spaces and colons do not count.
    #[arg(long, value_name = "FRAME", group = "frame", value_parser = super::explain::hex)]
    pub hex: Option<super::explain::Frame>,
    /// The first frames of a capture (pcap or pcapng), or - for stdin.
    #[arg(long, value_name = "FILE", group = "frame")]
    pub pcap: Option<PathBuf>,
    /// How many of them.
    #[arg(long, value_name = "N", requires = "pcap", default_value = "10",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub count: u32,
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunOptions {
    /// Topology file.
    pub file: PathBuf,
    /// How long to show live traffic; by default until Ctrl-C on a terminal, otherwise 10.
    #[arg(long, value_name = "N", value_parser = seconds)]
    pub seconds: Option<f64>,
    /// What forwards frames: tc, xdp or none; by default what the file says.
    #[arg(long, value_name = "DATAPATH")]
    pub datapath: Option<DatapathKind>,
    /// Where to attach the program; by default the best that the kernel has.
    #[arg(long, value_name = "HOOK")]
    pub hook: Option<HookName>,
}

/// Options of `agent`.
#[derive(Debug, Args)]
pub struct AgentOptions {
    /// Name of the fabric.
    pub name: String,
    /// Where to attach the program; by default the best that the kernel has.
    #[arg(long, value_name = "HOOK")]
    pub hook: Option<HookName>,
    /// Serve metrics for Prometheus there, as 127.0.0.1:9478.
    #[arg(long, value_name = "ADDR")]
    pub metrics: Option<SocketAddr>,
}

/// Options of `metrics`.
#[derive(Debug, Args)]
pub struct MetricsOptions {
    /// Name of a fabric; all that have a datapath without.
    pub name: Option<String>,
    /// Where to listen.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9478")]
    pub listen: SocketAddr,
}

/// A hook as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum HookName {
    /// A tcx link (Linux 6.6).
    Tcx,
    /// A filter on the port's clsact qdisc.
    Clsact,
}

impl fmt::Display for HookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hook::from(*self).fmt(f)
    }
}

impl From<HookName> for Hook {
    fn from(name: HookName) -> Self {
        match name {
            HookName::Tcx => Self::Tcx,
            HookName::Clsact => Self::Clsact,
        }
    }
}

/// A number of seconds above zero and within a day.
pub(super) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value <= 86_400.0 => Ok(value),
        _ => Err("must be a number of seconds above 0 and at most 86400".into()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn watch_takes_an_interval_or_none() {
        let watch = |arguments: &[&str]| match Arguments::parse_from(arguments).command {
            Command::Stats(options) => options.watch,
            other => panic!("parsed as {other:?}"),
        };
        assert_eq!(watch(&["veth", "stats", "lab"]), None);
        assert_eq!(watch(&["veth", "stats", "lab", "--watch"]), Some(1.0));
        assert_eq!(watch(&["veth", "stats", "lab", "--watch", "0.5"]), Some(0.5));
        assert!(Arguments::try_parse_from(["veth", "stats", "--watch", "0"]).is_err());
        assert!(Arguments::try_parse_from(["veth", "stats", "--watch", "nan"]).is_err());
    }
}
