//! Generic netlink: families of messages that the kernel numbers as they register.

use netlink_packet_core::{DecodeError, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable};
use netlink_sys::protocols::NETLINK_GENERIC;

use super::{
    NetlinkError,
    attributes::{Attributes, attribute},
    transport::Transport,
};

/// Length of `struct genlmsghdr`, in bytes.
const HEADER_BYTES: usize = 4;

/// `GENL_ID_CTRL`: the family that knows the others.
const CONTROLLER: u16 = 0x10;
/// `CTRL_CMD_GETFAMILY`.
const GET_FAMILY: u8 = 3;
/// `CTRL_ATTR_FAMILY_ID`.
const FAMILY_ID: u16 = 1;
/// `CTRL_ATTR_FAMILY_NAME`.
const FAMILY_NAME: u16 = 2;

/// A socket that talks to one family, bound for life to the network namespace in which it was
/// opened.
pub(super) struct Family {
    transport: Transport,
    id: u16,
}

impl Family {
    /// Opens a socket in the calling thread's network namespace, and asks for the family's number.
    pub(super) fn open(name: &'static str) -> Result<Self, NetlinkError> {
        let mut transport = Transport::open(NETLINK_GENERIC, "generic")?;
        let action = || format!("look up generic netlink family {name}");
        let request = GenericMessage {
            family: CONTROLLER,
            command: GET_FAMILY,
            attributes: Attributes::default().with_text(FAMILY_NAME, name),
        };
        let answer = match transport.get(request, action) {
            Err(error) if error.is_not_found() => {
                return Err(NetlinkError::NoFamily { family: name });
            }
            answer => answer?,
        };
        let id = attribute(answer.attributes.as_bytes(), FAMILY_ID);
        let id = id.and_then(|id| id.try_into().ok()).ok_or_else(|| NetlinkError::Malformed {
            action: action(),
            reason: "a family without a number".into(),
        })?;
        Ok(Self { transport, id: u16::from_ne_bytes(id) })
    }

    /// Sends one command and waits for the acknowledgement.
    pub(super) fn execute(
        &mut self,
        command: u8,
        attributes: Attributes,
        action: impl Fn() -> String,
    ) -> Result<(), NetlinkError> {
        let message = GenericMessage { family: self.id, command, attributes };
        self.transport.execute(message, 0, action)
    }

    /// Sends one command, and returns what the answer says.
    pub(super) fn get(
        &mut self,
        command: u8,
        attributes: Attributes,
        action: impl Fn() -> String,
    ) -> Result<Attributes, NetlinkError> {
        let message = GenericMessage { family: self.id, command, attributes };
        self.transport.get(message, action).map(|answer| answer.attributes)
    }

    /// The same for all objects of a kind, in one request.
    pub(super) fn dump(
        &mut self,
        command: u8,
        attributes: Attributes,
        action: impl Fn() -> String,
    ) -> Result<Vec<Attributes>, NetlinkError> {
        let message = GenericMessage { family: self.id, command, attributes };
        let answer = self.transport.dump(&message, action)?;
        Ok(answer.into_iter().map(|message| message.attributes).collect())
    }
}

/// A message of a generic netlink family.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GenericMessage {
    /// The number of the family.
    family: u16,
    /// What is to be done, in the family's numbers.
    command: u8,
    /// To and about what.
    attributes: Attributes,
}

impl NetlinkSerializable for GenericMessage {
    fn message_type(&self) -> u16 {
        self.family
    }

    fn buffer_len(&self) -> usize {
        HEADER_BYTES + self.attributes.as_bytes().len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        /// No family that this crate asks has another.
        const VERSION: u8 = 1;
        let (header, attributes) = buffer.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&[self.command, VERSION, 0, 0]);
        attributes.copy_from_slice(self.attributes.as_bytes());
    }
}

impl NetlinkDeserializable for GenericMessage {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Self::Error> {
        let Some((&[command, ..], attributes)) = payload.split_first_chunk::<HEADER_BYTES>() else {
            return Err(DecodeError::buffer_too_small(payload.len(), HEADER_BYTES));
        };
        Ok(Self { family: header.message_type, command, attributes: attributes.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_command_version_and_attributes() {
        let message = GenericMessage {
            family: 0x17,
            command: 11,
            attributes: Attributes::default().with_u32(1, 0x0102_0304),
        };
        let mut bytes = vec![0xff; message.buffer_len()];
        message.serialize(&mut bytes);
        assert_eq!(bytes[..HEADER_BYTES], [11, 1, 0, 0]);
        assert_eq!(&bytes[HEADER_BYTES..], message.attributes.as_bytes());

        let mut header = NetlinkHeader::default();
        header.message_type = 0x17;
        let read = GenericMessage::deserialize(&header, &bytes).expect("a whole message");
        assert_eq!(read, message);
        assert!(GenericMessage::deserialize(&header, &bytes[..3]).is_err());
    }

    #[test]
    fn family_that_the_kernel_does_not_have_is_unsupported() {
        let error = Family::open("veth-no-family").err().expect("no kernel has it");
        assert!(error.is_unsupported() && !error.is_not_found(), "{error}");
        assert!(error.to_string().contains("family veth-no-family: this kernel"), "{error}");
    }
}
