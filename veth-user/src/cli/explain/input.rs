//! Frames as people have them: in hexadecimal, and in captures.

use std::{fs::File, io::Read as _, path::Path};

use anyhow::Result;
use pcap_file::{
    DataLink, PcapError,
    pcap::PcapReader,
    pcapng::{Block, PcapNgReader},
};
use veth_common::Mac;

use super::super::session::WrongArgument;

/// The longest that an `sk_buff` can be: no frame of a file may take more memory.
const LONGEST: usize = 14 + 65_536;

/// A pcapng file begins with this; a pcap file never does.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// The bytes of a frame, as an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(pub(super) Vec<u8>);

/// A frame in hexadecimal.
pub(in super::super) fn hex(text: &str) -> Result<Frame, String> {
    let digits: Vec<u32> = text
        .chars()
        .filter(|it| !it.is_whitespace() && *it != ':')
        .map(|it| it.to_digit(16).ok_or_else(|| format!("{it:?} is no hexadecimal digit")))
        .collect::<Result<_, _>>()?;
    if digits.is_empty() {
        return Err("there is no byte".into());
    }
    let (bytes, []) = digits.as_chunks::<2>() else {
        return Err("has half a byte: the number of digits is odd".into());
    };
    if bytes.len() > LONGEST {
        return Err(format!("a frame has at most {LONGEST} bytes"));
    }
    let byte =
        |[high, low]: &[u32; 2]| u8::try_from(high << 4 | low).expect("two digits are a byte");
    Ok(Frame(bytes.iter().map(byte).collect()))
}

/// A MAC address with its colons.
pub(in super::super) fn mac(text: &str) -> Result<Mac, String> {
    let byte = |part: &str| {
        let is_byte = part.len() == 2 && part.bytes().all(|it| it.is_ascii_hexdigit());
        u8::from_str_radix(part, 16).ok().filter(|_| is_byte)
    };
    let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .map(Mac)
        .ok_or_else(|| "must be a MAC address, as in 02:00:00:00:00:01".into())
}

/// The first `count` frames of the capture at `path`.
///
/// # Errors
///
/// When the file cannot be read, is no capture, or is not one of Ethernet.
pub(super) fn read_capture(path: &Path, count: usize) -> Result<Vec<Vec<u8>>> {
    let wrong = |what: String| WrongArgument(format!("--pcap {}: {what}", path.display()));
    let mut file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    let mut magic = [0; 4];
    file.read_exact(&mut magic).map_err(|_| wrong("is no capture".into()))?;
    let whole = (&magic[..]).chain(file);
    let read = if magic == PCAPNG { read_pcapng(whole, count) } else { read_pcap(whole, count) };
    let frames = read.map_err(|error| wrong(error.to_string()))?;
    if frames.is_empty() {
        return Err(wrong("has no frame".into()).into());
    }
    Ok(frames)
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
    #[error("has a frame that was cut: {captured} of its {original} bytes; capture with -s 0")]
    Cut { captured: usize, original: u32 },
}

fn read_pcap(file: impl std::io::Read, count: usize) -> Result<Vec<Vec<u8>>, CaptureError> {
    let mut reader = PcapReader::new(file)?;
    let link = reader.header().datalink;
    if link != DataLink::ETHERNET {
        return Err(CaptureError::NotEthernet(link));
    }
    let mut frames = Vec::new();
    while frames.len() < count
        && let Some(packet) = reader.next_packet()
    {
        let packet = packet?;
        frames.push(whole(&packet.data, packet.orig_len)?);
    }
    Ok(frames)
}

fn read_pcapng(file: impl std::io::Read, count: usize) -> Result<Vec<Vec<u8>>, CaptureError> {
    let mut reader = PcapNgReader::new(file)?;
    let mut links = Vec::new();
    let mut frames = Vec::new();
    while frames.len() < count
        && let Some(block) = reader.next_block()
    {
        let (data, length, interface) = match block? {
            Block::InterfaceDescription(interface) => {
                links.push(interface.linktype);
                continue;
            }
            // A new section has interfaces of its own.
            Block::SectionHeader(_) => {
                links.clear();
                continue;
            }
            Block::EnhancedPacket(it) => (it.data, it.original_len, it.interface_id),
            Block::SimplePacket(it) => (it.data, it.original_len, 0),
            _ => continue,
        };
        let link = usize::try_from(interface).ok().and_then(|at| links.get(at)).copied();
        if let Some(link) = link.filter(|it| *it != DataLink::ETHERNET) {
            return Err(CaptureError::NotEthernet(link));
        }
        frames.push(whole(&data, length)?);
    }
    Ok(frames)
}

/// A frame of which nothing is missing: a shorter one would have another verdict.
fn whole(data: &[u8], original: u32) -> Result<Vec<u8>, CaptureError> {
    if data.len() > LONGEST {
        return Err(CaptureError::TooLong(data.len()));
    }
    if usize::try_from(original).is_ok_and(|original| data.len() < original) {
        return Err(CaptureError::Cut { captured: data.len(), original });
    }
    Ok(data.to_vec())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn hexadecimal_is_read_with_and_without_separators() {
        let bytes = Frame(vec![0xff, 0x01, 0xab]);
        for text in ["ff01ab", "FF:01:AB", "ff 01\nab"] {
            assert_eq!(hex(text), Ok(bytes.clone()), "{text:?}");
        }
        for text in ["", " ", "f", "ff0", "0xff", "fg"] {
            assert!(hex(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn address_is_six_bytes() {
        assert_eq!(mac("02:00:00:00:AB:01"), Ok(Mac([2, 0, 0, 0, 0xab, 1])));
        for text in
            ["", "02:00:00:00:00", "02:00:00:00:00:01:02", "2:0:0:0:0:1", "+2:00:00:00:00:01"]
        {
            assert!(mac(text).is_err(), "{text:?}");
        }
    }

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

    fn read(name: &str, bytes: &[u8], count: usize) -> Result<Vec<Vec<u8>>, String> {
        let path = std::env::temp_dir().join(format!("veth-{name}-{}", std::process::id()));
        fs::write(&path, bytes).expect("the temporary directory is writable");
        let frames = read_capture(&path, count).map_err(|error| error.to_string());
        fs::remove_file(&path).expect("was just written");
        frames
    }

    #[test]
    fn captures_are_read_up_to_the_count() {
        let file = pcap(1, &[(&[1; 60], 60), (&[2; 20], 20)]);
        assert_eq!(read("two", &file, 10), Ok(vec![vec![1; 60], vec![2; 20]]));
        assert_eq!(read("one", &file, 1), Ok(vec![vec![1; 60]]));
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
        assert_eq!(read("ng", &pcapng(), 1), Ok(vec![vec![7; 16]]));
        let error = read("ng-wifi", &pcapng(), 2).expect_err("is of another kind");
        assert!(error.contains("not Ethernet"), "{error}");
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
            let error = read(name, &file, 10).expect_err(name);
            assert!(error.contains(why), "{name}: {error}");
        }
    }
}
