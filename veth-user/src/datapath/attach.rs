//! Attachments: the program on the ingress of a port, through tcx, a clsact filter or native XDP.

use std::{fmt, io, mem, path::Path, thread, time::Duration};

use aya::programs::{
    Link, LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode,
    links::{FdLink, LinkType, PinnedLink},
    tc::{
        NlOptions, SchedClassifierLink, SchedClassifierLinkId, TcAttachOptions, TcError, TcHandle,
        qdisc_add_clsact,
    },
    xdp::XdpLink,
};
use nix::errno::Errno;
use veth_common::{Ifindex, names};

use super::{BpffsError, DatapathError, bpffs, qdisc::note_clsact};
use crate::forwarding::FastPath;

/// Where our filter stands among those of a clsact qdisc, which is also how it is told from
/// filters of others.
pub const FILTER: FilterPlace =
    FilterPlace { priority: 1, handle: 0x7665, name: names::TC_INGRESS };

/// The place of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilterPlace {
    /// Lower ones come first.
    pub priority: u16,
    /// Its handle in that priority.
    pub handle: u16,
    /// Its name.
    pub name: &'static str,
}

const OPTIONS: NlOptions =
    NlOptions { priority: FILTER.priority, handle: TcHandle::new(0, FILTER.handle), classid: None };

/// Where in the kernel the program hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Hook {
    /// A tcx link, pinned. Minimum kernel version: 6.6.
    Tcx,
    /// A filter on the port's clsact qdisc. Minimum kernel version: 4.5.
    Clsact,
    /// A link to the driver's own XDP hook, pinned. Minimum kernel version: 5.9.
    Xdp,
}

impl Hook {
    /// Name in JSON and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcx => "tcx",
            Self::Clsact => "clsact",
            Self::Xdp => "xdp",
        }
    }

    /// The fast path whose program hangs there.
    pub const fn path(self) -> FastPath {
        match self {
            Self::Tcx | Self::Clsact => FastPath::Tc,
            Self::Xdp => FastPath::Xdp,
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A device to attach to. The name is what the kernel is asked with, the index is what counts.
#[derive(Clone, Copy, Debug)]
pub struct PortDevice<'a> {
    /// Its index.
    pub ifindex: Ifindex,
    /// Its name.
    pub name: &'a str,
}

/// What netlink tells of the programs on a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Present {
    /// Id of the program of our clsact filter.
    pub filter: Option<u32>,
    /// Id of the XDP program, whoever attached it.
    pub xdp: Option<u32>,
}

/// What attaching to a port found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attached {
    /// No program of ours.
    New,
    /// The very program.
    Adopted,
    /// Another program, which the new one replaced without a gap.
    Replaced,
}

/// Attaches `program` through a tcx link, pinned at `pin`.
pub(super) fn attach_tcx(
    program: &mut SchedClassifier,
    program_id: u32,
    port: PortDevice<'_>,
    pin: &Path,
) -> Result<Attached, DatapathError> {
    if let Some(link) = live_link(port, Present::default(), pin)? {
        if link.program_id == program_id {
            return Ok(Attached::Adopted);
        }
        let update = || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
            let link: SchedClassifierLink = FdLink::from(link.pinned).try_into()?;
            let id = program.attach_to_link(link)?;
            // The pin keeps the link; ours goes without detaching anything.
            drop(program.take_link(id)?);
            Ok(())
        };
        update().map_err(|source| {
            attach_failed("attach", port, Hook::Tcx, io::Error::other(source).into())
        })?;
        return Ok(Attached::Replaced);
    }
    bpffs::unpin(pin)?;
    let failed = |source| attach_failed("attach", port, Hook::Tcx, source);
    let id = attach_when_free(program, port).map_err(failed)?;
    let link: FdLink = program.take_link(id).map_err(failed)?.try_into().map_err(|source| {
        DatapathError::Link { action: format!("take the tcx link of {}", port.name), source }
    })?;
    link.pin(pin).map_err(|source| DatapathError::Pin {
        action: format!("pin the tcx link of {}", port.name),
        source,
    })?;
    Ok(Attached::New)
}

