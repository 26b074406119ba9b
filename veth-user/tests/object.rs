//! The embedded objects are what the control plane takes them for: programs, maps, layouts,
//! license. Reads the ELF files, so it needs no root and no kernel.

use std::collections::{BTreeMap, BTreeSet};

use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, Section, SectionKind, SymbolKind,
};
use veth_common::{
    CAPTURE_RING_BYTES, CaptureRule, CaptureTally, Counter, FdbEntry, Generate, Ifindex, MAX_SLOTS,
    MacKey, Meta, NEAR_PLACES, PAIRS_MAX, Pair, PortCounters, PortEntry, Prepared, Sunk, names,
};
use veth_user::datapath::{BENCH_OBJECT, TC_OBJECT, XDP_OBJECT};

/// `enum bpf_map_type` of `linux/bpf.h`.
const BPF_MAP_TYPE_HASH: u32 = 1;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_PERCPU_HASH: u32 = 5;
const BPF_MAP_TYPE_PERCPU_ARRAY: u32 = 6;
const BPF_MAP_TYPE_DEVMAP: u32 = 14;
const BPF_MAP_TYPE_RINGBUF: u32 = 27;
/// Map flags of `linux/bpf.h`.
const BPF_F_NO_PREALLOC: u32 = 1;

/// What `license_is_gpl_compatible` takes; a program of another license may not call every
/// helper. Source: <https://github.com/torvalds/linux/blob/v6.12/include/linux/license.h>.
const GPL_COMPATIBLE: [&str; 6] =
    ["GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"];

/// Map of aya-log: there in a build that logs, and in no other.
const LOG_MAP: &str = "AYA_LOGS";

/// `struct bpf_map_def`, the definition of a map in the `maps` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MapDefinition {
    kind: u32,
    key_bytes: usize,
    value_bytes: usize,
    max_entries: u32,
    flags: u32,
    id: u32,
    pinning: u32,
}

impl MapDefinition {
    const FIELDS: usize = 7;

    const fn new<K, V>(kind: u32, max_entries: u32, flags: u32) -> Self {
        Self {
            kind,
            key_bytes: size_of::<K>(),
            value_bytes: size_of::<V>(),
            max_entries,
            flags,
            id: 0,
            // No pin by name: the control plane says where.
            pinning: 0,
        }
    }

    fn parse(bytes: &[u8]) -> Self {
        assert_eq!(bytes.len(), 4 * Self::FIELDS, "one definition");
        let field = |at: usize| {
            u32::from_ne_bytes(bytes[4 * at..4 * at + 4].try_into().expect("four bytes"))
        };
        let size = |at| usize::try_from(field(at)).expect("fits");
        Self {
            kind: field(0),
            key_bytes: size(1),
            value_bytes: size(2),
            max_entries: field(3),
            flags: field(4),
            id: field(5),
            pinning: field(6),
        }
    }
}

/// An embedded object, and what it is to hold.
struct Object {
    name: &'static str,
    bytes: &'static [u8],
    /// Programs by section; the section says what kind they are.
    programs: BTreeMap<&'static str, BTreeSet<&'static str>>,
    /// The maps that it has beside those of every object.
    maps: &'static [&'static str],
}

impl Object {
    fn all() -> [Self; 3] {
        let [generate, sink_tc, sink_xdp, redirect, delayed] = names::BENCH_PROGRAMS;
        let [any_size, linear] = names::XDP_PROGRAMS;
        [
            Self {
                name: "veth-tc",
                bytes: TC_OBJECT,
                programs: [("classifier", names::TC_PROGRAMS.into())].into(),
                maps: &[],
            },
            Self {
                name: "veth-xdp",
                bytes: XDP_OBJECT,
                // The kernel lets only the first see frames of several pages.
                programs: [("xdp.frags", [any_size].into()), ("xdp", [linear].into())].into(),
                maps: &names::XDP_MAPS,
            },
            Self {
                name: "veth-bench",
                bytes: BENCH_OBJECT,
                programs: [
                    ("classifier", [sink_tc, redirect, delayed].into()),
                    ("xdp", [generate, sink_xdp].into()),
                ]
                .into(),
                maps: &names::BENCH_MAPS,
            },
        ]
    }

