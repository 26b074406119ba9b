//! The benchmark's frames: what its generator sends and its sinks count.

use crate::Ifindex;

/// Bytes of a frame that the generator writes anew each time: the headers of Ethernet, IPv6 and
/// UDP, or of IPv4. It is also the size of the smallest frame.
pub const TEMPLATE_BYTES: usize = 64;

/// UDP port that the frames are sent to, by which a sink knows them: that of the "discard" service.
pub const SINK_PORT: u16 = 9;

/// Where the UDP source port is in an IPv4 frame without options, in bytes.
pub const IPV4_SOURCE_PORT_AT: usize = 34;
/// Where it is in an IPv6 frame.
pub const IPV6_SOURCE_PORT_AT: usize = 54;

/// What the generator is to send.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generate {
    /// The beginning of each frame. What a frame passed on its way may have changed it (addresses,
    /// hop limit), and the kernel uses its memory again.
    pub template: [u64; TEMPLATE_BYTES / 8],
    /// The device that the frames leave through.
    pub device: Ifindex,
    /// Where in the template the UDP source port is, in bytes: [`IPV4_SOURCE_PORT_AT`] or
    /// [`IPV6_SOURCE_PORT_AT`].
    pub source_port_at: u16,
    /// Number of flows: source ports; a power of two.
    pub flows: u16,
    /// The source port of the first flow.
    pub first_port: u16,
    /// Zero. Keeps the value free of implicit padding.
    pub reserved: [u16; 3],
}

/// What arrived at a sink.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sunk {
    /// Frames of the generator.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that are none of the generator's, which were let through.
    pub others: u64,
}

const _: () = assert!(size_of::<Generate>() == TEMPLATE_BYTES + 16);
const _: () = assert!(size_of::<Sunk>() == 24);
