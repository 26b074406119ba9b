//! Which datapath a fabric has.

use std::fmt;
use std::str::FromStr;

use super::problem::quote;
use crate::forwarding::FastPath;

/// The datapath of a fabric.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DatapathKind {
    /// A program at the tc ingress of each port.
    #[default]
    Tc,
    /// A native XDP program on each port.
    Xdp,
    /// None: the bridge alone.
    None,
}

impl DatapathKind {
    /// The fast path that it is; none for the bridge alone.
    pub const fn fast_path(self) -> Option<FastPath> {
        match self {
            Self::Tc => Some(FastPath::Tc),
            Self::Xdp => Some(FastPath::Xdp),
            Self::None => None,
        }
    }

    /// The name in topology files and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tc => "tc",
            Self::Xdp => "xdp",
            Self::None => "none",
        }
    }
}

impl fmt::Display for DatapathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for DatapathKind {
    type Err = DatapathError;

    fn from_str(text: &str) -> Result<Self, DatapathError> {
        match text {
            "tc" => Ok(Self::Tc),
            "xdp" => Ok(Self::Xdp),
            "none" => Ok(Self::None),
            _ => Err(DatapathError::Unknown(text.to_owned())),
        }
    }
}

/// Why a text names no datapath.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatapathError {
    /// Not a datapath.
    #[error("{} is not a datapath; there are \"tc\", \"xdp\" and \"none\"", quote(.0))]
    Unknown(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for kind in [DatapathKind::Tc, DatapathKind::Xdp, DatapathKind::None] {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
    }

    #[test]
    fn others_are_refused() {
        let message =
            |text: &str| text.parse::<DatapathKind>().expect_err("must be refused").to_string();
        assert!(message("XDP").contains("is not a datapath; there are \"tc\", \"xdp\" and"));
    }
}
