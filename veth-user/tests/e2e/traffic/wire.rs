//! Frames as they are: what a packet socket sends and sees on one device.

use std::{
    io::IoSlice,
    os::fd::{AsRawFd as _, OwnedFd},
    time::Instant,
};

use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    sched::{CpuSet, sched_getcpu, sched_setaffinity},
    sys::{
        socket::{
            AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, recvfrom, sendmsg,
            setsockopt, socket, sockopt,
        },
        time::TimeVal,
    },
    unistd::Pid,
};
use veth_common::Mac;

use crate::sandbox::{PATIENCE, Sandbox};

/// `PACKET_HOST` of `linux/if_packet.h`: a frame for the stack behind this device.
const HOST: u8 = 0;

/// `PACKET_OUTGOING`: a frame that this very device sends.
const OUTGOING: u8 = 4;

/// An `EtherType` for experiments: no stack answers it.
pub(crate) const EXPERIMENTAL: u16 = 0x88b5;

/// Room for all frames that come before somebody reads them.
const RECEIVE_BUFFER_BYTES: usize = 16 << 20;

/// What a packet socket has to say.
pub(crate) enum Received {
    /// A frame came in.
    Frame {
        /// Its length.
        length: usize,
        /// Whether the stack takes it; what is flooded or broadcast is not for this host alone.
        is_for_host: bool,
    },
    /// A frame of another device, or one that goes out.
    Other,
    /// There is none for a while.
    Nothing,
}

/// One device, seen from below all protocols.
pub(crate) struct Wire {
    socket: OwnedFd,
    device: LinkAddr,
}

impl Wire {
    /// The device inside the namespace `netns`.
    pub(crate) fn of(sandbox: &Sandbox, netns: &str) -> Self {
        sandbox.inside(netns, || Self::open("eth0"))
    }

    /// A device in the namespace of the calling thread.
    pub(crate) fn open(device: &str) -> Self {
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::EthAll,
        )
        .expect("root may open a packet socket");
        setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).expect("root may");
        let device = getifaddrs()
            .expect("devices can be listed")
            .filter(|it| it.interface_name == device)
            .find_map(|it| it.address?.as_link_addr().copied())
            .expect("the device is there");
        let wire = Self { socket, device };
        wire.set_patience(TimeVal::new(1, 0));
        wire
    }

    /// Sends a frame.
    #[track_caller]
    pub(crate) fn send(&self, frame: &[u8]) {
        assert_eq!(self.send_with(frame, MsgFlags::empty()), Ok(frame.len()));
    }

    /// Sends a frame, unless the device is down, gone, too small for it, or too busy.
    pub(crate) fn try_send(&self, frame: &[u8]) -> nix::Result<usize> {
        self.send_with(frame, MsgFlags::MSG_DONTWAIT)
    }

    fn send_with(&self, frame: &[u8], flags: MsgFlags) -> nix::Result<usize> {
        let parts = [IoSlice::new(frame)];
        sendmsg(self.socket.as_raw_fd(), &parts, &[], flags, Some(&self.device))
    }

    /// The frames that come in before `last` does. The test fails when that never comes.
    #[track_caller]
    pub(crate) fn receive_until(&self, last: &[u8]) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "waited in vain for a frame");
            match self.receive() {
                Some(frame) if frame == last => return frames,
                Some(frame) => frames.push(frame),
                None => {}
            }
        }
    }

    /// The next frame that comes in; `None` when there is none for a while.
    fn receive(&self) -> Option<Vec<u8>> {
        let mut frame = vec![0; 65_536];
        match self.receive_into(&mut frame) {
            Received::Frame { length, .. } => {
                frame.truncate(length);
                Some(frame)
            }
            Received::Other | Received::Nothing => None,
        }
    }

    /// The same, and whom the kernel takes the frame to be for.
    pub(crate) fn receive_into(&self, frame: &mut [u8]) -> Received {
        match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), frame) {
            Ok((length, Some(from)))
                if from.ifindex() == self.device.ifindex() && from.pkttype() != OUTGOING =>
            {
                Received::Frame { length, is_for_host: from.pkttype() == HOST }
            }
            // A machine that is frozen and thawed interrupts whoever waits with a timeout.
            Ok(_) | Err(Errno::EINTR) => Received::Other,
            Err(Errno::EAGAIN) => Received::Nothing,
            Err(errno) => panic!("receive from a packet socket: {errno}"),
        }
    }

    /// How long to wait for a frame before there is none.
    pub(crate) fn set_patience(&self, patience: TimeVal) {
        setsockopt(&self.socket, sockopt::ReceiveTimeout, &patience)
            .expect("a socket has a timeout");
    }
}

/// An Ethernet frame.
pub(crate) fn frame(to: Mac, from: Mac, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    [&to.0, &from.0, ether_type.to_be_bytes().as_slice(), payload].concat()
}

/// An IPv4 packet between addresses that nobody has, so that nobody answers.
pub(crate) fn ipv4_packet(length: usize) -> Vec<u8> {
    let total = u16::try_from(length).expect("an IPv4 packet").to_be_bytes();
    let mut packet =
        vec![0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, 253, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
    packet.resize(length, 0xa5);
    packet
}

/// The checksum of IP, UDP and TCP.
pub(crate) fn checksum(data: &[u8]) -> u16 {
    let words = data
        .chunks(2)
        .map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |byte| u32::from(*byte)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("is folded")
}

/// Keeps this thread, and those that it starts, on one CPU. Frames between namespaces wait in one
/// queue of the CPU that sends them, so they arrive in the order in which they were sent.
pub(crate) fn stay_on_one_cpu() {
    let mut one = CpuSet::new();
    one.set(sched_getcpu().expect("a thread runs somewhere")).expect("that CPU exists");
    sched_setaffinity(Pid::from_raw(0), &one).expect("a thread may stay where it is");
}
