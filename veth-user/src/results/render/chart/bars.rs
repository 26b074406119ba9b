//! Bars of ratios to a baseline, with the intervals of the ratios as whiskers.
//!
//! Bars begin at 1, so that their length is the difference.

use super::{
    super::{
        super::{Path, PathKind, Ratio},
        figure::{Difference, interval, plain, times},
        markup::Element,
    },
    Scale, WIDTH, canvas, label, line, steps,
};

/// Width of a character of a label, and what is between label and bars.
const CHARACTER: f64 = 7.0;
const GAP: f64 = 10.0;
/// Where bars end at most: figures are behind.
const RIGHT: f64 = WIDTH - 60.0;
const TOP: f64 = 18.0;
const ROW: f64 = 22.0;
const THICKNESS: f64 = 12.0;
/// How far the axis goes at least, on both sides of 1.
const LEAST: f64 = 0.1;
/// Below the bars, for the axis.
const BOTTOM: f64 = 24.0;

/// How paths compare.
#[derive(Debug)]
pub(in super::super) struct BarChart<'a> {
    /// Of the element; nothing else in the page has it.
    pub(in super::super) id: &'a str,
    pub(in super::super) title: &'a str,
    pub(in super::super) baseline: Path,
    pub(in super::super) bars: &'a [Bar],
}

/// One path.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Bar {
    pub(in super::super) path: Path,
    /// How it compares with the baseline; `None` for the baseline itself.
    pub(in super::super) ratio: Option<Ratio>,
}

impl BarChart<'_> {
    pub(in super::super) fn draw(&self) -> Element {
        let bars: Vec<&Bar> = self.bars.iter().filter(|bar| bar.is_drawable()).collect();
        let names = bars.iter().map(|bar| bar.path.to_string().chars().count());
        let left = names.max().unwrap_or(0) as f64 * CHARACTER + GAP;
        let ticks = steps_around_one(&bars);
        let (first, last) = (ticks.first().copied(), ticks.last().copied());
        let scale = Scale::linear(first.unwrap_or(0.0), last.unwrap_or(1.0)).over(left, RIGHT);
        let bottom = TOP + ROW * bars.len() as f64;
        let told: Vec<String> = bars.iter().map(|bar| bar.told(self.baseline)).collect();
        let at_ticks = ticks.iter().flat_map(|tick| {
            let x = scale.place(*tick);
            [
                line("grid", (x, TOP), (x, bottom)),
                label("tick", "middle", (x, bottom + 14.0), plain_tick(*tick)),
            ]
        });
        let drawn = bars.iter().zip(&told).enumerate().map(|(row, (bar, told))| {
            let y = TOP + ROW * (row as f64 + 0.5);
            let row = Element::new("g").with("class", bar.class());
            row.child(Element::new("title").text(told)).children(bar.draw(&scale, left, y))
        });
        let one = scale.place(1.0);
        canvas(self.id, bottom + BOTTOM, self.title, &format!("{}.", told.join("; ")))
            .children(at_ticks)
            .children(drawn)
            .child(line("one", (one, TOP - 4.0), (one, bottom)))
            .children(ceiling(&bars, &scale, bottom))
    }
}

impl Bar {
    fn is_drawable(&self) -> bool {
        self.ratio.is_none_or(|it| [it.low, it.median, it.high].iter().all(|it| it.is_finite()))
    }

    /// What it shows, in words.
    fn told(&self, baseline: Path) -> String {
        let Some(ratio) = &self.ratio else {
            return format!("{}: the baseline", self.path);
        };
        let difference = match Difference::of(ratio) {
            Difference::Better => "better",
            Difference::Worse => "worse",
            Difference::None => "no difference that can be told",
        };
        let (times, interval) = (times(ratio.median), interval(ratio));
        format!("{}: {times} {interval} of {baseline}, {difference}", self.path)
    }

    const fn class(&self) -> &'static str {
        let Some(ratio) = &self.ratio else {
            return "baseline";
        };
        match Difference::of(ratio) {
            Difference::Better => "better",
            Difference::Worse => "worse",
            Difference::None => "same",
        }
    }

    fn draw(&self, scale: &Scale, left: f64, y: f64) -> Vec<Element> {
        let name = label("name", "end", (left - GAP, y + 4.0), self.path.to_string());
        let value = |text: String| label("value", "end", (WIDTH - 1.0, y + 4.0), text);
        let Some(ratio) = &self.ratio else {
            return vec![name, value("baseline".into())];
        };
        let (one, end) = (scale.place(1.0), scale.place(ratio.median));
        let bar = Element::new("rect")
            .with("class", "bar")
            .at("x", one.min(end))
            .at("y", y - THICKNESS / 2.0)
            .at("width", (end - one).abs())
            .at("height", THICKNESS);
        let text = Difference::of(ratio).mark(&times(ratio.median));
        let mut drawn = vec![name, bar];
        drawn.extend(whiskers(ratio, scale, y));
        drawn.push(value(text));
        drawn
    }
}

