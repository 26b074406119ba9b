//! What `veth top` shows: a fabric's last minute, who talks to whom in it, which of it a person looks
//! at, and the screen that makes of it.
//!
//! Pure: keys and snapshots come in, cells come out. Where they come from, and the terminal, are the
//! command's.

mod detail;
mod draw;
mod history;
mod pairs;
mod pen;
mod spark;
mod state;
#[cfg(test)]
mod tests;

pub use draw::draw;
pub use history::{History, MINUTE};
pub use pen::Palette;
pub use state::{Column, Dashboard, Key};
