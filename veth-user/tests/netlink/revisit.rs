//! What is known of a bridge by following its events is what a look at everything says.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    process::Command,
    time::{Duration, Instant},
};

use veth_user::{
    netlink::{Event, Monitor, Netlink},
    sync::{Parts, Scope, look_for_bypassed, observe_bridge, revisit},
    sysctl,
    view::BridgeView,
};

use crate::{private_async, skip};

/// Longer than the kernel takes to tell of anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// What happens to the bridge `lab` and its ports `p1`, `p2` and `p3`, the peers of which are in the
/// namespaces `n1`, `n2` and `n3`. Each line is followed by itself.
const EVENTS: &str = "
    # Stations.
    bridge fdb replace 02:00:00:00:09:01 dev p1 master dynamic
    bridge fdb replace 02:00:00:00:09:01 dev p2 master dynamic
    bridge fdb replace 02:00:00:00:09:01 dev p2 master static
    bridge fdb replace 02:00:00:00:09:01 dev p2 master static sticky
    bridge fdb del 02:00:00:00:09:01 dev p2 master
    bridge fdb replace 02:00:00:00:09:02 dev p3 master dynamic
    bridge fdb add 02:00:00:00:09:03 dev lab self local
    bridge fdb del 02:00:00:00:09:03 dev lab self local
    bridge fdb replace 02:00:00:00:09:04 dev p3 master dynamic; bridge fdb replace 02:00:00:00:09:04 dev p1 master dynamic
    ip netns exec n1 ping -c1 -W1 10.0.0.2
    ip -n n1 link set eth0 address 02:00:00:00:08:01; ip netns exec n1 ping -c1 -W1 10.0.0.2
    ip link set lab type bridge fdb_flush
    ip netns exec n1 ping -c1 -W1 10.0.0.2
    # Ports, from this side.
    ip link set p1 down
    ip link set p1 up
    ip link set p1 mtu 1400
    ip link set p1 address 02:00:00:00:07:01
    ip link set p1 alias something
    ip link set p1 down; ip link set p1 name q1
    ip link set q1 name p1; ip link set p1 up
    bridge link set dev p1 isolated on
    bridge link set dev p1 isolated off
    bridge link set dev p1 learning off
    bridge link set dev p1 learning on
    bridge link set dev p1 hairpin on
    bridge link set dev p1 hairpin off
    bridge link set dev p1 neigh_suppress on
    bridge link set dev p1 neigh_suppress off
    bridge link set dev p1 state 4
    bridge link set dev p1 state 3
    ethtool -K p1 tx off
    ethtool -K p1 tx on
    ip link set p1 nomaster
    ip link set p1 master lab
    ip link set p1 nomaster; ip link set p1 master lab; ip link set p2 nomaster
    ip link set p2 master lab
    # And from the other.
    ip -n n2 link set eth0 down
    ip -n n2 link set eth0 up
    ip -n n2 link set eth0 mtu 1300
    ip -n n2 link set eth0 down; ip -n n2 link set eth0 name eth9; ip -n n2 link set eth9 up
    ip -n n2 link set eth9 address 02:00:00:00:08:02
    ip -n n2 link set eth9 netns n3
    ip -n n3 link set eth9 up
    ip -n n3 link set eth9 netns here
    ip link set eth9 up
    ip link add other type bridge; ip link set eth9 master other
    ip link del other
    ip link set eth9 netns n2; ip -n n2 link set eth9 name eth0 up
    # What is in the way.
    tc qdisc add dev p1 root pfifo limit 1000
    tc qdisc del dev p1 root
    tc qdisc add dev p1 clsact
    tc filter add dev p1 ingress bpf bytecode '1,6 0 0 0,'
    tc filter add dev p1 egress bpf bytecode '1,6 0 0 0,'
    tc filter del dev p1 ingress
    tc qdisc add dev p2 ingress_block 22 ingress
    tc filter add block 22 bpf bytecode '1,6 0 0 0,'
    tc qdisc del dev p2 ingress
    tc qdisc del dev p1 clsact
    ip link set lab type bridge nf_call_iptables 1
    ip link set lab type bridge nf_call_iptables 0
    nft add table netdev t; nft add chain netdev t c '{ type filter hook ingress device p1 priority 0 ; }'; nft add rule netdev t c counter
    ip link set p2 mtu 1450
    nft delete table netdev t
    nft add table bridge t; nft add chain bridge t c '{ type filter hook forward priority 0 ; }'; nft add rule bridge t c counter
    nft delete table bridge t
    # The bridge.
    ip link set lab address 02:00:00:00:06:01
    ip link set lab mtu 1400
    ip link set lab type bridge stp_state 1 forward_delay 200
    ip link set lab type bridge stp_state 0
    ip link set lab type bridge ageing_time 5000
    ip link set lab promisc on
    ip link set lab promisc off
    ip link add link lab name mv address 02:00:00:00:0a:01 type macvlan mode bridge
    ip link set mv up
    bridge fdb replace 02:00:00:00:0a:01 dev p1 master dynamic
    bridge fdb del 02:00:00:00:0a:01 dev p1 master
    ip link set mv down
    ip link set mv up
    ip link del mv
    ip link set lab down
    ip link set lab up
    # Who comes and goes.
    ip tuntap add tap mode tap; ip link set tap master lab up
    ip link del tap
    ip netns del n3
    ip netns add n3; ip link add p3 type veth peer name eth0 netns n3; ip link set p3 master lab up; ip -n n3 link set eth0 up
    ip link del p3; ip link add p3 type veth peer name eth0 netns n3; ip link set p3 master lab up; ip -n n3 link set eth0 up
    ip netns set here 77 || true; ip link set p1 mtu 1350; bridge fdb replace 02:00:00:00:09:05 dev p1 master dynamic
    ip link del lab; ip link add lab type bridge; ip link set lab up; ip link set p1 master lab
