//! `cargo xtask setup`: finds or installs what the eBPF object needs to be built, and writes down
//! what it found for the build script of veth-user. There are two supplies of the same three parts
//! (a compiler, the sources of `core`, a linker), and a machine uses one of them whole, never half
//! of each. What each supply consists of is in `rustup` and `debian`; which one to use is decided
//! here.

pub(crate) mod debian;
mod linker;
mod probe;
mod record;
mod rustup;
mod version;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::Workspace;
use probe::Probe;
use record::Toolchain;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Change nothing: report, and exit with 1 if something is missing
    #[arg(long)]
    check: bool,
    /// Use this supply and no other
    #[arg(long)]
    supply: Option<Supply>,
}

/// Where the compiler, the sources of `core` and the linker come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Supply {
    /// A pinned nightly from rustup, and a linker that borrows its LLVM
    Rustup,
    /// Debian's -web packages of Rust, and a linker that uses Debian's LLVM
    Debian,
}

impl Supply {
    /// In the order in which they are preferred.
    const ALL: [Self; 2] = [Self::Rustup, Self::Debian];

    fn name(self) -> &'static str {
        match self {
            Self::Rustup => "rustup",
            Self::Debian => "debian",
        }
    }

    fn probe(self, tools: &Path) -> Probe {
        match self {
            Self::Rustup => rustup::probe(tools),
            Self::Debian => debian::probe(tools),
        }
    }

    fn install_toolchain(self) -> Result<()> {
        match self {
            Self::Rustup => rustup::install_toolchain(),
            Self::Debian => debian::install_toolchain(),
        }
    }

    fn install_linker(self, tools: &Path) -> Result<()> {
        match self {
            Self::Rustup => rustup::install_linker(tools),
            Self::Debian => debian::install_linker(tools),
        }
    }
}

/// What to do, given what the machine has.
#[derive(Debug, PartialEq, Eq)]
enum Choice {
    /// This supply is complete.
    Use(Supply),
    /// None is complete: try these, in this order.
    Install(Vec<Supply>),
    /// None is complete, and nothing here could install one.
    GiveUp,
}

/// What the choice depends on, for one supply.
#[derive(Debug, Clone, Copy)]
struct Facts {
    supply: Supply,
    complete: bool,
    /// Only the linker is missing.
    has_toolchain: bool,
    can_install: bool,
}

pub(crate) fn main(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let probes = probe_all(&workspace.tools, args.supply);
    for (supply, probe) in &probes {
        probe.print(supply.name());
    }
    let choice = choose(&facts(&probes));
    if args.check {
        return Ok(report(&workspace.tools, &choice, probes));
    }
    let toolchain = settle(&workspace.tools, choice, probes)?;
    let Toolchain { supply, rustc_version, linker_version, .. } = &toolchain;
    eprintln!("ready: {supply}'s rustc {rustc_version}, bpf-linker {linker_version}");
    eprintln!("       written to {}", record::path(&workspace.tools).display());
    Ok(ExitCode::SUCCESS)
}

/// What other commands call first: silent when all is there, the whole of `setup` otherwise.
pub(crate) fn ensure(workspace: &Workspace) -> Result<Toolchain> {
    let probes = probe_all(&workspace.tools, None);
    let choice = choose(&facts(&probes));
    if !matches!(choice, Choice::Use(_)) {
        eprintln!("the eBPF object cannot be built yet, so `cargo xtask setup` comes first:");
        for (supply, probe) in &probes {
            probe.print(supply.name());
        }
    }
    settle(&workspace.tools, choice, probes)
}

fn probe_all(tools: &Path, wanted: Option<Supply>) -> Vec<(Supply, Probe)> {
    let wanted = |supply: &Supply| wanted.is_none_or(|it| it == *supply);
    Supply::ALL.into_iter().filter(wanted).map(|supply| (supply, supply.probe(tools))).collect()
}

fn facts(probes: &[(Supply, Probe)]) -> Vec<Facts> {
    let facts = |(supply, probe): &(Supply, Probe)| Facts {
        supply: *supply,
        complete: probe.complete().is_some(),
        has_toolchain: probe.has_toolchain(),
        can_install: probe.can_install,
    };
    probes.iter().map(facts).collect()
}

/// A complete supply wins, then one whose compiler is there, then one that can be installed; among
/// equals, the order of `facts`.
fn choose(facts: &[Facts]) -> Choice {
    if let Some(fact) = facts.iter().find(|fact| fact.complete) {
        return Choice::Use(fact.supply);
    }
    let mut able: Vec<_> = facts.iter().filter(|fact| fact.can_install).collect();
    able.sort_by_key(|fact| !fact.has_toolchain);
    let order: Vec<_> = able.into_iter().map(|fact| fact.supply).collect();
    if order.is_empty() { Choice::GiveUp } else { Choice::Install(order) }
}

