//! Who was sent what, who got it, and whether that was right. No I/O: it is told everything.
//!
//! Where a frame was meant to go is a question of addresses: to whoever has the one it is sent to. Two may
//! have it at once, and a bridge that does not know an address floods, so what counts is what the
//! kernel hands to the stack of a namespace as its own (`PACKET_HOST`); other copies are only seen.

use std::{fmt, time::Duration};

use veth_common::Mac;

use super::probe::Probe;

/// Namespaces on a bridge.
pub(super) const MEMBERS: usize = 8;

/// How much longer than an address itself a fast path may know who has it: its leases end after three
/// seconds, and the agent renews them once a second.
pub(super) const STALE: Duration = Duration::from_secs(4);

/// Frames from each member to each: how many, and how many of them were delivered.
pub(super) type Matrix = [[(u32, u32); MEMBERS]; MEMBERS];

/// The account of one bridge.
#[derive(Default)]
pub(super) struct Ledger {
    /// The addresses that each member has or had.
    owned: [Vec<Owned>; MEMBERS],
    /// The frames of each member, by number.
    fates: [Vec<Fate>; MEMBERS],
    findings: Vec<Finding>,
    /// Deliveries to somebody who had just given up the address.
    stale: u64,
    stalest: Duration,
}

struct Owned {
    mac: Mac,
    from: Duration,
    until: Option<Duration>,
}

/// What became of one frame. Members are bits.
struct Fate {
    to: u8,
    tag: u16,
    was_sent: bool,
    seen: u8,
    delivered: u8,
}

/// Something that no bridge does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// Delivered to somebody who has not, and had not lately, the address it was sent to.
    Misdelivered { at: usize, destination: Mac, probe: Probe },
    /// Came twice to the same member.
    Doubled { at: usize, probe: Probe },
    /// Came, but was not sent, or not like that.
    Invented { at: usize, probe: Probe },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misdelivered { at, destination, probe } => {
                write!(f, "to {destination} but delivered to member {at}: {probe:?}")
            }
            Self::Doubled { at, probe } => write!(f, "twice at member {at}: {probe:?}"),
            Self::Invented { at, probe } => write!(f, "not sent, at member {at}: {probe:?}"),
        }
    }
}

impl Ledger {
    /// A member is about to get an address.
    pub(super) fn gets(&mut self, member: usize, mac: Mac, now: Duration) {
        self.owned[member].push(Owned { mac, from: now, until: None });
    }

    /// A member has given up an address.
    pub(super) fn gave_up(&mut self, member: usize, mac: Mac, now: Duration) {
        let mut owned = self.owned[member].iter_mut();
        if let Some(owned) = owned.find(|it| it.mac == mac && it.until.is_none()) {
            owned.until = Some(now);
        }
    }

    /// The next frame of a member, which is about to be sent.
    pub(super) fn next(&mut self, from: usize, to: usize, tag: u16, now: Duration) -> Probe {
        let fates = &mut self.fates[from];
        let number = fates.len() as u64;
        let [from, to] = [from, to].map(|it| u8::try_from(it).expect("there are few members"));
        fates.push(Fate { to, tag, was_sent: true, seen: 0, delivered: 0 });
        Probe { from, to, tag, number, sent: now }
    }

    /// A frame could not be sent.
    pub(super) fn was_not_sent(&mut self, probe: &Probe) {
        let place = usize::try_from(probe.number).expect("as it was given out");
        self.fates[usize::from(probe.from)][place].was_sent = false;
    }

    /// A frame came to a member.
    pub(super) fn arrived(&mut self, at: usize, frame: &[u8], is_for_host: bool, now: Duration) {
        let Some(probe) = Probe::of(frame) else { return };
        let [destination, source] = [0, 6]
            .map(|it| Mac(*frame[it..].first_chunk().expect("a probe has an Ethernet header")));
        let place = usize::try_from(probe.number).unwrap_or(usize::MAX);
        let fates = self.fates.get_mut(usize::from(probe.from));
        let fate = fates.and_then(|fates| fates.get_mut(place));
        let Some(fate) = fate.filter(|fate| {
            (fate.to, fate.tag) == (probe.to, probe.tag)
                && probe.frame(destination, source, frame.len()) == frame
        }) else {
            self.findings.push(Finding::Invented { at, probe });
            return;
        };
        let bit = 1 << at;
        if fate.seen & bit != 0 {
            self.findings.push(Finding::Doubled { at, probe });
        }
        fate.seen |= bit;
        if !is_for_host {
            return;
        }
        fate.delivered |= bit;
        match self.staleness(at, destination, probe.sent, now) {
            Some(Duration::ZERO) => {}
            Some(age) if age <= STALE => {
                self.stale += 1;
                self.stalest = self.stalest.max(age);
            }
            _ => self.findings.push(Finding::Misdelivered { at, destination, probe }),
        }
    }

