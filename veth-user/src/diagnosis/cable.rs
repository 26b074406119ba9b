//! A pair is a cable: it carries when both ends are up.

use super::{Code, Facts, Finding, Place};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    facts.pairs.iter().filter_map(|ends| pair_is_down(facts, *ends)).collect()
}

fn pair_is_down(facts: &Facts, ends: [Place; 2]) -> Option<Finding> {
    let is_up = |place: &Place| facts.link(*place).is_some_and(|link| link.is_up);
    let down: Vec<Place> = ends.into_iter().filter(|it| !is_up(it)).collect();
    let [first, rest @ ..] = down.as_slice() else { return None };
    let [one, other] = ends.map(|it| facts.name(it));
    let cause = if rest.is_empty() {
        let (down, up) = if *first == ends[0] { (one, other) } else { (other, one) };
        format!("{down} is down, so {up} has no carrier either")
    } else {
        format!("{one} and {other}, two ends of one pair, are both down")
    };
    let set_up: Vec<String> = down
        .iter()
        .map(|it| facts.at(*it).shell.ip(format_args!("link set dev {} up", facts.word(*it))))
        .collect();
    let mut finding = Finding::at(facts, *first, Code::EndDown, cause);
    for place in ends {
        let state = if is_up(&place) { "UP" } else { "not UP" };
        // `ip` knows of the other end only where it is in the same namespace.
        let carrier = match (is_up(&place), ends[0].netns == ends[1].netns) {
            (true, true) => " and NO-CARRIER (M-DOWN)",
            (true, false) => " and NO-CARRIER",
            (false, _) => "",
        };
        finding = finding.because(format!("{} is {state}{carrier}", facts.name(place)));
    }
    Some(finding.try_this(set_up.join(" && ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::made_up::{World, codes};

    #[test]
    fn end_that_is_down_is_named_with_its_namespace() {
        let mut world = World::default();
        let [red, blue] = world.pair("red", "blue");
        assert_eq!(codes(&check(&world.facts)), []);

        world.link(blue).is_up = false;
        let findings = check(&world.facts);
        assert_eq!(codes(&findings), [Code::EndDown]);
        assert_eq!(findings[0].cause, "blue in blue is down, so red in red has no carrier either");
        assert_eq!(findings[0].remedy.as_deref(), Some("ip -n blue link set dev blue up"));
        assert_eq!(findings[0].evidence[0], "red in red is UP and NO-CARRIER");
        assert_eq!(findings[0].netns.as_ref().map(|it| it.label.as_str()), Some("blue"));

        world.link(red).is_up = false;
        let findings = check(&world.facts);
        let both = "ip -n red link set dev red up && ip -n blue link set dev blue up";
        assert_eq!(findings[0].remedy.as_deref(), Some(both));
    }
}
