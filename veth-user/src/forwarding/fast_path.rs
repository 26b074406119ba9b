//! The two fast paths, and what each is called.

use std::fmt;

/// How frames get past the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FastPath {
    /// A program at the tc ingress of each port, and `bpf_redirect_peer`. Takes what sockets send as
    /// they send it: checksums and segments are left to the end of the path.
    Tc,
    /// A native XDP program on each port, and a devmap. Takes whole frames only.
    Xdp,
}

impl FastPath {
    /// Name in files, JSON and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tc => "tc",
            Self::Xdp => "xdp",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Tc => Self::Xdp,
            Self::Xdp => Self::Tc,
        }
    }
}

impl fmt::Display for FastPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
