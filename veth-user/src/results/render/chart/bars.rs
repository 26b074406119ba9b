//! Bars of ratios to a baseline, with the intervals of the ratios as whiskers.

use super::{
    super::{
        super::{Path, PathKind, Ratio},
        figure::{Difference, interval, plain, times},
        markup::Element,
    },
    Scale, WIDTH, canvas, label, line, steps,
};

/// Where bars begin: labels are before.
const LEFT: f64 = 84.0;
/// Where they end at most: figures are behind.
const RIGHT: f64 = WIDTH - 54.0;
const TOP: f64 = 18.0;
const ROW: f64 = 22.0;
const THICKNESS: f64 = 12.0;
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
        let highest = bars.iter().map(|bar| bar.highest()).fold(1.0, f64::max);
        let ticks = steps(highest, 4);
        let scale = Scale::linear(0.0, *ticks.last().unwrap_or(&1.0)).over(LEFT, RIGHT);
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
            bar.draw(&scale, TOP + ROW * (row as f64 + 0.5)).child(Element::new("title").text(told))
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

    fn highest(&self) -> f64 {
        self.ratio.map_or(1.0, |ratio| ratio.high.max(ratio.median))
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

    fn draw(&self, scale: &Scale, y: f64) -> Element {
        let median = self.ratio.map_or(1.0, |ratio| ratio.median);
        let class = match self.ratio.as_ref().map(Difference::of) {
            None => "baseline",
            Some(Difference::Better) => "better",
            Some(Difference::Worse) => "worse",
            Some(Difference::None) => "same",
        };
        let end = scale.place(median);
        let bar = Element::new("rect")
            .with("class", "bar")
            .at("x", LEFT)
            .at("y", y - THICKNESS / 2.0)
            .at("width", end - LEFT)
            .at("height", THICKNESS)
            .with("rx", 1);
        let text = self
            .ratio
            .map_or_else(|| "1".into(), |ratio| Difference::of(&ratio).mark(&times(ratio.median)));
        Element::new("g")
            .with("class", class)
            .child(label("name", "end", (LEFT - 8.0, y + 4.0), self.path.to_string()))
            .child(bar)
            .children(self.ratio.iter().flat_map(|ratio| whiskers(ratio, scale, y)))
            .child(label("value", "end", (WIDTH - 1.0, y + 4.0), text))
    }
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
    fn bars_are_as_long_as_their_ratios() {
        let text = draw(&[
            Bar { path: fixture::BRIDGE, ratio: None },
            Bar { path: fixture::path(PathKind::Tc, 1), ratio: Some(ratio(1.4, 1.5, 1.6)) },
        ]);
        let widths = numbers(&text, "rect", "width");
        assert!((widths[1] / widths[0] - 1.5).abs() < 0.01, "{widths:?}");
        assert!(text.contains("tc: 1.50x [1.40, 1.60] of bridge, better"), "{text}");
        assert!(text.contains("bridge: the baseline"), "{text}");
    }

    #[test]
    fn everything_is_inside_whatever_the_ratios() {
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
                assert!(places.iter().all(|x| (LEFT..=RIGHT).contains(x)), "{highest} {places:?}");
            }
        }
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
