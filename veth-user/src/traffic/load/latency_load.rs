//! Round trips of datagrams while a TCP stream fills the path beside them.

use super::{
    Edges, Ends, LoadOptions, Measured, crew::Crew, tcp_pair::TcpPair, tcp_stream,
    udp_pair::UdpPair, udp_rr,
};
use crate::{Stop, traffic::error::TrafficError};

/// Does what [`udp_rr`](super::udp_rr()) does, while a stream runs between the same ends as in
/// [`tcp_stream`](super::tcp_stream()). Operations, losses and latencies are those of the round
/// trips, bytes are those of the stream. A stop ends it early, with what was counted by then.
///
/// # Errors
///
/// As for the two.
pub fn latency_load(
    ends: &Ends<'_>,
    options: &LoadOptions,
    edges: Edges<'_>,
    stop: &Stop,
) -> Result<Measured, TrafficError> {
    let Some(UdpPair { client: asking, server: answering }) = UdpPair::open(ends, stop)? else {
        return Ok(Measured::default());
    };
    let Some(TcpPair { client: sending, server: receiving }) = TcpPair::open(ends, stop)? else {
        return Ok(Measured::default());
    };
    let crew = Crew::default();
    let workers = [
        crew.start(ends.server, ends.server_cpu, move |window| {
            let stream = tcp_stream::receive_all(receiving, window)?;
            Ok(Measured { operations: 0, ..stream })
        })?,
        crew.start(ends.server, ends.server_cpu, move |window| udp_rr::answer(&answering, window))?,
        crew.start(ends.client, ends.client_cpu, move |window| {
            let round_trips = udp_rr::ask(&asking, window)?;
            Ok(Measured { bytes: 0, ..round_trips })
        })?,
        crew.start(ends.client, ends.client_cpu, |window| tcp_stream::send_all(sending, window))?,
    ];
    crew.measure(workers, options, edges, stop)
}
