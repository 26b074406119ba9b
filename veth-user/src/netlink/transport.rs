//! The transport: requests, answers, dumps and errors over one netlink socket, of whatever
//! protocol. What the messages say is left to the files of the verbs.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkBuffer, NetlinkDeserializable, NetlinkHeader,
    NetlinkMessage, NetlinkPayload, NetlinkSerializable, Parseable as _,
};
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;

use super::{NetlinkError, attributes::attributes_of};

/// How often a dump that the kernel interrupted (its objects changed meanwhile) is repeated
/// before the last answer is taken as it is.
const DUMP_ATTEMPTS: usize = 4;

/// Size of the buffer for answers, in bytes: the kernel fills up to 32 KiB of a dump at a time.
const RECEIVE_BYTES: usize = 64 * 1024;

/// What a protocol's requests and answers are made of.
pub(super) trait Message: NetlinkSerializable + NetlinkDeserializable + Clone {}

impl<M: NetlinkSerializable + NetlinkDeserializable + Clone> Message for M {}

/// A netlink socket, bound for life to the network namespace in which it was opened.
pub(super) struct Transport {
    socket: Socket,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Transport {
    /// Opens a socket of `protocol`, called `name`, in the calling thread's network namespace.
    pub(super) fn open(protocol: isize, name: &str) -> Result<Self, NetlinkError> {
        let open = || -> io::Result<Socket> {
            let mut socket = Socket::new(protocol)?;
            socket.bind_auto()?;
            socket.connect(&SocketAddr::new(0, 0))?;
            // Errors then carry the kernel's explanation, and not a copy of the request.
            socket.set_ext_ack(true)?;
            socket.set_cap_ack(true)?;
            // Dumps then honour filters (5.0); an older kernel sends more than was asked for.
            let _ = socket.set_netlink_get_strict_chk(true);
            Ok(socket)
        };
        let socket = open().map_err(|source| NetlinkError::Socket {
            action: format!("open a {name} netlink socket"),
            source,
        })?;
        Ok(Self { socket, sequence: 0, buffer: Vec::with_capacity(RECEIVE_BYTES) })
    }

    /// Sends one request and waits for the acknowledgement. `flags` are added to
    /// `NLM_F_REQUEST | NLM_F_ACK`.
    pub(super) fn execute<M: Message>(
        &mut self,
        message: M,
        flags: u16,
        action: impl Fn() -> String,
    ) -> Result<(), NetlinkError> {
        self.exchange(message, NLM_F_ACK | flags, &action).map(drop)
    }

    /// Asks for one object.
    pub(super) fn get<M: Message>(
        &mut self,
        message: M,
        action: impl Fn() -> String,
    ) -> Result<M, NetlinkError> {
        let answer = self.exchange(message, NLM_F_ACK, &action)?;
        answer.messages.into_iter().next().ok_or_else(|| NetlinkError::Malformed {
            action: action(),
            reason: "an acknowledgement without the object".into(),
        })
    }

    /// Asks for all objects of a kind. A dump that changes under the kernel's hands is repeated.
    pub(super) fn dump<M: Message>(
        &mut self,
        message: &M,
        action: impl Fn() -> String,
    ) -> Result<Vec<M>, NetlinkError> {
        let mut attempt = 1;
        loop {
            let answer = self.exchange(message.clone(), NLM_F_DUMP, &action)?;
            if !answer.interrupted || attempt == DUMP_ATTEMPTS {
                return Ok(answer.messages);
            }
            attempt += 1;
        }
    }

    fn exchange<M: Message>(
        &mut self,
        message: M,
        flags: u16,
        action: &dyn Fn() -> String,
    ) -> Result<Answer<M>, NetlinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);

        let socket_error = |source| NetlinkError::Socket { action: action(), source };
        self.socket.send(&bytes, 0).map_err(socket_error)?;

