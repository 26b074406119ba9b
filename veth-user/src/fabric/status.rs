//! What is there of a fabric, and what is wrong with it.

use std::collections::BTreeSet;

use serde::Serialize;
use veth_common::{Ifindex, Lease, PortSlot};

use super::{FabricError, PairStatus, has_datapath, observe, pair_status};
use crate::{
    datapath::{self, Hook},
    forwarding::{FastPath, Tables, eligibility, is_hookable, is_watchable},
    lock::FabricLock,
    netlink::Netlink,
    plan::{BridgeState, Mark, Member, NetnsState, PortPresence},
    sync::{
        Keeping, SyncError, look_for_bypassed, look_for_vlans, now_ns, observe_bridge, observe_xdp,
        our_program,
    },
    topology::FabricName,
    view::{BridgeView, Bypasses, Link, PortView},
};

/// A fabric as it is.
#[derive(Debug, Serialize)]
pub struct FabricStatus {
    /// Its name.
    pub fabric: String,
    /// Whose bridge it is: `managed` by veth, or `adopted` from somebody else.
    pub ownership: &'static str,
    /// What the user accepted that frames pass by.
    pub bypasses: Bypasses,
    /// The datapath that is pinned: `tc`, `xdp`, or `none`.
    pub datapath: &'static str,
    /// Release of the pinned object.
    pub release: Option<String>,
    /// Whether somebody vouches for what the fast path may use; always for a managed fabric.
    pub is_kept: bool,
    /// Whether the bridge is up.
    pub is_up: bool,
    /// MTU of the bridge in bytes; zero when there is none.
    pub mtu_bytes: u32,
    /// Ports of the bridge.
    pub ports: Vec<PortStatus>,
    /// Namespaces, and whether each is whole.
    pub namespaces: Vec<MemberStatus>,
    /// Pairs past the bridge.
    pub pairs: Vec<PairStatus>,
    /// Everything that is not as it should be, one sentence each.
    pub problems: Vec<String>,
}

/// A port as it is.
#[derive(Debug, Serialize)]
pub struct PortStatus {
    /// Its name.
    pub name: String,
    /// Its index.
    pub ifindex: u32,
    /// The namespace behind it, as far as its alias tells.
    pub netns: Option<String>,
    /// Where the program is attached, if it is.
    pub hook: Option<Hook>,
    /// Whether the fast path serves it.
    pub fast: bool,
    /// If not, why: a stable name.
    pub reason: Option<&'static str>,
    /// The same as a sentence.
    pub explanation: Option<String>,
    /// The bridge's number for it, and its place in the counters.
    #[serde(skip)]
    pub slot: PortSlot,
}

/// A namespace as it is.
#[derive(Debug, Serialize)]
pub struct MemberStatus {
    /// Its name.
    pub name: String,
    /// Addresses of the interface inside.
    pub addresses: Vec<String>,
}

/// The names of all fabrics that are there, or of which something is.
///
/// # Errors
///
/// When the kernel cannot be asked.
pub fn list() -> Result<Vec<FabricName>, FabricError> {
    let mut names = BTreeSet::new();
    for link in Netlink::open()?.links()? {
        if let Some(
            Mark::Bridge { fabric, .. } | Mark::Port { fabric, .. } | Mark::End { fabric, .. },
        ) = link.alias.as_deref().and_then(Mark::parse)
        {
            names.insert(fabric.to_owned());
        }
    }
    names.extend(observe::fabrics_of_namespaces()?);
    let mut names: BTreeSet<FabricName> =
        names.iter().filter_map(|name| name.parse().ok()).collect();
    names.extend(list_counted()?);
    Ok(names.into_iter().collect())
}

