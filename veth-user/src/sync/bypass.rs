//! Finding out what a fast path over a bridge would pass by.

use super::SyncError;
use crate::{
    netlink::Netlink,
    view::{BridgeView, Bypass, LinkKind},
};

/// Fills in what frames would pass by that a fast path hands from a veth port of `view` to another.
///
/// # Errors
///
/// When the kernel cannot be asked. What it was built without is not there to be passed by.
pub fn look_for_bypassed(_host: &mut Netlink, view: &mut BridgeView) -> Result<(), SyncError> {
    for port in view.ports.iter_mut().filter(|port| port.link.kind == LinkKind::Veth) {
        if port.link.has_qdisc {
            port.bypassed = port.bypassed.with(Bypass::Qdisc);
        }
    }
    Ok(())
}