    /// For how long a member had not had an address when a frame was sent; zero when it had it at any
    /// time from then until now.
    fn staleness(
        &self,
        member: usize,
        mac: Mac,
        sent: Duration,
        now: Duration,
    ) -> Option<Duration> {
        let owned = self.owned[member].iter().filter(|it| it.mac == mac && it.from <= now);
        owned.map(|it| it.until.map_or(Duration::ZERO, |until| sent.saturating_sub(until))).min()
    }

    /// How many frames each member has sent so far: where what comes next begins.
    pub(super) fn position(&self) -> [usize; MEMBERS] {
        self.fates.each_ref().map(Vec::len)
    }

    /// The frames with that tag, from a position on.
    pub(super) fn matrix(&self, tag: u16, since: [usize; MEMBERS]) -> Matrix {
        let mut matrix = Matrix::default();
        for ((fates, since), row) in self.fates.iter().zip(since).zip(&mut matrix) {
            for fate in fates[since..].iter().filter(|fate| fate.tag == tag && fate.was_sent) {
                let (sent, delivered) = &mut row[usize::from(fate.to)];
                *sent += 1;
                *delivered += u32::from(fate.delivered != 0);
            }
        }
        matrix
    }

    pub(super) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many frames went to somebody who had given up the address a while before, and the longest
    /// such while.
    pub(super) fn stale(&self) -> (u64, Duration) {
        (self.stale, self.stalest)
    }
}

/// Where two bridges do not deliver alike although nothing happens. Who gets what is sent to a
/// `contested` address, which two have, is a question of who spoke last; and a bridge that delivers some
/// frames of a pair and not others says nothing about the other one.
pub(super) fn disagreements(
    plain: &Matrix,
    other: &Matrix,
    contested: [bool; MEMBERS],
) -> Vec<String> {
    let mut found = Vec::new();
    for (from, (plain, other)) in plain.iter().zip(other).enumerate() {
        let pairs = plain.iter().zip(other).enumerate();
        for (to, (&plain, &other)) in pairs.filter(|(to, _)| !contested[*to]) {
            let is_even = |(sent, delivered): (u32, u32)| delivered == 0 || delivered == sent;
            let share = |(sent, delivered): (u32, u32)| (sent > 0, sent > 0 && delivered == sent);
            if is_even(plain) && (!is_even(other) || share(plain) != share(other)) {
                found.push(format!(
                    "{from} to {to}: {} of {} over the plain bridge, {} of {} over the other",
                    plain.1, plain.0, other.1, other.0
                ));
            }
        }
    }
    found
}

