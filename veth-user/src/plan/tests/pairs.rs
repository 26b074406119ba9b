//! Plans with pairs, against the same model.

use super::*;
use crate::topology::{DeviceName, EndName, SysctlName};

const PAIRS: &str = r#"
name = "lab"
[[pair]]
a = { netns = "red", addresses = ["10.1.0.1/24"], routes = ["10.9.0.0/16 via 10.1.0.2"] }
b = { netns = "blue", addresses = ["10.1.0.2/24"] }
[[pair]]
a = { netns = "red", ifname = "up0", up = false }
b = { ifname = "out0", sysctls = { "net.ipv4.conf.out0.rp_filter" = 0 } }
"#;

/// A pair between a namespace with a port and one without.
const MIXED: &str = r#"
name = "lab"
[[netns]]
name = "red"
[[pair]]
a = { netns = "red" }
b = { netns = "blue", ifname = "eth0" }
"#;

fn end(netns: &str, ifname: &str) -> EndName {
    let netns = (!netns.is_empty()).then(|| name(netns));
    EndName { netns, ifname: ifname.parse().expect("the text is a valid name") }
}

impl Model {
    fn end(&mut self, name: &EndName) -> &mut FoundEnd {
        let end = self.observed.ends.iter_mut().find(|end| end.name == *name);
        end.unwrap_or_else(|| panic!("there is no end {name}"))
    }

    /// Deletes the pair that has this end.
    fn lose(&mut self, name: &EndName) {
        let peer = self.end(name).link.peer.map(|peer| peer.ifindex);
        self.observed.ends.retain(|end| end.name != *name && Some(end.link.ifindex) != peer);
    }

    pub(super) fn lose_ends_in(&mut self, netns: &NetnsName) {
        let is_there = |end: &&FoundEnd| end.name.netns.as_ref() == Some(netns);
        while let Some(end) = self.observed.ends.iter().find(is_there) {
            let name = end.name.clone();
            self.lose(&name);
        }
        self.observed.sysctls.retain(|(place, _), _| place.as_ref() != Some(netns));
    }

    /// Carries `step` out, and panics when the kernel would refuse it.
    pub(super) fn apply_to_pairs(&mut self, step: PairStep) {
        match step {
            PairStep::Announce => {
                let mark = Mark::Bridge { fabric: "lab", has_pairs: true };
                self.bridge().alias = Some(mark.to_string());
            }
            PairStep::CreateNetns(name) => {
                assert_eq!(self.member(&name).netns, NetnsState::Absent);
                let inside = Inside { lo_up: true, is_portless: true, ..Inside::default() };
                self.member(&name).netns = NetnsState::Ours(inside);
            }
            PairStep::MarkNetns { netns, is_portless } => {
                assert_ne!(self.inside(&netns).is_portless, is_portless);
                self.inside(&netns).is_portless = is_portless;
            }
            PairStep::Create { ends, macs, mtu_bytes } => self.create(&ends, macs, mtu_bytes),
            PairStep::Delete { netns, ifnames } => {
                for ifname in ifnames {
                    let name = EndName { netns: netns.clone(), ifname };
                    if self.observed.ends.iter().any(|end| end.name == name) {
                        self.lose(&name);
                    }
                }
            }
            PairStep::TakeAway(ends) => self.lose(&ends[0].name),
            PairStep::PutBack(ends) => {
                for end in *ends {
                    let is_free = self.observed.ends.iter().all(|other| other.name != end.name);
                    assert!(is_free, "{} is there", end.name);
                    self.observed.ends.push(end);
                }
            }
            PairStep::SetMtu { end, to, .. } => self.end(&end).link.mtu_bytes = to,
            PairStep::SetMac { end, to, .. } => self.end(&end).link.mac = Some(to),
            PairStep::SetSysctl { netns, name, to, .. } => {
                self.observed.sysctls.insert((netns, name), to);
            }
            PairStep::AddAddress(end, address) => self.end(&end).addresses.push(address),
            PairStep::RemoveAddress(end, address) => {
                let end = self.end(&end);
                end.addresses.retain(|other| *other != address);
                // As with the last address of a device.
                assert!(end.routes.is_empty(), "the kernel would drop the routes of {}", end.name);
            }
            PairStep::Raise(end) => self.end(&end).link.is_up = true,
            PairStep::Lower(end) => {
                self.end(&end).link.is_up = false;
                self.end(&end).routes.clear();
            }
            PairStep::AddRoute(end, route) => {
                let end = self.end(&end);
                assert!(end.link.is_up && !end.addresses.is_empty(), "{}: unreachable", end.name);
                assert!(!end.routes.contains(&route));
                end.routes.push(route);
            }
            PairStep::RemoveRoute(end, route) => {
                self.end(&end).routes.retain(|other| *other != route);
            }
        }
    }

