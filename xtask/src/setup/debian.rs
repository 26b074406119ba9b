//! The Debian supply: the Rust that Debian maintains for its browsers (newer than the one of the
//! release, and with the sources of `core`), and a bpf-linker that is linked to Debian's LLVM. The
//! packages are used where they are: the user's rustup stays as it was.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use super::probe::{self, Check, Probe};
use super::record::Toolchain;
use super::version::{self, Version};
use super::{Supply, linker};
use crate::proc::{self, Cmd};

/// The packages, the compiler first: its candidate tells whether apt's lists are recent enough.
const PACKAGES: [&str; 5] =
    ["rustc-web", "cargo-web", "rust-web-src", "llvm-22-dev", "libpolly-22-dev"];
const CARGO: &str = "/usr/bin/cargo";
const RUSTC: &str = "/usr/bin/rustc";
const SYSROOT: &str = "/usr";
const LLVM: &str = "/usr/lib/llvm-22";
/// The feature below names the LLVM of the packages above; they move together.
const LINKER: &str = "0.13.0";
const LINKER_OPTIONS: [&str; 3] = ["--no-default-features", "--features", "llvm-22"];

pub(super) fn by_hand() -> String {
    format!("  debian: apt-get install --no-install-recommends {}", PACKAGES.join(" "))
}

pub(super) fn probe(tools: &Path) -> Probe {
    let can_install = proc::find_program("apt-get").is_some();
    let packages = Check::new("packages", installed_packages());
    let linker = vec![Check::new(format!("bpf-linker {LINKER}"), linker::find(tools, LINKER))];
    if packages.state.is_err() {
        return Probe { can_install, toolchain: vec![packages], linker, found: None };
    }
    let mut toolchain =
        vec![packages, Check::new("the sources of core", probe::core_sources(Path::new(SYSROOT)))];
    let mut found = None;
    match describe(tools) {
        Ok((described, versions)) => {
            toolchain.push(Check::new("versions", Ok(versions)));
            found = Some(described);
        }
        Err(error) => toolchain.push(Check::new("versions", Err(error))),
    }
    Probe { can_install, toolchain, linker, found }
}

pub(super) fn install_toolchain() -> Result<()> {
    let minimum = probe::minimum_rust()?;
    if let Err(why) = judge_candidates(&candidates()?, minimum) {
        eprintln!("apt's lists have to be fetched first: {why}");
        update()?;
        if let Err(why) = judge_candidates(&candidates()?, minimum) {
            bail!("Debian's packages cannot be used here: {why}");
        }
    }
    apt_get_install(&PACKAGES, "install the packages").context(
        "apt may not remove anything for this, and these packages exclude Debian's own rustc, cargo and rustup packages",
    )
}

pub(super) fn install_linker(tools: &Path) -> Result<()> {
    let cargo =
        Cmd::new(CARGO).without_toolchain_env().env("RUSTC", RUSTC).env("LLVM_PREFIX", LLVM);
    linker::install(cargo, tools, LINKER, &LINKER_OPTIONS)
}

/// Installs packages, fetching the lists first when apt does not know one of them.
pub(crate) fn install(packages: &[&str], what: &str) -> Result<()> {
    let policy = policy(packages)?;
    if packages.iter().any(|package| candidate(&policy, package).is_none()) {
        update()?;
    }
    apt_get_install(packages, what)
}

fn update() -> Result<()> {
    apt_get("fetch apt's lists")?.arg("update").run("fetch apt's lists")
}

fn apt_get_install(packages: &[&str], what: &str) -> Result<()> {
    apt_get(what)?
        .args(["install", "-y", "--no-install-recommends", "--no-remove"])
        .args(packages)
        .run(what)
}

fn apt_get(what: &str) -> Result<Cmd> {
    // Through env, because sudo does not pass variables on. The lock: another apt may be at work on
    // a fresh machine.
    let cmd = Cmd::as_root("env", what)?;
    Ok(cmd.args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=120"]))
}

fn installed_packages() -> Result<String> {
    if proc::find_program("dpkg-query").is_none() {
        bail!("this is not a Debian (no dpkg-query)");
    }
    let answer = Cmd::new("dpkg-query")
        .args(["-W", "-f", "${Package} ${db:Status-Status}\n"])
        .args(PACKAGES)
        .ask_any("ask dpkg for the packages")?;
    let missing = not_installed(&answer);
    if !missing.is_empty() {
        bail!("not installed: {}", missing.join(" "));
    }
    Ok(PACKAGES.join(" "))
}

fn not_installed(answer: &str) -> Vec<&'static str> {
    let installed =
        |package: &str| answer.lines().any(|line| line == format!("{package} installed"));
    PACKAGES.into_iter().filter(|package| !installed(package)).collect()
}

