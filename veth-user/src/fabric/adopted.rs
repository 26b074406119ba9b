//! Bridges that somebody else made: what the fast path would find there, and taking it off.

use veth_common::{Meta, Ownership};

use super::{FabricError, detach, has_datapath, observe};
use crate::{
    Stop, datapath,
    lock::FabricLock,
    netlink::Netlink,
    plan::BridgeState,
    sync::{look_for_bypassed, look_for_vlans, observe_bridge},
    topology::FabricName,
    view::{BridgeView, Bypass, Bypasses, LinkKind},
};

/// Looks at a bridge that somebody else made, as a fast path that may pass `allowed` by would find it.
///
/// # Errors
///
/// When there is no such bridge, it is veth's own, or the kernel cannot be asked.
pub fn survey(fabric: &FabricName, allowed: Bypasses) -> Result<BridgeView, FabricError> {
    let mut host = Netlink::open()?;
    let Some(mut view) = observe_bridge(&mut host, fabric.as_str())? else {
        return Err(FabricError::NoSuchBridge(fabric.to_string()));
    };
    if let BridgeState::Ours(_) = observe::bridge_state(fabric, &view.bridge) {
        return Err(FabricError::Managed(fabric.to_string()));
    }
    view.allowed = allowed;
    look_for_bypassed(&mut host, &mut view)?;
    look_for_vlans(&mut host, &mut view)?;
    Ok(view)
}

/// Whether there is a bridge of that name, whoever made it.
///
/// # Errors
///
/// When the kernel cannot be asked.
pub fn is_there(fabric: &FabricName) -> Result<bool, FabricError> {
    let link = Netlink::open()?.link_by_name(fabric.as_str())?;
    Ok(link.is_some_and(|link| matches!(link.kind, LinkKind::Bridge { .. })))
}

/// Makes sure that a bridge may be adopted: nothing that concerns all of its ports would be passed by
/// but what was accepted. Who watches a bridge comes and goes, so that this is no reason: its ports are the
/// bridge's meanwhile.
///
/// # Errors
///
/// When something would, with all that it takes to accept it.
pub fn require_adoptable(view: &BridgeView) -> Result<(), FabricError> {
    let refused = view.bypassed.except(view.allowed).without(Bypass::Promiscuous);
    if refused.is_empty() {
        return Ok(());
    }
    let flags: Vec<String> = refused.iter().map(|it| format!("--bypass {it}")).collect();
    Err(FabricError::Refused {
        bridge: view.bridge.name.clone(),
        causes: refused.iter().map(|bypass| bypass.explanation().to_owned()).collect(),
        flags: flags.join(" "),
    })
}

/// Takes the fast path off a bridge that somebody else made, and says whether there was one.
///
/// # Errors
///
/// When the bridge is veth's own, there is neither bridge nor fast path, or something cannot be
/// removed.
pub fn release(fabric: &FabricName, stop: &Stop) -> Result<bool, FabricError> {
    let meta = signed(fabric)?;
    if meta.is_some_and(|meta| meta.abi != 0 && meta.ownership == Ownership::MANAGED) {
        return Err(FabricError::Managed(fabric.to_string()));
    }
    let had_datapath = has_datapath(fabric)?;
    if !had_datapath {
        // Only to say what there is.
        survey(fabric, Bypasses::NONE)?;
    }
    detach(fabric, stop)?;
    // Of one that was killed, the file goes; one that lives notices by itself.
    let _ = FabricLock::acquire_keeping(fabric.as_str());
    Ok(had_datapath)
}

/// Whose bridge the pins of `fabric` are for, if it has any in this network namespace.
///
/// # Errors
///
/// When the pins are there and cannot be read (`CAP_BPF`).
pub fn signed(fabric: &FabricName) -> Result<Option<Meta>, FabricError> {
    let meta = datapath::read_meta(fabric.as_str())?;
    Ok(if has_datapath(fabric)? { meta } else { None })
}

pub(super) fn is_adopted(fabric: &FabricName) -> Result<bool, FabricError> {
    Ok(signed(fabric)?.is_some_and(|meta| meta.ownership == Ownership::ADOPTED))
}
