//! The programs, loaded with maps of their own.

use std::{collections::BTreeMap, path::Path};

use aya::{
    Ebpf, EbpfLoader,
    maps::{
        Array, HashMap, MapData, MapError, PerCpuArray, PerCpuHashMap, PerCpuValues, RingBuf,
        xdp::DevMap,
    },
    programs::{
        ProgramError, ProgramType, SchedClassifier, TestRun as _, TestRunOptions, TestRunResult,
        Xdp,
    },
    sys::{BpfHelper, is_helper_supported},
    util::nr_cpus,
};
use nix::{
    errno::Errno,
    sys::resource::{RLIM_INFINITY, Resource, setrlimit},
    unistd::Uid,
};
use veth_common::{
    ABI_VERSION, CaptureRule, Counter, FdbEntry, FdbFlags, Ifindex, Lease, MAX_SLOTS, Mac, MacKey,
    Meta, Pair, PortCounters, PortEntry, PortFlags, PortSlot, Verdict, Vlan, names, near_place,
};
use veth_user::{
    datapath::{TC_OBJECT, XDP_OBJECT},
    forwarding::Tables,
};

use crate::frame::{BLUE_MAC, RED_MAC};

pub(crate) const RED_SLOT: PortSlot = PortSlot(1);
pub(crate) const BLUE_SLOT: PortSlot = PortSlot(2);

/// A device that the devmap takes, and that every namespace has. Nothing is sent there in a test run.
const LOOPBACK: u32 = 1;

/// Which of the programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `tc_ingress`.
    Tc,
    /// `xdp_ingress`.
    Xdp,
    /// `xdp_ingress_linear`.
    XdpLinear,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Tc, Self::Xdp, Self::XdpLinear];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Tc => names::TC_INGRESS,
            Self::Xdp => names::XDP_INGRESS,
            Self::XdpLinear => names::XDP_INGRESS_LINEAR,
        }
    }

    pub(crate) const fn is_xdp(self) -> bool {
        matches!(self, Self::Xdp | Self::XdpLinear)
    }

    const fn program_type(self) -> ProgramType {
        if self.is_xdp() { ProgramType::Xdp } else { ProgramType::SchedClassifier }
    }

    const fn object(self) -> &'static [u8] {
        if self.is_xdp() { XDP_OBJECT } else { TC_OBJECT }
    }

    /// What the program returns for a frame with that verdict.
    pub(crate) const fn action(self, verdict: Verdict) -> i32 {
        const TC_ACT_UNSPEC: i32 = -1;
        const TC_ACT_REDIRECT: i32 = 7;
        const XDP_PASS: i32 = 2;
        const XDP_REDIRECT: i32 = 4;
        match (self.is_xdp(), verdict.is_fast()) {
            (false, false) => TC_ACT_UNSPEC,
            (false, true) => TC_ACT_REDIRECT,
            (true, false) => XDP_PASS,
            (true, true) => XDP_REDIRECT,
        }
    }
}

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
            vlan: Vlan::NONE,
            version: 0,
        };
        tables.fdb.insert(mac, entry);
    }
    tables
}

/// Nothing, as the kernel makes it.
pub(crate) const VACANT: FdbEntry = FdbEntry {
    key: MacKey(0),
    lease: Lease::EXPIRED,
    port: Ifindex(0),
    slot: PortSlot::UNKNOWN,
    flags: FdbFlags(0),
    mtu_bytes: 0,
    vlan: Vlan::NONE,
    version: 0,
};

/// The entry of `mac`, to change it.
pub(crate) fn station(tables: &mut Tables, mac: Mac) -> &mut FdbEntry {
    tables.fdb.get_mut(&mac).expect("is a station")
}

/// The counters that moved.
pub(crate) type Moved = BTreeMap<(PortSlot, Verdict), Counter>;

/// A loaded program over maps that hold given tables.
pub(crate) struct Program {
    kind: Kind,
    object: Ebpf,
}

