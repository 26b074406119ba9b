//! Paths: the ways from one namespace to another that are compared.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A way from one namespace to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PathKind {
    /// One veth pair between the two: as short as it can be, and no network.
    Direct,
    /// The Linux bridge.
    Bridge,
    /// IP forwarding by the kernel.
    Route,
    /// Two macvlan devices in bridge mode on one parent.
    Macvlan,
    /// The loopback device: both ends in one namespace.
    Loopback,
    /// tc with `bpf_redirect` to the target's port.
    Redirect,
    /// The tc datapath of a fabric: `bpf_redirect_peer`.
    Tc,
    /// The tc datapath on a bridge of somebody else's, where entries have leases that an agent renews.
    Adopted,
    /// The XDP datapath of a fabric: devmap redirect.
    Xdp,
    /// A netkit pair between the two.
    Netkit,
    /// The tc datapath while somebody reads who talks to whom.
    Pairs,
    /// The tc datapath while the first bytes of every frame are captured.
    Captured,
    /// The tc datapath while its metrics are read every second.
    Scraped,
    /// The tc datapath with a delay of so many nanoseconds planted in the program: for tests of
    /// the benchmark itself.
    Delayed(u32),
}

impl PathKind {
    /// Those that people choose from, in the order in which they are shown.
    pub const ALL: [Self; 13] = [
        Self::Direct,
        Self::Bridge,
        Self::Route,
        Self::Macvlan,
        Self::Loopback,
        Self::Redirect,
        Self::Tc,
        Self::Adopted,
        Self::Xdp,
        Self::Netkit,
        Self::Pairs,
        Self::Captured,
        Self::Scraped,
    ];

    /// Name on the command line and in files; a delay is not part of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Bridge => "bridge",
            Self::Route => "route",
            Self::Macvlan => "macvlan",
            Self::Loopback => "loopback",
            Self::Redirect => "redirect",
            Self::Tc => "tc",
            Self::Adopted => "adopted",
            Self::Xdp => "xdp",
            Self::Netkit => "netkit",
            Self::Pairs => "pairs",
            Self::Captured => "captured",
            Self::Scraped => "scraped",
            Self::Delayed(_) => "delayed",
        }
    }

    /// One sentence for the person who reads the figures.
    pub const fn help(self) -> &'static str {
        match self {
            Self::Direct => "One veth pair between the two namespaces: the ceiling.",
            Self::Bridge => "Two veth pairs and a Linux bridge.",
            Self::Route => "Two veth pairs and IP forwarding by the kernel.",
            Self::Macvlan => "Two macvlan devices in bridge mode.",
            Self::Loopback => "The loopback device of one namespace.",
            Self::Redirect => "A fabric whose program uses bpf_redirect and not bpf_redirect_peer.",
            Self::Tc => "A fabric with the tc datapath (bpf_redirect_peer).",
            Self::Adopted => "A bridge that veth is attached to, with its agent.",
            Self::Xdp => "A fabric with the XDP datapath (devmap).",
            Self::Netkit => "One netkit pair between the two namespaces.",
            Self::Pairs => "The tc datapath while somebody reads who talks to whom, every second.",
            Self::Captured => "The tc datapath while 96 bytes of every frame are captured.",
            Self::Scraped => "The tc datapath while its metrics are read every second.",
            Self::Delayed(_) => "The tc datapath with a delay planted in its program.",
        }
    }

    /// Whether it is a fabric, which can have any number of ports.
    pub const fn is_fabric(self) -> bool {
        match self {
            Self::Bridge
            | Self::Redirect
            | Self::Tc
            | Self::Adopted
            | Self::Xdp
            | Self::Pairs
            | Self::Captured
            | Self::Scraped
            | Self::Delayed(_) => true,
            Self::Direct | Self::Route | Self::Macvlan | Self::Loopback | Self::Netkit => false,
        }
    }
}

impl PathKind {
    /// Whether it is there to say what watching costs, and not to be compared with other ways.
    pub const fn is_watched(self) -> bool {
        matches!(self, Self::Pairs | Self::Captured | Self::Scraped)
    }
}

impl fmt::Display for PathKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delayed(delay_ns) => f.pad(&format!("delayed:{delay_ns}")),
            kind => f.pad(kind.name()),
        }
    }
}

impl FromStr for PathKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(delay_ns) = text.strip_prefix("delayed:") {
            let delay_ns = delay_ns.parse();
            return delay_ns.map(Self::Delayed).map_err(|error| format!("{text}: {error}"));
        }
        Self::ALL.into_iter().find(|path| path.name() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no path {text}; there are {names}")
        })
    }
}

/// A path of one run: of the same kind there may be several, which are told apart by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// What it is.
    pub kind: PathKind,
    /// Which one of its kind, from 1.
    pub number: u32,
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            1 => self.kind.fmt(f),
            number => f.pad(&format!("{}#{number}", self.kind)),
        }
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, number) = match text.split_once('#') {
            Some((kind, number)) => {
                (kind, number.parse().map_err(|error| format!("{text}: {error}"))?)
            }
            None => (text, 1),
        };
        Ok(Self { kind: kind.parse()?, number })
    }
}

impl TryFrom<String> for Path {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl Serialize for Path {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_reads_back_from_its_text() {
        for kind in PathKind::ALL.into_iter().chain([PathKind::Delayed(300)]) {
            for number in [1, 2] {
                let path = Path { kind, number };
                assert_eq!(path.to_string().parse(), Ok(path));
            }
        }
        assert!("tunnel".parse::<Path>().expect_err("no such path").contains("bridge"));
        assert!("tc#two".parse::<Path>().is_err());
    }
}
