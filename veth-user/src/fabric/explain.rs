//! Explaining what becomes of a frame, with the fabric as it is. Nothing is changed, and no frame is
//! sent.

use std::{net::IpAddr, os::fd::AsFd as _};

use veth_common::{Ifindex, Mac, Verdict};
use veth_ebpf::packet::Bytes;

use super::{FabricError, FabricStatus, PortStatus, status};
use crate::{
    datapath::{self, DryRun},
    explanation::{Explanation, explain, frame},
    forwarding::FastPath,
    netlink::{Netlink, NetlinkError},
    netns::{self, Named, Netns},
    sync::{now_ns, observe_bridge},
    topology::FabricName,
    view::{BridgeView, NetnsId, PortView, Way},
};

/// How often a frame is looked at again when leases end or entries change meanwhile.
const LOOKS: usize = 3;

/// A fabric with its program, ready to be asked.
pub struct Explainer {
    host: Netlink,
    view: BridgeView,
    status: FabricStatus,
    path: FastPath,
    dry_run: DryRun,
}

/// Where a frame comes from.
#[derive(Clone, Debug)]
pub struct Source {
    /// The port that it arrives on.
    pub port: Ifindex,
    /// Its name.
    pub name: String,
    /// The address of its peer, which is what frames are from.
    pub mac: Option<Mac>,
}

/// A frame that a station would send to an IP address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// This one.
    Frame {
        /// Its bytes.
        frame: Vec<u8>,
        /// How it came to be that one, a sentence.
        note: String,
    },
    /// None, because of this.
    Nothing(String),
}

/// What becomes of a frame.
pub struct Explained {
    /// The verdict of the program, or of the same decision made here where the kernel runs no program on
    /// such a frame.
    pub verdict: Verdict,
    /// Whether it was the program.
    pub has_run: bool,
    /// The steps, which end with a verdict of their own.
    pub explanation: Explanation,
    /// What stands in the way of the fast path, beyond what the frame itself says.
    pub obstacles: Vec<Obstacle>,
}

/// Something that keeps a frame off the fast path.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Obstacle {
    /// The port that it is about, if it is about one.
    pub port: Option<String>,
    /// What it is, a sentence.
    pub text: String,
    /// What would change it, where a command line does.
    pub remedy: Option<String>,
}

impl Explainer {
    /// Looks at `fabric`, and loads its program a second time.
    ///
    /// # Errors
    ///
    /// When there is no such fabric, it has no datapath, or the kernel refuses something.
    pub fn open(fabric: &FabricName) -> Result<Self, FabricError> {
        let status = status(fabric)?;
        let mut host = Netlink::open()?;
        let no_datapath = || FabricError::NoDatapath(fabric.to_string());
        let path = datapath::pinned_path(fabric.as_str()).ok_or_else(no_datapath)?;
        let view = observe_bridge(&mut host, fabric.as_str())?
            .ok_or_else(|| FabricError::NoBridge(fabric.to_string()))?;
        let dry_run = DryRun::load(fabric.as_str(), path)?.ok_or_else(no_datapath)?;
        Ok(Self { host, view, status, path, dry_run })
    }

    /// Which fast path the fabric has.
    pub const fn path(&self) -> FastPath {
        self.path
    }

    /// Whether the program that is asked is the one that the ports run.
    pub const fn is_attached_one(&self) -> bool {
        self.dry_run.is_attached_one()
    }

    /// The port called `name`, or that of the namespace called so. `None` when there is neither.
    ///
    /// # Errors
    ///
    /// When the kernel cannot be asked.
    pub fn source(&mut self, name: &str) -> Result<Option<Source>, FabricError> {
        let port = match self.view.ports.iter().find(|port| port.link.name == name) {
            Some(port) => Some(port),
            None => match Netns::look_up(name)? {
                Named::Namespace(netns) => {
                    let id = self.host.netns_id(netns.as_fd())?;
                    self.view.ports.iter().find(|port| id.is_some() && netns_of(port) == id)
                }
                Named::Absent | Named::Remains(_) | Named::Other => None,
            },
        };
        Ok(port.map(source_of))
    }

