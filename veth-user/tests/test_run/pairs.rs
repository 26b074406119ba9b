//! Pairs: what each of the programs counts while somebody wants to know, and what that costs.

use std::collections::BTreeMap;

use veth_common::{Counter, Ifindex, Mac, PAIRS_MAX, Pair, PortSlot};

use crate::{
    fixtures::known_unicast,
    frame::with_source,
    program::{BLUE_SLOT, Gso, Kind, Program, RED_SLOT, two_stations},
};

const RED_TO_BLUE: Pair = Pair { source: RED_SLOT, target: BLUE_SLOT };

/// For ever.
const ON: u64 = u64::MAX;

fn load(kind: Kind) -> Program {
    Program::load(kind, &two_stations(Ifindex(1), Ifindex(6)))
}

/// So many frames of that length.
fn frames(count: u64, frame: &[u8]) -> Counter {
    Counter { frames: count, bytes: count * frame.len() as u64, segments: count }
}

#[test]
#[ignore = "needs root"]
fn frames_are_counted_by_who_sent_them_and_who_got_them() {
    let frame = known_unicast();
    for kind in Kind::ALL {
        let mut program = load(kind);
        program.set_pairs(ON);
        program.run(&frame, Gso::NONE, 5).expect("the kernel runs it");
        let counted = BTreeMap::from([(RED_TO_BLUE, frames(5, &frame))]);
        assert_eq!(program.pairs(), counted, "{}", kind.name());
    }
}

#[test]
#[ignore = "needs root"]
fn segments_of_a_pair_are_those_of_its_frames() {
    let mut program = load(Kind::Tc);
    program.set_pairs(ON);
    let frame = crate::frame::ipv4(crate::frame::TCP, 0, 3, 3000);
    program.run(&frame, Gso { size_bytes: 1448, segments: 45 }, 2).expect("the kernel runs it");
    assert_eq!(program.pairs()[&RED_TO_BLUE], Counter { segments: 90, ..frames(2, &frame) });
}

#[test]
#[ignore = "needs root"]
fn nothing_is_counted_that_nobody_asks_for_or_that_the_bridge_gets() {
    for kind in Kind::ALL {
        for until_ns in [0, 1] {
            let mut program = load(kind);
            program.set_pairs(until_ns);
            program.run(&known_unicast(), Gso::NONE, 5).expect("the kernel runs it");
            assert_eq!(program.pairs(), BTreeMap::new(), "{} until {until_ns}", kind.name());
        }
        let mut program = load(kind);
        program.set_pairs(ON);
        let stranger = with_source(known_unicast(), Mac([0x02, 0, 0, 0, 0, 0x99]));
        program.run(&stranger, Gso::NONE, 5).expect("the kernel runs it");
        assert_eq!(program.pairs(), BTreeMap::new(), "{}", kind.name());
    }
}

#[test]
#[ignore = "needs root"]
fn pairs_that_there_is_no_room_for_are_counted_together() {
    let frame = known_unicast();
    for kind in Kind::ALL {
        let mut program = load(kind);
        program.set_pairs(ON);
        // One place is taken by the entry for all others.
        for number in 1..PAIRS_MAX {
            let [source, target] = [number / 1000, number % 1000]
                .map(|it| PortSlot(u16::try_from(500 + it).expect("is small")));
            program.add_pair(Pair { source, target });
        }
        program.run(&frame, Gso::NONE, 5).expect("the kernel runs it");
        let counted = BTreeMap::from([(Pair::OTHERS, frames(5, &frame))]);
        assert_eq!(program.pairs(), counted, "{}", kind.name());
    }
}

/// Printed, not judged, like the time without pairs.
#[test]
#[ignore = "needs root"]
fn time_per_frame_of_a_counted_pair() {
    const RUNS: u32 = 1_000_000;
    for kind in Kind::ALL {
        let mut program = load(kind);
        program.set_pairs(ON);
        let (result, _) =
            program.run(&known_unicast(), Gso::NONE, RUNS).expect("the kernel runs it");
        println!("{}: {} ns/frame ({RUNS} runs)", kind.name(), result.duration.as_nanos());
    }
}
