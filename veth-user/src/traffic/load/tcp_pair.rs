//! Two ends of one TCP connection, opened before anything is measured.

use std::io;

use super::{Ends, window::Window};
use crate::{
    Stop,
    traffic::{
        error::TrafficError,
        socket::{Connection, Listener, is_over},
    },
};

/// Both ends of a connection.
#[derive(Debug)]
pub(super) struct TcpPair {
    pub(super) client: Connection,
    pub(super) server: Connection,
}

impl TcpPair {
    /// Connects the ends; `None` when stopped before that.
    pub(super) fn open(ends: &Ends<'_>, stop: &Stop) -> Result<Option<Self>, TrafficError> {
        Self::open_at(&listen(ends, stop)?, ends, stop)
    }

    /// The same, at a listener that is there already.
    pub(super) fn open_at(
        listener: &Listener,
        ends: &Ends<'_>,
        stop: &Stop,
    ) -> Result<Option<Self>, TrafficError> {
        let (client, to) = (ends.client, listener.address());
        let client = client.run(|| Connection::open(client.place(), client.address(), to, stop))?;
        let Some(client) = client else { return Ok(None) };
        let mut deadline = None;
        loop {
            if let Some(server) = listener.accept()? {
                return Ok(Some(Self { client, server }));
            }
            if stop.is_requested() {
                return Ok(None);
            }
            if is_over(&mut deadline) {
                return Err(client.failed("wait for the far side of the connection to")(
                    io::ErrorKind::TimedOut.into(),
                ));
            }
        }
    }
}

/// Listens at the server's end.
pub(super) fn listen(ends: &Ends<'_>, stop: &Stop) -> Result<Listener, TrafficError> {
    let server = ends.server;
    server.run(|| Listener::open(server.place(), server.address(), stop))
}

/// What one byte says is that it came.
pub(super) fn send_byte(connection: &mut Connection) -> Result<(), TrafficError> {
    // A connection that carries one byte at a time has room for it.
    connection.write(&[0]).map(drop)
}

/// Waits for one byte; false when the window closed before it came.
pub(super) fn receive_byte(
    connection: &mut Connection,
    window: &Window,
) -> Result<bool, TrafficError> {
    loop {
        match receive(connection, &mut [0])? {
            Some(_) => return Ok(true),
            None if window.is_closed() => return Ok(false),
            None => {}
        }
    }
}

/// Receives some bytes and says how many; `None` when none came soon. The end of the stream is an
/// error: nobody ends one while it is measured.
pub(super) fn receive(
    connection: &mut Connection,
    buffer: &mut [u8],
) -> Result<Option<usize>, TrafficError> {
    match connection.read(buffer)? {
        Some(0) => Err(connection.failed("receive from")(io::ErrorKind::UnexpectedEof.into())),
        received => Ok(received),
    }
}
