//! Captured frames: what the ring buffer holds, what a frame says of itself, and how it is written.
//!
//! Where frames come from is the datapath's business, and where they go is the command line's.

mod filter;
mod headers;
mod line;
mod order;
mod pcapng;
mod record;

pub use filter::Filter;
pub use headers::{HEADERS_BYTES, Headers, Protocol};
pub use line::{FrameLine, time_of_day};
pub use order::InOrder;
pub use pcapng::{Comment, FileStatistics, Interface, PacketBlock, Pcapng};
pub use record::Captured;
