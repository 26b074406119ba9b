//! The comparison of pairs that are wanted with those that are there.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    EndClaim, FoundEnd, NetnsState, Observed, PEER_NAME, PairStep, PortPresence, Step,
    diff::{Steps, foreign},
};
use crate::{
    topology::{DeviceName, EndName, EndRoute, Namespace, NetnsName, Pair, PairEnd, Topology},
    view::Address,
};

/// The part of a plan that is about pairs, and about namespaces that only have these.
#[derive(Default)]
pub(super) struct PairPlan {
    /// What is in the way of something wanted, and is removed before that is made.
    pub(super) make_room: Vec<Step>,
    /// What is made and changed.
    pub(super) build: Vec<Step>,
    /// What is removed last.
    pub(super) clear: Vec<Step>,
    /// What is not ours and in the way.
    pub(super) conflicts: Vec<String>,
}

/// The steps for the pairs of `topology`.
pub(super) fn plan(topology: &Topology, observed: &Observed) -> PairPlan {
    let mut comparison = Comparison {
        found: by_name(observed),
        observed,
        mtu_bytes: topology.mtu().bytes(),
        made: HashSet::new(),
        steps: Steps::default(),
        plan: PairPlan::default(),
    };
    let leaving = comparison.add_portless(topology);
    let (intact, broken): (Vec<&Pair>, Vec<&Pair>) =
        topology.pairs().iter().partition(|pair| comparison.is_intact(pair));
    comparison.remove_surplus(topology, &intact);
    for pair in broken {
        comparison.make(pair, &leaving);
    }
    let ends = || topology.pairs().iter().flat_map(Pair::ends);
    ends().for_each(|end| comparison.mend_device(end));
    comparison.set_sysctls(ends());
    ends().for_each(|end| comparison.mend_settings(end));
    // A route needs its device up, and so does the way to its gateway.
    ends().for_each(|end| comparison.add_routes(end));
    let Comparison { mut plan, steps, .. } = comparison;
    plan.build = steps.list;
    plan.conflicts.extend(steps.conflicts);
    plan
}

/// The steps that remove all pairs that are ours.
pub(super) fn plan_removal(observed: &Observed) -> Vec<Step> {
    let found = by_name(observed);
    let mut seen = HashSet::new();
    let ours = observed.ends.iter().filter(|end| is_ours(end));
    delete(ours.filter(|end| seen.insert(identity(&found, end))))
}

fn by_name(observed: &Observed) -> HashMap<&EndName, &FoundEnd> {
    observed.ends.iter().map(|end| (&end.name, end)).collect()
}

struct Comparison<'a> {
    observed: &'a Observed,
    found: HashMap<&'a EndName, &'a FoundEnd>,
    mtu_bytes: u32,
    /// The ends of pairs that are made anew: they have nothing of what was found at their names.
    made: HashSet<&'a EndName>,
    steps: Steps,
    plan: PairPlan,
}

