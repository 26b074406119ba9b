//! Keeping a fabric's maps and attachments true to its bridge.
//!
//! [`Reconciler`] does it once: look at the bridge, compute what the maps should hold, write the
//! difference. [`Agent`] does it again whenever the kernel says that something changed.

mod agent;
mod bypass;
mod error;
mod filter;
mod hook;
mod keeping;
mod observe;
mod reconcile;
mod release;
mod revisit;
mod scope;
mod xdp;

pub use agent::{Agent, AgentStats};
pub use bypass::look_for_bypassed;
pub use error::SyncError;
pub use filter::{our_program, remove_our_clsact};
pub use hook::HookPolicy;
pub use keeping::Keeping;
pub(crate) use keeping::now_ns;
pub use observe::{look_for_vlans, observe_bridge};
pub use reconcile::{Reconciled, Reconciler};
pub use release::XdpAttachment;
pub use revisit::{Revisited, revisit};
pub use scope::{Parts, Scope};
pub use xdp::{observe_xdp, restore_peers};
