//! Options of `veth attach` and `veth detach`.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;

use crate::{cli::arguments::HookName, view::Bypass};

/// Options of `attach`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an argument of its own")]
pub struct AttachOptions {
    /// Name of the bridge.
    pub bridge: String,
    /// Only say what would be served, and what not.
    #[arg(long)]
    pub dry_run: bool,
    /// Accept that frames pass this by; may be given several times.
    #[arg(long, value_name = "NAME", value_parser = super::bypass)]
    pub bypass: Vec<Bypass>,
    /// Where to attach the program; by default the best that the kernel has.
    #[arg(long, value_name = "HOOK")]
    pub hook: Option<HookName>,
    /// Serve metrics for Prometheus there, as 127.0.0.1:9478.
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["dry_run", "once"])]
    pub metrics: Option<SocketAddr>,
    /// Wait for the bridge when there is none yet.
    #[arg(long)]
    pub wait: bool,
    /// Attach, or look once more, and return; an agent has to keep it.
    #[arg(long, conflicts_with = "wait")]
    pub once: bool,
    /// Print a systemd unit for this, and do nothing.
    #[arg(long, conflicts_with_all = ["install", "once", "dry_run"])]
    pub unit: bool,
    /// Write a systemd unit for this into DIR, and do nothing else.
    #[arg(
        long,
        value_name = "DIR",
        num_args = 0..=1,
        default_missing_value = "/etc/systemd/system",
        conflicts_with_all = ["once", "dry_run"]
    )]
    pub install: Option<PathBuf>,
}

/// Options of `detach`.
#[derive(Debug, Args)]
pub struct DetachOptions {
    /// Name of the bridge.
    pub bridge: String,
}