    fn create(&mut self, ends: &[EndName; 2], macs: [Mac; 2], mtu_bytes: u32) {
        let indexes = [(); 2].map(|()| self.next_ifindex());
        let netns = (ends[0].netns != ends[1].netns).then_some(NetnsId(1));
        for (at, other) in [(0, 1), (1, 0)] {
            let name = ends[at].clone();
            assert!(self.observed.ends.iter().all(|end| end.name != name), "{name} is there");
            if let Some(netns) = &name.netns {
                let peer = self.inside(netns).peer.as_ref();
                assert!(peer.is_none() || name.ifname.as_str() != PEER_NAME, "{name} is the peer");
            }
            let mut link = link(indexes[at], LinkKind::Veth, macs[at], mtu_bytes);
            link.peer = Some(PeerRef { ifindex: Ifindex(indexes[other]), netns });
            let claim = EndClaim::Marked([name.clone(), ends[other].clone()]);
            let (addresses, routes, has_carrier) = (Vec::new(), Vec::new(), false);
            self.observed.ends.push(FoundEnd { name, claim, link, addresses, routes, has_carrier });
        }
    }
}

fn texts(steps: &[Step]) -> Vec<String> {
    steps.iter().map(ToString::to_string).collect()
}

#[test]
fn plan_for_pairs_alone_makes_no_bridge() {
    let mut model = Model::default();
    let steps = model.bring_to(&topology(PAIRS));
    assert_eq!(
        texts(&steps),
        [
            "create namespace red, without a port",
            "create namespace blue, without a port",
            "create veth pair veth0 in red - veth1 in blue",
            "create veth pair up0 in red - out0",
            "set net.ipv4.conf.out0.rp_filter to 0",
            "add 10.1.0.1/24 to veth0 in red",
            "set veth0 in red up",
            "add 10.1.0.2/24 to veth1 in blue",
            "set veth1 in blue up",
            "set out0 up",
            "add route 10.9.0.0/16 via 10.1.0.2 to veth0 in red",
        ]
    );
    assert_eq!(plan(&topology(PAIRS), &model.observed), Ok(Plan::default()));
}

#[test]
fn inverse_of_a_plan_with_pairs_leaves_nothing() {
    for text in [PAIRS, MIXED] {
        let mut model = Model::default();
        let steps = model.bring_to(&topology(text));
        let back = undo(&steps);
        let is_small =
            |step: &Step| matches!(step, Step::Pair(PairStep::AddAddress(..) | PairStep::Lower(_)));
        assert!(!back.iter().any(is_small), "what goes is not first taken apart: {back:?}");
        model.apply_all(&back);
        assert!(model.is_empty(), "{model:?}");
    }
}

