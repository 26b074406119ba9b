//! The file format that Wireshark, tcpdump and their kin read.
//!
//! Source: <https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html>. Blocks are made here
//! and written by somebody else; everything is little-endian.

use std::time::Duration;

use veth_common::Verdict;

/// `LINKTYPE_ETHERNET`.
const ETHERNET: u16 = 1;

/// Types of blocks.
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;

/// Options of any block.
const OPT_COMMENT: u16 = 1;
/// Options of a section.
const SHB_USERAPPL: u16 = 4;
/// Options of an interface.
const IF_NAME: u16 = 2;
const IF_DESCRIPTION: u16 = 3;
const IF_TSRESOL: u16 = 9;
/// Options of a packet.
const EPB_FLAGS: u16 = 2;
/// Options of statistics.
const ISB_IFRECV: u16 = 4;
const ISB_OSDROP: u16 = 7;
const ISB_USRDELIV: u16 = 8;

/// Times are in units of ten to the minus ninth of a second.
const NANOSECONDS: u8 = 9;
/// A packet that came in through its interface.
const INBOUND: u32 = 1;
/// What the comment of a packet begins with.
const VERDICT: &str = "verdict: ";
/// What stands in it before the size of segments.
const SEGMENTS: &str = " segments of ";
/// What the description of an interface begins with; the name of the fabric follows.
const PORT_OF: &str = "port of fabric ";
/// The longest text of an option; its length has 16 bits.
const TEXT_BYTES_MAX: usize = 1000;

/// An interface of the file.
#[derive(Clone, Copy, Debug)]
pub struct Interface<'a> {
    /// Its name.
    pub name: &'a str,
    /// What people should know of it.
    pub description: &'a str,
    /// How many bytes of each packet are there at most.
    pub snaplen_bytes: u32,
}

/// A packet of the file.
#[derive(Clone, Copy, Debug)]
pub struct PacketBlock<'a> {
    /// The number of its interface, in the order in which those were described.
    pub interface: u32,
    /// When, since 1970.
    pub time: Duration,
    /// Its length in bytes.
    pub len_bytes: u32,
    /// Its first bytes.
    pub bytes: &'a [u8],
    /// What became of it.
    pub verdict: Verdict,
    /// To whose peer it was handed.
    pub target: Option<&'a str>,
    /// How many segments it is going to be; zero for an ordinary frame.
    pub segments: u32,
    /// Payload of each segment in bytes; zero for an ordinary frame.
    pub segment_bytes: u32,
}

/// What the comment of a packet says, for whoever reads a file that was written here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comment {
    /// What became of it.
    pub verdict: Verdict,
    /// Payload of each segment in bytes; zero for an ordinary frame.
    pub segment_bytes: u32,
}

impl Comment {
    /// Reads a comment; `None` for one of somebody else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix(VERDICT)?;
        let (verdict, _) = text.split_once([' ', ',']).unwrap_or((text, ""));
        let segments = text.split_once(SEGMENTS).and_then(|(_, it)| it.strip_suffix(" bytes"));
        let segment_bytes = segments.map_or(Some(0), |bytes| bytes.parse().ok())?;
        Some(Self { verdict: Verdict::from_name(verdict)?, segment_bytes })
    }
}

/// What a capture has and has not.
#[derive(Clone, Copy, Debug, Default)]
pub struct FileStatistics {
    /// When they were taken, since 1970.
    pub time: Duration,
    /// Frames that the capture was about.
    pub received: u64,
    /// Frames that were lost for want of room.
    pub lost: u64,
    /// Frames in the file.
    pub written: u64,
}

/// The blocks of a file.
#[derive(Clone, Copy, Debug)]
pub struct Pcapng;

impl Pcapng {
    /// What a file begins with.
    pub fn section(application: &str) -> Vec<u8> {
        const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
        const LENGTH_UNKNOWN: u64 = u64::MAX;
        let mut block = Block::new(SECTION_HEADER);
        block.put(&BYTE_ORDER_MAGIC.to_le_bytes());
        // Version 1.0.
        block.put(&1_u16.to_le_bytes());
        block.put(&0_u16.to_le_bytes());
        block.put(&LENGTH_UNKNOWN.to_le_bytes());
        block.text(SHB_USERAPPL, application);
        block.finish()
    }

