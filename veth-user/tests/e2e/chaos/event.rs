//! What happens to a bridge and its namespaces, the same on every side.

use std::fmt;

use veth_common::Mac;

use super::{
    ledger::MEMBERS,
    side::{BRIDGE, STEADY, Side, name},
};
use crate::kill::Random;

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// A container ends, and another one gets its names, and this address.
    Rebirth(usize, Mac),
    /// A station gets another address. Where somebody else has it, the bridge has to choose.
    Address(usize, Mac),
    /// Two stations change places.
    Swap([(usize, Mac); 2]),
    /// A script that says it all.
    Script(String),
    /// The agent hears nothing for a while, in which more happens than its socket holds.
    AgentStops,
    /// It ends without a word.
    AgentIsKilled,
    /// It has to catch up, or there is another one.
    AgentGoesOn,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rebirth(member, mac) => write!(f, "w{member} ends, and is made again with {mac}"),
            Self::Address(member, mac) => write!(f, "w{member} gets {mac}"),
            Self::Swap([(one, _), (other, _)]) => write!(f, "w{one} and w{other} change addresses"),
            Self::Script(script) => f.write_str(script.trim()),
            Self::AgentStops => f.write_str("the agent stops"),
            Self::AgentGoesOn => f.write_str("the agent goes on"),
            Self::AgentIsKilled => f.write_str("the agent is killed"),
        }
    }
}

impl Event {
    /// Makes it happen, but for what it is to the agent.
    #[track_caller]
    pub(super) fn happen(&self, side: &Side) {
        match self {
            Self::Rebirth(member, mac) => {
                side.bury(*member);
                side.bear(*member, *mac);
            }
            Self::Address(member, mac) => side.rename(*member, *mac),
            Self::Swap(pair) => {
                for (member, mac) in pair {
                    side.rename(*member, *mac);
                }
            }
            Self::Script(script) => {
                side.sandbox.sh(script);
            }
            Self::AgentStops => {
                let file = side.sandbox.file("deluge", &changes("deluge", 20_000));
                side.sandbox.sh(&format!("ip -batch {file}"));
            }
            Self::AgentGoesOn | Self::AgentIsKilled => {}
        }
    }
}

/// Where events come from.
pub(super) struct Chaos {
    random: Random,
    /// The addresses of the members, after all events so far.
    macs: [Mac; MEMBERS],
    /// How many addresses there have been.
    fresh: u16,
    /// The addresses of entries that were put into the bridge by hand, and go with the next calm.
    entries: Vec<Mac>,
    /// Of those that are sticky, and stay until the one after that.
    sticky: Vec<Mac>,
    agent_runs: bool,
}

impl Chaos {
    pub(super) fn new() -> Self {
        let mut chaos = Self {
            random: Random::named("VETH_CHAOS_SEED"),
            macs: [Mac::default(); MEMBERS],
            fresh: 0,
            entries: Vec::new(),
            sticky: Vec::new(),
            agent_runs: true,
        };
        for member in 0..MEMBERS {
            chaos.macs[member] = chaos.fresh_mac();
        }
        chaos
    }

    pub(super) fn macs(&self) -> [Mac; MEMBERS] {
        self.macs
    }

    /// Whose addresses somebody else has, too.
    pub(super) fn contested(&self) -> [bool; MEMBERS] {
        self.macs.map(|mac| self.macs.iter().filter(|it| **it == mac).count() > 1)
    }

