//! Elements of HTML and SVG. Text and attributes are escaped here and nowhere else, so nothing that
//! is put into an element can leave it.

use std::fmt::{self, Display, Write as _};

/// Elements that have no content: HTML's that have no end tag, and SVG's shapes.
const VOID: [&str; 6] = ["meta", "line", "rect", "path", "circle", "polyline"];

/// An element.
#[derive(Clone, Debug)]
pub(super) struct Element {
    name: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Node>,
}

#[derive(Clone, Debug)]
enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, attributes: Vec::new(), children: Vec::new() }
    }

    pub(super) fn with(mut self, attribute: &'static str, value: impl Display) -> Self {
        self.attributes.push((attribute, value.to_string()));
        self
    }

    /// With a coordinate or length, to a tenth: no eye sees more.
    pub(super) fn at(self, attribute: &'static str, value: f64) -> Self {
        self.with(attribute, tenth(value))
    }

    pub(super) fn text(mut self, text: impl Into<String>) -> Self {
        self.children.push(Node::Text(text.into()));
        self
    }

    pub(super) fn child(mut self, child: Self) -> Self {
        self.children.push(Node::Element(child));
        self
    }

    pub(super) fn children(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children.into_iter().map(Node::Element));
        self
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, depth: usize) -> fmt::Result {
        write!(f, "<{}", self.name)?;
        for (name, value) in &self.attributes {
            write!(f, " {name}=\"")?;
            escape(f, value)?;
            f.write_char('"')?;
        }
        if self.children.is_empty() && VOID.contains(&self.name) {
            return f.write_str("/>");
        }
        f.write_char('>')?;
        // Blanks between elements mean nothing; beside text they would be seen.
        let in_line = self.children.iter().any(|child| matches!(child, Node::Text(_)));
        for child in &self.children {
            if !in_line {
                write!(f, "\n{:depth$}", "", depth = depth + 1)?;
            }
            match child {
                Node::Element(element) => element.write(f, depth + 1)?,
                Node::Text(text) => escape(f, text)?,
            }
        }
        if !in_line && !self.children.is_empty() {
            write!(f, "\n{:depth$}", "")?;
        }
        write!(f, "</{}>", self.name)
    }
}

impl Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, 0)
    }
}

/// `value` to a tenth.
pub(super) fn tenth(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn escape(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for character in text.chars() {
        match character {
            '&' => f.write_str("&amp;")?,
            '<' => f.write_str("&lt;")?,
            '>' => f.write_str("&gt;")?,
            '"' => f.write_str("&quot;")?,
            '\'' => f.write_str("&#39;")?,
            // Neither HTML nor XML has a way to write these.
            '\0'..='\u{8}' | '\u{b}'..='\u{1f}' | '\u{7f}'..='\u{9f}' => {
                f.write_char('\u{fffd}')?;
            }
            character => f.write_char(character)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_attributes_cannot_leave_their_element() {
        let hostile = "</p><script>alert('&')</script>\" onload=\"\u{1b}";
        let element = Element::new("p").with("title", hostile).text(hostile);
        let text = element.to_string();
        let document = roxmltree::Document::parse(&text).expect("is well-formed");
        let seen = hostile.replace('\u{1b}', "\u{fffd}");
        let root = document.root_element();
        assert_eq!(root.text(), Some(seen.as_str()));
        assert_eq!(root.attribute("title"), Some(seen.as_str()));
        assert_eq!(root.attributes().len(), 1);
        assert_eq!(root.children().count(), 1);
    }

    #[test]
    fn only_elements_without_content_close_themselves() {
        let element = Element::new("g").child(Element::new("line").at("x1", 1.25)).children([
            Element::new("td"),
            Element::new("b").text("a").child(Element::new("i").text("b")),
        ]);
        let lines = "<g>\n <line x1=\"1.2\"/>\n <td></td>\n <b>a<i>b</i></b>\n</g>";
        assert_eq!(element.to_string(), lines);
    }
}