    /// An interface, before the first packet of it.
    pub fn interface(interface: Interface<'_>) -> Vec<u8> {
        let mut block = Block::new(INTERFACE_DESCRIPTION);
        block.put(&ETHERNET.to_le_bytes());
        block.put(&[0; 2]);
        block.put(&interface.snaplen_bytes.to_le_bytes());
        block.text(IF_NAME, interface.name);
        block.text(IF_DESCRIPTION, interface.description);
        block.option(IF_TSRESOL, &[NANOSECONDS]);
        block.finish()
    }

    /// What is said of the port of a fabric, whose peer is in `netns`.
    pub fn description(fabric: &str, netns: Option<&str>) -> String {
        let netns = netns.map(|netns| format!(", to netns {netns}"));
        format!("{PORT_OF}{fabric}{}", netns.unwrap_or_default())
    }

    /// The fabric whose port an interface of this description is.
    pub fn fabric_of(description: &str) -> Option<&str> {
        let text = description.strip_prefix(PORT_OF)?;
        Some(text.split_once(',').map_or(text, |(fabric, _)| fabric))
    }

    /// A packet.
    pub fn packet(packet: PacketBlock<'_>) -> Vec<u8> {
        let mut block = Block::new(ENHANCED_PACKET);
        block.put(&packet.interface.to_le_bytes());
        block.time(packet.time);
        block.put(&length(packet.bytes).to_le_bytes());
        block.put(&packet.len_bytes.to_le_bytes());
        block.padded(packet.bytes);
        block.text(OPT_COMMENT, &comment(&packet));
        block.option(EPB_FLAGS, &INBOUND.to_le_bytes());
        block.finish()
    }

    /// What is known at the end. The frames of all ports share one ring buffer, so nobody knows of
    /// which port a lost one was: these are the figures of all, told of the first.
    pub fn statistics(statistics: FileStatistics) -> Vec<u8> {
        let mut block = Block::new(INTERFACE_STATISTICS);
        block.put(&0_u32.to_le_bytes());
        block.time(statistics.time);
        block.text(OPT_COMMENT, "of all interfaces together");
        block.option(ISB_IFRECV, &statistics.received.to_le_bytes());
        block.option(ISB_OSDROP, &statistics.lost.to_le_bytes());
        block.option(ISB_USRDELIV, &statistics.written.to_le_bytes());
        block.finish()
    }
}

/// What is said of a packet.
fn comment(packet: &PacketBlock<'_>) -> String {
    let mut text = format!("{VERDICT}{}", packet.verdict.name());
    if let Some(target) = packet.target {
        text.push_str(&format!(" -> {target}"));
    }
    if packet.segment_bytes > 0 {
        text.push_str(&format!(", {}{SEGMENTS}{} bytes", packet.segments, packet.segment_bytes));
    }
    text
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("no frame has 4 GiB")
}

/// A block in the making: type, length, what is put in, length again.
struct Block {
    bytes: Vec<u8>,
    has_options: bool,
}

