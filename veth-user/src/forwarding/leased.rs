//! The contents of the maps for a bridge that somebody else made.
//!
//! There the bridge's own forwarding database is what counts: a station is served while the bridge
//! knows it on the port of the veth pair whose far end has that address, and for as long as somebody keeps
//! saying so.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use veth_common::{FdbEntry, FdbFlags, Ifindex, Lease, Mac, MacKey, PortSlot, Vlan};

use super::{
    FastPath, Tables, eligibility,
    tables::{Claims, local_addresses, local_entry, peer_entry, port_entry},
};
use crate::view::{BridgeFdbEntry, BridgeView, FdbKind, PortView};

/// How long an entry may be used after the control plane last vouched for it. When that is killed or
/// hangs, the bridge has all frames this much later.
pub const LEASE: Duration = Duration::from_secs(3);

/// How many stations without the right to the fast path are told apart from those that nobody knows:
/// three quarters of what the map has room for. Whoever sends from made-up addresses fills a bridge with
/// as many as he likes, and must not leave those without room that are served.
pub const UNSERVED_MAX: usize = 12_288;

impl Tables {
    /// The tables for a bridge of somebody else's, in which every station that is served has `lease`.
    ///
    /// A station that the bridge does not know is not in them, so that its frames and those for it go
    /// to the bridge, which learns and floods. One that it knows but that is not the peer's own
    /// address (a bridge or macvlan inside, a device that is no veth) is in them without the right to
    /// the fast path, so that counters can say why, up to [`UNSERVED_MAX`] of them.
    ///
    /// Where the bridge filters VLANs, what counts is whether it knows the station in the VLAN of its
    /// port, and nowhere else in another one.
    pub fn leased(view: &BridgeView, lease: Lease) -> Self {
        let mut tables = Self::default();
        let mut claims = Claims::default();
        // In order, so that of several places the same one is told of each time, and the same ones are left out.
        let known: BTreeMap<_, _> = view
            .entries_in_use()
            .filter(|entry| entry.kind != FdbKind::Local && entry.mac.is_station())
            .map(|entry| ((entry.mac, entry.vlan), entry.port))
            .collect();
        let mut ports: HashMap<Ifindex, &PortView> = HashMap::new();
        for port in &view.ports {
            let eligible = eligibility(view, port, FastPath::Tc).is_ok();
            tables.ports.extend(port_entry(port, eligible));
            ports.insert(port.link.ifindex, port);
            let vlan = view.vlan_of(port.link.ifindex);
            if let Some(entry) = peer_entry(port, eligible, vlan, lease) {
                claims.add(entry);
            }
        }
        let served = |entry: &FdbEntry| entry.flags.contains(FdbFlags::TARGET);
        for (mac, entry) in claims.resolve() {
            let is_at_home = known.get(&(mac, entry.vlan)) == Some(&entry.port);
            // The program knows of one place for an address: it would take a frame from its place in
            // another VLAN for the station's move.
            let mut places = known.range((mac, Vlan::NONE)..=(mac, Vlan(u16::MAX)));
            if served(&entry) && is_at_home && places.all(|(_, port)| *port == entry.port) {
                tables.fdb.insert(mac, entry);
            }
        }
        let mut unserved: BTreeMap<Mac, FdbEntry> = BTreeMap::new();
        for ((mac, vlan), port) in
            known.iter().filter(|((mac, _), _)| !tables.fdb.contains_key(mac))
        {
            unserved.entry(*mac).or_insert_with(|| {
                let slot = ports.get(port).and_then(|port| port.link.bridge_port);
                let slot = slot.map_or(PortSlot::UNKNOWN, |it| it.slot);
                unserved_entry(MacKey::of(*mac), *port, slot, *vlan)
            });
        }
        tables.left_out = unserved.len().saturating_sub(UNSERVED_MAX);
        tables.fdb.extend(unserved.into_iter().take(UNSERVED_MAX));
        // Last, so that a peer that claims an address of the host does not get it.
        for mac in local_addresses(view) {
            tables.fdb.insert(mac, local_entry(mac, view.bridge.ifindex));
        }
        tables
    }
}

