//! Prints the records that a datapath built for debugging makes, one for each frame.

use std::{thread, time::Duration};

use aya_log::{EbpfLogger, Error};
use log::{Log, Metadata, Record};

/// How often the ring buffer is emptied.
const INTERVAL: Duration = Duration::from_millis(20);

/// Prints records to stderr.
struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        eprintln!("{}: {}", record.target(), record.args());
    }

    fn flush(&self) {}
}

/// Starts to print the records of the program with that id, for as long as the process lives.
///
/// # Errors
///
/// When the program has no ring buffer for records, because it was not built with them.
pub fn print_records(program_id: u32) -> Result<(), Error> {
    let mut logger = EbpfLogger::init_from_id_with_logger(program_id, Stderr)?;
    thread::spawn(move || {
        loop {
            logger.flush();
            thread::sleep(INTERVAL);
        }
    });
    Ok(())
}
