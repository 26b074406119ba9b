//! Two veth pairs with the kernel's IP forwarding between them.

use std::os::fd::AsFd as _;

use veth_common::Mac;

use super::{BenchError, BuiltPath, End, MTU_BYTES, Side, Site, between, configure};
use crate::{
    netlink::{Netlink, NewDevice},
    netns::Netns,
    sysctl,
    view::Route,
};

const DEVICE: &str = "eth0";

pub(super) fn build(site: Site) -> Result<BuiltPath, BenchError> {
    let (client, server) = site.make_ends()?;
    let router = Site::make_netns(&format!("p{}r", site.index))?;
    router
        .run(sysctl::enable_forwarding)?
        .map_err(|(name, source)| BenchError::Setting { name: name.to_owned(), source })?;
    let client = attach(site, &router, client, Side::Client)?;
    let server = attach(site, &router, server, Side::Server)?;
    let next_hop = site.mac(Side::Client, true);
    Ok(BuiltPath { next_hop, ..between(client, server) })
}

/// Makes the pair between the router and one end, in a subnet of its own, and ties the addresses
/// of its ends to each other.
fn attach(at: Site, router: &Netns, netns: Netns, side: Side) -> Result<End, BenchError> {
    let (subnet, name) = match side {
        Side::Client => (1, "client"),
        Side::Server => (2, "server"),
    };
    let device = |name, netns, in_front| NewDevice {
        name,
        mac: at.mac(side, in_front),
        mtu_bytes: MTU_BYTES,
        netns: Some(netns),
    };
    Netlink::open()?.create_veth([
        &device(name, router.as_fd(), true),
        &device(DEVICE, netns.as_fd(), false),
    ])?;
    let (gateway, address) = (at.host(subnet, 254), at.address(side, subnet));
    configure(router, name, gateway)?;
    configure(&netns, DEVICE, address)?;
    let end = End::open(netns, DEVICE, address.ip)?;
    let tie = |device: &str, ip, mac: Mac| -> Result<Netlink, BenchError> {
        let mut netlink = Netlink::open()?;
        let link = netlink.link_by_name(device)?;
        let link = link.ok_or_else(|| BenchError::Missing(device.to_owned()))?;
        netlink.add_neighbour(link.ifindex, ip, mac)?;
        Ok(netlink)
    };
    router.run(|| tie(name, address.ip, end.mac).map(drop))??;
    end.netns.run(|| -> Result<(), BenchError> {
        let mut netlink = tie(DEVICE, gateway.ip, at.mac(side, true))?;
        Ok(netlink.add_route(&Route::default_via(gateway.ip))?)
    })??;
    Ok(end)
}
