//! The arguments of `veth bench`.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};

use crate::{
    bench::{Options, Placement, Preset},
    results::{PathKind, Workload},
    sysctl,
};

/// Options of `bench`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Args)]
pub struct BenchOptions {
    /// What else to do with results.
    #[command(subcommand)]
    pub command: Option<BenchCommand>,
    /// How much: quick takes about a minute, full has everything.
    #[arg(long, value_name = "PRESET", default_value = "quick")]
    pub preset: PresetName,
    /// Paths, with commas between them; the same one twice tells how exact the figures are.
    #[arg(long, value_name = "LIST", value_delimiter = ',', long_help = paths_help())]
    pub paths: Vec<PathKind>,
    /// Workloads, with commas between them.
    #[arg(long, value_name = "LIST", value_delimiter = ',', long_help = workloads_help())]
    pub workloads: Vec<Workload>,
    /// Path that the others are compared with [default: bridge].
    #[arg(long, value_name = "PATH")]
    pub baseline: Option<PathKind>,
    /// Rounds: each measures everything once, in turn [default: 10; full: 15].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rounds: Option<u32>,
    /// Length of one measurement [default: 0.12; full: 0.5].
    #[arg(long, value_name = "SECS", value_parser = super::super::arguments::seconds)]
    pub time: Option<f64>,
    /// CPUs of the two ends: same, split, or two numbers with a comma between them.
    #[arg(long, value_name = "CPUS", default_value = "same")]
    pub cpus: Cpus,
    /// Payload of the datagrams of `udp_pps`, in bytes [default: 64].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=65_000))]
    pub payload: Option<u32>,
    /// Size of generated frames in bytes, Ethernet header included [default: 64].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(64..=1514))]
    pub frame: Option<u32>,
    /// Flows of generated frames: source ports, rounded up to a power of two [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub flows: Option<u32>,
    /// IPv6 instead of IPv4.
    #[arg(long)]
    pub ipv6: bool,
    /// Have bridges not ask netfilter about frames (`br_netfilter`), as they do where this machine's do.
    #[arg(long)]
    pub no_bridge_netfilter: bool,
    /// Also measure `udp_rr` and frames on fabrics of so many ports, with commas between them.
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        value_parser = clap::value_parser!(u32).range(2..=1000)
    )]
    pub ports: Vec<u32>,
    /// Print one line of CSV for each measurement.
    #[arg(long, conflicts_with_all = ["markdown", "json"])]
    pub csv: bool,
    /// Print Markdown.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Also write a page with charts, which needs nothing but a browser.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Where to save the results [default: in the user's state directory].
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Only remove what an earlier benchmark may have left, and say what that was.
    #[arg(long)]
    pub clean: bool,
}

/// What else to do with results.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Say what changed from one run to another, and whether the intervals separate.
    #[command(after_help = "Example:
  veth bench compare before.json after.json")]
    Compare(CompareOptions),
    /// Show saved results again, in any form.
    #[command(after_help = "Examples:
  veth bench show bench.json --html bench.html
  veth bench show bench.json --markdown")]
    Show(ShowOptions),
}

/// Options of `bench compare`.
#[derive(Debug, Args)]
pub struct CompareOptions {
    /// The earlier results, as `bench` saved them.
    pub before: PathBuf,
    /// The later ones.
    pub after: PathBuf,
}

/// Options of `bench show`.
#[derive(Debug, Args)]
pub struct ShowOptions {
    /// The results, as `bench` saved them.
    pub file: PathBuf,
    /// Print one line of CSV for each measurement.
    #[arg(long, conflicts_with_all = ["markdown", "json"])]
    pub csv: bool,
    /// Print Markdown.
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
    /// Also write a page with charts.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// A preset as an argument.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum PresetName {
    /// About a minute.
    Quick,
    /// Everything.
    Full,
}

/// A placement as an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cpus {
    /// Both ends on one CPU.
    Same,
    /// Each on its own.
    Split,
    /// On these, client first.
    Chosen(usize, usize),
}

impl std::str::FromStr for Cpus {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.parse().map_err(|_| "must be same, split, or like 0,1: client, server".to_owned())
        };
        match (text, text.split_once(',')) {
            ("same", _) => Ok(Self::Same),
            ("split", _) => Ok(Self::Split),
            (_, Some((client, server))) => Ok(Self::Chosen(number(client)?, number(server)?)),
            (one, None) => number(one).map(|cpu| Self::Chosen(cpu, cpu)),
        }
    }
}

impl Cpus {
    /// The placement on a machine where the process may use `allowed` CPUs.
    ///
    /// # Errors
    ///
    /// When there are not enough of them, or not those.
    pub(super) fn place(self, allowed: &[usize]) -> Result<Placement, String> {
        // The last: the first has more to do with the machine's own affairs.
        let Some(&last) = allowed.last() else {
            return Err("this process may use no CPU".to_owned());
        };
        let (client_cpu, server_cpu) = match self {
            Self::Same => (last, last),
            Self::Split => match allowed {
                [.., before, last] => (*before, *last),
                _ => return Err("--cpus split needs two CPUs, and there is one".to_owned()),
            },
            Self::Chosen(client, server) => {
                for cpu in [client, server] {
                    if !allowed.contains(&cpu) {
                        return Err(format!("--cpus: this process may not use CPU {cpu}"));
                    }
                }
                (client, server)
            }
        };
        Ok(Placement { client_cpu, server_cpu })
    }
}

