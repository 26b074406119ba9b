//! How the results of a benchmark look: in a terminal, in Markdown, as CSV, as a page.
//!
//! What is shown is decided once, in `contents`; the forms only differ in how. Nothing here
//! judges: medians, ratios and whether they differ come from [`Summary`](super::Summary).

mod chart;
mod charts;
mod contents;
mod csv;
mod date;
mod facts;
mod figure;
#[cfg(test)]
mod fixture;
mod markdown;
mod markup;
mod page;
mod sheet;
mod table;

pub use csv::csv;
pub use markdown::markdown;
pub use page::page;
pub use table::table;
