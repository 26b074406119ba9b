//! Our filter on a port, and the clsact qdisc that it hangs on.

use veth_common::Ifindex;

use super::SyncError;
use crate::{
    datapath::{self, FilterPlace},
    netlink::{Netlink, NetlinkError},
    topology::FabricName,
};

/// Id of the program of our filter on a device, if it has one.
///
/// # Errors
///
/// When the kernel cannot be asked.
pub fn our_program(host: &mut Netlink, ifindex: Ifindex) -> Result<Option<u32>, NetlinkError> {
    let FilterPlace { priority, handle, name } = datapath::FILTER;
    host.ingress_program(ifindex, priority, handle, name)
}

/// Removes the clsact qdisc of a device when it was made for our filter and has no other.
///
/// # Errors
///
/// When the kernel cannot be asked, or the mark cannot be removed.
pub fn remove_our_clsact(
    host: &mut Netlink,
    fabric: &FabricName,
    ifindex: Ifindex,
) -> Result<(), SyncError> {
    if !datapath::made_clsact(fabric.as_str(), ifindex) {
        return Ok(());
    }
    host.remove_empty_clsact(ifindex)?;
    Ok(datapath::forget_clsact(fabric.as_str(), ifindex).map_err(datapath::DatapathError::from)?)
}
