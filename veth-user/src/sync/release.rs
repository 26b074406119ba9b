//! Waiting for ports to be without the XDP program that they are to be without.
//!
//! Removing the pin of a link detaches nothing by itself: the kernel does it later, after an RCU grace
//! period and on a work queue that waits for the lock of all network configuration. Until then
//! the program runs. Source: `bpf_free_inode` in
//! <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/inode.c>, `bpf_link_put` in
//! <https://github.com/torvalds/linux/blob/v6.12/kernel/bpf/syscall.c>.

use std::{
    thread,
    time::{Duration, Instant},
};

use veth_common::Ifindex;

use super::SyncError;
use crate::{
    datapath::{self, DatapathError},
    netlink::Netlink,
    topology::FabricName,
    view::Link,
};

/// How long the kernel may take. It does so within milliseconds, unless network configuration
/// changes a lot elsewhere.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// A port that runs an XDP program of ours.
pub struct XdpAttachment {
    port: Ifindex,
    program_id: u32,
}

impl XdpAttachment {
    /// That of `fabric` on `link`, as far as its pins tell: to be asked for before they are removed.
    ///
    /// # Errors
    ///
    /// When a pin is there and cannot be opened (`CAP_BPF`).
    pub fn of(fabric: &FabricName, link: &Link) -> Result<Option<Self>, DatapathError> {
        let Some(program_id) = link.xdp_program else { return Ok(None) };
        let ours = datapath::linked_program(fabric.as_str(), link.ifindex)?;
        let port = link.ifindex;
        Ok((ours == Some(program_id)).then_some(Self { port, program_id }))
    }

    /// Waits until the port runs that program no longer, or is gone.
    ///
    /// # Errors
    ///
    /// When that does not happen, because somebody else holds the link, or the kernel cannot be asked.
    pub fn await_release(&self, host: &mut Netlink) -> Result<(), SyncError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match host.link_by_index(self.port)? {
                Some(link) if link.xdp_program == Some(self.program_id) => {
                    if Instant::now() > deadline {
                        return Err(SyncError::Held(link.name));
                    }
                }
                _ => return Ok(()),
            }
            thread::sleep(PAUSE);
        }
    }
}
