//! Fabrics: bringing one up to a topology, taking one down, and saying what is there.
//!
//! The kernel is the database. Whatever these functions need to know they read from links,
//! namespaces and pins, so they work the same after a crash, an edit of the file, or somebody's
//! clean-up by hand.

mod adopted;
mod apply;
mod error;
mod explain;
mod observe;
mod pair_status;
mod pairs;
mod status;

use std::collections::{BTreeMap, HashSet};

use veth_common::{Ifindex, Ownership};

pub use adopted::{is_there, release, require_adoptable, signed, survey};
pub use error::FabricError;
pub use explain::{Explained, Explainer, Obstacle, Outgoing, Source};
pub use pair_status::{EndStatus, PairStatus};
pub use status::{
    CountedPort, FabricStatus, MemberStatus, PortStatus, counted_ports, list, list_counted, status,
};

use crate::{
    Stop,
    datapath::{self, Hook, PreparedMap},
    forwarding::FastPath,
    lock::FabricLock,
    netlink::Netlink,
    netns,
    plan::{BridgeState, Conflicts, PortPresence, Step, plan, plan_removal},
    sync::{
        HookPolicy, Keeping, Reconciled, Reconciler, SyncError, XdpAttachment, our_program,
        remove_our_clsact, restore_peers,
    },
    topology::{FabricName, Topology},
    view::{Link, LinkKind},
};
use adopted::is_adopted;
use apply::Executor;
use observe::{Depth, Wanted};

/// Lets a caller watch an operation, and stop it between two steps.
pub struct Control<'a> {
    /// Set when the operation is to stop; it then takes back what it did.
    pub stop: &'a Stop,
    /// Told before each step: how many are done, how many there are, and which one is next.
    pub progress: &'a mut dyn FnMut(usize, usize, &Step),
    /// Told when another process works on the fabric, and has to be waited for.
    pub waiting: &'a mut dyn FnMut(),
}

impl Control<'_> {
    fn check(&self) -> Result<(), FabricError> {
        if self.stop.is_requested() { Err(FabricError::Interrupted) } else { Ok(()) }
    }
}

/// What `up` did.
#[derive(Debug, Default)]
pub struct Raised {
    /// The steps that were taken; none when the fabric was up as described.
    pub steps: Vec<Step>,
    /// What was done to the datapath; `None` for a fabric without one.
    pub datapath: Option<Reconciled>,
    /// Whether there had been one that is gone now.
    pub lost_datapath: bool,
}

/// Brings the fabric to `topology`: makes what is missing, changes what differs, removes what is
/// no longer wanted, and attaches the datapath.
///
/// # Errors
///
/// On the first failure, after taking back what was done; the error then has both stories. Things
/// of that name that are not ours are an error before anything is touched.
pub fn up(
    topology: &Topology,
    hook: Option<Hook>,
    control: &mut Control<'_>,
) -> Result<Raised, FabricError> {
    let fabric = topology.name();
    let _lock = FabricLock::acquire(fabric.as_str(), control.stop, control.waiting)?;
    let mut host = Netlink::open()?;
    let wanted = Wanted::by(topology);
    let (observed, links) = observe::observe(&mut host, fabric, &wanted, Depth::Everything)?;
    let plan = plan(topology, &observed)?;
    // Before anything is made: a datapath that this kernel cannot have is no reason to start.
    let hook = topology.datapath().fast_path().map(|path| hook_policy(path, hook)).transpose()?;
    let had_datapath = has_datapath(fabric)?;
    let former = datapath::pinned_path(fabric.as_str()).filter(|_| had_datapath);

    let mut executor = Executor::new(&mut host, fabric, &observed, &links);
    executor.run(&plan.build, control)?;
    let attached = match hook {
        Some(hook) => Reconciler::start(fabric, hook, Keeping::Managed)
            .and_then(|mut reconciler| {
                reconciler.reconcile(control.stop).map(|done| Some((reconciler, done)))
            })
            .map_err(FabricError::from),
        None => detach_locked(fabric).map(|()| None),
    };
    let attached = match attached {
        Ok(attached) => attached,
        Err(cause) => {
            let mut undone = executor.undo(&plan.build);
            undone.extend(match former {
                None if !had_datapath => detach_locked(fabric).err(),
                // Somewhere between the two: the former may be on no port any more.
                Some(former) if topology.datapath().fast_path() != Some(former) => {
                    switch_back(fabric, former).err()
                }
                _ => None,
            });
            return Err(cause.after_undo(undone));
        }
    };
    let steps = plan.steps().cloned().collect();
    // What could still fail now fails without a way back, but everything wanted is there.
    executor.run_all(&plan.clear, control)?;
    let Some((mut reconciler, mut done)) = attached else {
        return Ok(Raised { steps, datapath: None, lost_datapath: had_datapath });
    };
    if !plan.clear.is_empty() {
        done.detached += reconciler.reconcile(control.stop)?.detached;
    }
    Ok(Raised { steps, datapath: Some(done), lost_datapath: false })
}

