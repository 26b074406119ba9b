//! The forwarding decision: one frame in, one verdict out.

mod l2;
mod l3;
#[cfg(test)]
mod tests;

use veth_common::{Ifindex, Lease, MacKey, PortFlags, PortSlot, Verdict};

use l2::Clock;

use crate::{header::Ethernet, packet::Packet, tables::Tables};

/// What to do with a frame, and where it counts.
#[must_use = "a frame whose decision is not acted on is lost"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// The counters it goes to.
    pub slot: PortSlot,
    /// The port whose peer gets the frame. [`Target::NONE`] unless the verdict is
    /// [`Verdict::Redirected`].
    pub target: Target,
}

/// A port that frames are handed to, by both of its names: tc knows devices, the devmap of XDP
/// has slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its device.
    pub port: Ifindex,
    /// Its slot.
    pub slot: PortSlot,
}

impl Target {
    /// No port.
    pub const NONE: Self = Self { port: Ifindex(0), slot: PortSlot::UNKNOWN };
}

/// A frame that may take the fast path.
struct Redirect {
    /// Counters of the port it came from.
    slot: PortSlot,
    /// The port whose peer gets it.
    target: Target,
}

/// Decides on the frame `packet` that arrived on `ingress`.
///
/// The frame is redirected only when everything that the bridge would consult is known and says
/// "forward this, unchanged, to that one port". In every other case the verdict is the first
/// reason found, and the frame belongs to the bridge.
#[inline(always)]
pub fn decide(packet: &impl Packet, ingress: Ifindex, tables: &impl Tables) -> Decision {
    let reason = match redirect(packet, ingress, tables) {
        Ok(Redirect { slot, target }) => {
            return Decision { verdict: Verdict::Redirected, slot, target };
        }
        Err(reason) => reason,
    };
    // A frame on its way to the bridge can afford the lookup that the fast path saves.
    let (verdict, slot) = match tables.port(ingress) {
        None => (Verdict::PortUnknown, PortSlot::UNKNOWN),
        Some(port) if !port.flags.contains(PortFlags::ELIGIBLE) => {
            (Verdict::PortIneligible, port.slot)
        }
        Some(port) => (reason, port.slot),
    };
    Decision { verdict, slot, target: Target::NONE }
}

/// The station that a frame on its way to the bridge shows to be on another port than the one that
/// its entry names. The bridge moves it as soon as it sees the frame, so the entry must not be used
/// any more, and the control plane is too far away to say so in time.
///
/// An entry whose lease has no end is not affected: the bridge was told not to move that station.
#[inline(always)]
pub fn moved_station(
    packet: &impl Packet,
    ingress: Ifindex,
    tables: &impl Tables,
) -> Option<MacKey> {
    let source = Ethernet::of(packet)?.source;
    let entry = tables.station(source)?;
    let is_contradicted =
        entry.key == source && entry.port != ingress && entry.lease != Lease::FOREVER;
    is_contradicted.then_some(source)
}

/// The checks of the fast path, in the order in which their reasons are reported.
#[inline(always)]
fn redirect(
    packet: &impl Packet,
    ingress: Ifindex,
    tables: &impl Tables,
) -> Result<Redirect, Verdict> {
    let ethernet = Ethernet::of(packet).ok_or(Verdict::Runt)?;
    let mut clock = Clock::default();
    let source = l2::source(packet, &ethernet, ingress, tables, &mut clock)?;
    let target = l2::target(&ethernet, &source, tables, &mut clock)?;
    l3::fits(packet, ethernet.ether_type, target.mtu_bytes)?;
    let target = Target { port: target.port, slot: target.slot };
    Ok(Redirect { slot: source.slot, target })
}
