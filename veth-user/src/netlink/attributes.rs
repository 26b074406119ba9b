//! Netlink attributes by hand, for messages that no packet crate knows.

use netlink_packet_core::{NLA_F_NESTED, NLA_TYPE_MASK};

/// Length of an attribute's head, in bytes: the length with the head, then the kind.
const HEAD_BYTES: usize = 4;

/// Attributes in the making.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    /// Adds one with a plain value.
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(HEAD_BYTES + value.len())
            .expect("a request of this crate is far shorter than 64 KiB");
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Adds one whose value is a number.
    pub(super) fn with_u32(self, kind: u16, value: u32) -> Self {
        self.with(kind, &value.to_ne_bytes())
    }

    /// Adds one whose value is a text, which the kernel wants terminated.
    pub(super) fn with_text(self, kind: u16, text: &str) -> Self {
        let mut value = text.as_bytes().to_vec();
        value.push(0);
        self.with(kind, &value)
    }

    /// Adds one that holds others.
    pub(super) fn with_nested(self, kind: u16, inner: &Self) -> Self {
        self.with(kind | NLA_F_NESTED, &inner.0)
    }

    /// As they go over the wire.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Attributes {
    /// Those that came over the wire.
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

/// Kinds and values of the attributes in `bytes`. One with an impossible length ends them.
pub(super) fn attributes_of(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (&[l0, l1, k0, k1], _) = rest.split_first_chunk::<HEAD_BYTES>()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        let value = rest.get(HEAD_BYTES..length)?;
        // The last one need not be padded.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((u16::from_ne_bytes([k0, k1]) & NLA_TYPE_MASK, value))
    })
}

/// The value of the first attribute of that kind.
pub(super) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes_of(bytes).find_map(|(theirs, value)| (theirs == kind).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_read_back() {
        let inner = Attributes::default().with_text(2, "ab");
        let outer = Attributes::default().with_u32(1, 7).with_nested(5, &inner).with(3, &[]);
        assert_eq!(outer.as_bytes().len(), 8 + 12 + 4);
        let read: Vec<_> = attributes_of(outer.as_bytes()).collect();
        let seven = 7u32.to_ne_bytes();
        assert_eq!(read, [(1, &seven[..]), (5, inner.as_bytes()), (3, &[][..])]);
        assert_eq!(attribute(inner.as_bytes(), 2), Some(&b"ab\0"[..]));
        assert_eq!(attribute(inner.as_bytes(), 9), None);
    }

    #[test]
    fn last_attribute_need_not_be_padded() {
        let whole = Attributes::default().with(1, &[9]);
        let cut = &whole.as_bytes()[..=HEAD_BYTES];
        assert_eq!(attributes_of(cut).collect::<Vec<_>>(), [(1, &[9][..])]);
    }

    #[test]
    fn attribute_with_an_impossible_length_ends_the_search() {
        for length in [0, 3, 9] {
            let mut bytes = Attributes::default().with(1, &[1, 2, 3, 4]).as_bytes().to_vec();
            bytes[0] = length;
            assert_eq!(attributes_of(&bytes).count(), 0, "length {length}");
        }
    }
}
