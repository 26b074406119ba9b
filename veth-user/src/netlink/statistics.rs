//! The counters of devices.

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::Stats64,
    stats::{StatsAttribute, StatsFilterMask, StatsMessage},
};
use veth_common::Ifindex;

use super::{Netlink, NetlinkError};
use crate::view::{DirectionStatistics, LinkStatistics};

impl Netlink {
    /// The counters of `ifindex`.
    ///
    /// # Errors
    ///
    /// [Not found](NetlinkError::is_not_found) when there is no such device.
    ///
    /// # Minimum kernel version
    ///
    /// 4.7 (`RTM_GETSTATS`).
    #[doc(alias = "IFLA_STATS_LINK_64")]
    pub fn statistics(&mut self, ifindex: Ifindex) -> Result<LinkStatistics, NetlinkError> {
        let action = || format!("ask for the counters of link {}", ifindex.0);
        let answer = self.get(RouteNetlinkMessage::GetStats(message_of(ifindex)), action)?;
        statistics_of(&answer).map(|(_, statistics)| statistics).ok_or_else(|| {
            NetlinkError::Malformed {
                action: action(),
                reason: "an answer without the counters".into(),
            }
        })
    }

    /// The counters of all devices of the namespace. Nothing else is asked for, so this costs a
    /// fraction of [`links`](Self::links).
    ///
    /// # Minimum kernel version
    ///
    /// 4.7 (`RTM_GETSTATS`).
    pub fn statistics_of_all(&mut self) -> Result<Vec<(Ifindex, LinkStatistics)>, NetlinkError> {
        /// A dump is of no device in particular.
        const ALL: Ifindex = Ifindex(0);
        let answer = self.dump(&RouteNetlinkMessage::GetStats(message_of(ALL)), || {
            "ask for the counters of all links".into()
        })?;
        Ok(answer.iter().filter_map(statistics_of).collect())
    }
}

fn message_of(ifindex: Ifindex) -> StatsMessage {
    let mut message = StatsMessage::default();
    message.header.ifindex = ifindex.0;
    message.header.filter_mask = StatsFilterMask::Link64;
    message
}

fn statistics_of(answer: &RouteNetlinkMessage) -> Option<(Ifindex, LinkStatistics)> {
    let RouteNetlinkMessage::NewStats(message) = answer else {
        return None;
    };
    let counters = message.attributes.iter().find_map(|attribute| match attribute {
        StatsAttribute::Link64(counters) => Some(counters),
        _ => None,
    })?;
    Some((Ifindex(message.header.ifindex), totals_of(counters)))
}

fn totals_of(counters: &Stats64) -> LinkStatistics {
    LinkStatistics {
        rx: DirectionStatistics {
            packets: counters.rx_packets,
            bytes: counters.rx_bytes,
            dropped: counters.rx_dropped,
            errors: counters.rx_errors,
        },
        tx: DirectionStatistics {
            packets: counters.tx_packets,
            bytes: counters.tx_bytes,
            dropped: counters.tx_dropped,
            errors: counters.tx_errors,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct rtnl_link_stats64` begins with these, in this order, since 2.6.35.
    const COUNTERS: [u64; 8] = [1, 2, 300, 400, 5, 6, 7, 8];

    #[test]
    fn counters_are_those_of_the_kernels_layout() {
        let bytes = COUNTERS.map(u64::to_ne_bytes).concat();
        let counters = Stats64::parse(&bytes).expect("a short structure is an older kernel's");
        assert_eq!(
            totals_of(&counters),
            LinkStatistics {
                rx: DirectionStatistics { packets: 1, bytes: 300, dropped: 7, errors: 5 },
                tx: DirectionStatistics { packets: 2, bytes: 400, dropped: 8, errors: 6 },
            }
        );
    }
}
