//! The metrics that there are: names, kinds, labels, help. Their table is in `docs/metrics.md`.

/// How a metric behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up, until what it counts starts anew.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Always 1; its labels are what it tells.
    Info,
}

impl Kind {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Info => "info",
        }
    }

    /// What its samples have after the family's name.
    pub(super) const fn suffix(self) -> &'static str {
        match self {
            Self::Counter => "_total",
            Self::Gauge => "",
            Self::Info => "_info",
        }
    }
}

/// All samples of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name, without the ending that its kind gives to samples.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The unit, which the name ends in.
    pub unit: Option<&'static str>,
    /// The labels of each sample.
    pub labels: &'static [&'static str],
    /// One sentence for the person who reads it.
    pub help: &'static str,
}

impl Family {
    /// What its samples are called, and queries have to name.
    pub fn sample_name(&self) -> String {
        format!("{}{}", self.name, self.kind.suffix())
    }
}

/// Declares the families, and the list of all of them.
macro_rules! families {
    ($($ident:ident = $name:literal, $kind:ident, $unit:expr, [$($label:literal),*], $help:literal;)+) => {
        $(
            #[doc = $help]
            pub const $ident: Family = Family {
                name: $name,
                kind: Kind::$kind,
                unit: $unit,
                labels: &[$($label),*],
                help: $help,
            };
        )+

        /// All families, in the order in which they are written.
        pub const ALL: &[Family] = &[$($ident),+];
    };
}

families! {
    BUILD = "veth_build", Info, None, ["version", "object", "kernel"],
        "This program, the eBPF object that it brings along, and the kernel.";
    SCRAPE_DURATION = "veth_scrape_duration_seconds", Gauge, Some("seconds"), [],
        "How long it took to read everything that is told here.";
    FABRIC_READ = "veth_fabric_read", Gauge, None, ["fabric"],
        "1 when the fabric could be read; 0 when not, and then nothing else is told of it.";
    DATAPATH = "veth_datapath", Info, None, ["fabric", "datapath", "ownership", "release"],
        "The datapath of a fabric, whose bridge it is on, and the release of the pinned object.";
    STATIONS = "veth_stations", Gauge, None, ["fabric", "lease"],
        "Stations that frames are handed to, by their leases: valid, or expired and left to the bridge.";
    KEPT = "veth_fabric_kept", Gauge, None, ["fabric"],
        "1 while somebody vouches for the stations; 0 when all leases are over and the bridge forwards everything.";
    CAPTURE_ACTIVE = "veth_capture_active", Gauge, None, ["fabric"],
        "1 while veth capture or veth log is at work on the fabric, otherwise 0.";
    CAPTURED = "veth_captured_frames", Counter, None, ["fabric"],
        "Frames that were captured; starts anew with each capture.";
    CAPTURE_LOST = "veth_capture_lost_frames", Counter, None, ["fabric"],
        "Frames that were to be captured and found no room; starts anew with each capture.";
    CAPTURE_LIMITED = "veth_capture_limited_frames", Counter, None, ["fabric"],
        "Frames that veth log left out for its rate; starts anew with each capture.";
    PORT_IFINDEX = "veth_port_ifindex", Gauge, None, ["fabric", "port", "netns"],
        "Index of the port's device: another one means that the port is new, and counts from zero.";
    PORT_FAST = "veth_port_fast", Gauge, None, ["fabric", "port", "netns"],
        "1 when frames from the port may take the fast path; 0 when it is left to the bridge.";
    FRAMES = "veth_frames", Counter, None, ["fabric", "port", "netns", "verdict"],
        "Frames that arrived at the port, by what became of them; a GSO frame is one.";
    BYTES = "veth_bytes", Counter, Some("bytes"), ["fabric", "port", "netns", "verdict"],
        "Bytes of these frames, Ethernet header included.";
    SEGMENTS = "veth_segments", Counter, None, ["fabric", "port", "netns", "verdict"],
        "These frames as a wire would have seen them: a GSO frame counts its segments.";
    DROPPED = "veth_device_dropped_frames", Counter, None, ["fabric", "port", "netns", "direction"],
        "Frames that the port's device dropped since it was made: arriving, or leaving to its peer.";
    AGENT_ACTIVE = "veth_agent_active", Gauge, None, ["fabric"],
        "1 while the agent in this process keeps the fabric; 0 while it waits for the bridge.";
    AGENT_ROUNDS = "veth_agent_rounds", Counter, None, ["fabric"],
        "Looks at the bridge.";
    AGENT_FAILURES = "veth_agent_failures", Counter, None, ["fabric"],
        "Looks that failed and were tried again.";
    AGENT_EVENTS = "veth_agent_events", Counter, None, ["fabric"],
        "Netlink messages about links and forwarding entries.";
    AGENT_OVERRUNS = "veth_agent_overruns", Counter, None, ["fabric"],
        "Times when netlink messages were lost, and everything was looked at again.";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PAGE: &str = include_str!("../../../docs/metrics.md");
    const DASHBOARD: &str = include_str!("../../../docs/grafana/veth.json");
    const ALERTS: &str = include_str!("../../../docs/grafana/alerts.yml");

    #[test]
    fn names_are_unique_and_end_in_their_units() {
        let names: BTreeSet<&str> = ALL.iter().map(|family| family.name).collect();
        assert_eq!(names.len(), ALL.len());
        for family in ALL {
            assert!(family.unit.is_none_or(|unit| family.name.ends_with(unit)), "{}", family.name);
            assert!(family.help.ends_with('.') && !family.help.contains(['\n', '\\']));
        }
    }

    #[test]
    fn the_page_has_each_family_and_no_other() {
        let rows: Vec<String> = ALL
            .iter()
            .map(|family| {
                let (kind, labels) = (family.kind.name(), family.labels.join(", "));
                format!("| `{}` | {kind} | {labels} | {} |", family.sample_name(), family.help)
            })
            .collect();
        let written: Vec<&str> = PAGE.lines().filter(|line| line.starts_with("| `veth_")).collect();
        assert_eq!(written, rows, "the table of docs/metrics.md");
    }

    #[test]
    fn dashboard_and_rules_name_only_what_there_is() {
        let names: BTreeSet<String> = ALL.iter().map(Family::sample_name).collect();
        for (what, text) in [("veth.json", DASHBOARD), ("alerts.yml", ALERTS)] {
            let is_of_a_name = |it: char| it.is_ascii_alphanumeric() || it == '_';
            let mentioned: BTreeSet<&str> = text
                .split(|it| !is_of_a_name(it))
                .filter(|word| word.starts_with("veth_"))
                .collect();
            assert!(mentioned.len() > 3, "{what} names metrics");
            for name in mentioned {
                assert!(names.contains(name), "{what} names {name}, which there is not");
            }
        }
    }
}