/// The names of the fabrics that have a datapath: all that is counted. Namespaces are not looked
/// into, so this costs little.
///
/// # Errors
///
/// When the kernel cannot be asked.
pub fn list_counted() -> Result<Vec<FabricName>, FabricError> {
    let mut names = Vec::new();
    for name in datapath::fabrics().map_err(datapath::DatapathError::from)? {
        if let Ok(name) = name.parse()
            && has_datapath(&name)?
        {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Looks at everything of `fabric`.
///
/// # Errors
///
/// When there is nothing of that name, or the kernel cannot be asked.
pub fn status(fabric: &FabricName) -> Result<FabricStatus, FabricError> {
    let mut host = Netlink::open()?;
    let (observed, _) = observe::observe(
        &mut host,
        fabric,
        &observe::Wanted::default(),
        observe::Depth::Everything,
    )?;
    let has_pins = has_datapath(fabric)?;
    let (pairs, pair_problems) = pair_status::pairs(&observed);
    // Pairs alone have no bridge, and nothing to do with one of somebody else's by that name.
    let is_something = !pairs.is_empty() || !observed.members.is_empty();
    let needs_none = is_something && !has_pins && observed.members.iter().all(is_portless);
    let mut view = match observed.bridge {
        BridgeState::Foreign(_) if needs_none => None,
        _ => observe_bridge(&mut host, fabric.as_str())?,
    };
    let meta = datapath::read_meta(fabric.as_str())?.filter(|_| has_pins);
    let path = datapath::pinned_path(fabric.as_str()).filter(|_| meta.is_some());
    if let (Some(view), Some(FastPath::Xdp)) = (&mut view, path) {
        observe_xdp(&mut host, fabric, view)?;
    }
    if view.is_none() && !has_pins && observed.members.is_empty() && pairs.is_empty() {
        return Err(SyncError::Absent(fabric.to_string()).into());
    }
    let is_bridge = view.is_some() && matches!(observed.bridge, BridgeState::Foreign(_));
    if is_bridge && !has_pins && observed.members.is_empty() && pairs.is_empty() {
        return Err(FabricError::NotAttached(fabric.to_string()));
    }
    let is_unfinished = has_pins && meta.is_none_or(|meta| meta.abi == 0);
    let keeping = meta.map_or(Keeping::Managed, |meta| Keeping::of(&meta));
    let (ownership, bypasses) = match keeping {
        Keeping::Managed => ("managed", Bypasses::NONE),
        Keeping::Adopted { allowed } => ("adopted", allowed),
    };
    let is_adopted = keeping != Keeping::Managed;
    if let Some(view) = view.as_mut().filter(|_| is_adopted) {
        view.allowed = bypasses;
        look_for_bypassed(&mut host, view)?;
        look_for_vlans(&mut host, view)?;
    }
    let mut problems = Vec::new();
    match &observed.bridge {
        BridgeState::Ours(bridge) if !bridge.is_up => problems.push("the bridge is down".into()),
        BridgeState::Absent | BridgeState::Foreign(_) if needs_none => {}
        // Whose the pins are going to be cannot be told yet.
        BridgeState::Foreign(_) if is_unfinished && is_bridge => {}
        BridgeState::Foreign(what) if !is_adopted => problems.push(what.clone()),
        BridgeState::Ours(_) | BridgeState::Foreign(_) => {}
        BridgeState::Absent if is_adopted => problems.push(format!(
            "the bridge is gone; `veth detach {fabric}` removes what is left of the fast path"
        )),
        BridgeState::Absent => problems.push("the bridge is missing".into()),
    }
    let adopted = view.as_ref().filter(|_| is_adopted);
    problems.extend(adopted.and_then(|view| lack_of_room(fabric, view)));
    let is_vouched_for = !is_adopted || has_valid_leases(fabric)?;
    if !is_vouched_for && view.is_some() {
        problems.push(format!(
            "nobody renews what the fast path may use, so the bridge forwards everything: is \
             `veth agent {fabric}` running?"
        ));
    }
    if is_unfinished {
        problems.push(unfinished(fabric, is_adopted || is_bridge));
    }

    let bridge = view.as_ref().map(|view| view.bridge.ifindex);
    let namespaces = namespaces(&observed.members, bridge, &mut problems);
    problems.extend(pair_problems);
    let mut ports = Vec::new();
    if let Some(view) = &view {
        let served_by = path.unwrap_or(FastPath::Tc);
        for port in &view.ports {
            let mut status = port_status(&mut host, view, port, fabric, served_by)?;
            status.fast &= is_vouched_for;
            let is_watched = is_adopted && is_watchable(port);
            let is_hooked = is_hookable(port, served_by) || is_watched;
            if meta.is_some() && !is_unfinished && status.hook.is_none() && is_hooked {
                problems.push(format!("port {}: the program is not attached", status.name));
            }
            // What somebody else put into a bridge of theirs is no problem of it.
            if let Some(explanation) = status.explanation.as_ref().filter(|_| !is_adopted) {
                problems.push(format!("port {} is left to the bridge: {explanation}", status.name));
            }
            ports.push(status);
        }
    }
    Ok(FabricStatus {
        fabric: fabric.to_string(),
        ownership,
        bypasses,
        is_kept: is_vouched_for,
        datapath: path.map_or("none", FastPath::name),
        release: meta.filter(|it| it.abi != 0).map(|it| datapath::release_text(it.release)),
        is_up: view.as_ref().is_some_and(|view| view.bridge.is_up),
        mtu_bytes: view.as_ref().map_or(0, |view| view.bridge.mtu_bytes),
        ports,
        namespaces,
        pairs,
        problems,
    })
}

/// What there is to say of a bridge of somebody else's that knows more stations than the maps take.
fn lack_of_room(fabric: &FabricName, view: &BridgeView) -> Option<String> {
    let left_out = Tables::leased(view, Lease::EXPIRED).left_out;
    (left_out > 0).then(|| {
        format!(
            "the bridge knows more stations than the fast path has room for (does one port send \
             from made-up addresses? `bridge fdb show br {fabric}`): {left_out} of those that it \
             does not serve count as unknown; those that it serves are not affected"
        )
    })
}

/// Why the pins are not finished.
fn unfinished(fabric: &FabricName, is_of_others: bool) -> String {
    if FabricLock::is_taken(fabric.as_str()) {
        "the fast path is being attached at this moment".to_owned()
    } else if is_of_others {
        format!(
            "attaching was interrupted; `veth attach {fabric}` completes it, `veth detach {fabric}` \
             takes off what there is"
        )
    } else {
        "the datapath was left unfinished; `veth up` completes it".to_owned()
    }
}

/// Whether somebody vouches for the stations that the fast path serves; where it serves none, nobody
/// has to.
fn has_valid_leases(fabric: &FabricName) -> Result<bool, FabricError> {
    let leases = datapath::pinned_leases(fabric.as_str())?;
    let now_ns = now_ns();
    Ok(leases.is_empty() || leases.iter().any(|lease| lease.is_valid_at(now_ns)))
}

/// The namespaces that are there; what is wrong with them goes to `problems`.
fn namespaces(
    members: &[Member],
    bridge: Option<Ifindex>,
    problems: &mut Vec<String>,
) -> Vec<MemberStatus> {
    let mut namespaces = Vec::new();
    for member in members {
        let name = &member.name;
        match &member.netns {
            NetnsState::Ours(inside) => {
                namespaces.push(MemberStatus {
                    name: name.to_string(),
                    addresses: inside.addresses.iter().map(ToString::to_string).collect(),
                });
                if !inside.lo_up {
                    problems.push(format!("lo is down in namespace {name}"));
                }
                if inside.peer.is_none() && !inside.is_portless {
                    problems.push(format!("namespace {name} has no interface"));
                }
            }
            NetnsState::Absent => problems.push(format!("namespace {name} is missing")),
            NetnsState::Remains => {
                problems.push(format!("of namespace {name} only a file is left"));
            }
            NetnsState::Foreign(what) => problems.push(format!("namespace {name}: {what}")),
        }
        match &member.port {
            PortPresence::Ours(port) if port.controller != bridge => {
                problems.push(format!("port {name} is not in the bridge"));
            }
            PortPresence::Ours(_) => {}
            PortPresence::Absent if is_portless(member) => {}
            PortPresence::Absent => problems.push(format!("port {name} is missing")),
            PortPresence::Foreign(what) => problems.push(format!("port {name}: {what}")),
        }
    }
    namespaces
}

/// Whether a member is there for pairs alone.
fn is_portless(member: &Member) -> bool {
    matches!(&member.netns, NetnsState::Ours(inside) if inside.is_portless)
}

fn port_status(
    host: &mut Netlink,
    view: &BridgeView,
    port: &PortView,
    fabric: &FabricName,
    path: FastPath,
) -> Result<PortStatus, FabricError> {
    let link = &port.link;
    let reason = eligibility(view, port, path).err();
    let hook = if datapath::has_link(fabric.as_str(), link.ifindex) {
        Some(match path {
            FastPath::Tc => Hook::Tcx,
            FastPath::Xdp => Hook::Xdp,
        })
    } else {
        our_program(host, link.ifindex)?.map(|_| Hook::Clsact)
    };
    Ok(PortStatus {
        name: link.name.clone(),
        ifindex: link.ifindex.0,
        netns: netns_of(link),
        hook,
        fast: reason.is_none() && hook.is_some(),
        reason: reason.map(crate::forwarding::Ineligible::name),
        explanation: reason.map(|reason| reason.to_string()),
        slot: link.bridge_port.map_or(PortSlot::UNKNOWN, |port| port.slot),
    })
}

/// The namespace behind a port, by the port's mark.
fn netns_of(port: &Link) -> Option<String> {
    match port.alias.as_deref().and_then(Mark::parse) {
        Some(Mark::Port { netns, .. }) => Some(netns.to_owned()),
        _ => None,
    }
}

/// A port whose counters can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedPort {
    /// Its name.
    pub name: String,
    /// Its index.
    pub ifindex: Ifindex,
    /// The namespace behind it, as far as its alias tells.
    pub netns: Option<String>,
    /// Its place in the counters.
    pub slot: PortSlot,
}

/// The ports of a bridge, as far as counting goes: one request, however many there are.
///
/// # Errors
///
/// When there is no bridge of that name, or the kernel cannot be asked.
pub fn counted_ports(
    host: &mut Netlink,
    fabric: &FabricName,
) -> Result<Vec<CountedPort>, FabricError> {
    let links = host.links()?;
    let bridge = links
        .iter()
        .find(|link| link.name == fabric.as_str())
        .map(|link| link.ifindex)
        .ok_or_else(|| SyncError::Absent(fabric.to_string()))?;
    Ok(links
        .iter()
        .filter(|link| link.controller == Some(bridge))
        .filter_map(|link| {
            Some(CountedPort {
                name: link.name.clone(),
                ifindex: link.ifindex,
                netns: netns_of(link),
                slot: link.bridge_port?.slot,
            })
        })
        .collect())
}