    /// The frame that the station behind `source` would send now to reach `to`.
    ///
    /// # Errors
    ///
    /// When the namespace of the station cannot be looked into.
    pub fn outgoing(
        &mut self,
        source: &Source,
        mac: Mac,
        to: IpAddr,
    ) -> Result<Outgoing, FabricError> {
        let Some(port) = self.view.ports.iter().find(|it| it.link.ifindex == source.port) else {
            return Ok(Outgoing::Nothing(format!("port {} is gone", source.name)));
        };
        let peer = port.peer.as_ref().map(|peer| peer.ifindex);
        let (Some(id), Some(peer)) = (netns_of(port), peer) else {
            let text = format!("the namespace behind port {} cannot be seen", source.name);
            return Ok(Outgoing::Nothing(text));
        };
        let Some(netns) = self.open_netns(id)? else {
            let text = format!("the namespace behind port {} cannot be found", source.name);
            return Ok(Outgoing::Nothing(text));
        };
        let (way, next_hop, known) = netns.run(|| {
            let mut netlink = Netlink::open()?;
            let way = netlink.way_to(to)?;
            let own = netlink.addresses_of_all()?;
            // Everybody in a subnet needs no asking for.
            if own.iter().any(|(link, own)| *link == peer && frame::is_broadcast_of(own, to)) {
                return Ok((way, to, Some(Mac::BROADCAST)));
            }
            let next_hop = match way {
                Way::Out { gateway: Some(gateway), .. } => gateway,
                _ => to,
            };
            let known = netlink.neighbour(peer, next_hop)?;
            Ok::<_, NetlinkError>((way, next_hop, known))
        })??;
        Ok(match way {
            Way::Local => Outgoing::Nothing(format!("{to} is the sender's own address")),
            Way::Refused => Outgoing::Nothing(format!("the sender has a route that refuses {to}")),
            Way::Nowhere => Outgoing::Nothing(format!("the sender has no route to {to}")),
            Way::Out { link, .. } if link != peer => Outgoing::Nothing(format!(
                "the sender reaches {to} through another device than the one behind port {}",
                source.name
            )),
            Way::Out { source: from, .. } => sent(mac, from, to, next_hop, known),
        })
    }

    /// The ports, by name.
    pub fn sources(&self) -> Vec<Source> {
        self.view.ports.iter().map(source_of).collect()
    }

    /// Says what becomes of `frame`, which arrives on the port of `source`. Where `gso_size_bytes` is not
    /// zero, the frame is going to be segments with so much payload.
    ///
    /// # Errors
    ///
    /// When the maps cannot be read, or the program cannot be run.
    pub fn explain(
        &mut self,
        source: &Source,
        frame: &[u8],
        gso_size_bytes: u32,
    ) -> Result<Explained, FabricError> {
        let ports: Vec<(Ifindex, String)> =
            self.view.ports.iter().map(|it| (it.link.ifindex, it.link.name.clone())).collect();
        let bridge = (self.view.bridge.ifindex, self.view.bridge.name.clone());
        let name = |ifindex: Ifindex| {
            let mut known = ports.iter().chain([&bridge]);
            let named = known.find(|(it, _)| *it == ifindex).map(|(_, name)| name.clone());
            named.unwrap_or_else(|| format!("with index {}", ifindex.0))
        };
        let stations = stations_of(frame);
        let mut looks = 0;
        loop {
            let entries = self.dry_run.entries(source.port, &stations, now_ns())?;
            let packet = Bytes { gso_size_bytes, ..Bytes::linear(frame) };
            let explanation = explain(&packet, &entries, &name);
            let ran = self.dry_run.run(frame, gso_size_bytes, &entries)?;
            looks += 1;
            // A lease may have ended between the two.
            if ran.is_some_and(|verdict| verdict != explanation.verdict) && looks < LOOKS {
                continue;
            }
            let verdict = ran.unwrap_or(explanation.verdict);
            let obstacles = self.obstacles(source, verdict, &explanation);
            return Ok(Explained { verdict, has_run: ran.is_some(), explanation, obstacles });
        }
    }

    /// The namespace that the host knows by `id`.
    fn open_netns(&mut self, id: NetnsId) -> Result<Option<Netns>, FabricError> {
        for found in netns::discover()?.namespaces {
            // One that is gone, or may not be opened, is not it.
            let Ok(Some(netns)) = found.open() else { continue };
            if self.host.netns_id(netns.as_fd())? == Some(id) {
                return Ok(Some(netns));
            }
        }
        Ok(None)
    }

    fn obstacles(
        &self,
        source: &Source,
        verdict: Verdict,
        explanation: &Explanation,
    ) -> Vec<Obstacle> {
        let mut obstacles: Vec<Obstacle> = self.not_attached(source).into_iter().collect();
        if verdict.is_fast() {
            return obstacles;
        }
        for port in [Some(source.port), explanation.target].into_iter().flatten() {
            let Some(status) = self.port_status(port) else { continue };
            let is_told = obstacles.iter().any(|it| it.port.as_ref() == Some(&status.name));
            if let Some(text) = status.explanation.as_ref().filter(|_| !is_told) {
                obstacles.push(Obstacle {
                    port: Some(status.name.clone()),
                    text: format!("port {} is left to the bridge: {text}", status.name),
                    remedy: None,
                });
            }
        }
        obstacles.extend(self.of_verdict(source, verdict, explanation));
        obstacles
    }

