//! Links: what a device is, and the requests that change and delete one.

use std::fmt;

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{
        AfSpecInet6, AfSpecUnspec, BridgeBooleanOptionFlags, BridgePortState, In6AddrGenMode,
        InfoBridge, InfoBridgePort, InfoData, InfoKind, InfoPortData, LinkAttribute, LinkFlags,
        LinkInfo, LinkMessage, LinkXdp, VlanProtocol,
    },
};
use veth_common::{Ifindex, Mac, PortSlot};

use super::{Netlink, NetlinkError, TICK_MS};
use crate::inventory::PairKind;
use crate::view::{BridgePort, Link, LinkKind, NetnsId, PeerRef, PortState, VlanFiltering};

/// Changes to a link, all in one request.
#[derive(Clone, Debug, Default)]
pub struct LinkChange<'a> {
    /// Set up or down.
    pub up: Option<bool>,
    /// Join this bridge; the index of no device leaves the present one.
    pub controller: Option<Ifindex>,
    /// New MTU in bytes.
    pub mtu_bytes: Option<u32>,
    /// New address.
    pub mac: Option<Mac>,
    /// New alias.
    pub alias: Option<&'a str>,
    /// New group.
    pub group: Option<u32>,
    /// No link-local address of its own (a bridge port has no use for one).
    pub no_ipv6_address: bool,
}

impl fmt::Display for LinkChange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { up, controller, mtu_bytes, mac, alias, group, no_ipv6_address } = self;
        let mut changes = Vec::new();
        changes.extend(up.map(|up| if up { "up" } else { "down" }.to_owned()));
        changes.extend(controller.map(|bridge| format!("controller {}", bridge.0)));
        changes.extend(mtu_bytes.map(|mtu| format!("MTU {mtu}")));
        changes.extend(mac.map(|mac| format!("address {mac}")));
        changes.extend(alias.map(|alias| format!("alias {alias}")));
        changes.extend(group.map(|group| format!("group {group}")));
        changes.extend(no_ipv6_address.then(|| "no IPv6 address".to_owned()));
        f.write_str(&changes.join(", "))
    }
}

impl Netlink {
    /// All links of the namespace.
    pub fn links(&mut self) -> Result<Vec<Link>, NetlinkError> {
        let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
        let answer = self.dump(&request, || "list links".into())?;
        Ok(answer.into_iter().filter_map(parse).collect())
    }

    /// The link of that name, or `None`.
    pub fn link_by_name(&mut self, name: &str) -> Result<Option<Link>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::IfName(name.to_owned()));
        self.link(message, || format!("look up link {name}"))
    }

    /// The link of that index, or `None`.
    pub fn link_by_index(&mut self, ifindex: Ifindex) -> Result<Option<Link>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = ifindex.0;
        self.link(message, || format!("look up link {}", ifindex.0))
    }

    /// Whether frames get through a link: it is up, and so is what it leads to.
    pub fn has_carrier(&mut self, ifindex: Ifindex) -> Result<bool, NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = ifindex.0;
        let action = || format!("look up the carrier of link {}", ifindex.0);
        match self.get(RouteNetlinkMessage::GetLink(message), action) {
            Ok(RouteNetlinkMessage::NewLink(link)) => {
                Ok(link.header.flags.contains(LinkFlags::LowerUp))
            }
            Ok(_) => Ok(false),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The far end of a veth or netkit pair, asked for from here, or `None` when it is gone or out of sight:
    /// in a namespace that has just ended, or that belongs to somebody else.
    ///
    /// # Minimum kernel version
    ///
    /// 4.15 (`IFLA_TARGET_NETNSID`), with `CAP_NET_ADMIN` over the other namespace.
    #[doc(alias = "IFLA_TARGET_NETNSID")]
    pub fn peer(&mut self, peer: PeerRef) -> Result<Option<Link>, NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = peer.ifindex.0;
        if let Some(NetnsId(id)) = peer.netns {
            message.attributes.push(LinkAttribute::IfNetnsId(id));
        }
        match self.link(message, || format!("look up peer {} ({:?})", peer.ifindex.0, peer.netns)) {
            Err(error) if error.is_invalid() || error.is_access() => Ok(None),
            result => result,
        }
    }

    fn link(
        &mut self,
        message: LinkMessage,
        action: impl Fn() -> String,
    ) -> Result<Option<Link>, NetlinkError> {
        match self.get(RouteNetlinkMessage::GetLink(message), action) {
            Ok(answer) => Ok(parse(answer)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Changes a link.
    pub fn change_link(
        &mut self,
        ifindex: Ifindex,
        change: &LinkChange<'_>,
    ) -> Result<(), NetlinkError> {
        let LinkChange { up, controller, mtu_bytes, mac, alias, group, no_ipv6_address } = change;
        let mut message = LinkMessage::default();
        message.header.index = ifindex.0;
        if let Some(up) = up {
            message.header.change_mask = LinkFlags::Up;
            message.header.flags = if *up { LinkFlags::Up } else { LinkFlags::empty() };
        }
        let attributes = &mut message.attributes;
        attributes.extend(controller.map(|bridge| LinkAttribute::Controller(bridge.0)));
        attributes.extend(mtu_bytes.map(LinkAttribute::Mtu));
        attributes.extend(mac.map(|mac| LinkAttribute::Address(mac.0.to_vec())));
        attributes.extend(alias.map(|alias| LinkAttribute::IfAlias(alias.to_owned())));
        attributes.extend(group.map(LinkAttribute::Group));
        if *no_ipv6_address {
            attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![
                AfSpecInet6::AddrGenMode(In6AddrGenMode::None),
            ])]));
        }
        self.execute(RouteNetlinkMessage::SetLink(message), 0, || {
            format!("change link {} ({change})", ifindex.0)
        })
    }

    /// Deletes a link; of a veth pair, both ends go.
    pub fn delete_link(&mut self, ifindex: Ifindex) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.header.index = ifindex.0;
        self.execute(RouteNetlinkMessage::DelLink(message), 0, || {
            format!("delete link {}", ifindex.0)
        })
    }

    /// Deletes all links of a group at once. The kernel waits for its readers once, where it
    /// would wait some milliseconds for each link.
    pub fn delete_group(&mut self, group: u32) -> Result<(), NetlinkError> {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::Group(group));
        self.execute(RouteNetlinkMessage::DelLink(message), 0, || {
            format!("delete the links of group {group:#x}")
        })
    }
}

