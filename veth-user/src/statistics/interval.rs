//! Intervals by the bootstrap: what would other samples like this one have said?

use serde::Serialize;

use super::{
    median::{middle, sorted},
    random::Random,
};

/// Samples drawn from the sample. The ends of an interval of so many move by less than the sample
/// itself leaves open.
const RESAMPLES: usize = 10_000;
/// Share of the resamples that is outside of the interval, at each end.
const TAIL: f64 = 0.025;
const SEED: u64 = 0x7665_7468;

/// A figure of a sample with its 95 % interval (percentile bootstrap; Efron, 1979).
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// The figure itself: a median, or a ratio of two.
    pub median: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether some value is in both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.low <= other.high && other.low <= self.high
    }

    fn of(median: f64, mut resampled: Vec<f64>) -> Self {
        let last = resampled.len() - 1;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a length is a length"
        )]
        let cut = (TAIL * last as f64) as usize;
        let mut at = |index| *resampled.select_nth_unstable_by(index, f64::total_cmp).1;
        Self { low: at(cut), median, high: at(last - cut) }
    }
}

/// The median of `values`; none without values. It does not depend on their order.
///
/// With fewer than six values the interval is from the smallest to the largest, which is the most
/// that so few can say. With a few more it is narrower than it says, as bootstrap intervals are:
/// at worst, with seven values, it has the true median in 88 samples of a hundred.
pub fn median_interval(values: &[f64]) -> Option<Interval> {
    let mut sample = Sample::of(values);
    let median = middle(&sample.sorted)?;
    let mut random = Random::seeded(SEED);
    Some(Interval::of(median, (0..RESAMPLES).map(|_| sample.resample(&mut random)).collect()))
}

/// The median of `numerators` divided by that of `denominators`, two samples whose values do not
/// belong together in pairs. None if either is empty, or there is no dividing by the median.
pub fn ratio_interval(numerators: &[f64], denominators: &[f64]) -> Option<Interval> {
    let (mut above, mut below) = (Sample::of(numerators), Sample::of(denominators));
    let ratio = middle(&above.sorted)? / middle(&below.sorted)?;
    if !ratio.is_finite() {
        return None;
    }
    let mut random = Random::seeded(SEED);
    let mut resampled: Vec<f64> = (0..RESAMPLES)
        .map(|_| above.resample(&mut random) / below.resample(&mut random))
        .filter(|ratio| ratio.is_finite())
        .collect();
    // A denominator that is mostly 0 may leave nothing; the interval holds its own figure anyway.
    resampled.push(ratio);
    Some(Interval::of(ratio, resampled))
}

/// A sample to draw others from.
struct Sample {
    sorted: Vec<f64>,
    /// How often each was drawn.
    drawn: Vec<usize>,
}

impl Sample {
    fn of(values: &[f64]) -> Self {
        let sorted = sorted(values);
        Self { drawn: vec![0; sorted.len()], sorted }
    }

    /// The median of as many values as there are, drawn with replacement.
    fn resample(&mut self, random: &mut Random) -> f64 {
        self.drawn.fill(0);
        let length = self.sorted.len();
        for _ in 0..length {
            self.drawn[random.index(length)] += 1;
        }
        // Counted from 1, as the counts are.
        let upper = self.value_at(length / 2 + 1);
        if length % 2 == 1 {
            return upper;
        }
        f64::midpoint(self.value_at(length / 2), upper)
    }

