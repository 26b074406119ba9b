//! Talk over ordinary sockets: streams and datagrams whose contents are compared where they
//! arrive.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    thread,
};

use serde_json::Value;
use veth_common::Mac;

use crate::sandbox::{PATIENCE, Sandbox, wait_until};

/// A namespace, and one of its addresses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    pub(crate) netns: &'a str,
    pub(crate) address: IpAddr,
}

/// The end with `address` in `netns`.
pub(crate) fn end<'a>(netns: &'a str, address: &str) -> End<'a> {
    End { netns, address: address.parse().expect("is an address") }
}

impl End<'_> {
    /// A datagram socket there.
    pub(crate) fn datagrams(&self, sandbox: &Sandbox) -> UdpSocket {
        let socket = self.open(sandbox, UdpSocket::bind);
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
        socket
    }

    /// Opens something there, as soon as the address may be used: IPv6 makes sure first that
    /// nobody else has it.
    fn open<T: Send>(
        &self,
        sandbox: &Sandbox,
        bind: impl Fn(SocketAddr) -> std::io::Result<T> + Send + Sync,
    ) -> T {
        let mut opened = None;
        wait_until("an address to be usable", || {
            match sandbox.inside(self.netns, || bind((self.address, 0).into())) {
                Ok(socket) => opened = Some(socket),
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {}
                Err(error) => panic!("{self:?}: {error}"),
            }
            opened.is_some()
        });
        opened.expect("waited for")
    }
}

/// A stream from `client` to `server`: both of its ends.
pub(crate) fn stream(sandbox: &Sandbox, client: End<'_>, server: End<'_>) -> [TcpStream; 2] {
    let listener = server.open(sandbox, TcpListener::bind);
    let to = listener.local_addr().expect("is bound");
    let near = sandbox.inside(client.netns, || {
        TcpStream::connect_timeout(&to, PATIENCE).expect("the server can be reached")
    });
    let (far, _) = listener.accept().expect("the client has connected");
    for end in [&near, &far] {
        end.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
        end.set_write_timeout(Some(PATIENCE)).expect("a socket has a timeout");
    }
    [near, far]
}

/// Sends `length` bytes each way at once over one stream, and compares what arrives.
#[track_caller]
pub(crate) fn exchange_streams(sandbox: &Sandbox, client: End<'_>, server: End<'_>, length: usize) {
    let ends = stream(sandbox, client, server);
    let sent = [contents(1, length), contents(2, length)];
    let received = thread::scope(|scope| {
        for (end, data) in ends.iter().zip(&sent) {
            scope.spawn(move || {
                let mut end: &TcpStream = end;
                end.write_all(data).expect("the stream takes it");
                end.shutdown(std::net::Shutdown::Write).expect("the stream can end");
            });
        }
        let readers = ends.each_ref().map(|end| {
            scope.spawn(move || {
                let (mut end, mut data): (&TcpStream, _) = (end, Vec::new());
                end.read_to_end(&mut data).expect("the stream arrives");
                data
            })
        });
        readers.map(|reader| reader.join().expect("no panic"))
    });
    assert!(received[1] == sent[0], "{} to {}: another text", client.address, server.address);
    assert!(received[0] == sent[1], "{} to {}: another text", server.address, client.address);
}

/// Sends `count` datagrams of `length` bytes, one at a time, and compares what arrives.
#[track_caller]
pub(crate) fn send_datagrams(
    sandbox: &Sandbox,
    from: End<'_>,
    to: End<'_>,
    length: usize,
    count: u64,
) {
    let (from, to) = (from.datagrams(sandbox), to.datagrams(sandbox));
    let target = to.local_addr().expect("is bound");
    let mut buffer = vec![0; 65_536];
    for seed in 1..=count {
        let sent = contents(seed, length);
        from.send_to(&sent, target).expect("the datagram can be sent");
        let received = to.recv(&mut buffer).unwrap_or_else(|error| {
            panic!("datagram {seed} of {count}, {length} bytes, to {target}, is lost: {error}")
        });
        assert!(buffer[..received] == sent, "datagram {seed} of {length} bytes is another one");
    }
}

/// Whether a datagram gets from one end to the other within a moment.
pub(crate) fn is_reachable(sandbox: &Sandbox, from: End<'_>, to: End<'_>) -> bool {
    let (from, to) = (from.datagrams(sandbox), to.datagrams(sandbox));
    let moment = std::time::Duration::from_millis(200);
    to.set_read_timeout(Some(moment)).expect("a socket has a timeout");
    let sent = from.send_to(b"are you there?", to.local_addr().expect("is bound"));
    sent.is_ok() && to.recv(&mut [0; 64]).is_ok()
}

/// Bytes that look like nothing else, the same ones for the same seed.
pub(crate) fn contents(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(length.div_ceil(8)).flatten().take(length).collect()
}

/// What `ip -j` says of one device: of the host, or inside a namespace.
#[track_caller]
pub(crate) fn device(sandbox: &Sandbox, netns: Option<&str>, name: &str) -> Value {
    let inside = netns.map_or(String::new(), |netns| format!("-n {netns} "));
    let text = sandbox.sh(&format!("ip {inside}-j -s -s -d link show dev {name}"));
    let mut value: Value = serde_json::from_str(&text).expect("ip prints JSON");
    value[0].take()
}

/// The address of a device.
#[track_caller]
pub(crate) fn mac(sandbox: &Sandbox, netns: Option<&str>, name: &str) -> Mac {
    let device = device(sandbox, netns, name);
    let text = device["address"].as_str().expect("the device has an address");
    let mut mac = Mac::default();
    for (byte, text) in mac.0.iter_mut().zip(text.split(':')) {
        *byte = u8::from_str_radix(text, 16).expect("as ip prints it");
    }
    mac
}

/// Switches IPv6 off, so that no frame is sent but those that a test sends.
pub(crate) fn silence_ipv6(sandbox: &Sandbox, namespaces: &[&str]) {
    let off = || fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").expect("can be set");
    sandbox.on_host(off);
    for netns in namespaces {
        sandbox.inside(netns, off);
    }
}

/// Makes the ends know each other's addresses for good, so that no frame is sent to ask.
pub(crate) fn introduce(sandbox: &Sandbox, ends: &[End<'_>]) {
    for one in ends {
        for other in ends.iter().filter(|other| other.netns != one.netns) {
            let mac = mac(sandbox, Some(other.netns), "eth0");
            let (netns, address) = (one.netns, other.address);
            sandbox.sh(&format!(
                "ip -n {netns} neigh replace {address} lladdr {mac} dev eth0 nud permanent"
            ));
        }
    }
}
