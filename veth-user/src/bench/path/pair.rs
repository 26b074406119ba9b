//! Paths of one hop: a pair of devices, or one device.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::AsFd as _,
};

use veth_common::Ifindex;

use super::{BenchError, BuiltPath, End, MTU_BYTES, Side, Site, between, configure};
use crate::{
    netlink::{LinkChange, Netlink, NetlinkError, NewDevice},
    netns::Netns,
};

const DEVICE: &str = "eth0";

/// One veth pair.
pub(super) fn direct(site: Site) -> Result<BuiltPath, BenchError> {
    pair(site, Netlink::create_veth)
}

/// One netkit pair.
pub(super) fn netkit(site: Site) -> Result<BuiltPath, BenchError> {
    pair(site, Netlink::create_netkit).map_err(|error| match error {
        BenchError::Netlink(error) if error.is_unknown_kind() => {
            BenchError::Unavailable("this kernel has no netkit (Linux 6.7, CONFIG_NETKIT)".into())
        }
        error => error,
    })
}

/// A pair of devices that `create` makes.
fn pair(
    site: Site,
    create: impl FnOnce(&mut Netlink, [&NewDevice<'_>; 2]) -> Result<(), NetlinkError>,
) -> Result<BuiltPath, BenchError> {
    let (client, server) = site.make_ends()?;
    let device = |netns, side| new_device(site, netns, side);
    create(
        &mut Netlink::open()?,
        [&device(&client, Side::Client), &device(&server, Side::Server)],
    )?;
    finish(site, client, server)
}

/// Two macvlan devices on one parent, which is an end of a veth pair: that needs no driver that
/// the other paths do not. Frames between the two do not go through it.
pub(super) fn macvlan(site: Site) -> Result<BuiltPath, BenchError> {
    let (client, server) = site.make_ends()?;
    let hub = Site::make_netns(&format!("p{}h", site.index))?;
    hub.run(|| -> Result<(), BenchError> {
        let mut host = Netlink::open()?;
        let parents = [("parent", Side::Client), ("other", Side::Server)];
        let [parent, other] = parents.map(|(name, side)| NewDevice {
            name,
            mac: site.mac(side, true),
            mtu_bytes: MTU_BYTES,
            netns: None,
        });
        host.create_veth([&parent, &other])?;
        let mut raise = |name: &str| -> Result<Ifindex, BenchError> {
            let link = host.link_by_name(name)?;
            let Ifindex(ifindex) = link.ok_or_else(|| BenchError::Missing(name.into()))?.ifindex;
            let up = LinkChange { up: Some(true), ..LinkChange::default() };
            host.change_link(Ifindex(ifindex), &up)?;
            Ok(Ifindex(ifindex))
        };
        raise(other.name)?;
        let parent = raise(parent.name)?;
        for (netns, side) in [(&client, Side::Client), (&server, Side::Server)] {
            host.create_macvlan(&new_device(site, netns, side), parent)?;
        }
        Ok(())
    })??;
    finish(site, client, server)
}

/// The loopback device, with both ends in one namespace.
pub(super) fn loopback(site: Site) -> Result<BuiltPath, BenchError> {
    let name = site.netns_name(Side::Client);
    let client = Site::make_netns(&name)?;
    let server = super::open_netns(&name)?;
    let address: IpAddr =
        if site.ipv6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
    Ok(between(End::open(client, "lo", address)?, End::open(server, "lo", address)?))
}

fn new_device(at: Site, netns: &Netns, side: Side) -> NewDevice<'_> {
    NewDevice {
        name: DEVICE,
        mac: at.mac(side, false),
        mtu_bytes: MTU_BYTES,
        netns: Some(netns.as_fd()),
    }
}

/// Configures both ends.
fn finish(site: Site, client: Netns, server: Netns) -> Result<BuiltPath, BenchError> {
    let end = |netns: Netns, side| {
        let address = site.address(side, 0);
        configure(&netns, DEVICE, address)?;
        End::open(netns, DEVICE, address.ip)
    };
    Ok(between(end(client, Side::Client)?, end(server, Side::Server)?))
}