impl Program {
    pub(crate) fn load(kind: Kind, tables: &Tables) -> Self {
        require_root();
        // Before 5.11 maps count as locked memory.
        let _ = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY);
        let mut loader = EbpfLoader::new();
        // As the control plane does where the kernel has it.
        let has_coarse_clock = u8::from(
            is_helper_supported(kind.program_type(), BpfHelper::BPF_FUNC_ktime_get_coarse_ns)
                .expect("root may probe"),
        );
        loader.override_global(names::GLOBAL_HAS_COARSE_CLOCK, &has_coarse_clock, true);
        let object = loader.load(kind.object()).expect("the kernel takes the maps");
        let mut program = Self { kind, object };
        program.fill(tables);
        if kind.is_xdp() {
            program.xdp().load().expect("the verifier takes the program");
        } else {
            program.classifier().load().expect("the verifier takes the program");
        }
        program
    }

    /// Has the maps hold `tables` beside what they hold.
    pub(crate) fn fill(&mut self, tables: &Tables) {
        let mut ports = self.ports();
        for (ifindex, entry) in &tables.ports {
            ports.insert(ifindex, entry, 0).expect("has room");
        }
        let mut fdb = self.fdb();
        for (mac, entry) in &tables.fdb {
            fdb.insert(MacKey::of(*mac), entry, 0).expect("has room");
        }
        for entry in tables.fdb.values() {
            self.set_near(entry.key, FdbEntry { version: 2, ..*entry });
        }
        if self.kind.is_xdp() {
            for entry in tables.ports.values() {
                self.set_target(entry.slot, LOOPBACK);
            }
        }
    }

    /// Takes `tables` out of the maps again.
    pub(crate) fn empty(&mut self, tables: &Tables) {
        for ifindex in tables.ports.keys() {
            self.ports().remove(ifindex).expect("is there");
        }
        for (mac, entry) in &tables.fdb {
            self.fdb().remove(&MacKey::of(*mac)).expect("is there");
            self.set_near(entry.key, VACANT);
        }
    }

    fn ports(&mut self) -> HashMap<&mut MapData, Ifindex, PortEntry> {
        let map = self.object.map_mut(names::MAP_PORTS).expect("is in the object");
        map.try_into().expect("is a hash map of ports")
    }

    fn fdb(&mut self) -> HashMap<&mut MapData, MacKey, FdbEntry> {
        let map = self.object.map_mut(names::MAP_FDB).expect("is in the object");
        map.try_into().expect("is a hash map of stations")
    }

    /// Has the near table say of `key` what `entry` says.
    pub(crate) fn set_near(&mut self, key: MacKey, entry: FdbEntry) {
        let map = self.object.map_mut(names::MAP_NEAR).expect("is in the object");
        let mut near =
            Array::<&mut MapData, FdbEntry>::try_from(map).expect("is an array of stations");
        near.set(near_place(key), entry, 0).expect("has that place");
    }

    /// Has the program find stations in the FDB map only.
    pub(crate) fn empty_near(&mut self) {
        for mac in [RED_MAC, BLUE_MAC] {
            let key = MacKey::of(mac);
            // As it is where another station has the place.
            let other = MacKey::of(Mac([0x02, 0xff, 0xff, 0xff, 0xff, 0xff]));
            let entry = FdbEntry { key: other, version: 2, ..VACANT };
            self.set_near(key, entry);
        }
    }

    /// Has the program capture.
    pub(crate) fn set_capture(&mut self, rule: CaptureRule) {
        let map = self.object.map_mut(names::CAPTURE_VARIABLE).expect("is in the object");
        let mut variables =
            Array::<&mut MapData, CaptureRule>::try_from(map).expect("is an array of one");
        variables.set(0, rule, 0).expect("has that value");
    }

    /// Has the program count pairs until then, with an entry for what there is no room for.
    pub(crate) fn set_pairs(&mut self, until_ns: u64) {
        let map = self.object.map_mut(names::PAIRS_VARIABLE).expect("is in the object");
        let mut variable = Array::<&mut MapData, u64>::try_from(map).expect("is an array of one");
        variable.set(0, until_ns, 0).expect("has that value");
        self.add_pair(Pair::OTHERS);
    }

    /// Puts an entry without a frame into the pair map.
    pub(crate) fn add_pair(&mut self, pair: Pair) {
        let map = self.object.map_mut(names::MAP_PAIRS).expect("is in the object");
        let mut pairs =
            PerCpuHashMap::<&mut MapData, Pair, Counter>::try_from(map).expect("is a map of pairs");
        let zero = || {
            let shares = vec![Counter::default(); nr_cpus().expect("is known")];
            PerCpuValues::try_from(shares).expect("one for each CPU")
        };
        // The kernel keeps a few entries in store, and makes more when they are gone.
        while let Err(MapError::SyscallError(error)) = pairs.insert(pair, zero(), 0) {
            assert_eq!(error.io_error.raw_os_error(), Some(Errno::ENOMEM as i32), "has room");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// What each pair has counted, those without a frame left out.
    pub(crate) fn pairs(&self) -> BTreeMap<Pair, Counter> {
        let map = self.object.map(names::MAP_PAIRS).expect("is in the object");
        let pairs =
            PerCpuHashMap::<&MapData, Pair, Counter>::try_from(map).expect("is a map of pairs");
        let mut counted = BTreeMap::new();
        for entry in &pairs {
            let (pair, shares) = entry.expect("can be read");
            let mut total = Counter::default();
            shares.iter().for_each(|share| total.add(share));
            if total != Counter::default() {
                counted.insert(pair, total);
            }
        }
        counted
    }

    /// The records in the ring buffer.
    pub(crate) fn captured(&mut self) -> Vec<Vec<u8>> {
        let map = self.object.map_mut(names::MAP_FRAMES).expect("is in the object");
        let mut frames = RingBuf::try_from(map).expect("is a ring buffer");
        let mut records = Vec::new();
        while let Some(record) = frames.next() {
            records.push(record.to_vec());
        }
        records
    }

    /// Pins the maps to `dir`, as those of a fabric that is up.
    pub(crate) fn pin(&mut self, dir: &Path) {
        let map = self.object.map_mut(names::MAP_META).expect("is in the object");
        let mut meta = Array::<&mut MapData, Meta>::try_from(map).expect("is an array of one");
        meta.set(0, Meta { abi: ABI_VERSION, ..Meta::default() }, 0).expect("has that value");
        let targets = self.kind.is_xdp().then_some(names::MAP_TARGETS);
        let maps = [names::MAP_META, names::MAP_PORTS, names::MAP_FDB, names::MAP_NEAR];
        for name in maps.into_iter().chain(targets) {
            let map = self.object.map(name).expect("is in the object");
            map.pin(dir.join(name)).expect("nothing else has the name");
        }
    }

    /// Empties a slot of the devmap, as the kernel does by itself when the device goes.
    pub(crate) fn lose_target(&mut self, slot: PortSlot) {
        self.set_target(slot, 0);
    }

    fn set_target(&mut self, slot: PortSlot, device: u32) {
        let map = self.object.map_mut(names::MAP_TARGETS).expect("is in the object");
        let mut targets = DevMap::<&mut MapData>::try_from(map).expect("is a devmap");
        targets.set(u32::from(slot.0), device, None, 0).expect("has that slot");
    }

    pub(crate) fn classifier(&mut self) -> &mut SchedClassifier {
        self.object
            .program_mut(names::TC_INGRESS)
            .expect("is in the object")
            .try_into()
            .expect("is a classifier")
    }

    fn xdp(&mut self) -> &mut Xdp {
        self.object
            .program_mut(self.kind.name())
            .expect("is in the object")
            .try_into()
            .expect("is an XDP program")
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
            // An XDP program is not told of segments.
            ctx_in: (!self.kind.is_xdp()).then_some(context.as_slice()),
            repeat,
            ..TestRunOptions::default()
        };
        let result = if self.kind.is_xdp() {
            self.xdp().test_run(options)?
        } else {
            self.classifier().test_run(options)?
        };
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