impl Block {
    fn new(kind: u32) -> Self {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend([0; 4]);
        Self { bytes, has_options: false }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Fills up to a multiple of four bytes.
    fn padded(&mut self, bytes: &[u8]) {
        self.put(bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    /// A time: the upper half first.
    fn time(&mut self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let [low, high] = [nanoseconds, nanoseconds >> 32].map(|half| half & 0xffff_ffff);
        self.put(&high.to_le_bytes()[..4]);
        self.put(&low.to_le_bytes()[..4]);
    }

    fn option(&mut self, code: u16, value: &[u8]) {
        self.has_options = true;
        let length = u16::try_from(value.len()).expect("texts are cut, and numbers are short");
        self.put(&code.to_le_bytes());
        self.put(&length.to_le_bytes());
        self.padded(value);
    }

    fn text(&mut self, code: u16, text: &str) {
        let end = text.floor_char_boundary(TEXT_BYTES_MAX);
        self.option(code, &text.as_bytes()[..end]);
    }

    fn finish(mut self) -> Vec<u8> {
        if self.has_options {
            // The end of the options.
            self.put(&[0; 4]);
        }
        let length = length(&self.bytes) + 4;
        self.put(&length.to_le_bytes());
        self.bytes[4..8].copy_from_slice(&length.to_le_bytes());
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
    }

    /// The options of a block, which begin at `at`.
    fn options(block: &[u8], mut at: usize) -> Vec<(u16, Vec<u8>)> {
        let mut options = Vec::new();
        loop {
            let (code, length) = (word(block, at) & 0xffff, word(block, at) >> 16);
            if code == 0 {
                assert_eq!((length, at + 8), (0, block.len()), "options end the block");
                return options;
            }
            let value = &block[at + 4..][..length as usize];
            options.push((u16::try_from(code).expect("16 bits"), value.to_vec()));
            at += 4 + value.len().next_multiple_of(4);
        }
    }

    fn assert_framed(block: &[u8], kind: u32) {
        assert_eq!(word(block, 0), kind);
        assert_eq!(word(block, 4) as usize, block.len());
        assert_eq!(word(block, block.len() - 4) as usize, block.len());
        assert_eq!(block.len() % 4, 0);
    }

    #[test]
    fn a_section_says_its_byte_order_and_who_wrote_it() {
        let block = Pcapng::section("veth 1");
        assert_framed(&block, SECTION_HEADER);
        assert_eq!(block[8..12], [0x4d, 0x3c, 0x2b, 0x1a]);
        assert_eq!(options(&block, 24), [(SHB_USERAPPL, b"veth 1".to_vec())]);
    }

    #[test]
    fn statistics_say_what_was_lost() {
        let statistics = FileStatistics { received: 9, lost: 2, written: 7, ..Default::default() };
        let block = Pcapng::statistics(statistics);
        assert_framed(&block, INTERFACE_STATISTICS);
        let lost = (ISB_OSDROP, 2_u64.to_le_bytes().to_vec());
        assert!(options(&block, 20).contains(&lost));
    }

    #[test]
    fn descriptions_name_the_fabric_and_comments_of_others_say_nothing() {
        for netns in [None, Some("red")] {
            let description = Pcapng::description("lab", netns);
            assert_eq!(Pcapng::fabric_of(&description), Some("lab"), "{description}");
        }
        assert_eq!(Pcapng::fabric_of("Ethernet of somebody"), None);
        for text in
            ["", "looks odd", "verdict: guilty", "verdict: redirected, 2 segments of x bytes"]
        {
            assert_eq!(Comment::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_put_into_a_packet_can_be_read_from_it(
            interface: u32,
            nanoseconds: u64,
            bytes in vec(any::<u8>(), 0..70),
            len_bytes: u32,
            verdict in select(&Verdict::ALL[..]),
            target in proptest::option::of("[a-z]{1,15}"),
            segments in 0..3_u32,
        ) {
            let segment_bytes = segments * 1448;
            let time = Duration::from_nanos(nanoseconds);
            let target = target.as_deref();
            let block = Pcapng::packet(PacketBlock {
                interface,
                time,
                len_bytes,
                bytes: &bytes,
                verdict,
                target,
                segments,
                segment_bytes,
            });
            assert_framed(&block, ENHANCED_PACKET);
            prop_assert_eq!(word(&block, 8), interface);
            let read = u64::from(word(&block, 12)) << 32 | u64::from(word(&block, 16));
            prop_assert_eq!(read, nanoseconds);
            prop_assert_eq!(word(&block, 20) as usize, bytes.len());
            prop_assert_eq!(word(&block, 24), len_bytes);
            prop_assert_eq!(&block[28..28 + bytes.len()], &bytes[..]);
            let options = options(&block, 28 + bytes.len().next_multiple_of(4));
            let mut comment = format!("verdict: {}", verdict.name());
            if let Some(target) = target {
                comment += &format!(" -> {target}");
            }
            if segments > 0 {
                comment += &format!(", {segments} segments of {segment_bytes} bytes");
            }
            prop_assert_eq!(Comment::parse(&comment), Some(Comment { verdict, segment_bytes }));
            let flags = INBOUND.to_le_bytes().to_vec();
            prop_assert_eq!(options, [(OPT_COMMENT, comment.into_bytes()), (EPB_FLAGS, flags)]);
        }

        #[test]
        fn any_text_makes_an_interface(name in ".{0,20}", description in ".{0,2000}") {
            let interface = Interface { name: &name, description: &description, snaplen_bytes: 96 };
            let block = Pcapng::interface(interface);
            assert_framed(&block, INTERFACE_DESCRIPTION);
            let options = options(&block, 16);
            prop_assert_eq!(&options[0], &(IF_NAME, name.into_bytes()));
            prop_assert!(description.as_bytes().starts_with(&options[1].1));
            prop_assert_eq!(&options[2], &(IF_TSRESOL, vec![NANOSECONDS]));
        }
    }
}
