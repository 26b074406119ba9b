//! Finding the network namespaces of the machine: those that have names, and those that processes
//! are in.
//!
//! One that is held by something else alone (a thread, a socket, an open file, a mount in another
//! mount namespace) is not found.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::{NETNS_DIR, Netns, NetnsError, current_inode};
use crate::inventory::Process;

/// Where Docker gives namespaces names.
const DOCKER_DIR: &str = "/run/docker/netns";

/// Users have directories in here, in which podman gives namespaces names.
const USERS_DIR: &str = "/run/user";

/// The namespaces of the machine.
#[derive(Debug, Default)]
pub struct Discovery {
    /// Each one once: the calling thread's first, then those with names, then the others, as old
    /// as their processes are.
    pub namespaces: Vec<Found>,
    /// What could not be looked at, a sentence each.
    pub notes: Vec<String>,
}

/// A namespace that was found.
#[derive(Debug)]
pub struct Found {
    /// Its inode.
    pub inode: u64,
    /// Whether it is that of the calling thread.
    pub own: bool,
    /// Its names.
    pub names: Vec<String>,
    /// The processes in it, the oldest first. Not looked for in the own one.
    pub processes: Vec<Process>,
    /// What its names are.
    paths: Vec<PathBuf>,
}

impl Found {
    fn new(inode: u64, own: bool) -> Self {
        Self { inode, own, names: Vec::new(), processes: Vec::new(), paths: Vec::new() }
    }

    /// Opens it, or `None` when it is gone.
    ///
    /// # Errors
    ///
    /// When it is there and cannot be opened.
    pub fn open(&self) -> Result<Option<Netns>, NetnsError> {
        let mut refusal = None;
        let of_processes = self.processes.iter().map(|process| netns_of(process.pid));
        let own = self.own.then(|| "/proc/self/ns/net".into());
        for path in self.paths.iter().cloned().chain(own).chain(of_processes) {
            match File::open(path) {
                Ok(file) => {
                    let netns = Netns { name: self.label(), file: file.into() };
                    // The name, or the id of the process, may mean another one by now.
                    if netns.inode()? == self.inode {
                        return Ok(Some(netns));
                    }
                }
                Err(error) if is_gone(&error) => {}
                Err(error) => refusal = Some(error),
            }
        }
        match refusal {
            Some(error) => Err(NetnsError::new("open", &self.label(), error)),
            None => Ok(None),
        }
    }

    fn label(&self) -> String {
        match (self.names.first(), self.processes.first()) {
            (Some(name), _) => name.clone(),
            (None, Some(process)) => format!("of process {} ({})", process.pid, process.command),
            (None, None) => format!("with inode {}", self.inode),
        }
    }
}

/// Finds the namespaces of the machine.
///
/// # Errors
///
/// When `/proc` cannot be read.
pub fn discover() -> Result<Discovery, NetnsError> {
    let failed = |source| NetnsError::new("look for", "of processes in /proc", source);
    let own = current_inode()?;
    let device = fs::metadata("/proc/thread-self/ns/net").map_err(failed)?.dev();
    let mut found = BTreeMap::from([(own, Found::new(own, true))]);
    let mut notes = Vec::new();

    for dir in name_dirs() {
        match named(&dir, device) {
            Ok(named) => {
                for (inode, name, path) in named {
                    let namespace =
                        found.entry(inode).or_insert_with(|| Found::new(inode, inode == own));
                    namespace.names.push(name);
                    namespace.paths.push(path);
                }
            }
            Err(error) => notes.push(format!("names in {} cannot be read: {error}", dir.display())),
        }
    }

    let mut refused: BTreeMap<io::ErrorKind, (usize, io::Error)> = BTreeMap::new();
    for pid in process_ids().map_err(failed)? {
        match process_in(pid, own) {
            Ok(Some((inode, process))) => {
                let namespace = found.entry(inode).or_insert_with(|| Found::new(inode, false));
                namespace.processes.push(process);
            }
            Ok(None) => {}
            Err(error) if is_gone(&error) => {}
            Err(error) => refused.entry(error.kind()).or_insert((0, error)).0 += 1,
        }
    }
    notes.extend(refused.values().map(|(count, error)| {
        let of = if *count == 1 { "of 1 process".into() } else { format!("of {count} processes") };
        format!("the namespace {of} cannot be seen: {error}")
    }));

    let mut namespaces: Vec<Found> = found.into_values().collect();
    for namespace in &mut namespaces {
        namespace.processes.sort_by_key(|process| (process.started_ticks, process.pid));
    }
    namespaces.sort_by_cached_key(|it| {
        let age = it.processes.first().map(|process| (process.started_ticks, process.pid));
        (!it.own, it.names.is_empty(), it.names.clone(), age)
    });
    Ok(Discovery { namespaces, notes })
}

