//! Captures: what each of the programs puts into the ring buffer, and what that costs.

use veth_common::{CAPTURE_SNAPLEN_MAX, CaptureRule, Ifindex, Verdict};
use veth_user::capture::Captured;

use crate::{
    fixtures::known_unicast,
    program::{Gso, Kind, Program, two_stations},
};

/// Everything, for ever.
const ALL: CaptureRule = CaptureRule {
    until_ns: u64::MAX,
    verdicts: u64::MAX,
    session: 7,
    snaplen_bytes: CAPTURE_SNAPLEN_MAX,
    sample: 1,
    ..CaptureRule::OFF
};

fn captured(kind: Kind, rule: CaptureRule, frame: &[u8]) -> Vec<Captured> {
    let mut program = Program::load(kind, &two_stations(Ifindex(1), Ifindex(6)));
    program.set_capture(rule);
    program.run(frame, Gso::NONE, 1).expect("the kernel runs it");
    let records = program.captured();
    records.iter().map(|record| Captured::parse(record).expect("is a record")).collect()
}

#[test]
#[ignore = "needs root"]
fn captured_frame_is_the_frame_that_came() {
    // One for each size of records.
    for more in [0, 100, 600] {
        let mut frame = known_unicast();
        frame.resize(frame.len() + more, 0xda);
        for kind in Kind::ALL {
            let frames = captured(kind, ALL, &frame);
            let [it] = &frames[..] else { panic!("{}: {frames:?}", kind.name()) };
            let most =
                if kind == Kind::XdpLinear { frame.len().min(128) & !1 } else { frame.len() };
            assert_eq!(it.bytes, frame[..most], "{}", kind.name());
            assert_eq!(it.len_bytes as usize, frame.len(), "{}", kind.name());
            assert_eq!((it.verdict, it.target), (Verdict::Redirected, Some(Ifindex(6))));
            assert_eq!((it.session, it.ingress), (7, Ifindex(1)));
        }
    }
}

#[test]
#[ignore = "needs root"]
fn rule_that_is_over_or_about_others_captures_nothing() {
    let others = [
        CaptureRule { until_ns: 1, ..ALL },
        CaptureRule { until_ns: 0, ..ALL },
        CaptureRule { port: Ifindex(6), ..ALL },
        CaptureRule { peer: Ifindex(1), ..ALL },
        CaptureRule { verdicts: !(1 << Verdict::Redirected as u64), ..ALL },
    ];
    for kind in Kind::ALL {
        for rule in others {
            assert_eq!(captured(kind, rule, &known_unicast()), [], "{}: {rule:?}", kind.name());
        }
        let same = CaptureRule { port: Ifindex(1), peer: Ifindex(6), snaplen_bytes: 20, ..ALL };
        let frames = captured(kind, same, &known_unicast());
        assert_eq!(frames.len(), 1, "{}", kind.name());
        assert_eq!(frames[0].bytes, known_unicast()[..20], "{}", kind.name());
    }
}

#[test]
#[ignore = "needs root"]
fn bucket_gives_what_it_holds_and_no_more() {
    // Five tokens, and none again in the time of a test.
    const HOUR_NS: u64 = 3_600_000_000_000;
    let rule = CaptureRule { interval_ns: HOUR_NS, burst_ns: 4 * HOUR_NS, ..ALL };
    for kind in Kind::ALL {
        let mut program = Program::load(kind, &two_stations(Ifindex(1), Ifindex(6)));
        program.set_capture(rule);
        // On one CPU, as far as nobody moves the test.
        program.run(&known_unicast(), Gso::NONE, 1000).expect("the kernel runs it");
        assert_eq!(program.captured().len(), 5, "{}", kind.name());
    }
}

/// Printed, not judged, like the time without a capture.
#[test]
#[ignore = "needs root"]
fn time_per_captured_frame() {
    /// As many as the ring buffer has room for.
    const ROOM: u32 = 20_000;
    for kind in Kind::ALL {
        for (name, runs) in [("captured", ROOM), ("lost for want of room", 1_000_000)] {
            let mut program = Program::load(kind, &two_stations(Ifindex(1), Ifindex(6)));
            program.set_capture(CaptureRule { snaplen_bytes: 96, ..ALL });
            let (result, _) =
                program.run(&known_unicast(), Gso::NONE, runs).expect("the kernel runs it");
            let duration = result.duration.as_nanos();
            println!("{}, {name}: {duration} ns/frame ({runs} runs)", kind.name());
        }
    }
}
