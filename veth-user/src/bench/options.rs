//! What to measure, and how.

use std::time::Duration;

use crate::results::{Path, PathKind, Settings, Workload};

/// What to measure, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The paths, in the order in which they are shown. The same may be there several times.
    pub paths: Vec<PathKind>,
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// What the others are compared with.
    pub baseline: PathKind,
    /// How often each path is measured with each workload.
    pub rounds: u32,
    /// Length of a measurement.
    pub round: Duration,
    /// Traffic before it that is not counted.
    pub warm_up: Duration,
    /// Which CPUs.
    pub placement: Placement,
    /// Payload of datagrams in bytes, where it can be chosen.
    pub payload_bytes: u32,
    /// Size of generated frames in bytes.
    pub frame_bytes: u32,
    /// Number of flows of generated frames.
    pub flows: u32,
    /// Frames of one call of the generator.
    pub batch_frames: u32,
    /// Over IPv6.
    pub ipv6: bool,
    /// Numbers of ports to repeat some of it with.
    pub ports: Vec<u32>,
    /// The settings of `br_netfilter` that bridges have on.
    pub bridge_netfilter: Vec<&'static str>,
}

/// On which CPUs the two ends run, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The end that begins.
    pub client_cpu: usize,
    /// The end that answers.
    pub server_cpu: usize,
}

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// About a minute.
    Quick,
    /// Every workload over every path but those that are watched, long enough for narrow intervals.
    Full,
}

impl Options {
    /// The options of a preset, with both ends where `placement` says.
    pub fn preset(preset: Preset, placement: Placement) -> Self {
        let (paths, workloads, rounds, round) = match preset {
            Preset::Quick => (
                vec![
                    PathKind::Direct,
                    PathKind::Bridge,
                    PathKind::Route,
                    PathKind::Redirect,
                    PathKind::Tc,
                    PathKind::Xdp,
                ],
                vec![
                    Workload::TcpStream,
                    Workload::TcpRr,
                    Workload::TcpCrr,
                    Workload::UdpRr,
                    Workload::UdpPps,
                    Workload::Frames,
                    Workload::FramesXdp,
                ],
                10,
                Duration::from_millis(120),
            ),
            Preset::Full => (
                PathKind::ALL.into_iter().filter(|path| !path.is_watched()).collect(),
                Workload::ALL.into(),
                15,
                Duration::from_millis(500),
            ),
        };
        Self {
            paths,
            workloads,
            baseline: PathKind::Bridge,
            rounds,
            round,
            warm_up: Duration::from_millis(20),
            placement,
            payload_bytes: 64,
            frame_bytes: 64,
            flows: 1,
            batch_frames: 1 << 18,
            ipv6: false,
            ports: Vec::new(),
            bridge_netfilter: Vec::new(),
        }
    }

    /// The paths, each with its number among those of its kind.
    pub fn numbered_paths(&self) -> Vec<Path> {
        let mut paths: Vec<Path> = Vec::new();
        for &kind in &self.paths {
            let before = paths.iter().filter(|path| path.kind == kind).count();
            paths.push(Path { kind, number: u32::try_from(before).unwrap_or(u32::MAX - 1) + 1 });
        }
        paths
    }

    /// The same as it is saved.
    pub(super) fn settings(&self) -> Settings {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Settings {
            rounds: self.rounds,
            round_ms: millis(self.round),
            warmup_ms: millis(self.warm_up),
            baseline: Path { kind: self.baseline, number: 1 },
            client_cpu: self.placement.client_cpu,
            server_cpu: self.placement.server_cpu,
            payload_bytes: self.payload_bytes,
            frame_bytes: self.frame_bytes,
            flows: self.flows,
            batch_frames: self.batch_frames,
            ipv6: self.ipv6,
            bridge_netfilter: !self.bridge_netfilter.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_one_kind_are_numbered() {
        let placement = Placement { client_cpu: 0, server_cpu: 0 };
        let mut options = Options::preset(Preset::Quick, placement);
        options.paths = vec![PathKind::Bridge, PathKind::Tc, PathKind::Bridge];
        let names: Vec<String> = options.numbered_paths().iter().map(Path::to_string).collect();
        assert_eq!(names, ["bridge", "tc", "bridge#2"]);
    }

    #[test]
    fn full_preset_has_everything() {
        let placement = Placement { client_cpu: 0, server_cpu: 1 };
        let options = Options::preset(Preset::Full, placement);
        assert_eq!(options.paths, PathKind::ALL[..10]);
        assert_eq!(options.workloads, Workload::ALL);
    }
}
