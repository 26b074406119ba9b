//! Whether values rise or fall with time.

use super::median;

/// Up to so many values the probability is exact. The normal distribution is close enough from
/// ten values on.
const EXACT_UP_TO: usize = 40;

/// A line through points, and whether chance explains it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trend {
    /// How much y changes for each unit of x: the median over all pairs of points (Theil and Sen).
    pub slope: f64,
    /// Probability of a trend as consistent as this one, up or down, in values without any (Mann
    /// and Kendall).
    pub probability: f64,
}

/// The trend of `points`, x and y, whose x are distinct. None with fewer than two points.
pub fn trend(points: &[(f64, f64)]) -> Option<Trend> {
    let mut points: Vec<(f64, f64)> =
        points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite()).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut slopes = Vec::new();
    for (index, (x, y)) in points.iter().enumerate() {
        slopes.extend(points[index + 1..].iter().map(|(later, z)| (z - y) / (later - x)));
    }
    let slope = median(&slopes)?;
    let rising = slopes.iter().filter(|slope| **slope > 0.0).count();
    let falling = slopes.iter().filter(|slope| **slope < 0.0).count();
    let has_ties = rising + falling < slopes.len();
    let probability = if has_ties || points.len() > EXACT_UP_TO {
        let values: Vec<f64> = points.iter().map(|(_, y)| *y).collect();
        normal_probability(rising.abs_diff(falling), &values)
    } else {
        exact_probability(points.len(), rising.min(falling))
    };
    Some(Trend { slope, probability })
}

/// Probability that in an order of `length` distinct values that is as likely as any other, at
/// most `fewer` pairs rise, or at most so many fall.
fn exact_probability(length: usize, fewer: usize) -> f64 {
    // Probability of each number of falling pairs, up to `fewer`. The next value, put among those
    // before it, falls below 0, 1, 2 .. of them with equal probability.
    let mut falling = vec![0.0; fewer + 1];
    falling[0] = 1.0;
    for count in 2..=length {
        falling = (0..=fewer)
            .map(|pairs| {
                let from = pairs.saturating_sub(count - 1);
                falling[from..=pairs].iter().sum::<f64>() / count as f64
            })
            .collect();
    }
    (2.0 * falling.iter().sum::<f64>()).min(1.0)
}

/// The same with the normal distribution, corrected for steps and for values that are equal;
/// `excess` is by how much rising pairs outnumber falling ones, or the reverse.
fn normal_probability(excess: usize, values: &[f64]) -> f64 {
    let spread = |count: f64| count * (count - 1.0) * (2.0 * count + 5.0);
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let ties: f64 =
        sorted.chunk_by(|a, b| a.total_cmp(b).is_eq()).map(|tied| spread(tied.len() as f64)).sum();
    let variance = (spread(values.len() as f64) - ties) / 18.0;
    if variance <= 0.0 {
        return 1.0;
    }
    let score = excess.saturating_sub(1) as f64 / variance.sqrt();
    both_tails(score)
}

