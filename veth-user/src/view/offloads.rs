//! Offloads: work on frames that a device takes off the stack, or lets it put off.

use std::fmt;

use serde::{Serialize, Serializer};

/// An offload, as far as a datapath has to know of it.
///
/// A frame that a veth end sent with an offload on is not finished: its checksum is missing, or
/// its VLAN tag is beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Offload {
    /// Frames are sent without the checksum of their IP payload.
    #[doc(alias = "NETIF_F_HW_CSUM")]
    TxChecksum,
    /// Frames are sent without the checksum of their SCTP payload.
    #[doc(alias = "NETIF_F_SCTP_CRC")]
    TxChecksumSctp,
    /// Frames are sent with their VLAN tag (802.1Q) beside them.
    #[doc(alias = "NETIF_F_HW_VLAN_CTAG_TX")]
    TxVlanInsert,
    /// Frames are sent with their service VLAN tag (802.1ad) beside them.
    #[doc(alias = "NETIF_F_HW_VLAN_STAG_TX")]
    TxVlanStagInsert,
    /// Received frames of one flow are merged before the stack sees them.
    #[doc(alias = "NETIF_F_GRO")]
    RxGro,
    /// TCP segments over IPv4 are sent uncut.
    #[doc(alias = "NETIF_F_TSO")]
    TxTcp4Segments,
    /// TCP segments over IPv6 are sent uncut.
    #[doc(alias = "NETIF_F_TSO6")]
    TxTcp6Segments,
    /// TCP segments are sent uncut where the sender says that it slows down (ECN, CWR).
    #[doc(alias = "NETIF_F_TSO_ECN")]
    TxTcpEcnSegments,
    /// TCP segments are sent uncut where all are to have the same IPv4 identification.
    #[doc(alias = "NETIF_F_TSO_MANGLEID")]
    TxTcpFixedIdSegments,
    /// TCP segments are sent uncut where they tell of congestion accurately (since 6.17).
    #[doc(alias = "NETIF_F_GSO_ACCECN")]
    TxTcpAccEcnSegments,
    /// UDP segments are sent uncut.
    #[doc(alias = "NETIF_F_GSO_UDP_L4")]
    TxUdpSegments,
}

impl Offload {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
        Self::TxChecksum,
        Self::TxChecksumSctp,
        Self::TxVlanInsert,
        Self::TxVlanStagInsert,
        Self::RxGro,
        Self::TxTcp4Segments,
        Self::TxTcp6Segments,
        Self::TxTcpEcnSegments,
        Self::TxTcpFixedIdSegments,
        Self::TxTcpAccEcnSegments,
        Self::TxUdpSegments,
    ];

    /// The kernel's name. (`ethtool -k` shows some under older names.)
    pub const fn name(self) -> &'static str {
        match self {
            Self::TxChecksum => "tx-checksum-ip-generic",
            Self::TxChecksumSctp => "tx-checksum-sctp",
            Self::TxVlanInsert => "tx-vlan-hw-insert",
            Self::TxVlanStagInsert => "tx-vlan-stag-hw-insert",
            Self::RxGro => "rx-gro",
            Self::TxTcp4Segments => "tx-tcp-segmentation",
            Self::TxTcp6Segments => "tx-tcp6-segmentation",
            Self::TxTcpEcnSegments => "tx-tcp-ecn-segmentation",
            Self::TxTcpFixedIdSegments => "tx-tcp-mangleid-segmentation",
            Self::TxTcpAccEcnSegments => "tx-tcp-accecn-segmentation",
            Self::TxUdpSegments => "tx-udp-segmentation",
        }
    }

    /// The one of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|offload| offload.name() == name)
    }

    const fn bit(self) -> u16 {
        1 << self as u8
    }
}

impl fmt::Display for Offload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A set of offloads.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Offloads(u16);

impl Offloads {
    /// None.
    pub const NONE: Self = Self(0);

    /// The set that [`bits`](Self::bits) gave; bits that are no offload are left out.
    pub fn from_bits(bits: u16) -> Self {
        Offload::ALL.into_iter().filter(|offload| bits & offload.bit() != 0).collect()
    }

    /// The set as bits, by which a record in the kernel keeps it: an offload keeps its number.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether `offload` is in it.
    pub const fn contains(self, offload: Offload) -> bool {
        self.0 & offload.bit() != 0
    }

    /// Whether nothing is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The same with `offload` in it.
    #[must_use]
    pub const fn with(self, offload: Offload) -> Self {
        Self(self.0 | offload.bit())
    }

    /// The same without `offload`.
    #[must_use]
    pub const fn without(self, offload: Offload) -> Self {
        Self(self.0 & !offload.bit())
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
    pub fn iter(self) -> impl Iterator<Item = Offload> {
        Offload::ALL.into_iter().filter(move |offload| self.contains(*offload))
    }
}

impl FromIterator<Offload> for Offloads {
    fn from_iter<I: IntoIterator<Item = Offload>>(offloads: I) -> Self {
        offloads.into_iter().fold(Self::NONE, Self::with)
    }
}

impl<const N: usize> From<[Offload; N]> for Offloads {
    fn from(offloads: [Offload; N]) -> Self {
        offloads.into_iter().collect()
    }
}

impl fmt::Debug for Offloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The kernel's names with commas between them, or `none`.
impl fmt::Display for Offloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.pad("none");
        }
        let names: Vec<_> = self.iter().map(Offload::name).collect();
        f.pad(&names.join(", "))
    }
}

/// A list of the kernel's names.
impl Serialize for Offloads {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Offload::name))
    }
}

/// What a device does, was asked to do, and could do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffloadState {
    /// What it does now.
    pub active: Offloads,
    /// What it was asked to do: more than it does, where one offload needs another that is off.
    pub wanted: Offloads,
    /// What can be turned on and off.
    pub changeable: Offloads,
}

impl OffloadState {
    /// What it could do and does not.
    pub const fn unused(self) -> Offloads {
        self.changeable.except(self.active)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_for_each() {
        for offload in Offload::ALL {
            assert_eq!(Offload::by_name(offload.name()), Some(offload));
        }
        assert_eq!(Offload::by_name("tx-checksum"), None);
    }

    #[test]
    fn set_holds_what_was_put_in_and_not_taken_out() {
        let set = Offloads::from([Offload::RxGro, Offload::TxChecksum]);
        assert!(set.contains(Offload::RxGro) && !set.contains(Offload::TxVlanInsert));
        assert_eq!(set.iter().collect::<Vec<_>>(), [Offload::TxChecksum, Offload::RxGro]);
        assert_eq!(set.without(Offload::RxGro), Offloads::from([Offload::TxChecksum]));
        assert_eq!(set.without(Offload::TxVlanInsert), set);
        assert_eq!(set.with(Offload::RxGro), set);
        assert!(set.except(set).is_empty());
        assert_eq!(Offload::ALL.into_iter().collect::<Offloads>().and(set), set);
    }

    #[test]
    fn set_is_written_as_names() {
        let set = Offloads::from([Offload::RxGro, Offload::TxVlanInsert]);
        let json = serde_json::to_string(&set).expect("names are JSON");
        assert_eq!(json, r#"["tx-vlan-hw-insert","rx-gro"]"#);
        assert_eq!(set.to_string(), "tx-vlan-hw-insert, rx-gro");
        assert_eq!(Offloads::NONE.to_string(), "none");
    }
}
