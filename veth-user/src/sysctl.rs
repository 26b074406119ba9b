//! Kernel settings: those that decide what a bridge does and that no link tells of, and those that
//! somebody asks for by name.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use crate::topology::SysctlName;

/// Where the kernel shows its settings; those of the network are of the thread's namespace.
const DIR: &str = "/proc/sys";

const BRIDGE_NETFILTER: [&str; 3] =
    ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-call-arptables"];

/// Turns those settings of `br_netfilter` on that are in `on`, and the others off, in the calling
/// thread's network namespace. A new namespace has them on, whatever others have.
///
/// # Errors
///
/// Which setting cannot be changed, and why. Where the module is not loaded there is nothing to do.
pub fn set_bridge_netfilter(on: &[&str]) -> Result<(), (&'static str, io::Error)> {
    for name in BRIDGE_NETFILTER {
        let value = if on.contains(&name) { "1" } else { "0" };
        match fs::write(format!("/proc/sys/net/bridge/{name}"), value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(|error| (name, error))?,
        }
    }
    Ok(())
}

/// The settings of `br_netfilter` that are on: the bridge then hands frames to iptables, ip6tables
/// or arptables, which frames on the fast path do not meet.
pub fn bridge_netfilter() -> Vec<&'static str> {
    BRIDGE_NETFILTER
        .into_iter()
        .filter(|name| {
            // Not there when the module is not loaded.
            fs::read_to_string(format!("/proc/sys/net/bridge/{name}"))
                .is_ok_and(|value| value.trim() != "0")
        })
        .collect()
}

/// Whether the kernel has loaded that module, or was built with it and shows so: a built-in one
/// without parameters does not.
pub fn has_module(name: &str) -> bool {
    fs::exists(format!("/sys/module/{name}")).unwrap_or(false)
}

/// The value of a setting in the calling thread's network namespace, with single spaces between
/// what there is more than one of.
///
/// # Errors
///
/// When this kernel has no such setting there, or does not show it.
pub fn read(name: &SysctlName) -> io::Result<String> {
    let value = fs::read_to_string(Path::new(DIR).join(name.path()))?;
    Ok(value.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Changes a setting of the calling thread's network namespace.
///
/// # Errors
///
/// When this kernel has no such setting there, or does not take the value.
pub fn write(name: &SysctlName, value: &str) -> io::Result<()> {
    // Never made: a file of that name is the kernel's.
    let mut file = fs::OpenOptions::new().write(true).open(Path::new(DIR).join(name.path()))?;
    file.write_all(value.as_bytes())
}

/// Has the calling thread's network namespace forward IP packets.
///
/// # Errors
///
/// Which setting cannot be changed, and why. IPv6 is left out where the kernel has none.
pub fn enable_forwarding() -> Result<(), (&'static str, io::Error)> {
    for name in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
        match fs::write(format!("/proc/sys/net/{name}"), "1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => result.map_err(|error| (name, error))?,
        }
    }
    Ok(())
}

/// Whether the calling thread's network namespace forwards packets: of IPv4, and of IPv6. `None`
/// where the kernel does not tell.
pub fn forwarding() -> [Option<bool>; 2] {
    ["ipv4/ip_forward", "ipv6/conf/all/forwarding"].map(|name| Some(number(name)? != 0))
}

/// The IPv4 setting `name` of a device of the calling thread's network namespace, or of `all`.
pub fn of_device(device: &str, name: &str) -> Option<u32> {
    number(&format!("ipv4/conf/{device}/{name}"))
}

/// Whether the calling thread's network namespace may have rules of old iptables that translate
/// addresses; nftables does not tell of those.
pub fn has_legacy_nat() -> bool {
    // `/proc/net` would be that of the process.
    fs::read_to_string("/proc/thread-self/net/ip_tables_names")
        .is_ok_and(|names| names.lines().any(|name| name == "nat"))
}

fn number(name: &str) -> Option<u32> {
    fs::read_to_string(format!("/proc/sys/net/{name}")).ok()?.trim().parse().ok()
}
