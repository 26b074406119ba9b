//! Fabrics: the bridge, alone or with a fast path.

use std::fmt::Write as _;

use super::{
    BenchError, BuiltPath, End, Kept, Side, Site, Watcher, Watching, between, open_netns, poll,
};
use crate::{
    datapath::{
        self, PortDevice,
        bench::{Variant, VariantPort},
    },
    fabric::{self, Control},
    netlink::Netlink,
    results::PathKind,
    stop::Stop,
    sysctl,
    topology::Topology,
};

const DEVICE: &str = "eth0";

/// Brings a fabric with `ports` ports up, two without a number, in a namespace of its own.
pub(super) fn build(
    site: Site,
    kind: PathKind,
    ports: Option<u32>,
    bridge_netfilter: &[&str],
    stop: &Stop,
) -> Result<BuiltPath, BenchError> {
    let name = format!("p{}", site.index);
    let topology: Topology = text(site, &name, kind, ports.unwrap_or(2))
        .parse()
        .expect("names and addresses are made to fit, and ports are at most 1000");
    // The same hook whatever the number of ports: what is to be compared is their number. By itself,
    // `up` takes the one that is attached faster when there are many.
    let hook = match kind {
        PathKind::Tc
        | PathKind::Adopted
        | PathKind::Redirect
        | PathKind::Pairs
        | PathKind::Captured
        | PathKind::Scraped
        | PathKind::Delayed(_) => Some(datapath::supported_hook()?),
        _ => None,
    };
    let hub = Site::make_netns(&format!("{name}h"))?;
    hub.run(|| sysctl::set_bridge_netfilter(bridge_netfilter))?
        .map_err(|(name, source)| BenchError::Setting { name: name.to_owned(), source })?;
    hub.run(|| {
        let mut control = Control { stop, progress: &mut |_, _, _| {}, waiting: &mut || {} };
        let hook = hook.filter(|_| topology.datapath().fast_path().is_some());
        fabric::up(&topology, hook, &mut control)
    })??;
    let end =
        |side| End::open(open_netns(&site.netns_name(side))?, DEVICE, site.address(side, 0).ip);
    let (client, server) = (end(Side::Client)?, end(Side::Server)?);
    for end in [&client, &server] {
        end.netns.run(|| poll(end.ifindex))?;
    }
    let variant = hub.run(|| attach_variant(site, &name, kind))??;
    let (mut kept, mut watcher) = (None, None);
    let mut watch = |hub, watching| {
        watcher = Some(Watcher::new(hub, topology.name(), watching, stop));
    };
    match (kind, hook) {
        (PathKind::Adopted, Some(hook)) => {
            kept = Some(Kept::start(hub, topology.name(), hook, stop)?);
        }
        (PathKind::Pairs, _) => watch(hub, Watching::Pairs),
        (PathKind::Captured, _) => watch(hub, Watching::Frames),
        (PathKind::Scraped, _) => watch(hub, Watching::Metrics),
        _ => {}
    }
    Ok(BuiltPath { _variant: variant, _kept: kept, watcher, ..between(client, server) })
}

/// Has the ports poll, and puts the variant in front of them that `kind` asks for. Runs in the
/// namespace of the fabric.
fn attach_variant(
    site: Site,
    fabric: &str,
    kind: PathKind,
) -> Result<Option<VariantPort>, BenchError> {
    let mut netlink = Netlink::open()?;
    let mut links = Vec::new();
    for side in [Side::Client, Side::Server] {
        let name = site.netns_name(side);
        let link = netlink.link_by_name(&name)?.ok_or(BenchError::Missing(name))?;
        poll(link.ifindex);
        links.push(link);
    }
    let devices: Vec<PortDevice<'_>> =
        links.iter().map(|link| PortDevice { ifindex: link.ifindex, name: &link.name }).collect();
    let variant = match kind {
        PathKind::Redirect => Variant::Redirect,
        PathKind::Delayed(delay_ns) => Variant::Delayed(delay_ns),
        _ => return Ok(None),
    };
    Ok(Some(VariantPort::attach(fabric, variant, &devices)?))
}

/// The topology file of the fabric.
fn text(site: Site, name: &str, kind: PathKind, ports: u32) -> String {
    let datapath = match kind {
        PathKind::Xdp => "xdp",
        PathKind::Tc
        | PathKind::Redirect
        | PathKind::Pairs
        | PathKind::Captured
        | PathKind::Scraped
        | PathKind::Delayed(_) => "tc",
        _ => "none",
    };
    let mut text = format!("name = \"{name}\"\ndatapath = \"{datapath}\"\n");
    for side in [Side::Client, Side::Server] {
        let (netns, address) = (site.netns_name(side), site.address(side, 0));
        let _ = write!(text, "[[netns]]\nname = \"{netns}\"\naddresses = [\"{address}\"]\n");
    }
    if let Some(more @ 1..) = ports.checked_sub(2) {
        let _ = write!(text, "[[netns]]\nname = \"{name}x{{n}}\"\ncount = {more}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_topologies_of_so_many_ports() {
        for ipv6 in [false, true] {
            for (kind, ports) in [(PathKind::Bridge, 2), (PathKind::Tc, 16), (PathKind::Xdp, 1000)]
            {
                let topology = text(Site { index: 200, ipv6 }, "p200", kind, ports);
                let topology: Topology = topology.parse().expect("a topology");
                assert_eq!(topology.namespaces().len(), ports as usize);
            }
        }
    }
}
