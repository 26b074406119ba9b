//! The one door to the bytes of a frame.

/// A frame as the hook sees it: readable bytes and what the kernel knows beside them.
pub trait Packet {
    /// The value at `offset`, or `None` when it is not wholly inside the readable part.
    fn read<T: Plain>(&self, offset: usize) -> Option<T>;

    /// Length of the frame in bytes, Ethernet header included. May exceed the readable part.
    fn len_bytes(&self) -> u32;

    /// Payload of one segment in bytes when this is a GSO frame, otherwise zero.
    fn gso_size_bytes(&self) -> u32;

    /// Whether a VLAN tag travels beside the frame (hardware-accelerated tag).
    fn has_vlan_tag(&self) -> bool;
}

/// Types that any bytes make a valid value of, so that they can be read from a packet.
///
/// # Safety
///
/// Every bit pattern of `size_of::<Self>()` bytes must be a valid value.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($type:ty),+) => {$(
        // SAFETY: an unsigned integer, or an array or `repr(C)` struct of them: all bit patterns
        // are values.
        unsafe impl Plain for $type {}
    )+};
}
plain!(u8, u16, u64, [u8; 4]);

/// A frame in ordinary memory: what host tests decide on.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    /// The readable part.
    pub head: &'a [u8],
    /// See [`Packet::len_bytes`].
    pub len_bytes: u32,
    /// See [`Packet::gso_size_bytes`].
    pub gso_size_bytes: u32,
    /// See [`Packet::has_vlan_tag`].
    pub vlan_tag: bool,
}

impl<'a> Bytes<'a> {
    /// An ordinary frame, all of it readable.
    pub fn linear(frame: &'a [u8]) -> Self {
        let len_bytes = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        Self { head: frame, len_bytes, gso_size_bytes: 0, vlan_tag: false }
    }
}

impl Packet for Bytes<'_> {
    fn read<T: Plain>(&self, offset: usize) -> Option<T> {
        let bytes = self.head.get(offset..offset.checked_add(size_of::<T>())?)?;
        // SAFETY: `bytes` is `size_of::<T>()` bytes long, the read asks for no alignment, and
        // `T: Plain` takes any bit pattern.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }

    fn len_bytes(&self) -> u32 {
        self.len_bytes
    }

    fn gso_size_bytes(&self) -> u32 {
        self.gso_size_bytes
    }

    fn has_vlan_tag(&self) -> bool {
        self.vlan_tag
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_end_where_the_frame_ends() {
        let packet = Bytes::linear(&[1, 2, 3, 4]);
        assert_eq!(packet.read::<u8>(3), Some(4));
        assert_eq!(packet.read::<u16>(2), Some(u16::from_ne_bytes([3, 4])));
        assert_eq!(packet.read::<u16>(3), None);
        assert_eq!(packet.read::<u8>(usize::MAX), None);
    }
}
