//! One look at a bridge, and what follows from it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use veth_common::{FdbEntry, FdbFlags, Ifindex, Lease, Mac, PortSlot, Vlan};

use super::{
    HookPolicy, Keeping, SyncError, XdpAttachment,
    bypass::{RuleState, look_for_bypassed},
    filter::{our_program, remove_our_clsact},
    keeping::{Refresher, ageing_of, new_lease, now_ns},
    look_for_vlans, observe_bridge,
    xdp::{prepare_peers, restore_peers},
};
use crate::{
    Stop,
    datapath::{
        self, Attached, Changes, Datapath, Hook, PortDevice, Present, ProgramSource, Renewal,
    },
    forwarding::{FastPath, Tables, eligibility, is_hookable, is_watchable},
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
        let path = self.datapath.path();
        if self.keeping == Keeping::Managed {
            // `up` may have written since.
            self.datapath.tables().forget();
        }
        // Before the bridge is asked: a process that is stopped after that vouches for nothing.
        if !self.lease.is_valid_at(now_ns()) {
            self.lease = new_lease();
        }
        // And so is this: what is taken back later may be because of what the bridge says.
        let pardoned = self.datapath.tables().revoked(served(&self.written))?;
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
        if path == FastPath::Xdp {
            prepare_peers(&mut self.host, &self.fabric, &mut view, self.datapath.prepared())?;
        }
        let tables = match self.keeping {
            Keeping::Managed => Tables::of(&view, &self.written.stations, path),
            Keeping::Adopted { allowed } => {
                view.allowed = allowed;
                self.rules = Some(RuleState::read()?);
                look_for_bypassed(&mut self.host, &mut view)?;
                look_for_vlans(&mut self.host, &mut view)?;
                self.leased_tables(&view, &pardoned)?
            }
        };
        let is_eligible = |port: &&PortView| eligibility(&view, port, path).is_ok();
        let mut done = Reconciled {
            ports: view.ports.len(),
            eligible: view.ports.iter().filter(is_eligible).count(),
            program: self.datapath.source(),
            ..Reconciled::default()
        };
        let released = self.let_go_of_other(&view)?;
        match self.keeping {
            Keeping::Managed => done.stations = self.hold_stations(&view, &tables)?,
            Keeping::Adopted { .. } => {
                let counters = self.datapath.counters();
                done.refreshed =
                    self.refresher.refresh(&mut self.host, &view, &tables, counters)?;
                self.ageing = ageing_of(&view);
            }
        }
        self.reset_counters(&tables)?;
        done.tables = self.datapath.tables().apply(&tables)?;
        self.attach_ports(&view, stop, &mut done)?;
        // Those of a switch that was not completed go as late as here.
        self.await_release(&released)?;
        let hooked = view.ports.iter().filter(|port| self.is_hooked(port));
        let hooked = hooked.map(|port| port.link.ifindex).collect();
        done.detached = self.detach_ports(&hooked)?;
        let needs_xdp = |port: Ifindex| path == FastPath::Xdp && hooked.contains(&port);
        restore_peers(self.datapath.prepared(), needs_xdp)?;
        let (ownership, bypasses) = self.keeping.signature();
        self.datapath.commit(ownership, bypasses)?;
        self.is_signed = true;
        self.written = tables;
        Ok(done)
    }

    /// Lets the entries of an adopted bridge be used for a while longer. Says whether somebody has to
    /// look at the bridge first: the program saw a station elsewhere, rules on the way or what is
    /// accepted have changed, or nobody vouched for the entries in time.
    ///
    /// # Errors
    ///
    /// When a map cannot be read or written.
    pub fn renew(&mut self) -> Result<Renewal, SyncError> {
        if self.keeping == Keeping::Managed {
            return Ok(Renewal::Done);
        }
        let is_late = !self.lease.is_valid_at(now_ns());
        self.lease = new_lease();
        if is_late
            || !self.datapath.is_current()?
            || Keeping::of(&self.datapath.signature()?) != self.keeping
            || Some(RuleState::read()?) != self.rules
        {
            return Ok(Renewal::Contradicted);
        }
        for entry in self.written.fdb.values_mut().filter(|entry| is_served(entry)) {
            // What was not pardoned waits for a look.
            if entry.lease != Lease::EXPIRED {
                entry.lease = self.lease;
            }
        }
        Ok(self.datapath.tables().renew(served(&self.written))?)
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

    /// Takes the other fast path off every port, when the fabric had that until now. Says where
    /// XDP was that is to go.
    fn let_go_of_other(&mut self, view: &BridgeView) -> Result<Vec<XdpAttachment>, SyncError> {
        if self.datapath.path() == FastPath::Tc {
            let ports = view.ports.iter();
            let attachments = ports.map(|port| XdpAttachment::of(&self.fabric, &port.link));
            let released =
                attachments.filter_map(Result::transpose).collect::<Result<Vec<_>, _>>()?;
            if self.datapath.let_go_of_other()? {
                self.await_release(&released)?;
            }
            return Ok(released);
        }
        if !self.datapath.let_go_of_other()? {
            return Ok(Vec::new());
        }
        for port in &view.ports {
            if our_program(&mut self.host, port.link.ifindex)?.is_some() {
                datapath::detach_clsact(device(port))?;
                remove_our_clsact(&mut self.host, &self.fabric, port.link.ifindex)?;
            }
        }
        Ok(Vec::new())
    }

    fn await_release(&mut self, released: &[XdpAttachment]) -> Result<(), SyncError> {
        released.iter().try_for_each(|attachment| attachment.await_release(&mut self.host))
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

    fn attach_ports(
        &mut self,
        view: &BridgeView,
        stop: &Stop,
        done: &mut Reconciled,
    ) -> Result<(), SyncError> {
        let mut unsure = Vec::new();
        let path = self.datapath.path();
        if self.attached.values().any(|(_, hook)| *hook == Hook::Clsact) {
            // Anybody can remove a qdisc, and our filter with it.
            let qdiscs = self.host.filter_hooks()?;
            let is_there = |port, hook| hook != Hook::Clsact || qdiscs.contains_key(&port);
            self.attached.retain(|port, (_, hook)| is_there(*port, *hook));
        }
        // Those that are only watched come first: nobody moves there unseen once others are served.
        let hooked = view.ports.iter().filter(|port| self.is_hooked(port));
        let (forwarding, watched): (Vec<&PortView>, Vec<_>) =
            hooked.partition(|port| is_hookable(port, path));
        for port in watched.into_iter().chain(forwarding) {
            let Some(slot) = slot_of(port) else { continue };
            // One that left and came back has another number, and may have lost the program.
            if self.attached.get(&port.link.ifindex).is_none_or(|(known, _)| *known != slot) {
                let filter = our_program(&mut self.host, port.link.ifindex)?;
                let present = Present { filter, xdp: port.link.xdp_program };
                let hook = self.datapath.hook_of(device(port), present)?;
                unsure.push((port, slot, present, hook));
            }
        }
        let is_new = |hook: Option<Hook>| hook.is_none_or(|hook| hook.path() != path);
        let new_ports = unsure.iter().filter(|(.., hook)| is_new(*hook)).count();
        for (port, slot, present, hook) in unsure {
            if stop.is_requested() {
                return Err(SyncError::Interrupted);
            }
            let hook = self.hook.choose(hook, new_ports);
            match self.datapath.attach(hook, device(port), present) {
                Ok(Attached::New) => done.attached += 1,
                Ok(Attached::Replaced) => done.replaced += 1,
                Ok(Attached::Adopted) => {}
                // What is inside a namespace, or what kind of device it is, may make one port
                // impossible; it is no reason to leave the others without. `status` tells of it, and
                // the next round tries again.
                Err(error)
                    if !is_hookable(port, path)
                        || hook == Hook::Xdp && error.is_refused_by_device() =>
                {
                    done.refused += 1;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
            self.attached.insert(port.link.ifindex, (slot, hook));
        }
        Ok(())
    }

    /// Whether the program is to run on `port`. On a bridge of somebody else's stations move where they
    /// like, so that every port is watched.
    fn is_hooked(&self, port: &PortView) -> bool {
        is_hookable(port, self.datapath.path())
            || self.keeping != Keeping::Managed && is_watchable(port)
    }

    /// Takes the program from everything that had it and is not in `hooked`.
    fn detach_ports(&mut self, hooked: &BTreeSet<Ifindex>) -> Result<usize, SyncError> {
        let known = self.written.ports.keys().chain(self.attached.keys());
        let gone: BTreeSet<Ifindex> =
            known.filter(|ifindex| !hooked.contains(ifindex)).copied().collect();
        let mut detached = 0;
        let mut released = Vec::new();
        for ifindex in gone {
            detached += usize::from(self.attached.remove(&ifindex).is_some());
            // A device that only left the bridge is still there, and so is its filter.
            if let Some(link) = self.host.link_by_index(ifindex)? {
                let mut filter = our_program(&mut self.host, ifindex)?;
                if let Some(program) = filter
                    && datapath::is_of_another(self.fabric.as_str(), program)?
                {
                    // The bridge that has the port now was quicker.
                    filter = None;
                }
                let device = PortDevice { ifindex, name: &link.name };
                released.extend(XdpAttachment::of(&self.fabric, &link)?);
                self.datapath.detach(device, filter)?;
                remove_our_clsact(&mut self.host, &self.fabric, ifindex)?;
            }
        }
        self.datapath.forget_links_except(|ifindex| hooked.contains(&ifindex))?;
        self.datapath.forget_clsacts_except(|ifindex| hooked.contains(&ifindex))?;
        self.await_release(&released)?;
        Ok(detached)
    }
}

/// The entries of adopted bridges that somebody has to vouch for.
fn served(tables: &Tables) -> impl Iterator<Item = &FdbEntry> {
    tables.fdb.values().filter(|entry| is_served(entry))
}

fn is_served(entry: &FdbEntry) -> bool {
    entry.flags.contains(FdbFlags::TARGET) && entry.lease != Lease::FOREVER
}

fn slot_of(port: &PortView) -> Option<PortSlot> {
    port.link.bridge_port.map(|bridge_port| bridge_port.slot)
}

fn device(port: &PortView) -> PortDevice<'_> {
    PortDevice { ifindex: port.link.ifindex, name: &port.link.name }
}