impl<'a> Comparison<'a> {
    /// Makes and mends the namespaces without a port. Ports that lead to them are removed; those
    /// of namespaces in which an end takes the place of the peer, at once: these are returned.
    fn add_portless(&mut self, topology: &'a Topology) -> HashSet<&'a NetnsName> {
        let at_peer: HashSet<&NetnsName> = topology
            .pairs()
            .iter()
            .flat_map(Pair::ends)
            .filter(|end| end.name().ifname.as_str() == PEER_NAME)
            .filter_map(|end| end.name().netns.as_ref())
            .collect();
        let mut leaving = HashSet::new();
        for name in topology.portless() {
            let found = self.observed.member(name);
            match found.map(|member| &member.netns) {
                None | Some(NetnsState::Absent) => self.create_netns(name),
                Some(NetnsState::Remains) => {
                    self.steps.add(Step::RemoveNetns(name.clone()));
                    self.create_netns(name);
                }
                Some(NetnsState::Ours(inside)) => self.steps.mend_netns(name, inside, true),
                Some(NetnsState::Foreign(what)) => {
                    self.plan.conflicts.push(foreign("namespace", name.as_str(), what));
                }
            }
            if let Some(PortPresence::Ours(_)) = found.map(|member| &member.port) {
                let step = Step::DeletePairs(vec![name.clone()]);
                if at_peer.contains(name) {
                    leaving.insert(name);
                    self.plan.make_room.push(step);
                } else {
                    self.plan.clear.push(step);
                }
            }
        }
        leaving
    }

    fn create_netns(&mut self, name: &NetnsName) {
        self.steps.add(Step::Pair(PairStep::CreateNetns(name.clone())));
    }

    /// Whether both ends of `pair` are there, and are ends of one pair.
    fn is_intact(&self, pair: &Pair) -> bool {
        let [a, b] = pair.ends().each_ref().map(|end| self.found.get(end.name()));
        matches!((a, b), (Some(a), Some(b)) if is_one_pair(a, b))
    }

    /// The steps that remove the pair of `end`, in such a way that it can be put back if it is whole.
    fn take_away(&self, end: &FoundEnd) -> Vec<Step> {
        let Some(other) = other_end(&self.found, end) else { return delete([end]) };
        vec![Step::Pair(PairStep::TakeAway(Box::new([end.clone(), other.clone()])))]
    }

    /// Removes the pairs of ours that are not among `intact`: before anything is made, if
    /// something wanted has the name of one of their ends.
    fn remove_surplus(&mut self, topology: &Topology, intact: &[&Pair]) {
        let kept: HashSet<&EndName> =
            intact.iter().flat_map(|pair| pair.ends()).map(PairEnd::name).collect();
        let ends = topology.pairs().iter().flat_map(Pair::ends);
        let wanted: HashSet<&EndName> = ends.map(PairEnd::name).collect();
        let members: HashSet<&NetnsName> =
            topology.namespaces().iter().map(Namespace::name).collect();
        let is_wanted = |name: &EndName| {
            let is_peer = name.ifname.as_str() == PEER_NAME
                && name.netns.as_ref().is_some_and(|netns| members.contains(netns));
            is_peer || wanted.contains(name)
        };
        let surplus = || {
            let ours = self.observed.ends.iter().filter(|end| is_ours(end));
            ours.filter(|end| !kept.contains(&end.name))
        };
        let identity = |end: &FoundEnd| identity(&self.found, end);
        let in_the_way: HashSet<[EndName; 2]> =
            surplus().filter(|end| is_wanted(&end.name)).map(identity).collect();
        let mut seen = HashSet::new();
        let (now, last): (Vec<&FoundEnd>, Vec<&FoundEnd>) = surplus()
            .filter(|end| seen.insert(identity(end)))
            .partition(|end| in_the_way.contains(&identity(end)));
        for end in now {
            let steps = self.take_away(end);
            self.plan.make_room.extend(steps);
        }
        self.plan.clear.splice(..0, delete(last));
    }

    fn make(&mut self, pair: &'a Pair, leaving: &HashSet<&NetnsName>) {
        for end in pair.ends() {
            let name = end.name();
            let is_leaving = name.ifname.as_str() == PEER_NAME
                && name.netns.as_ref().is_some_and(|netns| leaving.contains(netns));
            if let Some(FoundEnd { claim: EndClaim::Foreign(what), .. }) = self.found.get(name)
                && !is_leaving
            {
                self.plan.conflicts.push(format!(
                    "end {name}: {what}; it is left alone: remove it, or choose another ifname"
                ));
            }
            self.made.insert(name);
        }
        self.steps.add(Step::Pair(PairStep::Create {
            ends: pair.names(),
            macs: pair.ends().each_ref().map(PairEnd::mac),
            mtu_bytes: self.mtu_bytes,
        }));
    }

    /// What was found of an end that stays.
    fn kept(&self, end: &PairEnd) -> Option<&'a FoundEnd> {
        self.found.get(end.name()).filter(|_| !self.made.contains(end.name())).copied()
    }

    fn mend_device(&mut self, end: &PairEnd) {
        let Some(FoundEnd { link, .. }) = self.kept(end) else { return };
        let name = || end.name().clone();
        if link.mtu_bytes != self.mtu_bytes {
            let (from, to) = (link.mtu_bytes, self.mtu_bytes);
            self.steps.add(Step::Pair(PairStep::SetMtu { end: name(), from, to }));
        }
        if let Some(from) = link.mac.filter(|mac| *mac != end.mac()) {
            self.steps.add(Step::Pair(PairStep::SetMac { end: name(), from, to: end.mac() }));
        }
    }

    /// Before addresses and before the ends are up: some settings are about how these come.
    fn set_sysctls(&mut self, ends: impl Iterator<Item = &'a PairEnd>) {
        let mut seen = HashSet::new();
        for end in ends {
            let netns = &end.name().netns;
            for sysctl in end.sysctls().iter().filter(|it| seen.insert((netns, &it.name))) {
                let is_new = sysctl.name.device().is_some_and(|device| {
                    let is_it =
                        |made: &&&EndName| made.netns == *netns && made.ifname.as_str() == device;
                    self.made.iter().any(|made| is_it(&made))
                });
                let key = (netns.clone(), sysctl.name.clone());
                let from = self.observed.sysctls.get(&key).filter(|_| !is_new).cloned();
                if from.as_ref() != Some(&sysctl.value) {
                    let ((netns, name), to) = (key, sysctl.value.clone());
                    self.steps.add(Step::Pair(PairStep::SetSysctl { netns, name, from, to }));
                }
            }
        }
    }

