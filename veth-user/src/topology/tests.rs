//! Whole files: good ones, and one for each thing that can be wrong. Every test starts from text.

mod examples;
mod pairs;

use super::*;

const PAIR: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pair.toml"));

fn parse(text: &str) -> Topology {
    Topology::parse(text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn problems(text: &str) -> Problems {
    Topology::parse(text).expect_err("must be refused")
}

/// The file `text` after a name has this one problem: `path`, and a message with `part`.
#[track_caller]
fn refused(text: &str, path: &str, part: &str) {
    refused_as_it_is(&format!("name = \"lab\"\n{text}"), path, part);
}

#[track_caller]
fn refused_as_it_is(text: &str, path: &str, part: &str) {
    let problems = problems(text);
    let found: Vec<_> = problems.iter().collect();
    let [problem] = found[..] else { panic!("not one problem:\n{problems}") };
    assert!(problem.path == path && problem.message.contains(part), "{problem}");
    assert_eq!(problems.to_string().lines().count(), 1, "{problems}");
}

/// The file with one namespace that has the line `line` has this one problem.
#[track_caller]
fn netns_refused(line: &str, path: &str, part: &str) {
    refused(&format!("[[netns]]\nname = \"red\"\n{line}"), path, part);
}

fn addresses(namespace: &Namespace) -> Vec<String> {
    namespace.addresses().iter().map(ToString::to_string).collect()
}

#[test]
fn the_pair_is_what_its_file_says() {
    let topology = parse(PAIR);
    assert_eq!(topology.name().as_str(), "lab");
    assert_eq!(topology.datapath(), DatapathKind::Tc);
    assert_eq!(topology.mtu(), Mtu::DEFAULT);
    let [red, blue] = topology.namespaces() else { panic!("{topology:?}") };
    assert_eq!((red.name().as_str(), blue.name().as_str()), ("red", "blue"));
    assert_eq!(addresses(red), ["10.77.0.1/24", "fd77::1/64"]);
    assert_eq!(red.mac(), identity::mac(topology.name(), Role::Inside(red.name())));
    assert_eq!(red.port_mac(), identity::mac(topology.name(), Role::Port(red.name())));
    assert_eq!(topology.bridge_mac(), identity::mac(topology.name(), Role::Bridge));
    assert_eq!("pair".parse::<Topology>().map_err(|_| ()), Err(()));
}

#[test]
fn defaults_are_tc_and_the_mtu_of_ethernet() {
    let topology = parse("name = \"lab\"\n[[netns]]\nname = \"red\"");
    assert_eq!((topology.datapath(), topology.mtu()), (DatapathKind::Tc, Mtu::DEFAULT));
    assert!(topology.namespaces()[0].addresses().is_empty());
}

#[test]
fn many_of_a_kind_are_numbered_from_one_and_get_addresses_in_order() {
    let topology = parse(
        "name = \"lab\"\ndatapath = \"none\"\nmtu = 9000\n\
         [[netns]]\nname = \"w{n}\"\ncount = 3\npool = [\"10.80.0.0/16\", \"fd80::/64\"]\n\
         [[netns]]\nname = \"lone\"\npool = \"10.90.0.0/30\"",
    );
    let namespaces: Vec<_> = topology
        .namespaces()
        .iter()
        .map(|netns| format!("{} {}", netns.name(), addresses(netns).join(" ")))
        .collect();
    assert_eq!(
        namespaces,
        [
            "w1 10.80.0.1/16 fd80::1/64",
            "w2 10.80.0.2/16 fd80::2/64",
            "w3 10.80.0.3/16 fd80::3/64",
            "lone 10.90.0.1/30",
        ]
    );
    assert_eq!((topology.datapath(), topology.mtu().bytes()), (DatapathKind::None, 9000));
}

#[test]
fn a_bridge_holds_1023_ports() {
    let topology = parse("name = \"lab\"\n[[netns]]\nname = \"w{n}\"\ncount = 1023");
    assert_eq!(topology.namespaces().len(), 1023);
}

#[test]
fn everything_is_said_at_once() {
    let problems = problems(
        "name = \"my lab\"\n\
         datapath = \"ebpf\"\n\
         mtu = 20\n\
         colour = \"green\"\n\
         [[netns]]\n\
         name = \"red\"\n\
         adresses = []\n\
         count = \"two\"\n\
         [[netns]]\n\
         name = \"red\"\n\
         addresses = [\"10.0.0.300/24\", 7, \"10.0.0.0/24\"]\n",
    );
    assert_eq!(
        problems.to_string(),
        "colour: is an unknown key \"colour\"; the file has name, datapath, mtu, netns, \
         pair\n\
         netns[0].count: is a string, not an integer\n\
         netns[0].adresses: is an unknown key \"adresses\"; [[netns]] has name, addresses, count, \
         pool\n\
         netns[1].addresses[1]: is an integer, not a string\n\
         name: \"my lab\" contains ' ', which cannot be in a device's name: it is white space\n\
         datapath: \"ebpf\" is not a datapath; there are \"tc\", \"xdp\" and \"none\"\n\
         mtu: 20 is out of range: an MTU is 68 to 65535 bytes\n\
         netns[0].name: \"red\" is one name, but count makes many: put {n} where the number goes\n\
         netns[1].addresses[0]: \"10.0.0.300/24\" is not an address with a prefix length: \
         invalid IP address syntax\n\
         netns[1].addresses[2]: \"10.0.0.0/24\" is the network address of its subnet, not of a \
         host in it\n\
         netns[1].name: \"red\" is a name from netns[0].name too"
    );
}

#[test]
fn broken_toml_is_refused_with_its_place() {
    refused("[[netns]]\nname = red", "line 3, column 8", "string");
    refused("[[netns]]\nname = \"red\"\nname = \"blue\"", "line 4, column 1", "duplicate key");
    refused("[[netns", "line 2, column 8", "unclosed");
    let found = problems("name = lab\nmtu = \n[[netns]]\nname = \"red\"");
    let places: Vec<_> = found.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(places, ["line 1, column 8", "line 2, column 7"], "{found}");
}

#[test]
fn nesting_without_end_is_refused() {
    for (start, open, end) in [
        ("x=", "[", ""),
        ("x=", "{a=", ""),
        ("x=", "{a=[", ""),
        ("", "a.", "a=1"),
        ("[", "a.", "a]"),
    ] {
        let text = format!("{start}{}{end}", open.repeat(100_000));
        assert!(Topology::parse(&text).is_err());
    }
}

#[test]
fn wrong_types_are_refused() {
    let netns = "[[netns]]\nname = \"red\"";
    refused(&format!("mtu = \"1500\"\n{netns}"), "mtu", "is a string, not an integer");
    refused(&format!("mtu = 1500.0\n{netns}"), "mtu", "is a float, not an integer");
    refused(&format!("datapath = true\n{netns}"), "datapath", "is a boolean, not a string");
    refused("netns = 1", "netns", "is an integer, not a list of tables: write [[netns]]");
    refused("[netns]\nname = \"red\"", "netns", "is a table, not a list of tables");
    refused("netns = [1]", "netns[0]", "is an integer, not a table");
    refused("[[netns]]\nname = [\"red\"]", "netns[0].name", "is an array, not a string");
    netns_refused("addresses = \"10.0.0.1/24\"", "netns[0].addresses", "a list of strings");
    netns_refused("addresses = [[]]", "netns[0].addresses[0]", "is an array, not a string");
    netns_refused("pool = 10", "netns[0].pool", "a string or a list of strings");
    netns_refused("pool = [1979-05-27]", "netns[0].pool[0]", "is a datetime, not a string");
    refused("[[netns]]\nname = \"w{n}\"\ncount = 1.5", "netns[0].count", "is a float");
}

#[test]
fn unknown_keys_are_refused() {
    refused("brige = 1\n[[netns]]\nname = \"red\"", "brige", "unknown key \"brige\"");
    netns_refused("addreses = []", "netns[0].addreses", "name, addresses, count, pool");
    netns_refused("\"a b\\n\" = 1", "netns[0].\"a b\\n\"", "unknown key");
}

#[test]
fn missing_names_are_refused() {
    refused_as_it_is("[[netns]]\nname = \"red\"", "name", "is missing");
    refused("[[netns]]", "netns[0].name", "is missing");
}

#[test]
fn a_fabric_needs_a_namespace() {
    refused("", "netns", "a fabric needs at least one [[netns]] or [[pair]]");
    refused("netns = []", "netns", "a fabric needs at least one [[netns]] or [[pair]]");
}

#[test]
fn names_that_no_device_can_have_are_refused() {
    let fabric = |name: &str| format!("name = \"{name}\"\n[[netns]]\nname = \"red\"");
    refused_as_it_is(&fabric(""), "name", "empty");
    refused_as_it_is(&fabric("sixteen_bytes_ab"), "name", "at most 15");
    refused_as_it_is(&fabric("default"), "name", "reserved");
    for (name, part) in [
        ("", "empty"),
        ("sixteen_bytes_ab", "at most 15"),
        ("a/b", "'/'"),
        ("a\\u0000b", "'\\0'"),
        ("a b", "white space"),
        ("a\\u0007b", "control character"),
        ("a:b", "':'"),
        ("a%b", "'%'"),
        (".", "directory"),
        ("..", "directory"),
        ("lo", "reserved"),
        ("all", "reserved"),
        ("default", "reserved"),
    ] {
        refused(&format!("[[netns]]\nname = \"{name}\""), "netns[0].name", part);
    }
}

#[test]
fn unknown_datapaths_are_refused() {
    let netns = "[[netns]]\nname = \"red\"";
    refused(&format!("datapath = \"ebpf\"\n{netns}"), "datapath", "is not a datapath");
}

#[test]
fn mtus_out_of_range_are_refused() {
    for mtu in ["67", "65536", "0", "-1", "-9223372036854775808", "9223372036854775807"] {
        let text = format!("mtu = {mtu}\n[[netns]]\nname = \"red\"");
        refused(&text, "mtu", "is out of range: an MTU is 68 to 65535 bytes");
    }
    for mtu in ["99999999999999999999", "-99999999999999999999", "0xffffffffffffffff"] {
        let text = format!("mtu = {mtu}\n[[netns]]\nname = \"red\"");
        refused(&text, "mtu", "is out of range");
    }
}

#[test]
fn ipv6_needs_its_least_mtu() {
    let text = |line: &str| format!("mtu = 1279\n[[netns]]\nname = \"red\"\n{line}");
    let address = "addresses = [\"10.0.0.1/24\", \"fd00::1/64\"]";
    refused(&text(address), "mtu", "needs 1280 bytes and is asked for by netns[0].addresses[1]");
    refused(&text("pool = \"fd00::/64\""), "mtu", "asked for by netns[0].pool");
    assert!(Topology::parse(&format!("name = \"lab\"\n{}", text(""))).is_ok());
}

#[test]
fn malformed_addresses_are_refused() {
    for (address, part) in [
        ("10.0.0.300/24", "is not an address with a prefix length"),
        ("10.0.0.1", "the length is missing"),
        ("10.0.0.1/33", "out of range"),
        ("fd00::1/129", "out of range"),
        ("10.0.0.0/24", "network address"),
        ("10.0.0.255/24", "broadcast address"),
        ("224.0.0.1/24", "multicast"),
        ("0.0.0.0/24", "unspecified"),
        ("127.0.0.1/8", "loopback"),
        ("::1/128", "loopback"),
        ("ff02::1/64", "multicast"),
    ] {
        let line = format!("addresses = [\"10.9.9.9/24\", \"{address}\"]");
        netns_refused(&line, "netns[0].addresses[1]", part);
    }
}

#[test]
fn addresses_that_are_there_twice_are_refused() {
    let two = |a: &str, b: &str| {
        format!(
            "[[netns]]\nname = \"red\"\naddresses = [\"{a}\"]\n\
             [[netns]]\nname = \"blue\"\naddresses = [\"{b}\"]"
        )
    };
    let part = "is the address at netns[0].addresses[0] too";
    refused(&two("10.0.0.1/24", "10.0.0.1/16"), "netns[1].addresses[0]", part);
    refused(&two("fd00::1/64", "fd00:0::1/64"), "netns[1].addresses[0]", part);
    let line = "addresses = [\"10.0.0.1/24\", \"10.0.0.1/24\"]";
    netns_refused(line, "netns[0].addresses[1]", part);
}

#[test]
fn names_that_are_there_twice_are_refused() {
    refused(
        "[[netns]]\nname = \"red\"\n[[netns]]\nname = \"red\"",
        "netns[1].name",
        "\"red\" is a name from netns[0].name too",
    );
    refused(
        "[[netns]]\nname = \"w7\"\n[[netns]]\nname = \"w{n}\"\ncount = 9",
        "netns[1].name",
        "\"w7\" is a name from netns[0].name too",
    );
    refused(
        "[[netns]]\nname = \"w{n}\"\ncount = 500\n[[netns]]\nname = \"w{n}\"\ncount = 500",
        "netns[1].name",
        "\"w1\" is a name from netns[0].name too, and 499 more",
    );
    refused("[[netns]]\nname = \"lab\"", "netns[0].name", "is the name of the fabric too");
    refused_as_it_is(
        "name = \"w3\"\n[[netns]]\nname = \"w{n}\"\ncount = 5",
        "netns[0].name",
        "\"w3\" is the name of the fabric too",
    );
}

#[test]
fn pools_that_hand_out_nothing_of_use_are_refused() {
    for (pool, part) in [
        ("10.0.0.1/24", "the pool is \"10.0.0.0/24\""),
        ("fd00::1/64", "the pool is \"fd00::/64\""),
        ("10.0.0.0", "the length is missing"),
        ("10.0.0.0/0", "out of range"),
        ("pond", "is not an address"),
        ("127.0.0.0/8", "loopback"),
        ("224.0.0.0/8", "multicast"),
    ] {
        netns_refused(&format!("pool = \"{pool}\""), "netns[0].pool", part);
        let list = format!("pool = [\"10.9.0.0/24\", \"{pool}\"]");
        netns_refused(&list, "netns[0].pool[1]", part);
    }
    netns_refused("pool = []", "netns[0].pool", "is empty");
}

#[test]
fn pools_that_run_out_are_refused() {
    let text = |pool: &str| format!("[[netns]]\nname = \"w{{n}}\"\ncount = 300\npool = {pool}");
    refused(&text("\"10.0.0.0/24\""), "netns[0].pool", "it has 254 for hosts, and 300 are asked");
    refused(&text("\"fd00::/120\""), "netns[0].pool", "it has 255 for hosts, and 300 are asked");
    refused(&text("[\"fd00::/64\", \"10.0.0.0/31\"]"), "netns[0].pool[1]", "it has 2 for hosts");
}

#[test]
fn pools_that_overlap_are_refused() {
    let two = |a: &str, b: &str| {
        format!("[[netns]]\nname = \"red\"\npool = {a}\n[[netns]]\nname = \"blue\"\npool = {b}")
    };
    refused(
        &two("\"10.80.0.0/16\"", "\"10.80.4.0/24\""),
        "netns[1].pool",
        "\"10.80.4.0/24\" overlaps with \"10.80.0.0/16\" at netns[0].pool",
    );
    refused(
        &two("\"10.80.0.0/16\"", "[\"fd00::/64\", \"10.0.0.0/8\"]"),
        "netns[1].pool[1]",
        "at netns[0].pool",
    );
    netns_refused("pool = [\"fd00::/64\", \"fd00::/64\"]", "netns[0].pool[1]", "overlaps");
}

#[test]
fn addresses_that_a_pool_hands_out_are_refused() {
    let text = |address: &str| {
        format!(
            "[[netns]]\nname = \"red\"\naddresses = [\"{address}\"]\n\
             [[netns]]\nname = \"w{{n}}\"\ncount = 100\npool = \"10.80.0.0/16\""
        )
    };
    refused(
        &text("10.80.0.100/16"),
        "netns[0].addresses[0]",
        "10.80.0.100 is handed out by netns[1].pool too (10.80.0.1 to 10.80.0.100)",
    );
    parse(&format!("name = \"lab\"\n{}", text("10.80.0.101/16")));
}

#[test]
fn addresses_of_a_namespace_have_one_source() {
    refused(
        "[[netns]]\nname = \"w{n}\"\ncount = 2\naddresses = [\"10.0.0.1/24\"]",
        "netns[0].addresses",
        "write a pool instead",
    );
    netns_refused(
        "addresses = [\"10.0.0.1/24\"]\npool = \"10.1.0.0/24\"",
        "netns[0].pool",
        "cannot stand beside addresses",
    );
}

#[test]
fn counts_and_numbered_names_belong_together() {
    netns_refused("count = 2", "netns[0].name", "put {n} where the number goes");
    refused("[[netns]]\nname = \"w{n}\"", "netns[0].name", "there is no count");
}

#[test]
fn names_that_become_too_long_by_their_number_are_refused() {
    let text = |count| format!("[[netns]]\nname = \"thirteen_byte{{n}}\"\ncount = {count}");
    parse(&format!("name = \"lab\"\n{}", text(99)));
    refused(&text(100), "netns[0].name", "\"thirteen_byte100\" is 16 bytes long");
}

#[test]
fn counts_without_sense_are_refused() {
    let text = |count| format!("[[netns]]\nname = \"w{{n}}\"\ncount = {count}");
    for count in ["0", "-1", "-9223372036854775808"] {
        refused(&text(count), "netns[0].count", "the least is 1");
    }
    for count in ["1024", "100000", "4294967297", "9223372036854775807"] {
        refused(&text(count), "netns[0].count", "a Linux bridge holds 1023");
    }
    refused(&text("99999999999999999999"), "netns[0].count", "is out of range");
}

#[test]
fn more_namespaces_than_ports_are_refused() {
    let entry = |name: char| format!("[[netns]]\nname = \"{name}{{n}}\"\ncount = 400\n");
    let text: String = ['a', 'b', 'c'].map(entry).concat();
    refused(&text, "netns", "1200 namespaces in total are too many");
}

#[test]
fn a_count_beyond_reason_makes_a_few_problems() {
    let entry = "[[netns]]\nname = \"w{n}\"\ncount = 100000\npool = \"10.80.0.0/16\"\n";
    let found = problems(&format!("name = \"w1\"\n{}", entry.repeat(50)));
    // Of each entry the count and the pool; the overlaps; and one name that is the fabric's.
    assert_eq!(found.iter().count(), 50 + 50 + 49 + 1, "{found}");
}

#[test]
fn mac_addresses_that_fall_together_are_refused() {
    // Found by trying sixty million names.
    refused(
        "[[netns]]\nname = \"n31778\"\n[[netns]]\nname = \"n102f332\"",
        "netns[1].name",
        "the interface in \"n102f332\" would have the MAC address of the interface in \"n31778\" \
         (2e:ec:25:0e:42:54), because it follows from the names; rename one of them",
    );
}
