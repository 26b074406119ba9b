//! Sockets whose calls return soon, whatever becomes of the frames.

use std::{
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, AsRawFd as _},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        socket::{
            AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket,
            sockopt,
        },
        time::{TimeVal, TimeValLike as _},
    },
};

use super::error::{Place, TrafficError};
use crate::Stop;

/// The longest that a call blocks. A stop takes a few of them in a row, where one end waits for the
/// other's, and people call 200 ms at once.
pub(super) const TICK: Duration = Duration::from_millis(30);

/// How long an address may take to become usable (an IPv6 one is tentative for a second or two),
/// and a far side to take a connection (a lost SYN is repeated after one second).
const PATIENCE: Duration = Duration::from_secs(3);

/// Where connections arrive.
#[derive(Debug)]
pub(super) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    place: Place,
}

impl Listener {
    /// Listens on a free port of `address`. To be called inside the namespace.
    pub(super) fn open(place: Place, address: IpAddr, stop: &Stop) -> Result<Self, TrafficError> {
        let (socket, address) = at_free_port(&place, "listen on", address, stop, |address| {
            let socket = TcpListener::bind(address)?;
            // What limits accept(2) too, and what accepted sockets inherit.
            prepare(&socket)?;
            let address = socket.local_addr()?;
            Ok((socket, address))
        })?;
        Ok(Self { socket, address, place })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection; `None` when none came within a [`TICK`].
    pub(super) fn accept(&self) -> Result<Option<Connection>, TrafficError> {
        let accept = || -> io::Result<Option<Connection>> {
            let Some((stream, peer)) = unless_quiet(self.socket.accept())? else {
                return Ok(None);
            };
            Ok(Some(Connection { stream, peer, place: self.place.clone() }))
        };
        accept().map_err(|error| self.place.failed("accept a connection on", self.address)(error))
    }
}

/// A TCP connection. Closing it discards what is still under way, so that nothing lingers in, and
/// holds on to, a namespace that is to go.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
}

impl Connection {
    /// Connects from `from` to `to`; `None` when stopped before that. To be called inside the
    /// namespace.
    pub(super) fn open(
        place: Place,
        from: IpAddr,
        to: SocketAddr,
        stop: &Stop,
    ) -> Result<Option<Self>, TrafficError> {
        // The standard library connects from whatever address the routes suggest.
        let socket = at_free_port(&place, "connect from", from, stop, |from| {
            let family = match to {
                SocketAddr::V4(_) => AddressFamily::Inet,
                SocketAddr::V6(_) => AddressFamily::Inet6,
            };
            let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
            prepare(&socket)?;
            bind(socket.as_raw_fd(), &SockaddrStorage::from(from))?;
            Ok(socket)
        })?;
        let connect = || -> io::Result<Option<TcpStream>> {
            let mut deadline = None;
            while !stop.is_requested() {
                // A repeated connect(2) waits on for the same handshake.
                match connect(socket.as_raw_fd(), &SockaddrStorage::from(to)) {
                    Ok(()) | Err(Errno::EISCONN) => return Ok(Some(TcpStream::from(socket))),
                    Err(Errno::EINPROGRESS | Errno::EALREADY | Errno::EINTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
                if is_over(&mut deadline) {
                    return Err(Errno::ETIMEDOUT.into());
                }
            }
            Ok(None)
        };
        let stream = connect().map_err(|error| place.failed("connect to", to)(error))?;
        Ok(stream.map(|stream| Self { stream, peer: to, place }))
    }

    /// Has small writes go out at once, and not wait for what is unacknowledged (Nagle).
    pub(super) fn send_at_once(&self) -> Result<(), TrafficError> {
        self.stream.set_nodelay(true).map_err(self.failed("set TCP_NODELAY towards"))
    }

    /// Sends some of `bytes` and says how many; `None` when there was no room for a [`TICK`].
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<Option<usize>, TrafficError> {
        unless_quiet(self.stream.write(bytes)).map_err(|error| self.failed("send to")(error))
    }

    /// Receives some bytes and says how many, 0 at the end of the stream; `None` when none came
    /// within a [`TICK`].
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, TrafficError> {
        unless_quiet(self.stream.read(buffer)).map_err(|error| self.failed("receive from")(error))
    }

    /// Tells the far side that nothing more comes, after all that was written.
    pub(super) fn end(&self) -> Result<(), TrafficError> {
        self.stream.shutdown(std::net::Shutdown::Write).map_err(self.failed("end the stream to"))
    }

    /// Completes an error of this connection; for `map_err`.
    pub(super) fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> TrafficError {
        self.place.failed(action, self.peer)
    }
}

/// A UDP socket on a free port of `address`. To be called inside the namespace.
pub(super) fn open_datagram(
    place: &Place,
    address: IpAddr,
    stop: &Stop,
) -> Result<(UdpSocket, SocketAddr), TrafficError> {
    at_free_port(place, "open a UDP socket on", address, stop, |address| {
        let socket = UdpSocket::bind(address)?;
        socket.set_read_timeout(Some(TICK))?;
        socket.set_write_timeout(Some(TICK))?;
        let address = socket.local_addr()?;
        Ok((socket, address))
    })
}

/// Calls `open` with `address` and no port until the address is usable.
fn at_free_port<T>(
    place: &Place,
    action: &'static str,
    address: IpAddr,
    stop: &Stop,
    open: impl Fn(SocketAddr) -> io::Result<T>,
) -> Result<T, TrafficError> {
    let address = SocketAddr::new(address, 0);
    let mut deadline = None;
    loop {
        match open(address) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrNotAvailable
                    && !is_over(&mut deadline)
                    && !stop.is_requested() =>
            {
                thread::sleep(TICK);
            }
            result => return result.map_err(|error| place.failed(action, address)(error)),
        }
    }
}

/// Whether the [`PATIENCE`] that began with the first call is over. What succeeds at once never
/// looks at the clock.
pub(super) fn is_over(deadline: &mut Option<Instant>) -> bool {
    let now = Instant::now();
    now >= *deadline.get_or_insert(now + PATIENCE)
}

fn prepare(stream: &impl AsFd) -> nix::Result<()> {
    setsockopt(stream, sockopt::ReceiveTimeout, &tick())?;
    // What limits connect(2) too.
    setsockopt(stream, sockopt::SendTimeout, &tick())?;
    setsockopt(stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })
}