/// Frames that were sent and not delivered.
pub(super) fn lost(matrix: &Matrix, of: impl Fn(usize, usize) -> bool) -> (u32, u32) {
    let (mut lost, mut all) = (0, 0);
    for (from, row) in matrix.iter().enumerate() {
        let row = row.iter().enumerate().filter(|(to, _)| of(from, *to));
        for (_, (sent, delivered)) in row {
            lost += sent - delivered;
            all += sent;
        }
    }
    (lost, all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::probe::SMALL;

    const RED: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const BLUE: Mac = Mac([2, 0, 0, 0, 0, 2]);

    fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    /// Red, who is member 0, and blue, who is member 1, and a frame from one to the other.
    fn ledger_with_a_frame() -> (Ledger, Vec<u8>) {
        let mut ledger = Ledger::default();
        ledger.gets(0, RED, seconds(0));
        ledger.gets(1, BLUE, seconds(0));
        let frame = ledger.next(0, 1, 0, seconds(10)).frame(BLUE, RED, SMALL);
        (ledger, frame)
    }

    fn kinds(ledger: &Ledger) -> Vec<&'static str> {
        let kind = |finding: &Finding| match finding {
            Finding::Misdelivered { .. } => "misdelivered",
            Finding::Doubled { .. } => "doubled",
            Finding::Invented { .. } => "invented",
        };
        ledger.findings().iter().map(kind).collect()
    }

    #[test]
    fn frame_that_is_delivered_once_is_no_finding() {
        let (mut ledger, frame) = ledger_with_a_frame();
        ledger.arrived(1, &frame, true, seconds(10));
        assert_eq!(kinds(&ledger), [""; 0]);
        assert_eq!(ledger.matrix(0, [0; MEMBERS])[0][1], (1, 1));
        assert_eq!(ledger.stale(), (0, Duration::ZERO));
    }

    #[test]
    fn frame_that_is_flooded_is_no_finding_and_not_delivered_by_that() {
        let (mut ledger, frame) = ledger_with_a_frame();
        for member in [0, 2, 3] {
            ledger.arrived(member, &frame, false, seconds(10));
        }
        assert_eq!(kinds(&ledger), [""; 0]);
        assert_eq!(ledger.matrix(0, [0; MEMBERS])[0][1], (1, 0));
    }

    #[test]
    fn misdelivered_frame_is_found() {
        let (mut ledger, frame) = ledger_with_a_frame();
        ledger.arrived(2, &frame, true, seconds(10));
        assert_eq!(kinds(&ledger), ["misdelivered"]);
    }

    #[test]
    fn frame_that_comes_twice_is_found() {
        let (mut ledger, frame) = ledger_with_a_frame();
        ledger.arrived(1, &frame, true, seconds(10));
        ledger.arrived(1, &frame, true, seconds(10));
        assert_eq!(kinds(&ledger), ["doubled"]);

        // A copy that the stack would not take is one as well.
        let (mut ledger, frame) = ledger_with_a_frame();
        ledger.arrived(1, &frame, true, seconds(10));
        ledger.arrived(1, &frame, false, seconds(10));
        assert_eq!(kinds(&ledger), ["doubled"]);
    }

    #[test]
    fn frame_that_is_not_as_it_was_sent_is_found() {
        let (mut ledger, frame) = ledger_with_a_frame();
        let mut changed = frame.clone();
        *changed.last_mut().expect("it has bytes") ^= 1;
        ledger.arrived(1, &changed, true, seconds(10));
        let never_sent = Probe { number: 77, ..Probe::of(&frame).expect("is a probe") };
        ledger.arrived(1, &never_sent.frame(BLUE, RED, SMALL), true, seconds(10));
        assert_eq!(kinds(&ledger), ["invented", "invented"]);
    }

    #[test]
    fn address_that_two_have_may_be_served_by_either_or_both() {
        let (mut ledger, frame) = ledger_with_a_frame();
        ledger.gets(2, BLUE, seconds(5));
        ledger.arrived(1, &frame, true, seconds(10));
        ledger.arrived(2, &frame, true, seconds(10));
        assert_eq!(kinds(&ledger), [""; 0]);
        assert_eq!(ledger.matrix(0, [0; MEMBERS])[0][1], (1, 1));
    }

    #[test]
    fn address_that_was_given_up_may_be_served_for_a_lease() {
        for (given_up, found) in [(9, false), (6, false), (5, true)] {
            let (mut ledger, frame) = ledger_with_a_frame();
            ledger.gave_up(1, BLUE, seconds(given_up));
            ledger.arrived(1, &frame, true, seconds(11));
            assert_eq!(kinds(&ledger).is_empty(), !found, "given up at {given_up} s");
            assert_eq!(ledger.stale().0, u64::from(!found));
        }
    }

    #[test]
    fn address_that_comes_while_a_frame_is_on_its_way_may_be_served() {
        let (mut ledger, frame) = ledger_with_a_frame();
        ledger.gets(2, BLUE, seconds(11));
        ledger.arrived(2, &frame, true, seconds(12));
        assert_eq!(kinds(&ledger), [""; 0]);
    }

    #[test]
    fn lost_frame_is_a_disagreement_and_is_counted() {
        let census = |delivered: usize| {
            let (mut ledger, frame) = ledger_with_a_frame();
            let second = ledger.next(0, 1, 0, seconds(10)).frame(BLUE, RED, SMALL);
            for frame in [&frame, &second].into_iter().take(delivered) {
                ledger.arrived(1, frame, true, seconds(10));
            }
            ledger.matrix(0, [0; MEMBERS])
        };
        for (plain, other, agree) in [
            (2, 2, true),
            (0, 0, true),
            (2, 1, false),
            (2, 0, false),
            (0, 1, false),
            (0, 2, false),
            // Nothing can be said.
            (1, 0, true),
        ] {
            let disagreements = |blue_is_contested| {
                let mut contested = [false; MEMBERS];
                contested[1] = blue_is_contested;
                disagreements(&census(plain), &census(other), contested)
            };
            let found = disagreements(false);
            assert_eq!(found.is_empty(), agree, "{plain} and {other}: {found:?}");
            assert_eq!(disagreements(true), [""; 0], "{plain} and {other}");
        }
        assert_eq!(lost(&census(1), |_, _| true), (1, 2));
        assert_eq!(lost(&census(1), |from, _| from == 1), (0, 0));
    }

    #[test]
    fn frame_that_could_not_be_sent_is_not_lost() {
        let (mut ledger, frame) = ledger_with_a_frame();
        ledger.was_not_sent(&Probe::of(&frame).expect("is a probe"));
        assert_eq!(lost(&ledger.matrix(0, [0; MEMBERS]), |_, _| true), (0, 0));
    }
}
