//! What is special about the XDP datapath: peers are prepared for it and put back, frames are whole
//! before they are sent, and a fabric that runs can be switched to it and from it.
//!
//! What it has in common with tc is tested with it, in `traffic` and `sync`.

mod checksums;
mod crash;
mod foreign;
mod offloads;
mod switch;
pub(crate) mod vlan;

use std::collections::BTreeMap;

use aya::programs::{SchedClassifier, TcAttachType};
use serde_json::Value;

use crate::{sandbox::Sandbox, traffic::talk::device};

/// What `ethtool -k` says of the interface in a namespace: every feature, and in its words how it is.
pub(crate) fn features(sandbox: &Sandbox, netns: &str) -> BTreeMap<String, String> {
    let text = sandbox.sh(&format!("ip netns exec {netns} ethtool -k eth0"));
    let features = text.lines().skip(1).filter_map(|line| line.trim().split_once(": "));
    features.map(|(name, state)| (name.to_owned(), state.to_owned())).collect()
}

/// Whether an interface is as XDP needs it.
pub(crate) fn is_prepared(features: &BTreeMap<String, String>) -> bool {
    let is = |name: &str, wanted: &str| {
        let state = features.get(name).expect("every kernel with XDP links has it");
        state.split(' ').next() == Some(wanted)
    };
    // Names of old: that of `tx-vlan-hw-insert` is `tx-vlan-offload`.
    is("tx-checksum-ip-generic", "off")
        && is("tx-checksum-sctp", "off")
        && is("tx-vlan-offload", "off")
        && is("tx-vlan-stag-hw-insert", "off")
        && is("tcp-segmentation-offload", "off")
        && is("generic-receive-offload", "on")
}

/// Turns features of the interface in a namespace on or off, as its user would.
#[track_caller]
pub(crate) fn set_features(sandbox: &Sandbox, netns: &str, features: &str) {
    sandbox.sh(&format!("ip netns exec {netns} ethtool -K eth0 {features}"));
}

/// One port in the output of `status --json`.
#[track_caller]
pub(crate) fn port_status(sandbox: &Sandbox, port: &str) -> Value {
    let status = sandbox.veth(&["status", "lab", "--json"]).json();
    let ports = status["ports"].as_array().expect("a fabric has ports");
    ports.iter().find(|it| it["name"] == port).expect("the fabric has that port").clone()
}

/// Where programs hang on a port of the host, as the kernel says, whoever attached them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hooked {
    /// Programs attached through tcx.
    pub(crate) tcx: usize,
    /// Filters of ours on a clsact qdisc.
    pub(crate) clsact: bool,
    /// An XDP program.
    pub(crate) xdp: bool,
}

impl Hooked {
    pub(crate) const NONE: Self = Self { tcx: 0, clsact: false, xdp: false };

    /// The one hook of that name.
    pub(crate) fn only(name: &str) -> Self {
        match name {
            "tcx" => Self { tcx: 1, ..Self::NONE },
            "clsact" => Self { clsact: true, ..Self::NONE },
            "xdp" => Self { xdp: true, ..Self::NONE },
            other => panic!("there is no hook {other}"),
        }
    }

    #[track_caller]
    pub(crate) fn of(sandbox: &Sandbox, port: &str) -> Self {
        let query = || SchedClassifier::query_tcx(port, TcAttachType::Ingress);
        let (_, programs) = sandbox.on_host(query).expect("this kernel has tcx");
        let filters = sandbox.sh(&format!("tc filter show dev {port} ingress"));
        let xdp = device(sandbox, None, port)["xdp"].clone();
        Self { tcx: programs.len(), clsact: filters.contains("tc_ingress"), xdp: !xdp.is_null() }
    }
}

/// What is pinned for the fabric, directory by directory.
pub(crate) fn pins(sandbox: &Sandbox) -> String {
    sandbox.sh("cd /sys/fs/bpf && ls veth/lab 2>/dev/null || true")
}
