//! One record of the ring buffer, as plain data.

use veth_common::{CaptureHead, Ifindex, PortSlot, Verdict};

/// A captured frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Captured {
    /// When the program saw it, by `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Of which capture it is.
    pub session: u32,
    /// The port that it arrived on.
    pub ingress: Ifindex,
    /// The port whose peer it was handed to.
    pub target: Option<Ifindex>,
    /// What became of it.
    pub verdict: Verdict,
    /// Its length in bytes, with the tag that was beside it.
    pub len_bytes: u32,
    /// Its first bytes, with that tag where it belongs.
    pub bytes: Vec<u8>,
    /// How many segments it is going to be; zero for an ordinary frame.
    pub gso_segments: u32,
    /// Payload of each of them in bytes; zero for an ordinary frame.
    pub gso_size_bytes: u32,
}

/// Bytes before a VLAN tag: both addresses.
const TAG_AT: usize = 12;
/// Length of a VLAN tag in bytes.
const TAG_BYTES: u32 = 4;

impl Captured {
    /// Reads a record. `None` when it is none that this release knows.
    pub fn parse(record: &[u8]) -> Option<Self> {
        let (head, bytes) = record.split_at_checked(size_of::<CaptureHead>())?;
        let mut fields = Fields(head);
        let head = CaptureHead {
            time_ns: fields.next().map(u64::from_ne_bytes)?,
            session: fields.next().map(u32::from_ne_bytes)?,
            ingress: fields.next().map(u32::from_ne_bytes).map(Ifindex)?,
            target: fields.next().map(u32::from_ne_bytes).map(Ifindex)?,
            len_bytes: fields.next().map(u32::from_ne_bytes)?,
            captured_bytes: fields.next().map(u32::from_ne_bytes)?,
            gso_size_bytes: fields.next().map(u32::from_ne_bytes)?,
            gso_segments: fields.next().map(u32::from_ne_bytes)?,
            slot: fields.next().map(u16::from_ne_bytes).map(PortSlot)?,
            verdict: fields.next().map(u16::from_ne_bytes)?,
            vlan_tci: fields.next().map(u16::from_ne_bytes)?,
            vlan_tpid: fields.next().map(u16::from_ne_bytes)?,
            reserved: 0,
        };
        let mut bytes = bytes.get(..usize::try_from(head.captured_bytes).ok()?)?.to_vec();
        let mut len_bytes = head.len_bytes;
        if head.vlan_tpid != 0 {
            let [a, b] = head.vlan_tpid.to_be_bytes();
            let [c, d] = head.vlan_tci.to_be_bytes();
            // Where it belongs is not there when only the beginning was captured.
            if bytes.len() >= TAG_AT {
                bytes.splice(TAG_AT..TAG_AT, [a, b, c, d]);
            }
            len_bytes = len_bytes.saturating_add(TAG_BYTES);
        }
        Some(Self {
            time_ns: head.time_ns,
            session: head.session,
            ingress: head.ingress,
            target: (head.target != Ifindex(0)).then_some(head.target),
            verdict: *Verdict::ALL.get(usize::from(head.verdict))?,
            len_bytes,
            bytes,
            gso_segments: if head.gso_size_bytes == 0 { 0 } else { head.gso_segments },
            gso_size_bytes: head.gso_size_bytes,
        })
    }
}

/// The fields of a record, one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn next<const BYTES: usize>(&mut self) -> Option<[u8; BYTES]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record as the program writes it: a redirected frame of 60 bytes, with `tpid` beside it.
    fn record(tpid: u16) -> Vec<u8> {
        let mut record = Vec::new();
        record.extend(7_u64.to_ne_bytes());
        for field in [1_u32, 5, 6, 60, 16, 0, 0] {
            record.extend(field.to_ne_bytes());
        }
        for field in [3, Verdict::Redirected as u16, 0x2064, tpid] {
            record.extend(field.to_ne_bytes());
        }
        record.extend([0; 4]);
        record.extend(0..128_u8);
        record
    }

    #[test]
    fn fields_are_where_the_program_puts_them() {
        let captured = Captured::parse(&record(0)).expect("is a record");
        let wanted = Captured {
            time_ns: 7,
            session: 1,
            ingress: Ifindex(5),
            target: Some(Ifindex(6)),
            verdict: Verdict::Redirected,
            len_bytes: 60,
            bytes: (0..16).collect(),
            gso_segments: 0,
            gso_size_bytes: 0,
        };
        assert_eq!(captured, wanted);
    }

    #[test]
    fn tag_beside_the_frame_is_put_where_it_belongs() {
        let captured = Captured::parse(&record(0x8100)).expect("is a record");
        assert_eq!(captured.bytes[12..16], [0x81, 0x00, 0x20, 0x64]);
        assert_eq!(captured.bytes[16..], [12, 13, 14, 15]);
        assert_eq!(captured.len_bytes, 64);
    }

    #[test]
    fn length_counts_a_tag_that_is_beyond_what_was_captured() {
        // The length of what was captured, which follows four other words after the time.
        const CAPTURED_AT: usize = 8 + 4 * 4;
        let mut record = record(0x8100);
        record[CAPTURED_AT..CAPTURED_AT + 4].copy_from_slice(&11_u32.to_ne_bytes());
        let captured = Captured::parse(&record).expect("is a record");
        assert_eq!((captured.bytes.len(), captured.len_bytes), (11, 64));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(captured) = Captured::parse(&bytes) {
                prop_assert!(captured.bytes.len() <= bytes.len());
            }
        }
    }
}
