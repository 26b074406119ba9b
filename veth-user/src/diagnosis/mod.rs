//! Why frames do not get from here to there: what was seen comes in as [`Facts`], findings come out.
//!
//! A finding names one cause, says what was read, and what to type. A rule says something only
//! where it is certain: what other setups do on purpose is no finding. Where the facts come from is
//! left to others; the one question that the facts cannot answer beforehand is which [`Way`] a
//! packet takes, and is asked through [`Routes`].

mod address;
mod bridge;
mod cable;
mod code;
mod facts;
mod fast_path;
mod filter;
mod finding;
mod gateway;
mod host_side;
mod neighbour;
mod reach;
mod same_netns;
mod segment;
mod shell;
mod trace;

#[cfg(test)]
mod made_up;

use std::{collections::BTreeSet, net::IpAddr};

pub use crate::report::plain;
pub use bridge::{is_incomplete, is_left_over};
pub use code::{Code, Severity};
pub use facts::{
    Acceleration, BridgeFacts, Facts, Filters, NamespaceFacts, Owner, Place, Setting, Settings,
};
pub use finding::{Finding, Whereabouts};
pub use segment::{Segment, Segments};
pub use shell::{Shell, quoted};
pub use trace::{Trace, trace};

use crate::view::Way;

/// Answers which way packets take.
pub trait Routes {
    /// The way of a packet that namespace `netns` of the facts sends to `destination`; `None` when
    /// that cannot be asked.
    fn way(&mut self, netns: usize, destination: IpAddr) -> Option<Way>;
}

/// Everything that is wrong.
pub fn diagnose(facts: &Facts, segments: &Segments, routes: &mut dyn Routes) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(cable::check(facts));
    findings.extend(bridge::check(facts, segments));
    findings.extend(host_side::check(facts, segments, routes));
    findings.extend(same_netns::check(facts));
    findings.extend(address::check(facts, segments));
    findings.extend(reach::check(facts, segments, routes));
    findings.extend(gateway::check(facts, segments, routes));
    findings.extend(fast_path::check(facts));
    findings.extend(neighbour::check(facts, segments, routes));
    findings.sort_by_key(|finding| (finding.severity, finding.code));
    findings
}

/// Keeps what is about the segments of `chosen`, and what is about no place in particular.
pub fn keep_about(findings: &mut Vec<Finding>, segments: &Segments, chosen: &BTreeSet<Place>) {
    let is_chosen =
        |place: Place| chosen.iter().any(|it| *it == place || segments.are_joined(*it, place));
    findings.retain(|finding| finding.place.is_none_or(is_chosen));
}
