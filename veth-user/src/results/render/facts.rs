//! What is said about a run beside its figures: where and how it ran, what is missing, what is
//! doubtful.

use crate::report::percent;

use super::{
    super::{CapturedFrames, Machine, Results, Summary, Unavailable, Workload},
    date::utc,
};

/// Something with a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) text: String,
}

impl Fact {
    fn new(name: impl AsRef<str>, text: impl AsRef<str>) -> Self {
        Self { name: one_line(name.as_ref()), text: one_line(text.as_ref()) }
    }
}

/// Where it ran.
pub(super) fn machine(machine: &Machine) -> Vec<Fact> {
    let Machine { kernel, cpu, cpus, hypervisor, clock, governor, mitigations, bridge_netfilter } =
        machine;
    let cpus_text = if *cpus == 1 { "1 CPU".into() } else { format!("{cpus} CPUs") };
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".into());
    let mitigations: Vec<String> = mitigations
        .iter()
        .map(|(name, state)| format!("{name}: {}", state.trim_start_matches("Mitigation: ")))
        .collect();
    vec![
        Fact::new("Kernel", kernel),
        Fact::new("CPU", format!("{cpu}, {cpus_text}")),
        Fact::new("Hypervisor", hypervisor.as_deref().unwrap_or("none that tells")),
        Fact::new("Clock", or_unknown(clock)),
        Fact::new("Governor", or_unknown(governor)),
        Fact::new(
            "br_netfilter",
            if *bridge_netfilter { "on: bridges ask netfilter about each frame" } else { "off" },
        ),
        match mitigations.as_slice() {
            [] => Fact::new("Mitigations", "none that cost time"),
            mitigations => Fact::new("Mitigations", mitigations.join("; ")),
        },
    ]
}

/// How it was measured.
pub(super) fn settings(results: &Results) -> Vec<Fact> {
    let it = &results.settings;
    let mut facts = vec![
        Fact::new("Date", utc(results.started_at_s)),
        Fact::new("Release", format!("veth {}", results.release)),
        Fact::new(
            "Rounds",
            format!("{} x {} ms, {} ms of warm-up each", it.rounds, it.round_ms, it.warmup_ms),
        ),
        Fact::new("CPUs used", format!("client {}, server {}", it.client_cpu, it.server_cpu)),
        Fact::new("Protocol", if it.ipv6 { "IPv6" } else { "IPv4" }),
    ];
    let is_measured =
        |is: fn(&Workload) -> bool| results.cells.iter().any(|cell| is(&cell.workload));
    if is_measured(|workload| *workload == Workload::UdpPps) {
        facts.push(Fact::new("Datagrams", format!("{} bytes of payload", it.payload_bytes)));
    }
    if is_measured(|workload| workload.is_in_kernel()) {
        let flows = if it.flows == 1 { "1 flow".into() } else { format!("{} flows", it.flows) };
        let text = format!("{} bytes, {flows}, {} in a batch", it.frame_bytes, it.batch_frames);
        facts.push(Fact::new("Frames", text));
    }
    for it in results.captured.iter().filter(|it| it.frames > 0) {
        let CapturedFrames { path, ports, frames, lost } = it;
        let with_ports = ports.map_or_else(String::new, |ports| format!(", {ports} ports"));
        let share = percent(*lost as f64 / *frames as f64);
        let text = format!("{frames} frames seen, {share} of them not captured for want of room");
        facts.push(Fact::new(format!("{path}{with_ports}"), text));
    }
    facts
}

/// What could not be measured, and why.
pub(super) fn unavailable(results: &Results) -> Vec<Fact> {
    let fact = |it: &Unavailable| {
        let name = match it.workload {
            Some(workload) => format!("{}, {workload}", it.path),
            None => it.path.to_string(),
        };
        Fact::new(name, &it.reason)
    };
    results.unavailable.iter().map(fact).collect()
}

/// What makes the figures doubtful.
pub(super) fn warnings(summary: &Summary) -> Vec<String> {
    summary.warnings.iter().map(|warning| one_line(warning)).collect()
}

/// `text` on one line and without control characters: it may come from a file that somebody else
/// wrote, and must not move a terminal's cursor.
fn one_line(text: &str) -> String {
    let printable =
        text.chars().map(|it| if it.is_control() || it.is_whitespace() { ' ' } else { it });
    printable.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn settings_of_what_was_not_measured_are_left_out() {
        let names = |results: &Results| -> Vec<String> {
            settings(results).into_iter().map(|fact| fact.name).collect()
        };
        let (rich, small) = (fixture::rich().0, fixture::small().0);
        assert!(names(&rich).contains(&"Frames".into()));
        assert!(!names(&small).contains(&"Frames".into()));
    }

    #[test]
    fn what_a_capture_lost_is_a_fact() {
        let mut results = fixture::small().0;
        let path = results.cells[0].path;
        results.captured = vec![
            CapturedFrames { path, ports: None, frames: 200, lost: 50 },
            CapturedFrames { path, ports: Some(9), frames: 0, lost: 0 },
        ];
        let facts = settings(&results);
        let told: Vec<&Fact> = facts.iter().filter(|fact| fact.text.contains("room")).collect();
        let [fact] = &told[..] else { panic!("{facts:?}") };
        assert_eq!(fact.name, path.to_string());
        assert_eq!(fact.text, "200 frames seen, 25.0 % of them not captured for want of room");
    }

    #[test]
    fn text_from_elsewhere_stays_on_its_line() {
        assert_eq!(one_line("a\u{1b}[2Jb\r\n\tc  d"), "a [2Jb c d");
    }
}