/// Attaches `program` to the driver's XDP hook through a link, pinned at `pin`.
pub(super) fn attach_xdp(
    program: &mut Xdp,
    program_id: u32,
    port: PortDevice<'_>,
    present: Present,
    pin: &Path,
) -> Result<Attached, DatapathError> {
    let failed = |source| attach_failed("attach", port, Hook::Xdp, source);
    if let Some(link) = live_link(port, present, pin)? {
        if link.program_id == program_id {
            return Ok(Attached::Adopted);
        }
        let link: XdpLink = FdLink::from(link.pinned).try_into().map_err(|source| {
            DatapathError::Link { action: format!("take the XDP link of {}", port.name), source }
        })?;
        let id = program.attach_to_link(link).map_err(failed)?;
        // The pin keeps the link; ours goes without detaching anything.
        drop(program.take_link(id).map_err(failed)?);
        return Ok(Attached::Replaced);
    }
    bpffs::unpin(pin)?;
    let id = program.attach_to_if_index(port.ifindex.0, XdpMode::Driver).map_err(failed)?;
    // Without links (before 5.9) aya attaches in the old way, which nothing could keep or find.
    let link: FdLink = program.take_link(id).map_err(failed)?.try_into().map_err(|source| {
        DatapathError::Link { action: format!("take the XDP link of {}", port.name), source }
    })?;
    link.pin(pin).map_err(|source| DatapathError::Pin {
        action: format!("pin the XDP link of {}", port.name),
        source,
    })?;
    Ok(Attached::New)
}

/// Attaches `program` to the tcx hook of `port`, as the first.
///
/// A link whose pin was removed keeps its program there until an RCU grace period is over, and the
/// same program is not taken twice (`EEXIST`). Source: `bpf_free_inode` in
/// <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/inode.c>.
fn attach_when_free(
    program: &mut SchedClassifier,
    port: PortDevice<'_>,
) -> Result<SchedClassifierLinkId, ProgramError> {
    const PAUSE: Duration = Duration::from_millis(5);
    const TRIES: u32 = 1000;
    for _ in 1..TRIES {
        let first = TcAttachOptions::TcxOrder(LinkOrder::first());
        match program.attach_with_options(port.name, TcAttachType::Ingress, first) {
            Err(error) if has_errno(&error, Errno::EEXIST) => thread::sleep(PAUSE),
            attached => return attached,
        }
    }
    let first = TcAttachOptions::TcxOrder(LinkOrder::first());
    program.attach_with_options(port.name, TcAttachType::Ingress, first)
}

/// Attaches `program` as a clsact filter; `present` is the id of the program that our filter on
/// this port has now, if there is one. The fabric's pins are in `dir`.
pub(super) fn attach_clsact(
    program: &mut SchedClassifier,
    program_id: u32,
    port: PortDevice<'_>,
    present: Option<u32>,
    dir: &Path,
) -> Result<Attached, DatapathError> {
    let failed = |source| attach_failed("attach", port, Hook::Clsact, source);
    let (id, attached) = match present {
        Some(present) if present == program_id => return Ok(Attached::Adopted),
        Some(_) => {
            note_clsact(dir, port.ifindex, false)?;
            let link = present_filter(port.name).map_err(|error| failed(error.into()))?;
            (program.attach_to_link(link).map_err(failed)?, Attached::Replaced)
        }
        None => {
            let is_new = ensure_clsact(port.name)?;
            note_clsact(dir, port.ifindex, is_new)?;
            let options = TcAttachOptions::Netlink(OPTIONS);
            let id = program
                .attach_with_options(port.name, TcAttachType::Ingress, options)
                .map_err(failed)?;
            (id, Attached::New)
        }
    };
    // aya removes the filter when the link is dropped; the filter is to outlive us.
    mem::forget(program.take_link(id).map_err(failed)?);
    Ok(attached)
}

/// Removes our filter from a port, if it is there.
///
/// # Errors
///
/// When it is there and cannot be removed.
pub fn detach_clsact(port: PortDevice<'_>) -> Result<(), DatapathError> {
    let failed = |source| attach_failed("detach", port, Hook::Clsact, source);
    let detached = present_filter(port.name)
        .map_err(|error| TcError::IoError(error).into())
        .and_then(Link::detach);
    match detached {
        Err(error) if !is_absent(&error) => Err(failed(error)),
        _ => Ok(()),
    }
}