fn name_dirs() -> Vec<PathBuf> {
    let mut dirs = vec![PathBuf::from(NETNS_DIR), PathBuf::from(DOCKER_DIR)];
    // A machine without users has no such directory.
    let users = fs::read_dir(USERS_DIR).into_iter().flatten().flatten();
    dirs.extend(users.map(|user| user.path().join("netns")));
    dirs
}

/// Inode, name and path of each namespace in a directory of names; those are mounts, or links to
/// where one is. `device` is that of the file system that namespaces are in.
fn named(dir: &Path, device: u64) -> io::Result<Vec<(u64, String, PathBuf)>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut named = Vec::new();
    for entry in entries {
        let path = entry?.path();
        // Only looked at: opening what is no namespace might wait for its other end.
        if let Ok(metadata) = fs::metadata(&path)
            && metadata.dev() == device
            && let Some(name) = path.file_name()
        {
            named.push((metadata.ino(), name.to_string_lossy().into_owned(), path));
        }
    }
    named.sort();
    Ok(named)
}

fn process_ids() -> io::Result<Vec<u32>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        ids.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(ids)
}

/// A process with the inode of its namespace, unless that is the own one.
fn process_in(pid: u32, own: u64) -> io::Result<Option<(u64, Process)>> {
    let inode = fs::metadata(netns_of(pid))?.ino();
    if inode == own {
        return Ok(None);
    }
    let stat = fs::read(format!("/proc/{pid}/stat"))?;
    Ok(Process::of_stat(&String::from_utf8_lossy(&stat)).map(|process| (inode, process)))
}

fn netns_of(pid: u32) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/ns/net"))
}

/// What was there has ended: a process without a namespace is on its way out.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(nix::errno::Errno::ESRCH as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_namespace_is_found_once_and_first() {
        let own = current_inode().expect("/proc is readable");
        let discovery = discover().expect("/proc is readable");
        assert!(discovery.namespaces[0].own);
        assert_eq!(discovery.namespaces[0].inode, own);
        let mut inodes: Vec<u64> = discovery.namespaces.iter().map(|it| it.inode).collect();
        inodes.sort_unstable();
        inodes.dedup();
        assert_eq!(inodes.len(), discovery.namespaces.len());
        let netns = discovery.namespaces[0].open().expect("the own one may be opened");
        assert_eq!(netns.map(|netns| netns.inode().expect("it is open")), Some(own));
    }

    #[test]
    fn what_has_ended_is_not_opened() {
        // No process has an id beyond the kernel's limit, and this one's is another namespace.
        let process = |pid| Process { pid, command: "x".into(), started_ticks: 1 };
        for pid in [u32::MAX, std::process::id()] {
            let found = Found { processes: vec![process(pid)], ..Found::new(1, false) };
            assert!(found.open().expect("what is gone is no error").is_none(), "{pid}");
        }
    }

    #[test]
    fn only_namespaces_are_names() {
        let dir = std::env::temp_dir().join(format!("veth-names-{}", std::process::id()));
        fs::create_dir(&dir).expect("the temporary directory is writable");
        fs::write(dir.join("remains"), "veth").expect("it is writable");
        for (name, target) in [("linked", "/proc/self/ns/net"), ("dangling", "/nowhere")] {
            std::os::unix::fs::symlink(target, dir.join(name)).expect("it is writable");
        }
        let metadata = fs::metadata("/proc/self/ns/net").expect("there is one");
        let found = named(&dir, metadata.dev());
        let missing = named(&dir.join("missing"), metadata.dev());
        fs::remove_dir_all(&dir).expect("it is ours");
        let found = found.expect("it is readable");
        assert_eq!(found, [(metadata.ino(), "linked".into(), dir.join("linked"))]);
        assert!(missing.expect("none is no error").is_empty());
    }
}