    pub(super) fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// The next thing that happens.
    pub(super) fn next(&mut self) -> Event {
        let member = self.member();
        let off = self.random.below(2) == 0;
        let switch = if off { "off" } else { "on" };
        match self.random.below(20) {
            0..3 => {
                let mac = if off { self.fresh_mac() } else { self.macs[member] };
                self.macs[member] = mac;
                Event::Rebirth(member, mac)
            }
            3..5 => {
                self.macs[member] = self.fresh_mac();
                Event::Address(member, self.macs[member])
            }
            5 => {
                let other = self.other_than(member);
                self.macs[member] = self.macs[other];
                Event::Address(member, self.macs[member])
            }
            6..8 => {
                let other = self.other_than(member);
                self.macs.swap(member, other);
                Event::Swap([(member, self.macs[member]), (other, self.macs[other])])
            }
            8..11 => self.link(member),
            11..13 => self.entry(member),
            13 => Event::Script(format!("ip link set {BRIDGE} type bridge fdb_flush")),
            14 => {
                let state = u8::from(!off);
                Event::Script(format!(
                    "ip link set {BRIDGE} type bridge stp_state {state} forward_delay 200"
                ))
            }
            15..17 => {
                let flag = ["isolated", "learning", "hairpin"][self.random.below(3)];
                Event::Script(format!("bridge link set dev {} {flag} {switch}", name(member)))
            }
            _ => {
                self.agent_runs = !self.agent_runs;
                match (self.agent_runs, off) {
                    (true, _) => Event::AgentGoesOn,
                    (false, true) => Event::AgentIsKilled,
                    (false, false) => Event::AgentStops,
                }
            }
        }
    }

    /// Something about the pair of a member, at either end.
    fn link(&mut self, member: usize) -> Event {
        let port = name(member);
        let inside = (format!("ip -n {port}"), "eth0");
        let (ip, device) = [("ip".to_owned(), port.as_str()), inside][self.random.below(2)].clone();
        Event::Script(match self.random.below(6) {
            0 => format!("{ip} link set {device} down; sleep 0.02; {ip} link set {device} up"),
            1 => format!("{ip} link set {device} down"),
            2 => format!("{ip} link set {device} up"),
            3 => format!("{ip} link set {device} mtu 1200"),
            4 => format!("{ip} link set {device} mtu 1500"),
            _ => format!("ip link set {port} nomaster; ip link set {port} master {BRIDGE}"),
        })
    }

    /// What makes the outcome a question of the present, not of who spoke first: entries that were made
    /// by hand go, unless they stay where they are, and so does what the bridge has learned.
    pub(super) fn calm(&mut self) -> [Event; 2] {
        self.agent_runs = true;
        let ports = (0..MEMBERS).map(name).collect::<Vec<_>>().join(" ");
        // Even one that is static moves with its station, so nobody knows where it is.
        let forget = self.entries.drain(..).map(|mac| {
            format!(
                "for port in {ports}; do bridge fdb del {mac} dev $port master 2>/dev/null; done; "
            )
        });
        let script =
            format!("{}ip link set {BRIDGE} type bridge fdb_flush", forget.collect::<String>());
        self.entries.append(&mut self.sticky);
        [Event::Script(script), Event::AgentGoesOn]
    }

    /// An entry that somebody makes by hand: of a member, on its own port or another one, or of nobody.
    fn entry(&mut self, member: usize) -> Event {
        let mac = match self.random.below(3) {
            0 => self.macs[member],
            1 => self.macs[self.other_than(member)],
            _ => self.fresh_mac(),
        };
        let kind = ["static", "dynamic", "static sticky"][self.random.below(3)];
        let is_sticky = kind.contains("sticky");
        if is_sticky { &mut self.sticky } else { &mut self.entries }.push(mac);
        // A port that is down takes none that is dynamic.
        let (port, refused) = (name(member), "2>/dev/null || true");
        Event::Script(format!("bridge fdb replace {mac} dev {port} master {kind} {refused}"))
    }

    fn member(&mut self) -> usize {
        self.random.below(STEADY[0])
    }

    fn other_than(&mut self, member: usize) -> usize {
        (member + 1 + self.random.below(STEADY[0] - 1)) % STEADY[0]
    }

    fn fresh_mac(&mut self) -> Mac {
        self.fresh += 1;
        let [high, low] = self.fresh.to_be_bytes();
        Mac([2, 0xc4, 0, 0, high, low])
    }
}

/// What `ip -batch` takes to make a device, change it so many times, and delete it. Nobody is told of
/// changes to a device that is down.
pub(super) fn changes(device: &str, count: usize) -> String {
    let mut text = format!("link add {device} up type bridge\n");
    for number in 0..count {
        text += &format!("link set dev {device} alias {number:0>200}\n");
    }
    text + &format!("link del {device}\n")
}
