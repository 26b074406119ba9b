//! Network namespaces: making, naming, entering and removing them.
//!
//! This is the only file that changes a thread's namespace, and it does so only on a thread that
//! ends with the closure it runs, so no other code can find itself in the wrong one.
//!
//! Namespaces are ordinary named ones: bind mounts under `/run/netns`, as `ip netns` makes them.
//! The file below such a mount says who made it, so that the remains of an interrupted `up` are
//! known for what they are.

mod discovery;

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{self, Write as _},
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
};

use nix::{
    fcntl::{AT_FDCWD, AtFlags, OFlag},
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, setns, unshare},
    sys::statfs::{FsType, fstatfs},
    unistd::linkat,
};

pub use discovery::{Discovery, Found, discover};

/// Where named namespaces live, as iproute2 has it.
pub const NETNS_DIR: &str = "/run/netns";

/// Where the BPF file system is, by convention.
const BPFFS: &str = "/sys/fs/bpf";

/// `NSFS_MAGIC` of `linux/magic.h`.
const NSFS: FsType = FsType(0x6e73_6673);

/// What failed with a namespace.
#[derive(Debug, thiserror::Error)]
#[error("{action} namespace {name}: {source}")]
pub struct NetnsError {
    action: &'static str,
    name: String,
    source: io::Error,
}

impl NetnsError {
    fn new(action: &'static str, name: &str, source: impl Into<io::Error>) -> Self {
        Self { action, name: name.to_owned(), source: source.into() }
    }

    /// The caller lacks `CAP_SYS_ADMIN`.
    pub fn is_permission(&self) -> bool {
        self.source.kind() == io::ErrorKind::PermissionDenied
    }
}

/// What stands at a namespace's name.
#[derive(Debug)]
pub enum Named {
    /// Nothing.
    Absent,
    /// A network namespace.
    Namespace(Netns),
    /// A plain file, with what it says: an interrupted creation or removal left it.
    Remains(String),
    /// Something that is neither.
    Other,
}

/// A network namespace, held open.
#[derive(Debug)]
pub struct Netns {
    name: String,
    file: OwnedFd,
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Netns {
    /// Makes a namespace called `name`, whose file says `owner`.
    ///
    /// `prepare` runs inside before the name appears, so that nobody ever finds a namespace of
    /// that name that is not prepared.
    ///
    /// # Errors
    ///
    /// When the name is taken, or the kernel refuses (`CAP_SYS_ADMIN`).
    pub fn create<T, E>(
        name: &str,
        owner: &str,
        prepare: impl FnOnce() -> Result<T, E> + Send,
    ) -> Result<Result<(Self, T), E>, NetnsError>
    where
        T: Send,
        E: Send,
    {
        ensure_dir().map_err(|source| NetnsError::new("prepare /run/netns for", name, source))?;
        let made = on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let file = File::open("/proc/thread-self/ns/net")?;
            Ok(prepare().map(|value| (OwnedFd::from(file), value)))
        })
        .map_err(|source| NetnsError::new("create", name, source))?;
        let (file, value) = match made {
            Ok(made) => made,
            Err(error) => return Ok(Err(error)),
        };
        place(name, owner, &file).map_err(|source| NetnsError::new("name", name, source))?;
        Ok(Ok((Self { name: name.to_owned(), file }, value)))
    }

    /// Looks at what stands at `name`.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or examined.
    pub fn look_up(name: &str) -> Result<Named, NetnsError> {
        let look_up = || -> io::Result<Named> {
            let path = path_of(name);
            // Looked at before it is opened: opening a FIFO would wait for its other end.
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_file() => {}
                Ok(_) => return Ok(Named::Other),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Named::Absent),
                Err(error) => return Err(error),
            }
            let file = File::open(&path)?;
            if fstatfs(&file)?.filesystem_type() == NSFS {
                return Ok(Named::Namespace(Self { name: name.to_owned(), file: file.into() }));
            }
            let text = fs::read(&path)?;
            Ok(Named::Remains(String::from_utf8_lossy(&text).into_owned()))
        };
        look_up().map_err(|source| NetnsError::new("look up", name, source))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its inode, which identifies it for as long as it exists.
    ///
    /// # Errors
    ///
    /// When the file cannot be examined.
    pub fn inode(&self) -> Result<u64, NetnsError> {
        fs::metadata(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
            .map(|metadata| metadata.ino())
            .map_err(|source| NetnsError::new("examine", &self.name, source))
    }

    /// Runs `work` inside, on a thread of its own.
    ///
    /// # Errors
    ///
    /// When the namespace cannot be entered (`CAP_SYS_ADMIN`).
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        on_own_thread(|| {
            setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET)?;
            Ok(work())
        })
        .map_err(|source| NetnsError::new("enter", &self.name, source))
    }

    /// Starts `work` inside, on a thread of its own that runs on.
    ///
    /// # Errors
    ///
    /// When no thread can be started. When the namespace cannot be entered, the thread ends with
    /// that error.
    pub fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<thread::JoinHandle<Result<T, NetnsError>>, NetnsError> {
        let name = self.name.clone();
        let spawn = || {
            let file = self.file.try_clone()?;
            thread::Builder::new().name(format!("netns-{name}")).spawn(move || {
                setns(file.as_fd(), CloneFlags::CLONE_NEWNET)
                    .map_err(|errno| NetnsError::new("enter", &name, errno))?;
                Ok(work())
            })
        };
        spawn().map_err(|source| NetnsError::new("start a thread in", &self.name, source))
    }
}

