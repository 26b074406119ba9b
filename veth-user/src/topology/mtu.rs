//! The MTU of a fabric: one for all of its devices.

use std::fmt;

/// Largest layer-3 packet of a device, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mtu(u32);

impl Mtu {
    /// The least that IPv4 works with (RFC 791).
    pub const MIN: Self = Self(68);
    /// The least that IPv6 works with (RFC 8200).
    pub const MIN_IPV6: Self = Self(1280);
    /// That of Ethernet.
    pub const DEFAULT: Self = Self(1500);
    /// The most that a veth or a bridge takes: `ETH_MAX_MTU`.
    pub const MAX: Self = Self(65_535);

    /// The MTU in bytes.
    pub const fn bytes(self) -> u32 {
        self.0
    }
}

impl Default for Mtu {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for Mtu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<i64> for Mtu {
    type Error = MtuError;

    fn try_from(bytes: i64) -> Result<Self, MtuError> {
        u32::try_from(bytes)
            .map(Self)
            .ok()
            .filter(|mtu| (Self::MIN..=Self::MAX).contains(mtu))
            .ok_or(MtuError(bytes))
    }
}

/// A number that is no MTU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is out of range: an MTU is {min} to {max} bytes", min = Mtu::MIN, max = Mtu::MAX)]
pub struct MtuError(pub i64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_that_of_the_devices() {
        for bytes in [68, 1500, 65_535] {
            assert_eq!(i64::from(Mtu::try_from(bytes).expect("must be valid").bytes()), bytes);
        }
        for bytes in [i64::MIN, -1, 0, 67, 65_536, (1 << 32) + 1500, i64::MAX] {
            assert_eq!(Mtu::try_from(bytes), Err(MtuError(bytes)));
        }
    }
}
