//! Both kinds of traffic at once, until told to stop: something for a live view to look at.
//!
//! What breaks is begun anew after a pause, so that a path that comes back finds its traffic.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    endpoint::Endpoint,
    error::{Place, TrafficError},
    round_trip::{Echo, Pinger},
    socket::{Connection, Listener},
    stream::CHUNK_BYTES,
    worker::Worker,
};
use crate::Stop;

/// The pause after an error.
const PAUSE: Duration = Duration::from_millis(100);

/// When a stream without progress is begun anew: TCP itself repeats less and less often, and would
/// be slow to notice that the path is back.
const SENDER_PATIENCE: Duration = Duration::from_secs(1);

/// When the server turns from a silent connection to the next one. Less than the sender's, so that
/// a sender that begins anew is not kept waiting.
const RECEIVER_PATIENCE: Duration = Duration::from_millis(500);

/// Traffic that goes on until it is stopped or dropped.
#[derive(Debug)]
pub struct Background {
    record: Arc<Record>,
    workers: Vec<Worker<()>>,
}

/// What has happened since the start; it only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Payload bytes that the server received on the stream.
    pub stream_bytes: u64,
    /// Datagrams that came back.
    pub round_trips: u64,
    /// Datagrams that did not.
    pub lost: u64,
    /// What the ones that came back took together. Between two looks, its growth over that of
    /// `round_trips` is their mean.
    pub round_trips_ns: u64,
    /// Errors after which something was begun anew.
    pub errors: u64,
}

impl Background {
    /// Starts a stream and round trips from `client` to `server`. They end with `stop` too.
    ///
    /// # Errors
    ///
    /// When a namespace cannot be entered, or a socket cannot be opened or a thread started. What
    /// goes wrong later is counted and tried again.
    pub fn start(
        client: Endpoint<'_>,
        server: Endpoint<'_>,
        stop: &Stop,
    ) -> Result<Self, TrafficError> {
        let stop = stop.child();
        let (listener, echo) = server.run(|| {
            let listener = Listener::open(server.place(), server.address(), &stop)?;
            Ok((listener, Echo::open(server, &stop)?))
        })?;
        let mut pinger = client.run(|| Pinger::open(client, echo.address(), &stop))?;
        let to = listener.address();

        let record = Arc::new(Record::default());
        let repeat = |at: Endpoint<'_>, mut work: Box<Work>| {
            let (record, stop_seen) = (Arc::clone(&record), stop.clone());
            at.start(&stop, move || {
                while !stop_seen.is_requested() {
                    match work(&record, &stop_seen) {
                        // Whoever ends first hangs up on the other.
                        Err(_) if stop_seen.is_requested() => {}
                        Err(error) => {
                            record.note(error);
                            thread::sleep(PAUSE);
                        }
                        Ok(()) => {}
                    }
                }
            })
        };
        let (from, place) = (client.address(), client.place());
        let workers = vec![
            repeat(server, Box::new(move |record, stop| receive(&listener, record, stop)))?,
            repeat(server, Box::new(move |_, _| echo.answer()))?,
            repeat(client, Box::new(move |_, stop| send(&place, from, to, stop)))?,
            repeat(client, Box::new(move |record, _| ping(&mut pinger, record)))?,
        ];
        Ok(Self { record, workers })
    }

    /// What has happened so far.
    pub fn totals(&self) -> Totals {
        self.record.totals()
    }

    /// The latest error since the last call, for people to read: it has been dealt with.
    pub fn take_error(&self) -> Option<TrafficError> {
        self.record.latest_error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends the traffic, and says what came of it.
    ///
    /// # Errors
    ///
    /// When a thread never got into its namespace.
    pub fn stop(self) -> Result<Totals, TrafficError> {
        for worker in self.workers {
            worker.finish()?;
        }
        Ok(self.record.totals())
    }
}

/// What one thread does over and over.
type Work = dyn FnMut(&Record, &Stop) -> Result<(), TrafficError> + Send;

/// What the threads share with whoever looks on.
#[derive(Debug, Default)]
struct Record {
    stream_bytes: AtomicU64,
    round_trips: AtomicU64,
    lost: AtomicU64,
    round_trips_ns: AtomicU64,
    errors: AtomicU64,
    latest_error: Mutex<Option<TrafficError>>,
}

impl Record {
    fn note(&self, error: TrafficError) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        *self.latest_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn totals(&self) -> Totals {
        Totals {
            stream_bytes: self.stream_bytes.load(Ordering::Relaxed),
            round_trips: self.round_trips.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
            round_trips_ns: self.round_trips_ns.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
        }
    }
}

/// Receives on one connection until it ends or falls silent.
fn receive(listener: &Listener, record: &Record, stop: &Stop) -> Result<(), TrafficError> {
    let Some(mut connection) = listener.accept()? else { return Ok(()) };
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut heard_at = Instant::now();
    while !stop.is_requested() {
        match connection.read(&mut buffer)? {
            Some(0) => return Ok(()),
            Some(count) => {
                record.stream_bytes.fetch_add(count as u64, Ordering::Relaxed);
                heard_at = Instant::now();
            }
            None if heard_at.elapsed() >= RECEIVER_PATIENCE => return Ok(()),
            None => {}
        }
    }
    Ok(())
}