#[test]
fn edited_pair_changes_only_the_difference_and_undo_leads_back() {
    let mut model = Model::default();
    model.bring_to(&topology(PAIRS));
    let before = model.observed.clone();
    let edited = PAIRS
        .replace("10.1.0.1/24", "10.1.0.3/24")
        .replace("up = false", "up = true")
        .replace("rp_filter\" = 0", "rp_filter\" = 2");
    let steps = model.bring_to(&topology(&edited));
    assert_eq!(
        texts(&steps),
        [
            "set net.ipv4.conf.out0.rp_filter to 2 (from 0)",
            "remove route 10.9.0.0/16 via 10.1.0.2 from veth0 in red",
            "remove 10.1.0.1/24 from veth0 in red",
            "add 10.1.0.3/24 to veth0 in red",
            "set up0 in red up",
            "add route 10.9.0.0/16 via 10.1.0.2 to veth0 in red",
        ]
    );
    assert_eq!(plan(&topology(&edited), &model.observed), Ok(Plan::default()));
    model.apply_all(&undo(&steps));
    assert_eq!(model.observed, before);
}

#[test]
fn pair_with_another_far_end_is_made_anew_and_surplus_ones_go_last() {
    let mut model = Model::default();
    model.bring_to(&topology(PAIRS));
    let edited = PAIRS.replace("\"blue\"", "\"green\"");
    let edited = edited.split("[[pair]]\na = { netns = \"red\", ifname").next().expect("the first");
    let plan = plan(&topology(edited), &model.observed).expect("nothing is in the way");
    assert_eq!(
        texts(&plan.build)[0],
        "delete veth pair veth0 in red - veth1 in blue, which is in the way"
    );
    assert_eq!(texts(&plan.clear), ["delete the veth pair of up0 in red", "remove namespace blue"]);
    model.apply_all(&plan.build);
    model.apply_all(&plan.clear);
    let names: Vec<String> = model.observed.ends.iter().map(|end| end.name.to_string()).collect();
    assert_eq!(names, ["veth0 in red", "veth1 in green"]);
}

#[test]
fn pair_that_was_in_the_way_is_put_back_by_undo() {
    let mut model = Model::default();
    model.bring_to(&topology(PAIRS));
    let mut before = model.observed.clone();
    let edited = PAIRS.replace("ifname = \"out0\"", "netns = \"blue\", ifname = \"out0\"");
    let plan = plan(&topology(&edited), &model.observed).expect("nothing is in the way");
    model.apply_all(&plan.build);
    model.apply_all(&undo(&plan.build));
    for observed in [&mut before, &mut model.observed] {
        observed.ends.sort_by(|a, b| a.name.cmp(&b.name));
        observed.sysctls.clear();
    }
    assert_eq!(model.observed, before);
}

#[test]
fn namespace_gets_and_loses_its_port_beside_pairs() {
    let mut model = Model::default();
    model.bring_to(&topology(MIXED));
    assert!(model.bridge().alias.is_some(), "a removal has to know of the pairs");
    let ports = MIXED.replace("name = \"red\"", "name = \"red\"\n[[netns]]\nname = \"blue\"");
    let ports = ports.replace("\"eth0\"", "\"veth0\"");
    model.bring_to(&topology(&ports));
    assert!(!model.inside(&name("blue")).is_portless);
    assert_eq!(plan(&topology(&ports), &model.observed), Ok(Plan::default()));
    // And back, where an end takes the place of the peer.
    model.bring_to(&topology(MIXED));
    assert_eq!(plan(&topology(MIXED), &model.observed), Ok(Plan::default()));
    // Without any port, the bridge goes as well.
    model.bring_to(&topology(&MIXED.replace("[[netns]]\nname = \"red\"", "")));
    assert_eq!(model.observed.bridge, BridgeState::Absent);
    model.apply_all(&plan_removal(&model.observed));
    assert!(model.is_empty(), "{model:?}");
}

