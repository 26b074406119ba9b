//! Counters: they count what was sent, and a dump says the same as a question about one device.

use veth_common::Ifindex;
use veth_user::{
    netlink::Netlink,
    view::{DirectionStatistics, LinkStatistics},
};

use crate::{BLUE_MAC, RED_MAC, add_address, ifindex, inside, private, red_and_blue, set_up, talk};

/// Ethernet, IPv4 and UDP.
const HEADERS_BYTES: u64 = 14 + 20 + 8;

#[test]
#[ignore = "needs root"]
fn frames_that_were_sent_are_counted_at_both_ends() {
    private(|| {
        let ends = red_and_blue();
        for (netns, ip, (other, mac)) in [
            (&ends[0], "10.0.0.1", ("10.0.0.2", BLUE_MAC)),
            (&ends[1], "10.0.0.2", ("10.0.0.1", RED_MAC)),
        ] {
            inside(netns, |netlink| {
                let link = ifindex(netlink, netns.name());
                add_address(netlink, link, ip, 24);
                set_up(netlink, link);
                // No frames but the test's: nobody asks who has an address.
                netlink
                    .add_neighbour(link, other.parse().expect("an address"), mac)
                    .expect("a neighbour can be added");
            });
        }
        let [red, blue] = [&ends[0], &ends[1]];
        let (from, to) = (talk::socket(red, "10.0.0.1"), talk::socket(blue, "10.0.0.2"));
        talk::reach(&from, &to);

        let count = || {
            ends.each_ref().map(|netns| {
                inside(netns, |netlink| {
                    let link = ifindex(netlink, netns.name());
                    netlink.statistics(link).expect("readable")
                })
            })
        };
        let before = count();
        for _ in 0..3 {
            from.send_to(&[0; 100], to.local_addr().expect("it is bound")).expect("it is sent");
        }
        let after = count();

        let three = |before: DirectionStatistics| DirectionStatistics {
            packets: before.packets + 3,
            bytes: before.bytes + 3 * (HEADERS_BYTES + 100),
            ..before
        };
        let [red, blue] = before;
        assert_eq!(after[0], LinkStatistics { tx: three(red.tx), ..red });
        assert_eq!(after[1], LinkStatistics { rx: three(blue.rx), ..blue });

        inside(&ends[1], |netlink| {
            let all = netlink.statistics_of_all().expect("readable");
            for (name, statistics) in [("lo", LinkStatistics::default()), ("blue", after[1])] {
                assert!(all.contains(&(ifindex(netlink, name), statistics)), "{name} in {all:?}");
            }
        });
    });
}

#[test]
#[ignore = "needs root"]
fn device_that_is_gone_is_not_found() {
    private(|| {
        let mut netlink = Netlink::open().expect("a socket");
        let error = netlink.statistics(Ifindex(4711)).expect_err("there is no such device");
        assert!(error.is_not_found(), "{error}");
    });
}