    /// The value that `rank` of the drawn ones are not above.
    fn value_at(&self, rank: usize) -> f64 {
        let mut seen = 0;
        let at = self.drawn.iter().position(|times| {
            seen += times;
            seen >= rank
        });
        self.sorted[at.expect("as many were drawn as there are")]
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values are exact")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::statistics::median;

    #[test]
    fn few_values_have_themselves_as_their_interval() {
        // All three of a kind is 1 of 27, and two of the least with any third 6 of 27: both ends
        // are beyond the tails. Of five, three or more of the least are 5.8 %.
        for values in [&[2.0][..], &[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0, 4.0, 9.0]] {
            let interval = median_interval(values).expect("has values");
            let expected = Interval {
                low: values[0],
                median: values[values.len() / 2],
                high: values[values.len() - 1],
            };
            assert_eq!(interval, expected);
        }
    }

    #[test]
    fn ends_are_where_the_bootstrap_distribution_has_its_tails() {
        // The median of a resample is at most the k-th of 11 when at least 6 draws of 11 are, each
        // with probability k/11: 0.7 % for k = 2, and 5.1 % for k = 3.
        let values: Vec<f64> = (1..=11).map(f64::from).collect();
        let interval = median_interval(&values).expect("has values");
        assert_eq!(interval, Interval { low: 3.0, median: 6.0, high: 9.0 });
    }

    #[test]
    fn nothing_has_no_interval() {
        assert_eq!(median_interval(&[]), None);
        assert_eq!(median_interval(&[f64::NAN]), None);
        assert_eq!(ratio_interval(&[], &[1.0]), None);
        assert_eq!(ratio_interval(&[1.0], &[]), None);
        assert_eq!(ratio_interval(&[1.0, 2.0], &[0.0, 0.0]), None);
    }

    #[test]
    fn ratio_of_constants_is_exact() {
        let interval = ratio_interval(&[6.0; 4], &[3.0; 7]).expect("has values");
        assert_eq!(interval, Interval { low: 2.0, median: 2.0, high: 2.0 });
    }

    #[test]
    fn a_denominator_that_is_sometimes_nothing_leaves_a_finite_interval() {
        let interval = ratio_interval(&[1.0, 2.0, 3.0], &[0.0, 1.0, 2.0]).expect("has a median");
        assert!(interval.low.is_finite() && interval.high.is_finite());
        assert!(interval.low <= interval.median && interval.median <= interval.high);
    }

    #[test]
    fn intervals_overlap_when_they_touch() {
        let interval = |low, high| Interval { low, median: low, high };
        assert!(interval(1.0, 3.0).overlaps(&interval(3.0, 4.0)));
        assert!(interval(1.0, 9.0).overlaps(&interval(3.0, 4.0)));
        assert!(!interval(1.0, 2.9).overlaps(&interval(3.0, 4.0)));
        assert!(!interval(3.0, 4.0).overlaps(&interval(1.0, 2.9)));
    }

    /// In how many of 200 samples of `length` values the interval does not have 1, their true
    /// median.
    fn misses(length: usize) -> usize {
        let missed = |seed: &u64| {
            let mut random = Random::seeded(*seed);
            let values: Vec<f64> = (0..length).map(|_| random.near_one(0.05)).collect();
            let interval = median_interval(&values).expect("has values");
            interval.low > 1.0 || interval.high < 1.0
        };
        (0..200).filter(missed).count()
    }

    #[test]
    fn an_interval_has_the_true_median_about_as_often_as_it_says() {
        for length in [6, 10, 15] {
            let misses = misses(length);
            assert!((2..=22).contains(&misses), "{misses} of 200 with {length} values");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn interval_has_the_median_and_stays_within_the_sample(
            values in prop::collection::vec(0.001..1000.0, 1..30),
        ) {
            let interval = median_interval(&values).expect("has values");
            prop_assert_eq!(Some(interval.median), median(&values));
            prop_assert!(interval.low <= interval.median && interval.median <= interval.high);
            let sorted = sorted(&values);
            prop_assert!(sorted[0] <= interval.low && interval.high <= sorted[sorted.len() - 1]);
        }

        #[test]
        fn interval_does_not_depend_on_the_order(
            (values, shuffled) in prop::collection::vec(0.001..1000.0, 1..30)
                .prop_flat_map(|values| (Just(values.clone()), Just(values).prop_shuffle())),
        ) {
            prop_assert_eq!(median_interval(&values), median_interval(&shuffled));
        }

        #[test]
        fn interval_scales_with_the_sample(
            values in prop::collection::vec(0.001..1000.0, 1..30),
            power in -20..20,
        ) {
            // By a power of two, which rounds nothing.
            let factor = 2_f64.powi(power);
            let scaled: Vec<f64> = values.iter().map(|value| value * factor).collect();
            let plain = median_interval(&values).expect("has values");
            let Interval { low, median, high } = median_interval(&scaled).expect("has values");
            prop_assert_eq!(
                [low, median, high],
                [plain.low * factor, plain.median * factor, plain.high * factor]
            );
        }

        #[test]
        fn ratio_does_not_depend_on_a_scale_that_both_have(
            above in prop::collection::vec(0.001..1000.0, 1..20),
            below in prop::collection::vec(0.001..1000.0, 1..20),
            power in -20..20,
        ) {
            let scale = |values: &[f64]| -> Vec<f64> {
                values.iter().map(|value| value * 2_f64.powi(power)).collect()
            };
            let interval = ratio_interval(&above, &below).expect("has values");
            prop_assert!(interval.low <= interval.median && interval.median <= interval.high);
            prop_assert_eq!(ratio_interval(&scale(&above), &scale(&below)), Some(interval));
        }
    }
}
