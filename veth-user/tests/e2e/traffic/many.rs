//! Fabrics with more than a pair of namespaces.

use std::{net::UdpSocket, time::Instant};

use super::{
    example, over_both_fast_paths,
    talk::{End, end, exchange_streams, is_reachable},
};
use crate::sandbox::{Sandbox, wait_until};

over_both_fast_paths! { every_pair_of_a_dual_stack_fabric_is_connected }

fn every_pair_of_a_dual_stack_fabric_is_connected(datapath: &str) {
    let sandbox = Sandbox::new();
    sandbox.veth(&["up", example!("dual-stack"), "--datapath", datapath]).ok();
    let names: Vec<String> = (1..=8).map(|number| format!("w{number}")).collect();
    for prefix in ["10.81.0.", "fd81::"] {
        let sockets: Vec<UdpSocket> = names
            .iter()
            .zip(1..)
            .map(|(name, number)| end(name, &format!("{prefix}{number}")).datagrams(&sandbox))
            .collect();
        for from in &sockets {
            for to in &sockets {
                greet(from, to);
            }
        }
    }
    for name in &names {
        let (frames, ..) = sandbox.counter("dual", name, "redirected");
        assert!(frames > 0, "nothing from {name} took the fast path");
    }
    sandbox.veth(&["down", "dual"]).ok();
    sandbox.assert_empty();
}

#[track_caller]
fn greet(from: &UdpSocket, to: &UdpSocket) {
    let sender = from.local_addr().expect("is bound");
    let target = to.local_addr().expect("is bound");
    from.send_to(b"hello", target).expect("can be sent");
    let mut buffer = [0; 16];
    let (length, seen) = to.recv_from(&mut buffer).expect("arrives");
    assert_eq!((&buffer[..length], seen), (b"hello".as_slice(), sender));
}

#[test]
#[ignore = "needs root"]
fn thousand_namespaces_come_up_talk_and_go() {
    let sandbox = Sandbox::new();
    let started = Instant::now();
    let timed =
        |what: &str, since: Instant| println!("{what}: {:.2} s", since.elapsed().as_secs_f64());
    let up = sandbox.veth(&["up", example!("thousand")]).ok();
    timed("up of a thousand", started);
    assert!(up.stdout.contains("fast path on 1000 of 1000 ports"), "{}", up.stdout);

    let names: Vec<String> = (0..=1000).map(|number| format!("w{number}")).collect();
    let member = |number: usize| -> End<'_> {
        end(&names[number], &format!("10.80.{}.{}", number / 256, number % 256))
    };
    for (one, other) in [(1, 1000), (2, 500), (255, 256), (999, 3), (512, 511), (64, 65)] {
        // To ask a thousand for an address is more than the queue of a CPU takes at once.
        wait_until("an answer", || is_reachable(&sandbox, member(one), member(other)));
        let (from, to) = (member(one).datagrams(&sandbox), member(other).datagrams(&sandbox));
        greet(&from, &to);
        greet(&to, &from);
        exchange_streams(&sandbox, member(one), member(other), 100_000);
        let (frames, ..) = sandbox.counter("thousand", &names[one], "redirected");
        assert!(frames > 0, "nothing from {} took the fast path", names[one]);
    }

    let started = Instant::now();
    let again = sandbox.veth(&["up", example!("thousand")]).ok();
    timed("up of what is up", started);
    assert!(again.stdout.contains("was up as the file says"), "{}", again.stdout);

    let started = Instant::now();
    sandbox.veth(&["down", "thousand"]).ok();
    timed("down of a thousand", started);
    sandbox.assert_empty();
}
