//! What hooks into the way through a bridge is found while it is there, and not before or after.

use std::{
    os::fd::AsFd as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    programs::{LinkOrder, SchedClassifier, TcAttachType, tc::TcAttachOptions},
};
use veth_common::{Mac, names};
use veth_user::{
    Stop,
    datapath::{Hook, TC_OBJECT},
    netlink::{Event, LinkChange, Monitor, Netfilter, Netlink, VethPair},
    netns::Netns,
    sync::{HookPolicy, Keeping, Reconciler, look_for_bypassed, observe_bridge},
    sysctl,
    view::{Bypass, Bypasses},
};

use crate::{
    BLUE_MAC, MTU_BYTES, RED_MAC, ifindex, namespace, output, private, private_async, set_up, skip,
};

/// Longer than a tool takes to start or to end.
const PATIENCE: Duration = Duration::from_secs(20);

const BRIDGE_MAC: Mac = Mac([2, 0, 0, 0, 0, 3]);

/// A bridge `lab` here with a port `red`, whose peer is in a namespace, and nothing else in the way.
struct Lab {
    host: Netlink,
    /// The peer's.
    _netns: Netns,
}

impl Lab {
    fn new() -> Self {
        let netns = namespace("red");
        let mut host = Netlink::open().expect("a socket");
        host.create_bridge("lab", BRIDGE_MAC, MTU_BYTES).expect("a bridge can be made");
        let pair = VethPair {
            port: "red",
            port_mac: RED_MAC,
            peer: "eth0",
            peer_mac: BLUE_MAC,
            peer_netns: netns.as_fd(),
            mtu_bytes: MTU_BYTES,
        };
        host.create_veth_pair(&pair).expect("a pair can be made");
        let [bridge, port] = ["lab", "red"].map(|name| ifindex(&mut host, name));
        let join = LinkChange { controller: Some(bridge), ..LinkChange::default() };
        host.change_link(port, &join).expect("a device can join a bridge");
        set_up(&mut host, bridge);
        set_up(&mut host, port);
        // They are on in a new namespace.
        sysctl::set_bridge_netfilter(&[]).expect("a namespace's settings are writable");
        let mut lab = Self { host, _netns: netns };
        lab.assert_nothing("a new bridge");
        lab
    }

    /// What is found on the bridge, and on its port.
    fn look(&mut self) -> [Bypasses; 2] {
        let view = observe_bridge(&mut self.host, "lab").expect("the bridge is readable");
        let mut view = view.expect("the bridge is there");
        look_for_bypassed(&mut self.host, &mut view).expect("the kernel can be asked");
        assert_eq!(view.allowed, Bypasses::NONE);
        [view.bypassed, view.ports[0].bypassed]
    }

    #[track_caller]
    fn assert_on_bridge(&mut self, bypass: Bypass, why: &str) {
        assert_eq!(self.look(), [Bypasses::from([bypass]), Bypasses::NONE], "{why}");
    }

    #[track_caller]
    fn assert_on_port(&mut self, bypass: Bypass, why: &str) {
        assert_eq!(self.look(), [Bypasses::NONE, Bypasses::from([bypass])], "{why}");
    }

    #[track_caller]
    fn assert_nothing(&mut self, why: &str) {
        assert_eq!(self.look(), [Bypasses::NONE; 2], "{why}");
    }
}

/// Runs a tool with words that one space separates. False, and noted as skipped, when it is not
/// installed or the kernel was built without what it asks for.
#[track_caller]
fn is_done(program: &str, words: &str) -> bool {
    const LACKING: [&str; 4] = ["not supported", "No such file", "doesn't support", "is unknown"];
    let done = match Command::new(program).args(words.split(' ')).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skip(&format!("{program} {words}: {program} is not installed"));
            return false;
        }
        done => done.expect("the tool can be run"),
    };
    let complaint = String::from_utf8_lossy(&done.stderr);
    if LACKING.iter().any(|it| complaint.contains(it)) {
        skip(&format!("{program} {words}: this kernel has nothing for it"));
        return false;
    }
    assert!(done.status.success(), "{program} {words}: {complaint}");
    true
}

