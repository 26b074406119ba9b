//! What can go wrong with a fabric.

use crate::{
    datapath::DatapathError, lock::LockError, netlink::NetlinkError, netns::NetnsError,
    plan::Conflicts, sync::SyncError,
};

/// An operation on a fabric that failed.
#[derive(Debug, thiserror::Error)]
pub enum FabricError {
    /// rtnetlink.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// A namespace.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The datapath.
    #[error(transparent)]
    Datapath(#[from] DatapathError),
    /// Another process is at work.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Keeping the datapath true.
    #[error(transparent)]
    Sync(#[from] SyncError),
    /// Things of others are in the way; nothing was touched.
    #[error(transparent)]
    Conflicts(#[from] Conflicts),
    /// The fabric has no datapath.
    #[error("fabric {0} has no datapath; `veth up` with datapath = \"tc\" in its file adds one")]
    NoDatapath(String),
    /// The bridge is somebody else's, and veth was only attached to it.
    #[error("bridge {0} is not veth's own; `veth detach {0}` takes the fast path off it")]
    Adopted(String),
    /// The bridge is of a fabric that veth made.
    #[error("{0} is a fabric that veth made itself; `veth up` and `veth down` are for those")]
    Managed(String),
    /// There is no bridge of that name.
    #[error("there is no bridge {0}; `ip link show type bridge` lists them")]
    NoSuchBridge(String),
    /// Nothing was ever attached to the bridge.
    #[error("nothing is attached to bridge {0}; `veth attach {0}` attaches the fast path")]
    NotAttached(String),
    /// A fast path would pass things by that the user did not accept.
    #[error(
        "bridge {bridge} is left as it is:{}\nthe fast path takes frames past that; where it does \
         not matter, attach with: {flags}",
        lines(.causes)
    )]
    Refused {
        /// The bridge.
        bridge: String,
        /// What would be passed by, one sentence each.
        causes: Vec<String>,
        /// The arguments that accept it.
        flags: String,
    },
    /// The fabric has no bridge.
    #[error(
        "fabric {0} has no bridge, and so no datapath: it has only pairs, or somebody deleted the \
         bridge (`veth status {0}` tells)"
    )]
    NoBridge(String),
    /// The directory of the namespaces cannot be read.
    #[error("list namespaces: {0}")]
    Names(#[source] std::io::Error),
    /// A setting cannot be changed.
    #[error("{name}: {source}{}", if source.kind() == std::io::ErrorKind::NotFound {
        " (this kernel has no such setting in that namespace)"
    } else {
        ""
    })]
    Sysctl {
        /// Its name.
        name: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A step failed.
    #[error("{step}: {source}")]
    Step {
        /// What was attempted.
        step: String,
        /// Why it failed.
        source: Box<FabricError>,
    },
    /// The kernel lost something between two steps.
    #[error("{0} is not there any more")]
    Vanished(String),
    /// An operation failed and was taken back.
    #[error("{cause}; what had been done was taken back")]
    Undone {
        /// The failure.
        cause: Box<FabricError>,
    },
    /// An operation failed, and so did taking it back.
    #[error(
        "{cause}; taking back what had been done failed too:{}\n`veth down` removes what is left",
        list(.undo)
    )]
    UndoFailed {
        /// The failure.
        cause: Box<FabricError>,
        /// What could not be taken back.
        undo: Vec<FabricError>,
    },
    /// Some things could not be removed.
    #[error("not everything could be removed:{}", list(.0))]
    Remaining(Vec<FabricError>),
}

impl FabricError {
    /// This error, with the outcome of the undo that followed it.
    pub(super) fn after_undo(self, undo: Vec<Self>) -> Self {
        let cause = Box::new(self);
        if undo.is_empty() { Self::Undone { cause } } else { Self::UndoFailed { cause, undo } }
    }

    /// Whether somebody asked to stop.
    pub fn is_interrupted(&self) -> bool {
        match self {
            Self::Interrupted | Self::Lock(LockError::Interrupted) => true,
            Self::Sync(error) => error.is_interrupted(),
            Self::Undone { cause } | Self::UndoFailed { cause, .. } => cause.is_interrupted(),
            Self::Step { source, .. } => source.is_interrupted(),
            _ => false,
        }
    }

    /// Whether things of others are in the way.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflicts(_) | Self::Adopted(_) | Self::Managed(_))
    }

    /// Whether the kernel lacks something.
    pub fn is_unsupported(&self) -> bool {
        match self {
            Self::Datapath(DatapathError::Unsupported(_))
            | Self::Sync(SyncError::Datapath(DatapathError::Unsupported(_))) => true,
            Self::Undone { cause } | Self::UndoFailed { cause, .. } => cause.is_unsupported(),
            _ => false,
        }
    }

    /// Whether the caller lacks a capability.
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Netlink(error) => error.is_permission(),
            Self::Netns(error) => error.is_permission(),
            Self::Datapath(error) => error.is_permission(),
            Self::Sync(error) => error.is_permission(),
            Self::Step { source, .. } => source.is_permission(),
            Self::Undone { cause } | Self::UndoFailed { cause, .. } => cause.is_permission(),
            _ => false,
        }
    }
}

fn lines(causes: &[String]) -> String {
    causes.iter().map(|cause| format!("\n  {cause}")).collect()
}

fn list(errors: &[FabricError]) -> String {
    errors.iter().map(|error| format!("\n  {error}")).collect()
}
