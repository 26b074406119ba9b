//! `veth agent`

use anyhow::{Context as _, Result};
use sd_notify::NotifyState;

use super::{
    arguments::AgentOptions,
    keep::{End, keep, notify},
    session::{Session, complain},
};
use crate::{fabric, sync::Keeping, topology::FabricName};

pub(super) fn run(session: &Session, options: &AgentOptions) -> Result<()> {
    let name: FabricName =
        options.name.parse().with_context(|| format!("{:?} is no fabric", options.name))?;
    let keeping = fabric::require_datapath(&name)?;
    let hook = options.hook.map(Into::into);
    let kind = if keeping == Keeping::Managed { "fabric" } else { "bridge" };
    let why = match session.runtime.block_on(keep(session, &name, hook, keeping))? {
        End::Stopped => None,
        End::BridgeGone => Some("is gone"),
        End::DatapathGone => Some("has no datapath any more"),
    };
    if let Some(why) = why {
        complain(&format!("{kind} {name} {why}; nothing is left to do"));
    }
    notify(&[NotifyState::Stopping]);
    Ok(())
}