fn remove(program: &str, args: &str) {
    let args: Vec<_> = args.split(' ').collect();
    output(program, &args).expect("it was there before");
}

#[test]
#[ignore = "needs root"]
fn netfilter_of_the_bridge_is_found_by_the_setting_of_the_namespace_or_of_the_bridge() {
    private(|| {
        let mut lab = Lab::new();
        sysctl::set_bridge_netfilter(&["bridge-nf-call-arptables"]).expect("is writable");
        if sysctl::bridge_netfilter().is_empty() {
            skip("the namespace's settings of br_netfilter: this kernel has no such module loaded");
        } else {
            lab.assert_on_bridge(Bypass::BrNetfilter, "one setting is on");
            sysctl::set_bridge_netfilter(&[]).expect("is writable");
            lab.assert_nothing("all are off");
        }
        for knob in ["nf_call_iptables", "nf_call_ip6tables", "nf_call_arptables"] {
            if is_done("ip", &format!("link set lab type bridge {knob} 1")) {
                lab.assert_on_bridge(Bypass::BrNetfilter, knob);
                remove("ip", &format!("link set lab type bridge {knob} 0"));
                lab.assert_nothing(knob);
            }
        }
    });
}

#[test]
#[ignore = "needs root"]
fn whoever_watches_the_bridge_makes_it_promiscuous_and_is_found() {
    private(|| {
        let mut lab = Lab::new();
        remove("ip", "link set lab promisc on");
        lab.assert_on_bridge(Bypass::Promiscuous, "a user asked for it");
        remove("ip", "link set lab promisc off");
        lab.assert_nothing("nobody does any more");
        // The flag that `ip link` shows does not tell of this one.
        let mut tcpdump = Command::new("tcpdump");
        let tcpdump = tcpdump.args(["-i", "lab", "-w", "/dev/null"]).stderr(Stdio::null()).spawn();
        let mut tcpdump = tcpdump.expect("tcpdump is installed");
        let deadline = Instant::now() + PATIENCE;
        while lab.look() != [Bypasses::from([Bypass::Promiscuous]), Bypasses::NONE] {
            assert!(Instant::now() < deadline, "tcpdump was never found");
        }
        tcpdump.kill().and_then(|()| tcpdump.wait()).expect("it runs");
        while lab.look() != [Bypasses::NONE; 2] {
            assert!(Instant::now() < deadline, "tcpdump was never missed");
        }
    });
}

#[test]
#[ignore = "needs root"]
fn change_of_rules_is_an_event() {
    private_async(async || {
        let mut monitor = Monitor::subscribe().expect("root may subscribe");
        if !is_done("nft", "add table bridge t") {
            skip("events of rules: this kernel has no nftables");
            return;
        }
        let mut events = Vec::new();
        while !events.contains(&Event::Rules) {
            let next = monitor.next(&mut events);
            let heard = tokio::time::timeout(Duration::from_secs(10), next).await;
            heard.expect("the kernel tells of it").expect("the socket is sound");
        }
    });
}

#[test]
#[ignore = "needs root"]
fn chain_of_nftables_for_bridges_is_found_when_it_does_something() {
    private(|| {
        let mut lab = Lab::new();
        let base = "add chain bridge t c { type filter hook forward priority 0 ; }";
        if !is_done("nft", "add table bridge t") || !is_done("nft", base) {
            return;
        }
        lab.assert_nothing("a chain that accepts everything");
        remove("nft", "add rule bridge t c counter");
        lab.assert_on_bridge(Bypass::NftBridge, "a rule");
        remove("nft", "flush chain bridge t c");
        lab.assert_nothing("no rule any more");
        remove("nft", "add chain bridge t c { policy drop ; }");
        lab.assert_on_bridge(Bypass::NftBridge, "a policy");
        remove("nft", "delete table bridge t");
        lab.assert_nothing("no table any more");

        remove("nft", "add table bridge t");
        remove("nft", "add chain bridge t nowhere");
        remove("nft", "add rule bridge t nowhere drop");
        lab.assert_nothing("a chain that hangs nowhere");
    });
}

