//! Real traffic between two namespaces, with ordinary sockets: what a demo shows and what a
//! comparison of paths measures.
//!
//! The kernel cannot tell it from an application's traffic, and that is the point. Every socket is
//! made inside its namespace, by a thread that ends with its work. What the frames meet on their
//! way, and what a figure is worth, is for others to say.
//!
//! No call blocks for longer than a few hundredths of a second, so lost frames, a dead far side or a
//! [`Stop`](crate::Stop) are noticed soon, and every thread is joined before its owner is gone. Functions here
//! block: an async caller wants `spawn_blocking`.

mod background;
mod endpoint;
mod error;
pub mod load;
mod round_trip;
mod socket;
mod stream;
mod worker;

pub use background::{Background, Totals};
pub use endpoint::Endpoint;
pub use error::{Place, TrafficError};
pub use round_trip::{Latency, RoundTrips, measure_round_trips};
pub use stream::{Throughput, measure_stream};