    fn elf(&self) -> object::File<'static> {
        object::File::parse(self.bytes).expect("the object is an ELF file")
    }

    /// The names of all maps that it is to have.
    fn map_names(&self) -> BTreeSet<String> {
        names::MAPS.iter().chain(self.maps).map(|name| (*name).to_owned()).collect()
    }

    /// The maps by name. They are of the kind that is defined by `struct bpf_map_def`, one symbol
    /// each in the `maps` section.
    fn maps(&self) -> BTreeMap<String, MapDefinition> {
        let elf = self.elf();
        let maps = section(&elf, "maps");
        assert!(elf.section_by_name(".maps").is_none(), "{}: a map defined by BTF", self.name);
        let data = maps.data().expect("the section has data");
        let symbols = elf.symbols().filter(|it| it.section_index() == Some(maps.index()));
        symbols
            .filter(|symbol| symbol.kind() == SymbolKind::Data)
            .map(|symbol| {
                let start = usize::try_from(symbol.address()).expect("fits");
                let end = start + usize::try_from(symbol.size()).expect("fits");
                let name = symbol.name().expect("a name").to_owned();
                (name, MapDefinition::parse(&data[start..end]))
            })
            .collect()
    }
}

fn section<'a>(elf: &'a object::File<'static>, name: &str) -> Section<'static, 'a> {
    elf.section_by_name(name).unwrap_or_else(|| panic!("no section {name}"))
}

#[test]
fn objects_are_for_bpf_of_this_byte_order() {
    for object in Object::all() {
        let elf = object.elf();
        assert_eq!(elf.architecture(), object::Architecture::Bpf, "{}", object.name);
        assert_eq!(elf.is_little_endian(), cfg!(target_endian = "little"), "{}", object.name);
    }
}

#[test]
fn objects_are_aligned_for_the_loader() {
    for object in Object::all() {
        assert_eq!(object.bytes.as_ptr().align_offset(8), 0, "{}", object.name);
    }
}

#[test]
fn every_program_is_of_its_kind_and_name_and_there_is_no_other() {
    for object in Object::all() {
        let elf = object.elf();
        // What the compiler needs as functions is in `.text`; a program of another type would lie
        // in a section of its own.
        let code: BTreeSet<_> = elf
            .sections()
            .filter(|section| section.kind() == SectionKind::Text)
            .map(|section| section.name().expect("a name").to_owned())
            .filter(|name| name != ".text")
            .collect();
        let programs: BTreeMap<_, BTreeSet<_>> =
            code.iter().map(|name| (name.as_str(), programs_in(&elf, name))).collect();
        let wanted: BTreeMap<_, BTreeSet<String>> = object
            .programs
            .iter()
            .map(|(section, names)| (*section, names.iter().map(ToString::to_string).collect()))
            .collect();
        assert_eq!(programs, wanted, "{}", object.name);
    }
}

fn programs_in(elf: &object::File<'static>, section: &str) -> BTreeSet<String> {
    let section = self::section(elf, section).index();
    elf.symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_global())
        .filter(|symbol| symbol.section_index() == Some(section))
        .map(|symbol| symbol.name().expect("a name").to_owned())
        .collect()
}

#[test]
fn every_map_is_there_and_no_other() {
    for object in Object::all() {
        let mut maps: BTreeSet<_> = object.maps().into_keys().collect();
        if cfg!(feature = "ebpf-log") {
            maps.remove(LOG_MAP);
        }
        assert_eq!(maps, object.map_names(), "{}", object.name);
    }
}

#[test]
fn maps_are_laid_out_as_both_sides_have_agreed() {
    for object in Object::all() {
        let maps = object.maps();
        for name in object.map_names() {
            let wanted = definition_of(&name);
            assert_eq!(maps.get(&name), Some(&wanted), "{name} of {}", object.name);
        }
    }
}

