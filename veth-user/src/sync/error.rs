//! What can go wrong with keeping a fabric true.

use crate::{datapath::DatapathError, lock::LockError, netlink::NetlinkError, netns::NetnsError};

/// A round that failed.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// rtnetlink.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The datapath.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// The namespace of this process.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// Another process is at work.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The pins are another datapath's by now, or gone.
    #[error("the datapath of fabric {0} was taken down or replaced")]
    Replaced(String),
    /// There is no bridge of that name.
    #[error("there is no fabric {0}; `veth status` lists what there is")]
    Absent(String),
    /// A port still runs the XDP program whose link was let go of.
    #[error(
        "port {0} still runs the XDP program: somebody else holds its link (`bpftool link` lists \
         them); when that is gone, try again"
    )]
    Held(String),
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
            Self::Netns(error) => error.is_permission(),
            Self::Lock(_)
            | Self::Replaced(_)
            | Self::Absent(_)
            | Self::Held(_)
            | Self::Interrupted => false,
        }
    }

    /// Somebody asked to stop.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Interrupted | Self::Lock(LockError::Interrupted))
    }
}
