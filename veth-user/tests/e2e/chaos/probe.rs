//! A frame that says who sent it, when, and to whom.

use std::time::Duration;

use veth_common::Mac;

use crate::traffic::wire::{EXPERIMENTAL, frame, ipv4_packet};

/// What no other frame has in that place.
const MAGIC: [u8; 8] = *b"vethprob";

/// Where the payload of a frame begins: after the Ethernet header, and after that of IPv4.
const ETHERNET: usize = 14;
const IPV4: usize = ETHERNET + 20;

const PAYLOAD: usize = MAGIC.len() + 20;

/// The size of most frames: no padding is needed on any network.
pub(super) const SMALL: usize = 80;

/// One that a smaller MTU does not let through.
pub(super) const BIG: usize = 1400;

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    /// Who sent it, by its place among the members.
    pub(super) from: u8,
    /// For whom it was meant when it was sent.
    pub(super) to: u8,
    /// What it is part of.
    pub(super) tag: u16,
    /// Which of its sender's frames it is.
    pub(super) number: u64,
    /// When it was sent, since the beginning.
    pub(super) sent: Duration,
}

impl Probe {
    /// The frame, every other one with an IPv4 header.
    pub(super) fn frame(&self, destination: Mac, source: Mac, length: usize) -> Vec<u8> {
        let sent_ns = u64::try_from(self.sent.as_nanos()).expect("a run is not that long");
        let payload = [
            &MAGIC,
            [self.from, self.to].as_slice(),
            &self.tag.to_be_bytes(),
            &self.number.to_be_bytes(),
            &sent_ns.to_be_bytes(),
        ]
        .concat();
        let (mut frame, at) = if self.number.is_multiple_of(2) {
            (frame(destination, source, 0x0800, &ipv4_packet(length - ETHERNET)), IPV4)
        } else {
            let filler = vec![0xa5; length - ETHERNET];
            (frame(destination, source, EXPERIMENTAL, &filler), ETHERNET)
        };
        frame[at..at + payload.len()].copy_from_slice(&payload);
        frame
    }

    /// What a frame says, if it is one of these.
    pub(super) fn of(frame: &[u8]) -> Option<Self> {
        [ETHERNET, IPV4].into_iter().find_map(|at| Self::read(frame.get(at..at + PAYLOAD)?))
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let (magic, rest) = payload.split_first_chunk()?;
        let ([from, to], rest) = rest.split_first_chunk()?;
        let (tag, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let sent_ns = rest.first_chunk()?;
        (*magic == MAGIC).then(|| Self {
            from: *from,
            to: *to,
            tag: u16::from_be_bytes(*tag),
            number: u64::from_be_bytes(*number),
            sent: Duration::from_nanos(u64::from_be_bytes(*sent_ns)),
        })
    }
}
