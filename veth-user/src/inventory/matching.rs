//! Which ends make a pair.
//!
//! An end names the other one by its index and by an id of its namespace, which means something in
//! the namespace of the end alone. So a candidate is an end elsewhere whose indices are the same
//! crosswise, and that looks as the kernel shows the other end from here. Because indices repeat
//! from namespace to namespace, that proves nothing: the kernel is asked which namespace the id
//! means, once for each id. Ends of one namespace need no question.

use std::collections::{HashMap, HashSet};

use veth_common::Ifindex;

use super::{End, Inventory, Pair, Side, Survey, Unseen};
use crate::view::NetnsId;

/// An end by its place: the survey that it is in, and its place in there.
type Place = (usize, usize);

/// Which namespace one of them means by an id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The id.
    pub id: NetnsId,
    /// The surveys of the namespaces that it may be, the likeliest ones first.
    pub candidates: Vec<usize>,
}

/// Surveys, and what is known of how their ends belong together.
#[derive(Debug)]
pub struct Matching {
    surveys: Vec<Survey>,
    /// Ends whose other end is in another namespace, by their own index and that of the other.
    crossing: HashMap<(Ifindex, Ifindex), Vec<Place>>,
    partners: HashMap<Place, Place>,
    /// The survey of the namespace that an id means in that of another survey.
    meanings: HashMap<(usize, NetnsId), usize>,
}

impl Matching {
    /// Matches what can be matched without a question.
    pub fn of(surveys: Vec<Survey>) -> Self {
        let mut crossing: HashMap<_, Vec<Place>> = HashMap::new();
        let mut partners = HashMap::new();
        for (survey, Survey { ends, .. }) in surveys.iter().enumerate() {
            let ends = ends.as_deref().unwrap_or_default();
            let places: HashMap<Ifindex, usize> =
                ends.iter().enumerate().map(|(at, end)| (end.link.ifindex, at)).collect();
            for (at, end) in ends.iter().enumerate() {
                let indices = (end.link.ifindex, end.peer.ifindex);
                if end.peer.netns.is_some() {
                    crossing.entry(indices).or_default().push((survey, at));
                } else if let Some(other) = places.get(&end.peer.ifindex)
                    && points_back(end, &ends[*other])
                {
                    partners.insert((survey, at), (survey, *other));
                }
            }
        }
        Self { surveys, crossing, partners, meanings: HashMap::new() }
    }

    /// What has to be asked in the namespace of `survey`: one question for each id of a namespace
    /// that an end is in which was not matched yet.
    pub fn questions(&self, survey: usize) -> Vec<Question> {
        let mut asked = HashSet::new();
        let mut questions = Vec::new();
        for (at, end) in self.ends(survey).iter().enumerate() {
            let Some(id) = end.peer.netns else { continue };
            let is_open = !self.partners.contains_key(&(survey, at))
                && !self.meanings.contains_key(&(survey, id));
            if !is_open || !asked.insert(id) {
                continue;
            }
            let candidates = self.candidates(survey, end);
            if !candidates.is_empty() {
                questions.push(Question { id, candidates });
            }
        }
        questions
    }

    /// Takes the answer to a question: in the namespace of `survey`, `id` means that of `meant`.
    pub fn answer(&mut self, survey: usize, id: NetnsId, meant: usize) {
        self.meanings.insert((survey, id), meant);
        let mut found = Vec::new();
        for (at, end) in self.ends(survey).iter().enumerate() {
            if end.peer.netns != Some(id) {
                continue;
            }
            let there = self.crossing.get(&(end.peer.ifindex, end.link.ifindex));
            let there = there.into_iter().flatten().find(|(survey, _)| *survey == meant);
            found.extend(there.map(|there| ((survey, at), *there)));
        }
        for (here, there) in found {
            self.partners.insert(here, there);
            self.partners.insert(there, here);
        }
    }

    /// What is known by now.
    pub fn inventory(&self) -> Inventory<'_> {
        let mut pairs = Vec::new();
        for survey in 0..self.surveys.len() {
            for at in 0..self.ends(survey).len() {
                let here = (survey, at);
                match self.partners.get(&here) {
                    // The pair is told from its other end.
                    Some(there) if self.rank(*there) < self.rank(here) => {}
                    Some(there) => pairs.push((self.rank(here), self.pair(here, *there))),
                    None => pairs.push((self.rank(here), self.half_pair(here))),
                }
            }
        }
        pairs.sort_by_key(|(rank, _)| *rank);
        let unseen = self.surveys.iter().filter_map(|survey| {
            let reason = survey.ends.as_ref().err()?;
            Some(Unseen { netns: &survey.namespace, reason })
        });
        Inventory {
            pairs: pairs.into_iter().map(|(_, pair)| pair).collect(),
            unseen: unseen.collect(),
        }
    }

    /// The namespaces that the other end of `end` may be in: those that have an end like it, and
    /// those of which nothing is known.
    fn candidates(&self, survey: usize, end: &End) -> Vec<usize> {
        let alike = self.crossing.get(&(end.peer.ifindex, end.link.ifindex));
        let alike = alike.into_iter().flatten().filter(|place| {
            let other = self.end(**place);
            let is_like_it = end
                .far
                .as_ref()
                .is_none_or(|far| far.name == other.link.name && far.mac == other.link.mac);
            place.0 != survey && is_like_it && !self.partners.contains_key(place)
        });
        let unknown = (0..self.surveys.len()).filter(|it| self.surveys[*it].ends.is_err());
        alike.map(|(survey, _)| *survey).chain(unknown).collect()
    }

    fn pair(&self, port: Place, peer: Place) -> Pair<'_> {
        let side = |place: Place| Side::of(self.end(place), &self.surveys[place.0].namespace);
        Pair { kind: self.end(port).kind, port: side(port), peer: side(peer) }
    }

    /// The pair of an end whose other end was not found.
    fn half_pair(&self, port: Place) -> Pair<'_> {
        let end = self.end(port);
        let meant = match end.peer.netns {
            Some(id) => self.meanings.get(&(port.0, id)).copied(),
            None => Some(port.0),
        };
        let netns = |survey: usize| &self.surveys[survey].namespace;
        Pair {
            kind: end.kind,
            port: Side::of(end, netns(port.0)),
            peer: Side::of_link(end.peer.ifindex, end.far.as_ref(), meant.map(netns)),
        }
    }

    /// The end of a pair that has the lower rank is the port.
    fn rank(&self, place: Place) -> (bool, bool, usize, Ifindex) {
        let end = self.end(place);
        let is_elsewhere = !self.surveys[place.0].namespace.own;
        (is_elsewhere, end.bridge.is_none(), place.0, end.link.ifindex)
    }

    fn ends(&self, survey: usize) -> &[End] {
        self.surveys[survey].ends.as_deref().unwrap_or_default()
    }

    fn end(&self, (survey, at): Place) -> &End {
        &self.ends(survey)[at]
    }
}

fn points_back(end: &End, other: &End) -> bool {
    other.peer.netns.is_none() && other.peer.ifindex == end.link.ifindex
}

#[cfg(test)]
mod tests;
