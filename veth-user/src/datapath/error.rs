//! What can go wrong with a datapath.

use std::io;

use aya::{
    EbpfError,
    maps::MapError,
    pin::PinError,
    programs::{ProgramError, links::LinkError, tc::TcError},
};
use nix::errno::Errno;

use super::{BpffsError, Unsupported};

/// A datapath operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum DatapathError {
    /// The kernel lacks something.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// The pin directory.
    #[error(transparent)]
    Bpffs(#[from] BpffsError),
    /// The object cannot be loaded.
    #[error("load the datapath object: {}", chain(.0))]
    Object(#[from] EbpfError),
    /// The object lacks a program or map that it must have.
    #[error("the datapath object has no {0}; this build of veth is broken")]
    Missing(&'static str),
    /// The pins were made by a release whose maps this one cannot read.
    #[error(
        "fabric {fabric} has the datapath of veth {theirs} (map layout {abi}), which this veth \
         cannot take over: use that release, or take the fabric down with it first"
    )]
    TooNew {
        /// The fabric.
        fabric: String,
        /// Release that made the pins.
        theirs: String,
        /// Its layout version.
        abi: u32,
    },
    /// The pins are of a fabric of the same name in another network namespace.
    #[error(
        "the pins of fabric {fabric} belong to a fabric of that name in another network \
         namespace; take that one down there, choose another name, or, when that namespace is \
         gone, remove {}", super::dir_of(.fabric).display()
    )]
    Elsewhere {
        /// The fabric.
        fabric: String,
    },
    /// A map operation failed.
    #[error("{action}: {}", chain(.source))]
    Map {
        /// What was attempted.
        action: String,
        /// Why it failed.
        source: MapError,
    },
    /// A program operation failed.
    #[error("{action}: {}", chain(.source))]
    Program {
        /// What was attempted.
        action: String,
        /// Why it failed.
        source: Box<ProgramError>,
    },
    /// A link operation failed.
    #[error("{action}: {}", chain(.source))]
    Link {
        /// What was attempted.
        action: String,
        /// Why it failed.
        source: LinkError,
    },
    /// A clsact qdisc cannot be made.
    #[error("{action}: {}", chain(.source))]
    Qdisc {
        /// What was attempted.
        action: String,
        /// Why it failed.
        source: TcError,
    },
    /// Something cannot be pinned.
    #[error("{action}: {}", chain(.source))]
    Pin {
        /// What was attempted.
        action: String,
        /// Why it failed.
        source: PinError,
    },
    /// The number of CPUs cannot be read.
    #[error("{action}: {source}")]
    Cpus {
        /// What was attempted.
        action: String,
        /// Why it failed.
        source: io::Error,
    },
}

impl DatapathError {
    /// The caller lacks `CAP_BPF` or `CAP_NET_ADMIN`.
    pub fn is_permission(&self) -> bool {
        self.has_cause(io::ErrorKind::PermissionDenied)
    }

    /// The device cannot have an XDP program the way it is now: its peer sends through more queues
    /// than it has, its MTU is too large, or somebody else was quicker.
    pub fn is_refused_by_device(&self) -> bool {
        let errnos = [Errno::ENOSPC, Errno::ERANGE, Errno::EBUSY, Errno::EOPNOTSUPP];
        causes(self)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|error| errnos.iter().any(|errno| error.raw_os_error() == Some(*errno as i32)))
    }

    /// A signal came.
    pub fn is_interrupted(&self) -> bool {
        self.has_cause(io::ErrorKind::Interrupted)
    }

    fn has_cause(&self, kind: io::ErrorKind) -> bool {
        causes(self).any(|cause| {
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == kind)
        })
    }
}

/// What to make of an operation on the map `name` that failed.
pub(super) fn map_failed(
    verb: &'static str,
    name: &'static str,
) -> impl Fn(MapError) -> DatapathError {
    move |source| DatapathError::Map { action: format!("{verb} map {name}"), source }
}

/// The error with all its causes on one line: aya's own messages stop at the first.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    for cause in causes(error) {
        let message = cause.to_string();
        // Some errors repeat their source in their own message.
        if !text.ends_with(&message) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&message);
        }
    }
    text
}

fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}
