//! One look at a bridge, and what follows from it.

mod attachments;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use veth_common::{FdbEntry, FdbFlags, Ifindex, Lease, Mac, PortSlot, Vlan};

use super::{
    HookPolicy, Keeping, Scope, SyncError,
    bypass::{RuleState, look_for_bypassed},
    keeping::{Refresher, ageing_of, new_lease, now_ns},
    look_for_vlans, observe_bridge,
    revisit::{Revisited, revisit},
    xdp::{prepare_peers, restore_peers},
};
use crate::{
    Stop,
    datapath::{Changes, Datapath, Hook, ProgramSource, Renewal},
    forwarding::{FastPath, Tables, eligibility},
    netlink::Netlink,
    netns,
    topology::FabricName,
    view::{BridgeView, FdbKind, PortView},
};

/// Brings the datapath of one fabric to what its bridge is, as often as asked.
pub struct Reconciler {
    host: Netlink,
    fabric: FabricName,
    hook: HookPolicy,
    keeping: Keeping,
    /// Whether that stands in the pins. From then on they say it: another process may accept more.
    is_signed: bool,
    datapath: Datapath,
    /// What the maps hold: at first what was found in them, which is what an earlier process did.
    written: Tables,
    /// The ports known to be attached, with the slot and the hook of each. Empty at first: the first
    /// round makes sure of every port.
    attached: BTreeMap<Ifindex, (PortSlot, Hook)>,
    /// Those that it was attached to since leases were last renewed.
    fresh: BTreeSet<Ifindex>,
    /// An adopted bridge as it was when everything in the maps was true of it.
    seen: Option<BridgeView>,
    /// Until when entries of an adopted bridge may be used.
    lease: Lease,
    refresher: Refresher,
    /// The rules on the way, when they were last looked at.
    rules: Option<RuleState>,
    /// After how long the bridge forgets a station, as last seen.
    ageing: Option<Duration>,
}

/// What one round found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Reconciled {
    /// Ports of the bridge.
    pub ports: usize,
    /// Those that the fast path serves.
    pub eligible: usize,
    /// Ports that the program was attached to.
    pub attached: usize,
    /// Ports on which it took the place of another one.
    pub replaced: usize,
    /// Ports whose device did not take it.
    pub refused: usize,
    /// Ports that it was taken from.
    pub detached: usize,
    /// Changes to the maps.
    pub tables: Changes,
    /// Stations newly tied to their port in the bridge.
    pub stations: usize,
    /// Stations that the bridge was told of because it no longer sees their frames.
    pub refreshed: usize,
    /// Where the program came from.
    pub program: ProgramSource,
}

impl Reconciled {
    /// Whether everything was as it should be.
    pub const fn is_unchanged(&self) -> bool {
        self.attached == 0
            && self.replaced == 0
            && self.detached == 0
            && self.stations == 0
            && self.tables.is_empty()
    }
}

/// A bridge as it is now.
struct Look {
    view: BridgeView,
    extent: Extent,
}

/// How much of a bridge was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Extent {
    /// Everything.
    Whole,
    /// These ports, and other things.
    Parts {
        ports: BTreeSet<Ifindex>,
        /// Whether maps can have become untrue by what was found.
        is_changed: bool,
    },
}

impl Extent {
    /// Whether the maps may have to change.
    fn is_changed(&self) -> bool {
        match self {
            Self::Whole => true,
            Self::Parts { is_changed, .. } => *is_changed,
        }
    }

    /// Whether it includes the port.
    fn has(&self, port: Ifindex) -> bool {
        match self {
            Self::Whole => true,
            Self::Parts { ports, .. } => ports.contains(&port),
        }
    }
}

impl Reconciler {
    /// Loads the datapath of `fabric`, or takes over what is pinned.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the object or the pins, or they belong to a fabric in another
    /// network namespace.
    pub fn start(
        fabric: &FabricName,
        hook: HookPolicy,
        keeping: Keeping,
    ) -> Result<Self, SyncError> {
        let inode = netns::current_inode()?;
        let mut datapath =
            Datapath::load(fabric.as_str(), inode, hook.path(), keeping.signature())?;
        let written = datapath.tables().read()?;
        let host = Netlink::open()?;
        let fabric = fabric.clone();
        Ok(Self {
            host,
            fabric,
            hook,
            keeping,
            is_signed: false,
            datapath,
            written,
            attached: BTreeMap::new(),
            fresh: BTreeSet::new(),
            seen: None,
            lease: new_lease(),
            refresher: Refresher::default(),
            rules: None,
            ageing: None,
        })
    }

    /// Looks at the bridge and brings maps and attachments to what it is now.
    ///
    /// The order keeps every moment right: the bridge is told to hold the stations before the
    /// program may rely on it, and a port is attached after the maps know it.
    ///
    /// # Errors
    ///
    /// When the bridge is gone (the fast path then ends as well), the pins are no longer this
    /// datapath's, the kernel refuses something, or `stop` was requested between two attachments,
    /// each of which takes a while.
    pub fn reconcile(&mut self, stop: &Stop) -> Result<Reconciled, SyncError> {
        self.follow(Scope::Everything, stop)
    }

