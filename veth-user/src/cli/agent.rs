//! `veth agent`

use anyhow::{Context as _, Result};
use sd_notify::NotifyState;

use super::{
    arguments::AgentOptions,
    keep::{End, keep, notify},
    session::{Session, complain},
};
use crate::{fabric, topology::FabricName};

pub(super) fn run(session: &Session, options: &AgentOptions) -> Result<()> {
    let name: FabricName =
        options.name.parse().with_context(|| format!("{:?} is no fabric", options.name))?;
    let keeping = fabric::require_datapath(&name)?;
    let hook = options.hook.map(Into::into);
    match session.runtime.block_on(keep(session, &name, hook, keeping))? {
        End::Stopped => {}
        End::BridgeGone => complain(&format!("bridge {name} is gone; nothing is left to do")),
        End::DatapathGone => {
            complain(&format!("{name} has no datapath any more; nothing is left to do"));
        }
    }
    notify(&[NotifyState::Stopping]);
    Ok(())
}
