//! Namespace ids: how rtnetlink names another namespace.

use std::os::fd::{AsRawFd as _, BorrowedFd};

use netlink_packet_route::{
    RouteNetlinkMessage,
    nsid::{NsidAttribute, NsidMessage},
};

use super::{Netlink, NetlinkError};
use crate::view::NetnsId;

impl Netlink {
    /// The id by which this socket's namespace knows `netns`, or `None` when it has none yet.
    ///
    /// The kernel gives one out by itself when it first shows a link whose peer lives there.
    ///
    /// # Minimum kernel version
    ///
    /// 4.0.
    #[doc(alias = "RTM_GETNSID")]
    pub fn netns_id(&mut self, netns: BorrowedFd<'_>) -> Result<Option<NetnsId>, NetlinkError> {
        let mut message = NsidMessage::default();
        // A descriptor is never negative.
        message.attributes.push(NsidAttribute::Fd(netns.as_raw_fd().cast_unsigned()));
        let answer =
            self.get(RouteNetlinkMessage::GetNsId(message), || "ask for a namespace's id".into())?;
        let RouteNetlinkMessage::NewNsId(message) = answer else {
            return Ok(None);
        };
        Ok(message.attributes.iter().find_map(|attribute| match attribute {
            NsidAttribute::Id(id) if *id >= 0 => Some(NetnsId(*id)),
            _ => None,
        }))
    }
}
