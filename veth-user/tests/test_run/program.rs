//! The program, loaded with maps of its own.

use std::collections::BTreeMap;

use aya::{
    Ebpf,
    maps::{HashMap, MapData, PerCpuArray},
    programs::{ProgramError, SchedClassifier, TestRun as _, TestRunOptions, TestRunResult},
};
use nix::{
    sys::resource::{RLIM_INFINITY, Resource, setrlimit},
    unistd::Uid,
};
use veth_common::{
    Counter, FdbEntry, FdbFlags, Ifindex, Lease, MAX_SLOTS, Mac, MacKey, PortCounters, PortEntry,
    PortFlags, PortSlot, Verdict, names,
};
use veth_user::{datapath::TC_OBJECT, forwarding::Tables};

use crate::frame::{BLUE_MAC, RED_MAC};

pub(crate) const RED_SLOT: PortSlot = PortSlot(1);
pub(crate) const BLUE_SLOT: PortSlot = PortSlot(2);

/// Ends the test of somebody who is not root.
#[track_caller]
pub(crate) fn require_root() {
    assert!(Uid::effective().is_root(), "needs root: run `cargo xtask test`");
}

/// Two eligible ports with one station each, for ever, with an MTU of 1500.
pub(crate) fn two_stations(red: Ifindex, blue: Ifindex) -> Tables {
    let mut tables = Tables::default();
    for (mac, port, slot) in [(RED_MAC, red, RED_SLOT), (BLUE_MAC, blue, BLUE_SLOT)] {
        tables.ports.insert(port, PortEntry { slot, flags: PortFlags::ELIGIBLE });
        let entry = FdbEntry {
            key: MacKey::of(mac),
            lease: Lease::FOREVER,
            port,
            slot,
            flags: FdbFlags::SOURCE.with(FdbFlags::TARGET),
            mtu_bytes: 1500,
            version: 0,
        };
        tables.fdb.insert(mac, entry);
    }
    tables
}

/// The entry of `mac`, to change it.
pub(crate) fn station(tables: &mut Tables, mac: Mac) -> &mut FdbEntry {
    tables.fdb.get_mut(&mac).expect("is a station")
}

/// The counters that moved.
pub(crate) type Moved = BTreeMap<(PortSlot, Verdict), Counter>;

/// The loaded program over maps that hold given tables.
pub(crate) struct Program {
    object: Ebpf,
}

impl Program {
    pub(crate) fn load(tables: &Tables) -> Self {
        require_root();
        // Before 5.11 maps count as locked memory.
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
        let mut object = Ebpf::load(TC_OBJECT).expect("the kernel takes the maps");
        {
            let map = object.map_mut(names::MAP_PORTS).expect("is in the object");
            let mut ports = HashMap::<&mut MapData, Ifindex, PortEntry>::try_from(map)
                .expect("is a hash map of ports");
            for (ifindex, entry) in &tables.ports {
                ports.insert(ifindex, entry, 0).expect("has room");
            }
        }
        {
            let map = object.map_mut(names::MAP_FDB).expect("is in the object");
            let mut fdb = HashMap::<&mut MapData, MacKey, FdbEntry>::try_from(map)
                .expect("is a hash map of stations");
            for (mac, entry) in &tables.fdb {
                fdb.insert(MacKey::of(*mac), entry, 0).expect("has room");
            }
        }
        let mut program = Self { object };
        program.classifier().load().expect("the verifier takes the program");
        program
    }

    pub(crate) fn classifier(&mut self) -> &mut SchedClassifier {
        self.object
            .program_mut(names::TC_INGRESS)
            .expect("is in the object")
            .try_into()
            .expect("is a classifier")
    }

    /// Runs the program on `frame`, as it arrives on loopback. Returns what the kernel says, and
    /// the frame as the program leaves it.
    pub(crate) fn run(
        &mut self,
        frame: &[u8],
        gso: Gso,
        repeat: u32,
    ) -> Result<(TestRunResult, Vec<u8>), ProgramError> {
        let context = gso.context();
        let mut left = vec![0; frame.len()];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut left),
            ctx_in: Some(&context),
            repeat,
            ..TestRunOptions::default()
        };
        let result = self.classifier().test_run(options)?;
        Ok((result, left))
    }

    /// Every counter of every slot that is not zero, summed over the CPUs.
    pub(crate) fn moved(&self) -> Moved {
        let map = self.object.map(names::MAP_COUNTERS).expect("is in the object");
        let counters =
            PerCpuArray::<&MapData, PortCounters>::try_from(map).expect("is the counter map");
        let mut moved = Moved::new();
        for slot in 0..MAX_SLOTS {
            let mut total = PortCounters::ZERO;
            for share in counters.get(&slot, 0).expect("has that slot").iter() {
                total.add(share);
            }
            let slot = PortSlot(u16::try_from(slot).expect("1024 slots"));
            let active = Verdict::ALL
                .into_iter()
                .map(|verdict| ((slot, verdict), *total.of(verdict)))
                .filter(|(_, counter)| *counter != Counter::default());
            moved.extend(active);
        }
        moved
    }
}

/// What the kernel knows of a frame's segments.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gso {
    /// Payload of a segment in bytes; zero for an ordinary frame.
    pub(crate) size_bytes: u16,
    /// How many segments; zero if nobody has counted.
    pub(crate) segments: u16,
}

impl Gso {
    pub(crate) const NONE: Self = Self { size_bytes: 0, segments: 0 };

    /// A `struct __sk_buff` with nothing but these fields set. Its offsets never change.
    fn context(self) -> [u8; 192] {
        const GSO_SEGS: usize = 164;
        const GSO_SIZE: usize = 176;
        let mut context = [0; 192];
        let mut set = |at: usize, value: u16| {
            context[at..at + 4].copy_from_slice(&u32::from(value).to_ne_bytes());
        };
        set(GSO_SEGS, self.segments);
        set(GSO_SIZE, self.size_bytes);
        context
    }
}