/// Round ratios for the axis. Small differences are not drawn large: the axis has a least length.
fn steps_around_one(bars: &[&Bar]) -> Vec<f64> {
    let ratios = bars.iter().filter_map(|bar| bar.ratio);
    let (low, high) = ratios.fold((1.0 - LEAST, 1.0 + LEAST), |(low, high), ratio| {
        (low.min(ratio.low), high.max(ratio.high))
    });
    steps(low.max(0.0), high, 4)
}

fn whiskers(ratio: &Ratio, scale: &Scale, y: f64) -> [Element; 3] {
    let (low, high) = (scale.place(ratio.low), scale.place(ratio.high));
    let end = |x: f64| line("whisker", (x, y - 3.0), (x, y + 3.0));
    [line("whisker", (low, y), (high, y)), end(low), end(high)]
}

/// The mark of the direct pair: as short as a path can be.
fn ceiling(bars: &[&Bar], scale: &Scale, bottom: f64) -> Option<Element> {
    let direct = bars.iter().find(|bar| bar.path.kind == PathKind::Direct)?;
    let x = scale.place(direct.ratio?.median);
    let mark = Element::new("g").with("class", "ceiling");
    let mark = mark.child(line("", (x, TOP - 4.0), (x, bottom)));
    Some(mark.child(label("tick", "middle", (x, TOP - 7.0), "direct")))
}

/// A round ratio without zeros behind.
fn plain_tick(tick: f64) -> String {
    let text = plain(tick);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{super::super::fixture, *};

    fn ratio(low: f64, median: f64, high: f64) -> Ratio {
        Ratio { low, median, high, differs: low > 1.0 || high < 1.0 }
    }

    fn draw(bars: &[Bar]) -> String {
        let chart = BarChart { id: "a", title: "title", baseline: fixture::BRIDGE, bars };
        chart.draw().to_string()
    }

    fn numbers(text: &str, element: &str, attribute: &str) -> Vec<f64> {
        let document = roxmltree::Document::parse(text).expect("is well-formed");
        let nodes = document.descendants().filter(|node| node.has_tag_name(element));
        nodes
            .filter_map(|node| node.attribute(attribute))
            .map(|value| value.parse().expect("is a number"))
            .collect()
    }

    #[test]
    fn bars_are_as_long_as_the_differences() {
        let text = draw(&[
            Bar { path: fixture::BRIDGE, ratio: None },
            Bar { path: fixture::path(PathKind::Route, 1), ratio: Some(ratio(0.7, 0.8, 0.9)) },
            Bar { path: fixture::path(PathKind::Tc, 1), ratio: Some(ratio(1.4, 1.6, 1.7)) },
        ]);
        let (starts, widths) = (numbers(&text, "rect", "x"), numbers(&text, "rect", "width"));
        assert!((widths[1] / widths[0] - 3.0).abs() < 0.01, "{widths:?}");
        let one = starts[0] + widths[0];
        assert!((starts[1] - one).abs() < 0.11, "{starts:?} {widths:?}");
        assert!(text.contains("tc: 1.60x [1.40, 1.70] of bridge, better"), "{text}");
        assert!(text.contains("bridge: the baseline"), "{text}");
    }

    #[test]
    fn everything_is_inside_whatever_the_ratios() {
        const LABELS: f64 = 6.0 * CHARACTER + GAP;
        for highest in [0.01, 0.99, 1.0, 7.3, 1234.0] {
            let text = draw(&[
                Bar {
                    path: fixture::path(PathKind::Direct, 1),
                    ratio: Some(ratio(0.0, 0.5, highest)),
                },
                Bar { path: fixture::BRIDGE, ratio: None },
            ]);
            for attribute in ["x1", "x2"] {
                let places = numbers(&text, "line", attribute);
                assert!(
                    places.iter().all(|x| (LABELS..=RIGHT).contains(x)),
                    "{highest} {places:?}"
                );
            }
        }
    }

    #[test]
    fn small_differences_are_short_bars() {
        let path = fixture::path(PathKind::Tc, 1);
        let text = draw(&[Bar { path, ratio: Some(ratio(0.99, 1.01, 1.02)) }]);
        let widths = numbers(&text, "rect", "width");
        assert!(widths[0] < RIGHT / 10.0, "{widths:?}");
    }

    #[test]
    fn ratio_that_is_no_number_is_left_out() {
        let path = fixture::path(PathKind::Tc, 1);
        let text = draw(&[Bar { path, ratio: Some(ratio(1.0, f64::NAN, f64::INFINITY)) }]);
        assert_eq!(numbers(&text, "rect", "width").len(), 0);
        assert!(!text.contains("NaN"));
    }

    #[test]
    fn only_a_direct_pair_that_was_compared_is_marked() {
        let direct = fixture::path(PathKind::Direct, 1);
        let compared = draw(&[Bar { path: direct, ratio: Some(ratio(1.1, 1.2, 1.3)) }]);
        assert!(compared.contains("ceiling"));
        assert!(!draw(&[Bar { path: direct, ratio: None }]).contains("ceiling"));
    }
}
