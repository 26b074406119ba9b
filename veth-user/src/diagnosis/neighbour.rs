//! Neighbours that did not answer: the trace that a ping leaves.

use super::{Code, Facts, Finding, Place, Routes, Segments};
use crate::view::Way;

pub(super) fn check(facts: &Facts, segments: &Segments, routes: &mut dyn Routes) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (netns, here) in facts.namespaces.iter().enumerate() {
        for silent in &here.silent {
            let place = Place { netns, link: silent.link };
            let Some(segment) = segments.at(place) else { continue };
            // What was asked for where it is not sent any more is history.
            match routes.way(netns, silent.ip) {
                Some(Way::Out { link, gateway: None, .. }) if link == silent.link => {}
                _ => continue,
            }
            let (ip, name) = (silent.ip, facts.name(place));
            let who = match segment.owner(facts, ip) {
                Some(owner) => format!("{} has it", facts.name(owner)),
                None if segment.is_closed => "no device on that segment has it".into(),
                None => "none of the devices in sight has it".into(),
            };
            let state = if silent.has_failed { "FAILED" } else { "INCOMPLETE" };
            let cause = format!("nobody answered when {name} asked who has {ip}; {who}");
            let mut finding = Finding::at(facts, place, Code::NeighbourSilent, cause)
                .because(format!("ip neigh: {ip} dev {} {state}", facts.word(place)));
            if let Some(from) = here.shell.as_argument() {
                finding = finding.try_this(format!("veth doctor --from {from} --to {ip}"));
            }
            findings.push(finding);
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        diagnosis::made_up::{World, codes, ip},
        view::SilentNeighbour,
    };

    #[test]
    fn silent_neighbour_is_told_with_who_has_the_address() {
        let mut world = World::default();
        let [red, blue] = world.pair("red", "blue");
        world.address(blue, "10.0.0.2/24");
        for last in ["10.0.0.2", "10.0.0.9"] {
            let silent = SilentNeighbour { ip: ip(last), link: red.link, has_failed: true };
            world.facts.namespaces[red.netns].silent.push(silent);
        }
        // Nothing leads there.
        assert_eq!(codes(&check(&world.facts, &world.segments(), &mut world.routes())), []);
        world.address(red, "10.0.0.1/24");
        // Nor through this device, any more.
        let elsewhere = Way::Out { link: blue.link, gateway: None, source: None };
        let routes = ["10.0.0.2", "10.0.0.9"];
        let mut routes =
            routes.iter().fold(world.routes(), |routes, to| routes.with(red.netns, to, elsewhere));
        assert_eq!(codes(&check(&world.facts, &world.segments(), &mut routes)), []);
        let findings = check(&world.facts, &world.segments(), &mut world.routes());
        assert_eq!(codes(&findings), [Code::NeighbourSilent; 2]);
        assert!(findings[0].cause.ends_with("; blue in blue has it"));
        assert!(findings[1].cause.ends_with("; no device on that segment has it"));
        let remedy = findings[1].remedy.as_deref();
        assert_eq!(remedy, Some("veth doctor --from red --to 10.0.0.9"));
    }
}
