//! Reading a fabric out of the kernel.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::AsFd as _,
};

use veth_common::Ifindex;

use super::{
    FabricError,
    pairs::{self, FoundHere, WantedEnds},
};
use crate::{
    netlink::{Netlink, NetlinkError},
    netns::{self, Named, Netns},
    plan::{
        BridgeState, EndClaim, FoundEnd, Inside, Mark, Member, NetnsState, Observed, PEER_NAME,
        PortPresence,
    },
    topology::{FabricName, Namespace, NetnsName, Topology},
    view::{Link, LinkKind, NetnsId},
};

/// The loopback device has this index in every namespace.
const LOOPBACK: Ifindex = Ifindex(1);

/// How many namespaces are held open at once: well below the usual limit of descriptors.
const OPEN_AT_ONCE: usize = 128;

/// How far to look into namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Only whose they are, which is enough for removing them.
    Marks,
    /// Their devices and addresses as well.
    Everything,
}

/// What a topology wants: names at which there may be something.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    names: Vec<NetnsName>,
    /// Those of them that have no port.
    portless: BTreeSet<&'a NetnsName>,
    ends: WantedEnds<'a>,
}

impl<'a> Wanted<'a> {
    /// What `topology` wants.
    pub(super) fn by(topology: &'a Topology) -> Self {
        let members = topology.namespaces().iter().map(Namespace::name);
        Self {
            names: members.chain(topology.portless()).cloned().collect(),
            portless: topology.portless().iter().collect(),
            ends: pairs::wanted_ends(topology),
        }
    }
}

/// Reads everything of `fabric`, and whatever stands at the names in `wanted`. The links of the
/// namespace, which it is read out of, come with it.
pub(super) fn observe(
    host: &mut Netlink,
    fabric: &FabricName,
    wanted: &Wanted<'_>,
    depth: Depth,
) -> Result<(Observed, Vec<Link>), FabricError> {
    let links = host.links()?;
    // By its name, or by its mark when somebody renamed it.
    let bridge = links
        .iter()
        .find(|link| link.name == fabric.as_str())
        .or_else(|| links.iter().find(|link| is_marked_bridge(fabric, link)));
    let bridge = bridge.map_or(BridgeState::Absent, |link| bridge_state(fabric, link));

    // Wanted ones first, in their order; then what else bears our mark.
    let Wanted { names, portless, ends } = wanted;
    let mut members: Vec<Member> = names.iter().map(|name| absent(name.clone())).collect();
    let wanted_names: BTreeSet<&NetnsName> = names.iter().collect();
    let mut places: BTreeMap<NetnsName, usize> =
        names.iter().cloned().enumerate().map(|(at, name)| (name, at)).collect();
    let mut place = |members: &mut Vec<Member>, name: &NetnsName| {
        *places.entry(name.clone()).or_insert_with(|| {
            members.push(absent(name.clone()));
            members.len() - 1
        })
    };

    for link in &links {
        if let Some(name) = port_of(fabric, link) {
            let at = place(&mut members, &name);
            members[at].port = PortPresence::Ours(link.clone());
        } else if let Ok(name) = link.name.parse::<NetnsName>()
            && wanted_names.contains(&name)
            && !portless.contains(&name)
        {
            let at = place(&mut members, &name);
            members[at].port = PortPresence::Foreign(describe(fabric, link));
        }
    }
    // For a removal it is enough to know that one of our ports has its peer there, unless there may
    // be pairs as well.
    let behind_ports = match depth {
        Depth::Marks if !may_have_pairs(&bridge) => {
            members.iter().filter_map(netns_of_port).collect()
        }
        Depth::Marks | Depth::Everything => BTreeMap::new(),
    };
    let mut observed = Observed { bridge, ..Observed::default() };
    let here = ends.get(&None).cloned().unwrap_or_default();
    let found = pairs::look(host, fabric, None, &links, &here, depth)?;
    observed.take(None, found);
    for (name, state, found) in namespaces(host, fabric, depth, &behind_ports, ends)? {
        observed.take(Some(&name), found);
        let ours = matches!(state, NetnsState::Ours(_) | NetnsState::Remains);
        if ours || wanted_names.contains(&name) {
            let at = place(&mut members, &name);
            members[at].netns = state;
        }
    }
    observed.members = members;
    Ok((observed, links))
}

impl Observed {
    /// Adds what was found of pairs in one namespace.
    fn take(&mut self, netns: Option<&NetnsName>, found: FoundHere) {
        self.ends.extend(found.ends);
        let keyed = |(name, value)| ((netns.cloned(), name), value);
        self.sysctls.extend(found.sysctls.into_iter().map(keyed));
    }
}

