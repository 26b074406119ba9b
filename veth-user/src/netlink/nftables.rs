//! What nftables does to frames on a bridge and its ports.

use super::{
    Netfilter, NetlinkError,
    attributes::{Attributes, attribute, attributes_of},
    netfilter::NetfilterMessage,
};

/// Numbers of `linux/netfilter.h` and `linux/netfilter/nf_tables.h`.
pub(super) mod uapi {
    pub(in crate::netlink) const SUBSYSTEM: u8 = 10;
    pub(in crate::netlink) const GET_CHAIN: u8 = 4;
    pub(in crate::netlink) const GET_GENERATION: u8 = 16;
    pub(in crate::netlink) const GET_FLOWTABLE: u8 = 23;

    pub(in crate::netlink) const FAMILY_ANY: u8 = 0;
    pub(in crate::netlink) const FAMILY_INET: u8 = 1;
    pub(in crate::netlink) const FAMILY_IPV4: u8 = 2;
    pub(in crate::netlink) const FAMILY_NETDEV: u8 = 5;
    pub(in crate::netlink) const FAMILY_BRIDGE: u8 = 7;
    pub(in crate::netlink) const FAMILY_IPV6: u8 = 10;

    pub(in crate::netlink) const GENERATION_ID: u16 = 1;
    pub(in crate::netlink) const CHAIN_TABLE: u16 = 1;
    pub(in crate::netlink) const CHAIN_NAME: u16 = 3;
    pub(in crate::netlink) const CHAIN_HOOK: u16 = 4;
    pub(in crate::netlink) const CHAIN_POLICY: u16 = 5;
    pub(in crate::netlink) const CHAIN_USE: u16 = 6;
    pub(in crate::netlink) const CHAIN_TYPE: u16 = 7;
    pub(in crate::netlink) const HOOK_NUMBER: u16 = 1;
    pub(in crate::netlink) const HOOK_DEVICE: u16 = 3;
    pub(in crate::netlink) const HOOK_DEVICES: u16 = 4;
    pub(in crate::netlink) const FLOWTABLE_HOOK: u16 = 3;
    pub(in crate::netlink) const FLOWTABLE_HOOK_DEVICES: u16 = 3;
    pub(in crate::netlink) const DEVICE_NAME: u16 = 1;
    pub(in crate::netlink) const DEVICE_PREFIX: u16 = 2;

    pub(in crate::netlink) const POLICY_DROP: u32 = 0;
    pub(in crate::netlink) const POLICY_ACCEPT: u32 = 1;
}

/// Devices that something of nftables hangs at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookedDevices(Vec<DeviceName>);

/// How nftables names devices.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DeviceName {
    /// The one of that name.
    Whole(String),
    /// All whose names begin so (6.16).
    Prefix(String),
}

impl HookedDevices {
    /// Whether the device of that name is one of them.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|device| match device {
            DeviceName::Whole(theirs) => theirs == name,
            DeviceName::Prefix(prefix) => name.starts_with(prefix.as_str()),
        })
    }
}

impl Netfilter {
    /// Whether nftables hooks into bridges: with a base chain of family `bridge` that has a rule, or
    /// that does not simply accept. A kernel without nftables has none.
    ///
    /// A chain of a table that is `dormant` counts: it may wake up at any time.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked.
    pub fn has_bridge_chain(&mut self) -> Result<bool, NetlinkError> {
        let chains = self.chains(uapi::FAMILY_BRIDGE)?;
        Ok(chains.iter().any(|chain| active_hook(chain.attributes.as_bytes()).is_some()))
    }

    /// The devices that base chains hang at, and flow tables: those of family `netdev`, and of
    /// others that hook into devices. Chains count as in [`has_bridge_chain`](Self::has_bridge_chain).
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked.
    pub fn hooked_devices(&mut self) -> Result<HookedDevices, NetlinkError> {
        let mut devices = Vec::new();
        // Chains of family inet hang at the ingress of devices since 5.10.
        for family in [uapi::FAMILY_NETDEV, uapi::FAMILY_INET] {
            for chain in self.chains(family)? {
                if let Some(hook) = active_hook(chain.attributes.as_bytes()) {
                    devices.extend(devices_of_chain(hook));
                }
            }
        }
        let question = question(uapi::GET_FLOWTABLE, uapi::FAMILY_ANY);
        let tables = self.dump(&question, || "list flow tables of nftables".into())?;
        for table in tables.unwrap_or_default() {
            devices.extend(devices_of_flowtable(table.attributes.as_bytes()));
        }
        Ok(HookedDevices(devices))
    }

    /// The number of changes that the namespace's rules have seen, in any table; zero without nftables.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked.
    ///
    /// # Minimum kernel version
    ///
    /// 3.18 (`NFT_MSG_GETGEN`).
    #[doc(alias = "NFT_MSG_GETGEN")]
    pub fn generation(&mut self) -> Result<u32, NetlinkError> {
        let question = question(uapi::GET_GENERATION, uapi::FAMILY_ANY);
        let answer = self.get(question, || "ask for the generation of the rules".into())?;
        let bytes = answer.and_then(|answer| {
            attribute(answer.attributes.as_bytes(), uapi::GENERATION_ID)?.first_chunk().copied()
        });
        Ok(bytes.map_or(0, u32::from_be_bytes))
    }

