//! Examining the machine: the facts of every namespace that has to do with a pair, what follows
//! from them, and one ping followed through them. Nothing is changed, and no packet is sent.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    path::Path,
};

use veth_common::Ifindex;

use crate::{
    census::{Census, CensusError},
    datapath,
    diagnosis::{
        self, Acceleration, BridgeFacts, Code, Facts, Filters, Finding, NamespaceFacts, Owner,
        Place, Routes, Segments, Setting, Settings, Shell, Trace,
    },
    fabric::{self, FabricError},
    inventory::{Inventory, Namespace, Side},
    netlink::{self, Netlink, NetlinkError},
    netns::{self, Found, NetnsError},
    plan::Mark,
    sync::{SyncError, look_for_bypassed, look_for_vlans, observe_bridge, observe_xdp},
    sysctl,
    topology::FabricName,
    view::{BridgeView, FilterHook, Link, LinkKind, PeerRef, Way},
};

/// What failed before anything could be said.
#[derive(Debug, thiserror::Error)]
pub enum ExaminationError {
    /// The machine cannot be looked around.
    #[error(transparent)]
    Census(#[from] CensusError),
    /// Namespaces cannot be looked for.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The own namespace cannot be looked at.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The fabrics of the own namespace cannot be looked at.
    #[error(transparent)]
    Fabric(#[from] FabricError),
    /// XDP's view of a bridge cannot be had.
    #[error(transparent)]
    Sync(#[from] SyncError),
}

/// What was seen, and whom to ask for more.
pub struct Examination {
    facts: Facts,
    segments: Segments,
    kernel: Kernel,
    notes: Vec<String>,
    /// What is wrong with fabrics that have no bridge any more.
    lost: Vec<Finding>,
    /// Places that were asked about; all, when nothing was.
    chosen: Option<BTreeSet<Place>>,
}

impl Examination {
    /// Looks at everything; `target` is a bridge, or whatever `veth ls` finds pairs by. `None` when
    /// nothing is called so. Names of containers are read below `root`.
    ///
    /// # Errors
    ///
    /// When the own namespace or its fabrics cannot be looked at. What is elsewhere and may not be
    /// looked at is a finding.
    pub fn take(root: &Path, target: Option<&str>) -> Result<Option<Self>, ExaminationError> {
        let census = Census::take(root)?;
        let inventory = census.inventory();
        let mut examination = Self::of(&inventory)?;
        examination.notes = census.notes().to_vec();
        examination.notes.extend(inventory.notes());
        if let Some(target) = target {
            examination.choose(target, census.inventory());
        }
        let fabrics = fabric::list()?;
        examination.look_at_bridges(target, &fabrics)?;
        examination.look_for_lost_fabrics(target, &fabrics)?;
        let is_nothing = examination.chosen.as_ref().is_some_and(BTreeSet::is_empty);
        if is_nothing && examination.lost.is_empty() {
            return Ok(None);
        }
        examination.segments = Segments::of(&examination.facts);
        Ok(Some(examination))
    }

    /// How many pairs and bridges findings could be about.
    pub fn extent(&self) -> (usize, usize) {
        let is_chosen = |place: Place| {
            self.chosen.as_ref().is_none_or(|chosen| {
                chosen.iter().any(|it| *it == place || self.segments.are_joined(*it, place))
            })
        };
        let pairs = self.facts.pairs.iter().filter(|[one, _]| is_chosen(*one)).count();
        let loose = self.facts.loose.iter().filter(|it| is_chosen(**it)).count();
        let bridges = self.facts.bridges.iter().filter(|it| is_chosen(it.place)).count();
        (pairs + loose, bridges)
    }

    /// Everything that is wrong with what was asked about.
    pub fn findings(&mut self) -> Vec<Finding> {
        let mut findings = diagnosis::diagnose(&self.facts, &self.segments, &mut self.kernel);
        if let Some(chosen) = &self.chosen {
            diagnosis::keep_about(&mut findings, &self.segments, chosen);
        }
        findings.extend(self.lost.iter().cloned());
        // Who asks about one thing is not told of others.
        let notes = self.notes.iter().filter(|_| self.chosen.is_none());
        findings
            .extend(notes.map(|note| Finding::new(Code::Unseen, note.clone()).try_this("veth ls")));
        findings.sort_by_key(|finding| (finding.severity, finding.code));
        findings
    }

    /// Follows a ping from the namespace that `from` names to `to`, and adds what is wrong where it
    /// comes by. `None` when nothing is called so.
    pub fn trace(&mut self, from: &str, to: IpAddr) -> Option<Trace> {
        let start = self.namespace_of(from)?;
        let mut trace = diagnosis::trace(&self.facts, &self.segments, &mut self.kernel, start, to);
        let mut others = diagnosis::diagnose(&self.facts, &self.segments, &mut self.kernel);
        diagnosis::keep_about(&mut others, &self.segments, &trace.places);
        let told: BTreeSet<Code> = trace.findings.iter().map(|it| it.code).collect();
        others.retain(|it| !told.contains(&it.code) && it.code != Code::NoFastPath);
        trace.findings.extend(others);
        trace.findings.sort_by_key(|finding| (finding.severity, finding.code));
        Some(trace)
    }

    /// The namespace that has that name, or in which that process, container or device is.
    fn namespace_of(&self, key: &str) -> Option<usize> {
        let fits = |it: &Namespace| {
            it.names.iter().any(|name| name == key)
                || key.parse().is_ok_and(|pid| it.pids.contains(&pid))
                || it.containers.iter().any(|container| container.label() == key)
        };
        let all = &self.facts.namespaces;
        let by_device = || {
            let mut with =
                (0..all.len()).filter(|at| all[*at].links.values().any(|link| link.name == key));
            let first = with.next()?;
            // One that is in several namespaces means none.
            with.next().is_none().then_some(first)
        };
        all.iter().position(|it| fits(&it.namespace)).or_else(by_device)
    }

    /// Reads the facts of every namespace that has an end of a pair, and of the own one.
    fn of(inventory: &Inventory<'_>) -> Result<Self, ExaminationError> {
        let mut wanted: BTreeMap<u64, &Namespace> = BTreeMap::new();
        let sides = || inventory.pairs.iter().flat_map(|pair| [&pair.port, &pair.peer]);
        for namespace in sides().filter_map(|side| side.netns) {
            wanted.insert(namespace.inode, namespace);
        }
        let names = netns::names_by_inode()?;
        let mut kernel = Kernel::default();
        let mut facts = Facts::default();
        let mut notes = Vec::new();
        for found in netns::discover()?.namespaces {
            let described = match wanted.get(&found.inode) {
                Some(namespace) => (*namespace).clone(),
                None if found.own => {
                    Namespace { inode: found.inode, own: true, ..Namespace::default() }
                }
                None => continue,
            };
            let shell = shell_of(&described, names.get(&found.inode));
            match inside(&found, || look_around(described, shell)) {
                Some(Ok(seen)) => {
                    facts.namespaces.push(seen);
                    kernel.namespaces.push(found);
                }
                Some(Err(error)) if found.own => return Err(error.into()),
                Some(Err(error)) => notes.push(error.to_string()),
                // Gone, or not to be entered, which the inventory tells.
                None => {}
            }
        }
        connect(&mut facts, inventory);
        let segments = Segments::default();
        Ok(Self { facts, segments, kernel, notes, lost: Vec::new(), chosen: None })
    }

    /// Chooses what `target` names: a bridge of the own namespace, pairs, or the fabric that made them.
    fn choose(&mut self, target: &str, mut inventory: Inventory<'_>) {
        inventory.select(target);
        let mut chosen: BTreeSet<Place> = inventory
            .pairs
            .iter()
            .flat_map(|pair| [&pair.port, &pair.peer])
            .filter_map(|side| place_of(&self.facts, side))
            .collect();
        let is_of_target = |end: &&Place| {
            let alias = self.facts.link(**end).and_then(|link| link.alias.as_deref());
            matches!(alias.and_then(Mark::parse), Some(Mark::End { fabric, .. }) if fabric == target)
        };
        let ends = self.facts.pairs.iter().flatten().chain(&self.facts.loose);
        chosen.extend(ends.filter(is_of_target));
        let own = self.facts.namespaces.iter().position(|it| it.namespace.own);
        if let Some(netns) = own {
            let links = self.facts.namespaces[netns].links.values();
            let bridges = links.filter(|it| matches!(it.kind, LinkKind::Bridge { .. }));
            let named = bridges.filter(|it| it.name == target);
            chosen.extend(named.map(|it| Place { netns, link: it.ifindex }));
        }
        self.chosen = Some(chosen);
    }

    /// Looks at every bridge with a port that is an end of a pair, and at the one that was asked
    /// about.
    fn look_at_bridges(
        &mut self,
        target: Option<&str>,
        fabrics: &[FabricName],
    ) -> Result<(), ExaminationError> {
        let ends = self.facts.pairs.iter().flatten().chain(&self.facts.loose);
        let bridges: BTreeSet<Place> = ends
            .filter_map(|end| self.facts.bridge_of(*end))
            .chain(self.chosen.iter().flatten().copied())
            .collect();
        for place in bridges {
            let Some(link) = self.facts.link(place) else { continue };
            if !matches!(link.kind, LinkKind::Bridge { .. }) {
                continue;
            }
            let (name, own) = (link.name.clone(), self.facts.at(place).namespace.own);
            let read = || observe_bridge(&mut Netlink::open()?, &name);
            let Some(Ok(Some(view))) = inside(&self.kernel.namespaces[place.netns], read) else {
                continue;
            };
            let asked = target == Some(name.as_str());
            let acceleration = Acceleration::Nothing { asked };
            let mut bridge = BridgeFacts { place, view, acceleration, problems: Vec::new() };
            if let Some(fabric) = fabrics.iter().find(|it| own && it.as_str() == name) {
                look_at_fabric(&mut bridge, fabric)?;
            } else if own && asked {
                look_closely(&mut bridge.view)?;
            }
            self.facts.bridges.push(bridge);
        }
        Ok(())
    }

    /// Asks fabrics whose bridge is gone what else is.
    fn look_for_lost_fabrics(
        &mut self,
        target: Option<&str>,
        fabrics: &[FabricName],
    ) -> Result<(), ExaminationError> {
        let own = self.facts.namespaces.iter().find(|it| it.namespace.own);
        let has_bridge = |name: &str| {
            let mut links = own.into_iter().flat_map(|it| it.links.values());
            links.any(|it| it.name == name && matches!(it.kind, LinkKind::Bridge { .. }))
        };
        for fabric in fabrics {
            let name = fabric.as_str();
            if target.is_some_and(|target| target != name) || has_bridge(name) {
                continue;
            }
            let status = fabric::status(fabric)?;
            let finding = match status.ownership {
                "adopted" => diagnosis::is_left_over,
                _ => diagnosis::is_incomplete,
            };
            self.lost.extend(status.problems.iter().map(|problem| finding(name, problem)));
        }
        Ok(())
    }
}

/// Fills in what the fast path of an adopted bridge would have to heed.
fn look_closely(view: &mut BridgeView) -> Result<(), ExaminationError> {
    let mut host = Netlink::open()?;
    look_for_bypassed(&mut host, view)?;
    look_for_vlans(&mut host, view)?;
    Ok(())
}

/// Fills in what accelerates a bridge of the own namespace, where something does.
fn look_at_fabric(bridge: &mut BridgeFacts, name: &FabricName) -> Result<(), ExaminationError> {
    let status = fabric::status(name)?;
    let is_told_of_ports = |problem: &String| {
        let mut ports = status.ports.iter();
        ports.any(|port| problem.starts_with(&format!("port {}", port.name)))
    };
    let others = status.problems.iter().filter(|it| !is_told_of_ports(it));
    // The state of the bridge is told by a rule of its own.
    let others = others.filter(|it| it.as_str() != "the bridge is down");
    bridge.problems = others.cloned().collect();
    let owner = if status.ownership == "adopted" {
        // What its status has to say of it is told by rules.
        bridge.problems.clear();
        bridge.view.allowed = status.bypasses;
        look_closely(&mut bridge.view)?;
        Owner::Other { is_kept: status.is_kept }
    } else {
        Owner::Veth
    };
    let Some(path) =
        datapath::pinned_path(name.as_str()).filter(|path| path.name() == status.datapath)
    else {
        return Ok(());
    };
    if path == crate::forwarding::FastPath::Xdp {
        observe_xdp(&mut Netlink::open()?, name, &mut bridge.view)?;
    }
    let hooked = status.ports.iter().filter(|port| port.hook.is_some());
    let hooked = hooked.map(|port| Ifindex(port.ifindex)).collect();
    bridge.acceleration = Acceleration::Fabric { path, hooked, owner };
    Ok(())
}

/// Puts pairs together.
fn connect(facts: &mut Facts, inventory: &Inventory<'_>) {
    for pair in &inventory.pairs {
        match (place_of(facts, &pair.port), place_of(facts, &pair.peer)) {
            (Some(port), Some(peer)) => facts.pairs.push([port, peer]),
            (Some(end), None) | (None, Some(end)) => facts.loose.push(end),
            (None, None) => {}
        }
    }
}

/// Where an end of a pair is among the facts, if it was seen.
fn place_of(facts: &Facts, side: &Side<'_>) -> Option<Place> {
    let inode = side.netns?.inode;
    let netns = facts.namespaces.iter().position(|it| it.namespace.inode == inode)?;
    let place = Place { netns, link: side.ifindex };
    facts.link(place).map(|_| place)
}

fn shell_of(namespace: &Namespace, name: Option<&String>) -> Shell {
    match (name, &namespace.process) {
        _ if namespace.own => Shell::Here,
        (Some(name), _) => Shell::Named(name.clone()),
        (None, Some(process)) => Shell::Process(process.pid),
        (None, None) => Shell::Nowhere,
    }
}

/// Runs `work` in a namespace; `None` when that is gone or may not be entered.
fn inside<T: Send>(found: &Found, work: impl FnOnce() -> T + Send) -> Option<T> {
    if found.own {
        return Some(work());
    }
    found.open().ok()??.run(work).ok()
}

/// The facts of the calling thread's namespace.
fn look_around(namespace: Namespace, shell: Shell) -> Result<NamespaceFacts, NetlinkError> {
    let mut netlink = Netlink::open()?;
    let links: BTreeMap<_, _> =
        netlink.links()?.into_iter().map(|link| (link.ifindex, link)).collect();
    let is_twin = |peer: PeerRef| peer.netns.is_none();
    let twins = links.values().filter(|link| link.peer.is_some_and(is_twin));
    let diverted = diverted(&mut netlink, &links)?;
    let settings = twins.map(|link| (link.ifindex, settings_of(&link.name))).collect();
    Ok(NamespaceFacts {
        namespace,
        shell,
        addresses: netlink.present_addresses()?,
        silent: netlink.silent_neighbours()?,
        forwards: sysctl::forwarding(),
        settings,
        diverted,
        filters: filters(),
        links,
    })
}

/// Ends of pairs that are in no bridge, and whose frames a program takes.
fn diverted(
    netlink: &mut Netlink,
    links: &BTreeMap<Ifindex, Link>,
) -> Result<BTreeSet<Ifindex>, NetlinkError> {
    let mut diverted = BTreeSet::new();
    for link in links.values().filter(|it| it.peer.is_some() && it.controller.is_none()) {
        if link.xdp_program.is_some() || netlink.has_ingress_filters(link.ifindex)? {
            diverted.insert(link.ifindex);
        }
    }
    Ok(diverted)
}

fn settings_of(device: &str) -> Settings {
    // Where a setting cannot be read, it is not what is told to be wrong.
    let setting = |name| {
        let of = |device| sysctl::of_device(device, name);
        Some(Setting { own: of(device)?, all: of("all")? })
    };
    Settings {
        accept_local: setting("accept_local").unwrap_or(Setting { own: 1, all: 1 }),
        rp_filter: setting("rp_filter").unwrap_or_default(),
        arp_ignore: setting("arp_ignore").unwrap_or_default(),
        arp_filter: setting("arp_filter").unwrap_or_default(),
    }
}

/// The packet filters of the calling thread's namespace.
fn filters() -> Filters {
    let sees_bridged = sysctl::bridge_netfilter().contains(&"bridge-nf-call-iptables");
    let Ok(chains) = netlink::base_chains() else {
        return Filters { sees_bridged, ..Filters::default() };
    };
    let rewrites =
        chains.iter().any(|it| it.is_nat && it.hook == FilterHook::Postrouting && it.has_rules);
    // Rules of old iptables are not seen.
    let has_source_nat = (rewrites || !sysctl::has_legacy_nat()).then_some(rewrites);
    Filters { chains, has_source_nat, sees_bridged }
}

/// The kernel, asked for ways in the namespaces of the facts, in their order.
#[derive(Default)]
struct Kernel {
    namespaces: Vec<Found>,
    answers: HashMap<(usize, IpAddr), Option<Way>>,
}

impl Routes for Kernel {
    fn way(&mut self, netns: usize, destination: IpAddr) -> Option<Way> {
        if let Some(answer) = self.answers.get(&(netns, destination)) {
            return *answer;
        }
        let ask = || Netlink::open()?.way_to(destination);
        let answer = inside(&self.namespaces[netns], ask).and_then(Result::ok);
        self.answers.insert((netns, destination), answer);
        answer
    }
}
