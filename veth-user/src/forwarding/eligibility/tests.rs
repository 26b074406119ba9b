//! What leaves a port to the bridge, and what does not.

use std::collections::BTreeMap;

use veth_common::{Ifindex, Vlan};

use super::*;
use crate::{
    forwarding::tables::tests::{pair, view},
    view::{Bypasses, PeerRef, Pvid},
};

#[track_caller]
fn refused(change: impl FnOnce(&mut BridgeView), reason: Ineligible) {
    let mut view = view(vec![pair(5, 1), pair(6, 2)]);
    change(&mut view);
    assert_eq!(eligibility(&view, &view.ports[0], FastPath::Tc), Err(reason));
}

fn bridge_port(view: &mut BridgeView) -> &mut crate::view::BridgePort {
    view.ports[0].link.bridge_port.as_mut().expect("made as a bridge port")
}

#[test]
fn ordinary_port_is_eligible() {
    let view = view(vec![pair(5, 1)]);
    assert_eq!(eligibility(&view, &view.ports[0], FastPath::Tc), Ok(()));
    assert!(is_hookable(&view.ports[0], FastPath::Tc));
}

#[test]
fn bridge_that_is_down_serves_nobody() {
    refused(|view| view.bridge.is_up = false, Ineligible::BridgeDown);
}

/// A bridge whose first port has untagged frames in VLAN 10, and its second in VLAN 20.
fn filter_vlans(view: &mut BridgeView) -> &mut BTreeMap<Ifindex, Pvid> {
    let vlan_filtering = VlanFiltering::Plain;
    view.bridge.kind = LinkKind::Bridge { vlan_filtering, ageing_ms: 0, calls_netfilter: false };
    let pvid = |id| Pvid { vlan: Vlan(id), is_untagged: true, state: PortState::Forwarding };
    view.pvids.insert([(Ifindex(5), pvid(10)), (Ifindex(6), pvid(20))].into())
}

#[test]
fn port_with_an_untagged_pvid_is_eligible_whatever_that_of_others_is() {
    let mut view = view(vec![pair(5, 1), pair(6, 2)]);
    filter_vlans(&mut view).remove(&Ifindex(6));
    assert_eq!(eligibility(&view, &view.ports[0], FastPath::Tc), Ok(()));
    assert_eq!(eligibility(&view, &view.ports[1], FastPath::Tc), Err(Ineligible::NoPvid));
    assert_eq!(view.vlan_of(Ifindex(5)), Vlan(10));
}

#[test]
fn port_whose_untagged_frames_the_bridge_would_tag_or_drop_is_refused() {
    let pvid = |view: &mut BridgeView, change: fn(&mut Pvid)| {
        change(filter_vlans(view).get_mut(&Ifindex(5)).expect("made with it"));
    };
    refused(|view| filter_vlans(view).clear(), Ineligible::NoPvid);
    refused(|view| pvid(view, |it| it.is_untagged = false), Ineligible::PvidTagged);
    refused(
        |view| pvid(view, |it| it.state = PortState::NotForwarding),
        Ineligible::PvidNotForwarding,
    );
    let tunnels = |view: &mut BridgeView| {
        filter_vlans(view);
        bridge_port(view).tunnels_vlans = true;
    };
    refused(tunnels, Ineligible::VlanTunnel);
}

#[test]
fn bridge_that_filters_otherwise_or_unseen_serves_nobody() {
    let filter = |view: &mut BridgeView, vlan_filtering| {
        filter_vlans(view);
        view.bridge.kind =
            LinkKind::Bridge { vlan_filtering, ageing_ms: 0, calls_netfilter: false };
    };
    let filtering = VlanFiltering::OtherProtocol;
    refused(|view| filter(view, filtering), Ineligible::VlanProtocol);
    let filtering = VlanFiltering::SpanningTrees;
    refused(|view| filter(view, filtering), Ineligible::VlanSpanningTrees);
    let unseen = |view: &mut BridgeView| {
        filter_vlans(view);
        view.pvids = None;
    };
    refused(unseen, Ineligible::VlanFiltering);
}

#[test]
fn vlans_of_a_bridge_that_does_not_filter_them_are_no_matter() {
    let mut view = view(vec![pair(5, 1)]);
    filter_vlans(&mut view).clear();
    bridge_port(&mut view).tunnels_vlans = true;
    let vlan_filtering = VlanFiltering::Off;
    view.bridge.kind = LinkKind::Bridge { vlan_filtering, ageing_ms: 0, calls_netfilter: false };
    assert_eq!(eligibility(&view, &view.ports[0], FastPath::Tc), Ok(()));
    assert_eq!(view.vlan_of(Ifindex(5)), Vlan::NONE);
}

