//! What `decide` does, over tables made by hand: a small world, and the defects that each send
//! its one good frame to the bridge.

mod lookups;
mod properties;
mod size;
mod verdicts;

use core::cell::Cell;
use std::{collections::BTreeMap, vec::Vec};

use veth_common::{
    FdbEntry, FdbFlags, Ifindex, Lease, Mac, MacKey, PortEntry, PortFlags, PortSlot, Verdict, Vlan,
};

use super::{Decision, Target, decide, moved_station};
use crate::{packet::Bytes, tables::Tables};

const RED: Ifindex = Ifindex(5);
const BLUE: Ifindex = Ifindex(6);
const BRIDGE: Ifindex = Ifindex(3);
const RED_SLOT: PortSlot = PortSlot(1);
const BLUE_SLOT: PortSlot = PortSlot(2);
const TO_BLUE: Target = Target { port: BLUE, slot: BLUE_SLOT };
const RED_MAC: Mac = Mac([0x02, 0, 0, 0, 0, 0x21]);
const BLUE_MAC: Mac = Mac([0x02, 0, 0, 0, 0, 0x22]);

const ETHERNET_BYTES: usize = 14;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ARP: u16 = 0x0806;
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// Where the first byte of the IP header (version and header length) and the protocol lie.
const VERSION_AT: usize = ETHERNET_BYTES;
const IPV4_PROTOCOL_AT: usize = ETHERNET_BYTES + 9;

/// What the datapath's maps and clock would answer, and how often they were asked.
#[derive(Clone, Debug, Default)]
struct FakeTables {
    ports: BTreeMap<Ifindex, PortEntry>,
    fdb: BTreeMap<Mac, FdbEntry>,
    /// `None`: the clock must not be asked.
    now_ns: Option<u64>,
    port_lookups: Cell<u32>,
    station_lookups: Cell<u32>,
    clock_readings: Cell<u32>,
}

impl Tables for FakeTables {
    fn port(&self, ifindex: Ifindex) -> Option<PortEntry> {
        self.port_lookups.set(self.port_lookups.get() + 1);
        self.ports.get(&ifindex).copied()
    }

    fn station(&self, key: MacKey) -> Option<FdbEntry> {
        self.station_lookups.set(self.station_lookups.get() + 1);
        self.fdb.get(&key.mac()).copied()
    }

    fn now_ns(&self) -> u64 {
        self.clock_readings.set(self.clock_readings.get() + 1);
        self.now_ns.expect("nobody reads the clock while every lease is without end")
    }
}

impl FakeTables {
    /// Changes the entry of `mac`, if there is one.
    fn change(&mut self, mac: Mac, change: impl FnOnce(&mut FdbEntry)) {
        if let Some(entry) = self.fdb.get_mut(&mac) {
            change(entry);
        }
    }
}

/// One frame and all that is decided from.
#[derive(Clone, Debug)]
struct Case {
    tables: FakeTables,
    frame: Vec<u8>,
    gso_size_bytes: u32,
    vlan_tag: bool,
}

impl Case {
    /// A TCP frame from red to blue that nothing speaks against.
    fn good() -> Self {
        let mut tables = FakeTables::default();
        for (mac, port, slot) in [(RED_MAC, RED, RED_SLOT), (BLUE_MAC, BLUE, BLUE_SLOT)] {
            tables.ports.insert(port, PortEntry { slot, flags: PortFlags::ELIGIBLE });
            tables.fdb.insert(mac, station(mac, port, slot));
        }
        Self {
            tables,
            frame: ipv4_frame(BLUE_MAC, RED_MAC, TCP, 0, 0, 100),
            gso_size_bytes: 0,
            vlan_tag: false,
        }
    }

    /// The good case, but for what makes `verdict` the only answer.
    fn of(verdict: Verdict) -> Self {
        let mut case = Self::good();
        case.suffer(verdict);
        case
    }

