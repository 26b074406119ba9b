//! A curve of one line.

use super::MINUTE;

const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// A moment without a frame.
const NOTHING: char = '·';

/// The last minute in `width` characters, the present at the right: each is the peak of its moment,
/// as a part of the highest. Blank where nothing is known yet.
pub(super) fn sparkline(
    oldest_first: impl DoubleEndedIterator<Item = f64>,
    width: usize,
) -> String {
    let width = width.min(MINUTE);
    let newest_first: Vec<f64> = oldest_first.rev().take(MINUTE).collect();
    let highest = newest_first.iter().copied().fold(0.0, f64::max);
    (0..width)
        .rev()
        .map(|place| {
            let (from, to) = (place * MINUTE / width, (place + 1) * MINUTE / width);
            let moment = newest_first.get(from..to.min(newest_first.len())).unwrap_or_default();
            match moment.iter().copied().reduce(f64::max) {
                None => ' ',
                Some(peak) => step(peak, highest),
            }
        })
        .collect()
}

fn step(value: f64, highest: f64) -> char {
    if value <= 0.0 {
        return NOTHING;
    }
    let share = value / highest;
    let reached = (1..STEPS.len()).take_while(|step| share > *step as f64 / STEPS.len() as f64);
    STEPS[reached.count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_parts_of_the_highest() {
        let samples = [0.0, 1.0, 4.0, 8.0];
        assert_eq!(sparkline(samples.into_iter(), MINUTE).trim_start(), "·▁▄█");
    }

    #[test]
    fn what_is_not_known_yet_is_blank_and_the_present_is_at_the_right() {
        let text = sparkline([5.0].into_iter(), 10);
        assert_eq!(text, "         █");
        assert_eq!(sparkline([].into_iter(), 3), "   ");
    }

    #[test]
    fn a_narrow_curve_keeps_the_peaks() {
        let mut samples = vec![1.0; MINUTE];
        samples[3] = 8.0;
        assert_eq!(sparkline(samples.into_iter(), 6), "█▁▁▁▁▁");
    }

    #[test]
    fn only_the_last_minute_counts() {
        let samples = [100.0].into_iter().chain([1.0; MINUTE]);
        assert_eq!(sparkline(samples, 4), "████");
    }
}
