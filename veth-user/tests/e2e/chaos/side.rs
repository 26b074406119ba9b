//! One of two bridges that are treated alike: its namespaces, and the traffic between them.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::sys::time::TimeVal;
use veth_common::Mac;

use super::{
    ledger::{Ledger, MEMBERS, Matrix},
    probe::{BIG, SMALL},
};
use crate::{
    sandbox::{Sandbox, wait_until},
    traffic::{
        talk::silence_ipv6,
        wire::{Received, Wire},
    },
};

/// The members that nothing is done to: they talk to each other, and to the rest.
pub(super) const STEADY: [usize; 2] = [MEMBERS - 2, MEMBERS - 1];

/// The bridge.
pub(super) const BRIDGE: &str = "br0";

/// The tag of what is sent all the time.
pub(super) const TRAFFIC: u16 = 0;

/// Time from one frame of a member to its next.
const PACE: Duration = Duration::from_millis(2);

/// Frames of a census for each pair: small ones, and some that a smaller MTU does not let through.
const CENSUS: [(usize, usize); 2] = [(SMALL, 8), (BIG, 2)];

/// A silence after which nothing is on its way any more, most likely: who is wrong about that looks again.
const SILENCE: Duration = Duration::from_millis(200);

/// One bridge and its namespaces.
pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) sandbox: Sandbox,
    account: Arc<Account>,
    members: Mutex<[Option<Member>; MEMBERS]>,
}

/// What the threads of a side share.
struct Account {
    beginning: Instant,
    ledger: Mutex<Ledger>,
    /// The address that each member is written to.
    book: RwLock<[Mac; MEMBERS]>,
}

/// The threads of one namespace, which hold on to it.
struct Member {
    wire: Arc<Wire>,
    ends: Arc<Ends>,
    threads: [JoinHandle<()>; 2],
}

/// How far a member is on its way out.
#[derive(Default)]
struct Ends {
    /// It sends no more, and listens until nothing more comes.
    is_mute: AtomicBool,
    /// It does not listen either.
    is_deaf: AtomicBool,
}

/// The name of a member's namespace, and of its port.
pub(super) fn name(member: usize) -> String {
    format!("w{member}")
}

impl Side {
    pub(super) fn new(name: &'static str, macs: [Mac; MEMBERS]) -> Self {
        let sandbox = Sandbox::new();
        sandbox.sh(&format!("ip link add {BRIDGE} type bridge && ip link set {BRIDGE} up"));
        silence_ipv6(&sandbox, &[]);
        sandbox.on_host(crate::traffic::frames::bypass_netfilter);
        let account = Account {
            beginning: Instant::now(),
            ledger: Mutex::default(),
            book: RwLock::new(macs),
        };
        let side = Self { name, sandbox, account: Arc::new(account), members: Mutex::default() };
        for (member, mac) in macs.into_iter().enumerate() {
            side.bear(member, mac);
        }
        side
    }

    /// Makes a member's namespace and port, and has it talk.
    #[track_caller]
    pub(super) fn bear(&self, member: usize, mac: Mac) {
        let name = name(member);
        self.sandbox.sh(&format!(
            "ip netns add {name} && ip link add {name} type veth \
             peer name eth0 address {mac} netns {name}"
        ));
        silence_ipv6(&self.sandbox, &[&name]);
        self.account.ledger().gets(member, mac, self.account.now());
        self.account.write_to(member, mac);
        self.sandbox
            .sh(&format!("ip link set {name} master {BRIDGE} up && ip -n {name} link set eth0 up"));
        let wire = Wire::of(&self.sandbox, &name);
        wire.set_patience(TimeVal::new(0, 50_000));
        let (wire, ends) = (Arc::new(wire), Arc::<Ends>::default());
        let threads = [Account::talk, Account::listen].map(|work| {
            let account = Arc::clone(&self.account);
            let (wire, ends) = (Arc::clone(&wire), Arc::clone(&ends));
            thread::spawn(move || work(&account, member, &wire, &ends))
        });
        let born = Member { wire, ends, threads };
        self.members.lock().expect("no panic")[member] = Some(born);
    }

    /// Ends a member, its namespace and its port.
    #[track_caller]
    pub(super) fn bury(&self, member: usize) {
        if let Some(it) = &self.members.lock().expect("no panic")[member] {
            it.ends.is_deaf.store(true, Ordering::Relaxed);
        }
        self.silence(member);
        let name = name(member);
        // Nobody holds the namespace, so it ends, in its own time.
        self.sandbox.sh(&format!("ip netns del {name}"));
        wait_until("a port to go with its namespace", || {
            self.sandbox.sh(&format!("ip -o link show dev {name} 2>/dev/null || true")).is_empty()
        });
        self.account.gave_up(member);
    }

    /// Changes the address of a member.
    #[track_caller]
    pub(super) fn rename(&self, member: usize, mac: Mac) {
        let name = name(member);
        self.account.ledger().gets(member, mac, self.account.now());
        self.sandbox.sh(&format!("ip -n {name} link set eth0 address {mac}"));
        self.account.gave_up(member);
        self.account.write_to(member, mac);
    }

