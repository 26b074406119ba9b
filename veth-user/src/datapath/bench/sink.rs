//! Where generated frames end: counted and dropped.

use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
    programs::{SchedClassifier, TcAttachType, XdpMode, tc::qdisc_add_clsact},
};
use veth_common::{Ifindex, Sunk, names};

use super::{classifier, load_alone, map_failed, program_failed, take_map, xdp};
use crate::datapath::{DatapathError, PortDevice};

/// Where a sink takes frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SinkHook {
    /// At the ingress of the device, as `sk_buff`s.
    Tc,
    /// In the driver, as XDP frames.
    Xdp,
}

/// A sink on a device; it goes when this is dropped.
pub struct Sink {
    sunk: PerCpuArray<MapData, Sunk>,
    _object: Ebpf,
}

impl Sink {
    /// Puts a sink on `device`, which is in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// When the kernel refuses (`CAP_BPF`, `CAP_NET_ADMIN`), or the device cannot do XDP.
    pub fn attach(hook: SinkHook, device: PortDevice<'_>) -> Result<Self, DatapathError> {
        let mut object = load_alone()?;
        let sunk = take_map(&mut object, names::MAP_BENCH_SUNK)?;
        match hook {
            SinkHook::Tc => {
                let program = classifier(&mut object, names::BENCH_SINK_TC)?;
                let failed = program_failed("attach", names::BENCH_SINK_TC);
                program.load().map_err(&failed)?;
                prepare_qdisc(device);
                program.attach(device.name, TcAttachType::Ingress).map_err(failed)?;
            }
            SinkHook::Xdp => {
                let program = xdp(&mut object, names::BENCH_SINK_XDP)?;
                let failed = program_failed("attach", names::BENCH_SINK_XDP);
                program.load().map_err(&failed)?;
                let Ifindex(ifindex) = device.ifindex;
                program.attach_to_if_index(ifindex, XdpMode::Driver).map_err(failed)?;
            }
        }
        Ok(Self { sunk, _object: object })
    }

    /// What has arrived so far.
    ///
    /// # Errors
    ///
    /// When the map cannot be read.
    pub fn read(&self) -> Result<Sunk, DatapathError> {
        let shares = self.sunk.get(&0, 0).map_err(map_failed("read", names::MAP_BENCH_SUNK))?;
        let mut sum = Sunk::default();
        for share in shares.iter() {
            let Sunk { frames, bytes, others } = *share;
            sum.frames += frames;
            sum.bytes += bytes;
            sum.others += others;
        }
        Ok(sum)
    }
}

/// Without tcx (6.6) a filter needs a qdisc to hang on. When that fails, so does what comes next.
fn prepare_qdisc(device: PortDevice<'_>) {
    if SchedClassifier::query_tcx("lo", TcAttachType::Ingress).is_err() {
        let _ = qdisc_add_clsact(device.name);
    }
}
