//! Connect, one byte there and one back, close, over and over.
//!
//! Both ends close without a farewell (`SO_LINGER` with no time): the client resets a connection
//! whose answer it has. An orderly close would leave the client's port in `TIME_WAIT` for a minute,
//! and at ten thousand connections per second all ports would be taken within seconds: between
//! namespaces the kernel does not reuse such ports by itself (`net.ipv4.tcp_tw_reuse`).

use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use super::{
    Edges, Ends, LoadOptions, Measured,
    crew::Crew,
    tcp_pair::{TcpPair, listen, receive_byte, send_byte},
    window::Window,
};
use crate::{
    Stop,
    traffic::{
        endpoint::Endpoint,
        error::{Place, TrafficError},
        socket::{Connection, Listener},
    },
};

/// Connects from client to server, sends one byte, awaits one in return and closes, over and over,
/// and times each connection from its socket's making to its end. A stop ends it early, with what
/// was counted by then.
///
/// # Errors
///
/// When a namespace cannot be entered, a thread not be started or pinned, a connection is not made
/// within seconds, or one breaks.
pub fn tcp_crr(
    ends: &Ends<'_>,
    options: &LoadOptions,
    edges: Edges<'_>,
    stop: &Stop,
) -> Result<Measured, TrafficError> {
    let listener = listen(ends, stop)?;
    // What is wrong with the path is told before anything is measured.
    if TcpPair::open_at(&listener, ends, stop)?.is_none() {
        return Ok(Measured::default());
    }
    let client = Client::new(ends.client, listener.address());
    let crew = Crew::default();
    let workers = [
        crew.start(ends.server, ends.server_cpu, move |window| answer(&listener, window))?,
        crew.start(ends.client, ends.client_cpu, move |window| client.ask(window))?,
    ];
    crew.measure(workers, options, edges, stop)
}

struct Client {
    place: Place,
    from: IpAddr,
    to: SocketAddr,
}

impl Client {
    fn new(at: Endpoint<'_>, to: SocketAddr) -> Self {
        Self { place: at.place(), from: at.address(), to }
    }

    /// To be called inside the namespace.
    fn ask(&self, window: &Window) -> Result<Measured, TrafficError> {
        let mut began_at = Instant::now();
        window.count(Measured::with_latency, |measured| {
            if self.transact(window)? {
                let ended_at = Instant::now();
                measured.record(ended_at - began_at);
                began_at = ended_at;
            }
            Ok(())
        })
    }

    /// One connection; false when the window closed before it was over.
    fn transact(&self, window: &Window) -> Result<bool, TrafficError> {
        let place = self.place.clone();
        let connection = Connection::open(place, self.from, self.to, window.closed())?;
        let Some(mut connection) = connection else { return Ok(false) };
        send_byte(&mut connection)?;
        receive_byte(&mut connection, window)
    }
}

/// Answers one connection after the other, as the client makes them.
///
/// Each is held until the next one is there: by then the client has hung up, and closing sends
/// nothing. Waiting for the end of each would wake this thread once more for every connection.
fn answer(listener: &Listener, window: &Window) -> Result<Measured, TrafficError> {
    let mut held = None;
    window.serve(|| {
        if let Some(connection) = listener.accept()? {
            let connection = held.insert(connection);
            if receive_byte(connection, window)? {
                send_byte(connection)?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::load::allowed_cpus;
    use std::{fs, net::Ipv4Addr, thread};

    /// Sockets in `TIME_WAIT` with `port` at one end.
    fn waiting_sockets(port: u16) -> usize {
        const TIME_WAIT: &str = "06";
        let suffix = format!(":{port:04X}");
        let is_waiting = |line: &&str| {
            let mut fields = line.split_whitespace().skip(1);
            let ends = [fields.next(), fields.next()];
            fields.next() == Some(TIME_WAIT)
                && ends.iter().flatten().any(|end| end.ends_with(&suffix))
        };
        let table = fs::read_to_string("/proc/thread-self/net/tcp").expect("the kernel has it");
        table.lines().filter(is_waiting).count()
    }

    #[test]
    fn thousands_of_connections_leave_no_port_taken() {
        let here = Endpoint::here(Ipv4Addr::LOCALHOST);
        let cpu = allowed_cpus().expect("ask")[0];
        let ends = Ends { client: here, server: here, client_cpu: cpu, server_cpu: cpu };
        let listener = listen(&ends, &Stop::new()).expect("listen");
        let to = listener.address();
        let window = Window::default();
        thread::scope(|scope| {
            let server = scope.spawn(|| answer(&listener, &window));
            let client = Client::new(here, to);
            for _ in 0..5_000 {
                assert!(client.transact(&window).expect("loopback carries it"));
            }
            window.closed().request();
            server.join().expect("no panic").expect("no failure");
        });
        assert_eq!(waiting_sockets(to.port()), 0);
    }
}