/// Those entries of `view` that the bridge would forget before the next look, although their stations
/// send: `sends` says so of a port. Without those that `tables` have as taken back: the bridge may have
/// moved them since `view`, and would move them back.
pub fn overlooked<'a>(
    view: &'a BridgeView,
    tables: &'a Tables,
    ageing: Duration,
    sends: impl Fn(Ifindex) -> bool + 'a,
) -> impl Iterator<Item = &'a BridgeFdbEntry> {
    let due_ms = u64::try_from(ageing.as_millis() / 4).unwrap_or(u64::MAX);
    view.fdb.iter().filter(move |entry| {
        let is_served = tables
            .fdb
            .get(&entry.mac)
            .filter(|ours| ours.flags.contains(FdbFlags::SOURCE) && ours.lease != Lease::EXPIRED)
            .is_some_and(|ours| (ours.port, ours.vlan) == (entry.port, entry.vlan));
        entry.kind == FdbKind::Learned && is_served && entry.age_ms >= due_ms && sends(entry.port)
    })
}

fn unserved_entry(key: MacKey, port: Ifindex, slot: PortSlot, vlan: Vlan) -> FdbEntry {
    let flags = FdbFlags::default();
    // Without a right there is nothing that could end.
    FdbEntry { key, lease: Lease::FOREVER, port, slot, flags, mtu_bytes: 0, vlan, version: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        forwarding::tables::tests::{pair, view},
        view::{LinkKind, PortState, Pvid, VlanFiltering},
    };

    const UNTIL: Lease = Lease(7_000_000_000);

    fn inside(number: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, 0x20 + number])
    }

    fn learned(number: u8, port: u32, age_ms: u64) -> BridgeFdbEntry {
        in_vlan(0, number, port, age_ms)
    }

    fn in_vlan(vlan: u16, number: u8, port: u32, age_ms: u64) -> BridgeFdbEntry {
        let (mac, vlan, port) = (inside(number), Vlan(vlan), Ifindex(port));
        BridgeFdbEntry { mac, vlan, port, kind: FdbKind::Learned, age_ms }
    }

    /// Two ports, whose stations the bridge has learned.
    fn talking() -> BridgeView {
        let mut view = view(vec![pair(5, 1), pair(6, 2)]);
        view.fdb = vec![learned(1, 5, 0), learned(2, 6, 0)];
        view
    }

    fn is_served(tables: &Tables, number: u8) -> bool {
        tables.fdb.get(&inside(number)).is_some_and(|entry| {
            entry.flags.contains(FdbFlags::SOURCE.with(FdbFlags::TARGET)) && entry.lease == UNTIL
        })
    }

    #[test]
    fn made_up_stations_leave_room_for_those_that_are_served() {
        let mut view = talking();
        // Lower than all others, and more than fit.
        view.fdb.extend((0..20_000_u16).map(|number| {
            let [high, low] = number.to_be_bytes();
            let mac = Mac([0, 2, 0, 0, high, low]);
            BridgeFdbEntry { mac, ..learned(1, 6, 0) }
        }));
        let tables = Tables::leased(&view, UNTIL);
        assert!(is_served(&tables, 1) && is_served(&tables, 2));
        assert_eq!(tables.left_out, 20_000 - UNSERVED_MAX);
        let locals = local_addresses(&view).count();
        assert_eq!(tables.fdb.len(), 2 + UNSERVED_MAX + locals);
        assert_eq!(tables, Tables::leased(&view, UNTIL), "not the same ones each time");
        assert_eq!(Tables::leased(&talking(), UNTIL).left_out, 0);
    }

    #[test]
    fn station_is_served_while_the_bridge_knows_it_on_its_port() {
        let tables = Tables::leased(&talking(), UNTIL);
        assert!(is_served(&tables, 1) && is_served(&tables, 2));
        assert!(tables.stations.is_empty(), "the bridge may move what is not ours");

        let mut view = talking();
        view.fdb.remove(0);
        assert!(!Tables::leased(&view, UNTIL).fdb.contains_key(&inside(1)));
    }

    #[test]
    fn station_that_the_bridge_knows_elsewhere_is_known_there_and_not_served() {
        let mut view = talking();
        view.fdb[0].port = Ifindex(6);
        let entry = Tables::leased(&view, UNTIL).fdb[&inside(1)];
        assert_eq!((entry.port, entry.slot.0, entry.flags), (Ifindex(6), 2, FdbFlags::default()));
    }

    #[test]
    fn station_that_is_not_the_peers_own_is_not_served() {
        let mut view = talking();
        view.fdb.push(learned(9, 5, 0));
        let tables = Tables::leased(&view, UNTIL);
        assert!(is_served(&tables, 1));
        assert_eq!(tables.fdb[&inside(9)].flags, FdbFlags::default());
    }

    #[test]
    fn address_that_two_peers_have_is_not_served_wherever_the_bridge_knows_it() {
        let mut view = talking();
        view.ports[1].peer.as_mut().expect("has a peer").mac = Some(inside(1));
        let tables = Tables::leased(&view, UNTIL);
        assert!(!is_served(&tables, 1));
    }

    #[test]
    fn station_of_a_port_that_is_left_to_the_bridge_is_not_served() {
        let mut view = talking();
        view.ports[0].link.bridge_port.as_mut().expect("is a port").locked = true;
        let tables = Tables::leased(&view, UNTIL);
        assert!(!is_served(&tables, 1) && is_served(&tables, 2));
    }

    #[test]
    fn address_of_the_host_stays_the_hosts() {
        let mut view = talking();
        let own = view.bridge.mac.expect("has one");
        view.ports[0].peer.as_mut().expect("has a peer").mac = Some(own);
        view.fdb[0].mac = own;
        let entry = Tables::leased(&view, UNTIL).fdb[&own];
        assert_eq!(entry.flags, FdbFlags::LOCAL);
    }

    #[test]
    fn only_old_entries_of_stations_that_send_are_overlooked_by_the_bridge() {
        let mut view = talking();
        view.fdb = vec![learned(1, 5, 2_499), learned(2, 6, 2_500), learned(9, 6, 9_000)];
        let tables = Tables::leased(&view, UNTIL);
        let ageing = Duration::from_secs(10);
        let due = |sends: fn(Ifindex) -> bool| -> Vec<Mac> {
            overlooked(&view, &tables, ageing, sends).map(|entry| entry.mac).collect()
        };
        assert_eq!(due(|_| true), [inside(2)]);
        assert_eq!(due(|port| port == Ifindex(5)), []);
    }

    #[test]
    fn station_that_was_seen_elsewhere_is_not_called_back() {
        let mut view = talking();
        view.fdb = vec![learned(1, 5, 9_000), learned(2, 6, 9_000)];
        let mut tables = Tables::leased(&view, UNTIL);
        tables.fdb.get_mut(&inside(1)).expect("is served").lease = Lease::EXPIRED;
        let due = overlooked(&view, &tables, Duration::from_secs(10), |_| true);
        assert_eq!(due.map(|entry| entry.mac).collect::<Vec<_>>(), [inside(2)]);
    }

    /// Four ports, the first two in VLAN 10, the others in VLAN 20, with stations that are known there.
    fn talking_in_vlans() -> BridgeView {
        let mut view = view(vec![pair(5, 1), pair(6, 2), pair(7, 3), pair(8, 4)]);
        let (vlan_filtering, ageing_ms) = (VlanFiltering::Plain, 300_000);
        view.bridge.kind = LinkKind::Bridge { vlan_filtering, ageing_ms, calls_netfilter: false };
        let vlans = [(5, 10), (6, 10), (7, 20), (8, 20)];
        let pvid = |id| Pvid { vlan: Vlan(id), is_untagged: true, state: PortState::Forwarding };
        view.pvids = Some(vlans.map(|(port, id)| (Ifindex(port), pvid(id))).into());
        view.fdb =
            (1..).zip(vlans).map(|(number, (port, vlan))| in_vlan(vlan, number, port, 0)).collect();
        view
    }

    #[test]
    fn station_is_served_in_the_vlan_of_its_port() {
        let tables = Tables::leased(&talking_in_vlans(), UNTIL);
        let vlan_of = |number| tables.fdb[&inside(number)].vlan;
        assert!((1..=4).all(|number| is_served(&tables, number)));
        assert_eq!([1, 2, 3, 4].map(vlan_of), [Vlan(10), Vlan(10), Vlan(20), Vlan(20)]);
    }

    #[test]
    fn station_that_is_known_in_other_vlans_or_in_none_is_not_served() {
        for vlan in [0, 1, 20] {
            let mut view = talking_in_vlans();
            view.fdb[0].vlan = Vlan(vlan);
            let tables = Tables::leased(&view, UNTIL);
            assert!(!is_served(&tables, 1) && is_served(&tables, 2), "VLAN {vlan}");
        }
    }

    #[test]
    fn entries_from_before_vlans_were_filtered_or_no_longer_are_do_not_count() {
        let mut view = talking();
        view.fdb.push(in_vlan(1, 1, 6, 0));
        assert!(is_served(&Tables::leased(&view, UNTIL), 1));

        let mut view = talking_in_vlans();
        view.fdb.push(learned(1, 6, 0));
        assert!(is_served(&Tables::leased(&view, UNTIL), 1));
        view.bridge.kind = LinkKind::Bridge {
            vlan_filtering: VlanFiltering::Off,
            ageing_ms: 300_000,
            calls_netfilter: false,
        };
        let entry = Tables::leased(&view, UNTIL).fdb[&inside(1)];
        assert_eq!((entry.port, entry.vlan), (Ifindex(6), Vlan::NONE));
    }

    #[test]
    fn station_that_tags_frames_too_is_served_as_long_as_that_is_on_its_own_port() {
        let mut view = talking_in_vlans();
        view.fdb.push(in_vlan(30, 1, 5, 0));
        assert!(is_served(&Tables::leased(&view, UNTIL), 1));
        view.fdb.push(in_vlan(40, 1, 7, 0));
        let tables = Tables::leased(&view, UNTIL);
        assert!(!is_served(&tables, 1));
        assert_eq!(tables.fdb[&inside(1)].flags, FdbFlags::default());
    }

    #[test]
    fn address_that_two_peers_have_is_not_served_in_two_vlans_either() {
        let mut view = talking_in_vlans();
        view.ports[2].peer.as_mut().expect("has a peer").mac = Some(inside(1));
        view.fdb[2].mac = inside(1);
        assert!(!is_served(&Tables::leased(&view, UNTIL), 1));
    }

    #[test]
    fn address_of_the_host_in_any_vlan_stays_the_hosts() {
        let mut view = talking_in_vlans();
        view.fdb.push(BridgeFdbEntry { kind: FdbKind::Local, ..in_vlan(30, 1, 3, 0) });
        assert_eq!(Tables::leased(&view, UNTIL).fdb[&inside(1)].flags, FdbFlags::LOCAL);
    }

    #[test]
    fn only_entries_of_the_vlan_that_is_served_are_overlooked() {
        let mut view = talking_in_vlans();
        view.fdb = vec![in_vlan(10, 1, 5, 9_000), in_vlan(30, 1, 5, 9_000), learned(1, 5, 9_000)];
        let tables = Tables::leased(&view, UNTIL);
        let due = overlooked(&view, &tables, Duration::from_secs(10), |_| true);
        assert_eq!(due.map(|entry| entry.vlan).collect::<Vec<_>>(), [Vlan(10)]);
    }
}