/// Brings `fabric` back to the fast path that it had. The wish to stop is why; it must not stop this.
fn switch_back(fabric: &FabricName, former: FastPath) -> Result<(), FabricError> {
    let hook = hook_policy(former, None)?;
    Reconciler::start(fabric, hook, Keeping::Managed)?.reconcile(&Stop::new())?;
    Ok(())
}

/// Whether `fabric` has pins, and they are not those of another network namespace.
fn has_datapath(fabric: &FabricName) -> Result<bool, FabricError> {
    if !datapath::dir_of(fabric.as_str()).exists() {
        return Ok(false);
    }
    let here = netns::current_inode()?;
    let meta = datapath::read_meta(fabric.as_str())?;
    // What was left unfinished says nothing yet.
    Ok(meta.is_none_or(|meta| meta.abi == 0 || meta.netns_inode == here))
}

/// The policy for a hook of `path` that was asked for, or for none in particular. XDP has but one.
///
/// # Errors
///
/// When the kernel lacks what the datapath needs.
pub fn hook_policy(
    path: FastPath,
    hook: Option<Hook>,
) -> Result<HookPolicy, datapath::DatapathError> {
    if path == FastPath::Xdp {
        return Ok(HookPolicy::Only(Hook::Xdp));
    }
    let best = datapath::supported_hook()?;
    hook.map_or(Ok(()), datapath::require_hook)?;
    Ok(hook.map_or(HookPolicy::Auto { best }, HookPolicy::Only))
}

/// What `down` did.
#[derive(Debug, Default)]
pub struct Lowered {
    /// The steps that were taken; none when there was nothing of the fabric.
    pub steps: Vec<Step>,
    /// Whether there were pins.
    pub had_datapath: bool,
}

/// Removes everything of the fabric: datapath, ports, namespaces, bridge.
///
/// Goes on after a failure, so that as little as possible is left.
///
/// # Errors
///
/// What could not be removed, all of it.
pub fn down(fabric: &FabricName, control: &mut Control<'_>) -> Result<Lowered, FabricError> {
    let _lock = FabricLock::acquire(fabric.as_str(), control.stop, control.waiting)?;
    if is_adopted(fabric)? {
        return Err(FabricError::Adopted(fabric.to_string()));
    }
    let mut host = Netlink::open()?;
    let (observed, links) = observe::observe(&mut host, fabric, &Wanted::default(), Depth::Marks)?;
    let had_datapath = has_datapath(fabric)?;
    let steps = plan_removal(&observed);
    // Our own ports take the program with them. Detaching them one by one would make the kernel
    // wait for its readers as often; ports of others, though, stay.
    let ours: HashSet<Ifindex> = observed
        .members
        .iter()
        .filter_map(|member| match &member.port {
            PortPresence::Ours(port) => Some(port.ifindex),
            PortPresence::Absent | PortPresence::Foreign(_) => None,
        })
        .collect();
    let theirs = links.iter().filter(|link| !ours.contains(&link.ifindex));
    detach_filters(&mut host, fabric, theirs)?;
    let mut executor = Executor::new(&mut host, fabric, &observed, &links);
    let removed = executor.run_all(&steps, control);
    if had_datapath && !removed.as_ref().is_err_and(FabricError::is_interrupted) {
        datapath::remove_dir(&datapath::dir_of(fabric.as_str()))
            .map_err(datapath::DatapathError::from)?;
    }
    removed?;
    Ok(Lowered { steps, had_datapath })
}

