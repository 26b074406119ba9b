//! The contents of the maps for a bridge that somebody else made.
//!
//! There the bridge's own forwarding database is what counts: a station is served while the bridge
//! knows it on the port of the veth pair whose far end has that address, and for as long as somebody keeps
//! saying so.

use std::{collections::HashMap, time::Duration};

use veth_common::{FdbEntry, FdbFlags, Ifindex, Lease, MacKey, PortSlot};

use super::{
    FastPath, Tables, eligibility,
    tables::{Claims, local_addresses, local_entry, peer_entry, port_entry},
};
use crate::view::{BridgeFdbEntry, BridgeView, FdbKind, PortView};

/// How long an entry may be used after the control plane last vouched for it. When that is killed or
/// hangs, the bridge has all frames this much later.
pub const LEASE: Duration = Duration::from_secs(3);

impl Tables {
    /// The tables for a bridge of somebody else's, in which every station that is served has `lease`.
    ///
    /// A station that the bridge does not know is not in them, so that its frames and those for it go
    /// to the bridge, which learns and floods. One that it knows but that is not the peer's own
    /// address (a bridge or macvlan inside, a device that is no veth) is in them without the right to
    /// the fast path, so that counters can say why.
    pub fn leased(view: &BridgeView, lease: Lease) -> Self {
        let mut tables = Self::default();
        let mut claims = Claims::default();
        let known: HashMap<_, _> = view
            .fdb
            .iter()
            .filter(|entry| entry.kind != FdbKind::Local && entry.mac.is_station())
            .map(|entry| (entry.mac, entry.port))
            .collect();
        let mut ports: HashMap<Ifindex, &PortView> = HashMap::new();
        for port in &view.ports {
            let eligible = eligibility(view, port, FastPath::Tc).is_ok();
            tables.ports.extend(port_entry(port, eligible));
            ports.insert(port.link.ifindex, port);
            if let Some(entry) = peer_entry(port, eligible, lease) {
                claims.add(entry);
            }
        }
        let served = |entry: &FdbEntry| entry.flags.contains(FdbFlags::TARGET);
        for (mac, entry) in claims.resolve() {
            if served(&entry) && known.get(&mac) == Some(&entry.port) {
                tables.fdb.insert(mac, entry);
            }
        }
        for (mac, port) in &known {
            tables.fdb.entry(*mac).or_insert_with(|| {
                let slot = ports.get(port).and_then(|port| port.link.bridge_port);
                unserved_entry(
                    MacKey::of(*mac),
                    *port,
                    slot.map_or(PortSlot::UNKNOWN, |it| it.slot),
                )
            });
        }
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
            .is_some_and(|ours| ours.port == entry.port);
        entry.kind == FdbKind::Learned && is_served && entry.age_ms >= due_ms && sends(entry.port)
    })
}

fn unserved_entry(key: MacKey, port: Ifindex, slot: PortSlot) -> FdbEntry {
    let flags = FdbFlags::default();
    // Without a right there is nothing that could end.
    FdbEntry { key, lease: Lease::FOREVER, port, slot, flags, mtu_bytes: 0, version: 0 }
}

#[cfg(test)]
mod tests {
    use veth_common::Mac;

    use super::*;
    use crate::forwarding::tables::tests::{pair, view};

    const UNTIL: Lease = Lease(7_000_000_000);

    fn inside(number: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, 0x20 + number])
    }

    fn learned(number: u8, port: u32, age_ms: u64) -> BridgeFdbEntry {
        BridgeFdbEntry { mac: inside(number), port: Ifindex(port), kind: FdbKind::Learned, age_ms }
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
}
