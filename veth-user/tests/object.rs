//! The embedded tc object is what the control plane takes it for: programs, maps, layouts,
//! license. Reads the ELF file, so it needs no root and no kernel.

use std::collections::{BTreeMap, BTreeSet};

use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, Section, SectionKind, SymbolKind,
};
use veth_common::{FdbEntry, Ifindex, MAX_SLOTS, MacKey, Meta, PortCounters, PortEntry, names};
use veth_user::datapath::TC_OBJECT;

/// `enum bpf_map_type` of `linux/bpf.h`.
const BPF_MAP_TYPE_HASH: u32 = 1;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_PERCPU_ARRAY: u32 = 6;
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

fn elf() -> object::File<'static> {
    object::File::parse(TC_OBJECT).expect("the object is an ELF file")
}

fn section<'a>(elf: &'a object::File<'static>, name: &str) -> Section<'static, 'a> {
    elf.section_by_name(name).unwrap_or_else(|| panic!("no section {name}"))
}

/// The maps by name. They are of the kind that is defined by `struct bpf_map_def`, one symbol
/// each in the `maps` section.
fn maps() -> BTreeMap<String, MapDefinition> {
    let elf = elf();
    let maps = section(&elf, "maps");
    assert!(elf.section_by_name(".maps").is_none(), "no map is defined by BTF");
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

#[test]
fn object_is_for_bpf_of_this_byte_order() {
    let elf = elf();
    assert_eq!(elf.architecture(), object::Architecture::Bpf);
    assert_eq!(elf.is_little_endian(), cfg!(target_endian = "little"));
}

#[test]
fn object_is_aligned_for_the_loader() {
    assert_eq!(TC_OBJECT.as_ptr().align_offset(8), 0);
}

#[test]
fn every_program_is_a_classifier_of_its_name_and_there_is_no_other() {
    let elf = elf();
    let programs: BTreeSet<_> = elf
        .symbols()
        .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_global())
        .filter_map(|symbol| {
            let section = elf.section_by_index(symbol.section_index()?).ok()?;
            (section.name() == Ok("classifier")).then(|| symbol.name().expect("a name"))
        })
        .collect();
    assert_eq!(programs, BTreeSet::from(names::TC_PROGRAMS));

    // A program of another type would lie in a section of its own.
    let code: BTreeSet<_> = elf
        .sections()
        .filter(|section| section.kind() == SectionKind::Text)
        .map(|section| section.name().expect("a name").to_owned())
        .collect();
    assert_eq!(code, BTreeSet::from([".text".to_owned(), "classifier".to_owned()]));
}

#[test]
fn every_map_is_there_and_no_other() {
    let mut maps: BTreeSet<_> = maps().into_keys().collect();
    if cfg!(feature = "ebpf-log") {
        maps.remove(LOG_MAP);
    }
    assert_eq!(maps, names::MAPS.map(str::to_owned).into());
}

#[test]
fn maps_are_laid_out_as_both_sides_have_agreed() {
    let maps = maps();
    // An FDB of 16384 stations; ports for a full bridge twice over.
    let ports = MapDefinition::new::<Ifindex, PortEntry>(
        BPF_MAP_TYPE_HASH,
        2 * MAX_SLOTS,
        BPF_F_NO_PREALLOC,
    );
    let fdb = MapDefinition::new::<MacKey, FdbEntry>(BPF_MAP_TYPE_HASH, 16_384, BPF_F_NO_PREALLOC);
    let counters = MapDefinition::new::<u32, PortCounters>(BPF_MAP_TYPE_PERCPU_ARRAY, MAX_SLOTS, 0);
    let meta = MapDefinition::new::<u32, Meta>(BPF_MAP_TYPE_ARRAY, 1, 0);
    for (name, wanted) in [
        (names::MAP_PORTS, ports),
        (names::MAP_FDB, fdb),
        (names::MAP_COUNTERS, counters),
        (names::MAP_META, meta),
    ] {
        assert_eq!(maps.get(name), Some(&wanted), "{name}");
    }
}

#[test]
fn license_is_gpl_compatible() {
    let elf = elf();
    let license = section(&elf, "license").data().expect("the section has data");
    let text = license.strip_suffix(b"\0").expect("ends in a zero byte");
    let text = std::str::from_utf8(text).expect("is text");
    assert!(GPL_COMPATIBLE.contains(&text), "{text:?}");
}

#[test]
fn object_carries_type_information() {
    const BTF_MAGIC: u16 = 0xeb9f;
    let elf = elf();
    for name in [".BTF", ".BTF.ext"] {
        let data = section(&elf, name).data().expect("the section has data");
        let magic = data.first_chunk().expect("a header");
        assert_eq!(u16::from_ne_bytes(*magic), BTF_MAGIC, "{name}");
    }
}

#[cfg(not(feature = "ebpf-log"))]
#[test]
fn forwarding_path_has_nothing_to_log_with() {
    let elf = elf();
    assert!(!maps().contains_key(LOG_MAP));
    // Format strings, and anything else that is not code or map, would be data to load.
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
        .filter(|name| name.starts_with('.'))
        .collect();
    assert_eq!(data, Vec::<String>::new());
}
