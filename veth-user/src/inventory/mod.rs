//! The pairs of a machine, as plain data: both ends of each, the namespaces they are in, and the
//! containers those belong to.
//!
//! What was seen in each namespace comes in as a [`Survey`]; a [`Matching`] finds out which ends
//! make a pair, and says what has to be asked of the kernel where that is not certain. Where the
//! namespaces, links and texts come from is left to others.

mod container;
mod end;
mod filter;
mod matching;
mod namespace;
mod pair;
mod table;

pub use container::{Containers, Record, container_of_cgroup};
pub use end::{End, PairKind, Survey};
pub use matching::{Matching, Question};
pub use namespace::{Container, Namespace, Process};
pub use pair::{Inventory, Pair, Side, Unseen};
