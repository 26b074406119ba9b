//! The programs in the real kernel: one frame in, one verdict, exactly one counter moved.
//!
//! Most verdicts are had from `BPF_PROG_TEST_RUN`, which runs a program on a frame that never
//! was on a wire ([`fixtures`] for all of them, [`xdp`] for what only XDP programs do). What the
//! kernel does not let the tc program run on comes over a veth pair ([`wire`]). The cost of a frame is printed by [`time_per_frame`].
//!
//! Maps are each test's own and never pinned; they go with the test.

mod capture;
mod explained;
mod fixtures;
mod frame;
mod pairs;
mod program;
mod time_per_frame;
mod wire;
mod xdp;

use std::collections::BTreeSet;

use veth_common::Verdict;

use program::Kind;

/// Verdicts that no frame can bring about in a kernel, and why the program has them.
const UNREACHABLE: (Verdict, &str) = (
    Verdict::Runt,
    "BPF_PROG_TEST_RUN refuses frames shorter than ETH_HLEN with EINVAL (bpf_test_init), a packet \
     socket does not send them (dev_validate_header), and veth_xmit drops what it cannot pull \
     ETH_HLEN bytes of: the check is there for the verifier. The host tests of `decide` cover it",
);

/// The same for the XDP programs only.
const UNREACHABLE_BY_XDP: (Verdict, &str) =
    (Verdict::GsoUnknown, "XDP frames have no segments: their senders have it turned off");

#[test]
fn every_verdict_has_a_fixture() {
    let mut covered: BTreeSet<_> = fixtures::all().iter().map(|it| it.verdict).collect();
    covered.extend(wire::fixtures().iter().map(|it| it.verdict));
    all_but(&[UNREACHABLE], covered);
}

#[test]
fn every_verdict_that_xdp_can_give_has_a_fixture() {
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_xdp()) {
        let fixtures = fixtures::of(kind).into_iter().chain(xdp::fixtures(kind));
        let covered = fixtures.map(|it| it.verdict).collect();
        all_but(&[UNREACHABLE, UNREACHABLE_BY_XDP], covered);
    }
}

#[track_caller]
fn all_but(unreachable: &[(Verdict, &str)], mut covered: BTreeSet<Verdict>) {
    for (verdict, reason) in unreachable {
        assert!(covered.insert(*verdict), "has a fixture after all, in spite of: {reason}");
    }
    let missing: Vec<_> =
        Verdict::ALL.into_iter().filter(|verdict| !covered.contains(verdict)).collect();
    assert!(missing.is_empty(), "without a fixture: {missing:?}");
}
