//! Looking around: every pair of the machine, in whatever namespaces its ends are.
//!
//! Nothing is changed, except that the kernel gives namespaces ids when it is asked about links
//! that lead to them, as it does for every other tool.

use std::{os::fd::AsFd as _, path::Path};

use veth_common::Ifindex;

use crate::{
    containers,
    inventory::{Containers, End, Inventory, Matching, Namespace, PairKind, Question, Survey},
    netlink::{Netlink, NetlinkError},
    netns::{self, Discovery, Found, NetnsError},
    view::{Link, NetnsId},
};

/// How many namespaces are held open at once: well below the usual limit of descriptors.
const OPEN_AT_ONCE: usize = 64;

/// What failed in the namespace that is looked around from.
#[derive(Debug, thiserror::Error)]
pub enum CensusError {
    /// Namespaces cannot be looked for.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The own namespace cannot be looked at.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

/// What was found.
#[derive(Debug)]
pub struct Census {
    matching: Matching,
    notes: Vec<String>,
}

impl Census {
    /// Looks into every namespace that can be found, and reads the names of containers below
    /// `root`, which is `/` for those of this machine.
    ///
    /// A namespace that may not be entered is no error; the inventory has it among the unseen.
    ///
    /// # Errors
    ///
    /// When `/proc` cannot be read, or the calling thread's namespace not be looked at.
    pub fn take(root: &Path) -> Result<Self, CensusError> {
        let Discovery { namespaces, notes } = netns::discover()?;
        let containers = containers::read(root);
        let mut found = Vec::new();
        let mut surveys = Vec::new();
        for (namespace, ends) in look_into(namespaces)? {
            surveys.push(Survey { namespace: describe(&namespace, &containers), ends });
            found.push(namespace);
        }
        let mut matching = Matching::of(surveys);
        for at in 0..found.len() {
            let questions = matching.questions(at);
            if questions.is_empty() {
                continue;
            }
            for (id, meant) in ask(&found, at, &questions) {
                matching.answer(at, id, meant);
            }
        }
        Ok(Self { matching, notes })
    }

    /// The pairs.
    pub fn inventory(&self) -> Inventory<'_> {
        self.matching.inventory()
    }

    /// What could not be looked for, a sentence each; what was found and could not be looked into
    /// is told by the inventory.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

fn describe(found: &Found, containers: &Containers) -> Namespace {
    let of_processes =
        found.processes.iter().map(|process| (process, containers::of_process(process.pid)));
    Namespace {
        inode: found.inode,
        own: found.own,
        names: found.names.clone(),
        process: found.processes.first().cloned(),
        pids: found.processes.iter().map(|process| process.pid).collect(),
        // Who looks around from within a container knows which one it is.
        containers: if found.own {
            Vec::new()
        } else {
            containers.in_namespace(found.inode, of_processes)
        },
    }
}

/// The ends in one namespace, or why they could not be looked at.
type Ends = Result<Vec<End>, String>;

/// Looks into each namespace. Those that are gone by now are left out.
fn look_into(namespaces: Vec<Found>) -> Result<Vec<(Found, Ends)>, CensusError> {
    let mut seen = Vec::with_capacity(namespaces.len());
    let mut namespaces = namespaces.into_iter().peekable();
    while namespaces.peek().is_some() {
        // The namespaces of this round that are open, each by its place among all.
        let (mut places, mut open) = (Vec::new(), Vec::new());
        for found in namespaces.by_ref().take(OPEN_AT_ONCE) {
            if found.own {
                // Entering it could be forbidden, and is not needed.
                let ends = ends_here()?;
                seen.push((found, Ok(ends)));
                continue;
            }
            match found.open() {
                Ok(Some(netns)) => {
                    places.push(seen.len());
                    open.push(netns);
                    seen.push((found, Ok(Vec::new())));
                }
                Ok(None) => {}
                Err(error) => seen.push((found, Err(error.to_string()))),
            }
        }
        for (place, visited) in places.into_iter().zip(netns::visit_all(&open, |_| ends_here())) {
            seen[place].1 = match visited {
                Ok(ends) => ends.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
        }
    }
    Ok(seen)
}

/// The ends in the calling thread's namespace.
fn ends_here() -> Result<Vec<End>, NetlinkError> {
    let mut netlink = Netlink::open()?;
    let links = netlink.links()?;
    let is_end = |link: &Link| PairKind::of(&link.kind).is_some();
    if !links.iter().any(is_end) {
        return Ok(Vec::new());
    }
    let addresses = netlink.addresses_of_all()?;
    let name_of = |ifindex: Ifindex| {
        links.iter().find(|link| link.ifindex == ifindex).map(|link| link.name.clone())
    };
    let mut ends = Vec::new();
    for link in &links {
        // One without an other end is about to go.
        let (Some(kind), Some(peer)) = (PairKind::of(&link.kind), link.peer) else { continue };
        let far = match peer.netns {
            // A hint: without it, more candidates are asked about.
            Some(_) => netlink.peer(peer).ok().flatten(),
            None => None,
        };
        let own = addresses.iter().filter(|(ifindex, _)| *ifindex == link.ifindex);
        ends.push(End {
            kind,
            peer,
            far,
            bridge: link.controller.and_then(name_of),
            addresses: own.map(|(_, address)| *address).collect(),
            link: link.clone(),
        });
    }
    Ok(ends)
}

/// Asks in the namespace of `found[at]` which of the others are meant. What cannot be answered is
/// left out: those pairs are told without their other end.
fn ask(found: &[Found], at: usize, questions: &[Question]) -> Vec<(NetnsId, usize)> {
    let ask = || -> Result<Vec<(NetnsId, usize)>, NetlinkError> {
        let mut netlink = Netlink::open()?;
        let mut is_meant = |id: NetnsId, candidate: usize| {
            let netns = found[candidate].open().ok().flatten();
            netns.is_some_and(|netns| netlink.netns_id(netns.as_fd()).ok().flatten() == Some(id))
        };
        let answer = |question: &Question| {
            let mut candidates = question.candidates.iter();
            let meant = candidates.find(|candidate| is_meant(question.id, **candidate))?;
            Some((question.id, *meant))
        };
        Ok(questions.iter().filter_map(answer).collect())
    };
    let answers = if found[at].own {
        ask().ok()
    } else {
        let netns = found[at].open().ok().flatten();
        netns.and_then(|netns| netns.run(ask).ok()?.ok())
    };
    answers.unwrap_or_default()
}
