//! Ends that are made up, and a kernel that knows where they belong.

use veth_common::Mac;

use super::*;
use crate::{
    inventory::{Namespace, PairKind},
    view::{Link, LinkKind, PeerRef},
};

fn link(ifindex: u32, mac: u8) -> Link {
    Link {
        ifindex: Ifindex(ifindex),
        name: "eth0".into(),
        kind: LinkKind::Veth,
        mac: Some(Mac([2, 0, 0, 0, 0, mac])),
        mtu_bytes: 1500,
        is_up: true,
        group: 0,
        has_qdisc: false,
        promiscuity: 0,
        xdp_program: None,
        controller: None,
        peer: None,
        alias: None,
        bridge_port: None,
    }
}

/// An end with the address `mac`, whose other end has the index `peer` where `netns` is.
fn end(ifindex: u32, mac: u8, peer: u32, netns: Option<i32>) -> End {
    let link = link(ifindex, mac);
    let peer = PeerRef { ifindex: Ifindex(peer), netns: netns.map(NetnsId) };
    End { kind: PairKind::Veth, link, peer, far: None, bridge: None, addresses: Vec::new() }
}

/// An end that is shown an other end with the address `mac`.
fn sees(end: End, mac: u8) -> End {
    End { far: Some(link(end.peer.ifindex.0, mac)), ..end }
}

/// The first one is the own namespace; the inodes count from 1.
fn surveys<const N: usize>(ends: [Vec<End>; N]) -> Vec<Survey> {
    let survey = |(at, ends)| Survey {
        namespace: Namespace { inode: at as u64 + 1, own: at == 0, ..Namespace::default() },
        ends: Ok(ends),
    };
    ends.into_iter().enumerate().map(survey).collect()
}

/// Asks all questions, in order. `meant` is the kernel, which knows what an id means in a survey.
fn ask(matching: &mut Matching, meant: impl Fn(usize, i32) -> usize) -> usize {
    let mut asked = 0;
    for survey in 0..matching.surveys.len() {
        for Question { id, candidates } in matching.questions(survey) {
            asked += 1;
            let meant = meant(survey, id.0);
            if candidates.contains(&meant) {
                matching.answer(survey, id, meant);
            }
        }
    }
    asked
}

/// `(inode, index)` of the port, and of the peer, whose inode is zero when it is not known.
fn told(matching: &Matching) -> Vec<((u64, u32), (u64, u32))> {
    let place = |side: &Side<'_>| (side.netns.map_or(0, |netns| netns.inode), side.ifindex.0);
    let inventory = matching.inventory();
    inventory.pairs.iter().map(|pair| (place(&pair.port), place(&pair.peer))).collect()
}

#[test]
fn both_ends_in_one_namespace_need_no_question() {
    let mut lower = end(4, 1, 5, None);
    let upper = end(5, 2, 4, None);
    let mut matching = Matching::of(surveys([vec![upper.clone(), lower.clone()]]));
    assert_eq!(ask(&mut matching, |_, _| unreachable!()), 0);
    assert_eq!(told(&matching), [((1, 4), (1, 5))]);
    // The end in a bridge is the port.
    let mut upper = upper;
    upper.bridge = Some("br0".into());
    lower.bridge = None;
    assert_eq!(told(&Matching::of(surveys([vec![lower, upper]]))), [((1, 5), (1, 4))]);
}

#[test]
fn one_question_is_asked_for_a_pair_and_the_own_namespace_has_the_port() {
    // As after `up`: every peer is the second device of its namespace.
    let host = vec![end(7, 1, 2, Some(0)), end(8, 2, 2, Some(1))];
    let inside = |mac, peer| vec![end(2, mac, peer, Some(0))];
    let mut matching = Matching::of(surveys([host, inside(3, 8), inside(4, 7)]));
    assert_eq!(ask(&mut matching, |_, id| if id == 0 { 2 } else { 1 }), 2);
    assert_eq!(told(&matching), [((1, 7), (3, 2)), ((1, 8), (2, 2))]);
}

#[test]
fn ends_that_look_right_by_their_indices_are_not_taken_for_a_pair() {
    // Both point to namespaces out of sight, and would fit one another.
    let mut matching =
        Matching::of(surveys([vec![end(5, 1, 6, Some(0))], vec![end(6, 2, 5, Some(3))]]));
    assert_eq!(matching.questions(0), [Question { id: NetnsId(0), candidates: vec![1] }]);
    assert_eq!(ask(&mut matching, |_, _| usize::MAX), 2);
    assert_eq!(told(&matching), [((1, 5), (0, 6)), ((2, 6), (0, 5))]);
}

#[test]
fn what_the_kernel_shows_of_the_other_end_narrows_the_question() {
    // Three namespaces whose second devices are one another's peers, by index alone.
    let crossing = |mac| vec![sees(end(2, mac, 2, Some(0)), 0x10 + mac)];
    let other = |mac| vec![sees(end(2, 0x10 + mac, 2, Some(0)), mac)];
    let matching =
        Matching::of(surveys([Vec::new(), crossing(1), other(2), crossing(2), other(1)]));
    let candidates = |survey| matching.questions(survey).remove(0).candidates;
    assert_eq!([1, 2, 3, 4].map(candidates), [[4], [3], [2], [1]]);
}

#[test]
fn ends_in_a_namespace_without_entry_are_told_without_their_other_end() {
    let mut surveys = surveys([vec![end(5, 1, 2, Some(0)), end(6, 2, 2, Some(1))], Vec::new()]);
    surveys[1].ends = Err("not permitted".into());
    let mut matching = Matching::of(surveys);
    ask(&mut matching, |_, id| if id == 0 { 1 } else { usize::MAX });
    assert_eq!(told(&matching), [((1, 5), (2, 2)), ((1, 6), (0, 2))]);
    let inventory = matching.inventory();
    assert_eq!(inventory.unseen.len(), 1);
    assert_eq!(inventory.unseen[0].reason, "not permitted");
    assert_eq!(inventory.pairs[0].peer.addresses, None);
}

#[test]
fn an_other_end_out_of_sight_is_as_the_kernel_shows_it() {
    let matching = Matching::of(surveys([vec![sees(end(5, 1, 2, Some(0)), 9)]]));
    assert!(matching.questions(0).is_empty());
    let inventory = matching.inventory();
    let peer = &inventory.pairs[0].peer;
    assert_eq!(peer.mac, Some(Mac([2, 0, 0, 0, 0, 9])));
    assert_eq!((peer.name.as_deref(), peer.netns), (Some("eth0"), None));
}

#[test]
fn several_pairs_between_two_namespaces_take_one_question() {
    let host = vec![end(7, 1, 2, Some(0)), end(8, 2, 3, Some(0))];
    let inside = vec![end(2, 3, 7, Some(5)), end(3, 4, 8, Some(5))];
    let mut matching = Matching::of(surveys([host, inside]));
    assert_eq!(ask(&mut matching, |_, _| 1), 1);
    assert_eq!(told(&matching), [((1, 7), (2, 2)), ((1, 8), (2, 3))]);
}

#[test]
fn between_other_namespaces_the_end_in_a_bridge_is_the_port() {
    let mut port = end(9, 1, 2, Some(0));
    port.bridge = Some("br0".into());
    let inside = vec![end(2, 2, 9, Some(0))];
    let mut matching = Matching::of(surveys([Vec::new(), inside, vec![port]]));
    ask(&mut matching, |survey, _| 3 - survey);
    assert_eq!(told(&matching), [((3, 9), (2, 2))]);
}
