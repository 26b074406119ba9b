//! The verdict on a frame: what the datapath did with it, and why.

/// Declares [`Verdict`] and everything that must stay in step with it: numbers, names, help.
macro_rules! verdicts {
    ($($(#[doc = $doc:literal])+ $variant:ident = $number:literal, $name:literal, $help:literal;)+) => {
        /// What became of one frame, and why. Exactly one per frame.
        ///
        /// The numbers are part of the contract: they index the counters, and existing ones are
        /// never given another meaning within one [`ABI_VERSION`](crate::ABI_VERSION).
        #[must_use = "a frame whose verdict is not acted on is lost"]
        #[repr(u8)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Verdict {
            $($(#[doc = $doc])+ $variant = $number,)+
        }

        /// How many verdicts there are.
        pub const VERDICT_COUNT: usize = Verdict::ALL.len();

        impl Verdict {
            /// All verdicts, in the order of their numbers.
            pub const ALL: [Self; [$($number),+].len()] = [$(Self::$variant),+];

            /// Stable name, as `stats` and its JSON show it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One sentence for the person who reads the counter.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)+ }
            }
        }
    };
}

verdicts! {
    /// Handed to the peer of the target port. Delivery itself is the kernel's, unseen by us.
    Redirected = 0, "redirected",
        "Handed straight to the target's peer, past the bridge.";
    /// The device is not in the port map.
    PortUnknown = 1, "port_unknown",
        "Arrived on a device that is not (or no longer) a port of the fabric.";
    /// The port is left to the bridge.
    PortIneligible = 2, "port_ineligible",
        "Arrived on a port that is left to the bridge; `veth status` says why.";
    /// Shorter than an Ethernet header.
    Runt = 3, "runt",
        "Shorter than an Ethernet header.";
    /// The IP header is not all there, or not in the part of the frame that a program can read.
    Truncated = 4, "truncated",
        "Ends before the IP header that its EtherType announces.";
    /// The IP header contradicts the `EtherType` or itself.
    Malformed = 5, "malformed",
        "Carries an IP header that contradicts its EtherType or its own length.";
    /// Carries a VLAN tag, in the frame or beside it.
    VlanTagged = 6, "vlan_tagged",
        "Carries a VLAN tag; tagged frames are the bridge's business.";
    /// Destination is the broadcast address: ARP, DHCP.
    Broadcast = 7, "broadcast",
        "Sent to everybody (ARP, DHCP); the bridge floods it.";
    /// Destination is a group address: neighbour discovery, multicast, STP, LLDP.
    Multicast = 8, "multicast",
        "Sent to a group (IPv6 neighbour discovery, mDNS, STP); the bridge knows its members.";
    /// Source is zero or a group address.
    SourceInvalid = 9, "source_invalid",
        "Sent from an address that no station may have; the bridge drops it.";
    /// Source is not in the FDB.
    SourceUnknown = 10, "source_unknown",
        "Sent from an address that is not known yet; the bridge has to learn it.";
    /// Source is known on another port.
    SourceMoved = 11, "source_moved",
        "Sent from an address that is known on another port; the bridge decides who is right.";
    /// The source's lease is over.
    SourceExpired = 12, "source_expired",
        "Sent from an address whose lease is over: nobody renewed it, or it was seen elsewhere.";
    /// Destination is not in the FDB.
    DestinationUnknown = 13, "destination_unknown",
        "Sent to an address that is not known on any port; the bridge floods it.";
    /// Destination is the bridge itself or one of its ports.
    DestinationLocal = 14, "destination_local",
        "Sent to the bridge's own address: it is for this host.";
    /// Destination is behind the port that the frame came from.
    SamePort = 15, "same_port",
        "Sent to an address behind the very port it came from; the bridge drops or reflects it.";
    /// The destination's lease is over.
    DestinationExpired = 16, "destination_expired",
        "Sent to an address whose lease is over: nobody renewed it, or it was seen elsewhere.";
    /// Destination is known, but frames to it cannot be handed to a peer.
    DestinationIneligible = 17, "destination_ineligible",
        "Sent to a station that the fast path must not serve; `veth status` says why.";
    /// Both ports are isolated.
    Isolated = 18, "isolated",
        "Sent between two isolated ports; the bridge drops it.";
    /// Larger than the target's MTU.
    TooBig = 19, "too_big",
        "Larger than the target's MTU; the bridge drops it.";
    /// A GSO frame that is not plain TCP or UDP.
    GsoUnknown = 20, "gso_unknown",
        "A GSO frame whose segments are not plain TCP or UDP, so their size is not certain.";
    /// Destination is known in another VLAN than the source's.
    OtherVlan = 21, "other_vlan",
        "Sent to a station in another VLAN; the bridge looks for the address in the sender's own.";
    /// Source is known on this port, but frames from it must not take the fast path.
    SourceIneligible = 22, "source_ineligible",
        "Sent from a station that the fast path does not serve, as one behind a bridge or macvlan inside.";
}

impl Verdict {
    /// Whether the frame took the fast path.
    pub const fn is_fast(self) -> bool {
        matches!(self, Self::Redirected)
    }

    /// The verdict of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_positions_in_the_list() {
        for (index, verdict) in Verdict::ALL.into_iter().enumerate() {
            assert_eq!(verdict as usize, index);
        }
    }

    #[test]
    fn names_are_unique_and_lead_back() {
        for verdict in Verdict::ALL {
            assert_eq!(Verdict::from_name(verdict.name()), Some(verdict));
        }
        assert_eq!(Verdict::from_name("teleported"), None);
    }

    #[test]
    fn help_is_one_sentence() {
        for verdict in Verdict::ALL {
            let help = verdict.help();
            assert!(help.ends_with('.') && !help.contains('\n'), "{}", verdict.name());
        }
    }
}
