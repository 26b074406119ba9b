//! Worlds that are made up: for the tests of rules.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::IpAddr,
};

use veth_common::{Ifindex, Mac, PortSlot};

use super::{
    Acceleration, BridgeFacts, Code, Facts, Filters, Finding, NamespaceFacts, Owner, Place, Routes,
    Segments, Settings, Shell,
};
use crate::{
    inventory::Namespace,
    view::{
        Address, BridgePort, BridgeView, Bypasses, Link, LinkKind, Offloads, PeerRef, PortState,
        PortView, PresentAddress, Uniqueness, VlanFiltering, Way,
    },
};

/// Facts in the making. Indices of devices are unique among all namespaces.
#[derive(Default)]
pub(super) struct World {
    pub(super) facts: Facts,
    last: u32,
}

impl World {
    /// The namespace of that name; the own one is called `host`.
    pub(super) fn netns(&mut self, name: &str) -> usize {
        let named = |it: &NamespaceFacts| it.namespace.names == [name];
        if let Some(at) = self.facts.namespaces.iter().position(named) {
            return at;
        }
        let at = self.facts.namespaces.len();
        let own = name == "host";
        self.facts.namespaces.push(NamespaceFacts {
            namespace: Namespace {
                inode: at as u64 + 1,
                own,
                names: vec![name.into()],
                ..Namespace::default()
            },
            shell: if own { Shell::Here } else { Shell::Named(name.into()) },
            links: BTreeMap::new(),
            addresses: Vec::new(),
            silent: Vec::new(),
            forwards: [Some(true); 2],
            settings: BTreeMap::new(),
            diverted: BTreeSet::new(),
            filters: Filters::default(),
        });
        let lo = self.device(name, "lo", LinkKind::Other(String::new()));
        self.link(lo).mac = None;
        at
    }

    /// A device that is up.
    pub(super) fn device(&mut self, netns: &str, name: &str, kind: LinkKind) -> Place {
        let netns = self.netns(netns);
        self.last += 1;
        let ifindex = Ifindex(self.last);
        let [.., high, low] = self.last.to_be_bytes();
        let link = Link {
            ifindex,
            name: name.into(),
            kind,
            mac: Some(Mac([2, 0, 0, 0, high, low])),
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
        };
        self.facts.namespaces[netns].links.insert(ifindex, link);
        Place { netns, link: ifindex }
    }

