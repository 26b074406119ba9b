//! `veth agent`

use anyhow::{Context as _, Result};
use sd_notify::NotifyState;

use super::{
    arguments::AgentOptions,
    keep::{End, keep, notify},
    metrics,
    session::{Session, complain},
};
use crate::{fabric, sync::Keeping, topology::FabricName};

pub(super) fn run(session: &Session, options: &AgentOptions) -> Result<()> {
    let name: FabricName =
        options.name.parse().with_context(|| format!("{:?} is no fabric", options.name))?;
    let keeping = fabric::require_datapath(&name)?;
    let hook = options.hook.map(Into::into);
    let kind = if keeping == Keeping::Managed { "fabric" } else { "bridge" };
    let end = session.runtime.block_on(async {
        let feed = match options.metrics {
            Some(address) => Some(metrics::start(address, &name).await?),
            None => None,
        };
        keep(session, &name, hook, keeping, feed.as_ref()).await
    })?;
    let why = match end {
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
