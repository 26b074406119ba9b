//! Marks: how the kernel's own objects say which fabric they belong to.
//!
//! They stand in the alias of a device, where `ip link` shows them.

use std::fmt;

/// What an object is for, as its alias says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark<'a> {
    /// The bridge of a fabric.
    Bridge {
        /// The fabric.
        fabric: &'a str,
        /// Whether there are pairs past it, so that its namespaces have to be looked into.
        has_pairs: bool,
    },
    /// The port of a namespace.
    Port {
        /// The fabric.
        fabric: &'a str,
        /// The namespace.
        netns: &'a str,
    },
    /// A namespace; on its `lo`, and in the file below its mount.
    Netns {
        /// The fabric.
        fabric: &'a str,
        /// Its own name.
        netns: &'a str,
        /// Inode of the network namespace that the fabric is in: names of namespaces are the
        /// machine's, names of fabrics are not.
        host: u64,
        /// Whether it is there for pairs alone, without a port in the bridge.
        is_portless: bool,
    },
    /// One end of a pair. A namespace without a name is the one that the fabric is in.
    End {
        /// The fabric.
        fabric: &'a str,
        /// Namespace and name of this end, as it was made.
        end: (&'a str, &'a str),
        /// Namespace and name of the other one.
        peer: (&'a str, &'a str),
    },
}

impl<'a> Mark<'a> {
    /// The fabric.
    pub const fn fabric(self) -> &'a str {
        match self {
            Self::Bridge { fabric, .. }
            | Self::Port { fabric, .. }
            | Self::Netns { fabric, .. }
            | Self::End { fabric, .. } => fabric,
        }
    }

    /// The mark that `text` is, if it is one.
    pub fn parse(text: &'a str) -> Option<Self> {
        let rest = text.trim_end().strip_prefix("veth ")?;
        let (kind, name) = rest.split_once(' ')?;
        match (kind, name.split_once('/')) {
            ("fabric", None) => Some(match name.strip_suffix(PAIRS) {
                Some(fabric) => Self::Bridge { fabric, has_pairs: true },
                None => Self::Bridge { fabric: name, has_pairs: false },
            }),
            ("port", Some((fabric, netns))) => Some(Self::Port { fabric, netns }),
            ("netns", Some((fabric, rest))) => {
                let (netns, host) = rest.rsplit_once('@')?;
                let bare = host.strip_suffix(PORTLESS);
                let is_portless = bare.is_some();
                let host = bare.unwrap_or(host).parse().ok()?;
                Some(Self::Netns { fabric, netns, host, is_portless })
            }
            ("end", Some((fabric, rest))) => {
                let (end, peer) = rest.split_once(" - ")?;
                Some(Self::End { fabric, end: end.split_once('/')?, peer: peer.split_once('/')? })
            }
            _ => None,
        }
    }
}

/// What follows the name of a fabric that has pairs.
const PAIRS: &str = " pairs";
/// What follows the mark of a namespace without a port.
const PORTLESS: &str = " portless";

impl fmt::Display for Mark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names have neither spaces nor slashes.
        match self {
            Self::Bridge { fabric, has_pairs } => {
                write!(f, "veth fabric {fabric}{}", if *has_pairs { PAIRS } else { "" })
            }
            Self::Port { fabric, netns } => write!(f, "veth port {fabric}/{netns}"),
            Self::Netns { fabric, netns, host, is_portless } => {
                let portless = if *is_portless { PORTLESS } else { "" };
                write!(f, "veth netns {fabric}/{netns}@{host}{portless}")
            }
            Self::End { fabric, end, peer } => {
                write!(f, "veth end {fabric}/{}/{} - {}/{}", end.0, end.1, peer.0, peer.1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_reads_back_from_its_text() {
        let netns = |is_portless| Mark::Netns {
            fabric: "lab",
            netns: "red@home",
            host: 4_026_531_833,
            is_portless,
        };
        for mark in [
            Mark::Bridge { fabric: "lab", has_pairs: false },
            Mark::Bridge { fabric: "lab", has_pairs: true },
            Mark::Port { fabric: "lab", netns: "red" },
            netns(false),
            netns(true),
            Mark::End { fabric: "lab", end: ("red", "veth0"), peer: ("blue", "veth1") },
            Mark::End { fabric: "lab", end: ("", "a-b"), peer: ("", "-") },
        ] {
            assert_eq!(Mark::parse(&format!("{mark}\n")), Some(mark));
        }
    }

    #[test]
    fn text_of_others_is_no_mark() {
        for text in [
            "",
            "veth",
            "veth fabric",
            "uplink",
            "veth port lab",
            "veth fabric a/b",
            "veth netns a/b",
            "veth end a/b/c",
            "veth end a/b - c/d",
        ] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }
}
