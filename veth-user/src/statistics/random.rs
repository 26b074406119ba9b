//! A small generator of random numbers that are the same everywhere and each time.

/// `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) const fn seeded(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// An index of a slice of `length` items, which is not 0.
    pub(super) fn index(&mut self, length: usize) -> usize {
        // The high half of the product: every index is as likely, but for length / 2^64.
        let product = u128::from(self.next()) * length as u128;
        usize::try_from(product >> 64).expect("the high half of the product is below the length")
    }
}

#[cfg(test)]
impl Random {
    /// A figure near 1: normally distributed with this deviation (the sum of twelve uniform
    /// numbers is, nearly).
    pub(crate) fn near_one(&mut self, deviation: f64) -> f64 {
        let uniform = |bits: u64| (bits >> 11) as f64 / (1_u64 << 53) as f64;
        let sum: f64 = (0..12).map(|_| uniform(self.next())).sum();
        1.0 + deviation * (sum - 6.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_reference_implementation() {
        // https://prng.di.unimi.it/splitmix64.c, seeded with 1234567.
        let mut random = Random::seeded(1_234_567);
        let numbers = [(); 5].map(|()| random.next());
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423,
                4_593_380_528_125_082_431,
                16_408_922_859_458_223_821,
            ]
        );
    }

    #[test]
    fn every_index_is_about_as_likely() {
        let mut random = Random::seeded(7);
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            counts[random.index(6)] += 1;
        }
        assert!(counts.iter().all(|count| (9_700..10_300).contains(count)), "{counts:?}");
    }

    #[test]
    fn noise_has_its_middle_and_its_deviation() {
        let mut random = Random::seeded(7);
        let values: Vec<f64> = (0..20_000).map(|_| random.near_one(0.03) - 1.0).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let variance = values.iter().map(|value| value * value).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.001 && (variance.sqrt() - 0.03).abs() < 0.001);
    }
}