fn candidates() -> Result<String> {
    policy(&PACKAGES)
}

fn policy(packages: &[&str]) -> Result<String> {
    let cmd = Cmd::new("apt-cache").arg("policy").args(packages).env("LC_ALL", "C");
    cmd.ask("ask apt for the packages' candidates")
}

/// The version that apt would install, out of what `apt-cache policy` prints.
fn candidate<'a>(policy: &'a str, package: &str) -> Option<&'a str> {
    let mut lines =
        policy.lines().skip_while(|line| line.strip_suffix(':') != Some(package)).skip(1);
    let version = lines
        .by_ref()
        .take_while(|line| line.starts_with(' '))
        .find_map(|line| line.trim_start().strip_prefix("Candidate: "))?;
    (version != "(none)").then_some(version)
}

/// Whether apt knows every package, and a compiler that is new enough.
fn judge_candidates(policy: &str, minimum: Version) -> Result<(), String> {
    for package in PACKAGES {
        let Some(version) = candidate(policy, package) else {
            return Err(format!("apt knows no package {package}"));
        };
        if package != PACKAGES[0] {
            continue;
        }
        let version =
            Version::parse_debian(version).map_err(|error| format!("{package}: {error:#}"))?;
        if version < minimum {
            return Err(format!("apt's {package} is {version}, and the workspace needs {minimum}"));
        }
    }
    Ok(())
}

fn describe(tools: &Path) -> Result<(Toolchain, String)> {
    let rustc = probe::rustc_version(Path::new(RUSTC))?;
    let minimum = probe::minimum_rust()?;
    if rustc.release < minimum {
        bail!("{RUSTC} is {}, and the workspace needs {minimum}", rustc.release);
    }
    let llvm_config = Path::new(LLVM).join("bin/llvm-config");
    let llvm =
        Version::parse(&Cmd::new(llvm_config).arg("--version").ask("ask LLVM for its version")?)?;
    if let Err(refusal) = version::check_llvm(rustc.llvm, llvm) {
        bail!(
            "{refusal}: bring llvm-22-dev up to rustc-web with `apt-get install --only-upgrade llvm-22-dev`"
        );
    }
    let versions =
        format!("rustc {} with LLVM {}, linker's LLVM {llvm}", rustc.release, rustc.llvm);
    let toolchain = Toolchain {
        supply: Supply::Debian.name().to_owned(),
        cargo: CARGO.into(),
        rustc: RUSTC.into(),
        linker: linker::path(tools),
        bootstrap: true,
        library_path: None,
        rustc_version: rustc.full,
        llvm_version: llvm.to_string(),
        linker_version: LINKER.to_owned(),
    };
    Ok((toolchain, versions))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What apt prints for packages it knows; one it does not know is simply not there.
    fn policy_text(rustc: &str, rest: &[&str]) -> String {
        let block = |name: &str, version: &str| {
            format!(
                "{name}:\n  Installed: (none)\n  Candidate: {version}\n  Version table:\n     {version} 500\n"
            )
        };
        rest.iter()
            .map(|name| block(name, "1:22.1.8-1~deb12u1"))
            .fold(block("rustc-web", rustc), |all, one| all + &one)
    }

    fn minimum() -> Version {
        Version::parse("1.95").expect("a version")
    }

    #[test]
    fn recent_lists_need_no_update() {
        let policy = policy_text("1.96.0+dfsg1-1~deb12u2", &PACKAGES[1..]);
        assert_eq!(judge_candidates(&policy, minimum()), Ok(()));
    }

    #[test]
    fn an_unknown_package_is_named() {
        let policy = policy_text("1.96.0+dfsg1-1~deb12u2", &PACKAGES[1..4]);
        assert_eq!(
            judge_candidates(&policy, minimum()),
            Err("apt knows no package libpolly-22-dev".to_owned())
        );
    }

    #[test]
    fn an_older_compiler_than_the_workspace_needs_is_refused() {
        let policy = policy_text("1.85.0+dfsg3-1~deb12u3", &PACKAGES[1..]);
        let why = judge_candidates(&policy, minimum()).expect_err("too old");
        assert!(why.contains("1.85.0") && why.contains("1.95.0"), "{why}");
    }

    #[test]
    fn a_package_without_a_candidate_has_none() {
        let policy = policy_text("(none)", &[]);
        assert_eq!(candidate(&policy, "rustc-web"), None);
        assert_eq!(candidate(&policy, "rustc"), None);
    }

    #[test]
    fn a_removed_package_with_configuration_left_is_not_installed() {
        let answer = "rustc-web installed\ncargo-web config-files\nrust-web-src installed\nllvm-22-dev installed";
        assert_eq!(not_installed(answer), ["cargo-web", "libpolly-22-dev"]);
    }
}