        let mut answer = Answer { messages: Vec::new(), interrupted: false };
        loop {
            self.buffer.clear();
            self.socket.recv(&mut self.buffer, 0).map_err(socket_error)?;
            if answer.take(&self.buffer, self.sequence, action)? {
                return Ok(answer);
            }
        }
    }
}

/// The kernel's answer to one request, as it comes in.
struct Answer<M> {
    messages: Vec<M>,
    interrupted: bool,
}

impl<M: Message> Answer<M> {
    /// Takes one datagram; true when it ends the answer.
    fn take(
        &mut self,
        mut datagram: &[u8],
        sequence: u32,
        action: &dyn Fn() -> String,
    ) -> Result<bool, NetlinkError> {
        /// `NLM_F_DUMP_INTR`, since 3.13.
        const DUMP_INTERRUPTED: u16 = 0x10;

        while !datagram.is_empty() {
            let malformed = |reason: String| NetlinkError::Malformed { action: action(), reason };
            let header = NetlinkBuffer::new_checked(datagram)
                .and_then(|buffer| NetlinkHeader::parse(&buffer))
                .map_err(|error| malformed(error.to_string()))?;
            let flags = header.flags;
            // Messages are padded to four bytes; the last one of a datagram need not be.
            let padded = (header.length as usize).next_multiple_of(4).min(datagram.len());
            let (bytes, rest) = datagram.split_at(padded);
            datagram = rest;
            // An object with an attribute that the parser takes for wrong is left out: a link
            // of some exotic kind must not hide all the others.
            let Ok(message) = NetlinkMessage::<M>::deserialize(bytes) else {
                continue;
            };
            if header.sequence_number != sequence {
                // What is left of an answer that was given up earlier.
                continue;
            }
            self.interrupted |= flags & DUMP_INTERRUPTED != 0;
            match message.payload {
                NetlinkPayload::InnerMessage(inner) => self.messages.push(inner),
                NetlinkPayload::Done(_) => return Ok(true),
                NetlinkPayload::Error(error) => match error.code {
                    None => return Ok(true),
                    Some(code) => {
                        return Err(NetlinkError::Refused {
                            action: action(),
                            errno: Errno::from_raw(code.get().saturating_abs()),
                            message: extended_ack(bytes, flags),
                        });
                    }
                },
                NetlinkPayload::Overrun(_) => {
                    return Err(malformed("the answer overran the socket".into()));
                }
                NetlinkPayload::Noop | _ => {}
            }
        }
        Ok(false)
    }
}

/// The explanation in an error message, `NLMSGERR_ATTR_MSG`.
///
/// After the header of the error message come the errno, the header of the request (its payload
/// is left out, as we ask for capped acks), and the attributes.
fn extended_ack(message: &[u8], flags: u16) -> Option<String> {
    const ACK_TLVS: u16 = 0x200;
    const HEADER_BYTES: usize = 16;
    const ATTRIBUTES_AT: usize = HEADER_BYTES + 4 + HEADER_BYTES;
    const MESSAGE_ATTRIBUTE: u16 = 1;
    if flags & ACK_TLVS == 0 {
        return None;
    }
    let attributes = message.get(ATTRIBUTES_AT..)?;
    let (_, text) = attributes_of(attributes).find(|(kind, _)| *kind == MESSAGE_ATTRIBUTE)?;
    let text = text.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanation_is_found_among_the_attributes() {
        let mut message = vec![0; 36];
        // A cookie that is not ours to read, then the message.
        message.extend_from_slice(&[6, 0, 3, 0, 9, 9, 0, 0]);
        message.extend_from_slice(&[10, 0, 1, 0]);
        message.extend_from_slice(b"hello\0\0\0");
        assert_eq!(extended_ack(&message, 0x200).as_deref(), Some("hello"));
        assert_eq!(extended_ack(&message, 0), None);
        assert_eq!(extended_ack(&message[..20], 0x200), None);
    }
}