impl BenchOptions {
    /// What to measure, and how.
    pub(super) fn options(&self, placement: Placement) -> Options {
        let preset = match self.preset {
            PresetName::Quick => Preset::Quick,
            PresetName::Full => Preset::Full,
        };
        let mut options = Options::preset(preset, placement);
        if !self.paths.is_empty() {
            options.paths.clone_from(&self.paths);
        }
        if !self.workloads.is_empty() {
            options.workloads = unique(&self.workloads);
        }
        options.baseline = match self.baseline {
            Some(baseline) => {
                if !options.paths.contains(&baseline) {
                    options.paths.insert(0, baseline);
                }
                baseline
            }
            None if options.paths.contains(&PathKind::Bridge) => PathKind::Bridge,
            None => options.paths[0],
        };
        options.rounds = self.rounds.unwrap_or(options.rounds);
        options.round = self.time.map_or(options.round, Duration::from_secs_f64);
        options.payload_bytes = self.payload.unwrap_or(options.payload_bytes);
        options.frame_bytes = self.frame.unwrap_or(options.frame_bytes);
        options.flows = self.flows.unwrap_or(options.flows);
        options.ipv6 = self.ipv6;
        if !self.no_bridge_netfilter {
            // As the bridges of this machine are.
            options.bridge_netfilter = sysctl::bridge_netfilter();
        }
        options.ports = unique(&self.ports);
        options
    }
}

/// What `--help` says of the paths.
fn paths_help() -> String {
    let paths = PathKind::ALL.map(|path| (path.name(), path.help()));
    list(
        "Paths, with commas between them; the same one twice tells how exact the figures are",
        &paths,
    )
}

/// What `--help` says of the workloads.
fn workloads_help() -> String {
    let workloads = Workload::ALL.map(|workload| (workload.name(), workload.help()));
    list("Workloads, with commas between them", &workloads)
}

/// `title`, and a line for each name with what it means.
fn list(title: &str, items: &[(&str, &str)]) -> String {
    let width = items.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: String =
        items.iter().map(|(name, help)| format!("\n  {name:width$}  {help}")).collect();
    format!("{title}:\n{lines}")
}

/// The same without those that were there before.
fn unique<T: Copy + PartialEq>(list: &[T]) -> Vec<T> {
    let mut unique = Vec::new();
    for item in list {
        if !unique.contains(item) {
            unique.push(*item);
        }
    }
    unique
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Arguments, Command};

    fn parse(arguments: &[&str]) -> BenchOptions {
        let all = ["veth", "bench"].iter().chain(arguments);
        match Arguments::parse_from(all).command {
            Command::Bench(options) => *options,
            other => panic!("parsed as {other:?}"),
        }
    }

    fn options(arguments: &[&str]) -> Options {
        parse(arguments).options(Placement { client_cpu: 0, server_cpu: 0 })
    }

    #[test]
    fn baseline_is_the_bridge_where_there_is_one() {
        assert_eq!(options(&[]).baseline, PathKind::Bridge);
        assert_eq!(options(&["--paths", "direct,tc"]).baseline, PathKind::Direct);
        let added = options(&["--paths", "tc", "--baseline", "route"]);
        assert_eq!(
            (added.paths, added.baseline),
            (vec![PathKind::Route, PathKind::Tc], PathKind::Route)
        );
    }

    #[test]
    fn same_path_twice_is_two_and_same_workload_is_one() {
        let options = options(&["--paths", "bridge,bridge", "--workloads", "tcp_rr,tcp_rr"]);
        assert_eq!(options.paths.len(), 2);
        assert_eq!(options.workloads, [Workload::TcpRr]);
    }

    #[test]
    fn cpus_are_placed_on_those_that_may_be_used() {
        let place = |text: &str, allowed: &[usize]| {
            let placement = text.parse::<Cpus>()?.place(allowed)?;
            Ok::<_, String>((placement.client_cpu, placement.server_cpu))
        };
        assert_eq!(place("same", &[0, 1, 3]), Ok((3, 3)));
        assert_eq!(place("split", &[0, 1, 3]), Ok((1, 3)));
        assert_eq!(place("1,0", &[0, 1]), Ok((1, 0)));
        assert_eq!(place("1", &[0, 1]), Ok((1, 1)));
        assert!(place("split", &[2]).is_err());
        assert!(place("0,2", &[0, 1]).expect_err("not allowed").contains("CPU 2"));
        assert!(place("both", &[0]).is_err());
    }

    #[test]
    fn long_help_says_what_each_path_and_workload_is() {
        let refused = Arguments::try_parse_from(["veth", "bench", "--help"]).expect_err("is help");
        let help = refused.to_string();
        let said = |name: &str| help.lines().any(|line| line.trim().starts_with(name));
        for path in PathKind::ALL {
            assert!(said(&format!("{} ", path.name())), "{path}: {help}");
        }
        for workload in Workload::ALL {
            assert!(said(&format!("{} ", workload.name())), "{workload}: {help}");
        }
    }

    #[test]
    fn defaults_are_those_that_the_help_tells() {
        let quick = options(&[]);
        assert_eq!((quick.rounds, quick.round), (10, Duration::from_millis(120)));
        let full = options(&["--preset", "full"]);
        assert_eq!((full.rounds, full.round), (15, Duration::from_millis(500)));
        assert_eq!((quick.payload_bytes, quick.frame_bytes, quick.flows), (64, 64, 1));
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            ["--rounds", "0"],
            ["--time", "0"],
            ["--frame", "63"],
            ["--ports", "1"],
            ["--paths", "tunnel"],
            ["--workloads", "ftp"],
        ] {
            let all = ["veth", "bench"].iter().chain(&wrong);
            assert!(Arguments::try_parse_from(all).is_err(), "{wrong:?}");
        }
    }
}
