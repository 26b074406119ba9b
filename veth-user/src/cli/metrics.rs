//! `veth metrics`, and the same inside of `agent` and `attach`.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use sd_notify::NotifyState;
use serde::Serialize;

use super::{
    arguments::MetricsOptions,
    keep::notify,
    session::{Session, complain, print, print_json, say},
};
use crate::{
    exposition::{BindError, Endpoint, Feed, Source},
    topology::FabricName,
};

#[derive(Serialize)]
struct Listening {
    listening: SocketAddr,
}

pub(super) fn run(session: &Session, options: &MetricsOptions) -> Result<()> {
    let only = options
        .name
        .as_deref()
        .map(|name| name.parse::<FabricName>().with_context(|| format!("{name:?} is no fabric")));
    let only = only.transpose()?;
    session.runtime.block_on(async {
        let endpoint = bind(options.listen).await?;
        let listening = endpoint.address();
        if session.json {
            print_json(&Listening { listening })?;
        } else {
            print(&format!("{}\n", describe(listening)))?;
        }
        notify(&[NotifyState::Ready]);
        tokio::select! {
            () = endpoint.serve(Source::new(only, None, complain)) => {}
            () = session.stopped() => {}
        }
        notify(&[NotifyState::Stopping]);
        Ok(())
    })
}

/// Serves the metrics of `fabric` and of the agents that keep it, for as long as the process runs.
pub(super) async fn start(address: SocketAddr, fabric: &FabricName) -> Result<Feed, BindError> {
    let endpoint = bind(address).await?;
    say(&describe(endpoint.address()));
    let feed = Feed::new(fabric);
    let source = Source::new(Some(fabric.clone()), Some(feed.clone()), complain);
    tokio::spawn(endpoint.serve(source));
    Ok(feed)
}

async fn bind(address: SocketAddr) -> Result<Endpoint, BindError> {
    let endpoint = Endpoint::bind(address).await?;
    // `::ffff:127.0.0.1` is loopback as well.
    if !address.ip().to_canonical().is_loopback() {
        complain(&format!(
            "warning: whoever reaches {} can read the metrics: there is no password, and names of \
             namespaces are among them",
            endpoint.address()
        ));
    }
    Ok(endpoint)
}

fn describe(address: SocketAddr) -> String {
    format!("metrics are at http://{address}/metrics")
}
