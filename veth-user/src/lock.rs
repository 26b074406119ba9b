//! One process at a time works on a fabric.
//!
//! The lock is the name of an abstract socket: it belongs to the network namespace, as fabrics do,
//! the kernel lets go of it when the process ends in whatever way, and it leaves nothing behind.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    thread,
    time::{Duration, Instant},
};

use crate::Stop;

/// How long to wait for another process: longer than any operation takes.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long to wait without a word.
const SILENCE: Duration = Duration::from_secs(1);

/// How often to try.
const INTERVAL: Duration = Duration::from_millis(20);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("another veth process has been working on fabric {0} for a minute; try again later")]
    Busy(String),
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// The socket cannot be made.
    #[error("lock fabric {fabric}: {source}")]
    Socket {
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
    _socket: UnixDatagram,
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
        let failed = |source| LockError::Socket { fabric: fabric.to_owned(), source };
        let address = SocketAddr::from_abstract_name(format!("veth/{fabric}")).map_err(failed)?;
        let started = Instant::now();
        let mut said = false;
        loop {
            match UnixDatagram::bind_addr(&address) {
                Ok(socket) => return Ok(Self { _socket: socket }),
                Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                    return Err(failed(error));
                }
                Err(_) if stop.is_requested() => return Err(LockError::Interrupted),
                Err(_) if started.elapsed() > PATIENCE => {
                    return Err(LockError::Busy(fabric.to_owned()));
                }
                Err(_) => {
                    if !said && started.elapsed() > SILENCE {
                        said = true;
                        waiting();
                    }
                    thread::sleep(INTERVAL);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_process_waits_until_the_first_is_done() {
        let name = format!("lock-test-{}", std::process::id());
        let first = FabricLock::acquire(&name, &Stop::new(), &mut || {}).expect("nobody has it");
        let stop = Stop::new();
        stop.request();
        let refused = FabricLock::acquire(&name, &stop, &mut || {});
        assert!(matches!(refused, Err(LockError::Interrupted)));
        drop(first);
        FabricLock::acquire(&name, &stop, &mut || {}).map(drop).expect("it is free again");
    }
}
