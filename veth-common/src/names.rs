//! Names of the programs and maps in the object, as the loader and the pins use them.
//!
//! `#[map(name = ..)]` and `#[classifier]` in `veth-ebpf` repeat these as literals, because
//! attribute macros take no constants; a test over the embedded object proves that they agree.

/// The classifier that runs at the tc ingress of each port.
pub const TC_INGRESS: &str = "tc_ingress";

/// Ports by ifindex ([`PortEntry`](crate::PortEntry)), `BPF_MAP_TYPE_HASH`.
pub const MAP_PORTS: &str = "VETH_PORTS";
/// Forwarding entries by MAC address ([`FdbEntry`](crate::FdbEntry)), `BPF_MAP_TYPE_HASH`.
pub const MAP_FDB: &str = "VETH_FDB";
/// Verdict counters by port slot ([`PortCounters`](crate::PortCounters)),
/// `BPF_MAP_TYPE_PERCPU_ARRAY`.
pub const MAP_COUNTERS: &str = "VETH_COUNTERS";
/// Identity of the pinned set ([`Meta`](crate::Meta)), `BPF_MAP_TYPE_ARRAY` with one value.
pub const MAP_META: &str = "VETH_META";

/// Every map of the object.
pub const MAPS: [&str; 4] = [MAP_PORTS, MAP_FDB, MAP_COUNTERS, MAP_META];
/// Every program of the tc object.
pub const TC_PROGRAMS: [&str; 1] = [TC_INGRESS];
