//! What the maps hold for one frame.

use std::collections::BTreeMap;

use veth_common::{FdbEntry, FdbFlags, Ifindex, Mac, MacKey, PortEntry};
use veth_ebpf::{header::Ethernet, tables::Tables};

/// The near table is used by the programs where a CPU reads in order.
const HAS_NEAR: bool = cfg!(target_arch = "x86_64");

/// Everything that the maps have for one frame: what the program would look up, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// The port that the frame arrives on.
    pub ingress: Ifindex,
    /// What the port table has for it.
    pub port: Option<PortEntry>,
    /// What is known of the sender and the receiver.
    pub stations: BTreeMap<Mac, Lookup>,
    /// Whether the devmap of XDP has no device for the receiver's port.
    pub lacks_device: bool,
    /// `CLOCK_MONOTONIC` in nanoseconds.
    pub now_ns: u64,
}

/// What the two tables have in the places of one station.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookup {
    /// In its place of the near table, possibly another station's.
    pub near: Option<FdbEntry>,
    /// In the FDB map.
    pub fdb: Option<FdbEntry>,
}

impl Lookup {
    /// The entry of the station at `key`, and which table it is found in.
    pub fn find(&self, key: MacKey) -> Option<(FdbEntry, &'static str)> {
        let is_whole = |it: &FdbEntry| it.version != 0 && it.version.is_multiple_of(2);
        let near = self.near.filter(|it| HAS_NEAR && it.key == key && is_whole(it));
        let near = near.map(|entry| (entry, "near table"));
        near.or(self.fdb.map(|entry| (entry, "FDB map")))
    }
}

impl Entries {
    /// The entry of a station that the decision uses, and where it is found: one whose key is another
    /// one's was recycled, and is a miss.
    pub(super) fn found(&self, key: MacKey) -> Option<(FdbEntry, &'static str)> {
        self.stations.get(&key.mac())?.find(key).filter(|(entry, _)| entry.key == key)
    }

    /// The entry of the receiver of a frame, where that is behind a port.
    pub(super) fn target_of(&self, ethernet: &Ethernet) -> Option<FdbEntry> {
        let (entry, _) = self.found(ethernet.destination)?;
        (!entry.flags.contains(FdbFlags::LOCAL)).then_some(entry)
    }
}

impl Tables for Entries {
    fn port(&self, ifindex: Ifindex) -> Option<PortEntry> {
        self.port.filter(|_| ifindex == self.ingress)
    }

    fn station(&self, key: MacKey) -> Option<FdbEntry> {
        self.stations.get(&key.mac())?.find(key).map(|(entry, _)| entry)
    }

    fn now_ns(&self) -> u64 {
        self.now_ns
    }
}