#[test]
fn devices_of_others_at_the_names_of_ends_are_refused() {
    let mut model = Model::default();
    model.bring_to(&topology(PAIRS));
    for ifname in ["veth0", "up0"] {
        model.end(&end("red", ifname)).claim = EndClaim::Foreign("there is a dummy".into());
    }
    let Conflicts(conflicts) = plan(&topology(PAIRS), &model.observed).expect_err("must refuse");
    assert_eq!(
        conflicts,
        [
            "end veth0 in red: there is a dummy; it is left alone: remove it, or choose another ifname",
            "end up0 in red: there is a dummy; it is left alone: remove it, or choose another ifname",
        ]
    );
    let removal = texts(&plan_removal(&model.observed));
    assert!(removal.iter().all(|step| !step.contains("of veth0") && !step.contains("of up0")));
}

#[test]
fn setting_that_is_right_is_left_alone_unless_its_device_is_new() {
    let topology = topology(PAIRS);
    let mut model = Model::default();
    let setting: SysctlName = "net.ipv4.conf.out0.rp_filter".parse().expect("is a name");
    // Of a device that was there before the pair.
    model.observed.sysctls.insert((None, setting), "0".to_owned());
    let steps = model.bring_to(&topology);
    assert!(texts(&steps).contains(&"set net.ipv4.conf.out0.rp_filter to 0".to_owned()));
    assert_eq!(model.bring_to(&topology), []);
}

/// Ways in which a pair gets damaged behind our back.
#[derive(Clone, Debug)]
enum EndDamage {
    Gone,
    Unmarked,
    Renamed,
    Down,
    AddressLost,
    RouteLost,
    MacChanged,
    MtuChanged,
    OtherPair,
    NetnsGone,
}

fn end_damage() -> impl Strategy<Value = (usize, EndDamage)> {
    let kinds = prop::sample::select(vec![
        EndDamage::Gone,
        EndDamage::Unmarked,
        EndDamage::Renamed,
        EndDamage::Down,
        EndDamage::AddressLost,
        EndDamage::RouteLost,
        EndDamage::MacChanged,
        EndDamage::MtuChanged,
        EndDamage::OtherPair,
        EndDamage::NetnsGone,
    ]);
    (0..4_usize, kinds)
}

impl Model {
    fn suffer_at_end(&mut self, (at, damage): &(usize, EndDamage)) {
        let stray: DeviceName = "stray".parse().expect("is a name");
        let is_stray = self.observed.ends.iter().any(|end| end.name.ifname == stray);
        let Some(found) = self.observed.ends.get_mut(*at) else { return };
        let name = found.name.clone();
        match damage {
            EndDamage::Gone => self.lose(&name),
            EndDamage::Unmarked => found.claim = EndClaim::Unmarked,
            EndDamage::Renamed if !is_stray => found.name.ifname = stray,
            EndDamage::Renamed => {}
            EndDamage::Down => {
                found.link.is_up = false;
                found.routes.clear();
            }
            EndDamage::AddressLost => {
                found.addresses.clear();
                found.routes.clear();
            }
            EndDamage::RouteLost => found.routes.clear(),
            EndDamage::MacChanged => found.link.mac = Some(Mac([2, 9, 9, 9, 9, 9])),
            EndDamage::MtuChanged => found.link.mtu_bytes = 1400,
            EndDamage::OtherPair => found.link.peer = None,
            EndDamage::NetnsGone => {
                if let Some(netns) = name.netns {
                    self.apply(&Step::RemoveNetns(netns));
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn any_damage_to_pairs_is_mended_by_one_plan(
        damages in prop::collection::vec(end_damage(), 0..6),
        mixed: bool,
    ) {
        let topology = topology(if mixed { MIXED } else { PAIRS });
        let mut model = Model::default();
        model.bring_to(&topology);
        for damage in &damages {
            model.suffer_at_end(damage);
        }
        model.bring_to(&topology);
        prop_assert_eq!(plan(&topology, &model.observed), Ok(Plan::default()));
        model.apply_all(&plan_removal(&model.observed));
        prop_assert!(model.is_empty(), "{:?}", model);
    }
}
