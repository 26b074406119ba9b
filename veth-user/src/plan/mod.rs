//! Plans: the steps from what a fabric is to what it is to be, each with its inverse.
//!
//! Pure: [`plan`] compares a [`Topology`] with what was [`Observed`] and refuses when something
//! stands in the way that is not ours. Carrying the steps out, and undoing them, is the
//! orchestration's task.

mod diff;
mod ends;
mod mark;
mod observed;
mod pair;
mod step;
#[cfg(test)]
mod tests;

pub use diff::{Plan, plan, plan_removal};
pub use mark::Mark;
pub use observed::{
    BridgeState, EndClaim, FoundEnd, Inside, Member, NetnsState, Observed, PortPresence,
};
pub use pair::PairStep;
pub use step::{Step, undo};

#[cfg(doc)]
use crate::topology::Topology;

/// Name of the peer inside each namespace.
pub const PEER_NAME: &str = "eth0";

/// Things that are in the way of a plan and are not ours to touch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Conflicts(pub Vec<String>);
