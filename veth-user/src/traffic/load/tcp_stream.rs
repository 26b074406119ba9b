//! One TCP stream, as fast as it goes.

use super::{
    Edges, Ends, LoadOptions, Measured,
    crew::Crew,
    tcp_pair::{TcpPair, receive},
    window::Window,
};
use crate::{
    Stop,
    traffic::{error::TrafficError, socket::Connection, stream::CHUNK_BYTES},
};

/// Sends from client to server over one connection, and counts what the server reads inside the
/// window. A stop ends it early, with what was counted by then.
///
/// # Errors
///
/// When a namespace cannot be entered, a thread not be started or pinned, no connection is made
/// within seconds, or the connection breaks.
#[doc(alias = "iperf3")]
pub fn tcp_stream(
    ends: &Ends<'_>,
    options: &LoadOptions,
    edges: Edges<'_>,
    stop: &Stop,
) -> Result<Measured, TrafficError> {
    let Some(TcpPair { client, server }) = TcpPair::open(ends, stop)? else {
        return Ok(Measured::default());
    };
    let crew = Crew::default();
    let workers = [
        crew.start(ends.server, ends.server_cpu, |window| receive_all(server, window))?,
        crew.start(ends.client, ends.client_cpu, |window| send_all(client, window))?,
    ];
    crew.measure(workers, options, edges, stop)
}

/// Sends till the window closes.
pub(super) fn send_all(
    mut connection: Connection,
    window: &Window,
) -> Result<Measured, TrafficError> {
    let chunk = vec![0; CHUNK_BYTES];
    window.serve(|| connection.write(&chunk).map(drop))
}

/// Receives till the window closes, and counts.
pub(super) fn receive_all(
    mut connection: Connection,
    window: &Window,
) -> Result<Measured, TrafficError> {
    let mut buffer = vec![0; CHUNK_BYTES];
    window.count(Measured::default, |measured| {
        if let Some(count) = receive(&mut connection, &mut buffer)? {
            measured.operations += 1;
            measured.bytes += count as u64;
        }
        Ok(())
    })
}
