//! What frames on a fast path pass by: whatever hooks into the way through the bridge.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// Something on the way from a port through its bridge to another port, which frames that are handed
/// straight to the peer of the other one do not meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Bypass {
    /// The bridge hands frames to iptables, ip6tables or arptables, and to connection tracking.
    #[doc(alias = "bridge-nf-call-iptables")]
    BrNetfilter,
    /// Chains of nftables in family `bridge`.
    NftBridge,
    /// Chains or flow tables of nftables in family `netdev`, on the port.
    NftNetdev,
    /// Hooks of legacy ebtables, or of something else that hooks into the bridge.
    Ebtables,
    /// Somebody else's programs or filters at the ingress of the port.
    TcIngress,
    /// Programs or filters at the egress of the port.
    TcEgress,
    /// A queueing discipline of the port.
    Qdisc,
    /// Whoever has made the bridge promiscuous, and is given a copy of each frame.
    #[doc(alias = "IFF_PROMISC")]
    Promiscuous,
}

impl Bypass {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::BrNetfilter,
        Self::NftBridge,
        Self::NftNetdev,
        Self::Ebtables,
        Self::TcIngress,
        Self::TcEgress,
        Self::Qdisc,
        Self::Promiscuous,
    ];

    /// Name on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BrNetfilter => "br_netfilter",
            Self::NftBridge => "nft_bridge",
            Self::NftNetdev => "nft_netdev",
            Self::Ebtables => "ebtables",
            Self::TcIngress => "tc_ingress",
            Self::TcEgress => "tc_egress",
            Self::Qdisc => "qdisc",
            Self::Promiscuous => "promiscuous",
        }
    }

    /// A sentence that says what would be passed by.
    pub const fn explanation(self) -> &'static str {
        match self {
            Self::BrNetfilter => {
                "the bridge hands frames to iptables, ip6tables or arptables (bridge-nf-call-*), \
                 which the fast path would pass by"
            }
            Self::NftBridge => {
                "nftables has rules for bridges (family bridge), which the fast path would pass by"
            }
            Self::NftNetdev => {
                "nftables has rules for the port (family netdev), which the fast path would pass by"
            }
            Self::Ebtables => "ebtables has rules for bridges, which the fast path would pass by",
            Self::TcIngress => {
                "somebody else's filters or programs are at the ingress of the port, which the \
                 fast path may pass by"
            }
            Self::TcEgress => {
                "filters or programs are at the egress of the port, which the fast path would \
                 pass by"
            }
            Self::Qdisc => "the port has a queueing discipline, which the fast path would pass by",
            Self::Promiscuous => {
                "the bridge is promiscuous: somebody on this host (tcpdump, a macvlan) is given a copy of \
                 each frame, which the fast path would not leave"
            }
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl fmt::Display for Bypass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Bypass {
    type Err = UnknownBypass;

    fn from_str(text: &str) -> Result<Self, UnknownBypass> {
        Self::ALL
            .into_iter()
            .find(|bypass| bypass.name() == text)
            .ok_or_else(|| UnknownBypass(text.to_owned()))
    }
}

/// A text that names nothing that could be passed by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is nothing that could be passed by; there are {all}", all = Bypass::ALL.map(Bypass::name).join(", "))]
pub struct UnknownBypass(String);

/// A set of them.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Bypasses(u32);

impl Bypasses {
    /// None.
    pub const NONE: Self = Self(0);

    /// The set that [`bits`](Self::bits) gave; bits without a meaning are left out.
    pub fn from_bits(bits: u32) -> Self {
        Bypass::ALL.into_iter().filter(|bypass| bits & bypass.bit() != 0).collect()
    }

    /// The set as bits, by which a record in the kernel keeps it: each keeps its number.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether `bypass` is in it.
    pub const fn contains(self, bypass: Bypass) -> bool {
        self.0 & bypass.bit() != 0
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The same with `bypass` in it.
    #[must_use]
    pub const fn with(self, bypass: Bypass) -> Self {
        Self(self.0 | bypass.bit())
    }

    /// The same without `bypass`.
    #[must_use]
    pub const fn without(self, bypass: Bypass) -> Self {
        Self(self.0 & !bypass.bit())
    }

    /// What is in one of both.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in this one and not in `other`.
    #[must_use]
    pub const fn except(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those in it, in order.
    pub fn iter(self) -> impl Iterator<Item = Bypass> {
        Bypass::ALL.into_iter().filter(move |bypass| self.contains(*bypass))
    }
}

impl FromIterator<Bypass> for Bypasses {
    fn from_iter<I: IntoIterator<Item = Bypass>>(bypasses: I) -> Self {
        bypasses.into_iter().fold(Self::NONE, Self::with)
    }
}

impl<const N: usize> From<[Bypass; N]> for Bypasses {
    fn from(bypasses: [Bypass; N]) -> Self {
        bypasses.into_iter().collect()
    }
}

impl fmt::Debug for Bypasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The names with commas between them, or `none`.
impl fmt::Display for Bypasses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.pad("none");
        }
        let names: Vec<_> = self.iter().map(Bypass::name).collect();
        f.pad(&names.join(", "))
    }
}

/// A list of the names.
impl Serialize for Bypasses {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Bypass::name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_back() {
        for bypass in Bypass::ALL {
            assert_eq!(bypass.name().parse(), Ok(bypass));
            assert_eq!(bypass.to_string(), bypass.name());
        }
    }

    #[test]
    fn others_are_refused_with_the_names_that_there_are() {
        let message = "iptables".parse::<Bypass>().expect_err("must be refused").to_string();
        assert!(message.contains(r#""iptables" is nothing"#), "{message}");
        for bypass in Bypass::ALL {
            assert!(message.contains(bypass.name()), "{bypass} in {message}");
        }
    }

    #[test]
    fn set_holds_what_was_put_in_and_not_taken_out() {
        let set = Bypasses::from([Bypass::Qdisc, Bypass::BrNetfilter]);
        assert!(set.contains(Bypass::Qdisc) && !set.contains(Bypass::TcEgress));
        assert_eq!(set.iter().collect::<Vec<_>>(), [Bypass::BrNetfilter, Bypass::Qdisc]);
        assert_eq!(set.without(Bypass::Qdisc), Bypasses::from([Bypass::BrNetfilter]));
        assert_eq!(set.without(Bypass::TcEgress), set);
        assert_eq!(set.with(Bypass::Qdisc), set);
        assert_eq!(set.or(Bypasses::NONE), set);
        assert_eq!(
            set.and(Bypasses::from([Bypass::Qdisc, Bypass::TcEgress])),
            set.without(Bypass::BrNetfilter)
        );
        assert!(set.except(set).is_empty() && Bypasses::default().is_empty());
    }

    #[test]
    fn each_keeps_its_number() {
        let numbers = Bypass::ALL.map(|bypass| Bypasses::from([bypass]).bits());
        assert_eq!(numbers, [1, 2, 4, 8, 16, 32, 64, 128]);
        let all: Bypasses = Bypass::ALL.into_iter().collect();
        assert_eq!(Bypasses::from_bits(u32::MAX), all);
        assert_eq!(Bypasses::from_bits(all.bits()), all);
    }

    #[test]
    fn set_is_written_as_names() {
        let set = Bypasses::from([Bypass::TcEgress, Bypass::NftBridge]);
        let json = serde_json::to_string(&set).expect("names are JSON");
        assert_eq!(json, r#"["nft_bridge","tc_egress"]"#);
        assert_eq!(set.to_string(), "nft_bridge, tc_egress");
        assert_eq!(Bypasses::NONE.to_string(), "none");
    }
}