    /// The same, reading no more of the bridge than `scope` says has changed, where that will do. After a
    /// round that failed, everything is looked at.
    pub(super) fn follow(&mut self, scope: Scope, stop: &Stop) -> Result<Reconciled, SyncError> {
        let path = self.datapath.path();
        if self.keeping == Keeping::Managed {
            // `up` may have written since.
            self.datapath.tables().forget();
        }
        // Before the bridge is asked: a process that is stopped after that vouches for nothing.
        if !self.lease.is_valid_at(now_ns()) {
            self.lease = new_lease();
            // Much may have been heard of since, and not be in `scope` yet.
            self.seen = None;
        }
        // And so is this: what is taken back later may be because of what the bridge says.
        let pardoned = self.datapath.tables().revoked(served(&self.written))?;
        let Look { view, extent } = self.look(scope, &pardoned)?;
        let is_whole = extent == Extent::Whole;
        let is_eligible = |port: &&PortView| eligibility(&view, port, path).is_ok();
        let mut done = Reconciled {
            ports: view.ports.len(),
            eligible: view.ports.iter().filter(is_eligible).count(),
            program: self.datapath.source(),
            ..Reconciled::default()
        };
        let released = if is_whole { self.let_go_of_other(&view)? } else { Vec::new() };
        let tables = match self.keeping {
            _ if !extent.is_changed() => None,
            Keeping::Managed => Some(Tables::of(&view, &self.written.stations, path)),
            Keeping::Adopted { .. } => Some(self.leased_tables(&view, &pardoned)?),
        };
        if let Some(tables) = &tables {
            if is_whole {
                self.tell_bridge(&view, tables, &mut done)?;
            }
            self.reset_counters(tables)?;
            done.tables = self.datapath.tables().apply(tables)?;
        }
        self.miss_removed(&extent)?;
        self.attach_ports(&view, stop, &mut done)?;
        // Those of a switch that was not completed go as late as here.
        self.await_release(&released)?;
        if let Some(tables) = tables {
            let hooked = view.ports.iter().filter(|port| self.is_hooked(port));
            let hooked = hooked.map(|port| port.link.ifindex).collect();
            done.detached = self.detach_ports(&hooked)?;
            if is_whole {
                let needs_xdp = |port: Ifindex| path == FastPath::Xdp && hooked.contains(&port);
                restore_peers(self.datapath.prepared(), needs_xdp)?;
            }
            self.written = tables;
        }
        let (ownership, bypasses) = self.keeping.signature();
        self.datapath.commit(ownership, bypasses)?;
        self.is_signed = true;
        self.seen = (self.keeping != Keeping::Managed).then_some(view);
        Ok(done)
    }

    /// Reads what of the bridge may have changed since it was last seen, the stations `pardoned` among it.
    fn look(&mut self, scope: Scope, pardoned: &BTreeSet<Mac>) -> Result<Look, SyncError> {
        let Some(known) = self.seen.take() else { return self.look_at_everything() };
        let Scope::Parts(mut parts) = scope else { return self.look_at_everything() };
        if !self.datapath.is_current()? {
            return Err(SyncError::Replaced(self.fabric.to_string()));
        }
        self.keeping = Keeping::of(&self.datapath.signature()?);
        let Keeping::Adopted { allowed } = self.keeping else { return self.look_at_everything() };
        parts.add_moved(known.bridge.ifindex, pardoned);
        let rules = RuleState::read()?;
        parts.rules |= self.rules != Some(rules);
        let was_allowed = known.allowed;
        let Some(found) = revisit(&mut self.host, known, &parts)? else {
            return self.look_at_everything();
        };
        self.rules = Some(rules);
        let Revisited { mut view, ports, is_changed } = found;
        view.allowed = allowed;
        let is_changed = is_changed || was_allowed != allowed || !pardoned.is_empty();
        Ok(Look { view, extent: Extent::Parts { ports, is_changed } })
    }

    fn look_at_everything(&mut self) -> Result<Look, SyncError> {
        let view = observe_bridge(&mut self.host, self.fabric.as_str())?;
        let is_current = self.datapath.is_current()?;
        let Some(mut view) = view else {
            if is_current {
                self.datapath.tables().apply(&Tables::default())?;
                self.detach_ports(&BTreeSet::new())?;
            }
            return Err(SyncError::Absent(self.fabric.to_string()));
        };
        if !is_current {
            return Err(SyncError::Replaced(self.fabric.to_string()));
        }
        if self.is_signed {
            self.keeping = Keeping::of(&self.datapath.signature()?);
        }
        if self.datapath.path() == FastPath::Xdp {
            prepare_peers(&mut self.host, &self.fabric, &mut view, self.datapath.prepared())?;
        }
        if let Keeping::Adopted { allowed } = self.keeping {
            view.allowed = allowed;
            self.rules = Some(RuleState::read()?);
            look_for_bypassed(&mut self.host, &mut view)?;
            look_for_vlans(&mut self.host, &mut view)?;
        }
        Ok(Look { view, extent: Extent::Whole })
    }