fn definition_of(map: &str) -> MapDefinition {
    const HASH: u32 = BPF_MAP_TYPE_HASH;
    const ARRAY: u32 = BPF_MAP_TYPE_ARRAY;
    const PERCPU_ARRAY: u32 = BPF_MAP_TYPE_PERCPU_ARRAY;
    /// Ports for a full bridge twice over.
    const PORTS: u32 = 2 * MAX_SLOTS;
    /// An FDB of so many stations.
    const STATIONS: u32 = 16_384;
    let sparse = BPF_F_NO_PREALLOC;
    match map {
        names::MAP_PORTS => MapDefinition::new::<Ifindex, PortEntry>(HASH, PORTS, sparse),
        names::MAP_FDB => MapDefinition::new::<MacKey, FdbEntry>(HASH, STATIONS, sparse),
        names::MAP_NEAR => MapDefinition::new::<u32, FdbEntry>(ARRAY, NEAR_PLACES, 0),
        names::MAP_COUNTERS => MapDefinition::new::<u32, PortCounters>(PERCPU_ARRAY, MAX_SLOTS, 0),
        names::MAP_META => MapDefinition::new::<u32, Meta>(ARRAY, 1, 0),
        // Neither keys nor values: the number of entries is the room in bytes.
        names::MAP_FRAMES => {
            MapDefinition::new::<(), ()>(BPF_MAP_TYPE_RINGBUF, CAPTURE_RING_BYTES, 0)
        }
        names::MAP_TALLY => MapDefinition::new::<u32, CaptureTally>(PERCPU_ARRAY, 1, 0),
        names::MAP_PAIRS => {
            MapDefinition::new::<Pair, Counter>(BPF_MAP_TYPE_PERCPU_HASH, PAIRS_MAX, sparse)
        }
        names::MAP_TARGETS => MapDefinition {
            // With room for a program behind each device (`struct bpf_devmap_val`), which none has;
            // kernels before 5.8 know only the device.
            value_bytes: 8,
            ..MapDefinition::new::<u32, Ifindex>(BPF_MAP_TYPE_DEVMAP, MAX_SLOTS, 0)
        },
        names::MAP_PREPARED => MapDefinition::new::<Ifindex, Prepared>(HASH, PORTS, sparse),
        names::MAP_BENCH_GENERATE => MapDefinition::new::<u32, Generate>(ARRAY, 1, 0),
        names::MAP_BENCH_SENT => MapDefinition::new::<u32, u64>(PERCPU_ARRAY, 1, 0),
        names::MAP_BENCH_SUNK => MapDefinition::new::<u32, Sunk>(PERCPU_ARRAY, 1, 0),
        names::MAP_BENCH_DELAY => MapDefinition::new::<u32, u64>(ARRAY, 1, 0),
        other => panic!("nobody has said what {other} is to be"),
    }
}

#[test]
fn variables_are_the_rule_of_captures_and_the_time_until_pairs_are_counted() {
    for object in Object::all() {
        let elf = object.elf();
        let sizes = names::VARIABLES.map(|(variable, _)| section(&elf, variable).size());
        let wanted = [size_of::<CaptureRule>(), size_of::<u64>()].map(|size| size as u64);
        assert_eq!(sizes, wanted, "{}", object.name);
    }
}

#[test]
fn licenses_are_gpl_compatible() {
    for object in Object::all() {
        let elf = object.elf();
        let license = section(&elf, "license").data().expect("the section has data");
        let text = license.strip_suffix(b"\0").expect("ends in a zero byte");
        let text = std::str::from_utf8(text).expect("is text");
        assert!(GPL_COMPATIBLE.contains(&text), "{text:?} of {}", object.name);
    }
}

#[test]
fn objects_carry_type_information() {
    const BTF_MAGIC: u16 = 0xeb9f;
    for object in Object::all() {
        let elf = object.elf();
        for name in [".BTF", ".BTF.ext"] {
            let data = section(&elf, name).data().expect("the section has data");
            let magic = data.first_chunk().expect("a header");
            assert_eq!(u16::from_ne_bytes(*magic), BTF_MAGIC, "{name} of {}", object.name);
        }
    }
}

#[cfg(not(feature = "ebpf-log"))]
#[test]
fn forwarding_path_has_nothing_to_log_with() {
    for object in Object::all() {
        let elf = object.elf();
        assert!(!object.maps().contains_key(LOG_MAP), "{}", object.name);
        // Format strings, and anything else that is not code or map, would be data to load. The one
        // switch that there is, is a byte.
        let globals = elf.section_by_name(".rodata").map_or(0, |section| section.size());
        assert!(globals <= 1, "{globals} bytes of constants in {}", object.name);
        let data: Vec<_> = elf
            .sections()
            .filter(|section| {
                matches!(
                    section.kind(),
                    SectionKind::ReadOnlyData
                        | SectionKind::ReadOnlyString
                        | SectionKind::Data
                        | SectionKind::UninitializedData
                )
            })
            .map(|section| section.name().expect("a name").to_owned())
            .filter(|name| name.starts_with('.') && name != ".rodata")
            .filter(|name| names::VARIABLES.iter().all(|(variable, _)| name != variable))
            .collect();
        assert_eq!(data, Vec::<String>::new(), "{}", object.name);
    }
}
