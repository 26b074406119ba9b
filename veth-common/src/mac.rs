//! MAC addresses, and the form in which they are map keys.

use core::{fmt, str::FromStr};

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
        let [m0, m1, m2, m3, m4, m5] = self.0;
        write!(f, "{m0:02x}:{m1:02x}:{m2:02x}:{m3:02x}:{m4:02x}:{m5:02x}")
    }
}

/// A text is no MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMac;

impl fmt::Display for NoMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a MAC address, as 02:00:00:00:00:01")
    }
}

impl core::error::Error for NoMac {}

impl FromStr for Mac {
    type Err = NoMac;

    /// Reads six bytes of two hexadecimal digits with colons between them.
    fn from_str(text: &str) -> Result<Self, NoMac> {
        let mut bytes = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or(NoMac)?;
            // A sign is no digit, though numbers may have one.
            if part.len() != 2 || !part.bytes().all(|it| it.is_ascii_hexdigit()) {
                return Err(NoMac);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| NoMac)?;
        }
        if parts.next().is_some() { Err(NoMac) } else { Ok(Self(bytes)) }
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
        let [m0, m1, m2, m3, m4, m5] = mac.0;
        Self(u64::from_ne_bytes([m0, m1, m2, m3, m4, m5, 0, 0]))
    }

    /// The address.
    #[inline]
    pub const fn mac(self) -> Mac {
        let [m0, m1, m2, m3, m4, m5, _, _] = self.0.to_ne_bytes();
        Mac([m0, m1, m2, m3, m4, m5])
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

    #[test]
    fn address_is_six_bytes_of_two_digits() {
        assert_eq!("02:00:00:00:AB:0a".parse(), Ok(Mac([2, 0, 0, 0, 0xab, 10])));
        assert_eq!(STATION.to_string().parse(), Ok(STATION));
        for text in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:01:02",
            "2:0:0:0:0:1",
            "+2:00:00:00:00:01",
            "02-00-00-00-00-01",
            "02:00:00:00:00:0g",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(NoMac), "{text:?}");
        }
    }
}
