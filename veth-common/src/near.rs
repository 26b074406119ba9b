//! The near table: the stations of the FDB map, each in the one place of an array that its address
//! leads to.
//!
//! A lookup in an array is a few instructions, in a hash table it is a hundred. Where two stations
//! have the same place, one of them is only in the FDB map; so a near table may lack any entry, and
//! is empty to begin with.

use crate::MacKey;

/// Bits of a place.
const BITS: u32 = 13;

/// Number of places: eight for each port that a bridge can have.
pub const NEAR_PLACES: u32 = 1 << BITS;

/// The place of the station at `key`, below [`NEAR_PLACES`].
#[inline]
pub const fn near_place(key: MacKey) -> u32 {
    // Addresses that were given out in order go to places far from each other.
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    (key.0.wrapping_mul(GOLDEN) >> (u64::BITS - BITS)) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Mac;

    #[test]
    fn places_are_inside_and_neighbours_are_apart() {
        let mut places = BTreeSet::new();
        for number in 0..1000_u16 {
            let [high, low] = number.to_be_bytes();
            let place = near_place(MacKey::of(Mac([0x02, 0x42, 0xac, 0x11, high, low])));
            assert!(place < NEAR_PLACES);
            places.insert(place);
        }
        // A thousand in a row, as Docker gives them out: chance would leave 940 of them a place.
        assert!(places.len() > 940, "{}", places.len());
    }
}
