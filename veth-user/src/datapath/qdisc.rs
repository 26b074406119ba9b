//! Which clsact qdiscs are ours to remove: there is a mark for each that was made for our filter.
//!
//! The BPF file system has no files but pins, so a mark is an empty directory beside them. Where it is
//! missing, as after a crash between the two, a qdisc is taken for somebody else's and stays: an empty
//! one does nothing to frames.

use std::{
    fs,
    path::{Path, PathBuf},
};

use veth_common::Ifindex;

use super::{BpffsError, bpffs, dir_of};

/// Name of the directory of the marks, below the fabric's.
const QDISCS: &str = "qdiscs";

/// Whether the clsact qdisc of a port of `fabric` was made for our filter.
pub fn made_clsact(fabric: &str, ifindex: Ifindex) -> bool {
    is_marked(&dir_of(fabric), ifindex)
}

/// Takes the clsact qdisc of a port of `fabric` for gone, or for somebody else's. It may be that already.
///
/// # Errors
///
/// When the mark is there and cannot be removed.
pub fn forget_clsact(fabric: &str, ifindex: Ifindex) -> Result<(), BpffsError> {
    let dir = dir_of(fabric);
    bpffs::remove_dir(&mark(&dir, ifindex))?;
    remove_if_empty(&dir);
    Ok(())
}

/// Marks the clsact qdisc of the port of the fabric whose pins are in `dir` as made for our filter: it
/// was just made, or another fabric had made it that had the port before.
pub(super) fn note_clsact(dir: &Path, ifindex: Ifindex, is_new: bool) -> Result<(), BpffsError> {
    let is_ours =
        is_new || bpffs::fabrics()?.iter().any(|other| is_marked(&dir_of(other), ifindex));
    if is_ours { bpffs::create_dir(&mark(dir, ifindex)) } else { Ok(()) }
}

/// Drops the marks of ports that are not to be kept.
pub(super) fn forget_clsacts_except(
    dir: &Path,
    keep: impl Fn(Ifindex) -> bool,
) -> Result<(), BpffsError> {
    for path in bpffs::list(&dir.join(QDISCS))? {
        let ifindex = path.file_name().and_then(|name| name.to_str()?.parse().ok());
        if !ifindex.is_some_and(|ifindex| keep(Ifindex(ifindex))) {
            bpffs::remove_dir(&path)?;
        }
    }
    remove_if_empty(dir);
    Ok(())
}

/// Removes the directory of the marks with the last of them.
fn remove_if_empty(dir: &Path) {
    // The kernel removes none that has something in it.
    let _ = fs::remove_dir(dir.join(QDISCS));
}

fn is_marked(dir: &Path, ifindex: Ifindex) -> bool {
    mark(dir, ifindex).exists()
}

fn mark(dir: &Path, ifindex: Ifindex) -> PathBuf {
    dir.join(QDISCS).join(ifindex.0.to_string())
}