    /// What each member sends to each when it is asked to, by size. Something may still be on its way.
    pub(super) fn census(&self, tag: u16) -> Census<'_> {
        let since = self.account.ledger().position();
        let members = self.members.lock().expect("no panic");
        for ((length, count), tag) in CENSUS.into_iter().zip(tag..) {
            for _ in 0..count {
                for (from, member) in members.iter().enumerate() {
                    let member = member.as_ref().expect("all live in a census");
                    for to in (0..MEMBERS).filter(|to| *to != from) {
                        self.account.send(&member.wire, from, to, tag, length);
                    }
                }
            }
        }
        Census { side: self, tag, since }
    }

    #[track_caller]
    pub(super) fn assert_no_findings(&self, said: &str) {
        // Whoever panics with the ledger in his hands takes it from all threads.
        let (count, first) = {
            let ledger = self.ledger();
            let first = ledger.findings().iter().take(5).map(ToString::to_string);
            (ledger.findings().len(), first.collect::<Vec<_>>())
        };
        assert_eq!(count, 0, "{} bridge: {first:#?}{said}", self.name);
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.account.ledger()
    }

    /// Ends all traffic, when everything has arrived.
    pub(super) fn end_traffic(&self) {
        for member in self.members.lock().expect("no panic").iter().flatten() {
            member.ends.is_mute.store(true, Ordering::Relaxed);
        }
        for member in 0..MEMBERS {
            self.silence(member);
        }
    }

    fn silence(&self, member: usize) {
        let member = self.members.lock().expect("no panic")[member].take();
        let Some(Member { ends, threads, .. }) = member else { return };
        ends.is_mute.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().expect("no panic");
        }
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        let members = self.members.get_mut();
        for member in members.into_iter().flatten().flatten() {
            member.ends.is_mute.store(true, Ordering::Relaxed);
            member.ends.is_deaf.store(true, Ordering::Relaxed);
        }
    }
}

/// A census on its way.
pub(super) struct Census<'a> {
    side: &'a Side,
    tag: u16,
    since: [usize; MEMBERS],
}

impl Census<'_> {
    /// The number of tags that a census takes.
    pub(super) const TAGS: u16 = 2;

    /// What has been delivered, by size.
    pub(super) fn matrices(&self) -> [Matrix; 2] {
        let ledger = self.side.account.ledger();
        [0, 1].map(|size| ledger.matrix(self.tag + size, self.since))
    }

    /// Waits until nothing more comes.
    pub(super) fn settle(&self) {
        let mut before = self.matrices();
        loop {
            thread::sleep(SILENCE);
            let now = self.matrices();
            if now == before {
                return;
            }
            before = now;
        }
    }
}

impl Account {
    fn now(&self) -> Duration {
        self.beginning.elapsed()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().expect("no panic")
    }

    fn write_to(&self, member: usize, mac: Mac) {
        self.book.write().expect("no panic")[member] = mac;
    }

    /// Of a member that no longer has the address in the book.
    fn gave_up(&self, member: usize) {
        let old = self.book.read().expect("no panic")[member];
        self.ledger().gave_up(member, old, self.now());
    }

    fn send(&self, wire: &Wire, from: usize, to: usize, tag: u16, length: usize) {
        let (source, destination) = {
            let book = self.book.read().expect("no panic");
            (book[from], book[to])
        };
        let probe = self.ledger().next(from, to, tag, self.now());
        // A device that is down or too small does not take it.
        if wire.try_send(&probe.frame(destination, source, length)).is_err() {
            self.ledger().was_not_sent(&probe);
        }
    }

    /// Sends to all others in turn, and every other time to the steady one if it is the other of them.
    fn talk(&self, from: usize, wire: &Wire, ends: &Ends) {
        let steady = STEADY.contains(&from);
        let others = (0..MEMBERS).filter(|to| *to != from).cycle();
        for (turn, to) in others.enumerate() {
            if ends.is_mute.load(Ordering::Relaxed) {
                return;
            }
            let friend =
                STEADY.into_iter().find(|it| *it != from).filter(|_| steady && turn % 2 == 0);
            let length = if turn % 16 == 0 { BIG } else { SMALL };
            self.send(wire, from, friend.unwrap_or(to), TRAFFIC, length);
            thread::sleep(PACE);
        }
    }

    /// Accounts for all that comes, until nothing more comes at the end.
    fn listen(&self, at: usize, wire: &Wire, ends: &Ends) {
        let mut frame = vec![0; 2048];
        while !ends.is_deaf.load(Ordering::Relaxed) {
            match wire.receive_into(&mut frame) {
                Received::Frame { length, is_for_host } => {
                    self.ledger().arrived(at, &frame[..length], is_for_host, self.now());
                }
                Received::Nothing if ends.is_mute.load(Ordering::Relaxed) => return,
                Received::Nothing | Received::Other => {}
            }
        }
    }
}