";

/// What everything says, but for the ages of stations and their order, which nothing is made of.
fn look(host: &mut Netlink) -> BridgeView {
    let view = observe_bridge(host, "lab").expect("the kernel can be asked");
    let mut view = view.expect("the bridge is there");
    look_for_bypassed(host, &mut view).expect("the kernel can be asked");
    view
}

fn comparable(mut view: BridgeView) -> BridgeView {
    view.fdb.iter_mut().for_each(|entry| entry.age_ms = 0);
    view.fdb.sort();
    view.ports.sort_by_key(|port| port.link.ifindex);
    view
}

/// What one has (-) and the other has not (+).
fn differences(followed: &BridgeView, everything: &BridgeView) -> String {
    let [followed, everything] = [followed, everything].map(|view| {
        let bridge = [format!("{:?}", view.bridge), format!("{:?}", view.bypassed)];
        let ports = view.ports.iter().map(|port| format!("{port:?}"));
        let stations = view.fdb.iter().map(|entry| format!("{entry:?}"));
        bridge.into_iter().chain(ports).chain(stations).collect::<Vec<_>>()
    });
    let gone = followed.iter().filter(|it| !everything.contains(it)).map(|it| format!("- {it}\n"));
    let new = everything.iter().filter(|it| !followed.contains(it)).map(|it| format!("+ {it}\n"));
    gone.chain(new).collect()
}

