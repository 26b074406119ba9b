//! Frames without system calls: the kernel makes them and sends them through a device.

use std::net::IpAddr;

use aya::{
    Ebpf,
    maps::{Array, MapData},
    programs::{TestRun as _, TestRunAttrs, TestRunOptions},
};
use veth_common::{Generate, Ifindex, Mac, SINK_PORT, TEMPLATE_BYTES, names};

use super::{load_alone, map_failed, program_failed, take_map, xdp};
use crate::datapath::DatapathError;

/// Frames between two looks at the receiving queue: as many as a poll takes, and a quarter of what
/// the ring of a veth holds.
const BATCH: u32 = 64;

const ETHERNET_LEN: usize = 14;
const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const UDP_LEN: usize = 8;
const FIRST_SOURCE_PORT: u16 = 0x4000;

/// What the generated frames look like: UDP to the port of the sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTemplate {
    /// Where they come from.
    pub source: Mac,
    /// Where they go to.
    pub destination: Mac,
    /// Addresses of both, of one family.
    pub addresses: (IpAddr, IpAddr),
    /// Their size in bytes, Ethernet header included: [`TEMPLATE_BYTES`] or more.
    pub frame_bytes: u32,
    /// Number of flows: source ports; rounded up to a power of two.
    pub flows: u32,
}

impl FrameTemplate {
    /// The headers, as the frame begins, and where in them the source port is.
    fn headers(&self) -> ([u8; TEMPLATE_BYTES], usize) {
        let mut bytes = [0; TEMPLATE_BYTES];
        bytes[..6].copy_from_slice(&self.destination.0);
        bytes[6..12].copy_from_slice(&self.source.0);
        let ip_bytes = u16::try_from(self.frame_bytes).unwrap_or(u16::MAX) - 14;
        let udp_at = match self.addresses {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                bytes[12..14].copy_from_slice(&[0x08, 0x00]);
                let ip = &mut bytes[ETHERNET_LEN..ETHERNET_LEN + IPV4_LEN];
                ip[0] = 0x45;
                ip[2..4].copy_from_slice(&ip_bytes.to_be_bytes());
                ip[8] = 64;
                ip[9] = 17;
                ip[12..16].copy_from_slice(&from.octets());
                ip[16..20].copy_from_slice(&to.octets());
                let sum = checksum(ip);
                ip[10..12].copy_from_slice(&sum.to_be_bytes());
                ETHERNET_LEN + IPV4_LEN
            }
            (from, to) => {
                bytes[12..14].copy_from_slice(&[0x86, 0xdd]);
                let ip = &mut bytes[ETHERNET_LEN..ETHERNET_LEN + IPV6_LEN];
                ip[0] = 0x60;
                ip[4..6].copy_from_slice(&(ip_bytes - 40).to_be_bytes());
                ip[6] = 17;
                ip[7] = 64;
                ip[8..24].copy_from_slice(&v6_octets(from));
                ip[24..40].copy_from_slice(&v6_octets(to));
                ETHERNET_LEN + IPV6_LEN
            }
        };
        // No checksum: what there is of it after the headers is never looked at, the sink drops
        // the frame before a socket would.
        let udp_bytes = self.frame_bytes as usize - udp_at;
        let udp_bytes = u16::try_from(udp_bytes).unwrap_or(u16::MAX);
        let udp = [FIRST_SOURCE_PORT, SINK_PORT, udp_bytes].map(u16::to_be_bytes).concat();
        bytes[udp_at..udp_at + udp.len()].copy_from_slice(&udp);
        (bytes, udp_at)
    }

    /// The first frame, whole.
    fn frame(&self) -> Vec<u8> {
        let mut frame = self.headers().0.to_vec();
        frame.resize(self.frame_bytes as usize, 0);
        frame
    }
}

const _: () = assert!(ETHERNET_LEN + IPV6_LEN + UDP_LEN <= TEMPLATE_BYTES);

