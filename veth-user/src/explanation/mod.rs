//! Why one frame gets the verdict that it gets, step by step.
//!
//! What the maps hold for the frame comes in as [`Entries`], steps come out. The verdict is that of
//! `veth_ebpf::forward::decide`, the very function that the programs are made of, so no copy of it
//! can come to differ; the steps are the checks that stand before that verdict. Where the entries come
//! from, and what the kernel makes of the frame, is left to others.

mod check;
mod entries;
pub mod frame;
#[cfg(test)]
mod tests;

use serde::Serialize;
use veth_common::{Ifindex, Verdict};
use veth_ebpf::{forward, header::Ethernet, packet::Bytes};

pub use check::Check;
pub use entries::{Entries, Lookup};

/// What becomes of a frame, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// The port whose peer gets the frame, or would, as far as that is known.
    pub target: Option<Ifindex>,
    /// The checks in their order. All pass, but the last one when the frame is left to the bridge.
    pub steps: Vec<Step>,
}

/// One check of the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    pub check: Check,
    /// Whether the frame gets past it.
    pub passed: bool,
    /// What was found, a sentence.
    pub text: String,
}

/// Explains what becomes of `frame`, given what the maps hold for it. `name` says what a port is called.
pub fn explain(
    frame: &Bytes<'_>,
    entries: &Entries,
    name: &dyn Fn(Ifindex) -> String,
) -> Explanation {
    let decision = forward::decide(frame, entries.ingress, entries);
    // The one check that is not in `decide`: the devmap may have lost the device.
    let has_lost_device = decision.verdict == Verdict::Redirected && entries.lacks_device;
    let verdict = if has_lost_device { Verdict::DestinationIneligible } else { decision.verdict };
    let last = Check::that_ends(verdict, has_lost_device);
    let ethernet = Ethernet::of(frame);
    let target = ethernet.as_ref().and_then(|it| entries.target_of(it)).map(|entry| entry.port);
    let facts = check::Facts { frame, ethernet, entries, name };
    let mut steps = Vec::new();
    for check in Check::ALL {
        let ends = last == Some(check);
        if ends || facts.is_made(check) {
            steps.push(Step { check, passed: !ends, text: facts.sentence(check, !ends) });
        }
        if ends {
            break;
        }
    }
    Explanation { verdict, target, steps }
}