    /// All chains of a family.
    pub(super) fn chains(&mut self, family: u8) -> Result<Vec<NetfilterMessage>, NetlinkError> {
        let chains = self.dump(&question(uapi::GET_CHAIN, family), || {
            format!("list chains of nftables (family {family})")
        })?;
        Ok(chains.unwrap_or_default())
    }
}

fn question(command: u8, family: u8) -> NetfilterMessage {
    let attributes = Attributes::default();
    NetfilterMessage { subsystem: uapi::SUBSYSTEM, command, family, attributes }
}

/// Where a chain hangs, when it does and frames would notice.
fn active_hook(chain: &[u8]) -> Option<&[u8]> {
    let hook = attribute(chain, uapi::CHAIN_HOOK)?;
    let number = |kind| {
        let value = attribute(chain, kind)?.first_chunk()?;
        Some(u32::from_be_bytes(*value))
    };
    let is_idle = number(uapi::CHAIN_USE) == Some(0)
        && number(uapi::CHAIN_POLICY) == Some(uapi::POLICY_ACCEPT);
    (!is_idle).then_some(hook)
}

fn devices_of_chain(hook: &[u8]) -> impl Iterator<Item = DeviceName> {
    let one = attribute(hook, uapi::HOOK_DEVICE).map(whole_or_prefix);
    let list = attribute(hook, uapi::HOOK_DEVICES).unwrap_or_default();
    one.into_iter().chain(devices_of_list(list))
}

fn devices_of_flowtable(table: &[u8]) -> impl Iterator<Item = DeviceName> {
    let hook = attribute(table, uapi::FLOWTABLE_HOOK).unwrap_or_default();
    devices_of_list(attribute(hook, uapi::FLOWTABLE_HOOK_DEVICES).unwrap_or_default())
}

fn devices_of_list(list: &[u8]) -> impl Iterator<Item = DeviceName> {
    attributes_of(list).filter_map(|(kind, name)| match kind {
        uapi::DEVICE_NAME => Some(whole_or_prefix(name)),
        uapi::DEVICE_PREFIX => Some(DeviceName::Prefix(text_of(name))),
        _ => None,
    })
}

/// The first kernels that knew prefixes told them from whole names by the missing terminator.
fn whole_or_prefix(name: &[u8]) -> DeviceName {
    let is_whole = name.ends_with(&[0]);
    let kind = if is_whole { DeviceName::Whole } else { DeviceName::Prefix };
    kind(text_of(name))
}

pub(super) fn text_of(text: &[u8]) -> String {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DROP: u32 = 0;

    fn be32(attributes: Attributes, kind: u16, value: u32) -> Attributes {
        attributes.with(kind, &value.to_be_bytes())
    }

    fn chain(hook: &Attributes, rules: u32, policy: u32) -> Attributes {
        let chain = Attributes::default().with_text(1, "table").with_text(3, "chain");
        let chain = be32(chain.with_nested(uapi::CHAIN_HOOK, hook), uapi::CHAIN_USE, rules);
        be32(chain, uapi::CHAIN_POLICY, policy)
    }

    #[test]
    fn chain_is_active_that_hangs_somewhere_and_has_rules_or_drops() {
        let hook = Attributes::default().with_u32(1, 0);
        let is_active = |chain: &Attributes| active_hook(chain.as_bytes()).is_some();
        assert!(!is_active(&chain(&hook, 0, uapi::POLICY_ACCEPT)));
        assert!(is_active(&chain(&hook, 1, uapi::POLICY_ACCEPT)));
        assert!(is_active(&chain(&hook, 0, DROP)));
        // One that others jump to, and that hangs nowhere itself.
        let regular = be32(Attributes::default().with_text(3, "chain"), uapi::CHAIN_USE, 3);
        assert!(!is_active(&regular));
        // Who does not say how it is used may be used.
        assert!(is_active(&Attributes::default().with_nested(uapi::CHAIN_HOOK, &hook)));
    }

    #[test]
    fn devices_are_named_one_by_one_in_lists_and_by_prefix() {
        let list = Attributes::default()
            .with_text(uapi::DEVICE_NAME, "red")
            .with_text(uapi::DEVICE_NAME, "blue")
            .with_text(uapi::DEVICE_PREFIX, "veth")
            .with(uapi::DEVICE_NAME, b"tap");
        let hook = Attributes::default()
            .with_text(uapi::HOOK_DEVICE, "green")
            .with_nested(uapi::HOOK_DEVICES, &list);
        let devices = HookedDevices(devices_of_chain(hook.as_bytes()).collect());
        for name in ["red", "blue", "green", "veth", "veth7", "tap0"] {
            assert!(devices.contains(name), "{name}");
        }
        for name in ["re", "red0", "blues", "eth0", "ta", "vet"] {
            assert!(!devices.contains(name), "{name}");
        }
    }

    #[test]
    fn devices_of_a_flow_table_are_in_its_hook() {
        let list = Attributes::default().with_text(uapi::DEVICE_NAME, "red");
        let hook = Attributes::default().with_nested(uapi::FLOWTABLE_HOOK_DEVICES, &list);
        let table = Attributes::default().with_nested(uapi::FLOWTABLE_HOOK, &hook);
        let devices = HookedDevices(devices_of_flowtable(table.as_bytes()).collect());
        assert!(devices.contains("red") && !devices.contains("blue"));
        assert!(devices_of_flowtable(&[]).next().is_none());
    }
}
