//! What is there of the pairs of a fabric, and what is wrong with them.

use serde::Serialize;

use crate::{
    plan::{EndClaim, FoundEnd, Observed},
    topology::EndName,
};

/// A pair as it is.
#[derive(Debug, Serialize)]
pub struct PairStatus {
    /// Its ends, as far as they are there.
    pub ends: Vec<EndStatus>,
}

/// An end of a pair as it is.
#[derive(Debug, Serialize)]
pub struct EndStatus {
    /// Its namespace; `None` for the one that the fabric is in.
    pub netns: Option<String>,
    /// Its name there.
    pub ifname: String,
    /// Its index there.
    pub ifindex: u32,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// The routes through it that the file asked for.
    pub routes: Vec<String>,
    /// Whether it is up.
    pub up: bool,
    /// Whether frames get through: the other end is up as well.
    pub carrier: bool,
}

/// The pairs that were found, and everything that is not as it should be, one sentence each.
pub(super) fn pairs(observed: &Observed) -> (Vec<PairStatus>, Vec<String>) {
    let mut pairs = Vec::new();
    let mut problems = Vec::new();
    for end in &observed.ends {
        let [made_as, other] = match &end.claim {
            EndClaim::Foreign(_) => continue,
            EndClaim::Unmarked => {
                problems.push(format!(
                    "the pair of {} was left unfinished; `veth up` completes it",
                    end.name
                ));
                pairs.push(PairStatus { ends: vec![status(end)] });
                continue;
            }
            EndClaim::Marked(names) => names,
        };
        if end.name != *made_as {
            problems.push(format!("{} was made as {made_as}", end.name));
        }
        match observed.ends.iter().find(|it| is_other_end(it, made_as, other)) {
            // Told with the other one.
            Some(_) if other < made_as => {}
            Some(peer) => pairs.push(PairStatus { ends: vec![status(end), status(peer)] }),
            None => {
                problems.push(format!("the other end of {made_as} is not at {other}"));
                pairs.push(PairStatus { ends: vec![status(end)] });
            }
        }
    }
    (pairs, problems)
}

fn is_other_end(end: &FoundEnd, made_as: &EndName, other: &EndName) -> bool {
    matches!(&end.claim, EndClaim::Marked([name, peer]) if name == other && peer == made_as)
}

fn status(end: &FoundEnd) -> EndStatus {
    let FoundEnd { name, claim: _, link, addresses, routes, has_carrier } = end;
    EndStatus {
        netns: name.netns.as_ref().map(ToString::to_string),
        ifname: name.ifname.to_string(),
        ifindex: link.ifindex.0,
        addresses: addresses.iter().map(ToString::to_string).collect(),
        routes: routes.iter().map(ToString::to_string).collect(),
        up: link.is_up,
        carrier: *has_carrier,
    }
}
