//! Versions as compilers and LLVM print them, and the one rule about them that matters here.

use std::fmt;

use anyhow::{Context as _, Result};

/// `major.minor.patch`; what follows (`-nightly`, `+dfsg1`, `-rust-1.97.0`) does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// Reads `22.1.8`, `1.97.0-nightly` or `1.95`.
    pub(super) fn parse(text: &str) -> Result<Self> {
        Self::read(text.trim())
            .with_context(|| format!("`{text}` is not a version (major.minor.patch)"))
    }

    fn read(text: &str) -> Option<Self> {
        let end = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
        let mut numbers = text[..end].split('.').map(str::parse);
        let major = numbers.next()?.ok()?;
        let minor = numbers.next()?.ok()?;
        let patch = numbers.next().unwrap_or(Ok(0)).ok()?;
        Some(Self { major, minor, patch })
    }

    /// Reads a Debian version: an epoch may stand in front.
    pub(super) fn parse_debian(text: &str) -> Result<Self> {
        Self::parse(text.split_once(':').map_or(text, |(_epoch, rest)| rest))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { major, minor, patch } = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// LLVM reads bitcode of its own and older versions only, so the linker must not be behind the
/// compiler.
pub(super) fn check_llvm(rustc: Version, linker: Version) -> Result<(), String> {
    if linker >= rustc {
        return Ok(());
    }
    Err(format!(
        "the linker's LLVM {linker} is older than rustc's LLVM {rustc} and cannot be relied on to read its bitcode"
    ))
}

/// What `rustc -vV` says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RustcVersion {
    /// The whole of the first line without the name: `1.97.0-nightly (e50aa6fba 2026-05-19)`.
    pub(super) full: String,
    pub(super) release: Version,
    pub(super) llvm: Version,
}

impl RustcVersion {
    pub(super) fn parse(verbose: &str) -> Result<Self> {
        let field = |name: &str| {
            let found = verbose.lines().find_map(|line| line.strip_prefix(name));
            found.with_context(|| format!("`rustc -vV` has no line `{name}`"))
        };
        Ok(Self {
            full: field("rustc ")?.to_owned(),
            release: Version::parse(field("release: ")?)?,
            llvm: Version::parse(field("LLVM version: ")?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).expect("a version")
    }

    #[test]
    fn suffixes_do_not_count() {
        assert_eq!(version("1.97.0-nightly"), version("1.97.0"));
        assert_eq!(version("1.95"), version("1.95.0"));
        assert_eq!(
            Version::parse_debian("1:22.1.8-1~deb12u1").expect("a version"),
            version("22.1.8")
        );
        assert_eq!(
            Version::parse_debian("1.96.0+dfsg1-1~deb12u2").expect("a version"),
            version("1.96.0")
        );
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        assert!(version("22.1.10") > version("22.1.9"));
        assert!(version("9.0.0") < version("22.0.0"));
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for text in ["", "22", "llvm", "a.b.c", "1..2"] {
            assert!(Version::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_older_linker_is_refused_and_an_equal_or_newer_one_is_not() {
        assert!(check_llvm(version("22.1.8"), version("22.1.8")).is_ok());
        assert!(check_llvm(version("22.1.8"), version("23.0.0")).is_ok());
        let refusal = check_llvm(version("22.1.8"), version("22.1.2")).expect_err("older");
        assert!(refusal.contains("22.1.2") && refusal.contains("22.1.8"));
    }

    #[test]
    fn rustc_tells_its_release_and_its_llvm() {
        let verbose = "rustc 1.97.0-nightly (e50aa6fba 2026-05-19)\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\n\
                       release: 1.97.0-nightly\nLLVM version: 22.1.4\n";
        let rustc = RustcVersion::parse(verbose).expect("all fields are there");
        assert_eq!(rustc.full, "1.97.0-nightly (e50aa6fba 2026-05-19)");
        assert_eq!((rustc.release, rustc.llvm), (version("1.97.0"), version("22.1.4")));
    }
}
