//! Curves: one for each path.

use super::{
    super::{
        super::Path,
        markup::{Element, tenth},
    },
    Scale, WIDTH, canvas, hue, label, line,
};

const HEIGHT: f64 = 250.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = WIDTH - 14.0;
const TOP: f64 = 22.0;
const BOTTOM: f64 = HEIGHT - 38.0;

/// Curves over the same axes.
#[derive(Debug)]
pub(in super::super) struct LineChart<'a> {
    /// Of the element; nothing else in the page has it.
    pub(in super::super) id: &'a str,
    pub(in super::super) title: &'a str,
    /// What it shows, in words.
    pub(in super::super) description: &'a str,
    pub(in super::super) x: Axis,
    pub(in super::super) y: Axis,
    pub(in super::super) curves: &'a [Curve],
}

/// An axis.
#[derive(Debug)]
pub(in super::super) struct Axis {
    pub(in super::super) title: &'static str,
    pub(in super::super) scale: Scale,
    /// Figures with a mark, and their text.
    pub(in super::super) ticks: Vec<(f64, String)>,
}

/// One path.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) struct Curve {
    pub(in super::super) path: Path,
    /// Figures on both axes, and what they say in words.
    pub(in super::super) points: Vec<((f64, f64), String)>,
}

impl LineChart<'_> {
    pub(in super::super) fn draw(&self) -> Element {
        let x = self.x.scale.over(LEFT, RIGHT);
        let y = self.y.scale.over(BOTTOM, TOP);
        let x_ticks = self.x.ticks.iter().flat_map(|(figure, text)| {
            let at = x.place(*figure);
            let mark = line("grid", (at, TOP), (at, BOTTOM));
            [mark, label("tick", "middle", (at, BOTTOM + 15.0), text)]
        });
        let y_ticks = self.y.ticks.iter().flat_map(|(figure, text)| {
            let at = y.place(*figure);
            let mark = line("grid", (LEFT, at), (RIGHT, at));
            [mark, label("tick", "end", (LEFT - 6.0, at + 4.0), text)]
        });
        let middle = f64::midpoint(LEFT, RIGHT);
        canvas(self.id, HEIGHT, self.title, self.description)
            .children(x_ticks)
            .children(y_ticks)
            .child(label("axis", "middle", (middle, HEIGHT - 4.0), self.x.title))
            .child(label("axis", "start", (0.0, 10.0), self.y.title))
            .children(self.curves.iter().map(|curve| curve.draw(&x, &y)))
    }
}

impl Curve {
    fn draw(&self, x: &Scale, y: &Scale) -> Element {
        let places: Vec<((f64, f64), &str)> = self
            .points
            .iter()
            .filter(|((at, figure), _)| at.is_finite() && figure.is_finite())
            .map(|((at, figure), told)| ((x.place(*at), y.place(*figure)), told.as_str()))
            .collect();
        let line: Vec<String> =
            places.iter().map(|((x, y), _)| format!("{},{}", tenth(*x), tenth(*y))).collect();
        Element::new("g")
            .with("class", class(self.path))
            .child(Element::new("polyline").with("points", line.join(" ")))
            .children(places.iter().map(|(place, told)| {
                marker(self.path, *place).child(Element::new("title").text(*told))
            }))
    }
}

/// The sample of a path's curve that stands beside its name.
pub(in super::super) fn key(path: Path) -> Element {
    Element::new("svg")
        .with("viewBox", "0 0 28 12")
        .with("class", "key")
        .with("aria-hidden", "true")
        .child(
            Element::new("g")
                .with("class", class(path))
                .child(Element::new("polyline").with("points", "1,6 27,6"))
                .child(marker(path, (14.0, 6.0))),
        )
}

/// Colour by kind; the second of a kind has the same colour, and gaps.
fn class(path: Path) -> String {
    let gaps = if path.number == 1 { "" } else { " again" };
    format!("curve {}{gaps}", hue(path))
}

/// A point of a curve. Its shape tells paths apart where colours do not.
fn marker(path: Path, (x, y): (f64, f64)) -> Element {
    use super::super::super::PathKind as Kind;
    let corners: &[(f64, f64)] = match path.kind {
        Kind::Direct | Kind::Bridge | Kind::Tc => {
            return Element::new("circle").at("cx", x).at("cy", y).with("r", 2.6);
        }
        Kind::Route | Kind::Xdp | Kind::Pairs => &[(0.0, -3.4), (3.4, 2.6), (-3.4, 2.6)],
        Kind::Macvlan | Kind::Redirect | Kind::Captured | Kind::Delayed(_) => {
            &[(-2.4, -2.4), (2.4, -2.4), (2.4, 2.4), (-2.4, 2.4)]
        }
        Kind::Loopback | Kind::Netkit | Kind::Adopted | Kind::Scraped => {
            &[(0.0, -3.6), (3.6, 0.0), (0.0, 3.6), (-3.6, 0.0)]
        }
    };
    let corners: Vec<String> = corners
        .iter()
        .map(|(right, down)| format!("{} {}", tenth(x + right), tenth(y + down)))
        .collect();
    Element::new("path").with("d", format!("M{}Z", corners.join("L")))
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::{super::PathKind, fixture},
        *,
    };

    fn draw(curves: &[Curve]) -> String {
        let axis = |ticks| Axis { title: "axis", scale: Scale::logarithmic(1.0, 100.0), ticks };
        let ticks = vec![(1.0, "1".into()), (100.0, "100".into())];
        LineChart {
            id: "a",
            title: "title",
            description: "description",
            x: axis(ticks.clone()),
            y: axis(ticks),
            curves,
        }
        .draw()
        .to_string()
    }

    fn curve(path: Path, points: &[(f64, f64)]) -> Curve {
        Curve { path, points: points.iter().map(|point| (*point, "told".into())).collect() }
    }

    #[test]
    fn points_are_between_the_axes_and_higher_is_up() {
        let text = draw(&[curve(fixture::BRIDGE, &[(1.0, 1.0), (10.0, 10.0), (100.0, 1000.0)])]);
        let middle = (f64::midpoint(LEFT, RIGHT), f64::midpoint(BOTTOM, TOP));
        let expected = [(LEFT, BOTTOM), middle, (RIGHT, TOP)]
            .map(|(x, y)| format!("{},{}", tenth(x), tenth(y)))
            .join(" ");
        assert!(text.contains(&format!("points=\"{expected}\"")), "{text}");
    }

    #[test]
    fn figures_that_are_no_numbers_are_left_out() {
        let text = draw(&[curve(fixture::BRIDGE, &[(1.0, f64::NAN), (f64::INFINITY, 1.0)])]);
        assert!(text.contains("points=\"\""), "{text}");
        assert!(!text.contains("<circle"), "{text}");
    }

    #[test]
    fn second_of_a_kind_has_its_colour_and_gaps() {
        let again = fixture::path(PathKind::Bridge, 2);
        let text = draw(&[curve(fixture::BRIDGE, &[(1.0, 1.0)]), curve(again, &[(1.0, 2.0)])]);
        assert!(text.contains("\"curve hue-bridge\""), "{text}");
        assert!(text.contains("\"curve hue-bridge again\""), "{text}");
    }
}