    /// A port without the program, whose frames nobody looks at.
    fn not_attached(&self, source: &Source) -> Option<Obstacle> {
        let status = self.port_status(source.port)?;
        status.hook.is_none().then(|| Obstacle {
            port: Some(source.name.clone()),
            text: format!(
                "no program is attached to port {}, so its frames go to the bridge uncounted{}",
                source.name,
                status.explanation.as_ref().map(|it| format!(": {it}")).unwrap_or_default()
            ),
            remedy: None,
        })
    }

    fn of_verdict(
        &self,
        source: &Source,
        verdict: Verdict,
        explanation: &Explanation,
    ) -> Option<Obstacle> {
        let general = |text: String, remedy| Some(Obstacle { port: None, text, remedy });
        let name = &source.name;
        let target = explanation.target.and_then(|port| self.port_status(port));
        match verdict {
            Verdict::SourceExpired | Verdict::DestinationExpired if !self.status.is_kept => {
                general(
                    "nobody renews what the fast path may use".into(),
                    Some(format!("veth agent {}", self.status.fabric)),
                )
            }
            Verdict::Isolated => general(
                "both ports are isolated, and one that is not is enough".into(),
                Some(format!("bridge link set dev {name} isolated off")),
            ),
            Verdict::SourceUnknown | Verdict::SourceMoved => {
                let own = source.mac.map(|mac| format!(", {mac}")).unwrap_or_default();
                general(
                    format!("the fast path serves the address of the peer of port {name}{own}"),
                    None,
                )
            }
            Verdict::TooBig => general(
                format!(
                    "the frame is larger than the MTU of port {}, or of its peer",
                    target.map_or("?", |it| it.name.as_str())
                ),
                None,
            ),
            Verdict::DestinationIneligible if target.is_some_and(|it| it.explanation.is_none()) => {
                general("the address is not that of the peer of its port".into(), None)
            }
            _ => None,
        }
    }

    fn port_status(&self, port: Ifindex) -> Option<&PortStatus> {
        self.status.ports.iter().find(|it| it.ifindex == port.0)
    }
}

/// The frame that is sent to `to`, by way of `next_hop`, when that is known to have the address `known`.
fn sent(
    mac: Mac,
    from: Option<IpAddr>,
    to: IpAddr,
    next_hop: IpAddr,
    known: Option<Mac>,
) -> Outgoing {
    let via =
        if next_hop == to { String::new() } else { format!(" through the router {next_hop}") };
    let ips = from.map(|from| (from, to));
    if let Some(group) = frame::group_mac(to) {
        let note = format!("{to} is a group, so frames to it have the address {group}");
        return Outgoing::Frame { frame: frame::datagram(mac, group, ips), note };
    }
    if known == Some(Mac::BROADCAST) {
        let note = format!("{to} is everybody in the sender's subnet");
        return Outgoing::Frame { frame: frame::datagram(mac, Mac::BROADCAST, ips), note };
    }
    if let Some(known) = known {
        let note = format!("the sender reaches {to}{via}, and knows {next_hop} as {known}");
        return Outgoing::Frame { frame: frame::datagram(mac, known, ips), note };
    }
    let how = if to.is_ipv4() { "ARP asks everybody" } else { "neighbour discovery asks a group" };
    let note = format!(
        "the sender does not know the MAC address of {next_hop} (yet), so before anything else {how}, \
         and this is about that frame"
    );
    Outgoing::Frame { frame: frame::question(mac, from, next_hop), note }
}

/// Sender and receiver of a frame, in this order; nothing of a runt.
fn stations_of(frame: &[u8]) -> Vec<Mac> {
    let mac = |at: usize| frame.get(at..at + 6)?.try_into().ok().map(Mac);
    match (mac(6), mac(0)) {
        (Some(source), Some(destination)) => vec![source, destination],
        _ => Vec::new(),
    }
}

fn source_of(port: &PortView) -> Source {
    Source {
        port: port.link.ifindex,
        name: port.link.name.clone(),
        mac: port.peer.as_ref().and_then(|peer| peer.mac),
    }
}

fn netns_of(port: &PortView) -> Option<NetnsId> {
    port.link.peer?.netns
}