/// Makes sure that `fabric` is one that veth made, or a bridge that it is attached to, and that it has
/// a datapath. Says how it is kept.
///
/// # Errors
///
/// When it is not there, somebody else's, or has none.
pub fn require_datapath(fabric: &FabricName) -> Result<Keeping, FabricError> {
    let Some(link) = Netlink::open()?.link_by_name(fabric.as_str())? else {
        let name = fabric.to_string();
        let is_there = list()?.contains(fabric);
        return Err(if is_there {
            FabricError::NoBridge(name)
        } else {
            SyncError::Absent(name).into()
        });
    };
    let meta = signed(fabric)?;
    match observe::bridge_state(fabric, &link) {
        BridgeState::Foreign(_) if matches!(link.kind, LinkKind::Bridge { .. }) => match meta {
            Some(meta) if meta.ownership == Ownership::ADOPTED => Ok(Keeping::of(&meta)),
            _ => Err(FabricError::NotAttached(fabric.to_string())),
        },
        BridgeState::Foreign(what) => Err(Conflicts(vec![format!("{fabric}: {what}")]).into()),
        BridgeState::Ours(_) if meta.is_some() => Ok(Keeping::Managed),
        BridgeState::Ours(_) | BridgeState::Absent => {
            Err(FabricError::NoDatapath(fabric.to_string()))
        }
    }
}

/// The steps that `up` would take for `topology`: what is missing, in the words of its mending.
///
/// # Errors
///
/// When the kernel cannot be asked, or something that is not ours is in the way.
pub fn missing(topology: &Topology) -> Result<Vec<Step>, FabricError> {
    let mut host = Netlink::open()?;
    let wanted = Wanted::by(topology);
    let (observed, _) = observe::observe(&mut host, topology.name(), &wanted, Depth::Everything)?;
    Ok(plan(topology, &observed)?.steps().cloned().collect())
}

/// Attaches the datapath of a bridge that is up, and makes it true.
///
/// # Errors
///
/// When there is no such fabric, or the kernel refuses something.
pub fn attach(
    fabric: &FabricName,
    hook: HookPolicy,
    keeping: Keeping,
    stop: &Stop,
) -> Result<Reconciled, FabricError> {
    let _lock = FabricLock::acquire(fabric.as_str(), stop, &mut || {})?;
    Ok(Reconciler::start(fabric, hook, keeping)?.reconcile(stop)?)
}

/// Detaches the datapath of `fabric` and removes its pins; the bridge takes over. Having none is
/// fine.
///
/// # Errors
///
/// When a filter or pin is there and cannot be removed, or another process is at work.
pub fn detach(fabric: &FabricName, stop: &Stop) -> Result<(), FabricError> {
    let _lock = FabricLock::acquire(fabric.as_str(), stop, &mut || {})?;
    detach_locked(fabric)
}

fn detach_locked(fabric: &FabricName) -> Result<(), FabricError> {
    let mut host = Netlink::open()?;
    let links = host.links()?;
    if !has_datapath(fabric)? {
        return detach_filters(&mut host, fabric, &links);
    }
    let stations = if is_adopted(fabric)? {
        BTreeMap::new()
    } else {
        datapath::pinned_stations(fabric.as_str())?
    };
    detach_filters(&mut host, fabric, &links)?;
    let attachments = links.iter().map(|link| XdpAttachment::of(fabric, link));
    let released = attachments.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
    datapath::remove_links(fabric.as_str())?;
    // Until then, frames would still lose what their sender leaves to the device.
    released.iter().try_for_each(|attachment| attachment.await_release(&mut host))?;
    restore_peers(&mut PreparedMap::open(fabric.as_str())?, |_| false)?;
    datapath::remove_dir(&datapath::dir_of(fabric.as_str()))
        .map_err(datapath::DatapathError::from)?;
    // The bridge may move them again, now that nobody relies on it.
    for (mac, port) in stations {
        match host.forget_station(port, mac) {
            Err(error) if !error.is_not_found() && !error.is_unsupported() => {
                return Err(error.into());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Removes our clsact filters from those of `links` that are ports of `fabric`, or were, whatever kind
/// of device that is.
fn detach_filters<'a>(
    host: &mut Netlink,
    fabric: &FabricName,
    links: impl IntoIterator<Item = &'a Link>,
) -> Result<(), FabricError> {
    let program = datapath::pinned_program(fabric.as_str(), FastPath::Tc)?;
    let bridge = host.link_by_name(fabric.as_str())?.map(|link| link.ifindex);
    let hooks = host.filter_hooks()?;
    for link in links.into_iter().filter(|link| hooks.contains_key(&link.ifindex)) {
        let is_port = bridge.is_some() && link.controller == bridge;
        let filter = our_program(host, link.ifindex)?;
        if filter.is_some() && (is_port || filter == program) {
            let device = datapath::PortDevice { ifindex: link.ifindex, name: &link.name };
            datapath::detach_clsact(device)?;
            remove_our_clsact(host, fabric, link.ifindex)?;
        }
    }
    Ok(())
}
