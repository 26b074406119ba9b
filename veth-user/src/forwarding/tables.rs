//! The contents of the datapath's maps.

use std::collections::{BTreeMap, btree_map::Entry};

use veth_common::{
    FdbEntry, FdbFlags, Ifindex, Lease, Mac, MacKey, PortEntry, PortFlags, PortSlot, Vlan,
};

use super::{FastPath, eligibility};
use crate::view::{BridgeFdbEntry, BridgeView, FdbKind, PortView};

/// What the maps of a fabric should hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// The port map.
    pub ports: BTreeMap<Ifindex, PortEntry>,
    /// The FDB map.
    pub fdb: BTreeMap<Mac, FdbEntry>,
    /// Stations that the bridge must not move: the peers of eligible ports of a managed fabric.
    pub stations: BTreeMap<Mac, Ifindex>,
    /// How many stations that would not be served anyway are not in the FDB map, to save its room.
    pub left_out: usize,
}

impl Tables {
    /// The tables for a managed fabric: each peer's own address on its port, without an end to
    /// the lease, because the bridge is told never to move them.
    ///
    /// `held` are the stations that the bridge holds for us already, `path` is what forwards.
    pub fn of(view: &BridgeView, held: &BTreeMap<Mac, Ifindex>, path: FastPath) -> Self {
        let mut tables = Self::default();
        let mut claims = Claims::default();
        for port in &view.ports {
            let eligible = eligibility(view, port, path).is_ok();
            tables.ports.extend(port_entry(port, eligible));
            if let Some(entry) = peer_entry(port, eligible, Vlan::NONE, Lease::FOREVER) {
                claims.add(entry);
            }
        }
        for entry in view.fdb.iter().filter(|entry| is_set_by_hand(entry, held)) {
            claims.contest(entry);
        }
        for (mac, entry) in claims.resolve() {
            if entry.flags.contains(FdbFlags::TARGET) {
                tables.stations.insert(mac, entry.port);
            }
            tables.fdb.insert(mac, entry);
        }
        // Last, so that a peer that claims an address of the host does not get it.
        for mac in local_addresses(view) {
            tables.fdb.insert(mac, local_entry(mac, view.bridge.ifindex));
            tables.stations.remove(&mac);
        }
        tables
    }
}

/// Entries by address while it is not yet certain that each address has one owner.
#[derive(Default)]
pub(super) struct Claims(BTreeMap<Mac, Option<FdbEntry>>);

impl Claims {
    pub(super) fn add(&mut self, entry: FdbEntry) {
        match self.0.entry(entry.key.mac()) {
            Entry::Vacant(free) => {
                free.insert(Some(entry));
            }
            // Two ports claim one address: who has it is the bridge's to say, frame by frame.
            Entry::Occupied(mut taken) => {
                taken.insert(None);
            }
        }
    }

    /// Somebody told the bridge that an address is on some port. Where that is another one than
    /// the peer's, the bridge is right.
    fn contest(&mut self, theirs: &BridgeFdbEntry) {
        if let Some(claim) = self.0.get_mut(&theirs.mac)
            && claim.is_some_and(|entry| entry.port != theirs.port)
        {
            *claim = None;
        }
    }

    /// The entry of each address that has one owner.
    pub(super) fn resolve(self) -> impl Iterator<Item = (Mac, FdbEntry)> {
        self.0.into_iter().filter_map(|(mac, entry)| Some((mac, entry?)))
    }
}

/// Whether somebody else made this entry for good. Of those for a VLAN, the kernel makes one for each
/// VLAN of the port whenever it is told of none, and nobody is served while they count.
fn is_set_by_hand(entry: &BridgeFdbEntry, held: &BTreeMap<Mac, Ifindex>) -> bool {
    match entry.kind {
        _ if entry.vlan != Vlan::NONE => false,
        FdbKind::Static => true,
        FdbKind::Sticky => held.get(&entry.mac) != Some(&entry.port),
        FdbKind::Local | FdbKind::Learned => false,
    }
}

