//! Events: that something about links or forwarding entries changed, here or in a namespace
//! that holds the peer of a local link; or that rules of nftables did, here.
//!
//! An event says only where to look again. What is true is asked for afterwards, so a late event does no
//! more harm than a second look. That some were lost is an event as well, about everything.

use std::{
    io::{self, IoSliceMut},
    os::{
        fd::{AsFd as _, AsRawFd as _},
        unix,
    },
};

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage, neighbour::NeighbourMessage};
use netlink_sys::{
    Socket,
    protocols::{NETLINK_NETFILTER, NETLINK_ROUTE},
};
use nix::{
    cmsg_space,
    errno::Errno,
    libc,
    sys::socket::{
        ControlMessageOwned, MsgFlags, RecvMsg, recvmsg, setsockopt, sockopt::RcvBufForce,
    },
};
use tokio::{io::Interest, net::UnixDatagram};
use veth_common::{Ifindex, Mac, Vlan};

use super::{
    NetlinkError,
    fdb::{Told, told_by},
    vlan::VLAN_EVENTS,
};
use crate::view::NetnsId;

/// `RTNLGRP_LINK`, `RTNLGRP_NEIGH` and `RTNLGRP_TC`.
const GROUPS: [u32; 3] = [1, 3, 4];

/// `RTNLGRP_BRVLAN`, since 5.6. Links of family `AF_BRIDGE` tell of VLANs that a port gets and loses,
/// too, but not of their states.
const VLAN_GROUP: u32 = 33;

/// What stands for the index of a device where filters are those of a shared block.
const TCM_IFINDEX_MAGIC_BLOCK: u32 = 0xffff_ffff;

/// `NFNLGRP_NFTABLES`.
const RULES_GROUP: u32 = 7;

/// Receive buffer in bytes: room for the events of a thousand ports at once.
const RECEIVE_BYTES: usize = 4 << 20;

/// Room for one datagram of events in bytes.
const DATAGRAM_BYTES: usize = 64 << 10;

/// Where to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A link appeared, changed or went, or a queueing discipline or filter of one did.
    Link {
        /// The namespace in which it is. None is this one, which may have an id as well.
        netns: Option<NetnsId>,
        /// Its index there.
        ifindex: Ifindex,
    },
    /// A bridge's forwarding entry appeared, changed or went.
    Fdb {
        /// The bridge.
        bridge: Ifindex,
        /// The address of the station.
        mac: Mac,
        /// The VLAN in which the bridge knows it.
        vlan: Vlan,
    },
    /// A VLAN of a bridge or a port appeared, changed or went.
    Vlan,
    /// Tables, chains, rules or sets of nftables appeared, changed or went.
    Rules,
    /// Something did that cannot be told.
    Unclear,
    /// Events were lost because they came faster than they were read.
    Overrun,
}

/// A subscription to changes.
pub struct Monitor {
    route: Subscription,
    /// Where the kernel has netfilter's netlink.
    rules: Option<Subscription>,
}

impl Monitor {
    /// Subscribes in the calling thread's network namespace. Needs a tokio runtime.
    ///
    /// # Minimum kernel version
    ///
    /// 4.2 (`NETLINK_LISTEN_ALL_NSID`), with `CAP_NET_BROADCAST`. Without it only this
    /// namespace is heard.
    #[doc(alias = "NETLINK_LISTEN_ALL_NSID")]
    pub fn subscribe() -> Result<Self, NetlinkError> {
        let failed = |action: &str| {
            let action = action.to_owned();
            |source| NetlinkError::Socket { action, source }
        };
        let route =
            Subscription::open(NETLINK_ROUTE, &GROUPS).map_err(failed("subscribe to events"))?;
        let rules = Subscription::open(NETLINK_NETFILTER, &[RULES_GROUP])
            .map_err(failed("subscribe to changes of rules"));
        let rules = match rules {
            Err(error) if error.is_unsupported() => None,
            rules => Some(rules?),
        };
        Ok(Self { route, rules })
    }

