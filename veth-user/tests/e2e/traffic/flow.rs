//! A stream that flows while something is done to the fabric.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use super::talk::{End, contents, stream};
use crate::sandbox::{Sandbox, wait_until};

/// How much has to arrive for a stream to have gone on.
const MORE_BYTES: u64 = 1 << 20;

/// A stream whose contents are compared as they arrive.
pub(crate) struct Flow<'a> {
    received: &'a AtomicU64,
}

impl Flow<'_> {
    /// Keeps a stream from `from` to `to` flowing for as long as `work` takes, and fails the test
    /// when anything else arrives than was sent.
    #[track_caller]
    pub(crate) fn during(
        sandbox: &Sandbox,
        from: End<'_>,
        to: End<'_>,
        work: impl FnOnce(&Flow<'_>),
    ) {
        let [near, far] = stream(sandbox, from, to);
        let (done, received) = (AtomicBool::new(false), AtomicU64::new(0));
        let chunk = contents(7, 64 << 10);
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut near: &TcpStream = &near;
                while !done.load(Ordering::Relaxed) {
                    near.write_all(&chunk).expect("the stream goes on");
                }
                near.shutdown(Shutdown::Write).expect("the stream can end");
            });
            let reader = scope.spawn(|| {
                let mut far: &TcpStream = &far;
                let mut buffer = vec![0; chunk.len()];
                let mut chunks = 0;
                while far.read_exact(&mut buffer).is_ok() {
                    assert!(buffer == chunk, "chunk {chunks} is another one");
                    chunks += 1;
                    received.fetch_add(buffer.len() as u64, Ordering::Relaxed);
                }
                chunks
            });
            let ending = Ending(&done);
            work(&Flow { received: &received });
            drop(ending);
            assert!(reader.join().expect("no panic") > 0);
        });
    }

    /// Waits until more has arrived; `after` says after what.
    #[track_caller]
    pub(crate) fn goes_on(&self, after: &str) {
        let before = self.received.load(Ordering::Relaxed);
        wait_until(&format!("the stream to go on after: {after}"), || {
            self.received.load(Ordering::Relaxed) > before + MORE_BYTES
        });
    }
}

/// Says that it is time to end when it goes out of scope, be it by a failure: a scope of threads
/// waits for all of them before it passes that on.
pub(crate) struct Ending<'a>(pub(crate) &'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
