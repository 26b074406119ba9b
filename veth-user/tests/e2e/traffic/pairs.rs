//! Who talks to whom, as `stats --pairs` tells it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    ETHERNET_IPV4_UDP, example, over_both_fast_paths,
    talk::{end, introduce, send_datagrams, silence_ipv6},
};
use crate::sandbox::{PATIENCE, Sandbox, wait_until};

over_both_fast_paths! {
    pairs_have_what_ports_have_and_say_to_whom_it_went
}

/// Frames and bytes, by who sent them and to whom.
type Sent = BTreeMap<(String, String), (u64, u64)>;

/// What `stats --pairs --watch` has told so far, added up.
fn add(sent: &mut Sent, line: &str) {
    let traffic: Value = serde_json::from_str(line).expect("each line is JSON");
    assert_eq!((&traffic["fabric"], &traffic["others"]), (&"star3".into(), &0.into()));
    for pair in traffic["pairs"].as_array().expect("is a list") {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let to = match text(&pair["to"]["kind"]).as_str() {
            "port" => text(&pair["to"]["port"]),
            kind => format!("({kind})"),
        };
        let number = |name: &str| pair[name].as_u64().expect("is a number");
        let total = sent.entry((text(&pair["from"]), to)).or_default();
        *total = (total.0 + number("frames"), total.1 + number("bytes"));
    }
}

fn pairs_have_what_ports_have_and_say_to_whom_it_went(datapath: &str) {
    const PAYLOAD: usize = 100;
    const BYTES: u64 = PAYLOAD as u64 + ETHERNET_IPV4_UDP;
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("star-3"), "--datapath", datapath]).ok();
    silence_ipv6(&sandbox, &["red", "green", "blue"]);
    let [red, green, blue] = [("red", 1), ("green", 2), ("blue", 3)]
        .map(|(name, number)| end(name, &format!("10.1.7.{number}")));
    introduce(&sandbox, &[red, green, blue]);

    // Nobody asks yet, so nothing of this is counted.
    send_datagrams(&sandbox, red, blue, PAYLOAD, 50);
    let before =
        ["red", "green", "blue"].map(|port| sandbox.counter("star3", port, "redirected").0);
    let mut watch = sandbox.start(&["stats", "star3", "--pairs", "--watch", "0.2", "--json"]);
    let mut sent = Sent::new();
    add(&mut sent, &watch.line());
    assert_eq!(sent, Sent::new());

    send_datagrams(&sandbox, red, blue, PAYLOAD, 300);
    send_datagrams(&sandbox, red, green, PAYLOAD, 200);
    send_datagrams(&sandbox, blue, red, PAYLOAD, 100);
    let pair =
        |from: &str, to: &str, frames| ((from.to_owned(), to.to_owned()), (frames, frames * BYTES));
    let wanted =
        Sent::from([pair("red", "blue", 300), pair("red", "green", 200), pair("blue", "red", 100)]);
    let started = Instant::now();
    while sent != wanted {
        assert!(started.elapsed() < PATIENCE, "{sent:?} is not {wanted:?}");
        add(&mut sent, &watch.line());
    }
    let after = ["red", "green", "blue"].map(|port| sandbox.counter("star3", port, "redirected").0);
    assert_eq!([0, 1, 2].map(|port| after[port] - before[port]), [500, 0, 100]);

    // A second reader starts nothing anew, and is told what was added while it was there.
    let second = sandbox.veth(&["stats", "star3", "--pairs"]).ok();
    assert!(second.stdout.ends_with("nobody has sent anything\n"), "{}", second.stdout);
    add(&mut sent, &watch.line());
    assert_eq!(sent, wanted);
    drop(watch);
    sandbox.down("star3");
}

#[test]
#[ignore = "needs root"]
fn pairs_are_counted_for_a_few_seconds_after_the_last_reader_and_then_no_more() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    let (red, blue) = (end("red", "10.77.0.1"), end("blue", "10.77.0.2"));
    introduce(&sandbox, &[red, blue]);
    let table = sandbox.veth(&["stats", "lab", "--pairs"]).ok().stdout;
    assert!(table.starts_with(" FROM"), "{table}");
    // The map is there as long as the fabric; what is in it has ends with the reader.
    let pinned = sandbox.path("/sys/fs/bpf/veth/lab").join(veth_common::names::MAP_PAIRS);
    let pairs = || {
        let map = aya::maps::MapData::from_pin(&pinned).expect("is pinned");
        let map = aya::maps::Map::from_map_data(map).expect("is a map");
        let pairs =
            aya::maps::PerCpuHashMap::<_, veth_common::Pair, veth_common::Counter>::try_from(map)
                .expect("is a map of pairs");
        let count = |shares: aya::maps::PerCpuValues<veth_common::Counter>| {
            shares.iter().map(|share| share.frames).sum::<u64>()
        };
        pairs.iter().map(|entry| count(entry.expect("can be read").1)).sum::<u64>()
    };
    let counts_on = || {
        let before = pairs();
        send_datagrams(&sandbox, red, blue, 100, 5);
        pairs() > before
    };
    wait_until("pairs to be left alone", || {
        std::thread::sleep(Duration::from_millis(100));
        !counts_on()
    });
    assert!(!counts_on());
    sandbox.down("lab");
}
