//! Paths, built: two ends in namespaces of their own, and something between them.

mod fabric;
mod kept;
mod pair;
mod route;
mod watcher;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, PoisonError},
};

use veth_common::{CaptureTally, Ifindex, Mac};

use super::{BenchError, Options, Placement};
use crate::{
    datapath::{PortDevice, bench::VariantPort},
    netlink::{Ethtool, LinkChange, Netlink, NetlinkError},
    netns::{Named, Netns},
    results::{Path, PathKind, Workload},
    stop::Stop,
    traffic::{Endpoint, load::Ends},
    view::{Address, LinkStatistics, Offload, Offloads},
};

use kept::Kept;
use watcher::{Watcher, Watching};

/// MTU of every device of every path.
const MTU_BYTES: u32 = 1500;

/// A path that traffic can be sent over.
pub(super) struct BuiltPath {
    /// Which one.
    pub(super) path: Path,
    /// Ports of the fabric, when that is varied.
    pub(super) ports: Option<u32>,
    /// The end that begins.
    pub(super) client: End,
    /// The end that answers.
    pub(super) server: End,
    /// Where frames from the client have to be addressed to.
    pub(super) next_hop: Mac,
    /// What stands in front of the program of the fabric.
    _variant: Option<VariantPort>,
    /// What keeps an adopted bridge.
    _kept: Option<Kept>,
    /// Who watches it while it is measured.
    watcher: Option<Watcher>,
}

/// An end of a path: a device in a namespace.
pub(super) struct End {
    /// The namespace.
    pub(super) netns: Netns,
    /// The address of the device.
    pub(super) address: IpAddr,
    /// Its MAC address.
    pub(super) mac: Mac,
    /// Its index.
    pub(super) ifindex: Ifindex,
    /// Its name.
    pub(super) device: String,
    netlink: Mutex<Netlink>,
}

impl End {
    /// The end at `device` of `netns`.
    fn open(netns: Netns, device: &str, address: IpAddr) -> Result<Self, BenchError> {
        let mut netlink = netns.run(Netlink::open)??;
        let link = netlink.link_by_name(device)?;
        let link = link.ok_or_else(|| BenchError::Missing(device.to_owned()))?;
        Ok(Self {
            address,
            // The loopback device has none that matters.
            mac: link.mac.unwrap_or(Mac([0; 6])),
            ifindex: link.ifindex,
            device: link.name,
            netlink: Mutex::new(netlink),
            netns,
        })
    }

    /// The counters of its device.
    pub(super) fn statistics(&self) -> Result<LinkStatistics, NetlinkError> {
        self.netlink.lock().unwrap_or_else(PoisonError::into_inner).statistics(self.ifindex)
    }

    /// Its device, to attach to.
    pub(super) fn port(&self) -> PortDevice<'_> {
        PortDevice { ifindex: self.ifindex, name: &self.device }
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::new(&self.netns, self.address)
    }
}

impl BuiltPath {
    /// Both ends, on their CPUs.
    pub(super) fn ends(&self, placement: Placement) -> Ends<'_> {
        let Placement { client_cpu, server_cpu } = placement;
        let (client, server) = (self.client.endpoint(), self.server.endpoint());
        Ends { client, server, client_cpu, server_cpu }
    }

    /// Has it watched from now on, or no more, where that is what it is for.
    ///
    /// # Errors
    ///
    /// When that has failed.
    pub(super) fn watch(&self, is_on: bool) -> Result<(), BenchError> {
        self.watcher.as_ref().map_or(Ok(()), |watcher| watcher.watch(is_on))
    }

    /// What became of the frames that were captured there so far.
    pub(super) fn captured(&self) -> Option<CaptureTally> {
        let watcher = self.watcher.as_ref().filter(|_| self.path.kind == PathKind::Captured)?;
        Some(watcher.tally())
    }

    /// Whether this path can carry `workload`.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(super) fn supports(&self, workload: Workload) -> Result<(), String> {
        let reason = match (self.path.kind, workload) {
            (PathKind::Loopback, Workload::Frames | Workload::FramesXdp) => {
                "XDP frames cannot be sent through the loopback device"
            }
            (PathKind::Macvlan, Workload::Frames | Workload::FramesXdp) => {
                "XDP frames cannot be sent through a macvlan device"
            }
            (PathKind::Netkit, Workload::Frames | Workload::FramesXdp) => {
                "XDP frames cannot be sent through a netkit device"
            }
            (
                PathKind::Tc
                | PathKind::Adopted
                | PathKind::Pairs
                | PathKind::Captured
                | PathKind::Scraped
                | PathKind::Delayed(_),
                Workload::FramesXdp,
            ) => "frames that tc hands to the peer pass by its XDP program",
            _ => return Ok(()),
        };
        Err(reason.to_owned())
    }
}

