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
    },
}

impl<'a> Mark<'a> {
    /// The mark that `text` is, if it is one.
    pub fn parse(text: &'a str) -> Option<Self> {
        let rest = text.trim_end().strip_prefix("veth ")?;
        let (kind, name) = rest.split_once(' ')?;
        match (kind, name.split_once('/')) {
            ("fabric", None) => Some(Self::Bridge { fabric: name }),
            ("port", Some((fabric, netns))) => Some(Self::Port { fabric, netns }),
            ("netns", Some((fabric, rest))) => {
                let (netns, host) = rest.rsplit_once('@')?;
                Some(Self::Netns { fabric, netns, host: host.parse().ok()? })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Mark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names have neither spaces nor slashes.
        match self {
            Self::Bridge { fabric } => write!(f, "veth fabric {fabric}"),
            Self::Port { fabric, netns } => write!(f, "veth port {fabric}/{netns}"),
            Self::Netns { fabric, netns, host } => {
                write!(f, "veth netns {fabric}/{netns}@{host}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_reads_back_from_its_text() {
        for mark in [
            Mark::Bridge { fabric: "lab" },
            Mark::Port { fabric: "lab", netns: "red" },
            Mark::Netns { fabric: "lab", netns: "red@home", host: 4_026_531_833 },
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
        ] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }
}