#[test]
fn port_settings_that_the_datapath_cannot_honour_refuse_it() {
    refused(|view| bridge_port(view).locked = true, Ineligible::Locked);
    refused(|view| bridge_port(view).learning = false, Ineligible::LearningOff);
    refused(|view| bridge_port(view).answers_neighbours = true, Ineligible::AnswersNeighbours);
    refused(|view| bridge_port(view).state = PortState::NotForwarding, Ineligible::NotForwarding);
    refused(|view| bridge_port(view).slot.0 = 0, Ineligible::NoSlot);
    refused(|view| view.ports[0].link.is_up = false, Ineligible::Down);
}

#[test]
fn what_the_fast_path_would_pass_by_refuses_it() {
    refused(|view| view.ports[0].link.has_qdisc = true, Ineligible::Qdisc);
    refused(
        |view| view.ports[0].peer.as_mut().expect("has a peer").xdp_program = Some(7),
        Ineligible::PeerXdp,
    );
}

#[test]
fn port_through_which_the_bridge_would_send_frames_changed_is_left_to_it() {
    for offload in Offload::ALL {
        let off = Some(Offloads::from([offload]));
        if KEEPS_FRAMES_WHOLE.contains(offload) {
            refused(|view| view.ports[0].unused_offloads = off, Ineligible::PortOffloads);
        } else {
            let port = PortView { unused_offloads: off, ..pair(5, 1) };
            let view = view(vec![port]);
            assert_eq!(eligibility(&view, &view.ports[0], FastPath::Tc), Ok(()), "{offload}");
        }
    }
    refused(|view| view.ports[0].unused_offloads = None, Ineligible::PortUnseen);
    // XDP frames are finished before they are sent.
    let view = view(vec![PortView { unused_offloads: None, ..prepared() }]);
    assert_eq!(eligibility(&view, &view.ports[0], FastPath::Xdp), Ok(()));
}

#[test]
fn what_was_found_on_the_way_refuses_it_until_it_is_accepted() {
    for bypass in Bypass::ALL {
        let found = Bypasses::from([bypass]);
        refused(|view| view.bypassed = found, Ineligible::Bypassed(bypass));
        refused(|view| view.ports[0].bypassed = found, Ineligible::Bypassed(bypass));

        let mut view = view(vec![pair(5, 1), pair(6, 2)]);
        (view.bypassed, view.allowed) = (found, found);
        view.ports[0].bypassed = found;
        view.ports[0].link.has_qdisc = bypass == Bypass::Qdisc;
        assert_eq!(eligibility(&view, &view.ports[0], FastPath::Tc), Ok(()), "{bypass}");
        // What was found on one port is no matter of another.
        (view.bypassed, view.allowed) = (Bypasses::NONE, Bypasses::NONE);
        assert_eq!(eligibility(&view, &view.ports[1], FastPath::Tc), Ok(()), "{bypass}");
    }
}

#[test]
fn first_that_is_not_accepted_is_named_with_what_accepts_it() {
    refused(
        |view| {
            view.bypassed = Bypasses::from([Bypass::NftBridge, Bypass::BrNetfilter]);
            view.ports[0].bypassed = Bypasses::from([Bypass::Qdisc]);
            view.ports[0].link.has_qdisc = true;
            view.allowed = Bypasses::from([Bypass::BrNetfilter, Bypass::NftBridge]);
        },
        Ineligible::Bypassed(Bypass::Qdisc),
    );
    for bypass in Bypass::ALL {
        let reason = Ineligible::Bypassed(bypass);
        assert_eq!(reason.name(), format!("bypasses_{bypass}"));
        let hint = format!("(`--bypass {bypass}` accepts that)");
        assert!(reason.to_string().ends_with(&hint), "{reason}");
    }
}

#[test]
fn target_outside_the_contract_of_redirect_peer_is_refused() {
    refused(|view| view.ports[0].link.kind = LinkKind::Other("tun".into()), Ineligible::NotVeth);
    refused(
        |view| view.ports[0].link.peer.as_mut().expect("has a peer").netns = None,
        Ineligible::PeerInSameNetns,
    );
    refused(|view| view.ports[0].peer = None, Ineligible::NoPeer);
    refused(
        |view| {
            let peer = view.ports[0].peer.as_mut().expect("has a peer");
            peer.peer.as_mut().expect("points back").ifindex = Ifindex(99);
        },
        Ineligible::PairMismatch,
    );
    refused(
        |view| view.ports[0].peer.as_mut().expect("has a peer").is_up = false,
        Ineligible::PeerDown,
    );
}

