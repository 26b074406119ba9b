//! Routes of an end, as people write them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::address::{self, AddressFault};
use super::problem::quote;

/// A route through one end of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndRoute {
    /// First address of the destinations: nothing is set in it beyond the prefix.
    pub destination: IpAddr,
    /// Length of their prefix in bits; zero for whatever no other route is for.
    pub prefix_len: u8,
    /// The router behind the end; `None` where the destinations are on the pair themselves.
    pub gateway: Option<IpAddr>,
}

impl fmt::Display for EndRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { destination, prefix_len, gateway } = self;
        match (prefix_len, gateway) {
            (0, Some(gateway)) => write!(f, "default via {gateway}"),
            (_, Some(gateway)) => write!(f, "{destination}/{prefix_len} via {gateway}"),
            (_, None) => write!(f, "{destination}/{prefix_len} dev"),
        }
    }
}

/// A text that is not a route.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Words that are none of a route's.
    #[error(
        "{} is not a route; write \"PREFIX via GATEWAY\", \"default via GATEWAY\", or \"PREFIX dev\" \
         for what is on the pair itself",
        quote(.0)
    )]
    Syntax(String),
    /// The destination is none.
    #[error("{} {fault}", quote(text))]
    Destination {
        /// The text.
        text: String,
        /// What is wrong with it.
        fault: AddressFault,
    },
    /// More is set than the prefix.
    #[error(
        "{} has bits set beyond its prefix: the destination is \"{network}/{prefix_len}\"",
        quote(text)
    )]
    HostBits {
        /// The text.
        text: String,
        /// The destination that it is in.
        network: IpAddr,
        /// The length of its prefix.
        prefix_len: u8,
    },
    /// The gateway is no address.
    #[error("{} is not the address of a gateway", quote(.0))]
    Gateway(String),
    /// IPv4 by IPv6, or the other way round.
    #[error("{gateway} is not of the family of \"{destination}\"")]
    Families {
        /// The gateway.
        gateway: IpAddr,
        /// The destination.
        destination: String,
    },
}

impl FromStr for EndRoute {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["default", "via", gateway] => {
                let gateway = parse_gateway(gateway)?;
                let destination = match gateway {
                    IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                    IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
                };
                Ok(Self { destination, prefix_len: 0, gateway: Some(gateway) })
            }
            ["default", "dev"] => Err(RouteError::Syntax(text.to_owned())),
            [prefix, "via", gateway] => {
                let (destination, prefix_len) = parse_prefix(prefix)?;
                let gateway = parse_gateway(gateway)?;
                if gateway.is_ipv4() != destination.is_ipv4() {
                    let destination = prefix.to_owned();
                    return Err(RouteError::Families { gateway, destination });
                }
                Ok(Self { destination, prefix_len, gateway: Some(gateway) })
            }
            [prefix, "dev"] => {
                let (destination, prefix_len) = parse_prefix(prefix)?;
                Ok(Self { destination, prefix_len, gateway: None })
            }
            _ => Err(RouteError::Syntax(text.to_owned())),
        }
    }
}

fn parse_gateway(text: &str) -> Result<IpAddr, RouteError> {
    text.parse().map_err(|_| RouteError::Gateway(text.to_owned()))
}

/// The destination `text`: an address with the length of its prefix, or one of a host.
fn parse_prefix(text: &str) -> Result<(IpAddr, u8), RouteError> {
    let wrong = |fault| RouteError::Destination { text: text.to_owned(), fault };
    let (given, prefix_len) = match text.split_once('/') {
        // Addresses of interfaces have none of zero bits, destinations have.
        Some((address, "0")) => (address.parse().map_err(|it| wrong(AddressFault::Syntax(it)))?, 0),
        Some(_) => address::split(text).map_err(wrong)?,
        None => {
            let address = text.parse().map_err(|it| wrong(AddressFault::Syntax(it)))?;
            (address, address::max_prefix_len(address))
        }
    };
    let bits = address::bits(given) & !address::host_mask(given, prefix_len);
    let network = address::from_bits(given, bits);
    if network == given {
        Ok((network, prefix_len))
    } else {
        Err(RouteError::HostBits { text: text.to_owned(), network, prefix_len })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_and_printed() {
        for text in [
            "10.9.0.0/16 via 10.1.0.2",
            "10.9.0.0/16 dev",
            "10.1.0.2/32 dev",
            "default via 10.1.0.2",
            "default via fd00::1",
            "0.0.0.0/0 dev",
            "::/0 dev",
            "fd09::/16 via fd00::2",
        ] {
            assert_eq!(text.parse::<EndRoute>().expect("must be valid").to_string(), text);
        }
        for (text, same) in [
            ("  10.9.0.0/16   via 10.1.0.2 ", "10.9.0.0/16 via 10.1.0.2"),
            ("10.1.0.2 dev", "10.1.0.2/32 dev"),
            ("0.0.0.0/0 via 10.1.0.2", "default via 10.1.0.2"),
        ] {
            assert_eq!(text.parse::<EndRoute>().expect("must be valid").to_string(), same);
        }
    }

    #[test]
    fn what_is_no_route_is_refused() {
        for (text, why) in [
            ("", "is not a route"),
            ("default", "is not a route"),
            ("default dev", "is not a route"),
            ("10.9.0.0/16", "is not a route"),
            ("10.9.0.0/16 via", "is not a route"),
            ("10.9.0.0/16 dev veth0", "is not a route"),
            ("10.9.0.0/16 via 10.1.0.300", "is not the address of a gateway"),
            ("10.9.0.0/16 via fd00::1", "is not of the family of \"10.9.0.0/16\""),
            ("10.9.0.1/16 via 10.1.0.2", "the destination is \"10.9.0.0/16\""),
            ("10.0.0.0/0 via 10.1.0.2", "the destination is \"0.0.0.0/0\""),
            ("10.9.0.0/33 dev", "IPv4 has 1 to 32"),
            ("red dev", "invalid IP address syntax"),
        ] {
            let message = text.parse::<EndRoute>().expect_err("must be refused").to_string();
            assert!(message.contains(why), "{text}: {message}");
        }
    }
}
