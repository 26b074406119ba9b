//! The route netlink socket, to which the other files add verbs.

use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;

use super::{
    NetlinkError,
    transport::{Message, Transport},
};

/// A route netlink socket, bound for life to the network namespace in which it was opened.
pub struct Netlink {
    transport: Transport,
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a netlink socket.
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self { transport: Transport::open(NETLINK_ROUTE, "route")? })
    }

    /// Sends one request and waits for the acknowledgement; `flags` are added to those of every
    /// request.
    pub(super) fn execute(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        action: impl Fn() -> String,
    ) -> Result<(), NetlinkError> {
        self.transport.execute(message, flags, action)
    }

    /// Asks for one object.
    pub(super) fn get(
        &mut self,
        message: RouteNetlinkMessage,
        action: impl Fn() -> String,
    ) -> Result<RouteNetlinkMessage, NetlinkError> {
        self.transport.get(message, action)
    }

    /// Asks for all objects of a kind, be its messages known to the packet crate or not.
    pub(super) fn dump<M: Message>(
        &mut self,
        message: &M,
        action: impl Fn() -> String,
    ) -> Result<Vec<M>, NetlinkError> {
        self.transport.dump(message, action)
    }
}
