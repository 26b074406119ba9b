//! Datagrams between namespaces, as a test of whether they reach each other.

use std::{
    io::ErrorKind,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use veth_user::netns::Netns;

/// Longer than any datagram takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

const PORT: u16 = 4711;

/// A socket with `ip` in `netns`.
pub(crate) fn socket(netns: &Netns, ip: &str) -> UdpSocket {
    let ip: IpAddr = ip.parse().expect("an address");
    let bind = || UdpSocket::bind(SocketAddr::new(ip, PORT)).expect("the address is there");
    netns.run(bind).expect("the namespace can be entered")
}

/// Sends from one socket to the other until something arrives: a device that was just set up
/// drops what is sent before the kernel has noticed that its other end is up as well.
#[track_caller]
pub(crate) fn reach(from: &UdpSocket, to: &UdpSocket) {
    let [source, destination] = [from, to].map(|it| it.local_addr().expect("it is bound"));
    let deadline = Instant::now() + PATIENCE;
    to.set_read_timeout(Some(Duration::from_millis(20))).expect("not zero");
    let mut answer = [0; 16];
    loop {
        let sent = from.send_to(b"hello", destination);
        match to.recv_from(&mut answer) {
            Ok((5, sender)) if sender == source => return,
            Ok(other) => panic!("{destination} received {other:?}"),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => {}
            Err(error) => panic!("receive at {destination}: {error}"),
        }
        assert!(Instant::now() < deadline, "{source} does not reach {destination}: {sent:?}");
    }
}