/// Whether there can be pairs past the bridge. Without the bridge nothing says that there are none.
fn may_have_pairs(bridge: &BridgeState) -> bool {
    let BridgeState::Ours(bridge) = bridge else { return true };
    !matches!(
        bridge.alias.as_deref().and_then(Mark::parse),
        Some(Mark::Bridge { has_pairs: false, .. })
    )
}

/// The namespace behind the port of a member, where the port is ours.
fn netns_of_port(member: &Member) -> Option<(NetnsName, NetnsId)> {
    match &member.port {
        PortPresence::Ours(port) => Some((member.name.clone(), port.peer?.netns?)),
        PortPresence::Absent | PortPresence::Foreign(_) => None,
    }
}

fn absent(name: NetnsName) -> Member {
    Member { name, netns: NetnsState::Absent, port: PortPresence::Absent }
}

pub(super) fn bridge_state(fabric: &FabricName, link: &Link) -> BridgeState {
    let marked = is_marked_bridge(fabric, link);
    // Between its creation and its marking, a bridge of ours is known by its address.
    let ours = marked || link.mac == Some(fabric.bridge_mac());
    if matches!(link.kind, LinkKind::Bridge { .. }) && ours {
        BridgeState::Ours(link.clone())
    } else {
        BridgeState::Foreign(describe(fabric, link))
    }
}

fn is_marked_bridge(fabric: &FabricName, link: &Link) -> bool {
    matches!(link.alias.as_deref().and_then(Mark::parse),
        Some(Mark::Bridge { fabric: name, .. }) if name == fabric.as_str())
}

/// The namespace that `link` is the port of in `fabric`, by its mark or, between its creation and
/// its marking, by the address that follows from its name.
fn port_of(fabric: &FabricName, link: &Link) -> Option<NetnsName> {
    if link.kind != LinkKind::Veth {
        return None;
    }
    if let Some(Mark::Port { fabric: theirs, netns }) = link.alias.as_deref().and_then(Mark::parse)
    {
        return netns.parse().ok().filter(|_| theirs == fabric.as_str());
    }
    let name = link.name.parse().ok()?;
    (link.mac == Some(fabric.port_mac(&name))).then_some(name)
}

pub(super) fn describe(fabric: &FabricName, link: &Link) -> String {
    let kind = match &link.kind {
        LinkKind::Veth => "veth",
        LinkKind::Bridge { .. } => "bridge",
        LinkKind::Other(kind) if kind.is_empty() => "hardware device",
        LinkKind::Other(kind) => kind,
    };
    let alias =
        link.alias.as_ref().map(|alias| format!(" (alias \"{alias}\")")).unwrap_or_default();
    let mark = link.alias.as_deref().and_then(Mark::parse);
    let whose = match mark.map(Mark::fabric) {
        Some(theirs) if theirs == fabric.as_str() => "is something else in this fabric",
        _ => "is not this fabric's",
    };
    format!("there is a {kind} of that name{alias} that {whose}")
}

/// What stands behind the names of namespaces, in their order.
fn namespaces(
    netlink: &mut Netlink,
    fabric: &FabricName,
    depth: Depth,
    behind_ports: &BTreeMap<NetnsName, NetnsId>,
    wanted: &WantedEnds<'_>,
) -> Result<Vec<(NetnsName, NetnsState, FoundHere)>, FabricError> {
    let host = netns::current_inode()?;
    // Names that no topology could give are nothing of ours.
    let mut names: Vec<NetnsName> = netns::names()
        .map_err(FabricError::Names)?
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    names.sort();
    let mut states = Vec::with_capacity(names.len());
    let nothing = FoundHere::default;
    for chunk in names.chunks(OPEN_AT_ONCE) {
        let mut open = Vec::new();
        for name in chunk {
            match Netns::look_up(name.as_str())? {
                Named::Absent => {}
                Named::Other => states.push((name.clone(), no_namespace(), nothing())),
                Named::Remains(text) => {
                    states.push((name.clone(), remains(fabric, host, name, &text), nothing()));
                }
                Named::Namespace(netns) => {
                    let expected = behind_ports.get(name);
                    if expected.is_some() && netlink.netns_id(netns.as_fd())?.as_ref() == expected {
                        // Asked without entering, and without the lock of all network
                        // configuration, which a fabric that has just come up keeps busy.
                        let ours = NetnsState::Ours(Inside::default());
                        states.push((name.clone(), ours, nothing()));
                    } else {
                        open.push((name, netns));
                    }
                }
            }
        }
        let inside = netns::visit_all(open.iter().map(|(_, netns)| netns), |netns| {
            let name = netns.name().parse().expect("it was opened by a name that is one");
            inspect(fabric, host, &name, depth, wanted)
        });
        for ((name, _), inside) in open.iter().zip(inside) {
            let (state, found) = match inside {
                Ok(looked) => looked?,
                Err(error) if error.is_permission() => return Err(error.into()),
                // A namespace of another kind, by that name.
                Err(_) => (no_namespace(), nothing()),
            };
            states.push(((*name).clone(), state, found));
        }
    }
    Ok(states)
}

