//! Datagrams one way, as many as arrive.
//!
//! A sender that does not look back (netperf's `UDP_STREAM`, most flooders) measures how fast
//! datagrams can be thrown away: the queues in front of the receiver overflow, the more so when
//! both share a CPU. Here only so many are on their way at a time. They fit into every queue, so
//! that next to none is lost, and each end sleeps when it is the other's turn.

use std::{
    array,
    io::{IoSlice, IoSliceMut},
    os::fd::AsRawFd as _,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::socket::{
        MsgFlags, MultiHeaders, SetSockOpt as _, SockaddrStorage, getsockopt, recvmmsg, sendmmsg,
        sockopt,
    },
};

use super::{
    Edges, Ends, LoadOptions, Measured,
    crew::Crew,
    udp_flow::{Inflow, Next, Outflow, STALL, flow},
    udp_pair::{UdpEnd, UdpPair},
    window::Window,
};
use crate::{
    Stop,
    traffic::{error::TrafficError, round_trip::unless_lost},
};

/// The most datagrams that one system call sends or receives.
const MAX_BATCH: usize = 64;

/// The most frames on their way: about half of what the kernel queues for one CPU
/// (`net.core.netdev_max_backlog`, 1000).
const MAX_FRAMES: u64 = 512;

/// What fits into a frame, or a little less.
const FRAME_PAYLOAD_BYTES: u64 = 1400;

/// The size that is asked for the buffers of both sockets.
const BUFFER_BYTES: usize = 4 << 20;

/// How long to wait for the last datagrams before they are counted as lost.
const DRAIN: Duration = Duration::from_millis(100);

/// Sends datagrams of `payload_bytes` from client to server in batches, and counts those that
/// arrive. Not so many are on their way at a time that queues would overflow. A stop ends it early,
/// with what was counted by then.
///
/// # Errors
///
/// When a namespace cannot be entered, a thread not be started or pinned, nothing gets through
/// within seconds, or a socket fails: `EMSGSIZE` for more than UDP can carry.
#[doc(alias = "sendmmsg")]
pub fn udp_pps(
    ends: &Ends<'_>,
    options: &LoadOptions,
    edges: Edges<'_>,
    stop: &Stop,
) -> Result<Measured, TrafficError> {
    let Some(UdpPair { client, server }) = UdpPair::open(ends, stop)? else {
        return Ok(Measured::default());
    };
    // What the receiver takes for a stall.
    server.socket().set_read_timeout(Some(STALL)).map_err(server.failed("set a timeout for"))?;
    let shape = Shape::new(options.payload_bytes, enlarge(&client, &server)?);
    let (outflow, inflow) = flow(shape.window);
    let crew = Crew::default();
    let workers = [
        crew.start(ends.server, ends.server_cpu, move |_| receive_all(&server, inflow, shape))?,
        crew.start(ends.client, ends.client_cpu, move |window| {
            send_all(&client, outflow, shape, window)
        })?,
    ];
    crew.measure(workers, options, edges, stop)
}

/// How much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    payload_bytes: usize,
    /// Datagrams on their way.
    window: u64,
    /// Datagrams of one system call.
    batch: usize,
}

impl Shape {
    /// What suits datagrams of `payload_bytes` and a receive buffer of `buffer_bytes`.
    fn new(payload_bytes: u32, buffer_bytes: usize) -> Self {
        let payload = u64::from(payload_bytes);
        let frames = payload / FRAME_PAYLOAD_BYTES + 1;
        // What the kernel charges for a datagram: its memory comes in powers of two, with a header.
        let charge_bytes = 2 * payload + 1024;
        // Half the buffer: after a stall that was none, two windows are on their way.
        let fitting = buffer_bytes as u64 / 2 / charge_bytes;
        let window = (MAX_FRAMES / frames).min(fitting).max(2);
        let batch =
            usize::try_from(window / 4).map_or(MAX_BATCH, |batch| batch.clamp(1, MAX_BATCH));
        Self { payload_bytes: payload_bytes as usize, window, batch }
    }
}

/// Asks for large buffers, and returns what the receiver got, in bytes.
fn enlarge(client: &UdpEnd, server: &UdpEnd) -> Result<usize, TrafficError> {
    // Past the system's limit with CAP_NET_ADMIN, else up to it.
    sockopt::SndBufForce
        .set(client.socket(), &BUFFER_BYTES)
        .or_else(|_| sockopt::SndBuf.set(client.socket(), &BUFFER_BYTES))
        .map_err(client.failed("enlarge the buffer of the socket towards"))?;
    sockopt::RcvBufForce
        .set(server.socket(), &BUFFER_BYTES)
        .or_else(|_| sockopt::RcvBuf.set(server.socket(), &BUFFER_BYTES))
        .and_then(|()| getsockopt(server.socket(), sockopt::RcvBuf))
        .map_err(server.failed("enlarge the buffer of the socket towards"))
}

