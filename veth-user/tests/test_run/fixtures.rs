//! Frames for `BPF_PROG_TEST_RUN`, and what becomes of each.

use nix::errno::Errno;
use veth_common::{
    Counter, FdbEntry, FdbFlags, Ifindex, Lease, Mac, PortEntry, PortFlags, PortSlot, Verdict, Vlan,
};
use veth_ebpf::packet::Bytes;
use veth_user::forwarding::Tables;

use crate::{
    frame::{
        ARP, BLUE_MAC, ETHERNET_BYTES, GRE, IPV4, RED_MAC, TCP, UDP, ethernet, ipv4, ipv6, tagged,
        with_destination, with_source, with_version,
    },
    program::{Gso, Kind, Moved, Program, RED_SLOT, station, two_stations},
};

/// The frames arrive on loopback, which every namespace has, and which is red's port here.
pub(crate) const RED: Ifindex = Ifindex(1);
/// Need not exist: nothing is sent there in a test run.
pub(crate) const BLUE: Ifindex = Ifindex(6);

const STRANGER: Mac = Mac([0x02, 0, 0, 0, 0, 0x99]);

/// One frame, the tables it meets, and what becomes of it.
pub(crate) struct Fixture {
    pub(crate) name: &'static str,
    frame: Vec<u8>,
    gso: Gso,
    /// How the tables differ from those of two stations.
    change: fn(&mut Tables),
    pub(crate) verdict: Verdict,
}

impl Fixture {
    pub(crate) fn new(name: &'static str, verdict: Verdict, frame: Vec<u8>) -> Self {
        Self { name, frame, gso: Gso::NONE, change: |_| {}, verdict }
    }

    pub(crate) fn over(self, change: fn(&mut Tables)) -> Self {
        Self { change, ..self }
    }

    fn gso(self, size_bytes: u16, segments: u16) -> Self {
        Self { gso: Gso { size_bytes, segments }, ..self }
    }

    /// The one counter that moves.
    fn moved(&self) -> Moved {
        let is_unknown = self.verdict == Verdict::PortUnknown;
        let slot = if is_unknown { PortSlot::UNKNOWN } else { RED_SLOT };
        let counter = Counter {
            frames: 1,
            bytes: u64::try_from(self.frame.len()).expect("a small frame"),
            segments: u64::from(self.gso.segments.max(1)),
        };
        Moved::from([((slot, self.verdict), counter)])
    }

    /// The frame as the decision sees it, and the tables that it meets.
    pub(crate) fn parts(&self) -> (Bytes<'_>, Tables) {
        let mut tables = two_stations(RED, BLUE);
        (self.change)(&mut tables);
        let gso_size_bytes = u32::from(self.gso.size_bytes);
        (Bytes { gso_size_bytes, ..Bytes::linear(&self.frame) }, tables)
    }

    /// Runs the program of that kind on the frame, and looks at everything that it did.
    #[track_caller]
    pub(crate) fn check(&self, kind: Kind) {
        // Wherever the stations are found.
        self.check_after(kind, |_| {});
        self.check_after(kind, Program::empty_near);
    }

    /// The same, after `prepare` has done something to the maps.
    #[track_caller]
    pub(crate) fn check_after(&self, kind: Kind, prepare: impl FnOnce(&mut Program)) {
        let Self { name, frame, gso, change, verdict } = self;
        let mut tables = two_stations(RED, BLUE);
        change(&mut tables);
        let mut program = Program::load(kind, &tables);
        prepare(&mut program);
        let (result, left) = program.run(frame, *gso, 1).expect(name);

        let name = format!("{}, {name}", kind.name());
        assert_eq!(program.moved(), self.moved(), "{name}: counters that moved");
        assert_eq!(result.return_value.cast_signed(), kind.action(*verdict), "{name}: action");
        assert_eq!(&left, frame, "{name}: the frame stays as it was");
    }
}

/// A TCP frame of the smallest size on an Ethernet, from red to blue.
pub(crate) fn known_unicast() -> Vec<u8> {
    ipv4(TCP, 0, 0, 64)
}

pub(crate) fn all() -> Vec<Fixture> {
    [redirected(), port(), kind(), source(), destination(), size()].into_iter().flatten().collect()
}

/// Those that a program of that kind can be run on: an XDP frame has no segments.
pub(crate) fn of(kind: Kind) -> Vec<Fixture> {
    all().into_iter().filter(|it| it.gso.size_bytes == 0 || !kind.is_xdp()).collect()
}