/// Probability that a normally distributed value is at least `score` standard deviations away from
/// its mean (Abramowitz and Stegun, 7.1.26: wrong by at most 1.5e-7).
fn both_tails(score: f64) -> f64 {
    const COEFFICIENTS: [f64; 5] =
        [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let x = score / std::f64::consts::SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let polynomial = COEFFICIENTS.iter().fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    polynomial * (-x * x).exp()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::statistics::Random;

    fn of(values: &[f64]) -> Trend {
        let points: Vec<(f64, f64)> =
            values.iter().enumerate().map(|(index, value)| (index as f64, *value)).collect();
        trend(&points).expect("has points")
    }

    fn close(value: f64, expected: f64) -> bool {
        (value - expected).abs() < 5e-4
    }

    #[test]
    fn slope_is_the_median_of_all_pairs() {
        // 1, 2 and 15/4 from the first point, 3 and 14/3 from the second, 11/2 from the third.
        let Trend { slope, .. } =
            trend(&[(0.0, 1.0), (1.0, 2.0), (2.0, 5.0), (4.0, 16.0)]).expect("has points");
        assert!(close(slope, f64::midpoint(3.0, 3.75)), "{slope}");
    }

    #[test]
    fn one_value_far_away_does_not_make_a_trend() {
        let found = of(&[5.0, 5.1, 4.9, 5.05, 50.0, 4.95, 5.02, 4.98]);
        assert!(found.slope.abs() < 0.02 && found.probability > 0.5, "{found:?}");
    }

    #[test]
    fn exact_probabilities_are_those_of_kendalls_table() {
        // Probability that the excess of rising pairs is at least so much (Kendall, "Rank
        // correlation methods", table 1), here for both directions.
        for (length, excess, one_sided) in [
            (4, 4, 0.167),
            (4, 6, 0.042),
            (5, 6, 0.117),
            (5, 8, 0.042),
            (10, 11, 0.190),
            (10, 21, 0.036),
            (10, 27, 0.0083),
        ] {
            let pairs = length * (length - 1) / 2;
            let probability = exact_probability(length, (pairs - excess) / 2);
            assert!((probability - 2.0 * one_sided).abs() < 1.1e-3, "{length} {excess}");
        }
        // Five in order: 2 of 120 orders.
        assert!(close(of(&[1.0, 2.0, 3.0, 4.0, 5.0]).probability, 2.0 / 120.0));
        assert!(close(of(&[5.0, 4.0, 3.0, 2.0, 1.0]).probability, 2.0 / 120.0));
    }

    #[test]
    fn normal_distribution_has_its_known_tails() {
        for (score, probability) in
            [(0.0, 1.0), (1.0, 0.317_311), (1.959_964, 0.05), (2.575_829, 0.01)]
        {
            assert!((both_tails(score) - probability).abs() < 1e-6, "{score}");
        }
    }

    #[test]
    fn equal_values_are_allowed_for() {
        // Of ten pairs eight rise, and one pair of values is equal twice: the variance is
        // (5 * 4 * 15 - 2 * (2 * 1 * 9)) / 18 = 14.667, the score (8 - 1) / 3.830 = 1.828.
        let found = of(&[1.0, 1.0, 2.0, 3.0, 3.0]);
        assert!(close(found.probability, 0.0676), "{found:?}");
        assert!(close(of(&[2.0; 6]).probability, 1.0));
        assert!(close(of(&[2.0; 6]).slope, 0.0));
    }

    #[test]
    fn many_values_agree_with_the_exact_probability() {
        let mut random = Random::seeded(3);
        for _ in 0..20 {
            let values: Vec<f64> = (0..EXACT_UP_TO).map(|_| random.near_one(0.1)).collect();
            let rising = (0..values.len())
                .flat_map(|i| (i + 1..values.len()).map(move |j| (i, j)))
                .filter(|(i, j)| values[*i] < values[*j])
                .count();
            let falling = values.len() * (values.len() - 1) / 2 - rising;
            let normal = normal_probability(rising.abs_diff(falling), &values);
            assert!((normal - of(&values).probability).abs() < 0.01);
        }
    }

    #[test]
    fn noise_has_a_trend_as_often_as_chance_has_it() {
        let is_found = |seed: &u64| {
            let mut random = Random::seeded(*seed);
            let values: Vec<f64> = (0..12).map(|_| random.near_one(0.1)).collect();
            of(&values).probability < 0.05
        };
        let found = (0..1000).filter(is_found).count();
        assert!((20..80).contains(&found), "{found} of 1000");
    }

    #[test]
    fn a_planted_trend_is_found() {
        for seed in 0..50 {
            let mut random = Random::seeded(seed);
            let values: Vec<f64> =
                (0..10).map(|round| random.near_one(0.03) + 0.03 * f64::from(round)).collect();
            let found = of(&values);
            assert!(found.probability < 0.01 && (found.slope - 0.03).abs() < 0.02, "{found:?}");
        }
    }

    #[test]
    fn a_single_point_has_no_trend() {
        assert_eq!(trend(&[(0.0, 1.0)]), None);
        assert_eq!(trend(&[(0.0, 1.0), (1.0, f64::NAN)]), None);
    }

    proptest! {
        #[test]
        fn turned_around_a_trend_turns_its_sign_and_keeps_its_probability(
            values in prop::collection::vec(0.0..100.0, 2..20),
        ) {
            let there = of(&values);
            let back = of(&values.iter().rev().copied().collect::<Vec<f64>>());
            prop_assert!((there.slope + back.slope).abs() < 1e-9);
            prop_assert!((there.probability - back.probability).abs() < 1e-9);
            prop_assert!((0.0..=1.0).contains(&there.probability));
        }
    }
}