fn tick() -> TimeVal {
    TimeVal::microseconds(TICK.subsec_micros().into())
}

/// `None` for a call that ended with nothing done: its time was up, or a signal came.
///
/// Linux reports the time being up as `EAGAIN`; `ETIMEDOUT` is a dead connection.
pub(super) fn unless_quiet<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::getsockopt;
    use std::net::Ipv4Addr;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn accept_returns_though_nobody_connects() {
        let listener = Listener::open(Place::Here, LOCALHOST, &Stop::new()).expect("listen");
        assert!(listener.accept().expect("quiet is no error").is_none());
    }

    #[test]
    fn read_and_write_return_though_the_far_side_is_silent() {
        let stop = Stop::new();
        let listener = Listener::open(Place::Here, LOCALHOST, &stop).expect("listen");
        let mut client = Connection::open(Place::Here, LOCALHOST, listener.address(), &stop)
            .expect("connect")
            .expect("not stopped");
        let _silent = listener.accept().expect("accept").expect("the client has connected");

        assert_eq!(client.read(&mut [0; 16]).expect("quiet is no error"), None);
        let bytes = vec![0; 1 << 20];
        while client.write(&bytes).expect("quiet is no error").is_some() {}
    }

    #[test]
    fn accepted_connection_inherits_the_limits_of_its_listener() {
        let stop = Stop::new();
        let listener = Listener::open(Place::Here, LOCALHOST, &stop).expect("listen");
        let _silent = Connection::open(Place::Here, LOCALHOST, listener.address(), &stop)
            .expect("connect")
            .expect("not stopped");
        let mut accepted = listener.accept().expect("accept").expect("the client has connected");

        assert_eq!(accepted.read(&mut [0; 16]).expect("quiet is no error"), None);
        let bytes = vec![0; 1 << 20];
        while accepted.write(&bytes).expect("quiet is no error").is_some() {}
        let linger = getsockopt(&accepted.stream, sockopt::Linger).expect("read an option");
        assert_eq!((linger.l_onoff, linger.l_linger), (1, 0));
    }

    #[test]
    fn connection_comes_from_the_address_asked_for() {
        let stop = Stop::new();
        let listener = Listener::open(Place::Here, LOCALHOST, &stop).expect("listen");
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));
        let _client = Connection::open(Place::Here, from, listener.address(), &stop)
            .expect("connect")
            .expect("not stopped");

        let accepted = listener.accept().expect("accept").expect("the client has connected");
        assert_eq!(accepted.peer.ip(), from);
    }

    #[test]
    fn refused_connection_is_an_error_that_names_the_address() {
        let stop = Stop::new();
        let listener = Listener::open(Place::Here, LOCALHOST, &stop).expect("listen");
        let address = listener.address();
        drop(listener);

        let error = Connection::open(Place::Here, LOCALHOST, address, &stop).expect_err("refused");
        let attempt = format!("connect to {address} in the current namespace: ");
        assert!(error.to_string().starts_with(&attempt), "{error}");
    }

    #[test]
    fn stopped_connect_is_no_connection() {
        let stop = Stop::new();
        let listener = Listener::open(Place::Here, LOCALHOST, &stop).expect("listen");
        stop.request();
        let connection = Connection::open(Place::Here, LOCALHOST, listener.address(), &stop);
        assert!(connection.expect("stopping is no error").is_none());
    }

    #[test]
    fn missing_address_is_not_waited_for_once_stopped() {
        let stop = Stop::new();
        stop.request();
        // TEST-NET-1, which no machine has.
        let missing = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
        let error = Listener::open(Place::Here, missing, &stop).expect_err("nobody has it");
        let attempt = "listen on 192.0.2.1:0 in the current namespace: ";
        assert!(error.to_string().starts_with(attempt), "{error}");
    }
}