/// Runs `visit` in each of `namespaces` in turn, on one thread; the results are in order. One that
/// cannot be entered is an error of its own.
pub fn visit_all<'a, T: Send>(
    namespaces: impl IntoIterator<Item = &'a Netns> + Send,
    mut visit: impl FnMut(&'a Netns) -> T + Send,
) -> Vec<Result<T, NetnsError>> {
    let enter = |netns: &Netns| {
        setns(netns.file.as_fd(), CloneFlags::CLONE_NEWNET)
            .map_err(|errno| NetnsError::new("enter", &netns.name, errno))
    };
    thread::scope(|scope| {
        let visitor = scope.spawn(|| {
            namespaces.into_iter().map(|netns| enter(netns).map(|()| visit(netns))).collect()
        });
        visitor.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Removes the name `name`; the namespace goes when nobody holds it any more. Missing is fine.
///
/// # Errors
///
/// When the mount or the file cannot be removed.
pub fn remove(name: &str) -> Result<(), NetnsError> {
    let path = path_of(name);
    let remove = || -> io::Result<()> {
        match umount2(&path, MntFlags::MNT_DETACH) {
            // EINVAL: not a mount, the remains of an interrupted creation or removal.
            Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    };
    remove().map_err(|source| NetnsError::new("remove", name, source))
}

/// Inode of the namespace of the calling thread, which tells it from others. Threads of one
/// process may be in different ones.
///
/// # Errors
///
/// When `/proc` does not tell.
pub fn current_inode() -> Result<u64, NetnsError> {
    fs::metadata("/proc/thread-self/ns/net")
        .map(|metadata| metadata.ino())
        .map_err(|source| NetnsError::new("examine", "of this thread", source))
}

/// Runs `work` on a thread of its own that has a network namespace, a `/run` and a BPF file system
/// to itself, all of them new: its `lo` is down, and it sees neither the named namespaces nor the
/// locks and pins of the machine.
///
/// What is made in there (devices, named namespaces, pins) is in sight of that thread and of those
/// that it starts, and of nobody else. It ends with the last of them, also where the process is
/// killed: nothing has to be taken down.
///
/// # Errors
///
/// When the namespaces cannot be made, or their file systems not be mounted (`CAP_SYS_ADMIN`).
pub fn private<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
    on_own_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS)?;
        hide_mounts()?;
        Ok(work())
    })
    .map_err(|source| NetnsError::new("make", "of this thread's own", source))
}

/// The names under [`NETNS_DIR`], whatever stands behind them.
///
/// # Errors
///
/// When the directory exists and cannot be read.
pub fn names() -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(NETNS_DIR) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    // A name that is not text is nobody's that we could have made.
    entries
        .filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose())
        .collect()
}

