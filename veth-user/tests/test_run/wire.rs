//! Frames over real veth pairs: what `BPF_PROG_TEST_RUN` cannot run, and the one thing it cannot
//! show, that a redirected frame comes out at the right peer.
//!
//! Each test has three namespaces without names: `red` and `blue` with one peer each, and that of
//! the ports. They go with the last socket in them. No IPv6 there, so that nobody but the test
//! sends anything.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use aya::programs::{TcAttachType, tc::qdisc_add_clsact};
use nix::{
    ifaddrs::getifaddrs,
    sched::{CloneFlags, setns, unshare},
    sys::{
        socket::{
            AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrLike as _,
            recvfrom, sendto, setsockopt, socket, sockopt,
        },
        time::TimeVal,
    },
};
use veth_common::{Counter, Ifindex, Mac, PortSlot, Verdict};
use veth_user::netlink::{LinkChange, Netlink, VethPair};

use crate::{
    frame::{BLUE_MAC, ETHERNET_BYTES, RED_MAC, TCP, UDP, ipv4, ipv6, tagged},
    program::{Kind, Moved, Program, RED_SLOT, require_root, station, two_stations},
};

/// Longer than any frame takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// `PACKET_HOST` of `linux/if_packet.h`.
const PACKET_HOST: u8 = 0;

const MTU_BYTES: u16 = 9000;

pub(crate) struct Fixture {
    name: &'static str,
    frame: Vec<u8>,
    /// Length as the program sees it.
    seen_bytes: u64,
    pub(crate) verdict: Verdict,
}

pub(crate) fn fixtures() -> Vec<Fixture> {
    let fixture =
        |name, verdict, frame: Vec<u8>, seen_bytes| Fixture { name, frame, seen_bytes, verdict };
    let truncated = |name, mut frame: Vec<u8>, len: u16| {
        frame.truncate(usize::from(len));
        fixture(name, Verdict::Truncated, frame, len.into())
    };
    vec![
        truncated("IPv4 without its last byte", ipv4(UDP, 0, 0, 60), 14 + 19),
        truncated("IPv4 without a header", ipv4(UDP, 0, 0, 60), 14),
        truncated("IPv6 without its last byte", ipv6(UDP, 0, 100), 14 + 39),
        // The kernel takes the tag out of the frame before the hook (skb_vlan_untag).
        fixture("802.1Q", Verdict::VlanTagged, tagged(ipv4(UDP, 0, 0, 60), 0x8100), 60),
        fixture("802.1ad", Verdict::VlanTagged, tagged(ipv4(UDP, 0, 0, 60), 0x88a8), 60),
        fixture(
            "QinQ",
            Verdict::VlanTagged,
            tagged(tagged(ipv4(UDP, 0, 0, 60), 0x8100), 0x88a8),
            64,
        ),
        fixture(
            "tag that Linux takes for none",
            Verdict::VlanTagged,
            tagged(ipv4(UDP, 0, 0, 60), 0x9100),
            64,
        ),
        fixture("known unicast", Verdict::Redirected, ipv4(TCP, 0, 0, 64), 64),
        fixture("jumbo", Verdict::Redirected, ipv4(UDP, 0, 0, 3500), 3500),
        // A packet socket puts what does not fit a page behind the Ethernet header
        // (packet_alloc_skb), where a program cannot read it.
        fixture(
            "jumbo with its IP header in pages",
            Verdict::Truncated,
            ipv4(UDP, 0, 0, 9014),
            9014,
        ),
    ]
}

#[test]
#[ignore = "needs root"]
fn each_frame_on_the_wire_gets_its_verdict_and_moves_its_counter_only() {
    let network = Network::new();
    for Fixture { name, frame, seen_bytes, verdict } in fixtures() {
        let mut tables = two_stations(network.red.port, network.blue.port);
        station(&mut tables, BLUE_MAC).mtu_bytes = MTU_BYTES;
        let mut program = Program::load(Kind::Tc, &tables);
        network.attach(&mut program, "red0");

        network.red.send(&frame);
        let counter = Counter { frames: 1, bytes: seen_bytes, segments: 1 };
        let wanted = Moved::from([((RED_SLOT, verdict), counter)]);
        assert_eq!(wait_for_counters(&program), wanted, "{name}");
        if verdict.is_fast() {
            // The port took it for somebody else's; the peer takes it for its own.
            assert_eq!(network.blue.receive(), Some((frame, PACKET_HOST)), "{name}");
        }
    }
}

