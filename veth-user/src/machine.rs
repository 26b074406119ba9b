//! The machine: what about it decides how fast packets go, and how busy its CPUs were.

use std::{fs, io, path::Path, time::Duration};

use nix::unistd::{SysconfVar, sysconf};

use crate::results::Machine;

/// What the machine is. What it does not tell is left out, and whether bridges ask netfilter is for
/// others to say.
pub fn facts() -> Machine {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    Machine {
        kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default(),
        cpu: cpu_model(&cpuinfo).unwrap_or_default(),
        cpus: std::thread::available_parallelism().map_or(1, usize::from),
        hypervisor: hypervisor(&cpuinfo),
        clock: read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        governor: read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        mitigations: mitigations(Path::new("/sys/devices/system/cpu/vulnerabilities")),
        bridge_netfilter: false,
    }
}

/// How long the CPUs have been at work since the machine started, all of them together, in ticks
/// of usually 10 ms.
///
/// # Errors
///
/// When `/proc/stat` cannot be read or lacks one of the CPUs.
pub fn busy_time(cpus: &[usize]) -> io::Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let ticks_per_second = match sysconf(SysconfVar::CLK_TCK)? {
        Some(ticks @ 1..) => ticks.unsigned_abs(),
        _ => 100,
    };
    let mut ticks = 0;
    for cpu in cpus {
        ticks += busy_ticks(&text, *cpu).ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotFound, format!("/proc/stat has no cpu{cpu}"))
        })?;
    }
    Ok(Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / ticks_per_second)))
}

/// Ticks that the text of `/proc/stat` says a CPU was not idle.
fn busy_ticks(text: &str, cpu: usize) -> Option<u64> {
    let name = format!("cpu{cpu}");
    let line = text.lines().find(|line| line.split_whitespace().next() == Some(name.as_str()))?;
    let fields: Vec<u64> =
        line.split_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq; what follows is time that others had.
    let [user, nice, system, _, _, irq, softirq, ..] = fields[..] else { return None };
    Some(user + nice + system + irq + softirq)
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The model in the text of `/proc/cpuinfo`, whichever way the architecture has it.
fn cpu_model(cpuinfo: &str) -> Option<String> {
    ["model name", "Model", "cpu model", "cpu"].iter().find_map(|key| field(cpuinfo, key))
}

fn field(cpuinfo: &str, key: &str) -> Option<String> {
    cpuinfo.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

/// What the machine is a guest of, when it is one: by what the firmware calls itself.
fn hypervisor(cpuinfo: &str) -> Option<String> {
    let flags = field(cpuinfo, "flags")?;
    flags.split_whitespace().find(|flag| *flag == "hypervisor")?;
    let product = read("/sys/class/dmi/id/product_name");
    Some(product.or_else(|| read("/sys/hypervisor/type")).unwrap_or_else(|| "unknown".into()))
}

/// The mitigations that are in force: name and state.
fn mitigations(dir: &Path) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let state = read(entry.path())?;
            let is_in_force = state.contains("Mitigation");
            is_in_force.then(|| (entry.file_name().to_string_lossy().into_owned(), state))
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  10 20 30 40 50 60 70 80 0 0\n\
                        cpu1 1 2 3 400 5 6 7 80 9 10\n\
                        cpu10 9 9 9 9 9 9 9 9 9 9\n";

    #[test]
    fn busy_ticks_are_all_but_idle_and_stolen_ones() {
        assert_eq!(busy_ticks(STAT, 1), Some(1 + 2 + 3 + 6 + 7));
        assert_eq!(busy_ticks(STAT, 10), Some(45));
        assert_eq!(busy_ticks(STAT, 0), None);
        assert_eq!(busy_ticks("cpu0 1 2 3", 0), None);
    }

    #[test]
    fn cpus_of_this_machine_get_busier() {
        let before = busy_time(&[0]).expect("every machine has a first CPU");
        assert!(busy_time(&[0]).expect("as before") >= before);
        assert!(busy_time(&[100_000]).is_err());
    }

    #[test]
    fn model_is_found_on_different_architectures() {
        let model = |text: &str| cpu_model(text);
        assert_eq!(model("processor : 0\nmodel name\t: Fast 1\n").as_deref(), Some("Fast 1"));
        assert_eq!(model("cpu\t\t: POWER9\n").as_deref(), Some("POWER9"));
        assert_eq!(model("processor : 0\n"), None);
    }

    #[test]
    fn this_machine_tells_its_kernel() {
        let facts = facts();
        assert!(facts.kernel.starts_with(|digit: char| digit.is_ascii_digit()), "{facts:?}");
        assert!(facts.cpus > 0);
    }
}