/// The name of the namespace that `ip netns exec` brought this process into, if it did. That mounts a
/// `/sys` of its own, named after the namespace: what is mounted below it is in nobody else's sight.
///
/// Source: `netns_switch` in
/// <https://github.com/iproute2/iproute2/blob/v6.1.0/lib/namespace.c>.
///
/// # Errors
///
/// When the names cannot be read.
pub fn entered_by_exec() -> Result<Option<String>, NetnsError> {
    let Some(name) = names_by_inode()?.remove(&current_inode()?) else { return Ok(None) };
    let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap_or_default();
    let of_exec = format!(" - sysfs {name} ");
    let is_of_exec = |line: &str| line.contains(" /sys ") && line.contains(&of_exec);
    Ok(mounts.lines().any(is_of_exec).then_some(name))
}

/// The names under [`NETNS_DIR`] by the inode of the namespace behind them.
///
/// # Errors
///
/// When the directory exists and cannot be read.
pub fn names_by_inode() -> Result<HashMap<u64, String>, NetnsError> {
    let names = names().map_err(|source| NetnsError::new("list", NETNS_DIR, source))?;
    // One that is gone by now is none; and whoever looks a name up sees what kind of file it is.
    let inode = |name: &String| fs::metadata(path_of(name)).ok().map(|metadata| metadata.ino());
    Ok(names.into_iter().filter_map(|name| Some((inode(&name)?, name))).collect())
}

fn path_of(name: &str) -> PathBuf {
    Path::new(NETNS_DIR).join(name)
}

/// Runs `work` on a thread that then ends, and hands on its result or its panic.
fn on_own_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    thread::scope(|scope| {
        thread::Builder::new()
            .spawn_scoped(scope, work)?
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Mounts empty file systems where the machine's named things are, in the calling thread's mount
/// namespace, which is a new one.
fn hide_mounts() -> io::Result<()> {
    // First of all: mounts would otherwise be made, and later taken away, outside as well.
    let alone = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    mount(None::<&str>, "/", None::<&str>, alone, None::<&str>)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    for (kind, path, mode) in [("tmpfs", "/run", "mode=0755"), ("bpf", BPFFS, "mode=0700")] {
        mount(Some(kind), path, Some(kind), flags, Some(mode)).map_err(|errno| {
            let error = io::Error::from(errno);
            io::Error::new(error.kind(), format!("mount {kind} on {path}: {error}"))
        })?;
    }
    Ok(())
}

/// Makes [`NETNS_DIR`] the shared mount that iproute2 expects, so that a namespace named here
/// is seen, and can be removed, in other mount namespaces as well.
fn ensure_dir() -> io::Result<()> {
    fs::create_dir_all(NETNS_DIR)?;
    let share = || {
        let flags = MsFlags::MS_SHARED | MsFlags::MS_REC;
        mount(None::<&str>, NETNS_DIR, None::<&str>, flags, None::<&str>)
    };
    match share() {
        // Not a mount point yet: becomes one by being mounted on itself.
        Err(nix::Error::EINVAL) => {
            let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
            mount(Some(NETNS_DIR), NETNS_DIR, None::<&str>, flags, None::<&str>)?;
            Ok(share()?)
        }
        result => Ok(result?),
    }
}

/// Gives `file` its name. The file to mount on appears with its text in it, in one step.
fn place(name: &str, owner: &str, file: &OwnedFd) -> io::Result<()> {
    let path = path_of(name);
    let mut below = fs::OpenOptions::new()
        .write(true)
        .mode(0o600)
        .custom_flags(OFlag::O_TMPFILE.bits())
        .open(NETNS_DIR)?;
    below.write_all(owner.as_bytes())?;
    let unnamed = format!("/proc/self/fd/{}", below.as_raw_fd());
    linkat(AT_FDCWD, unnamed.as_str(), AT_FDCWD, &path, AtFlags::AT_SYMLINK_FOLLOW)?;
    let netns = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mounted = mount(Some(netns.as_str()), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>);
    if let Err(errno) = mounted {
        let _ = fs::remove_file(&path);
        return Err(errno.into());
    }
    Ok(())
}
