//! What a device can be told through the ethtool family: its offloads.

use std::collections::BTreeMap;

use veth_common::Ifindex;

use super::{
    NetlinkError,
    attributes::{Attributes, attribute, attributes_of},
    generic::Family,
};
use crate::view::{Offload, OffloadState, Offloads};

/// Numbers of `linux/ethtool_netlink.h`.
mod uapi {
    pub(super) const MSG_FEATURES_GET: u8 = 11;
    pub(super) const MSG_FEATURES_SET: u8 = 12;

    pub(super) const HEADER_DEV_INDEX: u16 = 1;
    pub(super) const HEADER_FLAGS: u16 = 3;
    pub(super) const FLAG_COMPACT_BITSETS: u32 = 1 << 0;
    pub(super) const FLAG_OMIT_REPLY: u32 = 1 << 1;

    pub(super) const FEATURES_HEADER: u16 = 1;
    pub(super) const FEATURES_HW: u16 = 2;
    pub(super) const FEATURES_WANTED: u16 = 3;
    pub(super) const FEATURES_ACTIVE: u16 = 4;
    pub(super) const FEATURES_NOCHANGE: u16 = 5;

    pub(super) const BITSET_NOMASK: u16 = 1;
    pub(super) const BITSET_BITS: u16 = 3;
    pub(super) const BITSET_VALUE: u16 = 4;
    pub(super) const BITSET_BITS_BIT: u16 = 1;
    pub(super) const BITSET_BIT_INDEX: u16 = 1;
    pub(super) const BITSET_BIT_NAME: u16 = 2;
    pub(super) const BITSET_BIT_VALUE: u16 = 3;
}

/// The loopback device has this index in every namespace.
const LOOPBACK: Ifindex = Ifindex(1);

/// A socket to the drivers, bound for life to the network namespace in which it was opened.
///
/// # Minimum kernel version
///
/// 5.8 for the offloads. On an older one the errors are
/// [unsupported](NetlinkError::is_unsupported).
pub struct Ethtool {
    family: Family,
}

impl Ethtool {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a netlink socket, or has no such family.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self { family: Family::open("ethtool")? })
    }

    /// The offloads of `ifindex`.
    ///
    /// # Errors
    ///
    /// [Not found](NetlinkError::is_not_found) when there is no such device.
    #[doc(alias = "ETHTOOL_MSG_FEATURES_GET")]
    pub fn offloads(&mut self, ifindex: Ifindex) -> Result<OffloadState, NetlinkError> {
        let answer = self.features(ifindex)?;
        state_of(answer.as_bytes(), set_of).ok_or_else(|| without_offloads(ifindex))
    }

    /// The offloads of all devices, in two requests however many there are.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked.
    pub fn all_offloads(&mut self) -> Result<BTreeMap<Ifindex, OffloadState>, NetlinkError> {
        // Bits without names are a fiftieth of the text; any one device tells which bit is which.
        let places = places_of(self.features(LOOPBACK)?.as_bytes())
            .ok_or_else(|| without_offloads(LOOPBACK))?;
        let flags = Attributes::default().with_u32(uapi::HEADER_FLAGS, uapi::FLAG_COMPACT_BITSETS);
        let request = Attributes::default().with_nested(uapi::FEATURES_HEADER, &flags);
        let answers = self
            .family
            .dump(uapi::MSG_FEATURES_GET, request, || "ask for the offloads of all links".into())?;
        let states = answers.iter().filter_map(|answer| {
            let answer = answer.as_bytes();
            let state = state_of(answer, |bitset| compact_set_of(bitset, &places))?;
            Some((device_of(answer)?, state))
        });
        Ok(states.collect())
    }

    /// What the kernel tells of the features of `ifindex`, by their names.
    fn features(&mut self, ifindex: Ifindex) -> Result<Attributes, NetlinkError> {
        let request = Attributes::default().with_nested(uapi::FEATURES_HEADER, &header(ifindex, 0));
        self.family.get(uapi::MSG_FEATURES_GET, request, || asking_for(ifindex))
    }

    /// Turns the offloads in `on` on and those in `off` off, in one request. One in both is
    /// turned off.
    ///
    /// What the device cannot change stays as it is, and an offload that needs another one is
    /// only active while that is: [`offloads`](Self::offloads) tells what came of it.
    ///
    /// # Errors
    ///
    /// [Not found](NetlinkError::is_not_found) when there is no such device.
    #[doc(alias = "ETHTOOL_MSG_FEATURES_SET")]
    pub fn set_offloads(
        &mut self,
        ifindex: Ifindex,
        on: Offloads,
        off: Offloads,
    ) -> Result<(), NetlinkError> {
        let request = change(ifindex, on, off);
        self.family.execute(uapi::MSG_FEATURES_SET, request, || {
            format!("change offloads of link {} (on: {on}; off: {off})", ifindex.0)
        })
    }
}

