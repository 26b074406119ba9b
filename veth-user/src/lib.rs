//! The control plane of veth: fabrics, their eBPF datapath, and the command line over them.
//!
//! Modules form layers, and use only what is below them:
//!
//! | layer | modules | what they do |
//! |---|---|---|
//! | 4 | [`cli`] | talk to people |
//! | 3 | [`mod@bench`], [`census`], [`examination`], [`exposition`], [`fabric`], [`sync`], [`traffic`] | orchestrate |
//! | 2 | [`netns`], [`netlink`], [`datapath`], [`privilege`], [`lock`], [`sysctl`], [`machine`], [`containers`] | talk to the kernel |
//! | 1 | [`topology`], [`view`], [`plan`], [`forwarding`], [`counters`], [`report`], [`results`], [`statistics`], [`inventory`], [`diagnosis`], [`explanation`], [`metrics`], [`capture`], [`dashboard`] | decide, without I/O |

pub mod bench;
pub mod capture;
pub mod census;
pub mod cli;
pub mod containers;
pub mod counters;
pub mod dashboard;
pub mod datapath;
pub mod diagnosis;
pub mod examination;
pub mod explanation;
pub mod exposition;
pub mod fabric;
pub mod forwarding;
pub mod inventory;
pub mod lock;
pub mod machine;
pub mod metrics;
pub mod netlink;
pub mod netns;
pub mod plan;
pub mod privilege;
pub mod report;
pub mod results;
pub mod statistics;
mod stop;
pub mod sync;
pub mod sysctl;
pub mod topology;
pub mod traffic;
pub mod view;

pub use stop::Stop;
