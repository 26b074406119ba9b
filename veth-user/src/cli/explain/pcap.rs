//! Frames of captures: of anybody's, and of `veth capture`, which say more.

use std::{
    fs::File,
    io::{self, ErrorKind, Read},
    path::Path,
};

use anyhow::Result;
use pcap_file::{
    DataLink, PcapError,
    pcap::PcapReader,
    pcapng::{
        Block, PcapNgReader,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{InterfaceDescriptionBlock, InterfaceDescriptionOption},
        },
    },
};

use super::{super::session::WrongArgument, LONGEST};
use crate::capture::{Comment, Pcapng};

/// A pcapng file begins with this; a pcap file never does.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// A frame of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CapturedFrame {
    /// Its bytes, of which nothing is missing.
    pub(super) bytes: Vec<u8>,
    /// The name of the interface that it was seen on, where the file says that.
    pub(super) interface: Option<String>,
    /// What `veth capture` noted of it.
    pub(super) comment: Option<Comment>,
}

/// What an interface of a file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Interface {
    /// What it is called.
    pub(super) name: Option<String>,
    /// The fabric whose port it is, in a file of `veth capture`.
    pub(super) fabric: Option<String>,
}

/// The frames that were read, and what is to be said of the others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) frames: Vec<CapturedFrame>,
    /// Names of the interfaces of the frames that were passed over.
    pub(super) passed_over: Vec<String>,
    /// Whether the file ends within a frame, as one that is still written may.
    pub(super) is_cut: bool,
}

/// The first `count` frames of the capture at `path`, or on stdin for `-`, that were seen on interfaces
/// that `is_wanted`. There may be none of those, when there are others.
///
/// # Errors
///
/// When the file cannot be read, is no capture, or is not one of Ethernet.
pub(super) fn read(
    path: &Path,
    count: usize,
    is_wanted: &dyn Fn(&Interface) -> bool,
) -> Result<Contents> {
    let wrong = |what: String| WrongArgument(format!("--pcap {}: {what}", path.display()));
    let mut file: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|error| wrong(error.to_string()))?)
    };
    let mut magic = [0; 4];
    file.read_exact(&mut magic).map_err(|_| wrong("is no capture".into()))?;
    let whole = (&magic[..]).chain(file);
    let mut reading = Reading { count, is_wanted, found: Contents::default() };
    let read = if magic == PCAPNG { reading.pcapng(whole) } else { reading.pcap(whole) };
    match read {
        Err(CaptureError::Format(PcapError::IoError(error)))
            if error.kind() == ErrorKind::UnexpectedEof && !reading.found.frames.is_empty() =>
        {
            reading.found.is_cut = true;
        }
        result => result.map_err(|error| wrong(error.to_string()))?,
    }
    let found = reading.found;
    if found.frames.is_empty() && found.passed_over.is_empty() {
        return Err(wrong("has no frame".into()).into());
    }
    Ok(found)
}

/// Why a capture is of no use.
#[derive(Debug, thiserror::Error)]
enum CaptureError {
    #[error("is no capture that can be read: {0}")]
    Format(#[from] PcapError),
    #[error("its frames are not Ethernet frames ({0:?})")]
    NotEthernet(DataLink),
    #[error("has a frame of {0} bytes")]
    TooLong(usize),
    #[error("has a frame that was cut: {captured} of its {original} bytes; capture all of it")]
    Cut { captured: usize, original: u32 },
}

struct Reading<'a> {
    count: usize,
    is_wanted: &'a dyn Fn(&Interface) -> bool,
    found: Contents,
}

