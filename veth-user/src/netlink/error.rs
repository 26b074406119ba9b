//! What can go wrong with a request: the errno, and the kernel's own words for it.

use std::io;

use nix::errno::Errno;

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub enum NetlinkError {
    /// The kernel refused the request.
    #[error("{action}: {}{}", .errno.desc(), extack(.message.as_deref()))]
    Refused {
        /// What was attempted, on what.
        action: String,
        /// The kernel's errno.
        errno: Errno,
        /// The kernel's explanation (extended ack, since 4.12), where it gave one.
        message: Option<String>,
    },
    /// The socket failed.
    #[error("{action}: netlink socket: {source}")]
    Socket {
        /// What was attempted, on what.
        action: String,
        /// The socket's error.
        source: io::Error,
    },
    /// This kernel has no generic netlink family of that name.
    #[error("look up generic netlink family {family}: this kernel has none of that name")]
    NoFamily {
        /// The name.
        family: &'static str,
    },
    /// The kernel's answer does not parse.
    #[error("{action}: the kernel's answer does not parse: {reason}")]
    Malformed {
        /// What was attempted, on what.
        action: String,
        /// What is wrong with it.
        reason: String,
    },
}

fn extack(message: Option<&str>) -> String {
    message.map(|text| format!(" ({text})")).unwrap_or_default()
}

impl NetlinkError {
    fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::Socket { .. } | Self::NoFamily { .. } | Self::Malformed { .. } => None,
        }
    }

    /// What was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        // ESRCH is said of routes.
        matches!(
            self.errno(),
            Some(Errno::ENOENT | Errno::ENODEV | Errno::EADDRNOTAVAIL | Errno::ESRCH)
        )
    }

    /// The object is not of the kind that the request is for (any more), or this kernel does not
    /// know the request.
    pub fn is_unsupported(&self) -> bool {
        match self {
            Self::NoFamily { .. } => true,
            Self::Socket { source, .. } => {
                source.raw_os_error() == Some(Errno::EPROTONOSUPPORT as i32)
            }
            Self::Refused { errno, .. } => {
                matches!(errno, Errno::EOPNOTSUPP | Errno::EINVAL | Errno::EPROTONOSUPPORT)
            }
            Self::Malformed { .. } => false,
        }
    }

    /// The kernel does not make devices of that kind: it was built without it, or is too old.
    pub fn is_unknown_kind(&self) -> bool {
        self.errno() == Some(Errno::EOPNOTSUPP)
    }

    /// Something that the request names does not mean anything (any more).
    pub fn is_invalid(&self) -> bool {
        self.errno() == Some(Errno::EINVAL)
    }

    /// The caller lacks `CAP_NET_ADMIN`.
    pub fn is_permission(&self) -> bool {
        self.errno() == Some(Errno::EPERM)
    }

    /// The caller may not look into the namespace concerned.
    pub fn is_access(&self) -> bool {
        self.errno() == Some(Errno::EACCES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_reads_as_attempt_cause_and_the_kernels_words() {
        let error = NetlinkError::Refused {
            action: "create bridge lab".into(),
            errno: Errno::EEXIST,
            message: Some("device exists".into()),
        };
        assert_eq!(error.to_string(), "create bridge lab: File exists (device exists)");
        assert!(!error.is_not_found() && !error.is_invalid());
    }
}
