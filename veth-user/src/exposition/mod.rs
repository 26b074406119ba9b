//! The metrics endpoint: reads everything that is counted, and hands it to whoever asks over HTTP.
//!
//! What there is to tell, and how it is written, is [`metrics`](crate::metrics)' business.

mod feed;
mod read;
mod serve;

pub use feed::Feed;
pub use read::Source;
pub use serve::{BindError, Endpoint};
