//! The BPF file system: where pins live, and whether it is there.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount},
    sys::statfs::{BPF_FS_MAGIC, statfs},
};

/// Where the BPF file system is mounted, by convention.
const MOUNT_POINT: &str = "/sys/fs/bpf";

/// The directory of all fabrics' pins.
const ROOT: &str = "/sys/fs/bpf/veth";

/// What failed in the BPF file system.
#[derive(Debug, thiserror::Error)]
pub enum BpffsError {
    /// It is not mounted and cannot be mounted.
    #[error(
        "mount the BPF file system on {MOUNT_POINT}: {source}; pins need it: run as root, with a \
         kernel built with CONFIG_BPF_SYSCALL, or mount it by hand: \
         mount -t bpf bpf {MOUNT_POINT}"
    )]
    Mount {
        /// Why not.
        source: io::Error,
    },
    /// A directory or pin cannot be made, listed or removed.
    #[error("{action} {path}: {source}")]
    Path {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl BpffsError {
    pub(crate) fn path(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Path { action, path: path.to_owned(), source }
    }
}

/// The directory of a fabric's pins. It need not exist.
pub fn dir_of(fabric: &str) -> PathBuf {
    Path::new(ROOT).join(fabric)
}

/// The fabrics that have pins.
///
/// # Errors
///
/// When the directory exists and cannot be read.
pub fn fabrics() -> Result<Vec<String>, BpffsError> {
    Ok(list(Path::new(ROOT))?
        .into_iter()
        .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
        .collect())
}

/// Makes the directory `dir`, with mode 0700 like everything of ours on the way to it, and
/// mounts the BPF file system if it is not.
///
/// # Errors
///
/// When it cannot be mounted or the directory cannot be made.
pub(super) fn create_dir(dir: &Path) -> Result<(), BpffsError> {
    ensure_mounted()?;
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(dir).map_err(|source| BpffsError::path("create pin directory", dir, source))
}

/// The paths in `dir`, sorted; none when it does not exist.
///
/// # Errors
///
/// When it cannot be read.
pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>, BpffsError> {
    let listed = fs::read_dir(dir)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>());
    match listed {
        Ok(mut paths) => {
            paths.sort();
            Ok(paths)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(BpffsError::path("list pins in", dir, source)),
    }
}

/// Removes the pin at `path`. Missing is fine.
///
/// # Errors
///
/// When it is there and cannot be removed.
pub(super) fn unpin(path: &Path) -> Result<(), BpffsError> {
    ignore_missing(fs::remove_file(path))
        .map_err(|source| BpffsError::path("remove pin", path, source))
}

/// Removes the directory `dir` and all pins in it, and the directory of all fabrics when that
/// was the last. Missing is fine.
///
/// # Errors
///
/// When something is there and cannot be removed.
pub fn remove_dir(dir: &Path) -> Result<(), BpffsError> {
    for path in list(dir)? {
        if path.is_dir() {
            remove_dir(&path)?;
        } else {
            unpin(&path)?;
        }
    }
    ignore_missing(fs::remove_dir(dir))
        .map_err(|source| BpffsError::path("remove pin directory", dir, source))?;
    if dir.parent() == Some(Path::new(ROOT)) {
        // Stays while other fabrics have pins in it.
        let _ = fs::remove_dir(ROOT);
    }
    Ok(())
}

/// Whether the BPF file system is where it belongs. If not, the first pin mounts it.
pub fn is_mounted() -> bool {
    statfs(MOUNT_POINT).is_ok_and(|fs| fs.filesystem_type() == BPF_FS_MAGIC)
}

/// Mounts the BPF file system where it belongs, if it is not there.
fn ensure_mounted() -> Result<(), BpffsError> {
    if is_mounted() {
        return Ok(());
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RELATIME;
    mount(Some("bpf"), MOUNT_POINT, Some("bpf"), flags, Some("mode=0700"))
        .map_err(|errno| BpffsError::Mount { source: errno.into() })
}

fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
