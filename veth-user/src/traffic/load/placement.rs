//! Which CPU a thread runs on.

use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::traffic::error::TrafficError;

/// The calling thread.
const THIS_THREAD: Pid = Pid::from_raw(0);

/// Has the calling thread run on `cpu`, counted from 0, and nowhere else.
///
/// # Errors
///
/// When there is no such CPU, or it is offline, or kept from this process.
#[doc(alias = "sched_setaffinity")]
pub fn pin_to(cpu: usize) -> Result<(), TrafficError> {
    let mut cpus = CpuSet::new();
    cpus.set(cpu)
        .and_then(|()| sched_setaffinity(THIS_THREAD, &cpus))
        .map_err(|errno| TrafficError::Pin { cpu, source: errno.into() })
}

/// The CPUs that this process may use, counted from 0, in order.
///
/// # Errors
///
/// When the kernel knows more CPUs than the standard set has room for, which is 1024.
#[doc(alias = "sched_getaffinity")]
pub fn allowed_cpus() -> Result<Vec<usize>, TrafficError> {
    let cpus = sched_getaffinity(Pid::this())
        .map_err(|errno| TrafficError::AllowedCpus { source: errno.into() })?;
    Ok((0..CpuSet::count()).filter(|&cpu| cpus.is_set(cpu).unwrap_or(false)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::sched_getcpu;
    use std::thread;

    #[test]
    fn pinned_thread_runs_there_and_only_there() {
        for cpu in allowed_cpus().expect("ask") {
            thread::spawn(move || {
                pin_to(cpu).expect("it is allowed");
                assert_eq!(sched_getcpu().expect("ask"), cpu);
                let cpus = sched_getaffinity(THIS_THREAD).expect("ask");
                let is_alone = (0..CpuSet::count())
                    .all(|other| cpus.is_set(other).expect("in range") == (other == cpu));
                assert!(is_alone);
            })
            .join()
            .expect("no assertion failed");
        }
    }

    #[test]
    fn missing_cpu_is_an_error_that_names_it() {
        for cpu in [CpuSet::count() - 1, CpuSet::count()] {
            let error = pin_to(cpu).expect_err("no machine has that many");
            assert!(error.to_string().starts_with(&format!("run a thread on CPU {cpu}: ")));
        }
    }

    #[test]
    fn allowed_cpus_are_in_order() {
        let cpus = allowed_cpus().expect("ask");
        assert!(!cpus.is_empty());
        assert!(cpus.is_sorted());
    }
}
