//! `cargo xtask ebpf`: what the eBPF programs cost (instructions, stack, bytes), against what is
//! committed. A change that makes the fast path longer is then seen in review, as a change of the
//! baseline.

mod baseline;
mod decode;
mod object;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::proc::Cmd;
use crate::{Workspace, setup};
use baseline::Baseline;
use object::Object;

/// The objects that the build script of veth-user leaves in its `OUT_DIR`.
const OBJECTS: &[&str] = &["veth-tc", "veth-xdp", "veth-bench"];
const BASELINE: &str = "xtask/ebpf-baseline.json";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write what was measured as the new baseline
    #[arg(long)]
    bless: bool,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let toolchain = setup::ensure(workspace)?;
    let out_dir = build(workspace)?;
    let mut objects = BTreeMap::new();
    for name in OBJECTS {
        objects.insert((*name).to_owned(), read_object(&out_dir.join(name))?);
    }
    if args.json {
        let report = json!({ "rustc": toolchain.rustc_version(), "objects": objects });
        println!("{report:#}");
    } else {
        print_table(&objects);
    }

    let now = Baseline::of(toolchain.rustc_version(), &objects);
    let path = workspace.root.join(BASELINE);
    if args.bless {
        now.write(&path)?;
        eprintln!("wrote {BASELINE}; commit it with the change that explains it");
        return Ok(ExitCode::SUCCESS);
    }
    let before = Baseline::read(&path).context("`cargo xtask ebpf --bless` writes a new one")?;
    Ok(report(&before, &now))
}

fn report(before: &Baseline, now: &Baseline) -> ExitCode {
    let findings = before.judge(now);
    if findings.is_empty() {
        eprintln!("within the budget of {BASELINE}");
        return ExitCode::SUCCESS;
    }
    for finding in &findings {
        eprintln!("over budget: {finding}");
    }
    if before.rustc != now.rustc {
        eprintln!(
            "warning: not held to it: the baseline is of rustc {}, and this is rustc {}",
            before.rustc, now.rustc
        );
        return ExitCode::SUCCESS;
    }
    eprintln!("error: if this is what you want, `cargo xtask ebpf --bless` writes a new baseline");
    ExitCode::FAILURE
}

/// Builds veth-user and returns the folder its build script wrote to.
fn build(workspace: &Workspace) -> Result<PathBuf> {
    let messages = Cmd::cargo(&workspace.root)
        .args(["build", "--package", "veth-user", "--message-format", "json-render-diagnostics"])
        .run_for_stdout("build the eBPF objects")?;
    find_out_dir(&String::from_utf8_lossy(&messages)).context(
        "build the eBPF objects: cargo did not say where the build script of veth-user wrote to",
    )
}

fn find_out_dir(messages: &str) -> Option<PathBuf> {
    messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).find_map(
        |message| {
            let is_build_script = message["reason"] == "build-script-executed";
            // A package id ends in `veth-user#0.1.0`, or in `/veth-user` where the folder is named
            // otherwise.
            let is_ours = message["package_id"].as_str()?.contains("veth-user#");
            (is_build_script && is_ours).then(|| message["out_dir"].as_str().map(PathBuf::from))?
        },
    )
}

fn read_object(path: &Path) -> Result<Object> {
    let what = || format!("inspect {}", path.display());
    let elf = std::fs::read(path).with_context(what)?;
    Object::parse(&elf).with_context(what)
}

fn print_table(objects: &BTreeMap<String, Object>) {
    for (name, object) in objects {
        let Object { bytes, programs, functions } = object;
        println!("{name}: {bytes} bytes");
        println!(
            "  {:<40} {:<20} {:>12} {:>11}",
            "program", "section", "instructions", "stack bytes"
        );
        for (program, cost) in programs {
            let object::Program { section, instructions, stack_bytes } = cost;
            println!("  {program:<40} {section:<20} {instructions:>12} {stack_bytes:>11}");
        }
        println!("  functions, each by itself:");
        for function in functions {
            let object::Part { section, name, instructions, stack_bytes } = function;
            println!("  {name:<40} {section:<20} {instructions:>12} {stack_bytes:>11}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_out_dir_of_veth_user_is_found_among_the_messages() {
        let messages = r#"{"reason":"build-script-executed","package_id":"registry+x#libc@0.2.1","out_dir":"/libc"}
not json
{"reason":"compiler-artifact","package_id":"path+file:///w/veth-user#0.1.0"}
{"reason":"build-script-executed","package_id":"path+file:///w/veth-user#0.1.0","out_dir":"/veth"}"#;
        assert_eq!(find_out_dir(messages), Some(PathBuf::from("/veth")));
        assert_eq!(find_out_dir("{}"), None);
    }
}
