//! Netfilter netlink: subsystems of netfilter, each of which answers about one address family.

use netlink_packet_core::{DecodeError, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};
use netlink_sys::protocols::NETLINK_NETFILTER;

use super::{NetlinkError, attributes::Attributes, transport::Transport};

/// Length of `struct nfgenmsg`, in bytes.
const HEADER_BYTES: usize = 4;

/// A socket to netfilter, bound for life to the network namespace in which it was opened.
///
/// A question loads the module that answers it, on kernels that load modules by themselves. Such a
/// module hooks into nothing before somebody gives it rules.
pub struct Netfilter {
    transport: Transport,
}

impl Netfilter {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a netlink socket. One that was built without netfilter's is
    /// [unsupported](NetlinkError::is_unsupported).
    pub fn open() -> Result<Self, NetlinkError> {
        Ok(Self { transport: Transport::open(NETLINK_NETFILTER, "netfilter")? })
    }

    /// Asks for all objects of a kind; `None` when this kernel does not know the question.
    pub(super) fn dump(
        &mut self,
        question: &NetfilterMessage,
        action: impl Fn() -> String,
    ) -> Result<Option<Vec<NetfilterMessage>>, NetlinkError> {
        match self.transport.dump(question, action) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.is_unsupported() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Netfilter {
    /// Asks for one object; `None` when this kernel does not know the question.
    pub(super) fn get(
        &mut self,
        question: NetfilterMessage,
        action: impl Fn() -> String,
    ) -> Result<Option<NetfilterMessage>, NetlinkError> {
        match self.transport.get(question, action) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.is_unsupported() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// A message from or to a subsystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NetfilterMessage {
    /// The number of the subsystem.
    pub(super) subsystem: u8,
    /// What is to be done, in the subsystem's numbers.
    pub(super) command: u8,
    /// The address family, in netfilter's numbers.
    pub(super) family: u8,
    /// To and about what.
    pub(super) attributes: Attributes,
}

impl NetlinkSerializable for NetfilterMessage {
    fn message_type(&self) -> u16 {
        u16::from_be_bytes([self.subsystem, self.command])
    }

    fn buffer_len(&self) -> usize {
        HEADER_BYTES + self.attributes.as_bytes().len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        /// `NFNETLINK_V0`: there is no other.
        const VERSION: u8 = 0;
        let (header, attributes) = buffer.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&[self.family, VERSION, 0, 0]);
        attributes.copy_from_slice(self.attributes.as_bytes());
    }
}

impl NetlinkDeserializable for NetfilterMessage {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        let Some((&[family, ..], attributes)) = payload.split_first_chunk::<HEADER_BYTES>() else {
            return Err(DecodeError::buffer_too_small(payload.len(), HEADER_BYTES));
        };
        let [subsystem, command] = header.message_type.to_be_bytes();
        Ok(Self { subsystem, command, family, attributes: attributes.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_family_version_and_attributes() {
        let message = NetfilterMessage {
            subsystem: 10,
            command: 4,
            family: 7,
            attributes: Attributes::default().with_u32(1, 0x0102_0304),
        };
        assert_eq!(message.message_type(), 0x0a04);
        let mut bytes = vec![0xff; message.buffer_len()];
        message.serialize(&mut bytes);
        assert_eq!(bytes[..HEADER_BYTES], [7, 0, 0, 0]);
        assert_eq!(&bytes[HEADER_BYTES..], message.attributes.as_bytes());

        let mut header = NetlinkHeader::default();
        header.message_type = 0x0a04;
        let read = NetfilterMessage::deserialize(&header, &bytes).expect("a whole message");
        assert_eq!(read, message);
        assert!(NetfilterMessage::deserialize(&header, &bytes[..3]).is_err());
    }
}
