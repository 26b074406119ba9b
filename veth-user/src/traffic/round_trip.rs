//! Small datagrams there and back, one at a time: how long a path takes.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use super::{
    endpoint::Endpoint,
    error::{Place, TrafficError},
    socket::{open_datagram, unless_quiet},
};
use crate::Stop;

/// The payload of one datagram.
const PAYLOAD_BYTES: usize = 64;

/// When a reply counts as lost. Between namespaces of one machine this is an age.
const REPLY_PATIENCE: Duration = Duration::from_millis(100);

/// What became of the datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundTrips {
    /// Those that came back.
    pub count: u64,
    /// Those that did not, or not within 100 ms.
    pub lost: u64,
    /// How long all of them took, the waiting for lost ones included.
    pub elapsed: Duration,
    /// How long those that came back took; `None` when none did.
    pub latency: Option<Latency>,
}

impl RoundTrips {
    /// Round trips per second; 0 when there were none.
    pub fn per_second(&self) -> f64 {
        if self.elapsed.is_zero() {
            return 0.0;
        }
        self.count as f64 / self.elapsed.as_secs_f64()
    }
}

/// The time from a datagram's sending to its return, over many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The shortest.
    pub min_ns: u64,
    /// Half of them took no longer.
    pub p50_ns: u64,
    /// 99 of a hundred took no longer.
    pub p99_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

impl Latency {
    /// Summarises `samples_ns`, which it sorts.
    fn summarise(samples_ns: &mut [u32]) -> Option<Self> {
        samples_ns.sort_unstable();
        let (&min, &max) = (samples_ns.first()?, samples_ns.last()?);
        // The nearest rank: a time that was measured, not one between two.
        let percentile = |percent: usize| {
            let rank = (samples_ns.len() * percent).div_ceil(100);
            u64::from(samples_ns[rank.saturating_sub(1)])
        };
        Some(Self {
            min_ns: min.into(),
            p50_ns: percentile(50),
            p99_ns: percentile(99),
            max_ns: max.into(),
        })
    }
}

/// Sends datagrams from `client` to `server` and back for `duration`, one at a time. Ends early,
/// with what came back by then, when `stop` is requested.
///
/// # Errors
///
/// When a namespace cannot be entered, or a socket cannot be opened or fails. A path that carries
/// nothing is no error, but a loss.
pub fn measure_round_trips(
    client: Endpoint<'_>,
    server: Endpoint<'_>,
    duration: Duration,
    stop: &Stop,
) -> Result<RoundTrips, TrafficError> {
    let echo = server.run(|| Echo::open(server, stop))?;
    let to = echo.address();

    let client_done = stop.child();
    let echo = server.start(&client_done, {
        let client_done = client_done.clone();
        move || -> Result<(), TrafficError> {
            while !client_done.is_requested() {
                echo.answer()?;
            }
            Ok(())
        }
    })?;
    let round_trips = client.run(|| exchange(&mut Pinger::open(client, to, stop)?, duration, stop));

    // An echo that failed explains the losses that the client saw.
    echo.finish()??;
    round_trips
}

fn exchange(
    pinger: &mut Pinger,
    duration: Duration,
    stop: &Stop,
) -> Result<RoundTrips, TrafficError> {
    // The first one resolves addresses and teaches the bridge: it says nothing of the path.
    pinger.ping()?;

    // 32 bits hold four seconds, and no reply is awaited for that long.
    let mut samples_ns: Vec<u32> = Vec::new();
    let mut lost = 0;
    let started = Instant::now();
    while started.elapsed() < duration && !stop.is_requested() {
        match pinger.ping()? {
            Some(latency) => {
                samples_ns.push(u32::try_from(latency.as_nanos()).unwrap_or(u32::MAX));
            }
            None => lost += 1,
        }
    }
    let elapsed = started.elapsed();
    let count = samples_ns.len() as u64;
    Ok(RoundTrips { count, lost, elapsed, latency: Latency::summarise(&mut samples_ns) })
}

/// Sends back what it receives.
#[derive(Debug)]
pub(super) struct Echo {
    socket: UdpSocket,
    address: SocketAddr,
    place: Place,
}

impl Echo {
    /// Opens a socket on a free port. To be called inside the namespace.
    pub(super) fn open(at: Endpoint<'_>, stop: &Stop) -> Result<Self, TrafficError> {
        let place = at.place();
        let (socket, address) = open_datagram(&place, at.address(), stop)?;
        Ok(Self { socket, address, place })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers the next datagram, if one comes soon.
    pub(super) fn answer(&self) -> Result<(), TrafficError> {
        let mut payload = [0; PAYLOAD_BYTES];
        let received = unless_quiet(self.socket.recv_from(&mut payload))
            .map_err(self.place.failed("receive on", self.address))?;
        if let Some((count, from)) = received {
            // A reply that cannot be sent is a lost one, and the client counts those.
            let _ = self.socket.send_to(&payload[..count], from);
        }
        Ok(())
    }
}

/// Sends one datagram at a time, and awaits its return.
#[derive(Debug)]
pub(super) struct Pinger {
    socket: UdpSocket,
    peer: SocketAddr,
    place: Place,
    sequence: u64,
}

impl Pinger {
    /// Opens a socket for the echo at `peer`. To be called inside the namespace.
    pub(super) fn open(
        at: Endpoint<'_>,
        peer: SocketAddr,
        stop: &Stop,
    ) -> Result<Self, TrafficError> {
        let place = at.place();
        let (socket, _) = open_datagram(&place, at.address(), stop)?;
        socket.connect(peer).map_err(place.failed("send to", peer))?;
        Ok(Self { socket, peer, place, sequence: 0 })
    }

