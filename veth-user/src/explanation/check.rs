//! The checks of the decision, in the order in which they are told, and what there is to say of each.

use std::time::Duration;

use serde::{Serialize, Serializer};
use veth_common::{FdbEntry, Ifindex, Lease, MacKey, Verdict, Vlan};
use veth_ebpf::{
    header::{ETHERNET_LEN, Ethernet},
    packet::{Bytes, Packet as _},
};

use super::Entries;

macro_rules! checks {
    ($($(#[$doc:meta])* $check:ident = $name:literal;)+) => {
        /// One thing that the decision asks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Check {
            $($(#[$doc])* $check,)+
        }

        impl Check {
            /// All of them, in their order.
            pub const ALL: [Self; [$(Self::$check),+].len()] = [$(Self::$check),+];

            /// Stable name, for JSON.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$check => $name,)+ }
            }
        }
    };
}

checks! {
    /// Does the port belong to the fabric, and may it take part? The program asks this last, because
    /// the sender's entry repeats it.
    Port = "port";
    /// Is there an Ethernet header?
    Ethernet = "ethernet";
    /// Is it without a VLAN tag?
    Tag = "tag";
    /// Is it for one station?
    Group = "group";
    /// Is the sender known?
    Source = "source";
    /// On this very port?
    SourcePort = "source_port";
    /// May it send?
    SourceFlag = "source_flag";
    /// Does somebody vouch for that?
    SourceLease = "source_lease";
    /// Is the receiver known?
    Destination = "destination";
    /// Is it a station, not the host?
    Local = "local";
    /// Behind another port?
    OtherPort = "other_port";
    /// Does somebody vouch for that?
    DestinationLease = "destination_lease";
    /// May frames be handed to it?
    Target = "target";
    /// Are untagged frames of both in one VLAN?
    Vlan = "vlan";
    /// May the two ports talk to each other?
    Isolation = "isolation";
    /// Is the IP header there?
    Header = "header";
    /// Does it agree with the `EtherType` and itself?
    Sound = "sound";
    /// Is it certain how large segments become?
    Segments = "segments";
    /// Does it fit?
    Size = "size";
    /// Does the devmap of XDP have the device?
    Device = "device";
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Check {
    /// The check that ends with `verdict`; none when the frame gets past all of them.
    pub(super) fn that_ends(verdict: Verdict, has_lost_device: bool) -> Option<Self> {
        Some(match verdict {
            Verdict::Redirected => return None,
            Verdict::PortUnknown | Verdict::PortIneligible => Self::Port,
            Verdict::Runt => Self::Ethernet,
            Verdict::Truncated => Self::Header,
            Verdict::Malformed => Self::Sound,
            Verdict::VlanTagged => Self::Tag,
            Verdict::Broadcast | Verdict::Multicast => Self::Group,
            Verdict::SourceInvalid | Verdict::SourceUnknown => Self::Source,
            Verdict::SourceMoved => Self::SourcePort,
            Verdict::SourceIneligible => Self::SourceFlag,
            Verdict::SourceExpired => Self::SourceLease,
            Verdict::DestinationUnknown => Self::Destination,
            Verdict::DestinationLocal => Self::Local,
            Verdict::SamePort => Self::OtherPort,
            Verdict::DestinationExpired => Self::DestinationLease,
            Verdict::DestinationIneligible if has_lost_device => Self::Device,
            Verdict::DestinationIneligible => Self::Target,
            Verdict::OtherVlan => Self::Vlan,
            Verdict::Isolated => Self::Isolation,
            Verdict::TooBig => Self::Size,
            Verdict::GsoUnknown => Self::Segments,
        })
    }
}

/// What the sentences are made of.
pub(super) struct Facts<'a> {
    pub(super) frame: &'a Bytes<'a>,
    pub(super) ethernet: Option<Ethernet>,
    pub(super) entries: &'a Entries,
    pub(super) name: &'a dyn Fn(Ifindex) -> String,
}

impl Facts<'_> {
    /// Whether a check that the frame gets past is worth a word.
    pub(super) fn is_made(&self, check: Check) -> bool {
        match check {
            Check::Segments => self.frame.gso_size_bytes > 0,
            // Others imply them.
            Check::SourceFlag | Check::Header | Check::Device => false,
            Check::Vlan => self.entry(self.source()).is_some_and(|it| it.vlan != Vlan::NONE),
            _ => true,
        }
    }

    /// What was found, when the frame `passed` or when it did not.
    pub(super) fn sentence(&self, check: Check, passed: bool) -> String {
        match check {
            Check::Port => self.port(passed),
            Check::Ethernet if passed => match &self.ethernet {
                Some(ethernet) => format!(
                    "the frame has {} bytes, from {} to {}, type 0x{:04x}",
                    self.frame.len_bytes,
                    ethernet.source.mac(),
                    ethernet.destination.mac(),
                    u16::from_be(ethernet.ether_type)
                ),
                None => "the frame has an Ethernet header".into(),
            },
            Check::Ethernet => format!(
                "the frame has {} bytes, which is less than an Ethernet header",
                self.frame.len_bytes
            ),
            Check::Tag if passed => "it carries no VLAN tag".into(),
            Check::Tag => "it carries a VLAN tag, and those are the bridge's business".into(),
            Check::Group if passed => "it is for one station".into(),
            Check::Group => {
                format!("it is for {}, so the bridge has to copy it", self.group())
            }
            Check::Source => self.lookup("the sender", self.source(), sender_is_missing),
            Check::Destination => self.lookup("the receiver", self.destination(), |_| {
                "the bridge floods frames to it, or knows it without a fast path".into()
            }),
            Check::SourcePort | Check::SourceFlag | Check::SourceLease => {
                self.of_source(check, passed)
            }
            Check::Local
            | Check::OtherPort
            | Check::DestinationLease
            | Check::Target
            | Check::Vlan
            | Check::Isolation
            | Check::Device => self.of_target(check, passed),
            Check::Header => "it ends before the IP header that its type announces".into(),
            Check::Sound if passed => "its IP header, if it has one, is sound".into(),
            Check::Sound => "its IP header contradicts its type, or its own length".into(),
            Check::Segments if passed => "its segments are plain TCP or UDP".into(),
            Check::Segments => {
                "it is a GSO frame whose segments are not plain TCP or UDP, so how large they \
                 become is not certain"
                    .into()
            }
            Check::Size => self.size(passed),
        }
    }

    fn port(&self, passed: bool) -> String {
        let name = (self.name)(self.entries.ingress);
        match self.entries.port {
            None if passed => {
                format!("port {name} is not asked about: the sender's entry stands for it")
            }
            None => format!("{name} is no port in the port map"),
            Some(port) if passed => {
                format!("port {name} may use the fast path (slot {})", port.slot.0)
            }
            Some(port) => format!("port {name} (slot {}) is left to the bridge", port.slot.0),
        }
    }

    fn group(&self) -> &'static str {
        let is_broadcast = self.ethernet.as_ref().is_some_and(|it| it.destination.is_broadcast());
        if is_broadcast { "everybody" } else { "a group" }
    }

    fn source(&self) -> Option<MacKey> {
        self.ethernet.as_ref().map(|it| it.source)
    }

    fn destination(&self) -> Option<MacKey> {
        self.ethernet.as_ref().map(|it| it.destination)
    }

    /// Which lookup hit, or missed; `missing` says what follows from a miss.
    fn lookup(&self, who: &str, key: Option<MacKey>, missing: impl Fn(MacKey) -> String) -> String {
        let Some(key) = key else { return format!("{who} is looked up") };
        let mac = key.mac();
        match self.entries.found(key) {
            Some((_, table)) => format!("{who} {mac} is found in the {table}"),
            None => format!("{who} {mac} is in no table: {}", missing(key)),
        }
    }

    fn entry(&self, key: Option<MacKey>) -> Option<FdbEntry> {
        self.entries.found(key?).map(|(entry, _)| entry)
    }

    fn of_source(&self, check: Check, passed: bool) -> String {
        let Some(entry) = self.entry(self.source()) else { return "the sender is known".into() };
        let port = (self.name)(entry.port);
        match check {
            Check::SourcePort if passed => format!("the sender is on this port, {port}"),
            Check::SourcePort => format!(
                "the sender is known on {port}, and the frame comes from {}: the bridge decides who \
                 is right",
                (self.name)(self.entries.ingress)
            ),
            Check::SourceLease => self.lease("the sender's", entry.lease),
            _ => "the sender may not use the fast path, although its port may".into(),
        }
    }

    fn of_target(&self, check: Check, passed: bool) -> String {
        let Some(entry) = self.entry(self.destination()) else {
            return "the receiver is known".into();
        };
        let port = (self.name)(entry.port);
        match check {
            Check::Local if passed => "the receiver is not this host".into(),
            Check::Local => {
                "the receiver is this host: the address is the bridge's own, or a port's".into()
            }
            Check::OtherPort if passed => format!("the receiver is on another port, {port}"),
            Check::OtherPort => format!("the receiver is on the same port, {port}"),
            Check::DestinationLease => self.lease("the receiver's", entry.lease),
            Check::Target if passed => format!("frames may be handed to the peer of {port}"),
            Check::Target => format!("frames may not be handed to the peer of {port}"),
            Check::Vlan => self.vlan(entry.vlan, passed),
            Check::Isolation if passed => "the two ports may talk to each other".into(),
            Check::Isolation => {
                let from = (self.name)(self.entries.ingress);
                format!("ports {from} and {port} are both isolated, so the bridge drops the frame")
            }
            _ => format!("the devmap has no device in slot {}, of port {port}", entry.slot.0),
        }
    }

    fn vlan(&self, theirs: Vlan, passed: bool) -> String {
        let ours = self.entry(self.source()).map_or(Vlan::NONE, |entry| entry.vlan);
        if passed {
            format!("both are in VLAN {}", theirs.0)
        } else {
            format!(
                "the receiver is in VLAN {} and the sender in VLAN {}, where the bridge looks for the \
                 address",
                theirs.0, ours.0
            )
        }
    }

    fn lease(&self, whose: &str, lease: Lease) -> String {
        let now_ns = self.entries.now_ns;
        if lease == Lease::FOREVER {
            format!("{whose} entry has no end: the bridge holds it for veth")
        } else if lease == Lease::EXPIRED {
            format!("{whose} lease was taken back: it was seen on another port")
        } else if lease.is_valid_at(now_ns) {
            format!("{whose} lease is valid for another {}", seconds(lease.0 - now_ns))
        } else {
            format!("{whose} lease ended {} ago, and nobody renewed it", seconds(now_ns - lease.0))
        }
    }

    fn size(&self, passed: bool) -> String {
        let mtu = self.entry(self.destination()).map_or(0, |entry| entry.mtu_bytes);
        let packet = if self.frame.gso_size_bytes > 0 {
            format!("each segment (payload {} bytes)", self.frame.gso_size_bytes)
        } else {
            let ethernet = u32::try_from(ETHERNET_LEN).unwrap_or(u32::MAX);
            format!("its packet of {} bytes", self.frame.len_bytes().saturating_sub(ethernet))
        };
        let verb = if passed { "fits" } else { "does not fit" };
        format!("{packet} {verb} the receiver's MTU of {mtu}")
    }
}

fn sender_is_missing(key: MacKey) -> String {
    if key.mac().is_station() {
        "the bridge has to learn where it is".into()
    } else {
        "no station may have that address, and the bridge drops the frame".into()
    }
}

fn seconds(ns: u64) -> String {
    format!("{:.1} s", Duration::from_nanos(ns).as_secs_f64())
}
