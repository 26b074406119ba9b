//! A bulk stream in one direction: how many bytes a path carries.

use std::time::{Duration, Instant};

use super::{
    endpoint::Endpoint,
    error::TrafficError,
    socket::{Connection, Listener},
};
use crate::Stop;

/// How much goes into one call: enough that the calls do not count beside the copying.
pub(super) const CHUNK_BYTES: usize = 256 * 1024;

/// How long the receiver reads on for what is under way once the sender is done. A path that
/// lost the end of the stream must not hold up the measurement.
const DRAIN: Duration = Duration::from_secs(1);

/// What arrived, and how long that took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throughput {
    /// Payload bytes that the server received.
    pub bytes: u64,
    /// From the first bytes to the end of the stream. When the end did not arrive, to the moment
    /// the server gave up on it, so a path that went dead does not look fast.
    pub elapsed: Duration,
}

impl Throughput {
    /// Payload bits per second; 0 when nothing arrived.
    pub fn bits_per_second(&self) -> f64 {
        if self.elapsed.is_zero() {
            return 0.0;
        }
        self.bytes as f64 * 8.0 / self.elapsed.as_secs_f64()
    }
}

/// Sends from `client` to `server` over one TCP connection for `duration`, and counts what
/// arrives. Ends early, with what arrived by then, when `stop` is requested.
///
/// # Errors
///
/// When a namespace cannot be entered, the server cannot listen, no connection is made within
/// seconds, or the connection breaks. A path that carries nothing is no error, but zero bytes.
pub fn measure_stream(
    client: Endpoint<'_>,
    server: Endpoint<'_>,
    duration: Duration,
    stop: &Stop,
) -> Result<Throughput, TrafficError> {
    let (_sent_bytes, received) = transfer(client, server, duration, stop)?;
    Ok(received)
}

/// What was sent in bytes, and what was received of it.
fn transfer(
    client: Endpoint<'_>,
    server: Endpoint<'_>,
    duration: Duration,
    stop: &Stop,
) -> Result<(u64, Throughput), TrafficError> {
    let listener = server.run(|| Listener::open(server.place(), server.address(), stop))?;
    let to = listener.address();

    let sender_done = Stop::new();
    let worker = server.start(&sender_done, {
        let (sender_done, stop) = (sender_done.clone(), stop.clone());
        move || receive(&listener, &sender_done, &stop)
    })?;
    let sent = client.run(|| {
        let from = client.address();
        let Some(mut connection) = Connection::open(client.place(), from, to, stop)? else {
            return Ok(None);
        };
        let sent_bytes = send(&mut connection, duration, stop)?;
        Ok(Some((connection, sent_bytes)))
    });

    // The connection stays open till the receiver is done: closing it discards what is under way.
    let received = worker.finish();
    // Where both failed, the receiver's failure is most likely that it lost its sender.
    let sent_bytes = sent?.map_or(0, |(_connection, sent_bytes)| sent_bytes);
    Ok((sent_bytes, received??))
}

/// Sends until `duration` is over, and says how many bytes the kernel took.
fn send(connection: &mut Connection, duration: Duration, stop: &Stop) -> Result<u64, TrafficError> {
    let chunk = vec![0; CHUNK_BYTES];
    let started = Instant::now();
    let mut sent_bytes = 0;
    while started.elapsed() < duration && !stop.is_requested() {
        sent_bytes += connection.write(&chunk)?.unwrap_or(0) as u64;
    }
    connection.end()?;
    Ok(sent_bytes)
}

/// Takes one connection and counts what arrives on it. A stop is the sender's to notice first: to
/// hang up on it would look like a broken connection.
fn receive(
    listener: &Listener,
    sender_done: &Stop,
    stop: &Stop,
) -> Result<Throughput, TrafficError> {
    let mut connection = loop {
        // Looked at first: a sender that is done by now has connected by now, if at all.
        let is_last_look = sender_done.is_requested();
        if let Some(connection) = listener.accept()? {
            break connection;
        }
        if is_last_look {
            return Ok(Throughput::default());
        }
    };

    let mut buffer = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    let mut first_at = None;
    let mut drained_by = None;
    loop {
        match connection.read(&mut buffer)? {
            Some(0) => break,
            Some(count) => {
                first_at.get_or_insert_with(Instant::now);
                bytes += count as u64;
            }
            None => {}
        }
        if sender_done.is_requested() {
            let drained_by = *drained_by.get_or_insert_with(|| Instant::now() + DRAIN);
            if stop.is_requested() || Instant::now() >= drained_by {
                break;
            }
        }
    }
    let elapsed = first_at.map_or(Duration::ZERO, |first_at| first_at.elapsed());
    Ok(Throughput { bytes, elapsed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        net::{IpAddr, Ipv4Addr, Ipv6Addr},
        thread,
    };

    const HOUR: Duration = Duration::from_hours(1);

    fn transfer_over(address: IpAddr) -> (u64, Throughput) {
        let here = Endpoint::here(address);
        transfer(here, here, Duration::from_millis(50), &Stop::new()).expect("loopback carries it")
    }

    #[test]
    fn every_byte_sent_over_ipv4_is_received() {
        let (sent_bytes, received) = transfer_over(Ipv4Addr::LOCALHOST.into());
        assert!(received.bytes > 0);
        assert_eq!(received.bytes, sent_bytes);
    }

    #[test]
    fn every_byte_sent_over_ipv6_is_received() {
        let (sent_bytes, received) = transfer_over(Ipv6Addr::LOCALHOST.into());
        assert!(received.bytes > 0);
        assert_eq!(received.bytes, sent_bytes);
    }

    #[test]
    fn stop_ends_a_long_measurement_with_what_arrived() {
        let here = Endpoint::here(Ipv4Addr::LOCALHOST);
        let stop = Stop::new();
        let received = thread::scope(|scope| {
            let measurement = scope.spawn(|| measure_stream(here, here, HOUR, &stop));
            thread::sleep(Duration::from_millis(50));
            stop.request();
            measurement.join().expect("no panic")
        });
        received.expect("stopping is no error");
    }

    #[test]
    fn stopped_before_it_began_nothing_arrives() {
        let here = Endpoint::here(Ipv4Addr::LOCALHOST);
        let stop = Stop::new();
        stop.request();
        let received = measure_stream(here, here, HOUR, &stop);
        let received = received.expect("stopping is no error");
        assert_eq!(received, Throughput::default());
        assert!(received.bits_per_second().abs() < f64::EPSILON);
    }

    #[test]
    fn client_that_cannot_connect_ends_the_server_too() {
        let client = Endpoint::here(Ipv6Addr::LOCALHOST);
        let server = Endpoint::here(Ipv4Addr::LOCALHOST);
        let error =
            measure_stream(client, server, HOUR, &Stop::new()).expect_err("they cannot meet");
        let attempt = "connect from [::1]:0 in the current namespace: ";
        assert!(error.to_string().starts_with(attempt), "{error}");
    }

    #[test]
    fn receiver_survives_a_sender_that_never_ends_its_stream() {
        let stop = Stop::new();
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let place = Endpoint::here(localhost).place();
        let listener = Listener::open(place.clone(), localhost, &stop).expect("listen");
        let mut silent = Connection::open(place, localhost, listener.address(), &stop)
            .expect("connect")
            .expect("not stopped");
        silent.write(b"and then nothing").expect("send");
        let sender_done = Stop::new();
        sender_done.request();

        let received = receive(&listener, &sender_done, &stop).expect("silence is no error");
        assert_eq!(received.bytes, 16);
    }
}
