//! What can go wrong with traffic: the attempt, where it was made, and the cause.

use std::{fmt, io, net::SocketAddr};

use crate::netns::NetnsError;

/// Traffic that could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// A socket refused.
    #[error("{action} {address} in {place}: {source}")]
    Socket {
        /// What was attempted.
        action: &'static str,
        /// The address that it was attempted on.
        address: SocketAddr,
        /// Where.
        place: Place,
        /// The socket's error.
        source: io::Error,
    },
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// No thread could be started in the current namespace.
    #[error("start a traffic thread: {source}")]
    Thread {
        /// The cause.
        source: io::Error,
    },
    /// A thread could not be put on a CPU.
    #[error("run a thread on CPU {cpu}: {source}")]
    Pin {
        /// The CPU, counted from 0.
        cpu: usize,
        /// The cause: `EINVAL` when there is no such CPU, or it is offline or not allowed.
        source: io::Error,
    },
    /// The kernel did not say which CPUs may be used.
    #[error("ask which CPUs this process may use: {source}")]
    AllowedCpus {
        /// The cause.
        source: io::Error,
    },
}

/// Where a socket lives, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The namespace of the caller.
    Here,
    /// A named namespace.
    Netns(String),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here => formatter.write_str("the current namespace"),
            Self::Netns(name) => write!(formatter, "namespace {name}"),
        }
    }
}

impl Place {
    /// Completes what a socket says about `action` on `address` here; for `map_err`.
    pub(super) fn failed<E: Into<io::Error>>(
        &self,
        action: &'static str,
        address: SocketAddr,
    ) -> impl FnOnce(E) -> TrafficError {
        let place = self.clone();
        move |source| TrafficError::Socket { action, address, place, source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_reads_as_attempt_address_place_and_cause() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        let address = SocketAddr::from(([10, 0, 0, 2], 4711));
        let error = Place::Netns("red".into()).failed("connect to", address)(refused);
        assert_eq!(
            error.to_string(),
            "connect to 10.0.0.2:4711 in namespace red: connection refused"
        );
    }
}