    /// Waits for events and appends what they are about to `events`.
    ///
    /// Safe to cancel: nothing is lost when the future is dropped.
    pub async fn next(&mut self, events: &mut Vec<Event>) -> Result<(), NetlinkError> {
        let heard = tokio::select! {
            heard = self.route.receive() => heard.map(|received| {
                read_events(received.datagram, received.netns, events);
                if received.is_among_lost {
                    events.push(Event::Unclear);
                }
            }),
            // Whatever they were: what rules there are is asked for.
            heard = hear(self.rules.as_mut()) => heard.map(|()| events.push(Event::Rules)),
        };
        match heard {
            Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {
                events.push(Event::Overrun);
                Ok(())
            }
            heard => heard.map_err(|source| NetlinkError::Socket {
                action: "wait for events".into(),
                source,
            }),
        }
    }
}

/// Waits for a datagram; forever where there is no subscription.
async fn hear(subscription: Option<&mut Subscription>) -> io::Result<()> {
    match subscription {
        Some(subscription) => subscription.receive().await.map(drop),
        None => std::future::pending().await,
    }
}

/// A socket that the kernel sends messages to unasked.
struct Subscription {
    /// Not of that family, but tokio has no type for those that are, and this one is only asked when
    /// there is something to read.
    socket: UnixDatagram,
    datagram: Vec<u8>,
    /// Whether messages were lost, and more are until nothing is left to read: the kernel tells of the first
    /// alone, and delivers again once the queue was empty. Source: `netlink_overrun` and
    /// `netlink_rcv_wake` in <https://github.com/torvalds/linux/blob/v6.12/net/netlink/af_netlink.c>.
    is_congested: bool,
}

/// What was read at once.
struct Received<'a> {
    datagram: &'a [u8],
    /// The other namespace that it is from.
    netns: Option<NetnsId>,
    /// Whether others were lost before or after it.
    is_among_lost: bool,
}

impl Subscription {
    fn open(protocol: isize, groups: &[u32]) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        for group in groups {
            socket.add_membership(*group)?;
        }
        if protocol == NETLINK_ROUTE {
            // A kernel without it does not say either which VLANs there are.
            let _ = socket.add_membership(VLAN_GROUP);
            let _ = socket.set_listen_all_namespaces(true);
            // Beyond what ordinary processes may have; without CAP_NET_ADMIN it stays as it is.
            let _ = setsockopt(&socket, RcvBufForce, &RECEIVE_BYTES);
        }
        let socket = unix::net::UnixDatagram::from(socket.as_fd().try_clone_to_owned()?);
        socket.set_nonblocking(true)?;
        let socket = UnixDatagram::from_std(socket)?;
        Ok(Self { socket, datagram: vec![0; DATAGRAM_BYTES], is_congested: false })
    }

    /// Waits for a datagram. Safe to cancel.
    async fn receive(&mut self) -> io::Result<Received<'_>> {
        let Self { socket, datagram, is_congested } = self;
        let read = || {
            let read = read_from(socket, datagram);
            match read {
                Err(Errno::ENOBUFS) => *is_congested = true,
                Err(Errno::EAGAIN) => *is_congested = false,
                _ => {}
            }
            Ok(read?)
        };
        let (length, netns) = socket.async_io(Interest::READABLE, read).await?;
        Ok(Received { datagram: &self.datagram[..length], netns, is_among_lost: self.is_congested })
    }
}

/// The length of the next datagram, which is then in `datagram`, and the namespace that it comes from.
fn read_from(
    socket: &UnixDatagram,
    datagram: &mut [u8],
) -> Result<(usize, Option<NetnsId>), Errno> {
    let mut parts = [IoSliceMut::new(datagram)];
    let mut space = cmsg_space!(i32);
    let received =
        recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_DONTWAIT)?;
    if received.flags.contains(MsgFlags::MSG_TRUNC) {
        // The same to whoever listens: some of it is lost.
        return Err(Errno::ENOBUFS);
    }
    Ok((received.bytes, netns_of(&received)?))
}