impl Reading<'_> {
    const fn has_enough(&self) -> bool {
        self.found.frames.len() >= self.count
    }

    fn pcap(&mut self, file: impl Read) -> Result<(), CaptureError> {
        let mut reader = PcapReader::new(file)?;
        let link = reader.header().datalink;
        if link != DataLink::ETHERNET {
            return Err(CaptureError::NotEthernet(link));
        }
        while !self.has_enough()
            && let Some(packet) = reader.next_packet()
        {
            let packet = packet?;
            self.take(&packet.data, packet.orig_len, &Interface::default(), None)?;
        }
        Ok(())
    }

    fn pcapng(&mut self, file: impl Read) -> Result<(), CaptureError> {
        let mut reader = PcapNgReader::new(file)?;
        let mut interfaces = Vec::new();
        while !self.has_enough()
            && let Some(block) = reader.next_block()
        {
            let (data, length, number, comment) = match block? {
                Block::InterfaceDescription(interface) => {
                    interfaces.push((interface.linktype, described(&interface)));
                    continue;
                }
                // A new section has interfaces of its own.
                Block::SectionHeader(_) => {
                    interfaces.clear();
                    continue;
                }
                Block::EnhancedPacket(it) => {
                    let comment = commented(&it);
                    (it.data, it.original_len, it.interface_id, comment)
                }
                Block::SimplePacket(it) => (it.data, it.original_len, 0, None),
                _ => continue,
            };
            let interface = usize::try_from(number).ok().and_then(|at| interfaces.get(at));
            let unknown = || (DataLink::ETHERNET, Interface::default());
            let (link, interface) = interface.cloned().unwrap_or_else(unknown);
            if link != DataLink::ETHERNET {
                return Err(CaptureError::NotEthernet(link));
            }
            self.take(&data, length, &interface, comment)?;
        }
        Ok(())
    }

    /// Takes a frame of which nothing is missing: a shorter one would have another verdict.
    fn take(
        &mut self,
        data: &[u8],
        original: u32,
        interface: &Interface,
        comment: Option<Comment>,
    ) -> Result<(), CaptureError> {
        if !(self.is_wanted)(interface) {
            let name = interface.name.clone().unwrap_or_else(|| "no interface".into());
            if !self.found.passed_over.contains(&name) {
                self.found.passed_over.push(name);
            }
            return Ok(());
        }
        if data.len() > LONGEST {
            return Err(CaptureError::TooLong(data.len()));
        }
        if usize::try_from(original).is_ok_and(|original| data.len() < original) {
            return Err(CaptureError::Cut { captured: data.len(), original });
        }
        let interface = interface.name.clone();
        self.found.frames.push(CapturedFrame { bytes: data.to_vec(), interface, comment });
        Ok(())
    }
}

fn described(interface: &InterfaceDescriptionBlock<'_>) -> Interface {
    let mut described = Interface::default();
    for option in &interface.options {
        match option {
            InterfaceDescriptionOption::IfName(name) => {
                described.name = Some(name.clone().into_owned());
            }
            InterfaceDescriptionOption::IfDescription(text) => {
                described.fabric = Pcapng::fabric_of(text).map(str::to_owned);
            }
            _ => {}
        }
    }
    described
}

