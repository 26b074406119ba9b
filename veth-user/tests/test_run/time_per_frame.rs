//! What the program costs for one frame, as the kernel measures it. Printed, not judged: the
//! figures say something on an idle machine only.
//!
//! They are for the program alone, in a loop over one frame with warm caches: no interrupt, no
//! delivery, and no hop to the target.

use veth_common::{Ifindex, Lease, Mac, Verdict};
use veth_user::forwarding::Tables;

use crate::{
    fixtures::known_unicast,
    frame::{ARP, BLUE_MAC, RED_MAC, TCP, ethernet, ipv4, with_source},
    program::{Gso, Kind, Program, station, two_stations},
};

const RUNS: u32 = 1_000_000;

#[test]
#[ignore = "needs root"]
fn time_per_frame() {
    let forever = two_stations(Ifindex(1), Ifindex(6));
    let mut ending = forever.clone();
    for mac in [RED_MAC, BLUE_MAC] {
        station(&mut ending, mac).lease = Lease(u64::MAX - 1);
    }
    let stranger = with_source(known_unicast(), Mac([0x02, 0, 0, 0, 0, 0x99]));
    let mut arp = ethernet(Mac::BROADCAST, RED_MAC, ARP);
    arp.resize(42, 0);
    // 64 KiB in 45 segments as far as the program can tell: it reads the headers and the
    // segment size, and BPF_PROG_TEST_RUN takes no more bytes than fit a page.
    let tcp_64_kib = Gso { size_bytes: 1448, segments: 45 };

    let gso = ipv4(TCP, 0, 3, 3000);
    let cases = [
        ("known unicast", &known_unicast(), Gso::NONE, &forever, Verdict::Redirected),
        (
            "known unicast, leases that end",
            &known_unicast(),
            Gso::NONE,
            &ending,
            Verdict::Redirected,
        ),
        ("GSO TCP, 45 segments", &gso, tcp_64_kib, &forever, Verdict::Redirected),
        ("unknown source", &stranger, Gso::NONE, &forever, Verdict::SourceUnknown),
        ("broadcast", &arp, Gso::NONE, &forever, Verdict::Broadcast),
    ];
    for kind in Kind::ALL {
        for (name, frame, gso, tables, verdict) in cases {
            if gso.size_bytes == 0 || !kind.is_xdp() {
                measure(kind, name, frame, gso, tables, verdict);
            }
        }
    }
}

fn measure(kind: Kind, name: &str, frame: &[u8], gso: Gso, tables: &Tables, verdict: Verdict) {
    let mut program = Program::load(kind, tables);
    let (result, _) = program.run(frame, gso, RUNS).expect("the kernel runs it");
    let moved = program.moved();
    let (_, counter) = moved.iter().find(|((_, it), _)| *it == verdict).expect(name);
    assert_eq!(counter.frames, u64::from(RUNS), "{name}: another frame than the one meant");
    println!("{}, {name}: {} ns/frame ({RUNS} runs)", kind.name(), result.duration.as_nanos());
}
