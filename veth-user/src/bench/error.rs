//! What can go wrong with a benchmark.

use crate::{
    datapath::DatapathError, fabric::FabricError, netlink::NetlinkError, netns::NetnsError,
    sync::SyncError, traffic::TrafficError,
};

/// A benchmark that failed, or a part of it.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// rtnetlink.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// A fabric.
    #[error(transparent)]
    Fabric(#[from] FabricError),
    /// Keeping a bridge.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// A program of the benchmark.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// The runtime of an agent.
    #[error("start the runtime of an agent: {0}")]
    Runtime(#[source] std::io::Error),
    /// The traffic.
    #[error(transparent)]
    Traffic(#[from] TrafficError),
    /// A kernel setting.
    #[error("set {name}: {source}")]
    Setting {
        /// Which one.
        name: String,
        /// Why it cannot be set.
        source: std::io::Error,
    },
    /// Something that was made is not there.
    #[error("{0} is not there any more")]
    Missing(String),
    /// The path cannot carry this.
    #[error("{0}")]
    Unavailable(String),
    /// Nothing arrived at the other end; so much is known to be lost.
    #[error("nothing arrived at the other end ({0} lost)")]
    NothingArrived(u64),
    /// None of the paths could be made.
    #[error("none of the paths can be measured: {0}")]
    NoPath(String),
}

impl BenchError {
    /// The caller lacks a capability.
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Netlink(error) => error.is_permission(),
            Self::Netns(error) => error.is_permission(),
            Self::Fabric(error) => error.is_permission(),
            Self::Datapath(error) => error.is_permission(),
            Self::Sync(error) => error.is_permission(),
            Self::Traffic(_)
            | Self::Runtime(_)
            | Self::Setting { .. }
            | Self::Missing(_)
            | Self::Unavailable(_)
            | Self::NothingArrived(_)
            | Self::NoPath(_) => false,
        }
    }
}
