//! How many datagrams are on their way: counts that the two ends share, as they are threads of one
//! process, so that keeping the flow within bounds costs no packets.
//!
//! Each end sleeps when there is nothing to do for it, and is woken for a batch and not for a
//! datagram. A receiver that sleeps in its socket is woken by each datagram anew, and where both
//! share a CPU, the scheduler gives it the CPU each time: what is measured then is the scheduler.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use crate::traffic::socket::TICK;

/// When what is on its way is taken for lost, because nothing has arrived for so long.
pub(super) const STALL: Duration = Duration::from_millis(5);

/// What the ends share.
///
/// Who waits writes what for, and then looks at the other's count; the other writes its count, and
/// then looks who waits. In the single order of all these (`SeqCst`), one of the two sees what the
/// other wrote.
#[derive(Debug)]
struct Flow {
    /// Datagrams that were sent so far. Only the sender writes it.
    sent: AtomicU64,
    /// Datagrams that arrived so far. Only the receiver writes it.
    received: AtomicU64,
    /// Wake the sender once that many have arrived. Only the sender writes it.
    wake_sender_at: AtomicU64,
    /// Wake the receiver once more have been sent. Only the receiver writes it.
    receiver_waits: AtomicBool,
    sender: OnceLock<Thread>,
    receiver: OnceLock<Thread>,
    finished: AtomicBool,
}

/// Both views of a flow in which up to `window` datagrams may be on their way.
pub(super) fn flow(window: u64) -> (Outflow, Inflow) {
    let flow = Arc::new(Flow {
        sent: AtomicU64::new(0),
        received: AtomicU64::new(0),
        wake_sender_at: AtomicU64::new(u64::MAX),
        receiver_waits: AtomicBool::new(false),
        sender: OnceLock::new(),
        receiver: OnceLock::new(),
        finished: AtomicBool::new(false),
    });
    let outflow = Outflow { flow: Arc::clone(&flow), window, sent: 0, given_up: 0 };
    (outflow, Inflow { flow, received: 0, given_up: 0 })
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
    /// Counts datagrams that were sent, and wakes the receiver if it waits for them. When the window is full by now, waits till half of them
    /// have arrived: the receiver gets the CPU if it is the same one, and has work left while this
    /// thread wakes up if it is not.
    pub(super) fn sent(&mut self, count: u64) {
        self.sent += count;
        self.flow.sent.store(self.sent, Ordering::SeqCst);
        if self.flow.receiver_waits.load(Ordering::SeqCst) {
            self.wake_receiver();
        }
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

    fn wake_receiver(&self) {
        if let Some(receiver) = self.flow.receiver.get() {
            receiver.unpark();
        }
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
        self.flow.wake_sender_at.store(enough, Ordering::SeqCst);
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
        self.flow.wake_sender_at.store(u64::MAX, Ordering::SeqCst);
    }
}

impl Drop for Outflow {
    fn drop(&mut self) {
        // Nothing is published with the flag, so there is nothing to order.
        self.flow.finished.store(true, Ordering::Relaxed);
        self.wake_receiver();
    }
}

/// The receiver's view.
#[derive(Debug)]
pub(super) struct Inflow {
    flow: Arc<Flow>,
    received: u64,
    /// How many of those that did not arrive are not waited for any more.
    given_up: u64,
}

/// What there is to do for the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Datagrams are on their way: wait for them.
    Receive,
    /// None is, but some never arrived: look whether they did.
    Look,
    /// All that were sent have arrived.
    Wait,
    /// Nothing more will be sent.
    End,
}

impl Inflow {
    pub(super) fn next(&mut self) -> Next {
        // Nothing is published with the flag, so there is nothing to order.
        if self.flow.finished.load(Ordering::Relaxed) {
            return Next::End;
        }
        let missing = self.flow.sent.load(Ordering::SeqCst).saturating_sub(self.received);
        // What was given up and arrived after all was late.
        self.given_up = self.given_up.min(missing);
        match missing {
            0 => Next::Wait,
            _ if missing == self.given_up => Next::Look,
            _ => Next::Receive,
        }
    }

    /// Counts datagrams that arrived, and wakes the sender if it waits for them.
    pub(super) fn received(&mut self, count: u64) {
        self.received += count;
        self.flow.received.store(self.received, Ordering::SeqCst);
        if self.received >= self.flow.wake_sender_at.load(Ordering::SeqCst)
            && let Some(sender) = self.flow.sender.get()
        {
            sender.unpark();
        }
    }

    /// Takes what is on its way for lost, because nothing arrived for as long as [`STALL`].
    pub(super) fn give_up(&mut self) {
        self.given_up = self.flow.sent.load(Ordering::SeqCst).saturating_sub(self.received);
    }

    /// Waits till more has been sent, or nothing more will be.
    pub(super) fn wait(&mut self) {
        self.flow.receiver.get_or_init(thread::current);
        self.flow.receiver_waits.store(true, Ordering::SeqCst);
        while matches!(self.next(), Next::Wait | Next::Look) {
            thread::park_timeout(TICK);
        }
        self.flow.receiver_waits.store(false, Ordering::SeqCst);
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
    fn each_end_is_woken_when_there_is_something_to_do() {
        let (mut outflow, mut inflow) = flow(10);
        thread::scope(|scope| {
            scope.spawn(move || {
                loop {
                    match inflow.next() {
                        Next::Receive => inflow.received(1),
                        Next::Wait => inflow.wait(),
                        Next::Look => panic!("nothing was given up"),
                        Next::End => return,
                    }
                }
            });
            for _ in 0..10_000 {
                outflow.sent(4);
                // Without being woken it would sleep for an hour.
                outflow.settle(FOREVER);
            }
            assert_eq!(outflow.received_so_far(), 40_000);
            drop(outflow);
        });
    }

    #[test]
    fn sender_gives_up_what_is_lost_and_takes_back_what_is_late() {
        let (mut outflow, mut inflow) = flow(10);
        outflow.sent(10);
        assert_eq!((outflow.on_their_way(), outflow.given_up), (0, 10));
        inflow.received(7);
        assert_eq!((outflow.on_their_way(), outflow.given_up), (0, 3));
    }

    #[test]
    fn receiver_looks_for_what_it_gave_up_till_it_arrives() {
        let (mut outflow, mut inflow) = flow(100);
        assert_eq!(inflow.next(), Next::Wait);
        outflow.sent(10);
        inflow.received(7);
        assert_eq!(inflow.next(), Next::Receive);
        inflow.give_up();
        assert_eq!(inflow.next(), Next::Look);
        outflow.sent(1);
        assert_eq!(inflow.next(), Next::Receive);
        inflow.received(4);
        assert_eq!(inflow.next(), Next::Wait);
        drop(outflow);
        assert_eq!(inflow.next(), Next::End);
    }
}