#[test]
fn port_that_is_down_is_still_hooked_but_a_pair_in_one_namespace_is_not() {
    let mut port = pair(5, 1);
    port.link.is_up = false;
    assert!(is_hookable(&port, FastPath::Tc));
    port.link.peer.as_mut().expect("has a peer").netns = None;
    assert!(!is_hookable(&port, FastPath::Tc));
}

#[test]
fn port_of_any_kind_is_watched_and_of_a_pair_between_bridges_one_end() {
    let mut tap = pair(5, 1);
    tap.link.kind = LinkKind::Other("tun".into());
    (tap.link.peer, tap.peer) = (None, None);
    assert!(is_watchable(&tap) && !is_hookable(&tap, FastPath::Tc));

    let end = |ifindex, other, is_between_bridges| {
        let mut port = pair(ifindex, 1);
        port.link.peer = Some(PeerRef { ifindex: Ifindex(other), netns: None });
        PortView { is_between_bridges, ..port }
    };
    assert!(is_watchable(&end(5, 4, false)) && is_watchable(&end(5, 6, false)));
    assert!(is_watchable(&end(5, 6, true)) && !is_watchable(&end(6, 5, true)));
}

/// A port whose peer is prepared for XDP.
fn prepared() -> PortView {
    let peer_offloads = Some(FIT_FOR_XDP);
    PortView { xdp: Some(XdpView { peer_offloads, ..XdpView::default() }), ..pair(5, 1) }
}

#[track_caller]
fn unfit_for_xdp(change: impl FnOnce(&mut PortView), reason: Ineligible, hookable: bool) {
    let mut port = prepared();
    change(&mut port);
    let view = view(vec![port]);
    assert_eq!(eligibility(&view, &view.ports[0], FastPath::Xdp), Err(reason));
    assert_eq!(is_hookable(&view.ports[0], FastPath::Xdp), hookable);
}

fn xdp(port: &mut PortView) -> &mut XdpView {
    port.xdp.as_mut().expect("made with it")
}

#[test]
fn prepared_port_is_served_by_xdp() {
    let mut port = prepared();
    // Frames go through the peer's own program.
    port.peer.as_mut().expect("has a peer").xdp_program = Some(7);
    let view = view(vec![port]);
    assert_eq!(eligibility(&view, &view.ports[0], FastPath::Xdp), Ok(()));
    assert!(is_hookable(&view.ports[0], FastPath::Xdp));
}

#[test]
fn port_that_xdp_would_lose_frames_of_is_left_to_the_bridge() {
    unfit_for_xdp(|port| port.xdp = None, Ineligible::XdpUnseen, false);
    unfit_for_xdp(|port| xdp(port).peer_offloads = None, Ineligible::XdpUnseen, true);
    unfit_for_xdp(|port| xdp(port).is_taken = true, Ineligible::XdpTaken, false);
    unfit_for_xdp(|port| xdp(port).mtu_limit_bytes = Some(1499), Ineligible::XdpMtu, false);
    for offload in UNFIT_FOR_XDP.iter() {
        let active = FIT_FOR_XDP.with(offload);
        let change = |port: &mut PortView| xdp(port).peer_offloads = Some(active);
        unfit_for_xdp(change, Ineligible::XdpOffloads, true);
    }
    let no_gro = |port: &mut PortView| xdp(port).peer_offloads = Some(Offloads::NONE);
    unfit_for_xdp(no_gro, Ineligible::XdpOffloads, true);
}

#[test]
fn limit_of_the_mtu_is_itself_allowed() {
    let mut port = prepared();
    xdp(&mut port).mtu_limit_bytes = Some(1500);
    assert!(is_hookable(&port, FastPath::Xdp));
}

#[test]
fn needs_are_what_differs() {
    let active = FIT_FOR_XDP.with(Offload::TxChecksum);
    let (off, on) = xdp_needs(active);
    assert_eq!((off, on), (Offloads::NONE.with(Offload::TxChecksum), Offloads::NONE));
    let (off, on) = xdp_needs(Offloads::NONE);
    assert_eq!((off, on), (Offloads::NONE, FIT_FOR_XDP));
}