/// The last word of `--check`, which changes nothing, the record included.
fn report(tools: &Path, choice: &Choice, probes: Vec<(Supply, Probe)>) -> ExitCode {
    let Choice::Use(chosen) = choice else {
        eprintln!("not ready: run `cargo xtask setup`");
        return ExitCode::FAILURE;
    };
    let toolchain = take_complete(probes, *chosen);
    if record::read(tools).ok() != toolchain {
        eprintln!(
            "not ready: {} is missing or out of date: run `cargo xtask setup`",
            record::path(tools).display()
        );
        return ExitCode::FAILURE;
    }
    eprintln!("ready: {} is complete", chosen.name());
    ExitCode::SUCCESS
}

/// Makes the choice come true, and writes the record.
fn settle(tools: &Path, choice: Choice, probes: Vec<(Supply, Probe)>) -> Result<Toolchain> {
    let toolchain = match choice {
        Choice::Use(supply) => take_complete(probes, supply),
        Choice::Install(order) => Some(install_first(tools, &order, &probes)?),
        Choice::GiveUp => None,
    };
    let Some(toolchain) = toolchain else {
        bail!(
            "nothing here can install a supply: there is neither rustup nor apt-get.\n{}",
            by_hand()
        );
    };
    record::write(tools, &toolchain)?;
    Ok(toolchain)
}

fn take_complete(probes: Vec<(Supply, Probe)>, wanted: Supply) -> Option<Toolchain> {
    let probe = probes.into_iter().find(|(supply, _)| *supply == wanted)?.1;
    probe.into_complete()
}

/// The first supply whose compiler can be had is the one. From there on a failure is an error:
/// another supply would leave this one half done, and would fail on the same network or the same
/// sources.
fn install_first(tools: &Path, order: &[Supply], probes: &[(Supply, Probe)]) -> Result<Toolchain> {
    for supply in order {
        let has_toolchain = probes.iter().any(|(it, probe)| it == supply && probe.has_toolchain());
        if !has_toolchain && let Err(error) = supply.install_toolchain() {
            eprintln!("cannot have {}'s compiler: {error:#}", supply.name());
            continue;
        }
        supply.install_linker(tools)?;
        let probe = supply.probe(tools);
        probe.print(supply.name());
        let Some(toolchain) = probe.into_complete() else {
            bail!(
                "installed what {} lacked, but it is not complete: see `missing` above",
                supply.name()
            );
        };
        return Ok(toolchain);
    }
    bail!("no supply could be installed; the reasons are above.\n{}", by_hand())
}

fn by_hand() -> String {
    format!(
        "Install one of these by hand, then run `cargo xtask setup` again:\n{}\n{}",
        rustup::by_hand(),
        debian::by_hand()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(supply: Supply, complete: bool, can_install: bool) -> Facts {
        Facts { supply, complete, has_toolchain: complete, can_install }
    }

    #[test]
    fn a_compiler_that_is_there_is_not_passed_over_for_a_download() {
        let debian = Facts { has_toolchain: true, ..fact(Supply::Debian, false, true) };
        let facts = [fact(Supply::Rustup, false, true), debian];
        assert_eq!(choose(&facts), Choice::Install(vec![Supply::Debian, Supply::Rustup]));
    }

    #[test]
    fn rustup_wins_when_both_are_complete() {
        let facts = [fact(Supply::Rustup, true, true), fact(Supply::Debian, true, true)];
        assert_eq!(choose(&facts), Choice::Use(Supply::Rustup));
    }

    #[test]
    fn a_complete_supply_wins_over_one_that_could_be_installed() {
        let facts = [fact(Supply::Rustup, false, true), fact(Supply::Debian, true, false)];
        assert_eq!(choose(&facts), Choice::Use(Supply::Debian));
    }

    #[test]
    fn with_none_complete_rustup_is_tried_before_debian() {
        let facts = [fact(Supply::Rustup, false, true), fact(Supply::Debian, false, true)];
        assert_eq!(choose(&facts), Choice::Install(vec![Supply::Rustup, Supply::Debian]));
    }

    #[test]
    fn a_supply_without_its_installer_is_not_tried() {
        let facts = [fact(Supply::Rustup, false, false), fact(Supply::Debian, false, true)];
        assert_eq!(choose(&facts), Choice::Install(vec![Supply::Debian]));
    }

    #[test]
    fn with_nothing_to_install_from_both_ways_are_named() {
        let facts = [fact(Supply::Rustup, false, false), fact(Supply::Debian, false, false)];
        assert_eq!(choose(&facts), Choice::GiveUp);
        let text = by_hand();
        assert!(
            text.contains("rustup toolchain install") && text.contains("apt-get install"),
            "{text}"
        );
    }
}