/// Our filter on `device`, which is taken to be there.
fn present_filter(device: &str) -> io::Result<SchedClassifierLink> {
    let NlOptions { priority, handle, classid } = OPTIONS;
    SchedClassifierLink::attached(device, TcAttachType::Ingress, priority, handle, classid)
}

/// Id of the program of the link pinned at `pin`, whatever it is attached to.
pub(super) fn program_of_link(pin: &Path) -> Result<Option<u32>, DatapathError> {
    if !pin.exists() {
        return Ok(None);
    }
    let open = || Ok(FdLink::from(PinnedLink::from_pin(pin)?).info()?.program_id());
    open().map(Some).map_err(|source| DatapathError::Link {
        action: format!("open the pinned link {}", pin.display()),
        source,
    })
}

struct LiveLink {
    pinned: PinnedLink,
    program_id: u32,
    hook: Hook,
}

/// Where the link that is pinned at `pin` attaches a program to `port`, if it still does.
pub(super) fn live_hook(
    port: PortDevice<'_>,
    present: Present,
    pin: &Path,
) -> Result<Option<Hook>, DatapathError> {
    Ok(live_link(port, present, pin)?.map(|link| link.hook))
}

/// The link pinned at `pin`, when it is still attached to `port`. A link survives its device,
/// and the index may be another device's by now.
fn live_link(
    port: PortDevice<'_>,
    present: Present,
    pin: &Path,
) -> Result<Option<LiveLink>, DatapathError> {
    if !pin.exists() {
        return Ok(None);
    }
    let action = || format!("open the pinned link of {}", port.name);
    let failed = |source| DatapathError::Link { action: action(), source };
    let pinned = PinnedLink::from_pin(pin).map_err(failed)?;
    let link: FdLink = PinnedLink::from_pin(pin).map_err(failed)?.into();
    let info = link.info().map_err(failed)?;
    let program_id = info.program_id();
    let (hook, is_live) = if let LinkType::Xdp = info.link_type().map_err(failed)? {
        (Hook::Xdp, present.xdp == Some(program_id))
    } else {
        let (_, programs) = SchedClassifier::query_tcx(port.name, TcAttachType::Ingress)
            .map_err(|source| attach_failed("attach", port, Hook::Tcx, source))?;
        (Hook::Tcx, programs.iter().any(|program| program.id() == program_id))
    };
    Ok(is_live.then_some(LiveLink { pinned, program_id, hook }))
}

/// Adds a clsact qdisc to `device`; false when there was one.
fn ensure_clsact(device: &str) -> Result<bool, DatapathError> {
    match qdisc_add_clsact(device) {
        Ok(()) => Ok(true),
        Err(source) if has_errno(&source, Errno::EEXIST) => Ok(false),
        Err(source) => {
            Err(DatapathError::Qdisc { action: format!("add a clsact qdisc to {device}"), source })
        }
    }
}

/// Whether there was nothing to detach: no filter, no qdisc, or no device any more.
fn is_absent(error: &ProgramError) -> bool {
    [Errno::ENOENT, Errno::ENODEV, Errno::EINVAL].into_iter().any(|it| has_errno(error, it))
}

pub(super) fn has_errno(error: &(dyn std::error::Error + 'static), errno: Errno) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|cause| {
        let io = match cause.downcast_ref::<ProgramError>() {
            // This one speaks for its cause, and so hides it: a device that is gone.
            Some(ProgramError::TcError(TcError::IoError(error))) => Some(error),
            _ => cause.downcast_ref::<io::Error>(),
        };
        io.is_some_and(|error| error.raw_os_error() == Some(errno as i32))
    })
}

pub(super) fn attach_failed(
    verb: &str,
    port: PortDevice<'_>,
    hook: Hook,
    source: ProgramError,
) -> DatapathError {
    DatapathError::Program {
        action: format!("{verb} the {} program ({hook} at {})", hook.path(), port.name),
        source: Box::new(source),
    }
}

impl From<BpffsError> for io::Error {
    fn from(error: BpffsError) -> Self {
        Self::other(error)
    }
}
