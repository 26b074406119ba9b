//! Both ends of a pair in one namespace.

use super::{Patient, codes};

/// Both ends up, in the host; the first one with an address.
const ONE: &str = "ip link add dev v0 type veth peer name v1 && ip link set dev v0 up \
                   && ip link set dev v1 up && ip addr add 10.0.0.1/24 dev v0";

fn both() -> String {
    format!("{ONE} && ip addr add 10.0.0.2/24 dev v1")
}

/// The same, set up so that it works through the pair.
fn working() -> String {
    let of = |device| format!("net.ipv4.conf.{device}.accept_local=1");
    format!("{} && sysctl -qw {} {}", both(), of("v0"), of("v1"))
}

#[test]
#[ignore = "needs root"]
fn address_at_one_end_only_is_told() {
    let patient = Patient::new(ONE);
    let findings = patient.is_cured(("", "10.0.0.2"), &[], &["one_end_addressed"]);
    assert_eq!(findings[0]["device"], "v1");
    assert_eq!(findings[0]["netns"]["own"], true);
}

#[test]
#[ignore = "needs root"]
fn packet_from_an_own_address_is_not_accepted() {
    // Without IPv6, nobody but the test sends anything.
    let alone = "sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1";
    let strict = "sysctl -qw net.ipv4.conf.all.rp_filter=1";
    let patient = Patient::new(&format!("{alone} && {} && {strict}", both()));
    assert!(patient.pings("", "10.0.0.2"));
    assert_eq!(patient.sandbox.device_counter("v1", "rx_packets"), 0, "it took the pair");
    let expected = ["accept_local", "accept_local", "rp_filter", "rp_filter"];
    let findings = patient.is_cured(("", "-I v0 10.0.0.2"), &["v0"], &expected);
    assert!(patient.pings("", "-I v1 10.0.0.1"));
    let evidence = findings[2]["evidence"][0].as_str().expect("a text");
    assert!(evidence.ends_with("rp_filter = 0, all.rp_filter = 1"), "{evidence}");
}

#[test]
#[ignore = "needs root"]
fn either_setting_alone_is_named() {
    for (setting, code) in [
        ("net.ipv4.conf.v1.accept_local=0", "accept_local"),
        ("net.ipv4.conf.v1.rp_filter=1", "rp_filter"),
        ("net.ipv4.conf.v1.arp_filter=1", "arp_silenced"),
        ("net.ipv4.conf.v1.arp_ignore=8", "arp_silenced"),
    ] {
        let patient = Patient::new(&format!("{} && sysctl -qw {setting}", working()));
        let findings = patient.is_cured(("", "-I v0 10.0.0.2"), &["v1"], &[code]);
        assert_eq!(findings[0]["device"], "v1", "{setting}");
    }
}

#[test]
#[ignore = "needs root"]
fn settings_that_do_no_harm_are_not_told() {
    let harmless = "net.ipv4.conf.v1.rp_filter=2 net.ipv4.conf.v1.arp_ignore=2 \
                    net.ipv4.conf.lo.rp_filter=1";
    let patient = Patient::new(&format!("{} && sysctl -qw {harmless}", working()));
    assert!(patient.pings("", "-I v0 10.0.0.2"));
    assert_eq!(codes(&patient.findings(&[])), [""; 0]);
}

#[test]
#[ignore = "needs root"]
fn reply_takes_lo() {
    let patient = Patient::new(&format!("{} && ip link set dev lo down", working()));
    let findings = patient.is_cured(("", "-I v0 10.0.0.2"), &["v0"], &["lo_down"]);
    assert_eq!(findings[0]["device"], "lo");
    let lo_before = patient.sandbox.device_counter("lo", "rx_packets");
    let pair_before = patient.sandbox.device_counter("v1", "rx_packets");
    assert!(patient.pings("", "-I v0 10.0.0.2"));
    assert!(patient.sandbox.device_counter("v1", "rx_packets") > pair_before);
    assert!(patient.sandbox.device_counter("lo", "rx_packets") > lo_before);
}
