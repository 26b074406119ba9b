//! What the datapath's maps should hold, given what a bridge and its ports are.
//!
//! Pure: a [`BridgeView`](crate::view::BridgeView) in, [`Tables`] out. The datapath may forward
//! only what the bridge would forward in the same way, so everything doubtful is left out here,
//! with the reason.

mod eligibility;
mod fast_path;
mod ineligible;
mod leased;
mod tables;

pub use eligibility::{
    KEEPS_FRAMES_WHOLE, UNFIT_FOR_XDP, eligibility, is_hookable, is_watchable, xdp_needs,
};
pub use fast_path::FastPath;
pub use ineligible::Ineligible;
pub use leased::{LEASE, UNSERVED_MAX, overlooked};
pub use tables::Tables;
