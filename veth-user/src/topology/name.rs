//! Names of fabrics, namespaces and devices. All become names of devices, so all obey the kernel's
//! rules for these.

use std::fmt;
use std::str::FromStr;

use super::problem::quote;

/// Longest name of a device: `IFNAMSIZ` without the NUL that ends it.
const MAX_NAME_BYTES: usize = 15;

/// What each namespace already has, or what `/proc/sys/net/ipv4/conf` holds beside the devices.
const RESERVED: [&str; 3] = ["lo", "all", "default"];

/// Why a name cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// There is nothing.
    #[error("a name cannot be empty")]
    Empty,
    /// The kernel cuts names of devices off.
    #[error(
        "{} is {} bytes long; a device's name has at most {MAX_NAME_BYTES}",
        quote(.0),
        .0.len()
    )]
    TooLong(String),
    /// The name of the directory itself, or of its parent.
    #[error("{} is not a name: it names a directory", quote(.0))]
    Directory(String),
    /// Belongs to somebody else.
    #[error("{} is reserved: the kernel uses it itself; choose another name", quote(.0))]
    Reserved(String),
    /// A character that the kernel refuses in the name of a device.
    #[error("{} contains {character:?}, which cannot be in a device's name: {why}", quote(name))]
    Character {
        /// The name.
        name: String,
        /// Its first character that is wrong.
        character: char,
        /// What the character would do.
        why: &'static str,
    },
}

/// Checks `name` against the rules of `dev_valid_name` in the kernel and of a file in
/// `/run/netns`.
///
/// Source: <https://github.com/torvalds/linux/blob/v6.12/net/core/dev.c>.
fn check_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    let forbidden = name.chars().find_map(|character| Some((character, why_not(character)?)));
    if let Some((character, why)) = forbidden {
        return Err(NameError::Character { name: name.to_owned(), character, why });
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong(name.to_owned()));
    }
    if name == "." || name == ".." {
        return Err(NameError::Directory(name.to_owned()));
    }
    if RESERVED.contains(&name) {
        return Err(NameError::Reserved(name.to_owned()));
    }
    Ok(())
}

/// Why `character` cannot be in a name; `None` if it can.
fn why_not(character: char) -> Option<&'static str> {
    match character {
        '/' => Some("it separates directories"),
        ':' => Some("it separates a device from an alias"),
        '%' => Some("the kernel puts a number in its place"),
        '\0' => Some("it ends the name"),
        _ if character.is_whitespace() => Some("it is white space"),
        _ if character.is_control() => Some("it is a control character"),
        // The kernel reads names byte by byte as Latin-1, where this one is a no-break space.
        _ if character.encode_utf8(&mut [0; 4]).bytes().any(|byte| byte == 0xa0) => {
            Some("the kernel takes one of its bytes for white space")
        }
        _ => None,
    }
}

/// A fabric's name is also that of a directory of pins, where the BPF file system keeps names with
/// dots to itself.
///
/// Source: `bpf_lookup` in <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/inode.c>.
fn check_fabric_name(name: &str) -> Result<(), NameError> {
    check_name(name)?;
    if name.contains('.') {
        let why = "the BPF file system keeps such names to itself";
        return Err(NameError::Character { name: name.to_owned(), character: '.', why });
    }
    Ok(())
}

macro_rules! names {
    ($($(#[doc = $doc:literal])+ $type:ident by $check:ident;)+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, NameError> {
                $check(name)?;
                Ok(Self(name.to_owned()))
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    )+};
}

names! {
    /// Name of a fabric, and of its bridge.
    FabricName by check_fabric_name;
    /// Name of a network namespace, and of the port that leads into it.
    NetnsName by check_name;
    /// Name of a device.
    DeviceName by check_name;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_for_namespaces_only() {
        assert!("a.b".parse::<NetnsName>().is_ok());
        let error = "a.b".parse::<FabricName>().expect_err("must be refused").to_string();
        assert!(error.contains("BPF file system"), "{error}");
    }

    #[track_caller]
    fn refused(name: &str, why: &str) {
        let message = name.parse::<NetnsName>().expect_err("must be refused").to_string();
        assert!(message.contains(why), "{message}");
        assert!(!message.contains(['\n', '\0']), "{message}");
        assert!(name.parse::<FabricName>().is_err());
    }

    #[test]
    fn names_of_devices_are_names() {
        for name in ["a", "red", "exactly15bytes_", "lab-1", "eth0.5", "...", "grün", "All"] {
            assert_eq!(name.parse::<NetnsName>().expect("must be valid").as_str(), name);
            if !name.contains('.') {
                assert_eq!(name.parse::<FabricName>().expect("must be valid").to_string(), name);
            }
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_refused() {
        refused("", "empty");
        refused("sixteen_bytes_ab", "is 16 bytes long");
        refused("größer_als_15__", "is 17 bytes long");
        refused("a/b", "separates directories");
        refused("a:b", "alias");
        refused("a%d", "number");
        refused("a\0b", "ends the name");
        refused("a b", "white space");
        refused("a\u{2003}b", "white space");
        refused("a\nb", "white space");
        refused("a\u{7}b", "control character");
        refused("voilà", "takes one of its bytes");
        refused(".", "directory");
        refused("..", "directory");
    }

    #[test]
    fn reserved_names_are_refused() {
        for name in RESERVED {
            refused(name, "reserved");
        }
    }
}
