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
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt::RcvBufForce};

use crate::sandbox::{PATIENCE, Sandbox, dropped_by_machine};

/// Room for all datagrams that come while the reader has to wait for a CPU.
const RECEIVE_BUFFER_BYTES: usize = 64 << 20;

/// After which nothing comes any more.
const SILENCE: Duration = Duration::from_secs(1);

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
    receiver: JoinHandle<BTreeSet<u64>>,
    /// What the machine had dropped before.
    dropped_before: u64,
}

impl Datagrams {
    /// Starts to send from `client` to `address` in `server`.
    pub(crate) fn between(sandbox: &Sandbox, client: &str, server: &str, address: &str) -> Self {
        let socket = sandbox.inside(server, || UdpSocket::bind((address, 0)));
        let socket = socket.expect("the address is the namespace's");
        setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER_BYTES).expect("root may");
        socket.set_read_timeout(Some(SILENCE)).expect("the time is not zero");
        let to = socket.local_addr().expect("it is bound");
        let client = sandbox.inside(client, || UdpSocket::bind(("0.0.0.0", 0)));
        let client = client.expect("any port is free");
        let dropped_before = dropped_by_machine();
        let stop = Arc::new(AtomicBool::new(false));
        let [sending, receiving] = [Arc::clone(&stop), Arc::clone(&stop)];
        let sender = thread::spawn(move || send(&client, to, &sending));
        let receiver = thread::spawn(move || receive(&socket, &receiving));
        Self { stop, sender, receiver, dropped_before }
    }

    /// Stops sending, fails the test unless every datagram arrived that the machine had room for, and says how
    /// many there were.
    #[track_caller]
    pub(crate) fn assert_all_arrived(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().expect("sending does not fail");
        let arrived = self.receiver.join().expect("receiving does not fail");
        let missing: Vec<u64> = (0..sent).filter(|number| !arrived.contains(number)).collect();
        let dropped = dropped_by_machine() - self.dropped_before;
        assert!(
            missing.len() as u64 <= dropped,
            "{} of {sent} datagrams were lost, and the machine dropped {dropped}: {:?} and so on",
            missing.len(),
            &missing[..missing.len().min(20)]
        );
        sent
    }
}

/// Takes what comes, until nothing comes any more after it was told to stop.
fn receive(socket: &UdpSocket, stop: &AtomicBool) -> BTreeSet<u64> {
    let mut arrived = BTreeSet::new();
    let mut number = [0; 8];
    loop {
        let is_over = stop.load(Ordering::Relaxed);
        match socket.recv(&mut number) {
            Ok(_) => _ = arrived.insert(u64::from_ne_bytes(number)),
            Err(_) if is_over => return arrived,
            Err(_) => {}
        }
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
