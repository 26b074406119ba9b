//! What was counted, by veth and by the kernel's own statistics beside it.

use std::{collections::BTreeMap, fs};

use serde_json::Value;
use veth_common::{Counter, Verdict};

use super::talk::device;
use crate::sandbox::{PATIENCE, Sandbox, counter_in};

/// Everything that is counted about one member of a fabric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Verdicts on the frames from its port, the zeros left out.
    pub(crate) verdicts: BTreeMap<Verdict, Counter>,
    /// Frames and bytes that its interface sent.
    pub(crate) sent: (u64, u64),
    /// Frames and bytes that entered the port's hook: the interface's, as the other end of the
    /// pair has them.
    pub(crate) entered: (u64, u64),
    /// Frames that the bridge sent through the port, and the host did not send itself (it greets
    /// multicast routers when it likes to).
    pub(crate) bridged: i64,
    /// TCP segments that its stack sent, repeated ones included.
    pub(crate) tcp_segments: u64,
}

impl Totals {
    /// The totals of `members` at one moment: nothing moved while they were read.
    #[track_caller]
    pub(crate) fn settled<const N: usize>(
        sandbox: &Sandbox,
        fabric: &str,
        members: [&str; N],
    ) -> [Self; N] {
        let deadline = std::time::Instant::now() + PATIENCE;
        let mut before = members.map(|member| Self::read(sandbox, fabric, member));
        loop {
            let now = members.map(|member| Self::read(sandbox, fabric, member));
            if now == before {
                return now;
            }
            assert!(std::time::Instant::now() < deadline, "the counters never came to rest");
            before = now;
        }
    }

    fn read(sandbox: &Sandbox, fabric: &str, member: &str) -> Self {
        let (inside, port) = (device(sandbox, Some(member), "eth0"), device(sandbox, None, member));
        let sent_through = |device: &str| {
            i64::try_from(sandbox.device_counter(device, "tx_packets")).expect("not that many")
        };
        Self {
            verdicts: verdicts(&sandbox.stats(fabric), member),
            sent: statistic(&inside, "tx"),
            entered: statistic(&port, "rx"),
            bridged: sent_through(member) - sent_through(fabric),
            tcp_segments: sandbox.inside(member, tcp_segments),
        }
    }

    /// What was added since `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> Self {
        let pair = |now: (u64, u64), then: (u64, u64)| (now.0 - then.0, now.1 - then.1);
        let mut verdicts = self.verdicts.clone();
        for (verdict, then) in &earlier.verdicts {
            let now = verdicts.entry(*verdict).or_default();
            now.frames -= then.frames;
            now.bytes -= then.bytes;
            now.segments -= then.segments;
        }
        verdicts.retain(|_, counter| *counter != Counter::default());
        Self {
            verdicts,
            sent: pair(self.sent, earlier.sent),
            entered: pair(self.entered, earlier.entered),
            bridged: self.bridged - earlier.bridged,
            tcp_segments: self.tcp_segments - earlier.tcp_segments,
        }
    }

    /// What one verdict counted.
    pub(crate) fn of(&self, verdict: Verdict) -> Counter {
        self.verdicts.get(&verdict).copied().unwrap_or_default()
    }

    /// What its interface counted as sent, with the bytes as `datapath` has them.
    pub(crate) fn sent_over(&self, datapath: &str) -> (u64, u64) {
        with_headers(self.sent, datapath)
    }

    /// What entered the port's hook, with the bytes as `datapath` has them.
    pub(crate) fn entered_over(&self, datapath: &str) -> (u64, u64) {
        with_headers(self.entered, datapath)
    }

    /// Frames and bytes over all verdicts.
    pub(crate) fn counted(&self) -> (u64, u64) {
        let mut sum = Counter::default();
        for counter in self.verdicts.values() {
            sum.add(counter);
        }
        (sum.frames, sum.bytes)
    }
}

/// A port with an XDP program polls, and then counts what its other end sends without Ethernet
/// headers, for both ends. Source: `veth_xdp_rcv` in
/// <https://github.com/torvalds/linux/blob/v6.12/drivers/net/veth.c>.
fn with_headers((frames, bytes): (u64, u64), datapath: &str) -> (u64, u64) {
    let header_bytes = if datapath == "xdp" { 14 } else { 0 };
    (frames, bytes + frames * header_bytes)
}

/// The verdicts on a port in the output of `stats --json`, the zeros left out.
#[track_caller]
pub(crate) fn verdicts(stats: &Value, port: &str) -> BTreeMap<Verdict, Counter> {
    let counter = |verdict: Verdict| {
        let (frames, bytes, segments) = counter_in(stats, port, verdict.name());
        Counter { frames, bytes, segments }
    };
    Verdict::ALL
        .into_iter()
        .map(|verdict| (verdict, counter(verdict)))
        .filter(|(_, counter)| *counter != Counter::default())
        .collect()
}

fn statistic(device: &Value, direction: &str) -> (u64, u64) {
    let field = |name: &str| {
        device["stats64"][direction][name].as_u64().expect("every device counts those")
    };
    (field("packets"), field("bytes"))
}

/// `OutSegs` and `RetransSegs` of the calling thread's namespace: the kernel counts a segment
/// that is sent again in the second only.
fn tcp_segments() -> u64 {
    ["OutSegs", "RetransSegs"].into_iter().map(|name| protocol_counter("Tcp", name)).sum()
}

/// One of the protocol counters of the calling thread's namespace.
pub(crate) fn protocol_counter(protocol: &str, name: &str) -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/snmp").expect("is readable");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(&format!("{protocol}: ")));
    let (names, values) = (lines.next().expect("has a heading"), lines.next().expect("has values"));
    let at = names.split(' ').position(|it| it == name).expect("is a counter");
    values.split(' ').nth(at).and_then(|value| value.parse().ok()).expect("is a number")
}
