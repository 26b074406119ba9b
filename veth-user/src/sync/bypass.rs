//! Finding out what a fast path over a bridge would pass by.

use std::collections::BTreeMap;

use veth_common::Ifindex;

use super::SyncError;
use crate::{
    datapath::{self, FilterPlace, PortDevice},
    netlink::{FilterHooks, HookedDevices, Netfilter, Netlink, NetlinkError},
    sysctl,
    view::{BridgeView, Bypass, Bypasses, Link, LinkKind, PortView},
};

/// Tables of legacy ebtables, each a module.
const EBTABLES_MODULES: [&str; 3] = ["ebtable_filter", "ebtable_nat", "ebtable_broute"];

/// Fills in what frames would pass by that a fast path hands from a veth port of `view` to another.
/// The calling thread is in the namespace of the bridge.
///
/// The fabric's own program and filter are not counted, nor is a program that comes before it, which
/// meets every frame.
///
/// # Errors
///
/// When the kernel cannot be asked. What it was built without is not there to be passed by.
pub fn look_for_bypassed(host: &mut Netlink, view: &mut BridgeView) -> Result<(), SyncError> {
    look_for_rules(view)?;
    look_for_filters(host, view, |_| true)
}

/// The part of it that netfilter has a hand in, which is known for all ports at once.
pub(super) fn look_for_rules(view: &mut BridgeView) -> Result<(), NetlinkError> {
    let mut netfilter = match Netfilter::open() {
        Ok(netfilter) => Some(netfilter),
        Err(error) if error.is_unsupported() => None,
        Err(error) => return Err(error),
    };
    let devices = match &mut netfilter {
        Some(netfilter) => netfilter.hooked_devices()?,
        None => HookedDevices::default(),
    };
    view.bypassed = of_bridge(netfilter.as_mut(), &view.bridge)?;
    for port in view.ports.iter_mut().filter(|port| port.link.kind == LinkKind::Veth) {
        let rules = when(Bypass::NftNetdev, devices.contains(&port.link.name));
        port.bypassed = port.bypassed.without(Bypass::NftNetdev).or(rules);
    }
    Ok(())
}

/// The part of it that each port has for itself, for those ports that are `wanted`.
pub(super) fn look_for_filters(
    host: &mut Netlink,
    view: &mut BridgeView,
    wanted: impl Fn(Ifindex) -> bool,
) -> Result<(), SyncError> {
    let filters = host.filter_hooks()?;
    let fabric = &view.bridge.name;
    let veths = view.ports.iter_mut().filter(|port| port.link.kind == LinkKind::Veth);
    for port in veths.filter(|port| wanted(port.link.ifindex)) {
        let rules = port.bypassed.and(Bypasses::from([Bypass::NftNetdev]));
        port.bypassed = rules
            .or(of_filters(host, &filters, port.link.ifindex)?)
            .or(of_programs(fabric, port)?)
            .or(when(Bypass::Qdisc, port.link.has_qdisc));
    }
    Ok(())
}

/// What tells that rules may have changed, of which no event does or one was lost. Cheap enough to be asked
/// every second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RuleState {
    /// How many settings of `br_netfilter` are on.
    settings: usize,
    /// The generation of nftables.
    generation: u32,
    /// Whether something else hooks into bridges, when the kernel tells.
    has_other_hook: bool,
}

impl RuleState {
    /// What it is now. The calling thread is in the namespace of the bridge.
    pub(super) fn read() -> Result<Self, NetlinkError> {
        let (generation, has_other_hook) = match Netfilter::open() {
            Ok(mut netfilter) => {
                (netfilter.generation()?, netfilter.has_other_bridge_hook()?.unwrap_or_default())
            }
            Err(error) if error.is_unsupported() => (0, false),
            Err(error) => return Err(error),
        };
        Ok(Self { settings: sysctl::bridge_netfilter().len(), generation, has_other_hook })
    }
}

fn when(bypass: Bypass, is_found: bool) -> Bypasses {
    if is_found { Bypasses::from([bypass]) } else { Bypasses::NONE }
}

/// What concerns all ports.
fn of_bridge(netfilter: Option<&mut Netfilter>, bridge: &Link) -> Result<Bypasses, NetlinkError> {
    let is_told = matches!(bridge.kind, LinkKind::Bridge { calls_netfilter: true, .. });
    let found = when(Bypass::BrNetfilter, is_told || !sysctl::bridge_netfilter().is_empty())
        .or(when(Bypass::Promiscuous, bridge.promiscuity > 0));
    let Some(netfilter) = netfilter else { return Ok(found) };
    // A kernel that does not list its hooks may still show that a module has been loaded, though
    // not for which namespace.
    let has_ebtables = netfilter
        .has_other_bridge_hook()?
        .unwrap_or_else(|| EBTABLES_MODULES.into_iter().any(sysctl::has_module));
    Ok(found
        .or(when(Bypass::NftBridge, netfilter.has_bridge_chain()?))
        .or(when(Bypass::Ebtables, has_ebtables)))
}

/// Filters of the port, other than ours.
fn of_filters(
    host: &mut Netlink,
    hooks: &BTreeMap<Ifindex, FilterHooks>,
    port: Ifindex,
) -> Result<Bypasses, NetlinkError> {
    let Some(hooks) = hooks.get(&port) else { return Ok(Bypasses::NONE) };
    let FilterPlace { priority, handle, name } = datapath::FILTER;
    let ingress = host.has_ingress_filter_beside(port, priority, handle, name)?;
    let egress = *hooks == FilterHooks::IngressAndEgress && host.has_egress_filter(port)?;
    Ok(when(Bypass::TcIngress, ingress).or(when(Bypass::TcEgress, egress)))
}

/// Programs at the tcx hooks of the port, other than ours.
fn of_programs(fabric: &str, port: &PortView) -> Result<Bypasses, SyncError> {
    let ours = datapath::linked_program(fabric, port.link.ifindex)?;
    let device = PortDevice { ifindex: port.link.ifindex, name: &port.link.name };
    let ingress = datapath::has_tcx_ingress_after(device, ours)?;
    let egress = datapath::has_tcx_egress(device)?;
    Ok(when(Bypass::TcIngress, ingress).or(when(Bypass::TcEgress, egress)))
}