/// Builds `path`, the `index`-th of its kind of all that are built, with so many ports.
///
/// # Errors
///
/// When the kernel lacks something for it, or refuses.
pub(super) fn build(
    path: Path,
    index: u8,
    ports: Option<u32>,
    options: &Options,
    stop: &Stop,
) -> Result<BuiltPath, BenchError> {
    let site = Site { index, ipv6: options.ipv6 };
    let mut built = match path.kind {
        PathKind::Direct => pair::direct(site)?,
        PathKind::Netkit => pair::netkit(site)?,
        PathKind::Macvlan => pair::macvlan(site)?,
        PathKind::Loopback => pair::loopback(site)?,
        PathKind::Route => route::build(site)?,
        PathKind::Bridge
        | PathKind::Redirect
        | PathKind::Tc
        | PathKind::Adopted
        | PathKind::Xdp
        | PathKind::Pairs
        | PathKind::Captured
        | PathKind::Scraped
        | PathKind::Delayed(_) => {
            fabric::build(site, path.kind, ports, &options.bridge_netfilter, stop)?
        }
    };
    built.path = path;
    built.ports = ports;
    Ok(built)
}

/// Where a path is built: what keeps its names and addresses apart from the others'.
#[derive(Clone, Copy)]
struct Site {
    index: u8,
    ipv6: bool,
}

/// The two ends of a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

impl Site {
    /// Name of the namespace of one end.
    fn netns_name(self, side: Side) -> String {
        match side {
            Side::Client => format!("p{}c", self.index),
            Side::Server => format!("p{}s", self.index),
        }
    }

    /// Makes a namespace with `lo` up.
    fn make_netns(name: &str) -> Result<Netns, BenchError> {
        let raise_lo = || {
            let mut netlink = Netlink::open()?;
            let lo = netlink.link_by_name("lo")?.map(|link| link.ifindex);
            let up = LinkChange { up: Some(true), ..LinkChange::default() };
            lo.map_or(Ok(()), |lo| netlink.change_link(lo, &up))
        };
        let (netns, ()) = Netns::create(name, "veth bench", raise_lo)??;
        Ok(netns)
    }

    /// Makes the namespaces of both ends.
    fn make_ends(self) -> Result<(Netns, Netns), BenchError> {
        let client = Self::make_netns(&self.netns_name(Side::Client))?;
        let server = Self::make_netns(&self.netns_name(Side::Server))?;
        Ok((client, server))
    }

    /// The address of one end, in the subnet `subnet` of this path.
    fn address(self, side: Side, subnet: u8) -> Address {
        self.host(subnet, if side == Side::Client { 1 } else { 2 })
    }

    /// An address in the subnet `subnet` of this path.
    fn host(self, subnet: u8, host: u8) -> Address {
        let Self { index, ipv6 } = self;
        if ipv6 {
            let segments = [0xfd76, 0x6574, index.into(), subnet.into(), 0, 0, 0, host.into()];
            Address { ip: Ipv6Addr::from(segments).into(), prefix_len: 64 }
        } else {
            let address = Ipv4Addr::new(10, 64 | index & 0x3f, subnet, host);
            Address { ip: address.into(), prefix_len: 24 }
        }
    }

    /// The MAC address of one end, or of what is in front of it.
    fn mac(self, side: Side, in_front: bool) -> Mac {
        let side = if side == Side::Client { 1 } else { 2 };
        Mac([0x02, 0x76, 0x65, self.index, u8::from(in_front), side])
    }
}

/// Gives `device` of `netns` its address, sets it up, and has it poll.
fn configure(netns: &Netns, device: &str, address: Address) -> Result<(), BenchError> {
    netns.run(|| -> Result<(), BenchError> {
        let mut netlink = Netlink::open()?;
        let link = netlink.link_by_name(device)?;
        let ifindex = link.ok_or_else(|| BenchError::Missing(device.to_owned()))?.ifindex;
        netlink.add_address(ifindex, address)?;
        netlink.change_link(ifindex, &LinkChange { up: Some(true), ..LinkChange::default() })?;
        poll(ifindex);
        Ok(())
    })?
}

/// Turns GRO on at a device of the calling thread's namespace: generated frames are taken only by a
/// device that polls. A device that cannot, cannot carry them either, which is found out then.
fn poll(ifindex: Ifindex) {
    let gro = Offloads::NONE.with(Offload::RxGro);
    let _ = Ethtool::open().and_then(|mut it| it.set_offloads(ifindex, gro, Offloads::NONE));
}

/// A path between two ends that frames are addressed to directly.
fn between(client: End, server: End) -> BuiltPath {
    let next_hop = server.mac;
    // The caller knows which one it is.
    let path = Path { kind: PathKind::Direct, number: 1 };
    BuiltPath {
        path,
        ports: None,
        client,
        server,
        next_hop,
        _variant: None,
        _kept: None,
        watcher: None,
    }
}

/// The namespace of that name, which was made.
fn open_netns(name: &str) -> Result<Netns, BenchError> {
    match Netns::look_up(name)? {
        Named::Namespace(netns) => Ok(netns),
        Named::Absent | Named::Remains(_) | Named::Other => {
            Err(BenchError::Missing(format!("namespace {name}")))
        }
    }
}