/// Sends till the window closes. It counts for both ends: what arrived, it sees in the flow.
fn send_all(
    end: &UdpEnd,
    mut outflow: Outflow,
    shape: Shape,
    window: &Window,
) -> Result<Measured, TrafficError> {
    let payload = vec![0; shape.payload_bytes];
    let payloads = vec![[IoSlice::new(&payload)]; shape.batch];
    let addresses = vec![None::<()>; shape.batch];
    let mut headers = MultiHeaders::preallocate(shape.batch, None);
    let mut send_batch = |outflow: &mut Outflow| -> Result<(), TrafficError> {
        let socket = end.socket().as_raw_fd();
        let sent = sendmmsg(socket, &mut headers, &payloads, &addresses, [], MsgFlags::empty());
        let sent = unless_lost(sent.map(Iterator::count).map_err(Errno::into))
            .map_err(|error| end.failed("send to")(error))?;
        outflow.sent(sent.unwrap_or(0) as u64);
        Ok(())
    };

    while window.is_warming_up() {
        send_batch(&mut outflow)?;
    }
    // Between two known states, what is lost is neither more nor less than the difference. The
    // pause is that of one window of datagrams.
    outflow.settle(STALL);
    let (sent_before, received_before) = (outflow.sent_so_far(), outflow.received_so_far());
    let opened_at = Instant::now();
    while !window.is_closed() {
        send_batch(&mut outflow)?;
    }
    let elapsed = opened_at.elapsed();
    let operations = outflow.received_so_far() - received_before;
    outflow.settle(DRAIN);

    if !window.was_opened() {
        return Ok(Measured::default());
    }
    let sent = outflow.sent_so_far() - sent_before;
    let received = outflow.received_so_far() - received_before;
    Ok(Measured {
        operations,
        bytes: operations * shape.payload_bytes as u64,
        lost: sent.saturating_sub(received),
        elapsed,
        latency: None,
    })
}

/// Receives till the sender is gone.
fn receive_all(end: &UdpEnd, mut inflow: Inflow, shape: Shape) -> Result<Measured, TrafficError> {
    // A datagram without payload has a buffer too.
    let size = shape.payload_bytes.max(1);
    let mut buffer = vec![0; size * shape.batch];
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(shape.batch, None);
    let mut receive_batch = |flags| {
        let mut buffers = buffer.chunks_exact_mut(size);
        let mut slices: [_; MAX_BATCH] =
            array::from_fn(|_| [IoSliceMut::new(buffers.next().unwrap_or_default())]);
        let slices = &mut slices[..shape.batch];
        let socket = end.socket().as_raw_fd();
        // What is there, and at least one: without the flag it would wait for a whole batch.
        let flags = MsgFlags::MSG_WAITFORONE | flags;
        let received = recvmmsg(socket, &mut headers, slices, flags, None);
        unless_lost(received.map(Iterator::count).map_err(Errno::into))
            .map_err(|error| end.failed("receive from")(error))
    };
    loop {
        let next = inflow.next();
        let received = match next {
            Next::Receive => receive_batch(MsgFlags::empty())?,
            Next::Look => receive_batch(MsgFlags::MSG_DONTWAIT)?,
            Next::Wait => None,
            Next::End => break,
        };
        match received {
            Some(count) => inflow.received(count as u64),
            None if next == Next::Receive => inflow.give_up(),
            None => inflow.wait(),
        }
    }
    Ok(Measured::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::{Endpoint, load::Edge};
    use std::{net::Ipv4Addr, thread};

    #[test]
    fn every_datagram_that_was_sent_and_not_counted_is_lost() {
        let here = Endpoint::here(Ipv4Addr::LOCALHOST);
        let ends = Ends { client: here, server: here, client_cpu: 0, server_cpu: 0 };
        let pair = UdpPair::open(&ends, &Stop::new()).expect("loopback carries it");
        let UdpPair { client, server } = pair.expect("not stopped");
        let shape = Shape { payload_bytes: 1, window: 4, batch: 2 };
        let (outflow, _deaf) = flow(shape.window);
        let window = Window::default();
        let options = LoadOptions {
            warm_up: Duration::ZERO,
            duration: Duration::from_millis(50),
            payload_bytes: 1,
        };

        let measured = thread::scope(|scope| {
            // Not before the window opens, so that all of them are sent inside.
            let begin = |edge| {
                if edge == Edge::Begin {
                    // Till the first has arrived, the window does not close.
                    while server.socket().peek(&mut [0]).is_err() {}
                }
            };
            let sender = scope.spawn(|| {
                while !window.was_opened() {
                    thread::yield_now();
                }
                send_all(&client, outflow, shape, &window)
            });
            window.conduct(&options, &begin, &Stop::new());
            sender.join().expect("no panic").expect("no failure")
        });

        let mut arrived = 0;
        while server.receive(&mut [0]).expect("no failure").is_some() {
            arrived += 1;
        }
        assert_eq!((measured.operations, measured.lost), (0, arrived));
        assert!(arrived > 0);
    }

    #[test]
    fn small_datagrams_go_in_large_batches() {
        let shape = Shape::new(1, 8 << 20);
        assert_eq!(shape, Shape { payload_bytes: 1, window: 512, batch: 64 });
    }

    #[test]
    fn window_fits_into_a_small_buffer() {
        let shape = Shape::new(1000, 212_992);
        assert_eq!(shape, Shape { payload_bytes: 1000, window: 35, batch: 8 });
    }

    #[test]
    fn datagrams_of_many_frames_are_few_at_a_time() {
        let shape = Shape::new(65_507, 8 << 20);
        assert_eq!(shape, Shape { payload_bytes: 65_507, window: 10, batch: 2 });
        assert_eq!(Shape::new(u32::MAX, 1).batch, 1);
    }
}
