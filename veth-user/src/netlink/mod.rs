//! rtnetlink: everything this crate asks of or tells to the kernel about links, addresses,
//! forwarding entries and namespace ids.
//!
//! [`Netlink`] is one socket, bound for life to the network namespace it was opened in. The other
//! files add verbs to it, one noun each, and turn messages into small types of this crate, so that
//! nobody above names a netlink packet type. [`Ethtool`] is the same for what drivers can be told
//! over generic netlink.

mod address;
mod attributes;
mod error;
mod ethtool;
mod fdb;
mod filter;
mod generic;
mod link;
mod monitor;
mod netnsid;
mod socket;
mod transport;

pub use error::NetlinkError;
pub use ethtool::Ethtool;
pub use link::{LinkChange, VethPair};
pub use monitor::{Event, Monitor};
pub use socket::Netlink;
