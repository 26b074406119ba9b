//! What has to be looked at again.

use std::collections::BTreeSet;

use veth_common::{Ifindex, Mac, Vlan};

use crate::{netlink::Event, view::NetnsId};

/// How many things are asked for one by one, before it is no more work to ask for everything.
const PARTS_MAX: usize = 1024;

/// What of a bridge to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of it.
    Everything,
    /// What these are about; nothing is known of any other change since the last look.
    Parts(Parts),
}

/// What events were about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Devices, each with the namespace in which it is. None is this one, which may have an id as well.
    pub(super) links: BTreeSet<(Option<NetnsId>, Ifindex)>,
    /// Stations, each after the bridge that knows it.
    pub(super) stations: BTreeSet<(Ifindex, Mac, Vlan)>,
    /// The rules of nftables.
    pub(super) rules: bool,
}

impl Scope {
    /// Nothing, to which [`add`](Self::add) adds.
    pub fn nothing() -> Self {
        Self::Parts(Parts::default())
    }

    /// These devices of this namespace.
    pub(super) fn of_links(links: impl IntoIterator<Item = Ifindex>) -> Self {
        let links = links.into_iter().map(|ifindex| (None, ifindex)).collect();
        Self::Parts(Parts { links, ..Parts::default() })
    }

    /// Adds what is in `other`.
    pub(super) fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::Everything, _) => {}
            (scope, Self::Everything) => *scope = Self::Everything,
            (Self::Parts(parts), Self::Parts(other)) => {
                let Parts { mut links, mut stations, rules } = other;
                parts.links.append(&mut links);
                parts.stations.append(&mut stations);
                parts.rules |= rules;
            }
        }
    }

    /// Adds what `event` is about.
    pub fn add(&mut self, event: Event) {
        let Self::Parts(parts) = self else { return };
        match event {
            Event::Link { netns, ifindex } => drop(parts.links.insert((netns, ifindex))),
            Event::Fdb { bridge, mac, vlan } => drop(parts.stations.insert((bridge, mac, vlan))),
            // Of bridges that filter VLANs everything is looked at, and to others they are nothing.
            Event::Vlan => {}
            Event::Rules => parts.rules = true,
            Event::Unclear | Event::Overrun => *self = Self::Everything,
        }
        if let Self::Parts(parts) = self
            && parts.links.len() + parts.stations.len() > PARTS_MAX
        {
            *self = Self::Everything;
        }
    }
}

impl Parts {
    /// Adds stations of `bridge` that were seen on another port than theirs.
    pub(super) fn add_moved(&mut self, bridge: Ifindex, stations: &BTreeSet<Mac>) {
        self.stations.extend(stations.iter().map(|mac| (bridge, *mac, Vlan::NONE)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATION: Event =
        Event::Fdb { bridge: Ifindex(3), mac: Mac([2, 0, 0, 0, 0, 1]), vlan: Vlan::NONE };

    fn link(ifindex: u32) -> Event {
        Event::Link { netns: None, ifindex: Ifindex(ifindex) }
    }

    fn scope_of(events: impl IntoIterator<Item = Event>) -> Scope {
        let mut scope = Scope::nothing();
        events.into_iter().for_each(|event| scope.add(event));
        scope
    }

    #[test]
    fn each_thing_is_looked_at_once_however_often_it_changed() {
        let Scope::Parts(parts) = scope_of([link(5), STATION, link(6), link(5), STATION]) else {
            panic!("that is not everything");
        };
        assert_eq!((parts.links.len(), parts.stations.len()), (2, 1));
        assert!(!parts.rules);
        assert_eq!(scope_of([]), Scope::nothing());
    }

    #[test]
    fn what_is_lost_or_not_understood_may_be_anything() {
        for event in [Event::Overrun, Event::Unclear] {
            assert_eq!(scope_of([link(5), event, STATION]), Scope::Everything, "{event:?}");
        }
    }

    #[test]
    fn very_many_parts_are_everything() {
        let links = |number| scope_of((0..number).map(link));
        let most = u32::try_from(PARTS_MAX).expect("is a small number");
        assert!(matches!(links(most), Scope::Parts(_)));
        assert_eq!(links(most + 1), Scope::Everything);
    }
}
