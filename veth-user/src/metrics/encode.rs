//! The text of a sample: `OpenMetrics` 1.0, or the older format of Prometheus.
//!
//! Source: <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>.

use std::fmt::{Display, Write as _};

use veth_common::{Counter, Verdict};

use super::{
    AgentSample, CaptureReading, FabricReading, Sample,
    family::{self, Family, Kind},
};

/// How a sample is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `OpenMetrics` 1.0.
    OpenMetrics,
    /// Version 0.0.4 of the text format, for whoever does not ask for the other one.
    Text,
}

impl Format {
    /// Both.
    pub const ALL: [Self; 2] = [Self::OpenMetrics, Self::Text];

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Writes `sample`.
///
/// Each port has its `redirected` counters from the beginning, and those of another verdict from
/// its first frame on: what has not happened takes no room, and what has does not vanish.
pub fn encode(sample: &Sample, format: Format) -> String {
    let mut page = Page { text: String::new(), format };
    let Sample { version, object, kernel, took, fabrics, agent } = sample;
    page.open(&family::BUILD);
    let labels = labels(&[("version", version), ("object", object), ("kernel", kernel)]);
    page.sample(&family::BUILD, &labels, 1);
    page.open(&family::SCRAPE_DURATION);
    page.sample(&family::SCRAPE_DURATION, "", took.as_secs_f64());
    page.open(&family::FABRIC_READ);
    for fabric in fabrics {
        let labels = of_fabric(&fabric.fabric);
        page.sample(&family::FABRIC_READ, &labels, u8::from(fabric.reading.is_some()));
    }
    let read = fabrics.iter().filter_map(|it| Some((it.fabric.as_str(), it.reading.as_ref()?)));
    let read: Vec<(&str, &FabricReading)> = read.collect();
    page.fabrics(&read);
    page.ports(&read);
    if let Some(agent) = agent {
        page.agent(agent);
    }
    if format == Format::OpenMetrics {
        page.text.push_str("# EOF\n");
    }
    page.text
}

/// The families of counters, and what of a counter each of them tells.
const COUNTED: [CountedFamily; 3] = [
    (&family::FRAMES, |counter| counter.frames),
    (&family::BYTES, |counter| counter.bytes),
    (&family::SEGMENTS, |counter| counter.segments),
];

type CountedFamily = (&'static Family, fn(&Counter) -> u64);

/// The families about captures, and what of one each of them tells.
const CAPTURES: [CaptureFamily; 4] = [
    (&family::CAPTURE_ACTIVE, |capture| u64::from(capture.is_active)),
    (&family::CAPTURED, |capture| capture.captured),
    (&family::CAPTURE_LOST, |capture| capture.lost),
    (&family::CAPTURE_LIMITED, |capture| capture.limited),
];

type CaptureFamily = (&'static Family, fn(&CaptureReading) -> u64);

struct Page {
    text: String,
    format: Format,
}

impl Page {
    fn fabrics(&mut self, fabrics: &[(&str, &FabricReading)]) {
        self.open(&family::DATAPATH);
        for (fabric, reading) in fabrics {
            let FabricReading { datapath, ownership, release, .. } = reading;
            let labels = labels(&[
                ("fabric", fabric),
                ("datapath", datapath),
                ("ownership", ownership),
                ("release", release),
            ]);
            self.sample(&family::DATAPATH, &labels, 1);
        }
        self.open(&family::STATIONS);
        for (fabric, FabricReading { stations, .. }) in fabrics {
            for (lease, count) in [("valid", stations.valid), ("expired", stations.expired)] {
                let labels = labels(&[("fabric", fabric), ("lease", lease)]);
                self.sample(&family::STATIONS, &labels, count);
            }
        }
        self.open(&family::KEPT);
        for (fabric, FabricReading { stations, .. }) in fabrics {
            self.sample(&family::KEPT, &of_fabric(fabric), u8::from(stations.are_kept()));
        }
        for (family, value_of) in CAPTURES {
            self.open(family);
            for (fabric, FabricReading { capture, .. }) in fabrics {
                if let Some(capture) = capture {
                    self.sample(family, &of_fabric(fabric), value_of(capture));
                }
            }
        }
    }

    fn ports(&mut self, fabrics: &[(&str, &FabricReading)]) {
        let ports = fabrics.iter().flat_map(|(fabric, reading)| {
            reading.ports.iter().map(|port| {
                let netns = port.netns.as_deref().unwrap_or_default();
                (labels(&[("fabric", fabric), ("port", &port.name), ("netns", netns)]), port)
            })
        });
        let ports: Vec<_> = ports.collect();
        self.open(&family::PORT_IFINDEX);
        for (labels, port) in &ports {
            self.sample(&family::PORT_IFINDEX, labels, port.ifindex);
        }
        self.open(&family::PORT_FAST);
        for (labels, port) in &ports {
            self.sample(&family::PORT_FAST, labels, u8::from(port.is_fast));
        }
        for (family, value_of) in COUNTED {
            self.open(family);
            for (labels, port) in &ports {
                for verdict in Verdict::ALL {
                    let counter = port.counters.of(verdict);
                    if counter.frames > 0 || verdict.is_fast() {
                        let labels = format!("{labels},verdict=\"{}\"", verdict.name());
                        self.sample(family, &labels, value_of(counter));
                    }
                }
            }
        }
        self.open(&family::DROPPED);
        for (labels, port) in &ports {
            let dropped = port.dropped;
            for (direction, frames) in
                [("arriving", dropped.arriving), ("leaving", dropped.leaving)]
            {
                let labels = format!("{labels},direction=\"{direction}\"");
                self.sample(&family::DROPPED, &labels, frames);
            }
        }
    }

    fn agent(&mut self, agent: &AgentSample) {
        let AgentSample { fabric, is_active, events, overruns, rounds, failures } = agent;
        for (family, value) in [
            (&family::AGENT_ACTIVE, u64::from(*is_active)),
            (&family::AGENT_ROUNDS, *rounds),
            (&family::AGENT_FAILURES, *failures),
            (&family::AGENT_EVENTS, *events),
            (&family::AGENT_OVERRUNS, *overruns),
        ] {
            self.open(family);
            self.sample(family, &of_fabric(fabric), value);
        }
    }

    /// Says what the samples that follow are.
    fn open(&mut self, family: &Family) {
        let (name, kind) = match (self.format, family.kind) {
            (Format::OpenMetrics, kind) => (family.name.to_owned(), kind),
            (Format::Text, Kind::Counter) => (family.sample_name(), Kind::Counter),
            // It knows of no other kind that fits.
            (Format::Text, Kind::Gauge | Kind::Info) => (family.sample_name(), Kind::Gauge),
        };
        let _ = writeln!(self.text, "# TYPE {name} {}", kind.name());
        if let Some(unit) = family.unit.filter(|_| self.format == Format::OpenMetrics) {
            let _ = writeln!(self.text, "# UNIT {name} {unit}");
        }
        let _ = writeln!(self.text, "# HELP {name} {}", family.help);
    }

    fn sample(&mut self, family: &Family, labels: &str, value: impl Display) {
        let name = family.name;
        let suffix = family.kind.suffix();
        let _ = match labels {
            "" => writeln!(self.text, "{name}{suffix} {value}"),
            labels => writeln!(self.text, "{name}{suffix}{{{labels}}} {value}"),
        };
    }
}

fn of_fabric(fabric: &str) -> String {
    labels(&[("fabric", fabric)])
}

/// The labels, as they stand between the braces.
fn labels(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{name}=\"");
        for it in value.chars() {
            match it {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                it => text.push(it),
            }
        }
        text.push('"');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, time::Duration};

    use veth_common::PortCounters;

    use super::*;
    use crate::{
        counters::Dropped,
        metrics::{FabricSample, PortReading, Stations},
    };

    fn sample() -> Sample {
        let mut counters = PortCounters::ZERO;
        counters.by_verdict[Verdict::Broadcast as usize] =
            Counter { frames: 2, bytes: 84, segments: 2 };
        let port = PortReading {
            name: "red".into(),
            netns: None,
            ifindex: 7,
            is_fast: true,
            counters,
            dropped: Dropped { arriving: 1, leaving: 0 },
        };
        let reading = FabricReading {
            datapath: "tc",
            ownership: "adopted",
            release: "0.1.0".into(),
            stations: Stations { valid: 0, expired: 2 },
            capture: Some(CaptureReading { is_active: true, captured: 9, lost: 1, limited: 0 }),
            ports: vec![port],
        };
        Sample {
            version: "0.1.0",
            object: "0.1.0".into(),
            kernel: "6.18.0".into(),
            took: Duration::from_millis(2),
            fabrics: vec![
                FabricSample { fabric: "lab".into(), reading: Some(reading) },
                FabricSample { fabric: "gone".into(), reading: None },
            ],
            agent: Some(AgentSample { fabric: "lab".into(), rounds: 3, ..AgentSample::default() }),
        }
    }

    #[test]
    fn a_sample_as_open_metrics() {
        insta::assert_snapshot!(encode(&sample(), Format::OpenMetrics));
    }

    #[test]
    fn the_older_format_has_the_same_samples() {
        let samples = |format| -> Vec<String> {
            let text = encode(&sample(), format);
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
        };
        assert_eq!(samples(Format::OpenMetrics), samples(Format::Text));
        let text = encode(&sample(), Format::Text);
        assert!(text.contains("# TYPE veth_frames_total counter\n"), "{text}");
        assert!(text.contains("# TYPE veth_build_info gauge\n"), "{text}");
        assert!(!text.contains("# EOF") && !text.contains("# UNIT"), "{text}");
    }

    #[test]
    fn every_family_is_written_with_the_labels_that_it_declares() {
        let text = encode(&sample(), Format::OpenMetrics);
        let mut written = BTreeSet::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, _) = line.split_once(['{', ' ']).expect("a sample has a value");
            let family = family::ALL.iter().find(|family| family.sample_name() == name);
            let family = family.expect("only what there is, is written");
            let labels = line.split_once('{').map_or("", |(_, labels)| labels);
            let labels: Vec<&str> = labels
                .split(',')
                .filter_map(|label| label.split_once('=').map(|(name, _)| name))
                .collect();
            assert_eq!(labels, family.labels, "{line}");
            written.insert(family.name);
        }
        assert_eq!(written.len(), family::ALL.len(), "{written:?}");
    }

    #[test]
    fn values_of_labels_cannot_leave_their_quotes() {
        assert_eq!(labels(&[("port", "a\"b\\c\nd"), ("x", "")]), r#"port="a\"b\\c\nd",x="""#);
    }

    #[test]
    fn what_has_not_happened_takes_no_room_but_the_fast_path_does() {
        let text = encode(&sample(), Format::OpenMetrics);
        let frames: Vec<&str> =
            text.lines().filter(|line| line.starts_with("veth_frames_total")).collect();
        assert_eq!(
            frames,
            [
                r#"veth_frames_total{fabric="lab",port="red",netns="",verdict="redirected"} 0"#,
                r#"veth_frames_total{fabric="lab",port="red",netns="",verdict="broadcast"} 2"#,
            ]
        );
    }
}
