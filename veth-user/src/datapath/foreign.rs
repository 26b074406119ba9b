//! Programs of others at the tcx hooks of a port.

use aya::programs::{ProgramInfo, SchedClassifier, TcAttachType};
use nix::errno::Errno;

use super::{
    DatapathError, Hook, PortDevice,
    attach::{attach_failed, has_errno},
};

/// How often a list is read in which a program went that had been named.
const ATTEMPTS: usize = 4;

/// Whether a port has tcx programs at its ingress that frames meet after the program with id `ours`;
/// with none of ours there, whether it has any.
///
/// # Errors
///
/// When the kernel cannot be asked. One without tcx (before 6.6) has no such programs.
pub fn has_tcx_ingress_after(
    port: PortDevice<'_>,
    ours: Option<u32>,
) -> Result<bool, DatapathError> {
    let programs = tcx_programs(port, TcAttachType::Ingress)?;
    // In the order in which they run.
    let before = programs.iter().position(|id| Some(*id) == ours).map_or(0, |place| place + 1);
    Ok(programs.len() > before)
}

/// Whether a port has tcx programs at its egress.
///
/// # Errors
///
/// When the kernel cannot be asked. One without tcx (before 6.6) has no such programs.
pub fn has_tcx_egress(port: PortDevice<'_>) -> Result<bool, DatapathError> {
    Ok(!tcx_programs(port, TcAttachType::Egress)?.is_empty())
}

fn tcx_programs(port: PortDevice<'_>, at: TcAttachType) -> Result<Vec<u32>, DatapathError> {
    let mut attempt = 1;
    loop {
        match SchedClassifier::query_tcx(port.name, at) {
            Ok((_, programs)) => return Ok(programs.iter().map(ProgramInfo::id).collect()),
            // No tcx, or no device any more.
            Err(error) if has_errno(&error, Errno::EINVAL) || has_errno(&error, Errno::ENODEV) => {
                return Ok(Vec::new());
            }
            Err(error) if has_errno(&error, Errno::ENOENT) && attempt < ATTEMPTS => attempt += 1,
            Err(source) => {
                return Err(attach_failed("look for others beside", port, Hook::Tcx, source));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use veth_common::Ifindex;

    use super::*;

    #[test]
    fn device_that_is_gone_has_no_programs() {
        let gone = PortDevice { ifindex: Ifindex(1), name: "gone0" };
        assert!(!has_tcx_egress(gone).expect("nothing is asked of it"));
    }
}