#[test]
#[ignore = "needs root"]
fn rules_for_routed_packets_are_none_of_the_bridges() {
    private(|| {
        let mut lab = Lab::new();
        for family in ["inet", "ip", "ip6"] {
            let base = format!(
                "add chain {family} t c {{ type filter hook forward priority 0 ; policy drop ; }}"
            );
            if is_done("nft", &format!("add table {family} t")) && is_done("nft", &base) {
                remove("nft", &format!("add rule {family} t c iifname red drop"));
                lab.assert_nothing(family);
            }
        }
    });
}

#[test]
#[ignore = "needs root"]
fn chain_of_nftables_at_a_device_is_found_on_the_port_that_it_hangs_at() {
    private(|| {
        let mut lab = Lab::new();
        for (family, hook) in [("netdev", "ingress"), ("netdev", "egress"), ("inet", "ingress")] {
            let base = |device: &str| {
                format!(
                    "add chain {family} t c {{ type filter hook {hook} device {device} priority 0 \
                     ; policy accept ; }}"
                )
            };
            let why = format!("{family} {hook}");
            if !is_done("nft", &format!("add table {family} t")) || !is_done("nft", &base("red")) {
                continue;
            }
            lab.assert_nothing(&why);
            remove("nft", &format!("add rule {family} t c counter"));
            lab.assert_on_port(Bypass::NftNetdev, &why);
            remove("nft", &format!("delete table {family} t"));
            lab.assert_nothing(&why);

            remove("nft", &format!("add table {family} t"));
            remove("nft", &base("lo"));
            remove("nft", &format!("add rule {family} t c counter"));
            lab.assert_nothing("another device's");
            remove("nft", &format!("delete table {family} t"));
        }
    });
}

#[test]
#[ignore = "needs root"]
fn legacy_ebtables_are_found() {
    private(|| {
        let mut lab = Lab::new();
        if !is_done("ebtables-legacy", "-A FORWARD -j DROP") {
            return;
        }
        let hooks = Netfilter::open().and_then(|mut netfilter| netfilter.has_other_bridge_hook());
        if hooks.expect("hooks are readable").is_none() && !sysctl::has_module("ebtable_filter") {
            skip("legacy ebtables: this kernel does not show that they are there");
            return;
        }
        lab.assert_on_bridge(Bypass::Ebtables, "a rule");
    });
}

#[test]
#[ignore = "needs root"]
fn ebtables_over_nftables_are_rules_for_bridges() {
    private(|| {
        let mut lab = Lab::new();
        if is_done("ebtables-nft", "-A FORWARD -j DROP") {
            lab.assert_on_bridge(Bypass::NftBridge, "a rule");
            remove("ebtables-nft", "-F");
            lab.assert_nothing("no rule any more");
        }
    });
}

#[test]
#[ignore = "needs root"]
fn filters_of_the_port_are_found_by_their_direction() {
    private(|| {
        let mut lab = Lab::new();
        for (qdisc, direction, bypass) in [
            ("ingress", "ingress", Bypass::TcIngress),
            ("clsact", "ingress", Bypass::TcIngress),
            ("clsact", "egress", Bypass::TcEgress),
        ] {
            let why = format!("{qdisc} {direction}");
            remove("tc", &format!("qdisc add dev red {qdisc}"));
            lab.assert_nothing(&why);
            let filter = format!("dev red {direction} protocol all prio 7");
            if is_done("tc", &format!("filter add {filter} u32 match u32 0 0")) {
                lab.assert_on_port(bypass, &why);
                remove("tc", &format!("filter del {filter}"));
                lab.assert_nothing(&why);
            }
            remove("tc", &format!("qdisc del dev red {qdisc}"));
        }
    });
}

