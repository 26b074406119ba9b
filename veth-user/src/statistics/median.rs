//! The middle of a sample, and how far its values stray from there.

/// The middle of `values`, or what is halfway between the two in the middle; none without values.
pub fn median(values: &[f64]) -> Option<f64> {
    middle(&sorted(values))
}

/// How far the values are from their median: the median of the distances. Times 1.4826 it
/// estimates the standard deviation of a normal distribution.
pub fn median_absolute_deviation(values: &[f64]) -> Option<f64> {
    let median = median(values)?;
    let distances: Vec<f64> = values.iter().map(|value| (value - median).abs()).collect();
    self::median(&distances)
}

/// The values that are finite, ascending.
pub(super) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The median of what is sorted.
pub(super) fn middle(sorted: &[f64]) -> Option<f64> {
    let half = sorted.len() / 2;
    let upper = *sorted.get(half)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(sorted[half - 1], upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Leys et al., "Detecting outliers", 2013.
    const LEYS: [f64; 8] = [1.0, 3.0, 3.0, 6.0, 8.0, 10.0, 10.0, 1000.0];

    #[test]
    fn median_is_the_middle_in_any_order() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[5.0]), Some(5.0));
        assert_eq!(median(&LEYS), Some(7.0));
    }

    #[test]
    fn what_is_not_finite_is_left_out() {
        assert_eq!(median(&[f64::NAN, 1.0, f64::INFINITY, 3.0]), Some(2.0));
        assert_eq!(median(&[f64::NAN]), None);
        assert_eq!(median(&[]), None);
        assert_eq!(median_absolute_deviation(&[f64::NAN]), None);
    }

    #[test]
    fn deviation_does_not_mind_one_value_far_away() {
        // 6, 4, 4, 1, 1, 3, 3 and 993 away from 7.
        assert_eq!(median_absolute_deviation(&LEYS), Some(3.5));
        assert_eq!(median_absolute_deviation(&[2.0, 2.0, 2.0]), Some(0.0));
    }
}