/// Sends on one connection until that makes no progress.
fn send(place: &Place, from: IpAddr, to: SocketAddr, stop: &Stop) -> Result<(), TrafficError> {
    let Some(mut connection) = Connection::open(place.clone(), from, to, stop)? else {
        return Ok(());
    };
    let chunk = vec![0; CHUNK_BYTES];
    let mut sent_at = Instant::now();
    while !stop.is_requested() {
        if connection.write(&chunk)?.is_some() {
            sent_at = Instant::now();
        } else if sent_at.elapsed() >= SENDER_PATIENCE {
            let stuck = io::Error::from(io::ErrorKind::TimedOut);
            return Err(connection.failed("send to")(stuck));
        }
    }
    Ok(())
}

fn ping(pinger: &mut Pinger, record: &Record) -> Result<(), TrafficError> {
    match pinger.ping()? {
        Some(latency) => {
            let latency_ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
            record.round_trips_ns.fetch_add(latency_ns, Ordering::Relaxed);
            record.round_trips.fetch_add(1, Ordering::Relaxed);
        }
        None => {
            record.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn start_over(address: IpAddr, stop: &Stop) -> Background {
        let here = Endpoint::here(address);
        Background::start(here, here, stop).expect("loopback carries it")
    }

    /// Waits for `is_so`, for as long as a very slow machine may take.
    fn wait_until(is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is_so() {
            assert!(Instant::now() < deadline, "it never came to pass");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn is_flowing(background: &Background) -> bool {
        let Totals { stream_bytes, round_trips, .. } = background.totals();
        stream_bytes > 0 && round_trips > 0
    }

    #[test]
    fn both_kinds_flow_until_stopped() {
        for address in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
            let background = start_over(address, &Stop::new());
            wait_until(|| is_flowing(&background));
            let seen = background.totals();

            let totals = background.stop().expect("no thread had trouble");
            assert!(totals.stream_bytes >= seen.stream_bytes);
            assert!(totals.round_trips >= seen.round_trips);
            assert!(totals.round_trips_ns > 0);
            assert_eq!(totals.errors, 0);
        }
    }

    #[test]
    fn dropped_background_leaves_no_thread_behind() {
        let background = start_over(Ipv4Addr::LOCALHOST.into(), &Stop::new());
        let record = Arc::downgrade(&background.record);
        drop(background);
        // Every thread holds a share of the record.
        assert_eq!(record.strong_count(), 0);
    }

    #[test]
    fn stop_of_the_caller_ends_it_and_not_the_other_way_round() {
        let stop = Stop::new();
        let first = start_over(Ipv4Addr::LOCALHOST.into(), &stop);
        let second = start_over(Ipv4Addr::LOCALHOST.into(), &stop);
        first.stop().expect("no thread had trouble");
        assert!(!stop.is_requested());

        let record = Arc::clone(&second.record);
        stop.request();
        // What is left is the one here and the one in `second`.
        wait_until(|| Arc::strong_count(&record) == 2);
    }

    #[test]
    fn silent_connection_gives_way_to_the_next() {
        let (stop, record) = (Stop::new(), Record::default());
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let listener = Listener::open(Place::Here, localhost, &stop).expect("listen");
        let connect = || {
            Connection::open(Place::Here, localhost, listener.address(), &stop)
                .expect("connect")
                .expect("not stopped")
        };
        let _silent = connect();
        let mut live = connect();
        live.write(b"live").expect("send");
        live.end().expect("end");

        receive(&listener, &record, &stop).expect("silence is no error");
        receive(&listener, &record, &stop).expect("an end is no error");
        assert_eq!(record.totals(), Totals { stream_bytes: 4, ..Totals::default() });
    }

    #[test]
    fn stuck_stream_is_an_error_to_begin_anew_from() {
        let stop = Stop::new();
        let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let stuck = Listener::open(Place::Here, localhost, &stop).expect("listen");
        let error =
            send(&Place::Here, localhost, stuck.address(), &stop).expect_err("nobody reads");
        assert!(error.to_string().starts_with("send to 127.0.0.1:"), "{error}");
    }

    #[test]
    fn errors_are_counted_and_the_latest_is_kept() {
        let record = Arc::new(Record::default());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        for action in ["connect to", "send to"] {
            let cause = io::Error::from(io::ErrorKind::BrokenPipe);
            record.note(Place::Here.failed(action, address)(cause));
        }
        let background = Background { record, workers: Vec::new() };

        let error = background.take_error().expect("there were two");
        assert!(error.to_string().starts_with("send to"), "{error}");
        assert!(background.take_error().is_none());
        assert_eq!(background.totals(), Totals { errors: 2, ..Totals::default() });
    }
}
