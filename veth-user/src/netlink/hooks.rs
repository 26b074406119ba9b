//! Functions of the kernel that hook into bridges.

use super::{
    Netfilter, NetlinkError,
    attributes::{Attributes, attribute},
    netfilter::NetfilterMessage,
    nftables::text_of,
};

/// Numbers of `linux/netfilter.h` and `linux/netfilter/nfnetlink_hook.h`.
mod uapi {
    pub(super) const SUBSYSTEM: u8 = 12;
    pub(super) const GET: u8 = 0;
    pub(super) const FAMILY_BRIDGE: u8 = 7;
    /// From pre-routing to post-routing.
    pub(super) const HOOKS: u32 = 5;

    pub(super) const HOOK_NUMBER: u16 = 1;
    pub(super) const FUNCTION_NAME: u16 = 4;
    pub(super) const CHAIN_INFO: u16 = 6;
}

/// Functions that are looked for elsewhere (those of `br_netfilter` and of nftables), and
/// connection tracking for rules of the latter, which changes nothing by itself.
///
/// Source: `nfnl_hook_dump_one` in
/// <https://github.com/torvalds/linux/blob/v6.12/net/netfilter/nfnetlink_hook.c>.
const KNOWN: [&str; 3] = ["br_nf_", "nft_do_chain", "nf_ct_bridge_"];

impl Netfilter {
    /// Whether something hooks into bridges that is neither `br_netfilter` nor nftables: legacy
    /// ebtables, whose tables hook in from when they are first looked at, with rules or
    /// without. `None` when this kernel does not tell.
    ///
    /// # Minimum kernel version
    ///
    /// 5.14, and a build option (`CONFIG_NETFILTER_NETLINK_HOOK`).
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked.
    pub fn has_other_bridge_hook(&mut self) -> Result<Option<bool>, NetlinkError> {
        let mut is_found = false;
        for number in 0..uapi::HOOKS {
            let question = NetfilterMessage {
                subsystem: uapi::SUBSYSTEM,
                command: uapi::GET,
                family: uapi::FAMILY_BRIDGE,
                attributes: Attributes::default().with(uapi::HOOK_NUMBER, &number.to_be_bytes()),
            };
            let action = || format!("list what hooks into bridges (hook {number})");
            let Some(hooks) = self.dump(&question, action)? else { return Ok(None) };
            is_found |= hooks.iter().any(|hook| is_other(hook.attributes.as_bytes()));
        }
        Ok(Some(is_found))
    }
}

fn is_other(hook: &[u8]) -> bool {
    // A kernel without symbols names no functions; nftables are known even there.
    let function = attribute(hook, uapi::FUNCTION_NAME).map(text_of).unwrap_or_default();
    let is_known = KNOWN.iter().any(|prefix| function.starts_with(prefix));
    !is_known && attribute(hook, uapi::CHAIN_INFO).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_are_told_apart_by_their_functions() {
        let hook = |function: &str| Attributes::default().with_text(uapi::FUNCTION_NAME, function);
        for function in ["br_nf_pre_routing", "nft_do_chain_bridge", "nf_ct_bridge_post"] {
            assert!(!is_other(hook(function).as_bytes()), "{function}");
        }
        // Since 5.15, before, and a module of somebody's.
        for function in ["ebt_do_table", "ebt_in_hook", "their_hook"] {
            assert!(is_other(hook(function).as_bytes()), "{function}");
        }
    }

    #[test]
    fn hook_without_a_name_is_somebody_elses_unless_it_is_a_chain() {
        let chain = Attributes::default().with_nested(uapi::CHAIN_INFO, &Attributes::default());
        assert!(!is_other(chain.as_bytes()));
        assert!(is_other(&[]));
    }
}