/// The namespace that a datagram comes from, when that is not the one of the socket, or has an id there.
fn netns_of(received: &RecvMsg<'_, '_, ()>) -> Result<Option<NetnsId>, Errno> {
    const OTHER_NAMESPACE: (i32, i32) = (libc::SOL_NETLINK, libc::NETLINK_LISTEN_ALL_NSID);
    Ok(received.cmsgs()?.find_map(|control| match control {
        ControlMessageOwned::Unknown(control) => {
            let header = control.cmsg_header;
            let id = control.data_bytes.first_chunk().copied().map(i32::from_ne_bytes);
            id.filter(|_| (header.cmsg_level, header.cmsg_type) == OTHER_NAMESPACE).map(NetnsId)
        }
        _ => None,
    }))
}

fn read_events(mut datagram: &[u8], netns: Option<NetnsId>, events: &mut Vec<Event>) {
    while let Some(length) = datagram.first_chunk::<4>() {
        let length = u32::from_ne_bytes(*length) as usize;
        let padded = length.next_multiple_of(4).clamp(4, datagram.len());
        let (message, rest) = datagram.split_at(padded);
        datagram = rest;
        let event = match NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) {
            _ if is_about_vlans(message) => Some(Event::Vlan),
            Ok(message) => event_of(message.payload, netns),
            Err(_) => Some(Event::Unclear),
        };
        events.extend(event);
    }
}

/// Whether the head of `message` says so; the packet crate does not know such messages.
fn is_about_vlans(message: &[u8]) -> bool {
    matches!(message, [_, _, _, _, k0, k1, ..] if VLAN_EVENTS.contains(&u16::from_ne_bytes([*k0, *k1])))
}

fn event_of(payload: NetlinkPayload<RouteNetlinkMessage>, netns: Option<NetnsId>) -> Option<Event> {
    match payload {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewLink(message) | RouteNetlinkMessage::DelLink(message),
        ) => Some(Event::Link { netns, ifindex: Ifindex(message.header.index) }),
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewNeighbour(message) | RouteNetlinkMessage::DelNeighbour(message),
        ) => (message.header.family == AddressFamily::Bridge).then(|| station_of(&message)),
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewQueueDiscipline(message)
            | RouteNetlinkMessage::DelQueueDiscipline(message)
            | RouteNetlinkMessage::NewTrafficFilter(message)
            | RouteNetlinkMessage::DelTrafficFilter(message),
        ) => Some(match message.header.index.cast_unsigned() {
            // Filters of a block that any number of devices share.
            TCM_IFINDEX_MAGIC_BLOCK => Event::Unclear,
            ifindex => Event::Link { netns, ifindex: Ifindex(ifindex) },
        }),
        NetlinkPayload::Overrun(_) => Some(Event::Overrun),
        _ => None,
    }
}

fn station_of(message: &NeighbourMessage) -> Event {
    let Told { mac, vlan, controller, .. } = told_by(message);
    // An entry of the bridge itself need not name it twice.
    let bridge = controller.unwrap_or(Ifindex(message.header.ifindex));
    mac.map_or(Event::Unclear, |mac| Event::Fdb { bridge, mac, vlan })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of that kind, with as many bytes behind its head as one about a VLAN has at least.
    fn message(kind: u16) -> Vec<u8> {
        [&24_u32.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 18]].concat()
    }

    #[test]
    fn messages_about_vlans_are_heard_and_those_between_them_as_well() {
        let datagram = [message(112), message(u16::MAX), message(113)].concat();
        let mut events = Vec::new();
        read_events(&datagram, None, &mut events);
        assert_eq!(events, [Event::Vlan, Event::Unclear, Event::Vlan]);
    }
}