fn redirected() -> Vec<Fixture> {
    let redirected = |name, frame| Fixture::new(name, Verdict::Redirected, frame);
    vec![
        redirected("known unicast", known_unicast()),
        redirected("IPv6", ipv6(UDP, 0, 100)),
        redirected("unicast ARP", {
            let mut frame = ethernet(BLUE_MAC, RED_MAC, ARP);
            frame.resize(42, 0);
            frame
        }),
        redirected("nothing but an Ethernet header", ethernet(BLUE_MAC, RED_MAC, 0x0101)),
        redirected("lease in the future", known_unicast()).over(|tables| {
            station(tables, RED_MAC).lease = Lease(u64::MAX - 1);
            station(tables, BLUE_MAC).lease = Lease(u64::MAX - 1);
        }),
        redirected("both in one VLAN", known_unicast()).over(|tables| {
            station(tables, RED_MAC).vlan = Vlan(10);
            station(tables, BLUE_MAC).vlan = Vlan(10);
        }),
        redirected("only the source is isolated", known_unicast()).over(|tables| {
            let red = station(tables, RED_MAC);
            red.flags = red.flags.with(FdbFlags::ISOLATED);
        }),
    ]
}

fn port() -> Vec<Fixture> {
    vec![
        Fixture::new("unknown port", Verdict::PortUnknown, known_unicast()).over(|tables| {
            tables.ports.remove(&RED);
            tables.fdb.remove(&RED_MAC);
        }),
        Fixture::new("broadcast on an unknown port", Verdict::PortUnknown, broadcast())
            .over(|tables| tables.ports.clear()),
        Fixture::new("ineligible port", Verdict::PortIneligible, known_unicast()).over(|tables| {
            let flags = PortFlags::default();
            tables.ports.insert(RED, PortEntry { slot: RED_SLOT, flags });
            station(tables, RED_MAC).flags = FdbFlags::default();
        }),
        Fixture::new("station that may not send", Verdict::SourceIneligible, known_unicast())
            .over(|tables| station(tables, RED_MAC).flags = FdbFlags::TARGET),
    ]
}

fn broadcast() -> Vec<u8> {
    let mut frame = ethernet(Mac::BROADCAST, RED_MAC, ARP);
    frame.resize(42, 0);
    frame
}

fn kind() -> Vec<Fixture> {
    let tag = |name, frame| Fixture::new(name, Verdict::VlanTagged, frame);
    let group = |name, destination| {
        let frame = with_destination(ipv4(UDP, 0, 0, 90), Mac(destination));
        Fixture::new(name, Verdict::Multicast, frame)
    };
    vec![
        tag("802.1Q tag in the frame", tagged(known_unicast(), 0x8100)),
        tag("802.1ad tag in the frame", tagged(known_unicast(), 0x88a8)),
        tag("0x9100 tag in the frame", tagged(known_unicast(), 0x9100)),
        tag("QinQ", tagged(tagged(known_unicast(), 0x8100), 0x88a8)),
        tag("tagged broadcast", tagged(broadcast(), 0x8100)),
        Fixture::new("broadcast", Verdict::Broadcast, broadcast()),
        group("IPv4 multicast", [0x01, 0, 0x5e, 0, 0, 0xfb]),
        group("IPv6 multicast", [0x33, 0x33, 0, 0, 0, 1]),
        group("spanning tree", [0x01, 0x80, 0xc2, 0, 0, 0]),
    ]
}

fn source() -> Vec<Fixture> {
    let from = |source| with_source(known_unicast(), source);
    let moved = Fixture::new("source of another port", Verdict::SourceMoved, known_unicast());
    let expired =
        Fixture::new("source whose lease is over", Verdict::SourceExpired, known_unicast());
    vec![
        Fixture::new("source zero", Verdict::SourceInvalid, from(Mac::default())),
        Fixture::new("group source", Verdict::SourceInvalid, from(Mac([3, 0, 0, 0, 0, 0x21]))),
        Fixture::new("broadcast source", Verdict::SourceInvalid, from(Mac::BROADCAST)),
        Fixture::new("unknown source", Verdict::SourceUnknown, from(STRANGER)),
        Fixture::new("recycled source", Verdict::SourceUnknown, known_unicast())
            .over(|tables| station(tables, RED_MAC).key.0 += 1),
        moved.over(|tables| station(tables, RED_MAC).port = BLUE),
        // The machine has been up for longer than a nanosecond.
        expired.over(|tables| station(tables, RED_MAC).lease = Lease(1)),
    ]
}

