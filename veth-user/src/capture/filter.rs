//! Which captured frames are kept, by what their headers say. Port, peer, verdict and sampling are
//! not here: the program looks at those itself.

use std::net::IpAddr;

use veth_common::Mac;

use super::{Headers, Protocol};

/// What a frame must have; everything that is `None` is not asked for.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Source or destination.
    pub mac: Option<Mac>,
    /// Source or destination.
    pub host: Option<IpAddr>,
    /// The protocol.
    pub protocol: Option<Protocol>,
    /// Source or destination port of TCP, UDP or SCTP.
    pub port: Option<u16>,
    /// Source port.
    pub source_port: Option<u16>,
    /// Destination port.
    pub destination_port: Option<u16>,
}

impl Filter {
    /// Whether it asks for nothing.
    pub const fn is_empty(&self) -> bool {
        let Self { mac, host, protocol, port, source_port, destination_port } = self;
        let ports = port.is_some() || source_port.is_some() || destination_port.is_some();
        mac.is_none() && host.is_none() && protocol.is_none() && !ports
    }

    /// Whether a frame with these headers has all that is asked for.
    pub fn takes(&self, headers: &Headers) -> bool {
        let Self { mac, host, protocol, port, source_port, destination_port } = self;
        let [source, destination] = headers.ports.map_or([None, None], |it| it.map(Some));
        mac.is_none_or(|mac| headers.macs.is_some_and(|it| it.contains(&mac)))
            && host.is_none_or(|host| headers.addresses.is_some_and(|it| it.contains(&host)))
            && protocol.is_none_or(|protocol| headers.protocol == Some(protocol))
            && (port.is_none() || *port == source || *port == destination)
            && (source_port.is_none() || *source_port == source)
            && (destination_port.is_none() || *destination_port == destination)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::headers::tests::udp_frame, *};

    #[test]
    fn a_frame_is_kept_when_it_has_all_that_is_asked_for() {
        let headers = Headers::of(&udp_frame());
        let host = |text: &str| Some(text.parse().expect("is an address"));
        let all = Filter {
            mac: Some(Mac([2, 0, 0, 0, 0, 2])),
            host: host("10.77.0.1"),
            protocol: Some(Protocol::Ip(17)),
            port: Some(1024),
            source_port: Some(1024),
            destination_port: Some(53),
        };
        assert!(Filter::default().takes(&headers) && all.takes(&headers));
        assert!(!Filter { mac: Some(Mac([2, 0, 0, 0, 0, 3])), ..all.clone() }.takes(&headers));
        assert!(!Filter { host: host("10.77.0.3"), ..all.clone() }.takes(&headers));
        assert!(!Filter { protocol: Some(Protocol::Ip(6)), ..all.clone() }.takes(&headers));
        assert!(Filter { port: Some(53), ..all.clone() }.takes(&headers));
        assert!(!Filter { port: Some(54), ..all.clone() }.takes(&headers));
        assert!(!Filter { source_port: Some(53), ..all.clone() }.takes(&headers));
        assert!(!Filter { destination_port: Some(1024), ..all }.takes(&headers));
        let without_ports = Headers { ports: None, ..headers };
        assert!(!Filter { port: Some(53), ..Filter::default() }.takes(&without_ports));
        assert!(!Filter { host: host("10.77.0.1"), ..Filter::default() }.takes(&Headers::of(&[])));
    }
}
