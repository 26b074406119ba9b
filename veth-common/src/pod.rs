//! `aya::Pod` for the types that user space reads from and writes to maps.
//!
//! All the `unsafe` of this crate is here.

use crate::{
    CaptureRule, CaptureTally, Counter, FdbEntry, Generate, Ifindex, MacKey, Meta, Pair,
    PortCounters, PortEntry, Prepared, Sunk,
};

macro_rules! pod {
    ($($type:ty),+ $(,)?) => {$(
        // SAFETY: `repr(C)` or `repr(transparent)` over unsigned integers and arrays of them, so
        // every bit pattern is a value; the size assertions beside each type leave no room for
        // padding, so every byte is initialised.
        unsafe impl aya::Pod for $type {}
    )+};
}

pod!(
    CaptureRule,
    CaptureTally,
    Counter,
    FdbEntry,
    Generate,
    Ifindex,
    MacKey,
    Meta,
    Pair,
    PortCounters,
    PortEntry,
    Prepared,
    Sunk
);
