//! Traffic that goes on while something is done to the fabric: a TCP connection that must
//! survive, and datagrams of which none may get lost.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

use crate::sandbox::{PATIENCE, Sandbox, dropped_by_machine};

/// Room for all datagrams that come while the reader has to wait for a CPU.
const RECEIVE_BUFFER_BYTES: usize = 64 << 20;

/// Time from one datagram to the next.
const PACE: Duration = Duration::from_micros(200);

/// A TCP connection between two namespaces, with an echo at its far end.
pub(crate) struct Conversation {
    stream: TcpStream,
    said: u64,
}

impl Conversation {
    /// Connects `client` with a server at `address` in `server`.
    pub(crate) fn between(sandbox: &Sandbox, client: &str, server: &str, address: &str) -> Self {
        let listener = sandbox.inside(server, || TcpListener::bind((address, 0)));
        let listener = listener.expect("the address is the namespace's");
        let address = listener.local_addr().expect("it is bound");
        let stream = sandbox.inside(client, || TcpStream::connect_timeout(&address, PATIENCE));
        let stream = stream.expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("the time is not zero");
        stream.set_nodelay(true).expect("it is a TCP socket");
        thread::spawn(move || echo(&listener));
        Self { stream, said: 0 }
    }

    /// Says something, and waits for the echo.
    #[track_caller]
    pub(crate) fn go_on(&mut self) {
        self.said += 1;
        let said = self.said.to_ne_bytes();
        self.stream.write_all(&said).expect("the connection stands");
        let mut heard = [0; 8];
        self.stream.read_exact(&mut heard).expect("the connection stands");
        assert_eq!(heard, said);
    }
}

/// Answers one connection with what it says, until it ends.
fn echo(listener: &TcpListener) {
    let Ok((mut stream, _)) = listener.accept() else { return };
    let mut heard = [0; 8];
    while stream.read_exact(&mut heard).is_ok() && stream.write_all(&heard).is_ok() {}
}

/// Numbered datagrams that go from one namespace to another at a steady pace.
pub(crate) struct Datagrams {
    stop: Arc<AtomicBool>,
    sender: JoinHandle<u64>,
    receiver: UdpSocket,
    /// What the machine had dropped before.
    dropped_before: u64,
}

impl Datagrams {
    /// Starts to send from `client` to `address` in `server`.
    pub(crate) fn between(sandbox: &Sandbox, client: &str, server: &str, address: &str) -> Self {
        let receiver = sandbox.inside(server, || UdpSocket::bind((address, 0)));
        let receiver = receiver.expect("the address is the namespace's");
        setsockopt(&receiver, RcvBufForce, &RECEIVE_BUFFER_BYTES).expect("root may");
        let to = receiver.local_addr().expect("it is bound");
        let sender = sandbox.inside(client, || UdpSocket::bind(("0.0.0.0", 0)));
        let sender = sender.expect("any port is free");
        let dropped_before = dropped_by_machine();
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let sender = thread::spawn(move || send(&sender, to, &told));
        Self { stop, sender, receiver, dropped_before }
    }

    /// Stops sending, fails the test unless every datagram arrived that the machine had room for, and says how
    /// many there were.
    #[track_caller]
    pub(crate) fn assert_all_arrived(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().expect("sending does not fail");
        let mut missing: BTreeSet<u64> = (0..sent).collect();
        let silence = Duration::from_secs(1);
        self.receiver.set_read_timeout(Some(silence)).expect("the time is not zero");
        let deadline = Instant::now() + PATIENCE;
        let mut number = [0; 8];
        while !missing.is_empty() && Instant::now() < deadline {
            let Ok(8) = self.receiver.recv(&mut number) else { break };
            missing.remove(&u64::from_ne_bytes(number));
        }
        let dropped = dropped_by_machine() - self.dropped_before;
        assert!(
            missing.len() as u64 <= dropped,
            "{} of {sent} datagrams were lost, and the machine dropped {dropped}: {missing:?}",
            missing.len()
        );
        sent
    }
}

/// Sends until it is told to stop, and says how many.
fn send(socket: &UdpSocket, to: SocketAddr, stop: &AtomicBool) -> u64 {
    let mut sent = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        socket.send_to(&sent.to_ne_bytes(), to).expect("there is a way");
        sent += 1;
        thread::sleep(PACE);
    }
    sent
}
