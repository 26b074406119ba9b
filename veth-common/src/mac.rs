//! MAC addresses, and the form in which they are map keys.

use core::fmt;

/// A MAC address in wire order.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The broadcast address.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Whether the group bit is set (multicast or broadcast).
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 != 0
    }

    /// Whether a station may send from this address: neither zero nor a group address.
    pub const fn is_station(self) -> bool {
        !self.is_group() && MacKey::of(self).0 != 0
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// A MAC address as a map key: its six bytes in wire order, then two zero bytes.
///
/// Eight bytes hash and compare as two or one machine words, where six would take a loop.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MacKey(pub u64);

impl MacKey {
    /// The key of `mac`.
    #[inline]
    pub const fn of(mac: Mac) -> Self {
        let [a, b, c, d, e, f] = mac.0;
        Self(u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]))
    }

    /// The key of an address read as three 16-bit words in native byte order, which is how the
    /// datapath finds it at the even offsets of an Ethernet header.
    #[inline]
    pub const fn of_words(words: [u16; 3]) -> Self {
        let [a, b] = words[0].to_ne_bytes();
        let [c, d] = words[1].to_ne_bytes();
        let [e, f] = words[2].to_ne_bytes();
        Self::of(Mac([a, b, c, d, e, f]))
    }

    /// The address.
    #[inline]
    pub const fn mac(self) -> Mac {
        let [a, b, c, d, e, f, _, _] = self.0.to_ne_bytes();
        Mac([a, b, c, d, e, f])
    }

    /// Whether the group bit is set (multicast or broadcast).
    #[inline]
    pub const fn is_group(self) -> bool {
        self.mac().is_group()
    }

    /// Whether this is the broadcast address.
    #[inline]
    pub const fn is_broadcast(self) -> bool {
        self.0 == Self::of(Mac::BROADCAST).0
    }
}

const _: () = assert!(size_of::<Mac>() == 6 && size_of::<MacKey>() == 8);

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString as _;

    const STATION: Mac = Mac([0x02, 0x11, 0x22, 0x33, 0x44, 0x55]);

    #[test]
    fn key_and_address_are_two_forms_of_one_value() {
        assert_eq!(MacKey::of(STATION).mac(), STATION);
        let words = [[0x02, 0x11], [0x22, 0x33], [0x44, 0x55]].map(u16::from_ne_bytes);
        assert_eq!(MacKey::of_words(words), MacKey::of(STATION));
    }

    #[test]
    fn group_addresses_are_told_from_stations() {
        assert!(!STATION.is_group() && STATION.is_station());
        assert!(MacKey::of(Mac([0x33, 0x33, 0, 0, 0, 1])).is_group());
        assert!(MacKey::of(Mac::BROADCAST).is_broadcast() && !Mac::BROADCAST.is_station());
        assert!(!MacKey::of(STATION).is_broadcast());
        assert!(!Mac::default().is_station());
    }

    #[test]
    fn address_prints_in_the_usual_form() {
        assert_eq!(STATION.to_string(), "02:11:22:33:44:55");
    }
}