/// The fabrics that namespaces on this machine belong to, as their marks say.
pub(super) fn fabrics_of_namespaces() -> Result<BTreeSet<String>, FabricError> {
    let here = netns::current_inode()?;
    let mut fabrics = BTreeSet::new();
    let mut take = |text: &str| {
        if let Some(Mark::Netns { fabric, host, .. }) = Mark::parse(text)
            && host == here
        {
            fabrics.insert(fabric.to_owned());
        }
    };
    for chunk in netns::names().map_err(FabricError::Names)?.chunks(OPEN_AT_ONCE) {
        let mut open = Vec::new();
        for name in chunk {
            match Netns::look_up(name)? {
                Named::Absent | Named::Other => {}
                Named::Remains(text) => take(&text),
                Named::Namespace(netns) => open.push(netns),
            }
        }
        for alias in netns::visit_all(&open, |_| Netlink::open()?.link_by_index(LOOPBACK)) {
            // One that cannot be entered is a namespace of another kind.
            if let Ok(Ok(Some(Link { alias: Some(alias), .. }))) = alias {
                take(&alias);
            }
        }
    }
    Ok(fabrics)
}

fn remains(fabric: &FabricName, host: u64, name: &NetnsName, text: &str) -> NetnsState {
    let ours = Mark::parse(text).is_some_and(|mark| is_mark_of(mark, fabric, host, name));
    if ours { NetnsState::Remains } else { no_namespace() }
}

/// Whether `mark` is that of the namespace `name` of `fabric`, with a port or without.
fn is_mark_of(mark: Mark<'_>, fabric: &FabricName, host: u64, name: &NetnsName) -> bool {
    let ours = |is_portless| {
        let (fabric, netns) = (fabric.as_str(), name.as_str());
        Mark::Netns { fabric, netns, host, is_portless }
    };
    mark == ours(false) || mark == ours(true)
}

fn no_namespace() -> NetnsState {
    NetnsState::Foreign("there is a file of that name that is no network namespace".into())
}

/// Looks around in the namespace that the calling thread is in.
fn inspect(
    fabric: &FabricName,
    host: u64,
    name: &NetnsName,
    depth: Depth,
    wanted: &WantedEnds<'_>,
) -> Result<(NetnsState, FoundHere), NetlinkError> {
    let mut netlink = Netlink::open()?;
    let loopback = netlink.link_by_index(LOOPBACK)?;
    let alias = loopback.as_ref().and_then(|link| link.alias.as_deref());
    let foreign = |what: String| Ok((NetnsState::Foreign(what), FoundHere::default()));
    let is_portless = match alias.and_then(Mark::parse) {
        Some(mark) if is_mark_of(mark, fabric, host, name) => {
            matches!(mark, Mark::Netns { is_portless: true, .. })
        }
        Some(Mark::Netns { fabric, .. }) => {
            return foreign(format!(
                "there is a namespace of that name that belongs to fabric {fabric}, which is another \
                 one or in another network namespace (when that is gone: ip netns del {name})"
            ));
        }
        _ => {
            return foreign("there is a namespace of that name that veth did not make".into());
        }
    };
    let links = netlink.links()?;
    let here = wanted.get(&Some(name)).cloned().unwrap_or_default();
    let found = pairs::look(&mut netlink, fabric, Some(name), &links, &here, depth)?;
    if depth == Depth::Marks {
        return Ok((NetnsState::Ours(Inside { is_portless, ..Inside::default() }), found));
    }
    let is_end = |link: &&Link| {
        let ours = |end: &&FoundEnd| !matches!(end.claim, EndClaim::Foreign(_));
        found.ends.iter().filter(ours).any(|end| end.link.ifindex == link.ifindex)
    };
    let peer = links.iter().find(|link| link.name == PEER_NAME).filter(|link| !is_end(link));
    let addresses = match peer {
        Some(peer) => netlink.addresses(peer.ifindex)?,
        None => Vec::new(),
    };
    let lo_up = loopback.is_some_and(|link| link.is_up);
    let inside = Inside { lo_up, is_portless, peer: peer.cloned(), addresses };
    Ok((NetnsState::Ours(inside), found))
}
