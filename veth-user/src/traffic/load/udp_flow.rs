//! How many datagrams are on their way: a count that the two ends share, as they are threads of one
//! process, so that keeping the flow within bounds costs no packets.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// When the sender takes what is on its way for lost, because nothing has arrived for so long.
pub(super) const STALL: Duration = Duration::from_millis(5);

/// What the ends share.
#[derive(Debug)]
struct Flow {
    /// Datagrams that arrived so far. Only the receiver writes it.
    received: AtomicU64,
    /// Wake the sender once that many have arrived. Only the sender writes it.
    wake_at: AtomicU64,
    sender: OnceLock<Thread>,
    finished: AtomicBool,
}

/// Both views of a flow in which up to `window` datagrams may be on their way.
pub(super) fn flow(window: u64) -> (Outflow, Inflow) {
    let flow = Arc::new(Flow {
        received: AtomicU64::new(0),
        wake_at: AtomicU64::new(u64::MAX),
        sender: OnceLock::new(),
        finished: AtomicBool::new(false),
    });
    let outflow = Outflow { flow: Arc::clone(&flow), window, sent: 0, given_up: 0 };
    (outflow, Inflow { flow, received: 0 })
}

/// The sender's view. Dropping it ends the flow.
#[derive(Debug)]
pub(super) struct Outflow {
    flow: Arc<Flow>,
    window: u64,
    sent: u64,
    /// How many of those that did not arrive are taken for lost.
    given_up: u64,
}

impl Outflow {
    /// Counts datagrams that were sent. When the window is full by now, waits till half of them
    /// have arrived: the receiver gets the CPU if it is the same one, and has work left while this
    /// thread wakes up if it is not.
    pub(super) fn sent(&mut self, count: u64) {
        self.sent += count;
        if self.on_their_way() >= self.window {
            self.wait_until_left(self.window / 2, STALL);
        }
    }

    /// Waits till nothing is on its way, or nothing has arrived for as long as `patience`. What has
    /// not arrived by then is lost.
    pub(super) fn settle(&mut self, patience: Duration) {
        self.wait_until_left(0, patience);
    }

    /// All that were sent so far.
    pub(super) fn sent_so_far(&self) -> u64 {
        self.sent
    }

    /// All that arrived so far.
    pub(super) fn received_so_far(&self) -> u64 {
        self.flow.received.load(Ordering::SeqCst)
    }

    fn on_their_way(&mut self) -> u64 {
        let missing = self.sent.saturating_sub(self.received_so_far());
        // What was taken for lost and arrived after all was late.
        self.given_up = self.given_up.min(missing);
        missing - self.given_up
    }

    fn wait_until_left(&mut self, left: u64, patience: Duration) {
        if self.on_their_way() <= left {
            return;
        }
        self.flow.sender.get_or_init(thread::current);
        let enough = self.sent - self.given_up - left;
        // The receiver looks at the one after it wrote the other, and here it is the other way
        // round: in the single order of all these, one of the two sees what the other wrote.
        self.flow.wake_at.store(enough, Ordering::SeqCst);
        let mut received = self.received_so_far();
        let mut progress_at = Instant::now();
        while received < enough {
            thread::park_timeout(patience);
            let before = received;
            received = self.received_so_far();
            if received > before {
                progress_at = Instant::now();
            } else if progress_at.elapsed() >= patience {
                self.given_up = self.sent.saturating_sub(received);
                break;
            }
        }
        self.flow.wake_at.store(u64::MAX, Ordering::SeqCst);
    }
}

impl Drop for Outflow {
    fn drop(&mut self) {
        // Nothing is published with the flag, so there is nothing to order.
        self.flow.finished.store(true, Ordering::Relaxed);
    }
}

/// The receiver's view.
#[derive(Debug)]
pub(super) struct Inflow {
    flow: Arc<Flow>,
    received: u64,
}

impl Inflow {
    /// Counts datagrams that arrived, and wakes the sender if it waits for them.
    pub(super) fn received(&mut self, count: u64) {
        self.received += count;
        self.flow.received.store(self.received, Ordering::SeqCst);
        if self.received >= self.flow.wake_at.load(Ordering::SeqCst)
            && let Some(sender) = self.flow.sender.get()
        {
            sender.unpark();
        }
    }

    /// Whether nothing more will be sent.
    pub(super) fn is_finished(&self) -> bool {
        self.flow.finished.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREVER: Duration = Duration::from_hours(1);

    #[test]
    fn sender_goes_on_while_the_window_has_room() {
        let (mut outflow, mut inflow) = flow(10);
        outflow.sent(9);
        inflow.received(5);
        outflow.sent(5);
        // It would have waited, and given up, otherwise.
        assert_eq!((outflow.on_their_way(), outflow.given_up), (9, 0));
    }

    #[test]
    fn waiting_sender_is_woken_when_enough_arrived() {
        let (mut outflow, mut inflow) = flow(10);
        thread::scope(|scope| {
            scope.spawn(move || {
                for _ in 0..1_000 {
                    inflow.received(10);
                    while inflow.flow.wake_at.load(Ordering::SeqCst) != inflow.received + 10 {
                        if inflow.is_finished() {
                            return;
                        }
                        thread::yield_now();
                    }
                }
            });
            for _ in 0..1_000 {
                outflow.sent += 10;
                // Without being woken it would sleep for an hour.
                outflow.settle(FOREVER);
            }
            assert_eq!(outflow.received_so_far(), 10_000);
            drop(outflow);
        });
    }

    #[test]
    fn lost_datagrams_are_given_up_and_late_ones_taken_back() {
        let (mut outflow, mut inflow) = flow(10);
        outflow.sent(10);
        assert_eq!((outflow.on_their_way(), outflow.given_up), (0, 10));
        inflow.received(7);
        assert_eq!((outflow.on_their_way(), outflow.given_up), (0, 3));
    }

    #[test]
    fn flow_ends_with_its_sender() {
        let (outflow, inflow) = flow(10);
        assert!(!inflow.is_finished());
        drop(outflow);
        assert!(inflow.is_finished());
    }
}
