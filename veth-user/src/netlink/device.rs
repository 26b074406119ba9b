//! Making devices: each is born where it will live, in one request, with all it needs but being
//! up. (The kernel opens an end of a pair that is to be born up before it knows the other end, and
//! fails.)

use std::os::fd::{AsRawFd as _, BorrowedFd};

use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{
        BridgeStpState, InfoBridge, InfoData, InfoKind, InfoMacVlan, InfoNetkit, InfoVeth,
        LinkAttribute, LinkInfo, LinkMessage, MacVlanMode, NetkitMode,
    },
};
use veth_common::{Ifindex, Mac};

use super::{Netlink, NetlinkError};

/// A device to make.
#[derive(Clone, Copy, Debug)]
pub struct NewDevice<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its address.
    pub mac: Mac,
    /// Its MTU in bytes.
    pub mtu_bytes: u32,
    /// Its namespace; `None` for that of the socket.
    pub netns: Option<BorrowedFd<'a>>,
}

/// A veth pair to make: one end here, in the bridge, the other in a namespace.
#[derive(Clone, Debug)]
pub struct VethPair<'a> {
    /// Name of the end that stays here.
    pub port: &'a str,
    /// Its address.
    pub port_mac: Mac,
    /// Name of the end in the namespace.
    pub peer: &'a str,
    /// Its address.
    pub peer_mac: Mac,
    /// The namespace of the peer.
    pub peer_netns: BorrowedFd<'a>,
    /// MTU of both ends.
    pub mtu_bytes: u32,
}

impl Netlink {
    /// Makes a bridge that forwards at once (no spanning tree), down.
    pub fn create_bridge(
        &mut self,
        name: &str,
        mac: Mac,
        mtu_bytes: u32,
    ) -> Result<(), NetlinkError> {
        let settings = InfoData::Bridge(vec![InfoBridge::StpState(BridgeStpState::Disabled)]);
        let bridge = NewDevice { name, mac, mtu_bytes, netns: None };
        let message = message_of(&bridge, InfoKind::Bridge, Some(settings));
        self.create(message, || format!("create bridge {name}"))
    }

    /// Makes a veth pair: the port here, the peer in its namespace, both down.
    pub fn create_veth_pair(&mut self, pair: &VethPair<'_>) -> Result<(), NetlinkError> {
        let &VethPair { port, port_mac, peer, peer_mac, peer_netns, mtu_bytes } = pair;
        self.create_veth([
            &NewDevice { name: port, mac: port_mac, mtu_bytes, netns: None },
            &NewDevice { name: peer, mac: peer_mac, mtu_bytes, netns: Some(peer_netns) },
        ])
    }

