//! One process at a time works on a fabric.
//!
//! The lock is a file that only root can open, held by `flock(2)`: the kernel lets go of it when the
//! process ends in whatever way. The file goes with the lock; one that a killed process left goes
//! with the next.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};

use crate::Stop;

/// Where the files are.
const DIR: &str = "/run/veth";

/// How long to wait for another process: longer than any operation takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long to wait without a word.
const SILENCE: Duration = Duration::from_secs(1);

/// How long one that keeps a bridge may take to end, when another one is to take over.
const HANDOVER: Duration = Duration::from_secs(1);

/// How often to try.
const INTERVAL: Duration = Duration::from_millis(20);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("another veth process has been working on fabric {0} for a minute; try again later")]
    Busy(String),
    /// Another process keeps the bridge.
    #[error(
        "another veth process keeps bridge {0} already; stop that one first, or `veth detach {0}`"
    )]
    Kept(String),
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The file cannot be made or locked.
    #[error("lock fabric {fabric} by a file in {DIR}: {source}")]
    File {
        /// The fabric.
        fabric: String,
        /// Why not.
        source: io::Error,
    },
}

/// The right to change a fabric, until dropped.
#[derive(Debug)]
#[must_use = "the lock is gone when this is dropped"]
pub struct FabricLock {
    path: PathBuf,
    _file: Flock<File>,
}

impl FabricLock {
    /// Waits for the lock of `fabric`. When that takes a second, says so once through `waiting`.
    ///
    /// # Errors
    ///
    /// When another process keeps it, or `stop` is requested meanwhile.
    pub fn acquire(
        fabric: &str,
        stop: &Stop,
        waiting: &mut dyn FnMut(),
    ) -> Result<Self, LockError> {
        Self::acquire_in(Path::new(DIR), fabric, stop, waiting)
    }

    /// Takes the right to keep the bridge called `fabric`, which one process has for as long as it
    /// lives. It does not keep others from working on the fabric.
    ///
    /// # Errors
    ///
    /// When another process has it.
    pub fn acquire_keeping(fabric: &str) -> Result<Self, LockError> {
        // Names of fabrics have no dots.
        let path = Path::new(DIR).join(format!("{fabric}.agent"));
        let end = Instant::now() + HANDOVER;
        loop {
            let tried = Self::try_acquire(path.clone());
            match tried.map_err(|source| LockError::File { fabric: fabric.to_owned(), source })? {
                Some(lock) => return Ok(lock),
                None if Instant::now() > end => return Err(LockError::Kept(fabric.to_owned())),
                None => thread::sleep(INTERVAL),
            }
        }
    }

    fn acquire_in(
        dir: &Path,
        fabric: &str,
        stop: &Stop,
        waiting: &mut dyn FnMut(),
    ) -> Result<Self, LockError> {
        let started = Instant::now();
        let mut said = false;
        loop {
            let tried = Self::try_acquire(dir.join(fabric));
            match tried.map_err(|source| LockError::File { fabric: fabric.to_owned(), source })? {
                Some(lock) => return Ok(lock),
                None if stop.is_requested() => return Err(LockError::Interrupted),
                None if started.elapsed() > PATIENCE => {
                    return Err(LockError::Busy(fabric.to_owned()));
                }
                None => {
                    if !said && started.elapsed() > SILENCE {
                        said = true;
                        waiting();
                    }
                    thread::sleep(INTERVAL);
                }
            }
        }
    }

    /// Whether another process is at work on `fabric` at this moment.
    pub fn is_taken(fabric: &str) -> bool {
        let path = Path::new(DIR).join(fabric);
        path.exists() && matches!(Self::try_acquire(path), Ok(None))
    }

    /// The lock, or `None` when another process has it, or was just giving it up.
    fn try_acquire(path: PathBuf) -> io::Result<Option<Self>> {
        if let Some(dir) = path.parent() {
            match DirBuilder::new().recursive(true).mode(0o700).create(dir) {
                // It was there, and went with another lock before it could be looked at.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
                made => made?,
            }
        }
        let opened =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = match opened {
            // The directory went with another lock since.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(file) => file,
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(errno.into()),
        };
        // The file that was opened may be one that its holder has removed meanwhile: the lock is
        // that of the file at the path.
        let is_current = fs::metadata(&path).is_ok_and(|now| {
            file.metadata().is_ok_and(|ours| (now.dev(), now.ino()) == (ours.dev(), ours.ino()))
        });
        Ok(is_current.then_some(Self { path, _file: file }))
    }
}

impl Drop for FabricLock {
    fn drop(&mut self) {
        // While the lock is still held, so that nobody else's file is removed. What stays harms
        // nobody.
        let _ = fs::remove_file(&self.path);
        if let Some(dir) = self.path.parent() {
            let _ = fs::remove_dir(dir);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acquire(dir: &Path, stop: &Stop) -> Result<FabricLock, LockError> {
        FabricLock::acquire_in(dir, "lab", stop, &mut || {})
    }

    #[test]
    fn second_process_waits_until_the_first_is_done_and_nothing_is_left() {
        let dir = std::env::temp_dir().join(format!("veth-lock-{}", std::process::id()));
        let first = acquire(&dir, &Stop::new()).expect("nobody has it");
        let stop = Stop::new();
        stop.request();
        assert!(matches!(acquire(&dir, &stop), Err(LockError::Interrupted)));
        drop(first);
        acquire(&dir, &stop).map(drop).expect("it is free again");
        assert!(!dir.exists());
    }

    #[test]
    fn one_holder_at_a_time_however_many_come_and_go() {
        let dir = std::env::temp_dir().join(format!("veth-lock-many-{}", std::process::id()));
        let holders = std::sync::atomic::AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let lock = acquire(&dir, &Stop::new()).expect("its turn comes");
                        let before = holders.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        assert_eq!(before, 0, "two have it");
                        thread::yield_now();
                        holders.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
    }
}
