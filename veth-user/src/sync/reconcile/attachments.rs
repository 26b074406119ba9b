//! Having the program on the ports of a bridge that are to have it, and on no others.

use std::collections::BTreeSet;

use veth_common::{Ifindex, PortSlot};

use super::{Extent, Reconciled, Reconciler};
use crate::sync::{
    Keeping, SyncError, XdpAttachment,
    filter::{our_program, remove_our_clsact},
};
use crate::{
    Stop,
    datapath::{self, Attached, Hook, PortDevice, Present},
    forwarding::{FastPath, is_hookable, is_watchable},
    view::{BridgeView, PortView},
};

impl Reconciler {
    /// Takes the other fast path off every port, when the fabric had that until now. Says where
    /// XDP was that is to go.
    pub(super) fn let_go_of_other(
        &mut self,
        view: &BridgeView,
    ) -> Result<Vec<XdpAttachment>, SyncError> {
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

    pub(super) fn await_release(&mut self, released: &[XdpAttachment]) -> Result<(), SyncError> {
        released.iter().try_for_each(|attachment| attachment.await_release(&mut self.host))
    }

    /// Takes those ports for unattached whose filter somebody removed, by itself or with its qdisc.
    pub(super) fn miss_removed(&mut self, extent: &Extent) -> Result<(), SyncError> {
        let by_qdisc = self.attached.iter().filter(|(_, (_, hook))| *hook == Hook::Clsact);
        let by_qdisc = by_qdisc.map(|(port, _)| *port).filter(|port| extent.has(*port));
        let by_qdisc: BTreeSet<Ifindex> = by_qdisc.collect();
        if by_qdisc.is_empty() {
            return Ok(());
        }
        let qdiscs = self.host.filter_hooks()?;
        for port in by_qdisc {
            // Filters are asked for where an event told of a change, and not of hundreds of ports.
            let has_filter = qdiscs.contains_key(&port)
                && (*extent == Extent::Whole || our_program(&mut self.host, port)?.is_some());
            if !has_filter {
                self.attached.remove(&port);
            }
        }
        Ok(())
    }

    /// Attaches the program to those ports of `view` that are to have it and have not.
    pub(super) fn attach_ports(
        &mut self,
        view: &BridgeView,
        stop: &Stop,
        done: &mut Reconciled,
    ) -> Result<(), SyncError> {
        let mut unsure = Vec::new();
        let path = self.datapath.path();
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
                Ok(Attached::New) => {
                    self.fresh.insert(port.link.ifindex);
                    done.attached += 1;
                }
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
    pub(super) fn is_hooked(&self, port: &PortView) -> bool {
        is_hookable(port, self.datapath.path())
            || self.keeping != Keeping::Managed && is_watchable(port)
    }

    /// Takes the program from everything that had it and is not in `hooked`.
    pub(super) fn detach_ports(&mut self, hooked: &BTreeSet<Ifindex>) -> Result<usize, SyncError> {
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

fn slot_of(port: &PortView) -> Option<PortSlot> {
    port.link.bridge_port.map(|bridge_port| bridge_port.slot)
}

fn device(port: &PortView) -> PortDevice<'_> {
    PortDevice { ifindex: port.link.ifindex, name: &port.link.name }
}