fn v6_octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The checksum of an IPv4 header whose own checksum is zero.
fn checksum(header: &[u8]) -> u16 {
    let words =
        header.chunks_exact(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(u16::MAX)
}

/// The generator, loaded.
///
/// # Minimum kernel version
///
/// 5.18 (`BPF_F_TEST_XDP_LIVE_FRAMES`).
pub struct Generator {
    object: Ebpf,
    generate: Array<MapData, Generate>,
}

impl Generator {
    /// Loads the program.
    ///
    /// # Errors
    ///
    /// When the kernel refuses it (`CAP_BPF`).
    pub fn load() -> Result<Self, DatapathError> {
        let mut object = load_alone()?;
        let generate = take_map(&mut object, names::MAP_BENCH_GENERATE)?;
        let program = xdp(&mut object, names::BENCH_GENERATE)?;
        program.load().map_err(program_failed("load", names::BENCH_GENERATE))?;
        Ok(Self { object, generate })
    }

    /// Sends `frames` frames through `device`, which is in the calling thread's network namespace,
    /// and returns when they are sent. The receiving end must poll (NAPI: GRO, or an XDP program).
    ///
    /// # Errors
    ///
    /// When the kernel cannot run live frames, or a signal came.
    pub fn send(
        &mut self,
        device: Ifindex,
        template: &FrameTemplate,
        frames: u32,
    ) -> Result<(), DatapathError> {
        let (headers, source_port_at) = template.headers();
        let mut words = [0; TEMPLATE_BYTES / 8];
        for (word, bytes) in words.iter_mut().zip(headers.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into().expect("chunks of eight bytes"));
        }
        let flows = template.flows.clamp(1, 1 << 15).next_power_of_two();
        let generate = Generate {
            template: words,
            device,
            source_port_at: u16::try_from(source_port_at).expect("within the template"),
            flows: u16::try_from(flows).expect("at most 2^15"),
            first_port: FIRST_SOURCE_PORT,
            reserved: [0; 3],
        };
        self.generate
            .set(0, generate, 0)
            .map_err(map_failed("write", names::MAP_BENCH_GENERATE))?;
        let frame = template.frame();
        let options = TestRunOptions {
            data_in: Some(&frame),
            repeat: frames,
            attrs: TestRunAttrs::new().xdp_live_frames(BATCH),
            ..TestRunOptions::new()
        };
        xdp(&mut self.object, names::BENCH_GENERATE)?
            .test_run(options)
            .map(drop)
            .map_err(program_failed("run", names::BENCH_GENERATE))
    }
}

#[cfg(test)]
mod tests {
    use veth_common::{IPV4_SOURCE_PORT_AT, IPV6_SOURCE_PORT_AT};

    use super::*;

    fn template(addresses: (&str, &str), frame_bytes: u32) -> FrameTemplate {
        let address = |text: &str| text.parse().expect("an address");
        FrameTemplate {
            source: Mac([2, 0, 0, 0, 0, 1]),
            destination: Mac([2, 0, 0, 0, 0, 2]),
            addresses: (address(addresses.0), address(addresses.1)),
            frame_bytes,
            flows: 1,
        }
    }

    #[test]
    fn frames_are_sound_ipv4_to_the_sinks() {
        let template = template(("10.0.0.1", "10.0.0.2"), 100);
        let frame = template.frame();
        let packet = etherparse::PacketHeaders::from_ethernet_slice(&frame).expect("sound");
        let Some(etherparse::NetHeaders::Ipv4(ip, _)) = packet.net else { panic!("no IPv4") };
        assert_eq!((ip.source, ip.destination), ([10, 0, 0, 1], [10, 0, 0, 2]));
        assert_eq!(ip.header_checksum, ip.calc_header_checksum());
        assert_eq!(usize::from(ip.total_len), frame.len() - ETHERNET_LEN);
        let Some(etherparse::TransportHeader::Udp(udp)) = packet.transport else {
            panic!("no UDP")
        };
        assert_eq!((udp.destination_port, udp.length), (SINK_PORT, 66));
        assert_eq!(template.headers().1, IPV4_SOURCE_PORT_AT);
    }

    #[test]
    fn frames_are_sound_ipv6_to_the_sinks() {
        let template = template(("fd00::1", "fd00::2"), 64);
        let packet = template.frame();
        let packet = etherparse::PacketHeaders::from_ethernet_slice(&packet).expect("sound");
        let Some(etherparse::TransportHeader::Udp(udp)) = packet.transport else {
            panic!("no UDP")
        };
        assert_eq!((udp.source_port, udp.destination_port), (FIRST_SOURCE_PORT, SINK_PORT));
        assert_eq!(udp.length, 10);
        let (headers, at) = template.headers();
        assert_eq!(headers[at..at + 2], FIRST_SOURCE_PORT.to_be_bytes());
        assert_eq!(at, IPV6_SOURCE_PORT_AT);
    }
}