    /// A pair between two namespaces; each end is called as its namespace is, with a number where
    /// that is taken.
    pub(super) fn pair(&mut self, one: &str, other: &str) -> [Place; 2] {
        let ends = [one, other].map(|netns| {
            let place = self.device(netns, netns, LinkKind::Veth);
            let here = &self.facts.namespaces[place.netns];
            let alike = here.links.values().filter(|it| it.name.starts_with(netns)).count();
            if alike > 1 {
                self.link(place).name = format!("{netns}{alike}");
            }
            place
        });
        for (end, peer) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            let netns = (end.netns != peer.netns).then_some(crate::view::NetnsId(0));
            self.link(end).peer = Some(PeerRef { ifindex: peer.link, netns });
            if netns.is_none() {
                self.facts.namespaces[end.netns].settings.insert(end.link, Settings::default());
            }
        }
        self.facts.pairs.push(ends);
        ends
    }

    /// A bridge in the own namespace with a port for each of `netns`; what comes back is the bridge
    /// and the peers.
    pub(super) fn bridge<const N: usize>(&mut self, netns: [&str; N]) -> (Place, [Place; N]) {
        let bridge = self.device(
            "host",
            "br0",
            LinkKind::Bridge {
                vlan_filtering: VlanFiltering::Off,
                ageing_ms: 300_000,
                calls_netfilter: false,
            },
        );
        let peers = netns.map(|netns| {
            let [port, peer] = self.pair("host", netns);
            self.join(port, bridge);
            peer
        });
        self.look_at_bridge(bridge);
        (bridge, peers)
    }

    /// Makes a device a port of a bridge.
    pub(super) fn join(&mut self, port: Place, bridge: Place) {
        let link = self.link(port);
        link.controller = Some(bridge.link);
        link.bridge_port = Some(BridgePort {
            slot: PortSlot(1),
            state: PortState::Forwarding,
            isolated: false,
            learning: true,
            locked: false,
            answers_neighbours: false,
            tunnels_vlans: false,
        });
    }

    /// Looks at a bridge anew.
    pub(super) fn look_at_bridge(&mut self, place: Place) {
        let here = &self.facts.namespaces[place.netns].links;
        let ports = here.values().filter(|it| it.controller == Some(place.link)).map(|link| {
            let port = Place { link: link.ifindex, ..place };
            let peer = self.facts.other_end(port).and_then(|peer| self.facts.link(peer));
            PortView {
                link: link.clone(),
                peer: peer.cloned(),
                is_between_bridges: false,
                unused_offloads: Some(Offloads::NONE),
                xdp: None,
                bypassed: Bypasses::NONE,
            }
        });
        let bridge = here[&place.link].clone();
        let view = BridgeView {
            bridge,
            ports: ports.collect(),
            fdb: Vec::new(),
            pvids: None,
            bypassed: Bypasses::NONE,
            allowed: Bypasses::NONE,
        };
        let before = self.facts.bridges.iter().position(|it| it.place == place);
        let acceleration = before.map_or(Acceleration::Nothing { asked: false }, |at| {
            self.facts.bridges.remove(at).acceleration
        });
        let problems = Vec::new();
        self.facts.bridges.push(BridgeFacts { place, view, acceleration, problems });
    }

    /// Has the program be attached to all ports of the only bridge.
    pub(super) fn accelerate(&mut self, path: crate::forwarding::FastPath) {
        let bridge = &mut self.facts.bridges[0];
        let hooked: HashSet<_> = bridge.view.ports.iter().map(|it| it.link.ifindex).collect();
        bridge.acceleration = Acceleration::Fabric { path, hooked, owner: Owner::Veth };
    }

    /// The device at a place.
    pub(super) fn link(&mut self, place: Place) -> &mut Link {
        let links = &mut self.facts.namespaces[place.netns].links;
        links.get_mut(&place.link).expect("it was made")
    }

    /// The device of that name.
    pub(super) fn named(&self, netns: usize, name: &str) -> Place {
        let mut links = self.facts.namespaces[netns].links.values();
        let link = links.find(|it| it.name == name).expect("it was made").ifindex;
        Place { netns, link }
    }

    /// Gives a device an address, like `10.0.0.1/24`.
    pub(super) fn address(&mut self, place: Place, text: &str) {
        self.address_that_is(place, text, Uniqueness::Settled);
    }

    /// The same, with what is known of it.
    pub(super) fn address_that_is(&mut self, place: Place, text: &str, uniqueness: Uniqueness) {
        let (address, prefix_len) = text.split_once('/').expect("has a prefix");
        let address =
            Address { ip: ip(address), prefix_len: prefix_len.parse().expect("a number") };
        self.facts.namespaces[place.netns].addresses.push(PresentAddress {
            link: place.link,
            address,
            is_link_local: false,
            uniqueness,
        });
    }

    /// The settings of a device.
    pub(super) fn settings(&mut self, place: Place) -> &mut Settings {
        self.facts.namespaces[place.netns].settings.entry(place.link).or_default()
    }

    /// What hangs together.
    pub(super) fn segments(&self) -> Segments {
        Segments::of(&self.facts)
    }

    /// Routes as the kernel makes them for addresses, the first device first.
    pub(super) fn routes(&self) -> MadeUpRoutes<'_> {
        MadeUpRoutes { facts: &self.facts, ways: HashMap::new(), gateways: HashMap::new() }
    }
}

/// Ways that follow from addresses, but for those that were told.
pub(super) struct MadeUpRoutes<'a> {
    facts: &'a Facts,
    ways: HashMap<(usize, IpAddr), Way>,
    gateways: HashMap<usize, IpAddr>,
}

impl MadeUpRoutes<'_> {
    /// The same, but for this way.
    pub(super) fn with(mut self, netns: usize, destination: &str, way: Way) -> Self {
        self.ways.insert((netns, ip(destination)), way);
        self
    }

    /// The same, with a default route.
    pub(super) fn with_gateway(mut self, netns: usize, gateway: &str) -> Self {
        self.gateways.insert(netns, ip(gateway));
        self
    }

    fn direct(&self, netns: usize, destination: IpAddr) -> Option<Way> {
        let addresses = &self.facts.namespaces[netns].addresses;
        if addresses.iter().any(|it| it.address.ip == destination) {
            return Some(Way::Local);
        }
        let covering = addresses.iter().find(|it| super::facts::is_in(destination, it.address))?;
        let source = Some(covering.address.ip);
        Some(Way::Out { link: covering.link, gateway: None, source })
    }
}

impl Routes for MadeUpRoutes<'_> {
    fn way(&mut self, netns: usize, destination: IpAddr) -> Option<Way> {
        if let Some(way) = self.ways.get(&(netns, destination)) {
            return Some(*way);
        }
        if let Some(way) = self.direct(netns, destination) {
            return Some(way);
        }
        let gateway = self.gateways.get(&netns).filter(|it| it.is_ipv4() == destination.is_ipv4());
        let Some(gateway) = gateway else { return Some(Way::Nowhere) };
        match self.direct(netns, *gateway) {
            Some(Way::Out { link, source, .. }) => {
                Some(Way::Out { link, gateway: Some(*gateway), source })
            }
            way => way,
        }
    }
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// What was found, in short.
pub(super) fn codes(findings: &[Finding]) -> Vec<Code> {
    findings.iter().map(|finding| finding.code).collect()
}