fn parse(message: RouteNetlinkMessage) -> Option<Link> {
    match message {
        RouteNetlinkMessage::NewLink(message) => Some(link_of(message)),
        _ => None,
    }
}

/// The link that `message` describes.
fn link_of(message: LinkMessage) -> Link {
    let flags = message.header.flags;
    let mut link = Link {
        ifindex: Ifindex(message.header.index),
        name: String::new(),
        kind: LinkKind::Other(String::new()),
        mac: None,
        mtu_bytes: 0,
        is_up: flags.contains(LinkFlags::Up),
        group: 0,
        has_qdisc: false,
        promiscuity: 0,
        xdp_program: None,
        controller: None,
        peer: None,
        alias: None,
        bridge_port: None,
    };
    let (mut peer_index, mut peer_netns) = (None, None);
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::Address(bytes) => link.mac = bytes.try_into().ok().map(Mac),
            LinkAttribute::Mtu(mtu) => link.mtu_bytes = mtu,
            LinkAttribute::Controller(bridge) => link.controller = Some(Ifindex(bridge)),
            LinkAttribute::Link(peer) => peer_index = Some(Ifindex(peer)),
            LinkAttribute::LinkNetNsId(id) => peer_netns = Some(NetnsId(id)),
            LinkAttribute::IfAlias(alias) => link.alias = Some(alias),
            LinkAttribute::Group(group) => link.group = group,
            LinkAttribute::Qdisc(name) => {
                link.has_qdisc = !matches!(name.as_str(), "noqueue" | "noop");
            }
            // The flag of the header is that of users alone, who are not all that ask.
            LinkAttribute::Promiscuity(count) => link.promiscuity = count,
            LinkAttribute::Xdp(settings) => {
                link.xdp_program = settings.iter().find_map(|setting| match setting {
                    LinkXdp::ProgId(id) => Some(*id),
                    _ => None,
                });
            }
            LinkAttribute::LinkInfo(infos) => take_infos(&mut link, &infos),
            _ => {}
        }
    }
    // Other kinds use the same attribute for a device below (VLAN) or around (tunnel).
    if PairKind::of(&link.kind).is_some() {
        link.peer = peer_index.map(|ifindex| PeerRef { ifindex, netns: peer_netns });
    }
    link
}

