//! Where output goes: a file, or a reader that may take nothing for a while.
//!
//! A write that finds no room in a pipe waits in the kernel, and a signal that is handled does not end
//! it. So this waits for room first, and meanwhile looks whether it is time to stop.

use std::{
    io::{self, Write},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::stat::{SFlag, fstat},
    unistd,
};

use crate::Stop;

/// How long to wait for room before another look at the wish to stop.
const LOOK: Duration = Duration::from_millis(50);

/// How long a reader may take, once somebody wants to stop, for all that is still to be written.
const GRACE: Duration = Duration::from_secs(1);

/// `PIPE_BUF`: a pipe that has any room has room for so many bytes.
/// Source: <https://github.com/torvalds/linux/blob/v6.6/fs/pipe.c#L416>
const PIPE_BYTES: usize = 4096;

/// The reader took nothing, and somebody wants to stop.
#[derive(Debug, thiserror::Error)]
#[error("its reader takes nothing, and veth was told to stop")]
pub(super) struct Stalled;

/// A file, pipe or terminal that is written to only while there is room.
pub(super) struct Outlet<F> {
    file: F,
    stop: Stop,
    /// Until when there is patience, once somebody wants to stop.
    end: Option<Instant>,
    /// Files on disks always have room, as far as poll(2) knows.
    is_regular: bool,
}

impl<F: AsFd> Outlet<F> {
    /// An outlet to `file`, which gives up soon after `stop` when nobody reads.
    pub(super) fn new(file: F, stop: Stop) -> Self {
        let mode = fstat(&file).map(|stat| SFlag::from_bits_truncate(stat.st_mode));
        let is_regular = mode.is_ok_and(|mode| mode & SFlag::S_IFMT == SFlag::S_IFREG);
        Self { file, stop, end: None, is_regular }
    }

    fn wait_for_room(&mut self) -> io::Result<()> {
        while !self.has_room()? {
            if self.stop.is_requested() {
                let end = *self.end.get_or_insert_with(|| Instant::now() + GRACE);
                if Instant::now() >= end {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, Stalled));
                }
            }
        }
        Ok(())
    }

    /// Whether there is room, or soon is. A reader that has gone makes room: the write says so.
    fn has_room(&self) -> io::Result<bool> {
        let mut files = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
        let timeout = PollTimeout::try_from(LOOK).unwrap_or(PollTimeout::MAX);
        match poll(&mut files, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

impl<F: AsFd> Write for Outlet<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_regular {
            return Ok(unistd::write(&self.file, bytes)?);
        }
        let part = &bytes[..bytes.len().min(PIPE_BYTES)];
        loop {
            self.wait_for_room()?;
            match unistd::write(&self.file, part) {
                // Somebody else has taken the room.
                Err(Errno::EAGAIN) => std::thread::sleep(Duration::from_millis(1)),
                result => return Ok(result?),
            }
        }
    }

    /// Nothing is held back.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn pipe_that_nobody_reads_is_given_up_once_it_is_time_to_stop() {
        let (_reader, writer) = io::pipe().expect("there are file descriptors");
        let stop = Stop::new();
        let mut outlet = Outlet::new(writer, stop.clone());
        outlet.write_all(&[0; PIPE_BYTES]).expect("an empty pipe has room");
        stop.request();
        let more = vec![0; 1 << 20];
        let error = outlet.write_all(&more).expect_err("nobody reads");
        error.downcast::<Stalled>().expect("it says why");
        // The patience is spent.
        let before = Instant::now();
        outlet.write_all(&more).expect_err("nobody reads");
        assert!(before.elapsed() < GRACE);
    }

    #[test]
    fn slow_reader_gets_everything() {
        let (mut reader, writer) = io::pipe().expect("there are file descriptors");
        let sent: Vec<u8> = (0..=255).cycle().take(300_000).collect();
        let mut outlet = Outlet::new(writer, Stop::new());
        let received = std::thread::spawn(move || {
            let mut received = Vec::new();
            std::thread::sleep(LOOK * 3);
            reader.read_to_end(&mut received).map(|_| received)
        });
        outlet.write_all(&sent).expect("somebody reads");
        drop(outlet);
        let received = received.join().expect("does not panic").expect("can be read");
        assert!(received == sent, "{} bytes", received.len());
    }

    #[test]
    fn reader_that_has_gone_is_a_broken_pipe() {
        let (reader, writer) = io::pipe().expect("there are file descriptors");
        drop(reader);
        let error = Outlet::new(writer, Stop::new()).write_all(b"x").expect_err("nobody is there");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}
