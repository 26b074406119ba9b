//! Kernel settings that decide what a bridge does, and that no link tells of.

use std::fs;

/// The settings of `br_netfilter` that are on: the bridge then hands frames to iptables, ip6tables
/// or arptables, which frames on the fast path do not meet.
pub fn bridge_netfilter() -> Vec<&'static str> {
    ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-call-arptables"]
        .into_iter()
        .filter(|name| {
            // Not there when the module is not loaded.
            fs::read_to_string(format!("/proc/sys/net/bridge/{name}"))
                .is_ok_and(|value| value.trim() != "0")
        })
        .collect()
}
