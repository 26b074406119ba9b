//! Text on a grid of cells, and what colours it may have.

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

/// Which colours there are. Both have bold and inverse text; no meaning is in a colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Palette {
    /// The terminal's own sixteen.
    Sixteen,
    /// None.
    Plain,
}

/// What a piece of text is, which decides how it looks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Look {
    Text,
    Strong,
    Heading,
    Selected,
    Alarm,
    Good,
    Fair,
    Quiet,
}

impl Palette {
    fn style(self, look: Look) -> Style {
        let (colour, modifier) = match look {
            Look::Text => (None, Modifier::empty()),
            Look::Strong => (None, Modifier::BOLD),
            Look::Heading => (Some(Color::Cyan), Modifier::BOLD),
            Look::Selected => (None, Modifier::REVERSED),
            Look::Alarm => (Some(Color::Red), Modifier::BOLD),
            Look::Good => (Some(Color::Green), Modifier::empty()),
            Look::Fair => (Some(Color::Yellow), Modifier::empty()),
            Look::Quiet => (Some(Color::DarkGray), Modifier::empty()),
        };
        let style = Style::new().add_modifier(modifier);
        match (self, colour) {
            (Self::Sixteen, Some(colour)) => style.fg(colour),
            _ => style,
        }
    }
}

/// Writes into an area, and never beyond it.
pub(super) struct Pen<'a> {
    pub(super) area: Rect,
    pub(super) buffer: &'a mut Buffer,
    pub(super) palette: Palette,
}

impl Pen<'_> {
    /// Writes `text` into `width` columns from `column` of `line`. Returns the column after it.
    pub(super) fn left(
        &mut self,
        column: u16,
        line: u16,
        width: u16,
        text: &str,
        look: Look,
    ) -> u16 {
        if line >= self.area.height || column >= self.area.width {
            return column;
        }
        let width = width.min(self.area.width - column);
        let (x, y) = (self.area.x + column, self.area.y + line);
        let style = self.palette.style(look);
        let (end, _) = self.buffer.set_stringn(x, y, text, usize::from(width), style);
        end - self.area.x
    }

    /// The same, aligned to the right. `text` is a figure or a heading: a column for each character.
    /// Without room for all of it there is nothing: a part of a figure is another figure.
    pub(super) fn right(&mut self, column: u16, line: u16, width: u16, text: &str, look: Look) {
        if column + width > self.area.width {
            return;
        }
        let length = u16::try_from(text.chars().count()).unwrap_or(u16::MAX).min(width);
        self.left(column + width - length, line, length, text, look);
    }

    /// Writes a whole line.
    pub(super) fn line(&mut self, line: u16, text: &str, look: Look) -> u16 {
        self.left(0, line, self.area.width, text, look)
    }

    /// Gives a whole line a look on top of what it has.
    pub(super) fn mark(&mut self, line: u16, look: Look) {
        if line < self.area.height {
            let row = Rect { y: self.area.y + line, height: 1, ..self.area };
            self.buffer.set_style(row, self.palette.style(look));
        }
    }
}
