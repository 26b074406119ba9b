//! rtnetlink: everything this crate asks of or tells to the kernel about links, addresses, routes,
//! neighbours, forwarding entries, VLANs and namespace ids.
//!
//! [`Netlink`] is one socket, bound for life to the network namespace it was opened in. The other
//! files add verbs to it, one noun each, and turn messages into small types of this crate, so that
//! nobody above names a netlink packet type. [`Ethtool`] is the same for what drivers can be told
//! over generic netlink, and [`Netfilter`] for what hooks into the way of frames.

mod address;
mod attributes;
mod base_chain;
mod device;
mod error;
mod ethtool;
mod fdb;
mod filter;
mod generic;
mod hooks;
mod link;
mod monitor;
mod neighbour;
mod netfilter;
mod netnsid;
mod nftables;
mod reach;
mod route;
mod socket;
mod statistics;
mod transport;
mod vlan;

pub use base_chain::base_chains;
pub use device::{NewDevice, VethPair};
pub use error::NetlinkError;
pub use ethtool::Ethtool;
pub use filter::FilterHooks;
pub use link::LinkChange;
pub use monitor::{Event, Monitor};
pub use netfilter::Netfilter;
pub use nftables::HookedDevices;
pub use socket::Netlink;

/// What the kernel counts time in towards user space, in milliseconds (`USER_HZ` is 100).
#[doc(alias = "USER_HZ")]
const TICK_MS: u64 = 10;