fn take_infos(link: &mut Link, infos: &[LinkInfo]) {
    for info in infos {
        match info {
            LinkInfo::Kind(InfoKind::Veth) => link.kind = LinkKind::Veth,
            LinkInfo::Kind(InfoKind::Bridge) => {
                link.kind = LinkKind::Bridge {
                    vlan_filtering: VlanFiltering::Off,
                    ageing_ms: 0,
                    calls_netfilter: false,
                };
            }
            LinkInfo::Kind(kind) => link.kind = LinkKind::Other(kind.to_string()),
            LinkInfo::Data(InfoData::Bridge(settings)) => {
                let ageing = settings.iter().find_map(|setting| match setting {
                    InfoBridge::AgeingTime(ticks) => Some(*ticks),
                    _ => None,
                });
                link.kind = LinkKind::Bridge {
                    vlan_filtering: vlan_filtering_of(settings),
                    ageing_ms: u64::from(ageing.unwrap_or_default()) * TICK_MS,
                    calls_netfilter: calls_netfilter(settings),
                };
            }
            LinkInfo::PortData(InfoPortData::BridgePort(settings)) => {
                link.bridge_port = Some(bridge_port_of(settings));
            }
            _ => {}
        }
    }
}

fn vlan_filtering_of(settings: &[InfoBridge]) -> VlanFiltering {
    if !settings.contains(&InfoBridge::VlanFiltering(true)) {
        return VlanFiltering::Off;
    }
    if !settings.contains(&InfoBridge::VlanProtocol(VlanProtocol::Ieee8021Q)) {
        return VlanFiltering::OtherProtocol;
    }
    let has_trees = settings.iter().any(|setting| match setting {
        InfoBridge::MultiBoolOpt(options) => {
            options.value.contains(BridgeBooleanOptionFlags::MstEnable)
        }
        _ => false,
    });
    if has_trees { VlanFiltering::SpanningTrees } else { VlanFiltering::Plain }
}

fn calls_netfilter(settings: &[InfoBridge]) -> bool {
    settings.iter().any(|setting| {
        matches!(
            setting,
            InfoBridge::NfCallIpTables(true)
                | InfoBridge::NfCallIp6Tables(true)
                | InfoBridge::NfCallArpTables(true)
        )
    })
}

fn bridge_port_of(settings: &[InfoBridgePort]) -> BridgePort {
    let mut port = BridgePort {
        slot: PortSlot::UNKNOWN,
        state: PortState::NotForwarding,
        isolated: false,
        learning: true,
        locked: false,
        answers_neighbours: false,
        tunnels_vlans: false,
    };
    for setting in settings {
        match *setting {
            InfoBridgePort::PortNumber(number) => port.slot = PortSlot(number),
            InfoBridgePort::State(BridgePortState::Forwarding) => {
                port.state = PortState::Forwarding;
            }
            InfoBridgePort::Isolated(on) => port.isolated = on,
            InfoBridgePort::Learning(on) => port.learning = on,
            InfoBridgePort::Locked(on) => port.locked = on,
            InfoBridgePort::ProxyARP(on)
            | InfoBridgePort::ProxyARPWifi(on)
            | InfoBridgePort::NeighSupress(on)
            | InfoBridgePort::NeighVlanSuppress(on) => port.answers_neighbours |= on,
            InfoBridgePort::VlanTunnel(on) => port.tunnels_vlans = on,
            _ => {}
        }
    }
    port
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::BridgeBooleanOptions;

    use super::*;

    #[test]
    fn vlans_are_filtered_plainly_by_tags_of_802_1q_without_spanning_trees_only() {
        let on = InfoBridge::VlanFiltering(true);
        let plain = InfoBridge::VlanProtocol(VlanProtocol::Ieee8021Q);
        let other = InfoBridge::VlanProtocol(VlanProtocol::Ieee8021Ad);
        let options = |value| {
            let mask = BridgeBooleanOptionFlags::all();
            InfoBridge::MultiBoolOpt(BridgeBooleanOptions { value, mask })
        };
        let snooping = options(BridgeBooleanOptionFlags::VlanMulticastSnooping);
        let trees = options(BridgeBooleanOptionFlags::MstEnable);
        for (settings, wanted) in [
            (vec![plain.clone(), trees.clone()], VlanFiltering::Off),
            (vec![InfoBridge::VlanFiltering(false), plain.clone()], VlanFiltering::Off),
            (vec![on.clone()], VlanFiltering::OtherProtocol),
            (vec![on.clone(), other, trees.clone()], VlanFiltering::OtherProtocol),
            (vec![on.clone(), plain.clone()], VlanFiltering::Plain),
            (vec![on.clone(), plain.clone(), snooping], VlanFiltering::Plain),
            (vec![on, plain, trees], VlanFiltering::SpanningTrees),
        ] {
            assert_eq!(vlan_filtering_of(&settings), wanted, "{settings:?}");
        }
    }
}
