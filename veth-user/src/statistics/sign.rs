//! The sign test: whether values fall on one side of a point by chance.

/// How likely it is that values which fall on either side of `center` by the toss of a coin fall as
/// one-sidedly as these, or more. Values at `center` tell nothing and are left out; without any
/// other, 1.
///
/// It is exact for any number of values, and asks nothing of how they are distributed: noise that is
/// large moves values, not the odds of their side.
pub fn sign_probability(values: &[f64], center: f64) -> f64 {
    let above = values.iter().filter(|value| **value > center).count();
    let below = values.iter().filter(|value| **value < center).count();
    let (count, fewer) = (above + below, above.min(below));
    // One tail: the ways in which so few or fewer are on one side, out of 2^count.
    let mut ways = 1.0;
    let mut tail = 0.0;
    for chosen in 0..=fewer {
        tail += ways;
        ways *= (count - chosen) as f64 / (chosen + 1) as f64;
    }
    (2.0 * tail / 2.0_f64.powf(count as f64)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probability(above: usize, below: usize) -> f64 {
        let values: Vec<f64> =
            std::iter::repeat_n(2.0, above).chain(std::iter::repeat_n(0.5, below)).collect();
        sign_probability(&values, 1.0)
    }

    #[test]
    fn known_probabilities() {
        // From the binomial table for p = 1/2.
        for (above, below, wanted) in [
            (0, 0, 1.0),
            (5, 0, 0.0625),
            (0, 7, 0.015_625),
            (8, 0, 0.007_812_5),
            (9, 1, 0.021_484_375),
            (1, 11, 0.006_347_656_25),
            (5, 5, 1.0),
        ] {
            let found = probability(above, below);
            assert!((found - wanted).abs() < 1e-12, "{above} above, {below} below: {found}");
        }
    }

    #[test]
    fn values_at_the_point_tell_nothing() {
        assert!((sign_probability(&[1.0; 9], 1.0) - 1.0).abs() < f64::EPSILON);
        let with = sign_probability(&[1.0, 2.0, 2.0, 2.0, 1.0], 1.0);
        assert!((with - probability(3, 0)).abs() < f64::EPSILON);
    }

    #[test]
    fn many_values_are_no_trouble() {
        assert!(probability(10_000, 0) < 1e-300);
        assert!(probability(5_000, 5_000) > 0.99);
    }
}
