//! The file that a capture is written to. Frames are other people's secrets: nobody but the owner of
//! this process may read them, whatever was there before.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use nix::{errno::Errno, libc, unistd::geteuid};

use super::super::session::{Interrupted, Session, WrongArgument, say};

/// How often to look whether somebody reads from a FIFO.
const LOOK: Duration = Duration::from_millis(100);

/// Only the owner.
const MODE: u32 = 0o600;

/// Where a capture goes. Nothing of a file that is there already is touched before it [begins](Self::begin).
pub(super) struct Destination {
    file: OwnedFd,
    path: Option<PathBuf>,
    is_new: bool,
}

impl Destination {
    /// Standard output, whatever it is: whoever starts veth has opened it.
    pub(super) fn stdout() -> Result<Self> {
        let file = io::stdout().as_fd().try_clone_to_owned().context("open stdout")?;
        Ok(Self { file, path: None, is_new: false })
    }

    /// The file at `path`. A FIFO is waited for until somebody reads from it.
    pub(super) fn open(path: &Path, session: &Session) -> Result<Self> {
        let is_new = fs::symlink_metadata(path).is_err();
        let file = open(path, session)?;
        Ok(Self { file: file.into(), path: Some(path.to_owned()), is_new })
    }

    /// What to call it.
    pub(super) fn name(&self) -> String {
        self.path.as_ref().map_or_else(|| "stdout".into(), |path| path.display().to_string())
    }

    /// Makes an empty file of it that nobody else can read.
    pub(super) fn begin(self) -> Result<OwnedFd> {
        let name = self.name();
        let Self { file, path, is_new: _ } = self;
        if path.is_none() {
            return Ok(file);
        }
        let file = File::from(file);
        let cleared = || {
            if file.metadata()?.is_file() {
                file.set_permissions(Permissions::from_mode(MODE))?;
                file.set_len(0)?;
            }
            Ok::<_, io::Error>(())
        };
        cleared().with_context(|| format!("make {name} a file that nobody else can read"))?;
        Ok(file.into())
    }

    /// Leaves no empty file, when there is nothing to write after all.
    pub(super) fn abandon(self) {
        if let (Some(path), true) = (self.path, self.is_new) {
            // What matters more is why.
            let _ = fs::remove_file(path);
        }
    }
}

fn open(path: &Path, session: &Session) -> Result<File> {
    let attempted = || format!("create {}", path.display());
    let refused = |why: &str| WrongArgument(format!("-w {}: {why}", path.display()));
    let mut has_told = false;
    loop {
        // Not to be had by a link that somebody else put there, and not to wait for whoever reads.
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let opened =
            OpenOptions::new().write(true).create(true).mode(MODE).custom_flags(flags).open(path);
        match opened {
            Ok(file) => {
                let metadata = file.metadata().with_context(attempted)?;
                if metadata.is_file() && metadata.uid() != geteuid().as_raw() {
                    return Err(refused("is a file of another user; remove it first").into());
                }
                return Ok(file);
            }
            Err(error) if is(&error, Errno::ELOOP) => {
                return through_link(path).with_context(attempted)?.ok_or_else(|| {
                    refused("is a symbolic link to a file; name the file itself").into()
                });
            }
            Err(error) if is(&error, Errno::ENXIO) && is_fifo(path) => {
                if !has_told {
                    say(&format!("waiting for somebody to read {}", path.display()));
                    has_told = true;
                }
                if !session.sleep(LOOK) {
                    return Err(Interrupted.into());
                }
            }
            Err(error) => return Err(error).with_context(attempted),
        }
    }
}

/// What is behind a link, as `/dev/stdout` and `/dev/fd/3` are links. None when that is a file.
fn through_link(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let is_file = file.metadata()?.is_file();
    Ok((!is_file).then_some(file))
}

fn is_fifo(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo())
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}
