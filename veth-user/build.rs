//! Builds the eBPF objects and puts them into `OUT_DIR`, where `datapath/object.rs` takes them
//! from. Which compiler and which linker to use was decided by `cargo xtask setup`, which leaves a
//! file that is read here.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The binaries of veth-ebpf: each becomes `OUT_DIR/<name>`.
const OBJECTS: &[&str] = &["veth-tc", "veth-xdp", "veth-bench"];

/// Variables that begin like these describe the outer build: another compiler (or clippy in its
/// place), its flags, profile, features and job server, and the libraries of its toolchain, in which
/// a linker without an LLVM of its own would find the wrong one.
const DROP: &[&str] = &[
    "CARGO",
    "CLIPPY_",
    "LD_LIBRARY_PATH",
    "MAKEFLAGS",
    "MFLAGS",
    "RUSTC",
    "RUSTDOC",
    "RUSTFLAGS",
    "RUSTUP_TOOLCHAIN",
];

/// Except these, which a user sets for every cargo.
const KEEP: &[&str] =
    &["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_TERM_"];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={}", error.replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let out_dir = PathBuf::from(var("OUT_DIR")?);
    let manifest_dir = PathBuf::from(var("CARGO_MANIFEST_DIR")?);
    let workspace = manifest_dir.parent().ok_or("the package has no parent folder")?;
    for input in ["veth-ebpf", "veth-common", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", workspace.join(input).display());
    }
    println!("cargo::rerun-if-changed=build.rs");

    let toolchain = read_toolchain(&find_record(workspace, &out_dir))?;
    let get = |key: &str| {
        let value = toolchain.get(key).map(String::as_str);
        value.ok_or(format!("the toolchain file has no `{key}`; run `cargo xtask setup`"))
    };

    let endian = if var("CARGO_CFG_TARGET_ENDIAN")? == "big" { "bpfeb" } else { "bpfel" };
    let triple = format!("{endian}-unknown-none");
    let target_dir = out_dir.join("ebpf");
    let flags = [
        format!("--cfg=bpf_target_arch=\"{}\"", bpf_target_arch(&var("CARGO_CFG_TARGET_ARCH")?)),
        "-Cdebuginfo=2".to_owned(),
        format!("-Clinker={}", get("linker")?),
        "-Clink-arg=--btf".to_owned(),
        // Frame headers lie at any offset: one load instead of one for each byte. The kernel
        // allows it where the CPU does, which is wherever there is an eBPF JIT that we serve.
        "-Clink-arg=--cpu-features=+allows-misaligned-mem-access".to_owned(),
    ];

    let mut cargo = Command::new(get("cargo")?);
    for (key, _) in env::vars_os() {
        let begins = |list: &[&str]| list.iter().any(|it| key.to_string_lossy().starts_with(it));
        if begins(DROP) && !begins(KEEP) {
            cargo.env_remove(&key);
        }
    }
    cargo
        .current_dir(workspace)
        .env("RUSTC", get("rustc")?)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .args(["build", "--package", "veth-ebpf", "--bins", "--release", "--locked"])
        .args(["-Z", "build-std=core", "--target", &triple])
        // Inside OUT_DIR: the outer cargo holds the lock of its own target directory.
        .arg("--target-dir")
        .arg(&target_dir);
    if get("bootstrap")? == "1" {
        cargo.env("RUSTC_BOOTSTRAP", "1");
    }
    if let Some(path) = toolchain.get("library_path").filter(|path| !path.is_empty()) {
        cargo.env("LD_LIBRARY_PATH", path);
    }
    if env::var_os("CARGO_FEATURE_EBPF_LOG").is_some() {
        cargo.args(["--features", "log"]);
    }
    let status = cargo.status().map_err(|error| {
        format!("build the eBPF objects: cannot start {cargo:?}: {error}; run `cargo xtask setup`")
    })?;
    if !status.success() {
        return Err(format!("build the eBPF objects: {status}; the reason stands below"));
    }
    for object in OBJECTS {
        let built = target_dir.join(&triple).join("release").join(object);
        let wanted = out_dir.join(object);
        fs::copy(&built, &wanted).map_err(|error| {
            format!("copy {} to {}: {error}", built.display(), wanted.display())
        })?;
    }
    Ok(())
}

/// Where `setup` wrote its findings: the first of these that exists, else the one where it would
/// be.
fn find_record(workspace: &Path, out_dir: &Path) -> PathBuf {
    let explicit = |key: &str| {
        println!("cargo::rerun-if-env-changed={key}");
        env::var_os(key).map(PathBuf::from)
    };
    // OUT_DIR lies in the target directory, whichever way that was chosen.
    let around = out_dir.ancestors().map(|dir| dir.join("tools"));
    let elsewhere = explicit("CARGO_TARGET_DIR").map(|dir| dir.join("tools"));
    let candidates: Vec<PathBuf> = match explicit("VETH_TOOLS_DIR") {
        Some(tools) => vec![tools],
        None => around.chain(elsewhere).chain([workspace.join("target/tools")]).collect(),
    };
    let mut records = candidates.into_iter().map(|tools| tools.join("ebpf-toolchain"));
    let last = records.clone().next_back().unwrap_or_default();
    let record = records.find(|record| record.is_file()).unwrap_or(last);
    println!("cargo::rerun-if-changed={}", record.display());
    record
}

/// The `key=value` lines that `setup` wrote.
fn read_toolchain(path: &Path) -> Result<HashMap<String, String>, String> {
    let text = fs::read_to_string(path).map_err(|error| {
        format!(
            "no toolchain for the eBPF objects ({}: {error}); run `cargo xtask setup`",
            path.display()
        )
    })?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

/// The name aya-ebpf has for the machine whose kernel structures are used.
fn bpf_target_arch(arch: &str) -> &str {
    if arch.starts_with("riscv64") { "riscv64" } else { arch }
}

fn var(key: &str) -> Result<String, String> {
    env::var(key).map_err(|error| format!("cargo did not set {key}: {error}"))
}
