//! The offloads of peers: as XDP needs them while it is there, and as their users had them before
//! and afterwards.

use std::collections::HashMap;

use veth_common::{Ifindex, Prepared, names};

use super::{features, is_prepared, port_status, set_features};
use crate::{
    lifecycle::PAIR,
    sandbox::Sandbox,
    traffic::talk::{end, exchange_streams},
};

/// A fabric without XDP, on which users have their interfaces as `settings` says.
fn fabric(settings: &[(&str, &str)]) -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let file = sandbox.file("pair.toml", PAIR);
    sandbox.veth(&["up", &file, "--datapath", "none"]).ok();
    for (netns, features) in settings {
        set_features(&sandbox, netns, features);
    }
    (sandbox, file)
}

fn both(sandbox: &Sandbox) -> [std::collections::BTreeMap<String, String>; 2] {
    ["red", "blue"].map(|netns| features(sandbox, netns))
}

/// Brings XDP up and replaces it by `next`; the users' settings are the same before and after.
#[track_caller]
fn comes_and_goes(settings: &[(&str, &str)], next: &str) {
    let (sandbox, file) = fabric(settings);
    let before = both(&sandbox);
    for round in 0..2 {
        sandbox.veth(&["up", &file, "--datapath", "xdp"]).ok();
        for (netns, features) in ["red", "blue"].iter().zip(both(&sandbox)) {
            assert!(is_prepared(&features), "{netns}, round {round}: {features:?}");
            assert_eq!(port_status(&sandbox, netns)["fast"], true, "{netns}, round {round}");
        }
        sandbox.ping("red", "10.77.0.2");
        sandbox.veth(&["up", &file, "--datapath", next]).ok();
        assert_eq!(both(&sandbox), before, "round {round}");
    }
    exchange_streams(&sandbox, end("red", "10.77.0.1"), end("blue", "10.77.0.2"), 1 << 20);
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn peers_are_as_they_were_when_the_bridge_takes_over() {
    comes_and_goes(&[], "none");
}

#[test]
#[ignore = "needs root"]
fn peers_are_as_they_were_when_tc_takes_over() {
    comes_and_goes(&[], "tc");
}

/// What XDP would change anyway, what it needs the other way round, and what it is not about.
#[test]
#[ignore = "needs root"]
fn settings_of_users_survive_xdp() {
    for next in ["none", "tc"] {
        comes_and_goes(&[("red", "gro on"), ("blue", "tx-checksum-ip-generic off")], next);
        comes_and_goes(&[("red", "txvlan off gro on"), ("blue", "tso off")], next);
        comes_and_goes(&[("red", "gso off"), ("blue", "tx off sg off")], next);
    }
}

#[test]
#[ignore = "needs root"]
fn repeated_up_forgets_nothing_of_what_was_before() {
    let (sandbox, file) = fabric(&[("red", "gro on")]);
    let before = both(&sandbox);
    for _ in 0..3 {
        sandbox.veth(&["up", &file, "--datapath", "xdp"]).ok();
    }
    sandbox.veth(&["up", &file, "--datapath", "none"]).ok();
    assert_eq!(both(&sandbox), before);
    sandbox.down("lab");
}

/// With nobody there to follow, the port is left to the bridge by the next look at it.
#[test]
#[ignore = "needs root"]
fn peer_that_was_changed_back_is_named_and_prepared_again_by_up() {
    for change in ["tx-checksum-ip-generic on", "gro off", "txvlan on"] {
        let (sandbox, file) = fabric(&[]);
        let before = both(&sandbox);
        sandbox.veth(&["up", &file, "--datapath", "xdp"]).ok();
        set_features(&sandbox, "red", change);
        let port = port_status(&sandbox, "red");
        assert_eq!((&port["fast"], &port["reason"]), (&false.into(), &"xdp_offloads".into()));
        assert_eq!(port_status(&sandbox, "blue")["fast"], true);

        sandbox.veth(&["up", &file, "--datapath", "xdp"]).ok();
        assert_eq!(port_status(&sandbox, "red")["fast"], true, "{change}");
        assert!(is_prepared(&features(&sandbox, "red")), "{change}");
        exchange_streams(&sandbox, end("red", "10.77.0.1"), end("blue", "10.77.0.2"), 1 << 20);

        // Each change is back to what was there before XDP.
        sandbox.veth(&["up", &file, "--datapath", "none"]).ok();
        assert_eq!(both(&sandbox), before, "{change}");
        sandbox.down("lab");
    }
}

/// The record that outlives the process says what there is to put back, and for whom.
#[test]
#[ignore = "needs root"]
fn record_is_of_the_ports_that_are_there() {
    let (sandbox, file) = fabric(&[("red", "gro on")]);
    sandbox.veth(&["up", &file, "--datapath", "xdp"]).ok();
    let records = records(&sandbox);
    let port = |name| Ifindex(u32::try_from(sandbox.ifindex(name)).expect("is small"));
    assert_eq!(records.len(), 2);
    for netns in ["red", "blue"] {
        let record = records[&port(netns)];
        assert_eq!(record.peer_netns_inode, sandbox.netns_inode(netns));
        assert_ne!(record.turned_off, 0);
        assert_eq!(record.turned_on == 0, netns == "red", "{record:?}");
    }
    sandbox.down("lab");
}

fn records(sandbox: &Sandbox) -> HashMap<Ifindex, Prepared> {
    use aya::maps::{HashMap, Map, MapData};
    let pin = sandbox.path(&format!("/sys/fs/bpf/veth/lab/{}", names::MAP_PREPARED));
    let data = MapData::from_pin(pin).expect("the map is pinned");
    let map = Map::from_map_data(data).expect("is a map of a known kind");
    let map = HashMap::<_, Ifindex, Prepared>::try_from(map).expect("is a hash map");
    map.iter().collect::<Result<_, _>>().expect("can be read")
}
