//! From figures to places, and the round figures worth a mark.

/// Where figures are on an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in super::super) struct Scale {
    figures: (f64, f64),
    places: (f64, f64),
    is_logarithmic: bool,
}

impl Scale {
    /// Places in proportion to figures.
    pub(in super::super) fn linear(low: f64, high: f64) -> Self {
        // An axis without length has no places.
        let high = if high > low { high } else { low + 1.0 };
        Self { figures: (low, high), places: (0.0, 1.0), is_logarithmic: false }
    }

    /// Places in proportion to the logarithms of figures, which are more than 0.
    pub(in super::super) fn logarithmic(low: f64, high: f64) -> Self {
        let low = if low > 0.0 { low } else { 1.0 };
        let high = if high > low { high } else { low * 10.0 };
        Self { figures: (low.ln(), high.ln()), places: (0.0, 1.0), is_logarithmic: true }
    }

    /// Between two places.
    pub(super) fn over(self, first: f64, last: f64) -> Self {
        Self { places: (first, last), ..self }
    }

    /// Where `figure` is; what is beyond an end is at that end.
    pub(super) fn place(&self, figure: f64) -> f64 {
        let figure = if self.is_logarithmic { figure.max(f64::MIN_POSITIVE).ln() } else { figure };
        let (low, high) = self.figures;
        let (first, last) = self.places;
        let share = ((figure - low) / (high - low)).clamp(0.0, 1.0);
        first + share * (last - first)
    }
}

/// Round figures from at most `low` to at least `high`, both not negative, about `count` of them.
pub(in super::super) fn steps(low: f64, high: f64, count: u32) -> Vec<f64> {
    if !(low >= 0.0 && high > low && high.is_finite()) {
        return vec![0.0, 1.0];
    }
    let least = (high - low) / f64::from(count);
    let power = 10f64.powf(least.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].map(|it| it * power);
    // What rounding took away shall not make the next step.
    let step = step.into_iter().find(|step| *step >= least * 0.999_999).unwrap_or(10.0 * power);
    let first = (low / step + 1e-6).floor();
    let mut figures = vec![first * step];
    while figures.last().is_some_and(|last| *last < high - step * 1e-6) {
        figures.push((first + figures.len() as f64) * step);
    }
    figures
}

/// Figures 1, 2, 5, 10, 20 ... from the last that is not above `low` to the first that is not
/// below `high`.
pub(in super::super) fn decades(low: f64, high: f64) -> Vec<f64> {
    if !(low.is_finite() && high.is_finite() && low > 0.0 && high >= low) {
        return vec![1.0, 10.0];
    }
    let mut figures = Vec::new();
    let mut power = 10f64.powf(low.log10().floor());
    loop {
        for figure in [1.0, 2.0, 5.0].map(|it| it * power) {
            if figure <= low {
                figures.clear();
            }
            figures.push(figure);
            if figure >= high && figures.len() > 1 {
                return figures;
            }
        }
        power *= 10.0;
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values are exact")]
mod tests {
    use super::*;

    #[test]
    fn figures_have_their_place_on_both_scales() {
        let linear = Scale::linear(0.0, 2.0).over(100.0, 300.0);
        assert_eq!([0.0, 1.0, 2.0].map(|figure| linear.place(figure)), [100.0, 200.0, 300.0]);
        let logarithmic = Scale::logarithmic(1.0, 100.0).over(200.0, 0.0);
        assert_eq!([1.0, 10.0, 100.0].map(|figure| logarithmic.place(figure)), [200.0, 100.0, 0.0]);
    }

    #[test]
    fn what_is_beyond_an_end_is_at_that_end() {
        let scale = Scale::linear(0.0, 2.0).over(0.0, 10.0);
        assert_eq!([-1.0, 3.0, f64::INFINITY].map(|figure| scale.place(figure)), [0.0, 10.0, 10.0]);
        assert_eq!(Scale::logarithmic(1.0, 10.0).over(0.0, 10.0).place(0.0), 0.0);
    }

    #[test]
    fn axis_of_one_figure_has_a_length() {
        assert_eq!(Scale::linear(3.0, 3.0).over(0.0, 10.0).place(3.0), 0.0);
        assert_eq!(Scale::logarithmic(0.0, 0.0).over(0.0, 10.0).place(1.0), 0.0);
    }

    #[test]
    fn steps_are_round_and_reach_the_highest() {
        assert_eq!(steps(0.0, 1.23, 3), [0.0, 0.5, 1.0, 1.5]);
        assert_eq!(steps(0.0, 3.44, 4), [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(steps(0.0, 430.0, 4), [0.0, 200.0, 400.0, 600.0]);
        assert_eq!(steps(0.0, 1.0, 4), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(steps(0.6, 1.5, 4), [0.5, 0.75, 1.0, 1.25, 1.5]);
        for nothing in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(steps(0.0, nothing, 4), [0.0, 1.0]);
        }
    }

    #[test]
    fn decades_enclose_what_they_are_for() {
        assert_eq!(decades(30.0, 400.0), [20.0, 50.0, 100.0, 200.0, 500.0]);
        assert_eq!(decades(10.0, 10.0), [10.0, 20.0]);
        assert_eq!(decades(1.0, 100.0).last(), Some(&100.0));
        assert_eq!(decades(0.0, 5.0), [1.0, 10.0]);
    }
}
