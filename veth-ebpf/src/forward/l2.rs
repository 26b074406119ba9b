//! The bridge's questions: who sent this, for whom is it, and may the two talk?

use veth_common::{FdbEntry, FdbFlags, Ifindex, Lease, MacKey, Verdict};

use crate::{header::Ethernet, packet::Packet, tables::Tables};

/// The sender, when it is known on the port that the frame arrived on and the frame is one that
/// a bridge forwards to a single port.
#[inline(always)]
pub(super) fn source(
    packet: &impl Packet,
    ethernet: &Ethernet,
    ingress: Ifindex,
    tables: &impl Tables,
    clock: &mut Clock,
) -> Result<FdbEntry, Verdict> {
    if packet.has_vlan_tag() || ethernet.is_vlan_tagged() {
        return Err(Verdict::VlanTagged);
    }
    if ethernet.destination.is_group() {
        return Err(group_verdict(ethernet.destination));
    }
    let Some(source) = station(tables, ethernet.source) else {
        return Err(if ethernet.source.mac().is_station() {
            Verdict::SourceUnknown
        } else {
            Verdict::SourceInvalid
        });
    };
    if source.port != ingress {
        return Err(Verdict::SourceMoved);
    }
    if !source.flags.contains(FdbFlags::SOURCE) {
        return Err(Verdict::SourceIneligible);
    }
    if !clock.allows(source.lease, tables) {
        return Err(Verdict::SourceExpired);
    }
    Ok(source)
}

/// The receiver, when frames from `source` may be handed straight to it.
#[inline(always)]
pub(super) fn target(
    ethernet: &Ethernet,
    source: &FdbEntry,
    tables: &impl Tables,
    clock: &mut Clock,
) -> Result<FdbEntry, Verdict> {
    let target = station(tables, ethernet.destination).ok_or(Verdict::DestinationUnknown)?;
    if target.flags.contains(FdbFlags::LOCAL) {
        return Err(Verdict::DestinationLocal);
    }
    if target.port == source.port {
        return Err(Verdict::SamePort);
    }
    if !clock.allows(target.lease, tables) {
        return Err(Verdict::DestinationExpired);
    }
    if !target.flags.contains(FdbFlags::TARGET) {
        return Err(Verdict::DestinationIneligible);
    }
    if target.vlan != source.vlan {
        return Err(Verdict::OtherVlan);
    }
    if source.flags.contains(FdbFlags::ISOLATED) && target.flags.contains(FdbFlags::ISOLATED) {
        return Err(Verdict::Isolated);
    }
    Ok(target)
}

#[inline(always)]
fn group_verdict(destination: MacKey) -> Verdict {
    if destination.is_broadcast() { Verdict::Broadcast } else { Verdict::Multicast }
}

/// Looks up `key`, and takes an entry that was recycled under the lookup for a miss.
#[inline(always)]
fn station(tables: &impl Tables, key: MacKey) -> Option<FdbEntry> {
    tables.station(key).filter(|entry| entry.key == key)
}

/// The time, asked for at most once for a frame, and only when a lease can end.
#[derive(Default)]
pub(super) struct Clock {
    now_ns: Option<u64>,
}

impl Clock {
    /// Whether an entry with this lease may still be used.
    #[inline(always)]
    fn allows(&mut self, lease: Lease, tables: &impl Tables) -> bool {
        lease == Lease::FOREVER
            || lease.is_valid_at(*self.now_ns.get_or_insert_with(|| tables.now_ns()))
    }
}
