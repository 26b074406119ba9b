//! Values that do not belong to the others.

use super::{median, median_absolute_deviation};

/// Modified z-score from which on a value is an outlier (Iglewicz and Hoaglin, "How to detect and
/// handle outliers", 1993).
const SCORE: f64 = 3.5;

/// From the median absolute deviation to the standard deviation of a normal distribution.
const MEDIAN_TO_STANDARD: f64 = 1.4826;

/// The same for the mean of the distances.
const MEAN_TO_STANDARD: f64 = 1.2533;

/// The indexes of those of `values` that are far from the median, measured by how far the others
/// are.
///
/// When most values are equal, their median distance is 0; then the mean distance is the measure.
pub fn outliers(values: &[f64]) -> Vec<usize> {
    let (Some(median), Some(deviation)) = (median(values), median_absolute_deviation(values))
    else {
        return Vec::new();
    };
    let distance = |value: f64| (value - median).abs();
    let deviation = if deviation > 0.0 {
        deviation * MEDIAN_TO_STANDARD
    } else {
        let distances: Vec<f64> =
            values.iter().copied().filter(|value| value.is_finite()).map(distance).collect();
        distances.iter().sum::<f64>() / distances.len() as f64 * MEAN_TO_STANDARD
    };
    let is_outlier =
        |value: f64| value.is_finite() && deviation > 0.0 && distance(value) > SCORE * deviation;
    values
        .iter()
        .enumerate()
        .filter(|(_, value)| is_outlier(**value))
        .map(|(index, _)| index)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_that_does_not_belong_is_found() {
        // Leys et al., "Detecting outliers", 2013: 1000 is one, 1 and 10 are not.
        assert_eq!(outliers(&[1.0, 3.0, 3.0, 6.0, 8.0, 10.0, 10.0, 1000.0]), [7]);
        assert_eq!(outliers(&[10.1, 9.9, 4.0, 10.0, 10.2, 9.8, 17.0]), [2, 6]);
    }

    #[test]
    fn a_sample_that_is_wide_has_none() {
        assert!(outliers(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).is_empty());
        assert!(outliers(&[1.0, 9.0]).is_empty());
        assert!(outliers(&[]).is_empty());
    }

    #[test]
    fn equal_values_have_none_and_one_that_is_not_equal_is_one() {
        assert!(outliers(&[5.0; 6]).is_empty());
        assert_eq!(outliers(&[5.0, 5.0, 5.0, 9.0, 5.0]), [3]);
    }

    #[test]
    fn what_is_not_finite_is_no_outlier_and_hides_none() {
        let values = [f64::NAN, 10.1, 9.9, 40.0, 10.0, 10.2, f64::INFINITY];
        assert_eq!(outliers(&values), [3]);
    }
}
