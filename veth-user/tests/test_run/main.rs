//! The program in the real kernel: one frame in, one verdict, exactly one counter moved.
//!
//! Most verdicts are had from `BPF_PROG_TEST_RUN`, which runs the program on a frame that never
//! was on a wire ([`fixtures`]). What the kernel does not let it run on comes over a veth pair
//! ([`wire`]). The cost of a frame is printed by [`time_per_frame`].
//!
//! Maps are each test's own and never pinned; they go with the test.

mod fixtures;
mod frame;
mod program;
mod time_per_frame;
mod wire;

use std::collections::BTreeSet;

use veth_common::Verdict;

/// Verdicts that no frame can bring about in a kernel, and why the program has them.
const UNREACHABLE: [(Verdict, &str); 1] = [(
    Verdict::Runt,
    "BPF_PROG_TEST_RUN refuses frames shorter than ETH_HLEN with EINVAL (bpf_test_init), a packet \
     socket does not send them (dev_validate_header), and veth_xmit drops what it cannot pull \
     ETH_HLEN bytes of: the check is there for the verifier. The host tests of `decide` cover it",
)];

#[test]
fn every_verdict_has_a_fixture() {
    let mut covered: BTreeSet<_> = fixtures::all().iter().map(|it| it.verdict).collect();
    covered.extend(wire::fixtures().iter().map(|it| it.verdict));
    for (verdict, reason) in UNREACHABLE {
        assert!(covered.insert(verdict), "has a fixture after all, in spite of: {reason}");
    }
    let missing: Vec<_> =
        Verdict::ALL.into_iter().filter(|verdict| !covered.contains(verdict)).collect();
    assert!(missing.is_empty(), "without a fixture: {missing:?}");
}