    /// Lets the entries of an adopted bridge be used for a while longer, unless something on the way has
    /// changed of which no event tells. Says what has to be looked at: that, stations that the program saw
    /// elsewhere, and ports that the program has come to since the last time, because whoever makes way for
    /// it is not heard either.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked, or a map cannot be read or written.
    pub fn renew(&mut self) -> Result<Option<Scope>, SyncError> {
        if self.keeping == Keeping::Managed {
            return Ok(None);
        }
        let is_late = !self.lease.is_valid_at(now_ns());
        self.lease = new_lease();
        let Some(seen) = self.seen.as_ref().filter(|_| !is_late) else {
            return Ok(Some(Scope::Everything));
        };
        if !self.datapath.is_current()?
            || Keeping::of(&self.datapath.signature()?) != self.keeping
            || Some(RuleState::read()?) != self.rules
        {
            return Ok(Some(Scope::Everything));
        }
        let bridge = seen.bridge.ifindex;
        if self.host.link_by_index(bridge)?.as_ref() != Some(&seen.bridge) {
            return Ok(Some(Scope::of_links([bridge])));
        }
        for entry in self.written.fdb.values_mut().filter(|entry| is_served(entry)) {
            // What was not pardoned waits for a look.
            if entry.lease != Lease::EXPIRED {
                entry.lease = self.lease;
            }
        }
        let renewal = self.datapath.tables().renew(served(&self.written))?;
        let fresh = std::mem::take(&mut self.fresh);
        // A look has each station that was taken back among what it reads.
        let is_due = renewal == Renewal::Contradicted || !fresh.is_empty();
        Ok(is_due.then(|| Scope::of_links(fresh)))
    }

    /// Has the next round read the maps, whatever was written to them before.
    pub(super) fn suspect(&mut self) {
        self.datapath.tables().forget();
    }

    /// How long the bridge may be left alone before stations that it does not see are forgotten by it.
    pub(super) const fn ageing(&self) -> Option<Duration> {
        self.ageing
    }

    /// What the maps of an adopted bridge should hold. What the program took back since `pardoned`
    /// was read stays taken back, because `view` may be older than its reason.
    fn leased_tables(
        &mut self,
        view: &BridgeView,
        pardoned: &BTreeSet<Mac>,
    ) -> Result<Tables, SyncError> {
        let mut tables = Tables::leased(view, self.lease);
        for mac in self.datapath.tables().revoked(served(&self.written))? {
            if let Some(entry) = tables.fdb.get_mut(&mac).filter(|_| !pardoned.contains(&mac)) {
                entry.lease = Lease::EXPIRED;
            }
        }
        Ok(tables)
    }

    /// Tells the bridge what it does not see by itself. How long ago it saw a station is known from a look
    /// at everything alone.
    fn tell_bridge(
        &mut self,
        view: &BridgeView,
        tables: &Tables,
        done: &mut Reconciled,
    ) -> Result<(), SyncError> {
        match self.keeping {
            Keeping::Managed => done.stations = self.hold_stations(view, tables)?,
            Keeping::Adopted { .. } => {
                let counters = self.datapath.counters();
                done.refreshed = self.refresher.refresh(&mut self.host, view, tables, counters)?;
                self.ageing = ageing_of(view);
            }
        }
        Ok(())
    }

    /// Makes the bridge hold each station on its port, and let go of those that it held for us and
    /// no longer should. Entries that somebody else made are not touched.
    fn hold_stations(&mut self, view: &BridgeView, tables: &Tables) -> Result<usize, SyncError> {
        let held: BTreeSet<(Mac, Ifindex)> = view
            .fdb
            .iter()
            .filter(|entry| entry.kind == FdbKind::Sticky && entry.vlan == Vlan::NONE)
            .map(|entry| (entry.mac, entry.port))
            .collect();
        for (mac, port) in &self.written.stations {
            if tables.stations.get(mac) == Some(port) || !held.contains(&(*mac, *port)) {
                continue;
            }
            match self.host.forget_station(*port, *mac) {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        let mut added = 0;
        for (mac, port) in &tables.stations {
            if held.contains(&(*mac, *port)) {
                continue;
            }
            match self.host.pin_station(*port, *mac) {
                Ok(()) => added += 1,
                // The port went meanwhile; the next round will know.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(added)
    }

    /// Starts the counters of ports anew that the maps did not know, or knew in another place: the
    /// figures there are those of a port that was there before.
    fn reset_counters(&mut self, tables: &Tables) -> Result<(), SyncError> {
        for (ifindex, entry) in &tables.ports {
            let before = self.written.ports.get(ifindex);
            if before.is_none_or(|before| before.slot != entry.slot) {
                self.datapath.counters().reset(entry.slot)?;
            }
        }
        Ok(())
    }
}

/// The entries of adopted bridges that somebody has to vouch for.
fn served(tables: &Tables) -> impl Iterator<Item = &FdbEntry> {
    tables.fdb.values().filter(|entry| is_served(entry))
}

fn is_served(entry: &FdbEntry) -> bool {
    entry.flags.contains(FdbFlags::TARGET) && entry.lease != Lease::FOREVER
}
