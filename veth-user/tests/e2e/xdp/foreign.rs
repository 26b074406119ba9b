//! XDP programs of others: on a port, where there is room for one only, and in a namespace, where
//! frames still go through it.

use veth_user::datapath::{
    PortDevice,
    bench::{Sink, SinkHook},
};

use super::{Hooked, features, is_prepared, port_status};
use crate::{
    sandbox::{Sandbox, wait_until},
    traffic::{
        TRIO,
        talk::{device, end, exchange_streams, introduce, send_datagrams, silence_ipv6},
    },
};

fn fabric(datapath: &str) -> (Sandbox, String) {
    let sandbox = Sandbox::new();
    let file = sandbox.file("trio.toml", TRIO);
    sandbox.veth(&["up", &file, "--datapath", datapath]).ok();
    (sandbox, file)
}

/// A program that lets everything through that an ordinary stack sends, on a device of the host
/// or of a namespace.
#[track_caller]
fn occupy(sandbox: &Sandbox, netns: Option<&str>, name: &str) -> Sink {
    let ifindex = device(sandbox, netns, name)["ifindex"].as_u64().expect("has an index");
    let ifindex = veth_common::Ifindex(u32::try_from(ifindex).expect("is small"));
    let attach = || Sink::attach(SinkHook::Xdp, PortDevice { ifindex, name });
    match netns {
        Some(netns) => sandbox.inside(netns, attach),
        None => sandbox.on_host(attach),
    }
    .expect("nobody else has a program there")
}

#[test]
#[ignore = "needs root"]
fn port_with_a_program_of_others_is_left_to_the_bridge_and_the_others_are_served() {
    let (sandbox, file) = fabric("none");
    let before = features(&sandbox, "blue");
    let theirs = occupy(&sandbox, None, "blue");
    let id = || device(&sandbox, None, "blue")["xdp"]["prog"]["id"].clone();
    let their_id = id();

    let done = sandbox.veth(&["up", &file, "--datapath", "xdp", "--json"]).ok().json();
    assert_eq!(done["datapath"]["eligible"], 3, "{done}");
    let blue_port = port_status(&sandbox, "blue");
    assert_eq!(blue_port["reason"], "xdp_taken", "{blue_port}");
    assert!(blue_port["hook"].is_null() && blue_port["fast"] == false, "{blue_port}");
    assert_eq!(id(), their_id, "their program was touched");
    for port in ["red", "green", "grey"] {
        assert_eq!(port_status(&sandbox, port)["fast"], true, "{port}");
        assert_eq!(Hooked::of(&sandbox, port), Hooked::only("xdp"), "{port}");
    }

    let (red, blue, green) =
        (end("red", "10.77.0.1"), end("blue", "10.77.0.2"), end("green", "10.77.0.3"));
    let fast = || sandbox.counter("lab", "red", "redirected").0;
    let before_talk = fast();
    exchange_streams(&sandbox, red, green, 1 << 20);
    assert!(fast() > before_talk, "red and green are not served");
    let slow = || sandbox.counter("lab", "red", "destination_ineligible").0;
    let (before_talk, seen) = (slow(), theirs.read().expect("is readable").others);
    exchange_streams(&sandbox, red, blue, 1 << 20);
    exchange_streams(&sandbox, blue, red, 1 << 20);
    assert!(slow() > before_talk, "red and blue talk over the bridge");
    assert!(theirs.read().expect("is readable").others > seen, "past their program");

    // They leave: the port is nobody's now, and the next look takes it.
    drop(theirs);
    sandbox.veth(&["up", &file, "--datapath", "xdp"]).ok();
    assert_eq!(port_status(&sandbox, "blue")["fast"], true);
    assert!(is_prepared(&features(&sandbox, "blue")));
    let before_talk = fast();
    send_datagrams(&sandbox, red, blue, 100, 20);
    assert!(fast() >= before_talk + 20);

    sandbox.veth(&["up", &file, "--datapath", "none"]).ok();
    assert_eq!(features(&sandbox, "blue"), before);
    sandbox.down("lab");
}

/// tc does not mind a program that runs before it.
#[test]
#[ignore = "needs root"]
fn program_of_others_on_a_port_stays_when_the_fabric_is_switched() {
    let (sandbox, file) = fabric("tc");
    let theirs = occupy(&sandbox, None, "blue");
    for datapath in ["xdp", "tc", "xdp", "none"] {
        sandbox.veth(&["up", &file, "--datapath", datapath]).ok();
        let hooked = Hooked { tcx: usize::from(datapath == "tc"), clsact: false, xdp: true };
        wait_until(&format!("the hooks of {datapath}"), || Hooked::of(&sandbox, "blue") == hooked);
        sandbox.ping("red", "10.77.0.2");
    }
    assert!(theirs.read().expect("is readable").others > 0, "frames went past their program");
    drop(theirs);
    sandbox.down("lab");
}

/// As a user of `AF_XDP` has one: it sees what comes through the devmap, and may take it.
#[test]
#[ignore = "needs root"]
fn program_inside_a_namespace_sees_every_frame_that_is_redirected_to_it() {
    const DATAGRAMS: u64 = 100;
    let (sandbox, _) = fabric("xdp");
    silence_ipv6(&sandbox, &["red", "blue", "green", "grey"]);
    let (red, blue) = (end("red", "10.77.0.1"), end("blue", "10.77.0.2"));
    introduce(&sandbox, &[red, blue]);
    let theirs = occupy(&sandbox, Some("blue"), "eth0");
    assert_eq!(port_status(&sandbox, "blue")["fast"], true);

    let counted = || sandbox.counter("lab", "red", "redirected").0;
    let (before, seen) = (counted(), theirs.read().expect("is readable").others);
    send_datagrams(&sandbox, red, blue, 100, DATAGRAMS);
    assert_eq!(counted() - before, DATAGRAMS);
    assert!(theirs.read().expect("is readable").others >= seen + DATAGRAMS);
    // The stack behind it gets what it lets through, unharmed.
    exchange_streams(&sandbox, red, blue, 1 << 20);

    drop(theirs);
    let before = counted();
    send_datagrams(&sandbox, red, blue, 100, DATAGRAMS);
    assert_eq!(counted() - before, DATAGRAMS);
    sandbox.down("lab");
}