#[test]
#[ignore = "needs root"]
fn queueing_discipline_of_the_port_is_found() {
    private(|| {
        let mut lab = Lab::new();
        let qdisc = "dev red root tbf rate 1gbit burst 1mb latency 1ms";
        if is_done("tc", &format!("qdisc add {qdisc}")) {
            lab.assert_on_port(Bypass::Qdisc, "tbf");
            remove("tc", "qdisc del dev red root");
            lab.assert_nothing("the default again");
        }
    });
}

/// A program of somebody else's.
fn stranger() -> Ebpf {
    let mut object = Ebpf::load(TC_OBJECT).expect("the object is sound");
    program(&mut object).load().expect("the kernel takes it");
    object
}

fn program(object: &mut Ebpf) -> &mut SchedClassifier {
    let program = object.program_mut(names::TC_INGRESS).expect("the object has it");
    program.try_into().expect("it is a classifier")
}

fn has_tcx() -> bool {
    let has_tcx = SchedClassifier::query_tcx("lo", TcAttachType::Ingress).is_ok();
    if !has_tcx {
        skip("programs at tcx hooks: this kernel has none (6.6)");
    }
    has_tcx
}

#[test]
#[ignore = "needs root"]
fn programs_at_tcx_hooks_are_found_by_their_direction() {
    private(|| {
        let mut lab = Lab::new();
        if !has_tcx() {
            return;
        }
        for (at, bypass) in
            [(TcAttachType::Ingress, Bypass::TcIngress), (TcAttachType::Egress, Bypass::TcEgress)]
        {
            let mut object = stranger();
            let link = program(&mut object).attach("red", at).expect("it can be attached");
            lab.assert_on_port(bypass, "attached");
            program(&mut object).detach(link).expect("it can be detached");
            lab.assert_nothing("detached");
        }
    });
}

#[test]
#[ignore = "needs root"]
fn own_program_is_none_of_anybody_elses_and_what_comes_before_it_is_not_passed_by() {
    private(|| {
        let mut lab = Lab::new();
        if !has_tcx() {
            return;
        }
        for hook in [Hook::Tcx, Hook::Clsact] {
            let fabric = "lab".parse().expect("a name");
            let mut reconciler =
                Reconciler::start(&fabric, HookPolicy::Only(hook), Keeping::Managed)
                    .expect("the datapath can be loaded");
            let done = reconciler.reconcile(&Stop::default()).expect("the port takes it");
            assert_eq!(done.attached + done.replaced, 1, "{hook}");
            lab.assert_nothing("our own");

            let mut object = stranger();
            let mut attach = |order| {
                let options = TcAttachOptions::TcxOrder(order);
                let attached =
                    program(&mut object).attach_with_options("red", TcAttachType::Ingress, options);
                let link = attached.expect("it can be attached");
                let found = lab.look();
                program(&mut object).detach(link).expect("it can be detached");
                found
            };
            let found = [Bypasses::NONE, Bypasses::from([Bypass::TcIngress])];
            assert_eq!(attach(LinkOrder::last()), found, "{hook}");
            // Beside a filter of ours every tcx program counts: veth may move to tcx, in front.
            let before = if hook == Hook::Tcx { [Bypasses::NONE; 2] } else { found };
            assert_eq!(attach(LinkOrder::first()), before, "{hook}");

            remove("tc", "qdisc replace dev red clsact");
            let filter = "dev red ingress protocol all prio 2";
            if is_done("tc", &format!("filter add {filter} u32 match u32 0 0")) {
                lab.assert_on_port(Bypass::TcIngress, "a filter beside ours");
                remove("tc", &format!("filter del {filter}"));
                lab.assert_nothing("no filter any more");
            }
        }
    });
}
