//! Segments: what a frame reaches without being routed, through pairs and bridges.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::{Facts, Place};

/// Devices that reach each other by MAC address.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    /// All of them.
    pub places: BTreeSet<Place>,
    /// Those that are no port of another: what has addresses is among them.
    pub members: Vec<Place>,
    /// Whether all of it was seen: nothing leads to where nobody looked.
    pub is_closed: bool,
}

impl Segment {
    /// The member that has an address.
    pub fn owner(&self, facts: &Facts, ip: IpAddr) -> Option<Place> {
        self.members.iter().copied().find(|place| facts.addresses(*place).any(|it| it.ip == ip))
    }

    /// Whether an address is anywhere on the segment.
    pub fn has(&self, facts: &Facts, ip: IpAddr) -> bool {
        let has = |place: &Place| {
            facts.at(*place).addresses.iter().any(|it| it.link == place.link && it.address.ip == ip)
        };
        self.members.iter().any(has)
    }
}

/// All segments that have an end of a pair in them.
#[derive(Clone, Debug, Default)]
pub struct Segments {
    /// The segments.
    pub all: Vec<Segment>,
    by_place: HashMap<Place, usize>,
}

impl Segments {
    /// Finds out what hangs together.
    pub fn of(facts: &Facts) -> Self {
        let mut neighbours: BTreeMap<Place, Vec<Place>> = BTreeMap::new();
        let mut join = |one: Place, other: Place| {
            neighbours.entry(one).or_default().push(other);
            neighbours.entry(other).or_default().push(one);
        };
        for [one, other] in &facts.pairs {
            join(*one, *other);
        }
        for place in &facts.loose {
            join(*place, *place);
        }
        for (netns, here) in facts.namespaces.iter().enumerate() {
            for link in here.links.values() {
                let port = Place { netns, link: link.ifindex };
                if let Some(bridge) = facts.bridge_of(port) {
                    join(port, bridge);
                }
            }
        }
        let mut segments = Self::default();
        for start in neighbours.keys() {
            if segments.by_place.contains_key(start) {
                continue;
            }
            let mut segment = Segment::default();
            let mut open = vec![*start];
            while let Some(place) = open.pop() {
                if segment.places.insert(place) {
                    segments.by_place.insert(place, segments.all.len());
                    open.extend(&neighbours[&place]);
                }
            }
            segment.members =
                segment.places.iter().copied().filter(|it| !facts.is_port(*it)).collect();
            segment.is_closed = segment.places.iter().all(|it| is_known(facts, *it));
            segments.all.push(segment);
        }
        segments
    }

    /// The segment of a device.
    pub fn at(&self, place: Place) -> Option<&Segment> {
        Some(&self.all[*self.by_place.get(&place)?])
    }

    /// Whether two devices are on one segment.
    pub fn are_joined(&self, one: Place, other: Place) -> bool {
        self.by_place.get(&one).is_some_and(|it| self.by_place.get(&other) == Some(it))
    }
}

/// Whether everything that a device leads to is known: another end, a bridge, or nothing.
fn is_known(facts: &Facts, place: Place) -> bool {
    let is_bridged = facts.bridge_of(place).is_some();
    let is_bridge = facts.bridges.iter().any(|bridge| bridge.place == place);
    // A port of something that is no bridge leads through that.
    (is_bridge || facts.other_end(place).is_some()) && (is_bridged || !facts.is_port(place))
}