    fn mend_settings(&mut self, end: &PairEnd) {
        let found = self.kept(end);
        let name = || end.name().clone();
        let (have, want) = addresses(found, end);
        // The kernel drops routes with the last address, and not always the same ones.
        let obsolete = |route: &&EndRoute| have != want || !end.routes().contains(route);
        for route in found.iter().flat_map(|found| &found.routes).filter(obsolete) {
            self.steps.add(Step::Pair(PairStep::RemoveRoute(name(), *route)));
        }
        for address in have.iter().filter(|address| !want.contains(address)) {
            self.steps.add(Step::Pair(PairStep::RemoveAddress(name(), *address)));
        }
        for address in want.iter().filter(|address| !have.contains(address)) {
            self.steps.add(Step::Pair(PairStep::AddAddress(name(), *address)));
        }
        match (found.is_some_and(|found| found.link.is_up), end.is_up()) {
            (false, true) => self.steps.add(Step::Pair(PairStep::Raise(name()))),
            (true, false) => self.steps.add(Step::Pair(PairStep::Lower(name()))),
            (true, true) | (false, false) => {}
        }
    }

    fn add_routes(&mut self, end: &PairEnd) {
        let found = self.kept(end);
        let (have, want) = addresses(found, end);
        let is_there = |route: &EndRoute| {
            have == want && found.is_some_and(|found| found.routes.contains(route))
        };
        for route in end.routes().iter().filter(|route| !is_there(route)) {
            self.steps.add(Step::Pair(PairStep::AddRoute(end.name().clone(), *route)));
        }
    }
}

/// The addresses of an end as they are and as they are to be, both in order.
fn addresses(found: Option<&FoundEnd>, end: &PairEnd) -> (Vec<Address>, Vec<Address>) {
    let mut have = found.map(|found| found.addresses.clone()).unwrap_or_default();
    let mut want: Vec<Address> = end.addresses().iter().copied().map(Into::into).collect();
    have.sort_unstable();
    want.sort_unstable();
    (have, want)
}

/// Whether the two are ends of one pair, at their places. In a mesh the indexes agree by chance; the
/// marks say which ends were made together, and a pair never parts.
fn is_one_pair(a: &FoundEnd, b: &FoundEnd) -> bool {
    let leads_to = |from: &FoundEnd, to: &FoundEnd| {
        from.claim == EndClaim::Marked([from.name.clone(), to.name.clone()])
            && from.link.peer.is_some_and(|peer| {
                let is_away = from.name.netns != to.name.netns;
                peer.ifindex == to.link.ifindex && peer.netns.is_some() == is_away
            })
    };
    leads_to(a, b) && leads_to(b, a)
}

const fn is_ours(end: &FoundEnd) -> bool {
    matches!(end.claim, EndClaim::Unmarked | EndClaim::Marked(_))
}

/// The other end of the pair of `end`, if the pair is whole.
fn other_end<'a>(found: &HashMap<&EndName, &'a FoundEnd>, end: &FoundEnd) -> Option<&'a FoundEnd> {
    let EndClaim::Marked([_, other]) = &end.claim else { return None };
    found.get(other).copied().filter(|other| is_one_pair(end, other))
}

/// What is the same for both ends of a pair that is whole. Of another one each end is known by
/// itself alone, and the second is gone when its turn comes.
fn identity(found: &HashMap<&EndName, &FoundEnd>, end: &FoundEnd) -> [EndName; 2] {
    let other = other_end(found, end).unwrap_or(end);
    let mut names = [end.name.clone(), other.name.clone()];
    names.sort_unstable();
    names
}

/// The steps that delete the pairs of `ends`, those of one namespace together.
fn delete<'a>(ends: impl IntoIterator<Item = &'a FoundEnd>) -> Vec<Step> {
    let mut by_netns: BTreeMap<Option<NetnsName>, Vec<DeviceName>> = BTreeMap::new();
    for FoundEnd { name: EndName { netns, ifname }, .. } in ends {
        by_netns.entry(netns.clone()).or_default().push(ifname.clone());
    }
    let step = |(netns, ifnames)| Step::Pair(PairStep::Delete { netns, ifnames });
    by_netns.into_iter().map(step).collect()
}
