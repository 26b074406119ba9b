//! One byte there and one back, over and over, on one TCP connection.

use std::time::Instant;

use super::{
    Edges, Ends, LoadOptions, Measured,
    crew::Crew,
    tcp_pair::{TcpPair, receive_byte, send_byte},
    window::Window,
};
use crate::{
    Stop,
    traffic::{error::TrafficError, socket::Connection},
};

/// Sends one byte from client to server and awaits one in return, over and over, and times each
/// round trip. A stop ends it early, with what was counted by then.
///
/// # Errors
///
/// When a namespace cannot be entered, a thread not be started or pinned, no connection is made
/// within seconds, or the connection breaks.
#[doc(alias = "netperf")]
pub fn tcp_rr(
    ends: &Ends<'_>,
    options: &LoadOptions,
    edges: Edges<'_>,
    stop: &Stop,
) -> Result<Measured, TrafficError> {
    let Some(TcpPair { client, server }) = TcpPair::open(ends, stop)? else {
        return Ok(Measured::default());
    };
    client.send_at_once()?;
    server.send_at_once()?;
    let crew = Crew::default();
    let workers = [
        crew.start(ends.server, ends.server_cpu, |window| answer(server, window))?,
        crew.start(ends.client, ends.client_cpu, |window| ask(client, window))?,
    ];
    crew.measure(workers, options, edges, stop)
}

fn ask(mut connection: Connection, window: &Window) -> Result<Measured, TrafficError> {
    // One round trip ends where the next begins, so one look at the clock does for both.
    let mut began_at = Instant::now();
    window.count(Measured::with_latency, |measured| {
        send_byte(&mut connection)?;
        if receive_byte(&mut connection, window)? {
            let ended_at = Instant::now();
            measured.record(ended_at - began_at);
            began_at = ended_at;
        }
        Ok(())
    })
}

fn answer(mut connection: Connection, window: &Window) -> Result<Measured, TrafficError> {
    window.serve(|| {
        if receive_byte(&mut connection, window)? {
            send_byte(&mut connection)?;
        }
        Ok(())
    })
}
