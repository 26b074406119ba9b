//! The chains of nftables that IP packets come by, which are also those of today's iptables.

use super::{
    Netfilter, NetlinkError,
    attributes::attribute,
    netfilter::NetfilterMessage,
    nftables::{text_of, uapi},
};
use crate::view::{BaseChain, FilterHook};

/// The base chains of the calling thread's network namespace that IP packets come by; none where the
/// kernel has no nftables.
///
/// # Errors
///
/// When the kernel does not let the caller look.
///
/// # Minimum kernel version
///
/// 3.13.
pub fn base_chains() -> Result<Vec<BaseChain>, NetlinkError> {
    let chains = match Netfilter::open() {
        Ok(mut netfilter) => netfilter.chains(uapi::FAMILY_ANY)?,
        Err(error) if error.is_unsupported() => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    Ok(chains.iter().filter_map(chain_of).collect())
}

/// The chain of a message, unless it hangs nowhere or not where IP packets come by.
fn chain_of(message: &NetfilterMessage) -> Option<BaseChain> {
    // The hooks of these are numbered alike.
    let family = match message.family {
        uapi::FAMILY_INET => "inet",
        uapi::FAMILY_IPV4 => "ip",
        uapi::FAMILY_BRIDGE => "bridge",
        uapi::FAMILY_IPV6 => "ip6",
        _ => return None,
    };
    let bytes = message.attributes.as_bytes();
    let hook = match number(attribute(bytes, uapi::CHAIN_HOOK)?, uapi::HOOK_NUMBER)? {
        0 => FilterHook::Prerouting,
        1 => FilterHook::Input,
        2 => FilterHook::Forward,
        3 => FilterHook::Output,
        4 => FilterHook::Postrouting,
        _ => return None,
    };
    let text = |kind| attribute(bytes, kind).map(text_of);
    Some(BaseChain {
        table: format!("{family} {}", text(uapi::CHAIN_TABLE)?),
        name: text(uapi::CHAIN_NAME)?,
        hook,
        is_nat: text(uapi::CHAIN_TYPE).is_some_and(|kind| kind == "nat"),
        drops: number(bytes, uapi::CHAIN_POLICY) == Some(uapi::POLICY_DROP),
        has_rules: number(bytes, uapi::CHAIN_USE).is_some_and(|rules| rules > 0),
    })
}

/// Numbers are big-endian here.
fn number(bytes: &[u8], kind: u16) -> Option<u32> {
    attribute(bytes, kind)?.try_into().ok().map(u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attributes::Attributes;

    fn message(attributes: Attributes) -> NetfilterMessage {
        let (subsystem, command) = (uapi::SUBSYSTEM, uapi::GET_CHAIN);
        NetfilterMessage { subsystem, command, family: uapi::FAMILY_IPV4, attributes }
    }

    fn chain(hook: u32, policy: u32) -> NetfilterMessage {
        let number = |value: u32| value.to_be_bytes();
        let place = Attributes::default().with(uapi::HOOK_NUMBER, &number(hook));
        let attributes = Attributes::default()
            .with_text(uapi::CHAIN_TABLE, "filter")
            .with_text(uapi::CHAIN_NAME, "INPUT")
            .with_nested(uapi::CHAIN_HOOK, &place)
            .with(uapi::CHAIN_POLICY, &number(policy))
            .with(uapi::CHAIN_USE, &number(2))
            .with_text(uapi::CHAIN_TYPE, "filter");
        message(attributes)
    }

    #[test]
    fn chain_is_read_with_its_policy() {
        let expected = BaseChain {
            table: "ip filter".into(),
            name: "INPUT".into(),
            hook: FilterHook::Input,
            is_nat: false,
            drops: true,
            has_rules: true,
        };
        assert_eq!(chain_of(&chain(1, uapi::POLICY_DROP)), Some(expected.clone()));
        let accepting = BaseChain { drops: false, ..expected };
        assert_eq!(chain_of(&chain(1, uapi::POLICY_ACCEPT)), Some(accepting));
    }

    #[test]
    fn chain_that_hangs_nowhere_is_none() {
        let nowhere = Attributes::default().with_text(uapi::CHAIN_NAME, "mine");
        assert_eq!(chain_of(&message(nowhere)), None);
        assert_eq!(chain_of(&chain(9, 0)), None);
    }
}