    /// Makes a veth pair, each end in its namespace, both down.
    pub fn create_veth(&mut self, ends: [&NewDevice<'_>; 2]) -> Result<(), NetlinkError> {
        let names = ends.map(|end| end.name);
        self.create(veth(ends), || format!("create veth pair {}/{}", names[0], names[1]))
    }

    /// Makes a netkit pair for whole Ethernet frames, each end in its namespace, both down. The
    /// first is the one that can be told what to do with frames.
    ///
    /// # Errors
    ///
    /// [Unknown kind](NetlinkError::is_unknown_kind) on a kernel without netkit.
    ///
    /// # Minimum kernel version
    ///
    /// 6.7, with `CONFIG_NETKIT`.
    #[doc(alias = "IFLA_NETKIT_PEER_INFO")]
    pub fn create_netkit(&mut self, ends: [&NewDevice<'_>; 2]) -> Result<(), NetlinkError> {
        let names = ends.map(|end| end.name);
        self.create(netkit(ends), || format!("create netkit pair {}/{}", names[0], names[1]))
    }

    /// Makes a macvlan device on `parent`, a device of the socket's namespace, down. Those on one
    /// parent reach each other directly.
    #[doc(alias = "MACVLAN_MODE_BRIDGE")]
    pub fn create_macvlan(
        &mut self,
        device: &NewDevice<'_>,
        parent: Ifindex,
    ) -> Result<(), NetlinkError> {
        let settings = InfoData::MacVlan(vec![InfoMacVlan::Mode(MacVlanMode::Bridge)]);
        let mut message = message_of(device, InfoKind::MacVlan, Some(settings));
        message.attributes.push(LinkAttribute::Link(parent.0));
        self.create(message, || format!("create macvlan {} on link {}", device.name, parent.0))
    }

    /// Makes a dummy device, which has no other end, down.
    pub fn create_dummy(&mut self, device: &NewDevice<'_>) -> Result<(), NetlinkError> {
        let message = message_of(device, InfoKind::Dummy, None);
        self.create(message, || format!("create dummy {}", device.name))
    }

    fn create(
        &mut self,
        message: LinkMessage,
        action: impl Fn() -> String,
    ) -> Result<(), NetlinkError> {
        self.execute(RouteNetlinkMessage::NewLink(message), NLM_F_CREATE | NLM_F_EXCL, action)
    }
}

fn veth([end, other]: [&NewDevice<'_>; 2]) -> LinkMessage {
    message_of(end, InfoKind::Veth, Some(InfoData::Veth(InfoVeth::Peer(bare(other)))))
}

fn netkit([end, other]: [&NewDevice<'_>; 2]) -> LinkMessage {
    let settings = vec![InfoNetkit::Mode(NetkitMode::L2), InfoNetkit::Peer(bare(other))];
    message_of(end, InfoKind::Netkit, Some(InfoData::Netkit(settings)))
}

fn message_of(device: &NewDevice<'_>, kind: InfoKind, settings: Option<InfoData>) -> LinkMessage {
    let mut infos = vec![LinkInfo::Kind(kind)];
    infos.extend(settings.map(LinkInfo::Data));
    let mut message = bare(device);
    message.attributes.push(LinkAttribute::LinkInfo(infos));
    message
}

/// What is said of every device.
fn bare(&NewDevice { name, mac, mtu_bytes, netns }: &NewDevice<'_>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Address(mac.0.to_vec()),
        LinkAttribute::Mtu(mtu_bytes),
    ];
    message.attributes.extend(netns.map(|netns| LinkAttribute::NetNsFd(netns.as_raw_fd())));
    message
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd as _};

    use netlink_packet_core::Emitable as _;

    use super::{
        super::attributes::{attribute, attributes_of},
        *,
    };

    /// Length of `struct ifinfomsg`, in bytes.
    const HEADER_BYTES: usize = 16;

    // Of `linux/if_link.h`.
    const IFLA_ADDRESS: u16 = 1;
    const IFLA_IFNAME: u16 = 3;
    const IFLA_MTU: u16 = 4;
    const IFLA_LINKINFO: u16 = 18;
    const IFLA_NET_NS_FD: u16 = 28;
    const IFLA_INFO_KIND: u16 = 1;
    const IFLA_INFO_DATA: u16 = 2;
    const IFLA_NETKIT_PEER_INFO: u16 = 1;
    const IFLA_NETKIT_MODE: u16 = 5;
    const NETKIT_L2: u32 = 0;

    fn bytes_of(message: &LinkMessage) -> Vec<u8> {
        let mut bytes = vec![0xff; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    #[track_caller]
    fn assert_describes(attributes: &[u8], device: &NewDevice<'_>) {
        let name = attribute(attributes, IFLA_IFNAME).map(|name| name.strip_suffix(&[0]));
        assert_eq!(name, Some(Some(device.name.as_bytes())));
        assert_eq!(attribute(attributes, IFLA_ADDRESS), Some(&device.mac.0[..]));
        let mtu = device.mtu_bytes.to_ne_bytes();
        assert_eq!(attribute(attributes, IFLA_MTU), Some(&mtu[..]));
        let netns = device.netns.map(|netns| netns.as_raw_fd().to_ne_bytes());
        assert_eq!(attribute(attributes, IFLA_NET_NS_FD), netns.as_ref().map(|fd| &fd[..]));
    }

    #[test]
    fn netkit_pair_is_said_as_the_kernel_reads_it() {
        let files = [(); 2].map(|()| File::open("/proc/self/ns/net").expect("its own"));
        let device = |name, last, file: usize| NewDevice {
            name,
            mac: Mac([2, 0, 0, 0, 0, last]),
            mtu_bytes: 9000,
            netns: Some(files[file].as_fd()),
        };
        let [red, blue] = [device("red", 1, 0), device("blue", 2, 1)];
        let bytes = bytes_of(&netkit([&red, &blue]));
        let attributes = &bytes[HEADER_BYTES..];
        assert_describes(attributes, &red);

        let info = attribute(attributes, IFLA_LINKINFO).expect("says what it is");
        let kind = attribute(info, IFLA_INFO_KIND).expect("of a kind");
        assert!(kind.starts_with(b"netkit"), "{kind:?}");
        let data = attribute(info, IFLA_INFO_DATA).expect("with settings");
        assert_eq!(attribute(data, IFLA_NETKIT_MODE), Some(&NETKIT_L2.to_ne_bytes()[..]));
        assert_eq!(attributes_of(data).count(), 2, "everything else is as it is by default");
        let peer = attribute(data, IFLA_NETKIT_PEER_INFO).expect("with another end");
        assert_eq!(peer[..HEADER_BYTES], [0; HEADER_BYTES], "down, and with any index");
        assert_describes(&peer[HEADER_BYTES..], &blue);
    }

    #[test]
    fn device_of_the_sockets_namespace_names_none() {
        let device = NewDevice { name: "d", mac: Mac([2; 6]), mtu_bytes: 68, netns: None };
        let bytes = bytes_of(&message_of(&device, InfoKind::Dummy, None));
        assert_describes(&bytes[HEADER_BYTES..], &device);
        let info = attribute(&bytes[HEADER_BYTES..], IFLA_LINKINFO).expect("says what it is");
        assert_eq!(attributes_of(info).count(), 1, "a dummy has no settings");
    }
}