    /// Sends a datagram and times its return; `None` when it is lost.
    pub(super) fn ping(&mut self) -> Result<Option<Duration>, TrafficError> {
        self.sequence += 1;
        let mut payload = [0; PAYLOAD_BYTES];
        payload[..8].copy_from_slice(&self.sequence.to_be_bytes());

        let mut reply = [0; PAYLOAD_BYTES];
        let sent_at = Instant::now();
        unless_lost(self.socket.send(&payload)).map_err(self.place.failed("send to", self.peer))?;
        loop {
            let received = unless_lost(self.socket.recv(&mut reply))
                .map_err(self.place.failed("receive from", self.peer))?;
            let latency = sent_at.elapsed();
            if latency >= REPLY_PATIENCE {
                return Ok(None);
            }
            // Anything else is the reply to an earlier one, which is counted as lost already.
            if received == Some(PAYLOAD_BYTES) && reply == payload {
                return Ok(Some(latency));
            }
        }
    }
}

/// `None` as well for what the network says of a datagram that went astray, be it an earlier one.
/// The wait for the reply goes on, so that an unreachable peer costs time and not a busy loop.
pub(super) fn unless_lost(result: io::Result<usize>) -> io::Result<Option<usize>> {
    use io::ErrorKind::{ConnectionRefused, HostUnreachable};
    match result {
        Err(error) if matches!(error.kind(), ConnectionRefused | HostUnreachable) => Ok(None),
        result => unless_quiet(result),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        net::{IpAddr, Ipv4Addr, Ipv6Addr},
        thread,
    };

    const HOUR: Duration = Duration::from_hours(1);

    fn exchange_over(address: IpAddr) -> RoundTrips {
        let here = Endpoint::here(address);
        measure_round_trips(here, here, Duration::from_millis(50), &Stop::new())
            .expect("loopback carries it")
    }

    #[test]
    fn datagrams_come_back_over_ipv4() {
        let RoundTrips { count, latency, .. } = exchange_over(Ipv4Addr::LOCALHOST.into());
        let Latency { min_ns, p50_ns, p99_ns, max_ns } = latency.expect("some came back");
        assert!(count > 0);
        assert!(min_ns <= p50_ns && p50_ns <= p99_ns && p99_ns <= max_ns);
    }

    #[test]
    fn datagrams_come_back_over_ipv6() {
        assert!(exchange_over(Ipv6Addr::LOCALHOST.into()).count > 0);
    }

    #[test]
    fn silent_far_side_is_a_loss() {
        let here = Endpoint::here(Ipv4Addr::LOCALHOST);
        let stop = Stop::new();
        let silent = Echo::open(here, &stop).expect("open");
        let mut pinger = Pinger::open(here, silent.address(), &stop).expect("open");
        assert_eq!(pinger.ping().expect("a loss is no error"), None);
    }

    #[test]
    fn dead_far_side_is_a_loss() {
        let here = Endpoint::here(Ipv4Addr::LOCALHOST);
        let stop = Stop::new();
        let dead = Echo::open(here, &stop).expect("open");
        let mut pinger = Pinger::open(here, dead.address(), &stop).expect("open");
        drop(dead);
        // The port is reported unreachable to the first, and that report meets the second.
        assert_eq!(pinger.ping().expect("a loss is no error"), None);
        assert_eq!(pinger.ping().expect("a loss is no error"), None);
    }

    #[test]
    fn late_reply_is_not_taken_for_the_next_one() {
        let here = Endpoint::here(Ipv4Addr::LOCALHOST);
        let stop = Stop::new();
        let echo = Echo::open(here, &stop).expect("open");
        let mut pinger = Pinger::open(here, echo.address(), &stop).expect("open");
        assert_eq!(pinger.ping().expect("a loss is no error"), None);
        echo.answer().expect("the first datagram waits to be answered");

        // Only the late reply is there to be received.
        assert_eq!(pinger.ping().expect("a loss is no error"), None);
    }

    #[test]
    fn stop_ends_a_long_measurement_with_what_came_back() {
        let here = Endpoint::here(Ipv4Addr::LOCALHOST);
        let stop = Stop::new();
        let round_trips = thread::scope(|scope| {
            let measurement = scope.spawn(|| measure_round_trips(here, here, HOUR, &stop));
            thread::sleep(Duration::from_millis(50));
            stop.request();
            measurement.join().expect("no panic")
        });
        round_trips.expect("stopping is no error");
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut samples_ns: Vec<u32> = (1..=200).rev().collect();
        let expected = Latency { min_ns: 1, p50_ns: 100, p99_ns: 198, max_ns: 200 };
        assert_eq!(Latency::summarise(&mut samples_ns), Some(expected));

        let alone = Latency { min_ns: 7, p50_ns: 7, p99_ns: 7, max_ns: 7 };
        assert_eq!(Latency::summarise(&mut [7]), Some(alone));
        assert_eq!(Latency::summarise(&mut []), None);
    }
}