/// The entry for a port, unless the bridge gave it no number.
pub(super) fn port_entry(port: &PortView, eligible: bool) -> Option<(Ifindex, PortEntry)> {
    let flags = if eligible { PortFlags::ELIGIBLE } else { PortFlags::default() };
    Some((port.link.ifindex, PortEntry { slot: port.link.bridge_port?.slot, flags }))
}

/// The entry for the peer's own address, in the VLAN of its port.
pub(super) fn peer_entry(
    port: &PortView,
    eligible: bool,
    vlan: Vlan,
    lease: Lease,
) -> Option<FdbEntry> {
    let peer = port.peer.as_ref()?;
    let mac = peer.mac.filter(|mac| mac.is_station())?;
    let bridge_port = port.link.bridge_port?;
    let mut flags = FdbFlags::default();
    if eligible {
        flags = flags.with(FdbFlags::SOURCE).with(FdbFlags::TARGET);
    }
    if bridge_port.isolated {
        flags = flags.with(FdbFlags::ISOLATED);
    }
    Some(FdbEntry {
        key: MacKey::of(mac),
        lease,
        port: port.link.ifindex,
        slot: bridge_port.slot,
        flags,
        mtu_bytes: port.link.mtu_bytes.min(peer.mtu_bytes).try_into().unwrap_or(u16::MAX),
        vlan,
        version: 0,
    })
}

/// The addresses of the bridge and of its ports: frames to them are for the host.
pub(super) fn local_addresses(view: &BridgeView) -> impl Iterator<Item = Mac> {
    let ports = view.ports.iter().filter_map(|port| port.link.mac);
    let listed = view.fdb.iter().filter(|entry| entry.kind == FdbKind::Local);
    view.bridge
        .mac
        .into_iter()
        .chain(ports)
        .chain(listed.map(|entry| entry.mac))
        .filter(|mac| mac.is_station())
}