/// The port is known by the device that the frame came from, whatever the frame says.
#[test]
#[ignore = "needs root"]
fn frame_with_the_address_of_another_port_goes_to_the_bridge() {
    let network = Network::new();
    let mut program = Program::load(Kind::Tc, &two_stations(network.red.port, network.blue.port));
    network.attach(&mut program, "blue0");
    network.blue.send(&ipv4(TCP, 0, 0, 64));

    let counter = Counter { frames: 1, bytes: 64, segments: 1 };
    let wanted = Moved::from([((PortSlot(2), Verdict::SourceMoved), counter)]);
    assert_eq!(wait_for_counters(&program), wanted);
}

fn wait_for_counters(program: &Program) -> Moved {
    let start = Instant::now();
    loop {
        let moved = program.moved();
        if !moved.is_empty() || start.elapsed() > PATIENCE {
            return moved;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Two peers, and their ports in a namespace without a bridge: what the program leaves to it is
/// dropped there.
struct Network {
    ports: File,
    red: Peer,
    blue: Peer,
}

/// A peer, seen from inside its namespace.
struct Peer {
    port: Ifindex,
    socket: OwnedFd,
    address: LinkAddr,
}

impl Network {
    fn new() -> Self {
        require_root();
        let ports = new_netns();
        let red = Peer::new(&ports, "red0", RED_MAC);
        let blue = Peer::new(&ports, "blue0", BLUE_MAC);
        Self { ports, red, blue }
    }

    /// Attaches the program to the ingress of `port`, for as long as it lives.
    fn attach(&self, program: &mut Program, port: &str) {
        let classifier = program.classifier();
        inside(&self.ports, || {
            // For kernels before 6.6, which have no tcx.
            let _ = qdisc_add_clsact(port);
            classifier.attach(port, TcAttachType::Ingress).expect("attach to the port");
        });
    }
}

impl Peer {
    fn new(ports: &File, port: &str, mac: Mac) -> Self {
        let netns = new_netns();
        let mut port_mac = mac;
        port_mac.0[5] |= 0x80;
        let pair = VethPair {
            port,
            port_mac,
            peer: "eth0",
            peer_mac: mac,
            peer_netns: netns.as_fd(),
            mtu_bytes: MTU_BYTES.into(),
        };
        let port = inside(ports, || {
            let mut netlink = Netlink::open().expect("open netlink");
            netlink.create_veth_pair(&pair).expect("make a veth pair");
            set_up(port)
        });
        let (socket, address) = inside(&netns, || {
            set_up("eth0");
            (packet_socket(), address_of("eth0"))
        });
        Self { port, socket, address }
    }

    fn send(&self, frame: &[u8]) {
        let flags = MsgFlags::empty();
        let sent = sendto(self.socket.as_raw_fd(), frame, &self.address, flags);
        assert_eq!(sent, Ok(frame.len()), "send {} bytes", frame.len());
    }

    /// The next frame that arrives, and for whom the kernel takes it (`sll_pkttype`).
    fn receive(&self) -> Option<(Vec<u8>, u8)> {
        let mut frame = vec![0; ETHERNET_BYTES + 65_536];
        let (received, from) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut frame).ok()?;
        frame.truncate(received);
        Some((frame, from?.as_ref().sll_pkttype))
    }
}

/// Sets `device` of this namespace up; returns its index.
fn set_up(device: &str) -> Ifindex {
    let mut netlink = Netlink::open().expect("open netlink");
    let link = netlink.link_by_name(device).expect("look for it").expect("is there");
    let up = LinkChange { up: Some(true), ..LinkChange::default() };
    netlink.change_link(link.ifindex, &up).expect("set it up");
    link.ifindex
}

/// A socket that sends frames as they are, and gets all that arrive.
fn packet_socket() -> OwnedFd {
    let all = SockProtocol::EthAll;
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, all)
        .expect("open a packet socket");
    let patience = TimeVal::new(PATIENCE.as_secs().cast_signed(), 0);
    setsockopt(&socket, sockopt::ReceiveTimeout, &patience).expect("set a timeout");
    socket
}

/// Where to send frames that are to leave by `device`.
fn address_of(device: &str) -> LinkAddr {
    getifaddrs()
        .expect("list devices")
        .filter(|it| it.interface_name == device)
        .filter_map(|it| it.address?.as_link_addr().copied())
        .find(|address| address.family() == Some(AddressFamily::Packet))
        .expect("the device is there")
}

/// A namespace without a name.
fn new_netns() -> File {
    on_own_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET)?;
        // Where there is no IPv6, there is nothing to switch off.
        match fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1") {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        File::open("/proc/thread-self/ns/net")
    })
    .expect("make a network namespace")
}

/// Runs `work` inside `netns`, on a thread that then ends.
fn inside<T: Send>(netns: &File, work: impl FnOnce() -> T + Send) -> T {
    on_own_thread(|| {
        setns(netns, CloneFlags::CLONE_NEWNET)?;
        Ok(work())
    })
    .expect("enter a network namespace")
}

fn on_own_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        scope.spawn(work).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