    /// Adds what calls for `verdict`, on top of the defects that are there.
    fn suffer(&mut self, verdict: Verdict) {
        let tables = &mut self.tables;
        match verdict {
            Verdict::Redirected => {}
            Verdict::PortUnknown => {
                // A port takes its stations along: no entry outlives the port it names.
                tables.ports.remove(&RED);
                tables.fdb.remove(&RED_MAC);
            }
            Verdict::PortIneligible => {
                tables.ports.insert(RED, PortEntry { slot: RED_SLOT, flags: PortFlags::default() });
                tables.change(RED_MAC, |entry| entry.flags = FdbFlags::default());
            }
            Verdict::Runt => self.frame.truncate(ETHERNET_BYTES - 1),
            Verdict::Truncated => self.frame.truncate(ETHERNET_BYTES + 19),
            Verdict::Malformed => self.frame[VERSION_AT] = 0x65,
            Verdict::VlanTagged => self.vlan_tag = true,
            Verdict::Broadcast => self.frame[..6].copy_from_slice(&Mac::BROADCAST.0),
            Verdict::Multicast => self.frame[..6].copy_from_slice(&[1, 0, 0x5e, 0, 0, 0xfb]),
            Verdict::SourceInvalid => self.frame[6..12].fill(0),
            Verdict::SourceUnknown => {
                tables.fdb.remove(&RED_MAC);
            }
            Verdict::SourceMoved => tables.change(RED_MAC, |entry| entry.port = BLUE),
            Verdict::SourceIneligible => {
                tables.change(RED_MAC, |entry| entry.flags = FdbFlags::TARGET);
            }
            Verdict::SourceExpired => self.expire(RED_MAC),
            Verdict::DestinationUnknown => {
                tables.fdb.remove(&BLUE_MAC);
            }
            Verdict::DestinationLocal => tables.change(BLUE_MAC, |entry| {
                entry.port = BRIDGE;
                entry.flags = FdbFlags::LOCAL;
            }),
            Verdict::SamePort => tables.change(BLUE_MAC, |entry| entry.port = RED),
            Verdict::DestinationExpired => self.expire(BLUE_MAC),
            Verdict::DestinationIneligible => {
                tables.change(BLUE_MAC, |entry| entry.flags = FdbFlags::SOURCE);
            }
            Verdict::OtherVlan => tables.change(BLUE_MAC, |entry| entry.vlan = Vlan(20)),
            Verdict::Isolated => {
                for mac in [RED_MAC, BLUE_MAC] {
                    tables.change(mac, |entry| entry.flags = entry.flags.with(FdbFlags::ISOLATED));
                }
            }
            Verdict::TooBig => tables.change(BLUE_MAC, |entry| entry.mtu_bytes = 64),
            Verdict::GsoUnknown => {
                self.gso_size_bytes = 1000;
                self.frame[IPV4_PROTOCOL_AT] = ICMP;
            }
        }
    }

    fn expire(&mut self, mac: Mac) {
        self.tables.now_ns = Some(1_000);
        self.tables.change(mac, |entry| entry.lease = Lease(1_000));
    }

    fn decide(&self) -> Decision {
        let packet = Bytes {
            gso_size_bytes: self.gso_size_bytes,
            vlan_tag: self.vlan_tag,
            ..Bytes::linear(&self.frame)
        };
        decide(&packet, RED, &self.tables)
    }

    /// Asserts that the frame goes to blue and counts for red.
    #[track_caller]
    fn assert_redirected(&self) {
        let wanted = Decision { verdict: Verdict::Redirected, slot: RED_SLOT, target: TO_BLUE };
        assert_eq!(self.decide(), wanted);
    }

    /// Asserts that the frame goes to the bridge for that reason, and counts for red.
    #[track_caller]
    fn assert_passed(&self, verdict: Verdict) {
        let wanted = Decision { verdict, slot: RED_SLOT, target: Target::NONE };
        assert_eq!(self.decide(), wanted);
    }
}

/// A station that may send and receive, for ever, with an MTU of 1500.
fn station(mac: Mac, port: Ifindex, slot: PortSlot) -> FdbEntry {
    FdbEntry {
        key: MacKey::of(mac),
        lease: Lease::FOREVER,
        port,
        slot,
        flags: FdbFlags::SOURCE.with(FdbFlags::TARGET),
        mtu_bytes: 1500,
        vlan: Vlan::NONE,
        version: 0,
    }
}

fn ethernet(destination: Mac, source: Mac, ether_type: u16) -> Vec<u8> {
    [&destination.0[..], &source.0, &ether_type.to_be_bytes()].concat()
}

/// A frame of IPv4, with so many 32-bit words of IP options, and of TCP options if it is TCP.
fn ipv4_frame(
    destination: Mac,
    source: Mac,
    protocol: u8,
    ip_option_words: u8,
    tcp_option_words: u8,
    payload_bytes: usize,
) -> Vec<u8> {
    let mut frame = ethernet(destination, source, IPV4);
    let mut header = [0; 20];
    header[0] = 0x40 | (5 + ip_option_words);
    header[9] = protocol;
    frame.extend_from_slice(&header);
    frame.resize(frame.len() + 4 * usize::from(ip_option_words), 1);
    append_transport(&mut frame, protocol, tcp_option_words, payload_bytes);
    frame
}

fn ipv6_frame(
    destination: Mac,
    source: Mac,
    next_header: u8,
    tcp_option_words: u8,
    payload_bytes: usize,
) -> Vec<u8> {
    let mut frame = ethernet(destination, source, IPV6);
    let mut header = [0; 40];
    header[0] = 0x60;
    header[6] = next_header;
    frame.extend_from_slice(&header);
    append_transport(&mut frame, next_header, tcp_option_words, payload_bytes);
    frame
}

fn append_transport(frame: &mut Vec<u8>, protocol: u8, option_words: u8, payload_bytes: usize) {
    match protocol {
        TCP => {
            let mut header = [0; 20];
            header[12] = (5 + option_words) << 4;
            frame.extend_from_slice(&header);
            frame.resize(frame.len() + 4 * usize::from(option_words), 1);
        }
        UDP => frame.extend_from_slice(&[0; 8]),
        _ => {}
    }
    frame.resize(frame.len() + payload_bytes, 0xda);
}