/// Runs a line with the network of the calling thread; false when it fails.
fn run(line: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("set -e; {line}")]).process_group(0);
    let output = shell.output().expect("there is a shell");
    if !output.status.success() {
        println!("{line}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    output.status.success()
}

#[test]
#[ignore = "needs root"]
fn following_events_leads_to_what_a_look_at_everything_says() {
    private_async(async || {
        // Whatever is sent by itself comes at any time.
        for which in ["all", "default"] {
            let path = format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6");
            fs::write(path, "1").expect("a namespace's settings are writable");
        }
        sysctl::set_bridge_netfilter(&[]).expect("a namespace's settings are writable");
        assert!(run("ip netns attach here $$"));
        assert!(run("ip link add lab type bridge; ip link set lab up"));
        for number in 1..=3 {
            assert!(run(&format!(
                "ip netns add n{number}
                     ip netns exec n{number} sysctl -qw net.ipv6.conf.all.disable_ipv6=1
                     ip link add p{number} type veth peer name eth0 netns n{number}
                     ip link set p{number} master lab up
                     ip -n n{number} addr add 10.0.0.{number}/24 dev eth0
                     ip -n n{number} link set eth0 up"
            )));
        }
        let mut monitor = Monitor::subscribe().expect("root may subscribe");
        let mut host = Netlink::open().expect("a socket");
        let mut known = look(&mut host);
        let mut in_parts = 0;
        let lines = EVENTS.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if !run(line) {
                skip(&format!("following {line:?}: it cannot be done here"));
            }
            let started = Instant::now();
            loop {
                let (followed, is_in_parts) = follow(&mut host, &mut monitor, known).await;
                known = followed;
                in_parts += u32::from(is_in_parts);
                let everything = comparable(look(&mut host));
                let followed = comparable(known.clone());
                if followed == everything {
                    break;
                }
                // A port's carrier and what comes of it are told of later.
                assert!(
                    started.elapsed() < PATIENCE,
                    "{line}: followed to what is not so:\n{}",
                    differences(&followed, &everything)
                );
            }
        }
        assert!(in_parts > 50, "all but {in_parts} were looks at everything");
    });
}

#[test]
#[ignore = "needs root"]
fn whatever_is_read_after_an_overrun_may_be_about_anything_until_nothing_is_left() {
    private_async(async || {
        let mut monitor = Monitor::subscribe().expect("root may subscribe");
        let changes: String = (0..20_000)
            .map(|number| format!("link set deluge mtu {}\n", 1000 + number % 2))
            .collect();
        let batch = format!("link add deluge up type bridge\n{changes}");
        let file = std::env::temp_dir().join(format!("deluge-{}", std::process::id()));
        fs::write(&file, batch).expect("there is room");
        assert!(run(&format!("ip -batch {}", file.display())));
        fs::remove_file(&file).expect("it is there");

        let mut events = Vec::new();
        monitor.next(&mut events).await.expect("the socket is sound");
        assert_eq!(events, [Event::Overrun]);
        let mut datagrams = 0;
        while let Ok(heard) = tokio::time::timeout(PATIENCE / 20, monitor.next(&mut events)).await {
            heard.expect("the socket is sound");
            assert_eq!(events.last(), Some(&Event::Unclear), "after {datagrams}");
            datagrams += 1;
        }
        assert!(datagrams > 100, "{datagrams}");
        events.clear();
        assert!(run("ip link set deluge mtu 1400"));
        monitor.next(&mut events).await.expect("the socket is sound");
        assert!(!events.contains(&Event::Unclear), "{events:?}");
    });
}

/// Follows what is heard until nothing is for a moment; says whether that took no look at everything.
async fn follow(
    host: &mut Netlink,
    monitor: &mut Monitor,
    known: BridgeView,
) -> (BridgeView, bool) {
    const MOMENT: Duration = Duration::from_millis(20);
    let mut scope = Scope::nothing();
    let mut events = Vec::new();
    while let Ok(heard) = tokio::time::timeout(MOMENT, monitor.next(&mut events)).await {
        heard.expect("the socket is sound");
        events.drain(..).for_each(|event| scope.add(event));
    }
    if let Scope::Parts(parts) = &scope
        && let Some(found) = revisit(host, known.clone(), parts).expect("the kernel can be asked")
    {
        let (before, after) = (comparable(known), comparable(found.view.clone()));
        assert_eq!(found.is_changed, before != after, "{}", differences(&before, &after));
        return (found.view, *parts != Parts::default());
    }
    (look(host), false)
}
