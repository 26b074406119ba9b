//! Packet filters: named where they may be the cause, and not judged.

use super::{Code, Facts, Finding, Place};
use crate::view::FilterHook;

/// What may drop a packet at `hook` of the namespace of `place`.
pub(super) fn may_drop(facts: &Facts, place: Place, hook: FilterHook) -> Option<Finding> {
    let chains = facts.at(place).filters.chains.iter().filter(|it| it.hook == hook && it.drops);
    let chains: Vec<String> =
        chains.map(|it| format!("table {}, chain {}: policy drop", it.table, it.name)).collect();
    if chains.is_empty() {
        return None;
    }
    let what = match hook {
        FilterHook::Prerouting => "comes in",
        FilterHook::Input => "is for it",
        FilterHook::Forward => "goes through it",
        FilterHook::Output => "it sends",
        FilterHook::Postrouting => "leaves",
    };
    let cause = format!(
        "a packet filter of {} drops what {what} unless a rule lets it through: look there",
        facts.netns_name(place.netns)
    );
    let mut finding = Finding::at(facts, place, Code::Filtered, cause);
    finding.evidence = chains;
    Some(finding.try_this(facts.at(place).shell.run("nft list ruleset")))
}
