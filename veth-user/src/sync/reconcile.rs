//! One look at a bridge, and what follows from it.

use std::collections::BTreeMap;

use veth_common::{Ifindex, Mac, PortSlot, names};

use super::{SyncError, observe_bridge};
use crate::{
    datapath::{Attached, Changes, Datapath, Hook, PortDevice, ProgramSource},
    forwarding::{Tables, eligibility, is_hookable},
    netlink::Netlink,
    topology::FabricName,
    view::{BridgeView, FdbKind, PortView},
};

/// Brings the datapath of one fabric to what its bridge is, as often as asked.
pub struct Reconciler {
    host: Netlink,
    fabric: FabricName,
    hook: Hook,
    datapath: Datapath,
    /// The ports known to be attached, and the slot of each. Empty at first: the first round
    /// makes sure of every port.
    attached: BTreeMap<Ifindex, PortSlot>,
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
    /// Ports that it was taken from.
    pub detached: usize,
    /// Changes to the maps.
    pub tables: Changes,
    /// Stations newly tied to their port in the bridge.
    pub stations: usize,
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
    /// When the kernel refuses the object or the pins.
    pub fn start(fabric: &FabricName, hook: Hook) -> Result<Self, SyncError> {
        Ok(Self {
            host: Netlink::open()?,
            fabric: fabric.clone(),
            hook,
            datapath: Datapath::load(fabric.as_str())?,
            attached: BTreeMap::new(),
        })
    }

    /// Where the program comes from.
    pub const fn source(&self) -> ProgramSource {
        self.datapath.source()
    }

    /// Looks at the bridge and brings maps and attachments to what it is now.
    ///
    /// The order keeps every moment right: the bridge is told to hold the stations before the
    /// program may rely on it, and a port is attached after the maps know it.
    ///
    /// # Errors
    ///
    /// When the bridge is gone, or the kernel refuses something.
    pub fn reconcile(&mut self) -> Result<Reconciled, SyncError> {
        let view = observe_bridge(&mut self.host, self.fabric.as_str())?
            .ok_or_else(|| SyncError::Absent(self.fabric.to_string()))?;
        let tables = Tables::of(&view);
        let mut done = Reconciled {
            ports: view.ports.len(),
            eligible: view.ports.iter().filter(|port| eligibility(&view, port).is_ok()).count(),
            ..Reconciled::default()
        };
        done.stations = self.hold_stations(&view, &tables)?;
        done.tables = self.datapath.tables().apply(&tables)?;
        self.attach_ports(&view, &mut done)?;
        self.detach_ports(&view, &mut done)?;
        self.datapath.commit()?;
        Ok(done)
    }

    /// Makes the bridge hold each station on its port, and let go of those it no longer should.
    fn hold_stations(&mut self, view: &BridgeView, tables: &Tables) -> Result<usize, SyncError> {
        let held: BTreeMap<Mac, Ifindex> = view
            .fdb
            .iter()
            .filter(|entry| entry.kind == FdbKind::Sticky)
            .map(|entry| (entry.mac, entry.port))
            .collect();
        for (mac, port) in held.iter().filter(|(mac, port)| tables.stations.get(*mac) != Some(port))
        {
            match self.host.forget_station(*port, *mac) {
                Err(error) if !error.is_not_found() => return Err(error.into()),
                _ => {}
            }
        }
        let mut added = 0;
        for (mac, port) in tables.stations.iter().filter(|(mac, port)| held.get(*mac) != Some(port))
        {
            match self.host.pin_station(*port, *mac) {
                Ok(()) => added += 1,
                // The port went meanwhile; the next round will know.
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(added)
    }

    fn attach_ports(&mut self, view: &BridgeView, done: &mut Reconciled) -> Result<(), SyncError> {
        for port in view.ports.iter().filter(|port| is_hookable(port)) {
            let Some(slot) = slot_of(port) else { continue };
            // A port that left and came back has another number, and starts anew.
            if self.attached.get(&port.link.ifindex) == Some(&slot) {
                continue;
            }
            let filter = self.host.ingress_program(port.link.ifindex, names::TC_INGRESS)?;
            match self.datapath.attach(self.hook, device(port), filter)? {
                Attached::New => {
                    self.datapath.counters().reset(slot)?;
                    done.attached += 1;
                }
                Attached::Replaced => done.replaced += 1,
                Attached::Adopted => {}
            }
            self.attached.insert(port.link.ifindex, slot);
        }
        Ok(())
    }

    fn detach_ports(&mut self, view: &BridgeView, done: &mut Reconciled) -> Result<(), SyncError> {
        let hooked: BTreeMap<Ifindex, &PortView> = view
            .ports
            .iter()
            .filter(|port| is_hookable(port))
            .map(|port| (port.link.ifindex, port))
            .collect();
        let gone: Vec<Ifindex> =
            self.attached.keys().filter(|ifindex| !hooked.contains_key(ifindex)).copied().collect();
        for ifindex in gone {
            self.attached.remove(&ifindex);
            done.detached += 1;
            // A device that only left the bridge is still there, and so is its filter.
            if let Some(link) = self.host.link_by_index(ifindex)? {
                let filter = self.host.ingress_program(ifindex, names::TC_INGRESS)?;
                let device = PortDevice { ifindex, name: &link.name };
                self.datapath.detach(device, filter)?;
            }
        }
        self.datapath.forget_links_except(|ifindex| hooked.contains_key(&ifindex))?;
        Ok(())
    }
}

fn slot_of(port: &PortView) -> Option<PortSlot> {
    port.link.bridge_port.map(|bridge_port| bridge_port.slot)
}

fn device(port: &PortView) -> PortDevice<'_> {
    PortDevice { ifindex: port.link.ifindex, name: &port.link.name }
}
