//! Packet filters, as far as they are told apart.

/// A chain of nftables that packets come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseChain {
    /// Its table, with the family before it: `ip filter`.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Where it hangs.
    pub hook: FilterHook,
    /// Whether it is for address translation.
    pub is_nat: bool,
    /// Whether it drops what none of its rules lets through.
    pub drops: bool,
    /// Whether it has any rule.
    pub has_rules: bool,
}

/// Where a chain hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterHook {
    /// Before it is decided where a packet goes.
    Prerouting,
    /// What is for the namespace itself.
    Input,
    /// What goes through it.
    Forward,
    /// What it sends itself.
    Output,
    /// What leaves.
    Postrouting,
}
