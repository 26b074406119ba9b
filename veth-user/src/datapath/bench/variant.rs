//! Variants of the tc program, in front of it on the ports of a fabric.

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData},
    programs::{LinkOrder, TcAttachType, tc::TcAttachOptions},
};
use veth_common::names;

use super::{classifier, map_failed, program_failed, take_map};
use crate::datapath::{DatapathError, PortDevice, dir_of, object::BENCH_OBJECT};

/// How a variant differs from the tc program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// It uses `bpf_redirect` to the port, not `bpf_redirect_peer`.
    Redirect,
    /// It waits so many nanoseconds before it decides.
    Delayed(u32),
}

impl Variant {
    const fn program(self) -> &'static str {
        match self {
            Self::Redirect => names::BENCH_REDIRECT,
            Self::Delayed(_) => names::BENCH_DELAYED,
        }
    }
}

/// A variant on the ports of a fabric; it goes when this is dropped.
pub struct VariantPort {
    _object: Ebpf,
}

impl VariantPort {
    /// Puts `variant` in front of the tc program of `fabric` on `ports`. It decides by the maps
    /// of that fabric, and counts there.
    ///
    /// # Minimum kernel version
    ///
    /// 6.6 (tcx).
    ///
    /// # Errors
    ///
    /// When the fabric has no maps, or the kernel refuses.
    pub fn attach(
        fabric: &str,
        variant: Variant,
        ports: &[PortDevice<'_>],
    ) -> Result<Self, DatapathError> {
        let dir = dir_of(fabric);
        let mut loader = EbpfLoader::new();
        for name in names::MAPS {
            loader.map_pin_path(name, dir.join(name));
        }
        let mut object = loader.load(BENCH_OBJECT)?;
        // The program is loaded by the descriptors of its maps: this one is needed until then.
        let mut delay: Array<MapData, u64> = take_map(&mut object, names::MAP_BENCH_DELAY)?;
        if let Variant::Delayed(delay_ns) = variant {
            delay
                .set(0, u64::from(delay_ns), 0)
                .map_err(map_failed("write", names::MAP_BENCH_DELAY))?;
        }
        let name = variant.program();
        let program = classifier(&mut object, name)?;
        program.load().map_err(program_failed("load", name))?;
        drop(delay);
        for port in ports {
            let first = TcAttachOptions::TcxOrder(LinkOrder::first());
            program
                .attach_with_options(port.name, TcAttachType::Ingress, first)
                .map_err(program_failed("attach", name))?;
        }
        Ok(Self { _object: object })
    }
}
