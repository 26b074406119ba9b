//! Events: that something about links or forwarding entries changed, here or in a namespace
//! that holds the peer of a local link; or that rules of nftables did, here.
//!
//! An event says only where to look again. What is true is asked for afterwards, so a lost or
//! late event does no more harm than a second look.

use std::io;

use bytes::BytesMut;
use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{
    AsyncSocket as _, AsyncSocketExt as _, TokioSocket,
    protocols::{NETLINK_NETFILTER, NETLINK_ROUTE},
};
use nix::{
    errno::Errno,
    sys::socket::{setsockopt, sockopt::RcvBufForce},
};

use super::{NetlinkError, vlan::VLAN_EVENTS};

/// `RTNLGRP_LINK`, `RTNLGRP_NEIGH` and `RTNLGRP_TC`.
const GROUPS: [u32; 3] = [1, 3, 4];

/// `RTNLGRP_BRVLAN`, since 5.6. Links of family `AF_BRIDGE` tell of VLANs that a port gets and loses,
/// too, but not of their states.
const VLAN_GROUP: u32 = 33;

/// `NFNLGRP_NFTABLES`.
const RULES_GROUP: u32 = 7;

/// Receive buffer in bytes: room for the events of a thousand ports at once.
const RECEIVE_BYTES: usize = 4 << 20;

/// Room for one datagram of events in bytes.
const DATAGRAM_BYTES: usize = 64 << 10;

/// Why to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A link appeared, changed or went.
    Link,
    /// A bridge's forwarding entry appeared, changed or went.
    Fdb,
    /// A VLAN of a bridge or a port appeared, changed or went.
    Vlan,
    /// A queueing discipline or filter appeared, changed or went.
    Tc,
    /// Tables, chains, rules or sets of nftables appeared, changed or went.
    Rules,
    /// Events were lost because they came faster than they were read.
    Overrun,
}

/// A subscription to changes.
pub struct Monitor {
    socket: TokioSocket,
    buffer: BytesMut,
    /// Where the kernel has netfilter's netlink.
    rules: Option<TokioSocket>,
    rules_buffer: BytesMut,
}

impl Monitor {
    /// Subscribes in the calling thread's network namespace. Needs a tokio runtime.
    ///
    /// # Minimum kernel version
    ///
    /// 4.2 (`NETLINK_LISTEN_ALL_NSID`), with `CAP_NET_BROADCAST`. Without it only this
    /// namespace is heard, and a change inside another is seen when the bridge learns of it.
    #[doc(alias = "NETLINK_LISTEN_ALL_NSID")]
    pub fn subscribe() -> Result<Self, NetlinkError> {
        let open = || -> io::Result<TokioSocket> {
            let mut socket = TokioSocket::new(NETLINK_ROUTE)?;
            let inner = socket.socket_mut();
            inner.bind_auto()?;
            for group in GROUPS {
                inner.add_membership(group)?;
            }
            // A kernel without it does not say either which VLANs there are.
            let _ = inner.add_membership(VLAN_GROUP);
            let _ = inner.set_listen_all_namespaces(true);
            // Beyond what ordinary processes may have; without CAP_NET_ADMIN it stays as it is.
            let _ = setsockopt(inner, RcvBufForce, &RECEIVE_BYTES);
            Ok(socket)
        };
        let socket = open().map_err(|source| NetlinkError::Socket {
            action: "subscribe to events".into(),
            source,
        })?;
        let buffer = || BytesMut::with_capacity(DATAGRAM_BYTES);
        Ok(Self { socket, buffer: buffer(), rules: subscribe_to_rules()?, rules_buffer: buffer() })
    }

    /// Waits for events and appends what they are about to `events`.
    ///
    /// Safe to cancel: nothing is lost when the future is dropped.
    pub async fn next(&mut self, events: &mut Vec<Event>) -> Result<(), NetlinkError> {
        self.buffer.clear();
        self.rules_buffer.clear();
        let heard = tokio::select! {
            heard = self.socket.recv(&mut self.buffer) => {
                heard.map(|()| read_events(&self.buffer, events))
            }
            // Whatever they were: what rules there are is asked for.
            heard = hear(self.rules.as_mut(), &mut self.rules_buffer) => {
                heard.map(|()| events.push(Event::Rules))
            }
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

/// A subscription to changes of rules; `None` where the kernel has no such thing.
fn subscribe_to_rules() -> Result<Option<TokioSocket>, NetlinkError> {
    let open = || -> io::Result<TokioSocket> {
        let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
        let inner = socket.socket_mut();
        inner.bind_auto()?;
        inner.add_membership(RULES_GROUP)?;
        Ok(socket)
    };
    match open() {
        Ok(socket) => Ok(Some(socket)),
        Err(source) => {
            let action = "subscribe to changes of rules".into();
            let error = NetlinkError::Socket { action, source };
            if error.is_unsupported() { Ok(None) } else { Err(error) }
        }
    }
}

/// Waits for a datagram; forever where there is no socket.
async fn hear(socket: Option<&mut TokioSocket>, buffer: &mut BytesMut) -> io::Result<()> {
    match socket {
        Some(socket) => socket.recv(buffer).await,
        None => std::future::pending().await,
    }
}

fn read_events(mut datagram: &[u8], events: &mut Vec<Event>) {
    while let Some(length) = datagram.first_chunk::<4>() {
        let length = u32::from_ne_bytes(*length) as usize;
        let padded = length.next_multiple_of(4).clamp(4, datagram.len());
        let (message, rest) = datagram.split_at(padded);
        datagram = rest;
        // A message that does not parse may have been about anything: look at everything.
        let event = match NetlinkMessage::<RouteNetlinkMessage>::deserialize(message) {
            _ if is_about_vlans(message) => Some(Event::Vlan),
            Ok(message) => event_of(message.payload),
            Err(_) => Some(Event::Link),
        };
        events.extend(event);
    }
}

/// Whether the head of `message` says so; the packet crate does not know such messages.
fn is_about_vlans(message: &[u8]) -> bool {
    matches!(message, [_, _, _, _, k0, k1, ..] if VLAN_EVENTS.contains(&u16::from_ne_bytes([*k0, *k1])))
}

fn event_of(payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<Event> {
    match payload {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewLink(_) | RouteNetlinkMessage::DelLink(_),
        ) => Some(Event::Link),
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewNeighbour(message) | RouteNetlinkMessage::DelNeighbour(message),
        ) => (message.header.family == AddressFamily::Bridge).then_some(Event::Fdb),
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewQueueDiscipline(_)
            | RouteNetlinkMessage::DelQueueDiscipline(_)
            | RouteNetlinkMessage::NewTrafficFilter(_)
            | RouteNetlinkMessage::DelTrafficFilter(_),
        ) => Some(Event::Tc),
        NetlinkPayload::Overrun(_) => Some(Event::Overrun),
        _ => None,
    }
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
        read_events(&datagram, &mut events);
        assert_eq!(events, [Event::Vlan, Event::Link, Event::Vlan]);
    }
}
