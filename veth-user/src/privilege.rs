//! Capabilities: which of those that a command needs the process lacks.

use std::fs;

/// A capability of Linux, by its number in `linux/capability.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    number: u32,
    /// Its name.
    pub name: &'static str,
    /// What veth needs it for.
    pub purpose: &'static str,
}

/// What every command that changes or reads a fabric needs.
pub const REQUIRED: [Capability; 2] = [
    Capability { number: 12, name: "CAP_NET_ADMIN", purpose: "links, addresses and hooks" },
    Capability {
        number: 21,
        name: "CAP_SYS_ADMIN",
        purpose: "namespaces, the BPF file system and BPF maps",
    },
];

/// Those of [`REQUIRED`] that are not in the effective set of this process.
///
/// None are reported when the set cannot be read: the kernel will then say itself what it refuses.
pub fn missing() -> Vec<Capability> {
    let Some(effective) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(parse)
    else {
        return Vec::new();
    };
    REQUIRED.into_iter().filter(|it| effective >> it.number & 1 == 0).collect()
}

/// The effective set in the text of `/proc/self/status`.
fn parse(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effective_set_is_read_from_its_line() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t000001fffeffffff\n";
        assert_eq!(parse(status), Some(0x0000_01ff_feff_ffff));
        assert_eq!(parse("Name:\tx\n"), None);
    }
}
