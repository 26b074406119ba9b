//! Charts as SVG, drawn by hand: their colours are the page's, and they need nothing else.
//!
//! All are as wide as a telephone, so that a page lays them out like words and their text has one
//! size everywhere.

mod bars;
mod lines;
mod scale;

use super::{super::Path, markup::Element};

pub(super) use bars::{Bar, BarChart};
pub(super) use lines::{Axis, Curve, LineChart, key};
pub(super) use scale::{Scale, decades, steps};

/// Width of each chart, in units of its view box.
const WIDTH: f64 = 360.0;

/// An empty chart `height` high that tells those who cannot see it what it shows.
fn canvas(id: &str, height: f64, title: &str, description: &str) -> Element {
    let (title_id, description_id) = (format!("{id}-title"), format!("{id}-description"));
    Element::new("svg")
        .with("viewBox", format!("0 0 {WIDTH} {height}"))
        .with("role", "img")
        .with("aria-labelledby", format!("{title_id} {description_id}"))
        .child(Element::new("title").with("id", title_id).text(title))
        .child(Element::new("desc").with("id", description_id).text(description))
}

fn line(class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> Element {
    let line = Element::new("line").with("class", class);
    line.at("x1", x1).at("y1", y1).at("x2", x2).at("y2", y2)
}

/// Text whose `anchor` (`start`, `middle`, `end`) is at a point.
fn label(class: &str, anchor: &str, (x, y): (f64, f64), text: impl Into<String>) -> Element {
    let label = Element::new("text").with("class", class).with("text-anchor", anchor);
    label.at("x", x).at("y", y).text(text)
}

/// The class that gives a path its colour.
fn hue(path: Path) -> String {
    format!("hue-{}", path.kind.name())
}
