//! What the kernel offers, found out by trying.

use aya::{
    programs::{ProgramType, SchedClassifier, TcAttachType},
    sys::{BpfHelper, is_helper_supported},
};
use nix::sys::utsname::uname;

use super::{DatapathError, Hook};
use crate::forwarding::FastPath;

/// Something that the datapath needs and this kernel has not.
#[derive(Debug, thiserror::Error)]
#[error("this kernel ({kernel}) has no {feature}, which the {needs} since Linux {since}")]
pub struct Unsupported {
    kernel: String,
    feature: &'static str,
    needs: &'static str,
    since: &'static str,
}

impl Unsupported {
    pub(super) fn new(feature: &'static str, needs: &'static str, since: &'static str) -> Self {
        let kernel = uname().map_or_else(
            |_| "of unknown release".into(),
            |name| name.release().to_string_lossy().into_owned(),
        );
        Self { kernel, feature, needs, since }
    }
}

/// The best hook that this kernel has, or what is missing.
///
/// The programs use no CO-RE relocations, so a kernel without BTF will do.
///
/// # Errors
///
/// When `bpf_redirect_peer` is missing, or the probe itself is refused (`CAP_BPF`).
pub fn supported_hook() -> Result<Hook, DatapathError> {
    let has_redirect_peer =
        is_helper_supported(ProgramType::SchedClassifier, BpfHelper::BPF_FUNC_redirect_peer)
            .map_err(|source| DatapathError::Program {
                action: "probe the kernel for bpf_redirect_peer".into(),
                source: Box::new(source),
            })?;
    if !has_redirect_peer {
        return Err(Unsupported::new(
            "bpf_redirect_peer",
            "tc datapath needs; it is there",
            "5.10",
        )
        .into());
    }
    Ok(if has_tcx() { Hook::Tcx } else { Hook::Clsact })
}

/// Makes sure that this kernel has `hook`.
///
/// # Errors
///
/// When it has not.
pub fn require_hook(hook: Hook) -> Result<(), DatapathError> {
    match hook {
        Hook::Tcx if !has_tcx() => {
            Err(Unsupported::new("tcx", "hook that was asked for is; it is there", "6.6").into())
        }
        Hook::Tcx | Hook::Clsact | Hook::Xdp => Ok(()),
    }
}

/// The largest MTU in bytes that the peer of a port may have for XDP; `None` where XDP frames may
/// lie in several pages (5.18), and any will do.
///
/// Source: `veth_xdp_set` in
/// <https://github.com/torvalds/linux/blob/v6.12/drivers/net/veth.c>.
///
/// # Errors
///
/// When the probe is refused (`CAP_BPF`).
pub fn xdp_mtu_limit_bytes() -> Result<Option<u32>, DatapathError> {
    /// A page less headroom, `skb_shared_info` and Ethernet header; some bytes less than what the
    /// kernel allows on any architecture with such pages.
    const LINEAR_MTU_BYTES: u32 = 3498;
    // It came with frames of several pages, and the program that takes them calls it.
    let has_frags = is_helper_supported(ProgramType::Xdp, BpfHelper::BPF_FUNC_xdp_get_buff_len)
        .map_err(|source| DatapathError::Program {
            action: "probe the kernel for bpf_xdp_get_buff_len".into(),
            source: Box::new(source),
        })?;
    Ok((!has_frags).then_some(LINEAR_MTU_BYTES))
}

/// Whether the kernel tells the time of the last tick to programs of `path`.
///
/// # Errors
///
/// When the probe is refused (`CAP_BPF`).
pub(super) fn has_coarse_clock(path: FastPath) -> Result<bool, DatapathError> {
    let program_type = match path {
        FastPath::Tc => ProgramType::SchedClassifier,
        FastPath::Xdp => ProgramType::Xdp,
    };
    is_helper_supported(program_type, BpfHelper::BPF_FUNC_ktime_get_coarse_ns).map_err(|source| {
        DatapathError::Program {
            action: "probe the kernel for bpf_ktime_get_coarse_ns".into(),
            source: Box::new(source),
        }
    })
}

/// Whether tcx is there: a kernel without it does not know the attach type. The loopback device
/// is in every namespace.
fn has_tcx() -> bool {
    SchedClassifier::query_tcx("lo", TcAttachType::Ingress).is_ok()
}
