//! What can go wrong with keeping a fabric true.

use crate::{datapath::DatapathError, netlink::NetlinkError};

/// A round that failed.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// rtnetlink.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The datapath.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// There is no bridge of that name.
    #[error("there is no fabric {0}; `veth status` lists what there is")]
    Absent(String),
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl SyncError {
    /// The caller lacks a capability.
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Netlink(error) => error.is_permission(),
            Self::Datapath(error) => error.is_permission(),
            Self::Absent(_) | Self::Interrupted => false,
        }
    }
}