fn destination() -> Vec<Fixture> {
    let to_blue = |name, verdict| Fixture::new(name, verdict, known_unicast());
    let to = |destination| with_destination(known_unicast(), destination);
    vec![
        Fixture::new("unknown destination", Verdict::DestinationUnknown, to(STRANGER)),
        Fixture::new("destination zero", Verdict::DestinationUnknown, to(Mac::default())),
        to_blue("recycled destination", Verdict::DestinationUnknown)
            .over(|tables| station(tables, BLUE_MAC).key.0 += 1),
        to_blue("destination is the host", Verdict::DestinationLocal)
            .over(|tables| station(tables, BLUE_MAC).flags = FdbFlags::LOCAL),
        to_blue("destination behind the same port", Verdict::SamePort)
            .over(|tables| station(tables, BLUE_MAC).port = RED),
        Fixture::new("to itself", Verdict::SamePort, to(RED_MAC)),
        to_blue("destination whose lease is over", Verdict::DestinationExpired)
            .over(|tables| station(tables, BLUE_MAC).lease = Lease(1)),
        to_blue("destination that may not receive", Verdict::DestinationIneligible)
            .over(|tables| station(tables, BLUE_MAC).flags = FdbFlags::SOURCE),
        to_blue("destination in another VLAN", Verdict::OtherVlan).over(|tables| {
            station(tables, RED_MAC).vlan = Vlan(10);
            station(tables, BLUE_MAC).vlan = Vlan(20);
        }),
        to_blue("destination in a VLAN, source in none", Verdict::OtherVlan)
            .over(|tables| station(tables, BLUE_MAC).vlan = Vlan(10)),
        to_blue("two isolated ports", Verdict::Isolated).over(|tables| {
            for entry in tables.fdb.values_mut() {
                entry.flags = entry.flags.with(FdbFlags::ISOLATED);
            }
        }),
    ]
}

fn size() -> Vec<Fixture> {
    let fits = |name, frame| Fixture::new(name, Verdict::Redirected, frame);
    let too_big = |name, frame| Fixture::new(name, Verdict::TooBig, frame);
    let malformed = |name, frame| Fixture::new(name, Verdict::Malformed, frame);
    let unknown = |name, frame| Fixture::new(name, Verdict::GsoUnknown, frame).gso(1000, 3);
    vec![
        malformed("IPv4 type, version 6", with_version(ipv4(UDP, 0, 0, 100), 0x65)),
        malformed("IPv4 header of four words", with_version(ipv4(UDP, 0, 0, 100), 0x44)),
        malformed("IPv6 type, version 4", with_version(ipv6(UDP, 0, 100), 0x45)),
        fits("the MTU exactly", ipv4(UDP, 0, 0, ETHERNET_BYTES + 1500)),
        too_big("a byte more than the MTU", ipv4(UDP, 0, 0, ETHERNET_BYTES + 1501)),
        // As far as BPF_PROG_TEST_RUN goes: it takes what fits a page.
        too_big("jumbo", ipv4(UDP, 0, 0, 3000)),
        fits("jumbo to a target that takes it", ipv4(UDP, 0, 0, 3000))
            .over(|tables| station(tables, BLUE_MAC).mtu_bytes = 9000),
        fits("GSO, TCP over IPv4", ipv4(TCP, 0, 3, 3000)).gso(1448, 2),
        too_big("GSO, TCP over IPv4, a byte more", ipv4(TCP, 0, 3, 3000)).gso(1449, 2),
        fits("GSO, TCP over IPv4 with options", ipv4(TCP, 10, 10, 3000)).gso(1380, 3),
        too_big("GSO, TCP over IPv4 with options, a byte more", ipv4(TCP, 10, 10, 3000))
            .gso(1381, 3),
        fits("GSO, TCP over IPv6", ipv6(TCP, 3, 3000)).gso(1428, 3),
        too_big("GSO, TCP over IPv6, a byte more", ipv6(TCP, 3, 3000)).gso(1429, 3),
        fits("GSO, UDP over IPv4", ipv4(UDP, 0, 0, 3000)).gso(1472, 3),
        too_big("GSO, UDP over IPv4, a byte more", ipv4(UDP, 0, 0, 3000)).gso(1473, 3),
        fits("GSO, UDP over IPv6", ipv6(UDP, 0, 3000)).gso(1452, 3),
        fits("GSO whose segments nobody counted", ipv4(TCP, 0, 3, 3000)).gso(1448, 0),
        unknown("GSO, GRE", ipv4(GRE, 0, 0, 3000)),
        unknown("GSO, IPv6 extension header", ipv6(0, 0, 3000)),
        unknown("GSO, ends before the data offset of TCP", ipv4(TCP, 0, 0, ETHERNET_BYTES + 32)),
    ]
}

