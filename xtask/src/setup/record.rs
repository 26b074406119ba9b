//! `<tools>/ebpf-toolchain`: what `setup` found, as `key=value` lines. The build script of
//! veth-user reads it, and it depends on nothing but std, hence the plain format.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// One complete supply. All paths are absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Toolchain {
    pub(super) supply: String,
    pub(super) cargo: PathBuf,
    pub(super) rustc: PathBuf,
    pub(super) linker: PathBuf,
    /// Whether this is a stable compiler that must be told to accept `-Z` (`RUSTC_BOOTSTRAP=1`).
    pub(super) bootstrap: bool,
    /// The folder in which the linker finds the LLVM that it borrows, if it borrows one.
    pub(super) library_path: Option<PathBuf>,
    pub(super) rustc_version: String,
    pub(super) llvm_version: String,
    pub(super) linker_version: String,
}

impl Toolchain {
    /// The compiler of the eBPF object, as it names itself.
    pub(crate) fn rustc_version(&self) -> &str {
        &self.rustc_version
    }

    fn to_text(&self) -> String {
        let Self { supply, cargo, rustc, linker, bootstrap, library_path, .. } = self;
        let Self { rustc_version, llvm_version, linker_version, .. } = self;
        let path = |path: &Path| path.display().to_string();
        let lines = [
            ("supply", supply.clone()),
            ("cargo", path(cargo)),
            ("rustc", path(rustc)),
            ("linker", path(linker)),
            ("bootstrap", u8::from(*bootstrap).to_string()),
            ("library_path", library_path.as_deref().map(path).unwrap_or_default()),
            ("rustc_version", rustc_version.clone()),
            ("llvm_version", llvm_version.clone()),
            ("linker_version", linker_version.clone()),
        ];
        lines.map(|(key, value)| [key, "=", &value, "\n"].concat()).concat()
    }

    fn from_text(text: &str) -> Result<Self> {
        let get = |key: &str| -> Result<String> {
            let mut pairs = text.lines().filter_map(|line| line.split_once('='));
            let found = pairs.find(|(it, _)| *it == key).map(|(_, value)| value.to_owned());
            found.with_context(|| format!("there is no line `{key}=`"))
        };
        Ok(Self {
            supply: get("supply")?,
            cargo: get("cargo")?.into(),
            rustc: get("rustc")?.into(),
            linker: get("linker")?.into(),
            bootstrap: get("bootstrap")? == "1",
            library_path: Some(get("library_path")?)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from),
            rustc_version: get("rustc_version")?,
            llvm_version: get("llvm_version")?,
            linker_version: get("linker_version")?,
        })
    }
}

pub(super) fn path(tools: &Path) -> PathBuf {
    tools.join("ebpf-toolchain")
}

pub(super) fn read(tools: &Path) -> Result<Toolchain> {
    let path = path(tools);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    Toolchain::from_text(&text).with_context(|| format!("read {}", path.display()))
}

/// Leaves an equal file alone: its time stamp is what makes the build script run again.
pub(super) fn write(tools: &Path, toolchain: &Toolchain) -> Result<()> {
    if read(tools).is_ok_and(|old| old == *toolchain) {
        return Ok(());
    }
    let path = path(tools);
    fs::create_dir_all(tools).with_context(|| format!("create {}", tools.display()))?;
    fs::write(&path, toolchain.to_text()).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain() -> Toolchain {
        Toolchain {
            supply: "debian".into(),
            cargo: "/usr/bin/cargo".into(),
            rustc: "/usr/bin/rustc".into(),
            linker: "/t/bin/bpf-linker".into(),
            bootstrap: true,
            library_path: None,
            rustc_version: "1.96.0 (ac68faa20 2026-05-25)".into(),
            llvm_version: "22.1.8".into(),
            linker_version: "0.13.0".into(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let borrowing =
            Toolchain { library_path: Some("/n/lib".into()), bootstrap: false, ..toolchain() };
        for toolchain in [toolchain(), borrowing] {
            assert_eq!(Toolchain::from_text(&toolchain.to_text()).expect("own text"), toolchain);
        }
    }

    #[test]
    fn a_value_may_hold_an_equals_sign_and_unknown_keys_are_ignored() {
        let text = toolchain().to_text().replace("/t/bin", "/a=b") + "later=1\n";
        let read = Toolchain::from_text(&text).expect("own text");
        assert_eq!(read.linker, PathBuf::from("/a=b/bpf-linker"));
    }

    #[test]
    fn a_missing_key_is_named() {
        let text = toolchain().to_text().replace("linker=", "blinker=");
        let error = Toolchain::from_text(&text).expect_err("incomplete");
        assert!(error.to_string().contains("`linker=`"), "{error}");
    }
}