fn asking_for(ifindex: Ifindex) -> String {
    format!("ask for the offloads of link {}", ifindex.0)
}

fn without_offloads(ifindex: Ifindex) -> NetlinkError {
    NetlinkError::Malformed {
        action: asking_for(ifindex),
        reason: "an answer without the offloads".into(),
    }
}

fn header(ifindex: Ifindex, flags: u32) -> Attributes {
    Attributes::default()
        .with_u32(uapi::HEADER_DEV_INDEX, ifindex.0)
        .with_u32(uapi::HEADER_FLAGS, flags)
}

/// A request to change. Offloads that it does not name are to stay as they are.
fn change(ifindex: Ifindex, on: Offloads, off: Offloads) -> Attributes {
    let mut bits = Attributes::default();
    for offload in Offload::ALL.into_iter().filter(|it| on.contains(*it) || off.contains(*it)) {
        let mut bit = Attributes::default().with_text(uapi::BITSET_BIT_NAME, offload.name());
        if !off.contains(offload) {
            bit = bit.with(uapi::BITSET_BIT_VALUE, &[]);
        }
        bits = bits.with_nested(uapi::BITSET_BITS_BIT, &bit);
    }
    let wanted = Attributes::default().with_nested(uapi::BITSET_BITS, &bits);
    Attributes::default()
        .with_nested(uapi::FEATURES_HEADER, &header(ifindex, uapi::FLAG_OMIT_REPLY))
        .with_nested(uapi::FEATURES_WANTED, &wanted)
}

fn state_of(answer: &[u8], set_of: impl Fn(&[u8]) -> Option<Offloads>) -> Option<OffloadState> {
    let set = |kind| attribute(answer, kind).and_then(&set_of);
    Some(OffloadState {
        active: set(uapi::FEATURES_ACTIVE)?,
        wanted: set(uapi::FEATURES_WANTED)?,
        changeable: set(uapi::FEATURES_HW)?.except(set(uapi::FEATURES_NOCHANGE)?),
    })
}

/// The offloads that are set in a verbose bitset: those it lists, when it is a plain list, and
/// otherwise the ones among them that have a value.
fn set_of(bitset: &[u8]) -> Option<Offloads> {
    let is_list = attribute(bitset, uapi::BITSET_NOMASK).is_some();
    let bits = attribute(bitset, uapi::BITSET_BITS)?;
    let offloads = attributes_of(bits).filter_map(|(_, bit)| {
        let name = attribute(bit, uapi::BITSET_BIT_NAME)?.strip_suffix(&[0])?;
        let is_set = is_list || attribute(bit, uapi::BITSET_BIT_VALUE).is_some();
        // Most features are none of ours.
        Offload::by_name(str::from_utf8(name).ok()?).filter(|_| is_set)
    });
    Some(offloads.collect())
}

/// The device that an answer is about.
fn device_of(answer: &[u8]) -> Option<Ifindex> {
    let header = attribute(answer, uapi::FEATURES_HEADER)?;
    number(attribute(header, uapi::HEADER_DEV_INDEX)?).map(Ifindex)
}

/// Which bit each offload is in a compact bitset: those that a device could ever change are told of
/// all, whatever it has.
fn places_of(answer: &[u8]) -> Option<BTreeMap<Offload, usize>> {
    let bits = attribute(attribute(answer, uapi::FEATURES_HW)?, uapi::BITSET_BITS)?;
    let places = attributes_of(bits).filter_map(|(_, bit)| {
        let name = attribute(bit, uapi::BITSET_BIT_NAME)?.strip_suffix(&[0])?;
        let index = number(attribute(bit, uapi::BITSET_BIT_INDEX)?)?;
        Some((Offload::by_name(str::from_utf8(name).ok()?)?, index as usize))
    });
    Some(places.collect())
}

/// The offloads that are set in a compact bitset, of which each has one place.
fn compact_set_of(bitset: &[u8], places: &BTreeMap<Offload, usize>) -> Option<Offloads> {
    let words = attribute(bitset, uapi::BITSET_VALUE)?;
    let is_set = |place: usize| {
        let word = words.chunks_exact(4).nth(place / 32).and_then(number);
        word.is_some_and(|word| word >> (place % 32) & 1 == 1)
    };
    Some(places.iter().filter(|(_, place)| is_set(**place)).map(|(offload, _)| *offload).collect())
}