#[test]
#[ignore = "needs root"]
fn each_frame_gets_its_verdict_and_moves_its_counter_only() {
    for kind in Kind::ALL {
        for fixture in of(kind) {
            fixture.check(kind);
        }
    }
}

/// What is half written in the near table, or of another release of the entry, is not used.
#[test]
#[ignore = "needs root"]
fn near_entry_that_is_being_written_is_passed_by() {
    for kind in Kind::ALL {
        for version in [0, 1, 3] {
            let tables = two_stations(RED, BLUE);
            let mut program = Program::load(kind, &tables);
            // A trap: whoever takes this sends the frame back to where it came from.
            let trap = FdbEntry { port: RED, version, ..tables.fdb[&BLUE_MAC] };
            program.set_near(trap.key, trap);
            program.run(&known_unicast(), Gso::NONE, 1).expect("the kernel runs it");
            let moved: Vec<_> = program.moved().into_keys().collect();
            assert_eq!(moved, [(RED_SLOT, Verdict::Redirected)], "{}, {version}", kind.name());
        }
    }
}

#[test]
#[ignore = "needs root"]
fn counters_add_up_over_frames() {
    for kind in Kind::ALL {
        let mut program = Program::load(kind, &two_stations(RED, BLUE));
        for frame in [known_unicast(), broadcast(), known_unicast()] {
            program.run(&frame, Gso::NONE, 1).expect("the kernel runs it");
        }
        let counter = |frames, bytes| Counter { frames, bytes, segments: frames };
        let wanted = Moved::from([
            ((RED_SLOT, Verdict::Redirected), counter(2, 128)),
            ((RED_SLOT, Verdict::Broadcast), counter(1, 42)),
        ]);
        assert_eq!(program.moved(), wanted, "{}", kind.name());
    }
}

#[test]
#[ignore = "needs root"]
fn kernel_does_not_run_a_runt() {
    for kind in Kind::ALL {
        let mut program = Program::load(kind, &two_stations(RED, BLUE));
        let runt = &ethernet(BLUE_MAC, RED_MAC, IPV4)[..ETHERNET_BYTES - 1];
        let error = program.run(runt, Gso::NONE, 1).expect_err("a runt");
        assert_eq!(errno_of(&error), Some(Errno::EINVAL), "{}", kind.name());
        assert_eq!(program.moved(), Moved::new(), "{}", kind.name());
    }
}

/// Newer kernels look into the IP header themselves and refuse what ends within it
/// (`bpf_prog_test_run_skb`). So the fixtures of `wire` have such frames.
#[test]
#[ignore = "needs root"]
fn kernel_does_not_run_a_truncated_frame_or_the_program_sees_that_it_is() {
    for frame in [ipv4(UDP, 0, 0, 42), ipv6(UDP, 0, 62)] {
        let mut program = Program::load(Kind::Tc, &two_stations(RED, BLUE));
        let truncated = &frame[..ETHERNET_BYTES + 19];
        let wanted = if let Err(error) = program.run(truncated, Gso::NONE, 1) {
            assert_eq!(errno_of(&error), Some(Errno::EINVAL));
            Moved::new()
        } else {
            let counter = Counter { frames: 1, bytes: 33, segments: 1 };
            Moved::from([((RED_SLOT, Verdict::Truncated), counter)])
        };
        assert_eq!(program.moved(), wanted);
    }
}

fn errno_of(error: &(dyn std::error::Error + 'static)) -> Option<Errno> {
    std::iter::successors(Some(error), |error| error.source())
        .find_map(|error| error.downcast_ref::<std::io::Error>())
        .and_then(std::io::Error::raw_os_error)
        .map(Errno::from_raw)
}