pub(super) fn local_entry(mac: Mac, bridge: Ifindex) -> FdbEntry {
    FdbEntry {
        key: MacKey::of(mac),
        lease: Lease::FOREVER,
        port: bridge,
        slot: PortSlot::UNKNOWN,
        flags: FdbFlags::LOCAL,
        mtu_bytes: 0,
        vlan: Vlan::NONE,
        version: 0,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::view::{
        BridgePort, Bypasses, Link, LinkKind, NetnsId, Offloads, PeerRef, PortState, VlanFiltering,
    };

    fn link(ifindex: u32, kind: LinkKind, mac: u8) -> Link {
        Link {
            ifindex: Ifindex(ifindex),
            name: format!("dev{ifindex}"),
            kind,
            mac: Some(Mac([2, 0, 0, 0, 0, mac])),
            mtu_bytes: 1500,
            is_up: true,
            group: 0,
            has_qdisc: false,
            promiscuity: 0,
            xdp_program: None,
            controller: None,
            peer: None,
            alias: None,
            bridge_port: None,
        }
    }

    /// A port with its peer in another namespace: addresses 02:..:1N outside, 02:..:2N inside.
    pub(crate) fn pair(ifindex: u32, number: u8) -> PortView {
        let mut port = link(ifindex, LinkKind::Veth, 0x10 + number);
        port.peer = Some(PeerRef { ifindex: Ifindex(2), netns: Some(NetnsId(0)) });
        port.bridge_port = Some(BridgePort {
            slot: PortSlot(u16::from(number)),
            state: PortState::Forwarding,
            isolated: false,
            learning: true,
            locked: false,
            answers_neighbours: false,
            tunnels_vlans: false,
        });
        let mut peer = link(2, LinkKind::Veth, 0x20 + number);
        peer.peer = Some(PeerRef { ifindex: Ifindex(ifindex), netns: Some(NetnsId(0)) });
        PortView {
            link: port,
            peer: Some(peer),
            is_between_bridges: false,
            unused_offloads: Some(Offloads::NONE),
            xdp: None,
            bypassed: Bypasses::NONE,
        }
    }

    pub(crate) fn view(ports: Vec<PortView>) -> BridgeView {
        let bridge = link(
            3,
            LinkKind::Bridge {
                vlan_filtering: VlanFiltering::Off,
                ageing_ms: 300_000,
                calls_netfilter: false,
            },
            1,
        );
        BridgeView {
            bridge,
            ports,
            fdb: Vec::new(),
            pvids: None,
            bypassed: Bypasses::NONE,
            allowed: Bypasses::NONE,
        }
    }

    /// The tables of tc while the bridge holds nothing for us yet.
    fn fresh(view: &BridgeView) -> Tables {
        Tables::of(view, &BTreeMap::new(), FastPath::Tc)
    }

    fn inside(number: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, 0x20 + number])
    }

    #[test]
    fn each_peer_is_source_and_target_on_its_port() {
        let tables = fresh(&view(vec![pair(5, 1), pair(6, 2)]));
        let entry = tables.fdb[&inside(1)];
        assert_eq!(entry.port, Ifindex(5));
        assert_eq!(entry.slot, PortSlot(1));
        assert!(entry.flags.contains(FdbFlags::SOURCE.with(FdbFlags::TARGET)));
        assert_eq!(entry.key.mac(), inside(1));
        assert_eq!(tables.ports[&Ifindex(6)].slot, PortSlot(2));
        assert_eq!(tables.stations[&inside(2)], Ifindex(6));
    }

    #[test]
    fn address_claimed_by_two_ports_is_left_to_the_bridge() {
        let mut twin = pair(6, 2);
        twin.peer.as_mut().expect("has a peer").mac = Some(inside(1));
        let tables = fresh(&view(vec![pair(5, 1), twin, pair(7, 3)]));
        assert!(!tables.fdb.contains_key(&inside(1)));
        assert!(!tables.stations.contains_key(&inside(1)));
        assert!(tables.fdb.contains_key(&inside(3)));
    }

    #[test]
    fn address_of_the_host_stays_the_hosts_even_when_a_peer_claims_it() {
        let mut thief = pair(5, 1);
        thief.peer.as_mut().expect("has a peer").mac = Some(Mac([2, 0, 0, 0, 0, 1]));
        let tables = fresh(&view(vec![thief]));
        let entry = tables.fdb[&Mac([2, 0, 0, 0, 0, 1])];
        assert!(entry.flags.contains(FdbFlags::LOCAL));
        assert!(!entry.flags.contains(FdbFlags::TARGET));
        assert!(tables.stations.is_empty());
    }

    #[test]
    fn ineligible_port_is_known_but_neither_source_nor_target() {
        let mut port = pair(5, 1);
        port.link.is_up = false;
        let tables = fresh(&view(vec![port]));
        assert!(!tables.ports[&Ifindex(5)].flags.contains(PortFlags::ELIGIBLE));
        assert_eq!(tables.fdb[&inside(1)].flags, FdbFlags::default());
        assert!(tables.stations.is_empty());
    }

    #[test]
    fn target_mtu_is_the_smaller_of_both_ends() {
        let mut port = pair(5, 1);
        port.peer.as_mut().expect("has a peer").mtu_bytes = 1400;
        let tables = fresh(&view(vec![port]));
        assert_eq!(tables.fdb[&inside(1)].mtu_bytes, 1400);
    }

    #[test]
    fn station_that_somebody_tied_to_another_port_is_left_to_the_bridge() {
        let mut view = view(vec![pair(5, 1), pair(6, 2)]);
        let (mac, vlan, port) = (inside(1), Vlan::NONE, Ifindex(6));
        view.fdb.push(BridgeFdbEntry { mac, vlan, port, kind: FdbKind::Sticky, age_ms: 0 });
        assert!(!fresh(&view).fdb.contains_key(&inside(1)));
        // Ours, from when the station was on that port.
        let held = BTreeMap::from([(inside(1), Ifindex(6))]);
        assert_eq!(Tables::of(&view, &held, FastPath::Tc).fdb[&inside(1)].port, Ifindex(5));
        view.fdb[0].port = Ifindex(5);
        assert!(fresh(&view).fdb.contains_key(&inside(1)));
    }

    #[test]
    fn isolated_port_is_marked() {
        let mut port = pair(5, 1);
        port.link.bridge_port.as_mut().expect("is a port").isolated = true;
        let tables = fresh(&view(vec![port]));
        assert!(tables.fdb[&inside(1)].flags.contains(FdbFlags::ISOLATED));
    }
}
