//! Names of kernel settings, as people write them.

use std::fmt;
use std::str::FromStr;

use super::problem::quote;

/// A kernel setting with the value that it is to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sysctl {
    /// Its name.
    pub name: SysctlName,
    /// Its value, with single spaces between what there is more than one of.
    pub value: String,
}

/// Name of a kernel setting below `net`, such as `net.ipv4.ip_forward`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SysctlName(Vec<String>);

/// A text that is not the name of a setting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SysctlError {
    /// Of something else than the network.
    #[error("{} is not below net: only settings of the network belong to a namespace", quote(.0))]
    Elsewhere(String),
    /// A part that no file can have as its name.
    #[error(
        "{} is not the name of a setting; write it in full, as in \"net.ipv4.conf.veth0.rp_filter\"",
        quote(.0)
    )]
    Syntax(String),
}

impl SysctlName {
    /// The file of the setting, below `/proc/sys`.
    pub fn path(&self) -> String {
        self.0.join("/")
    }

    /// The device whose setting this is, if it is one of a single device.
    pub fn device(&self) -> Option<&str> {
        match self.0.as_slice() {
            [_, _, kind, device, _, ..] if kind == "conf" || kind == "neigh" => Some(device),
            _ => None,
        }
    }
}

impl FromStr for SysctlName {
    type Err = SysctlError;

    /// Reads dots between the parts, or slashes, which come first decides; the other is then part
    /// of a name, a dot for a slash. So `sysctl` has it: `net/ipv4/conf/eth0.5/rp_filter` and
    /// `net.ipv4.conf.eth0/5.rp_filter` are one.
    fn from_str(text: &str) -> Result<Self, SysctlError> {
        let with_slashes = text.find(['.', '/']).is_some_and(|at| text[at..].starts_with('/'));
        let (separator, other) = if with_slashes { ('/', '.') } else { ('.', '/') };
        let parts: Vec<String> =
            text.split(separator).map(|part| part.replace(other, ".")).collect();
        let is_name = |part: &String| {
            !matches!(part.as_str(), "" | "." | "..")
                && !part.chars().any(|it| it.is_control() || it.is_whitespace() || it == '/')
        };
        if parts.len() < 3 || !parts.iter().all(is_name) {
            return Err(SysctlError::Syntax(text.to_owned()));
        }
        if parts[0] != "net" {
            return Err(SysctlError::Elsewhere(text.to_owned()));
        }
        Ok(Self(parts))
    }
}

impl fmt::Display for SysctlName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(|part| part.replace('.', "/")).collect();
        f.pad(&parts.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SysctlName {
        text.parse().expect("must be valid")
    }

    #[test]
    fn names_lead_to_files() {
        for (text, path) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/5.rp_filter", "net/ipv4/conf/eth0.5/rp_filter"),
            ("net/ipv4/conf/eth0.5/rp_filter", "net/ipv4/conf/eth0.5/rp_filter"),
        ] {
            assert_eq!(name(text).path(), path);
            assert_eq!(name(&name(text).to_string()), name(text));
        }
        assert_eq!(name("net/ipv4/ip_forward").to_string(), "net.ipv4.ip_forward");
    }

    #[test]
    fn settings_of_one_device_are_told_from_others() {
        assert_eq!(name("net.ipv4.conf.veth0.accept_local").device(), Some("veth0"));
        assert_eq!(name("net.ipv6.neigh.veth0.retrans_time_ms").device(), Some("veth0"));
        assert_eq!(name("net.ipv4.ip_forward").device(), None);
        assert_eq!(name("net.ipv4.conf.veth0").device(), None);
    }

    #[test]
    fn what_is_no_name_of_a_setting_is_refused() {
        for (text, why) in [
            ("", "is not the name of a setting"),
            ("net", "is not the name of a setting"),
            ("net.ipv4", "is not the name of a setting"),
            ("net..ip_forward", "is not the name of a setting"),
            ("net/../kernel/hostname", "is not the name of a setting"),
            ("net.//.kernel.hostname", "is not the name of a setting"),
            ("net.ipv4.a b", "is not the name of a setting"),
            ("kernel.sched.x", "is not below net"),
        ] {
            let message = text.parse::<SysctlName>().expect_err("must be refused").to_string();
            assert!(message.contains(why), "{text}: {message}");
        }
    }
}
