//! Names of the programs and maps in the object, as the loader and the pins use them.
//!
//! `#[map(name = ..)]`, `#[classifier]` and `#[xdp]` in `veth-ebpf` repeat these as literals, because
//! attribute macros take no constants; a test over the embedded objects proves that they agree.

/// The classifier that runs at the tc ingress of each port.
pub const TC_INGRESS: &str = "tc_ingress";
/// The XDP program that runs at the ingress of each port, for frames of any size.
///
/// Minimum kernel version: 5.18 (XDP multi-buffer).
pub const XDP_INGRESS: &str = "xdp_ingress";
/// The same for older kernels, whose XDP frames lie in one page.
pub const XDP_INGRESS_LINEAR: &str = "xdp_ingress_linear";

/// Ports by ifindex ([`PortEntry`](crate::PortEntry)), `BPF_MAP_TYPE_HASH`.
pub const MAP_PORTS: &str = "VETH_PORTS";
/// Forwarding entries by MAC address ([`FdbEntry`](crate::FdbEntry)), `BPF_MAP_TYPE_HASH`.
pub const MAP_FDB: &str = "VETH_FDB";
/// Verdict counters by port slot ([`PortCounters`](crate::PortCounters)),
/// `BPF_MAP_TYPE_PERCPU_ARRAY`.
pub const MAP_COUNTERS: &str = "VETH_COUNTERS";
/// Those of the FDB entries that have a place of their own there ([`FdbEntry`](crate::FdbEntry) at
/// [`near_place`](crate::near_place)), `BPF_MAP_TYPE_ARRAY`.
pub const MAP_NEAR: &str = "VETH_NEAR";
/// The global that the loader sets where the kernel has `bpf_ktime_get_coarse_ns`.
pub const GLOBAL_HAS_COARSE_CLOCK: &str = "HAS_COARSE_CLOCK";
/// Identity of the pinned set ([`Meta`](crate::Meta)), `BPF_MAP_TYPE_ARRAY` with one value.
pub const MAP_META: &str = "VETH_META";

/// Devices that XDP hands frames to, by the slot of the port (`BPF_MAP_TYPE_DEVMAP`).
pub const MAP_TARGETS: &str = "VETH_TARGETS";
/// What was changed at a port and its peer to make XDP work there
/// ([`Prepared`](crate::Prepared)), by ifindex of the port, `BPF_MAP_TYPE_HASH`.
pub const MAP_PREPARED: &str = "VETH_PREPARED";

/// Captured frames ([`CaptureHead`](crate::CaptureHead) and bytes), `BPF_MAP_TYPE_RINGBUF`.
pub const MAP_FRAMES: &str = "VETH_FRAMES";
/// What became of frames that were to be captured ([`CaptureTally`](crate::CaptureTally)),
/// `BPF_MAP_TYPE_PERCPU_ARRAY` with one value.
pub const MAP_TALLY: &str = "VETH_TALLY";
/// The variable of captures, [`CaptureRule`](crate::CaptureRule), by the section that it is in.
pub const CAPTURE_VARIABLE: &str = ".bss";
/// What it is pinned as, `BPF_MAP_TYPE_ARRAY` with one value.
pub const MAP_CAPTURE: &str = "VETH_CAPTURE";

/// Frames handed from one port to another ([`Counter`](crate::Counter)), by
/// [`Pair`](crate::Pair), `BPF_MAP_TYPE_PERCPU_HASH`.
pub const MAP_PAIRS: &str = "VETH_PAIRS";
/// Until when pairs are counted, in nanoseconds of `CLOCK_MONOTONIC`, by the section that the variable
/// is in. Apart from that of captures, because the kernel writes a section as a whole, and the two
/// are not written by the same process.
pub const PAIRS_VARIABLE: &str = ".bss.pairs";
/// What it is pinned as, `BPF_MAP_TYPE_ARRAY` with one value.
pub const MAP_PAIRS_UNTIL: &str = "VETH_PAIRS_UNTIL";

/// The maps of every object.
pub const MAPS: [&str; 8] =
    [MAP_PORTS, MAP_FDB, MAP_NEAR, MAP_COUNTERS, MAP_META, MAP_FRAMES, MAP_TALLY, MAP_PAIRS];
/// The variables of every object, by their sections and by the names of their pins.
pub const VARIABLES: [(&str, &str); 2] =
    [(CAPTURE_VARIABLE, MAP_CAPTURE), (PAIRS_VARIABLE, MAP_PAIRS_UNTIL)];
/// The maps that only the XDP object has.
pub const XDP_MAPS: [&str; 2] = [MAP_TARGETS, MAP_PREPARED];
/// The XDP program that makes frames for the benchmark.
pub const BENCH_GENERATE: &str = "bench_generate";
/// The classifier that counts and drops them.
pub const BENCH_SINK_TC: &str = "bench_sink_tc";
/// The XDP program that counts and drops them.
pub const BENCH_SINK_XDP: &str = "bench_sink_xdp";
/// The classifier that forwards like [`TC_INGRESS`], with `bpf_redirect` to the port.
pub const BENCH_REDIRECT: &str = "bench_redirect";
/// The classifier that forwards like [`TC_INGRESS`], after a delay.
pub const BENCH_DELAYED: &str = "bench_delayed";
/// What the generator is to send ([`Generate`](crate::Generate)), `BPF_MAP_TYPE_ARRAY`.
pub const MAP_BENCH_GENERATE: &str = "BENCH_GENERATE";
/// What arrived at a sink ([`Sunk`](crate::Sunk)), `BPF_MAP_TYPE_PERCPU_ARRAY`.
pub const MAP_BENCH_SUNK: &str = "BENCH_SUNK";
/// How many frames the generator has made, `BPF_MAP_TYPE_PERCPU_ARRAY`.
pub const MAP_BENCH_SENT: &str = "BENCH_SENT";
/// The delay in nanoseconds, `BPF_MAP_TYPE_ARRAY`.
pub const MAP_BENCH_DELAY: &str = "BENCH_DELAY";

/// The maps that only the object of the benchmark has.
pub const BENCH_MAPS: [&str; 4] =
    [MAP_BENCH_GENERATE, MAP_BENCH_SENT, MAP_BENCH_SUNK, MAP_BENCH_DELAY];
/// Every program of the object of the benchmark.
pub const BENCH_PROGRAMS: [&str; 5] =
    [BENCH_GENERATE, BENCH_SINK_TC, BENCH_SINK_XDP, BENCH_REDIRECT, BENCH_DELAYED];

/// Every program of the tc object.
pub const TC_PROGRAMS: [&str; 1] = [TC_INGRESS];
/// Every program of the XDP object.
pub const XDP_PROGRAMS: [&str; 2] = [XDP_INGRESS, XDP_INGRESS_LINEAR];