fn commented(packet: &EnhancedPacketBlock<'_>) -> Option<Comment> {
    packet.options.iter().find_map(|option| match option {
        EnhancedPacketOption::Comment(text) => Comment::parse(text),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use veth_common::Verdict;

    use super::*;
    use crate::capture::{Interface as Described, PacketBlock};

    /// A pcap file of Ethernet with these frames and the lengths that they had.
    fn pcap(link: u32, frames: &[(&[u8], u32)]) -> Vec<u8> {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, link] {
            file.extend(u32::to_le_bytes(word));
        }
        for (data, original) in frames {
            let captured = u32::try_from(data.len()).expect("is small");
            for word in [0, 0, captured, *original] {
                file.extend(u32::to_le_bytes(word));
            }
            file.extend(*data);
        }
        file
    }

    fn read_file(
        name: &str,
        bytes: &[u8],
        count: usize,
        is_wanted: &dyn Fn(&Interface) -> bool,
    ) -> Result<Contents, String> {
        let path = std::env::temp_dir().join(format!("veth-{name}-{}", std::process::id()));
        fs::write(&path, bytes).expect("the temporary directory is writable");
        let frames = read(&path, count, is_wanted).map_err(|error| error.to_string());
        fs::remove_file(&path).expect("was just written");
        frames
    }

    fn bytes_of(name: &str, file: &[u8], count: usize) -> Result<Vec<Vec<u8>>, String> {
        let found = read_file(name, file, count, &|_| true)?;
        Ok(found.frames.into_iter().map(|frame| frame.bytes).collect())
    }

    #[test]
    fn captures_are_read_up_to_the_count() {
        let file = pcap(1, &[(&[1; 60], 60), (&[2; 20], 20)]);
        assert_eq!(bytes_of("two", &file, 10), Ok(vec![vec![1; 60], vec![2; 20]]));
        assert_eq!(bytes_of("one", &file, 1), Ok(vec![vec![1; 60]]));
    }

    #[test]
    fn file_that_ends_within_a_frame_is_read_as_far_as_it_goes() {
        let file = pcap(1, &[(&[1; 60], 60), (&[2; 20], 20)]);
        let found = read_file("cut-pcap", &file[..file.len() - 1], 10, &|_| true);
        let found = found.expect("has a whole frame");
        assert_eq!((found.frames.len(), found.is_cut), (1, true));
        let file = own();
        let found = read_file("cut-pcapng", &file[..file.len() - 5], 10, &|_| true);
        let found = found.expect("has a whole frame");
        assert_eq!((found.frames.len(), found.is_cut), (1, true));
    }

    /// A pcapng file with an interface of Ethernet and one of something else, and a frame of each.
    fn pcapng() -> Vec<u8> {
        let block = |kind: u32, body: &[u8]| {
            let length = u32::try_from(body.len() + 12).expect("is small");
            let [kind, length] = [kind, length].map(u32::to_le_bytes);
            [&kind[..], &length, body, &length].concat()
        };
        let words =
            |words: &[u32]| words.iter().flat_map(|it| it.to_le_bytes()).collect::<Vec<u8>>();
        let packet = |interface| [words(&[interface, 0, 0, 16, 16]), vec![7; 16]].concat();
        [
            block(0x0a0d_0d0a, &words(&[0x1a2b_3c4d, 1, u32::MAX, u32::MAX])),
            block(1, &words(&[1, 0])),
            block(1, &words(&[105, 0])),
            block(6, &packet(0)),
            block(6, &packet(1)),
        ]
        .concat()
    }

    #[test]
    fn captures_of_the_newer_kind_are_read_by_interface() {
        assert_eq!(bytes_of("ng", &pcapng(), 1), Ok(vec![vec![7; 16]]));
        let error = bytes_of("ng-wifi", &pcapng(), 2).expect_err("is of another kind");
        assert!(error.contains("not Ethernet"), "{error}");
    }

    /// A file of `veth capture` with a GSO frame from red, and an ordinary one from blue.
    fn own() -> Vec<u8> {
        let interface = |name| {
            let description = Pcapng::description("lab", Some(name));
            Pcapng::interface(Described { name, description: &description, snaplen_bytes: 65_536 })
        };
        let packet = |interface, verdict, segments, segment_bytes| {
            Pcapng::packet(PacketBlock {
                interface,
                time: Duration::ZERO,
                len_bytes: 60,
                bytes: &[7; 60],
                verdict,
                target: None,
                segments,
                segment_bytes,
            })
        };
        let section = Pcapng::section("veth");
        [
            section,
            interface("red"),
            interface("blue"),
            packet(0, Verdict::Redirected, 3, 1448),
            packet(1, Verdict::Broadcast, 0, 0),
        ]
        .concat()
    }

    #[test]
    fn own_captures_say_where_a_frame_came_from_and_what_it_was() {
        let found = read_file("own", &own(), 10, &|it| it.fabric.as_deref() == Some("lab"));
        let found = found.expect("are frames").frames;
        let said = |frame: &CapturedFrame| (frame.interface.clone(), frame.comment);
        let comment = |verdict, segment_bytes| Some(Comment { verdict, segment_bytes });
        let wanted = [
            (Some("red".into()), comment(Verdict::Redirected, 1448)),
            (Some("blue".into()), comment(Verdict::Broadcast, 0)),
        ];
        assert_eq!(found.iter().map(said).collect::<Vec<_>>(), wanted);

        let blue = |it: &Interface| it.name.as_deref() == Some("blue");
        let found = read_file("own-blue", &own(), 1, &blue).expect("is a frame");
        assert_eq!((found.frames.len(), found.passed_over), (1, vec!["red".to_owned()]));
        let found = read_file("own-none", &own(), 1, &|_| false).expect("there are others");
        assert_eq!((found.frames.len(), found.passed_over.len()), (0, 2));
    }

    #[test]
    fn what_is_no_use_says_why() {
        for (name, file, why) in [
            ("empty", Vec::new(), "no capture"),
            ("text", b"some text, which is no capture".to_vec(), "no capture"),
            ("nothing", pcap(1, &[]), "no frame"),
            ("wifi", pcap(105, &[(&[1; 60], 60)]), "not Ethernet"),
            ("cut", pcap(1, &[(&[1; 60], 61)]), "60 of its 61"),
        ] {
            let error = bytes_of(name, &file, 10).expect_err(name);
            assert!(error.contains(why), "{name}: {error}");
        }
    }
}
