//! Two UDP sockets that are each other's peer, opened before anything is measured.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
};

use super::Ends;
use crate::{
    Stop,
    traffic::{
        endpoint::Endpoint,
        error::{Place, TrafficError},
        round_trip::unless_lost,
        socket::{is_over, open_datagram},
    },
};

/// Both ends of a flow of datagrams.
#[derive(Debug)]
pub(super) struct UdpPair {
    pub(super) client: UdpEnd,
    pub(super) server: UdpEnd,
}

impl UdpPair {
    /// Connects the ends, and sees to it that a datagram gets through in both directions; `None`
    /// when stopped before that.
    pub(super) fn open(ends: &Ends<'_>, stop: &Stop) -> Result<Option<Self>, TrafficError> {
        let client = open(ends.client, stop)?;
        let server = open(ends.server, stop)?;
        let (client_address, server_address) = (client.address, server.address);
        let pair = Self {
            client: client.connect(server_address)?,
            server: server.connect(client_address)?,
        };
        let met =
            greet(&pair.client, &pair.server, stop)? && greet(&pair.server, &pair.client, stop)?;
        Ok(met.then_some(pair))
    }
}

/// One end. Its calls return soon, and what the network says of a datagram that went astray is no
/// error.
#[derive(Debug)]
pub(super) struct UdpEnd {
    socket: UdpSocket,
    peer: SocketAddr,
    place: Place,
}

impl UdpEnd {
    /// Sends `payload`; `None` when it was not sent.
    pub(super) fn send(&self, payload: &[u8]) -> Result<Option<usize>, TrafficError> {
        unless_lost(self.socket.send(payload)).map_err(|error| self.failed("send to")(error))
    }

    /// Receives a datagram and says how long it is; `None` when none came soon.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>, TrafficError> {
        unless_lost(self.socket.recv(buffer)).map_err(|error| self.failed("receive from")(error))
    }

    pub(super) fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Completes an error of this end; for `map_err`.
    pub(super) fn failed<E: Into<io::Error>>(
        &self,
        action: &'static str,
    ) -> impl FnOnce(E) -> TrafficError {
        self.place.failed(action, self.peer)
    }
}

/// An end without its peer.
struct Unconnected {
    socket: UdpSocket,
    address: SocketAddr,
    place: Place,
}

impl Unconnected {
    /// A peer saves the kernel a look at the routes for each datagram, and keeps strangers out.
    fn connect(self, peer: SocketAddr) -> Result<UdpEnd, TrafficError> {
        let Self { socket, address: _, place } = self;
        socket.connect(peer).map_err(place.failed("send to", peer))?;
        Ok(UdpEnd { socket, peer, place })
    }
}

fn open(at: Endpoint<'_>, stop: &Stop) -> Result<Unconnected, TrafficError> {
    let place = at.place();
    let (socket, address) = at.run(|| open_datagram(&place, at.address(), stop))?;
    Ok(Unconnected { socket, address, place })
}

/// Sends from one end till something arrives at the other, and leaves nothing on the way; false
/// when stopped before that.
fn greet(from: &UdpEnd, to: &UdpEnd, stop: &Stop) -> Result<bool, TrafficError> {
    let mut deadline = None;
    for greetings in 1.. {
        if stop.is_requested() {
            return Ok(false);
        }
        from.send(&[0])?;
        if to.receive(&mut [0])?.is_some() {
            // Several are let go at once when an address is resolved.
            while greetings > 1 && to.receive(&mut [0])?.is_some() {}
            return Ok(true);
        }
        if is_over(&mut deadline) {
            break;
        }
    }
    Err(from.failed::<io::Error>("get a datagram through to")(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn path_without_a_far_end_is_an_error_that_names_it() {
        let (here, stop) = (Endpoint::here(Ipv4Addr::LOCALHOST), Stop::new());
        let listening = open(here, &stop).expect("open");
        let elsewhere = open(here, &stop).expect("open");
        let to = listening.address;
        let sender = open(here, &stop).expect("open").connect(to).expect("connect");
        // Hears its peer only, who says nothing.
        let deaf = listening.connect(elsewhere.address).expect("connect");

        let error = greet(&sender, &deaf, &stop).expect_err("nothing gets through");
        let attempt = format!("get a datagram through to {to} in the current namespace: ");
        assert!(error.to_string().starts_with(&attempt), "{error}");
    }
}
