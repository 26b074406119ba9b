//! The eBPF datapath of a fabric: its object, maps, attachments and pins.
//!
//! This is the only module that names aya types. The pins of fabric `lab`, all below
//! `/sys/fs/bpf/veth/lab`:
//!
//! ```text
//! VETH_PORTS VETH_FDB VETH_NEAR                  maps
//! VETH_COUNTERS VETH_META                        more of them
//! VETH_CAPTURE VETH_FRAMES VETH_TALLY            more of them, for captures
//! VETH_PAIRS VETH_PAIRS_UNTIL                    more of them, for who talks to whom
//! VETH_TARGETS VETH_PREPARED                     more of them, for XDP
//! tc_ingress, or xdp_ingress                     the program
//! ports/<ifindex>                                one link for each hooked port: tcx, or XDP
//! ```
//!
//! Before 6.6 there are no tcx links: the filter on the port's clsact qdisc keeps the program.

mod attach;
pub mod bench;
mod bpffs;
mod capture;
mod clock;
mod counters;
mod dry_run;
mod error;
mod features;
mod foreign;
mod load;
#[cfg(feature = "ebpf-log")]
mod log;
mod near;
mod object;
mod pairs;
mod pins;
mod prepared;
mod program;
mod qdisc;
mod table;
mod tables;

pub use attach::{Attached, FILTER, FilterPlace, Hook, PortDevice, Present, detach_clsact};
pub use bpffs::{BpffsError, dir_of, fabrics, is_mounted, remove_dir};
pub use capture::{CaptureEnd, CaptureStatus, FrameSource};
pub use clock::{monotonic, realtime};
pub use counters::CounterMap;
pub use dry_run::DryRun;
pub use error::DatapathError;
pub use features::{Unsupported, require_hook, supported_hook, xdp_mtu_limit_bytes};
pub use foreign::{has_tcx_egress, has_tcx_ingress_after};
pub use load::{Datapath, ProgramSource};
#[cfg(feature = "ebpf-log")]
pub use log::print_records;
pub use object::{BENCH_OBJECT, RELEASE, TC_OBJECT, XDP_OBJECT, release_text};
pub use pairs::PairMap;
pub use pins::{
    has_link, is_of_another, linked_program, pinned_leases, pinned_path, pinned_ports,
    pinned_program, pinned_stations, read_meta, remove_links,
};
pub use prepared::PreparedMap;
pub use qdisc::{forget_clsact, made_clsact};
pub use tables::{Changes, Renewal, TableMaps};
