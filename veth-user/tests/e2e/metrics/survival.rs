//! What totals live through, and what starts anew.

use nix::sys::signal::Signal;

use super::{
    client::{Scraped, scrape},
    end_of, serve,
};
use crate::{
    sandbox::{Sandbox, wait_until},
    traffic::example,
};

const METRICS: [&str; 2] = ["--metrics", "127.0.0.1:9478"];

/// Every counter of the ports, by its name and labels.
fn totals(scraped: &Scraped, port: &str) -> Vec<(String, u64)> {
    let port = format!("port=\"{port}\"");
    let samples = scraped.0.lines().filter_map(|line| line.rsplit_once(' '));
    samples
        .filter(|(sample, _)| sample.contains("_total{") && sample.contains(&port))
        .map(|(sample, value)| (sample.to_owned(), value.parse().expect("is a whole number")))
        .collect()
}

/// Fails the test when a counter went down, or went.
#[track_caller]
fn assert_went_on(before: &[(String, u64)], after: &[(String, u64)]) {
    assert!(!before.is_empty());
    for (sample, earlier) in before {
        let later = after.iter().find(|(other, _)| other == sample);
        let later = later.unwrap_or_else(|| panic!("{sample} is gone"));
        assert!(later.1 >= *earlier, "{sample}: {earlier} became {}", later.1);
    }
}

fn frames(scraped: &Scraped, port: &str) -> u64 {
    let samples = totals(scraped, port);
    samples.iter().filter(|(it, _)| it.starts_with("veth_frames")).map(|(_, value)| value).sum()
}

fn ifindex(scraped: &Scraped, port: &str) -> Option<u64> {
    scraped.value("veth_port_ifindex", &[("port", port)])
}

#[test]
#[ignore = "needs root"]
fn totals_outlive_agents_and_programs() {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("pair")]).ok();
    let agent = [&["agent", "lab"][..], &METRICS].concat();
    let mut before = Vec::new();
    for round in 0..3 {
        let served = serve(&sandbox, &agent);
        wait_until("the agent to keep the fabric", || {
            scrape(&sandbox).value("veth_agent_active", &[("fabric", "lab")]) == Some(1)
        });
        sandbox.ping("red", "10.77.0.2");
        // The program is replaced by itself, and the maps are adopted.
        sandbox.veth(&["up", example!("pair")]).ok();
        let mut after = Vec::new();
        let told = before.iter().map(|(_, value)| value).sum::<u64>();
        wait_until("what was sent to be told", || {
            after = totals(&scrape(&sandbox), "red");
            after.iter().map(|(_, value)| value).sum::<u64>() > told
        });
        if round > 0 {
            assert_went_on(&before, &after);
        }
        before = after;
        if round % 2 == 0 {
            served.signal(Signal::SIGKILL);
            assert_eq!(served.wait().code, 128 + Signal::SIGKILL as i32);
        } else {
            end_of(served);
        }
    }
    sandbox.down("lab");
}

#[test]
#[ignore = "needs root"]
fn totals_outlive_a_change_of_the_datapath_but_not_its_absence() {
    let sandbox = Sandbox::new();
    let up = |datapath| _ = sandbox.veth(&["up", example!("pair"), "--datapath", datapath]).ok();
    up("tc");
    let served = serve(&sandbox, &["metrics"]);
    for _ in 0..20 {
        sandbox.ping("red", "10.77.0.2");
    }
    let mut before = Vec::new();
    wait_until("what red sent to be told", || {
        before = totals(&scrape(&sandbox), "red");
        frames(&scrape(&sandbox), "red") >= 20
    });
    up("xdp");
    assert_went_on(&before, &totals(&scrape(&sandbox), "red"));
    up("none");
    up("tc");
    wait_until("red to be told of anew", || frames(&scrape(&sandbox), "red") < 20);
    end_of(served);
    sandbox.down("lab");
}

/// Adds a namespace `name` with the address 10.77.0.`number` behind a port like it.
fn add(sandbox: &Sandbox, name: &str, number: u8) {
    sandbox.sh(&format!(
        "ip netns add {name} && ip link add {name} type veth peer name eth0 netns {name} \
         && ip link set {name} master lab up && ip -n {name} addr add 10.77.0.{number}/24 dev eth0 \
         && ip -n {name} link set eth0 up"
    ));
}

#[test]
#[ignore = "needs root"]
fn ports_that_come_and_go_leave_the_totals_of_others_alone_and_start_anew() {
    let sandbox = Sandbox::new();
    sandbox.sh(
        "sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 \
                net.bridge.bridge-nf-call-arptables=0 2>/dev/null || true; \
                ip link add lab type bridge && ip link set lab up",
    );
    add(&sandbox, "red", 1);
    add(&sandbox, "blue", 2);
    let served = serve(&sandbox, &[&["attach", "lab"][..], &METRICS].concat());
    wait_until("both to be told of", || {
        let scraped = scrape(&sandbox);
        ["red", "blue"].into_iter().all(|port| ifindex(&scraped, port).is_some())
    });
    for round in 0..3 {
        for _ in 0..20 {
            sandbox.ping("blue", "10.77.0.1");
        }
        wait_until("what blue sent to be told", || frames(&scrape(&sandbox), "blue") >= 20);
        let before = scrape(&sandbox);
        sandbox.sh("ip link del blue && ip netns del blue");
        wait_until("blue to go", || ifindex(&scrape(&sandbox), "blue").is_none());
        add(&sandbox, "blue", 2);
        wait_until("blue to return", || ifindex(&scrape(&sandbox), "blue").is_some());
        let after = scrape(&sandbox);
        // It has the place in the counters that it had, or another one that somebody else had.
        let (earlier, later) = (frames(&before, "blue"), frames(&after, "blue"));
        assert!(later < earlier, "round {round}: {earlier} became {later}");
        assert_ne!(ifindex(&before, "blue"), ifindex(&after, "blue"));
        assert_eq!(ifindex(&before, "red"), ifindex(&after, "red"));
        assert_went_on(&totals(&before, "red"), &totals(&after, "red"));
    }
    // The bridge goes and returns: the process stays, and its own figures go on.
    let rounds = |scraped: &Scraped| scraped.value("veth_agent_rounds_total", &[]);
    let before = rounds(&scrape(&sandbox));
    sandbox.sh("ip link del lab");
    wait_until("the bridge to be missed", || {
        scrape(&sandbox).value("veth_agent_active", &[]) == Some(0)
    });
    sandbox.sh("ip link add lab type bridge && ip link set lab up && ip link set red master lab");
    wait_until("the bridge to be back", || {
        let scraped = scrape(&sandbox);
        scraped.value("veth_agent_active", &[]) == Some(1) && ifindex(&scraped, "red").is_some()
    });
    assert!(rounds(&scrape(&sandbox)) >= before && before > Some(0));
    end_of(served);
}
