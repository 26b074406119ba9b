//! What can be wrong: a stable name for each cause.

use serde::{Serialize, Serializer};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Traffic does not get through.
    Error,
    /// Some traffic does not get through, or not as fast as it could.
    Warning,
    /// Good to know; nothing need be wrong.
    Note,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $code:ident = $name:literal, $severity:ident;)+) => {
        /// The cause of a finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $code,)+
        }

        impl Code {
            /// All of them, in the order in which findings are told.
            pub const ALL: &[Self] = &[$(Self::$code,)+];

            /// Stable name, for JSON and documents.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$code => $name,)+
                }
            }

            /// How bad it is.
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$code => Severity::$severity,)+
                }
            }
        }
    };
}

// What explains other findings comes before them.
codes! {
    /// An end of a pair is down.
    EndDown = "end_down", Error;
    /// A bridge with ports is down.
    BridgeDown = "bridge_down", Error;
    /// A port that could forward does not.
    PortNotForwarding = "port_not_forwarding", Error;
    /// Several ports of a bridge may not talk to each other.
    PortsIsolated = "ports_isolated", Warning;
    /// A port lets only known stations send.
    PortLocked = "port_locked", Warning;
    /// The host side of a pair leads nowhere: no bridge, no address, no route.
    HostSideAlone = "host_side_alone", Warning;
    /// Both ends are in one namespace, and only one has an address.
    OneEndAddressed = "one_end_addressed", Warning;
    /// `lo` is down where a packet has to take it.
    LoDown = "lo_down", Error;
    /// A packet from an address of the own namespace is not accepted.
    AcceptLocal = "accept_local", Error;
    /// A packet is not accepted, because the way back is another one.
    RpFilter = "rp_filter", Error;
    /// A setting keeps a device from answering ARP.
    ArpSilenced = "arp_silenced", Error;
    /// Two have one IP address.
    DuplicateAddress = "duplicate_address", Error;
    /// Two have one MAC address.
    DuplicateMac = "duplicate_mac", Error;
    /// Duplicate address detection has failed.
    DadFailed = "dad_failed", Error;
    /// One subnet is on two devices, and the wrong one is taken.
    OverlappingSubnets = "overlapping_subnets", Error;
    /// A route leads to another device.
    RouteElsewhere = "route_elsewhere", Error;
    /// A route says that the destination is not to be reached.
    RouteRefuses = "route_refuses", Error;
    /// There is no route.
    NoRoute = "no_route", Error;
    /// Nobody has the address.
    AddressUnknown = "address_unknown", Error;
    /// Nobody has the gateway's address.
    GatewayMissing = "gateway_missing", Error;
    /// The gateway does not forward.
    ForwardingOff = "forwarding_off", Error;
    /// Packets leave with an address that nobody outside can answer to.
    NatMissing = "nat_missing", Warning;
    /// Ends that belong together have different MTUs.
    MtuMismatch = "mtu_mismatch", Warning;
    /// Part of a fabric is missing.
    FabricIncomplete = "fabric_incomplete", Error;
    /// The datapath's program is not attached to a port that it could serve.
    NotAttached = "not_attached", Warning;
    /// Nobody vouches for what the fast path may use.
    NotKept = "not_kept", Warning;
    /// The fast path must not serve a port.
    NotAccelerated = "not_accelerated", Warning;
    /// Nothing accelerates a bridge.
    NoFastPath = "no_fast_path", Note;
    /// A packet filter drops what no rule lets through.
    Filtered = "filtered", Note;
    /// An address is not in use yet.
    AddressTentative = "address_tentative", Note;
    /// A neighbour does not answer.
    NeighbourSilent = "neighbour_silent", Note;
    /// A namespace could not be looked into.
    Unseen = "unseen", Note;
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The table for people.
    const DOCUMENT: &str = include_str!("../../../docs/doctor.md");

    #[test]
    fn document_has_every_code_once_and_no_other() {
        let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
        let told: Vec<&str> = rows.map(|(name, _)| name).collect();
        let codes = told.iter().take_while(|name| !name.starts_with("vlan_filtering"));
        let codes: Vec<&str> = codes.copied().collect();
        let known: Vec<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(codes, known);
    }

    #[test]
    fn document_says_how_bad_each_is() {
        for code in Code::ALL {
            let severity = serde_json::to_value(code.severity()).expect("a name");
            let row = format!("| `{}` | {} |", code.name(), severity.as_str().expect("a text"));
            assert!(DOCUMENT.contains(&row), "{row}");
        }
    }

    #[test]
    fn names_are_one_for_each() {
        let names: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