fn number(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bit(name: &str, value: bool) -> Attributes {
        let bit = Attributes::default().with_u32(1, 0).with_text(uapi::BITSET_BIT_NAME, name);
        if value { bit.with(uapi::BITSET_BIT_VALUE, &[]) } else { bit }
    }

    fn bitset(is_list: bool, bits: &[Attributes]) -> Attributes {
        let bits = bits
            .iter()
            .fold(Attributes::default(), |bits, bit| bits.with_nested(uapi::BITSET_BITS_BIT, bit));
        let head = Attributes::default();
        let head = if is_list { head.with(uapi::BITSET_NOMASK, &[]) } else { head };
        head.with_u32(2, 64).with_nested(uapi::BITSET_BITS, &bits)
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn change_names_what_it_is_about_and_values_what_goes_on() {
        let on = Offloads::from([Offload::RxGro]);
        let off = Offloads::from([Offload::TxChecksum]);
        let request = change(Ifindex(7), on, off);
        let mut expected = Vec::new();
        expected.extend_from_slice(&[20, 0, 1, 0x80]);
        expected.extend_from_slice(&[8, 0, 1, 0, 7, 0, 0, 0]);
        expected.extend_from_slice(&[8, 0, 3, 0, 2, 0, 0, 0]);
        expected.extend_from_slice(&[60, 0, 3, 0x80]);
        expected.extend_from_slice(&[56, 0, 3, 0x80]);
        expected.extend_from_slice(&[32, 0, 1, 0x80, 27, 0, 2, 0]);
        expected.extend_from_slice(b"tx-checksum-ip-generic\0\0");
        expected.extend_from_slice(&[20, 0, 1, 0x80, 11, 0, 2, 0]);
        expected.extend_from_slice(b"rx-gro\0\0");
        expected.extend_from_slice(&[4, 0, 3, 0]);
        assert_eq!(request.as_bytes(), expected);
        assert_eq!(request, change(Ifindex(7), on.with(Offload::TxChecksum), off), "off wins");
    }

    #[test]
    fn set_bits_are_those_listed_or_those_with_a_value() {
        let bits = [bit("rx-gro", true), bit("tx-checksum-sctp", false), bit("tx-lockless", true)];
        let masked = set_of(bitset(false, &bits).as_bytes());
        assert_eq!(masked, Some(Offloads::from([Offload::RxGro])));
        let listed = set_of(bitset(true, &bits).as_bytes());
        assert_eq!(listed, Some(Offloads::from([Offload::RxGro, Offload::TxChecksumSctp])));
        assert_eq!(set_of(&[]), None);
    }

    #[test]
    fn compact_bits_are_read_by_the_places_that_a_list_gave() {
        let bit = |index, name| {
            let bit = Attributes::default().with_u32(uapi::BITSET_BIT_INDEX, index);
            bit.with_text(uapi::BITSET_BIT_NAME, name)
        };
        let bits = [bit(3, "tx-checksum-ip-generic"), bit(7, "highdma"), bit(40, "rx-gro")];
        let answer = Attributes::default().with_nested(uapi::FEATURES_HW, &bitset(false, &bits));
        let places = places_of(answer.as_bytes()).expect("a list of names");
        let expected = BTreeMap::from([(Offload::TxChecksum, 3), (Offload::RxGro, 40)]);
        assert_eq!(places, expected);
        let compact = |words: [u32; 2]| {
            let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
            let bitset = Attributes::default().with(uapi::BITSET_VALUE, &bytes);
            compact_set_of(bitset.as_bytes(), &places)
        };
        assert_eq!(compact([1 << 3 | 1 << 7, 0]), Some(Offloads::from([Offload::TxChecksum])));
        assert_eq!(compact([0, 1 << 8]), Some(Offloads::from([Offload::RxGro])));
        assert_eq!(compact_set_of(&[], &places), None);
    }

    #[test]
    fn what_never_changes_is_not_changeable() {
        let [gro, sctp] = ["rx-gro", "tx-checksum-sctp"].map(|name| bit(name, true));
        let both = bitset(false, &[gro.clone(), sctp.clone()]);
        let answer = Attributes::default()
            .with_nested(uapi::FEATURES_HW, &both)
            .with_nested(uapi::FEATURES_WANTED, &bitset(true, &[gro]))
            .with_nested(uapi::FEATURES_ACTIVE, &both);
        assert_eq!(state_of(answer.as_bytes(), set_of), None, "incomplete");
        let answer = answer.with_nested(uapi::FEATURES_NOCHANGE, &bitset(true, &[sctp]));
        let state = state_of(answer.as_bytes(), set_of).expect("complete");
        let gro = Offloads::from([Offload::RxGro]);
        assert_eq!(state.changeable, gro);
        assert_eq!(state.wanted, gro);
        assert_eq!(state.active, gro.with(Offload::TxChecksumSctp));
    }
}
