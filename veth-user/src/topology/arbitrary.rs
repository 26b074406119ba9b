//! Arbitrary files: whatever the text, `parse` returns, and what it returns keeps its promises.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::{Namespace, Pair, Topology};

const PAIR: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/pair.toml"));

/// Keys that mean something, and one that does not.
fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "name",
        "datapath",
        "mtu",
        "netns",
        "addresses",
        "count",
        "pool",
        "pair",
        "a",
        "b",
        "ifname",
        "routes",
        "sysctls",
        "up",
        "x",
    ])
}

/// Strings that are nearly right.
fn string() -> impl Strategy<Value = String> {
    let known =
        vec!["lab", "w{n}", "{n}{n}", "tc", "xdp", "lo", "10.0.0.0/8", "::/1", "fd00::/127"];
    prop_oneof![
        prop::sample::select(known).prop_map(str::to_owned),
        "[a-z{}n/%]{0,18}",
        "[0-9]{1,3}\\.[0-9]{1,3}\\.0\\.[0-9]{1,3}/[0-9]{1,3}",
        "[0-9a-f:]{1,12}/[0-9]{1,3}",
        any::<String>(),
    ]
}

/// Values of all types, some of them nested.
fn value() -> impl Strategy<Value = toml::Value> {
    let leaf = prop_oneof![
        4 => string().prop_map(toml::Value::String),
        2 => (-2_i64..2000).prop_map(toml::Value::Integer),
        1 => any::<i64>().prop_map(toml::Value::Integer),
        1 => any::<f64>().prop_map(toml::Value::Float),
        1 => any::<bool>().prop_map(toml::Value::Boolean),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(toml::Value::Array),
            table(inner).prop_map(toml::Value::Table),
        ]
    })
}

fn table(value: impl Strategy<Value = toml::Value>) -> impl Strategy<Value = toml::Table> {
    prop::collection::vec((key(), value), 0..6)
        .prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// Ends of pairs, most of them right.
fn end() -> impl Strategy<Value = toml::Table> {
    let netns = prop::sample::select(vec!["red", "blue", "green", ""]);
    let ifname = prop::sample::select(vec!["veth0", "veth1", "eth0", "lab", "red"]);
    let address = prop::sample::select(vec!["10.1.0.1/24", "10.1.0.2/24", "fd00::1/64"]);
    let route =
        prop::sample::select(vec!["10.9.0.0/16 via 10.1.0.3", "10.1.0.9/32 dev", "default"]);
    let sysctl = prop::sample::select(vec!["net.ipv4.conf.veth0.rp_filter", "net.ipv4.ip_forward"]);
    let values = (
        prop::option::of(netns),
        prop::option::of(ifname),
        prop::option::of(address),
        prop::option::of(route),
        prop::option::of((sysctl, 0..3_i64)),
        prop::option::of(any::<bool>()),
    );
    values.prop_map(|(netns, ifname, address, route, sysctl, up)| {
        let mut end = toml::Table::new();
        let mut insert = |key: &str, value: Option<toml::Value>| {
            value.map(|value| end.insert(key.to_owned(), value));
        };
        insert("netns", netns.map(Into::into));
        insert("ifname", ifname.map(Into::into));
        insert("addresses", address.map(|address| vec![address].into()));
        insert("routes", route.map(|route| vec![route].into()));
        let setting =
            |(name, value): (&str, i64)| toml::Table::from_iter([(name.to_owned(), value.into())]);
        insert("sysctls", sysctl.map(|sysctl| setting(sysctl).into()));
        insert("up", up.map(Into::into));
        end
    })
}

/// What each way out promises.
fn holds_what_it_promises(text: &str) -> Result<(), TestCaseError> {
    match Topology::parse(text) {
        Ok(topology) => {
            prop_assert!(topology.namespaces().len() <= 1023);
            prop_assert!(topology.has_bridge() || !topology.pairs().is_empty());
            let ends: Vec<_> = topology.pairs().iter().flat_map(Pair::ends).collect();
            let names: HashSet<_> = ends.iter().map(|end| end.name()).collect();
            prop_assert_eq!(names.len(), ends.len());
        }
        Err(problems) => {
            let count = problems.iter().count();
            prop_assert!(count > 0);
            prop_assert_eq!(problems.to_string().lines().count(), count);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        holds_what_it_promises(&text)?;
    }

    #[test]
    fn arbitrary_change_to_a_file_never_panics(
        at in 0..PAIR.len(),
        len in 0..40_usize,
        patch in string(),
    ) {
        let mut text = PAIR.to_owned();
        text.replace_range(at..(at + len).min(PAIR.len()), &patch);
        holds_what_it_promises(&text)?;
    }

    #[test]
    fn arbitrary_tables_never_panic(table in table(value())) {
        holds_what_it_promises(&table.to_string())?;
    }

    #[test]
    fn arbitrary_entries_never_panic(
        entries in prop::collection::vec(
            (string(), prop::option::of(-1_i64..1200), prop::option::of(string()), any::<bool>()),
            0..5,
        ),
    ) {
        let mut text = "name = \"lab\"\n".to_owned();
        for (name, count, source, is_pool) in entries {
            let mut entry = toml::Table::new();
            entry.insert("name".to_owned(), name.into());
            if let Some(count) = count {
                entry.insert("count".to_owned(), count.into());
            }
            if let Some(source) = source {
                let key = if is_pool { "pool" } else { "addresses" };
                entry.insert(key.to_owned(), vec![source].into());
            }
            write!(text, "[[netns]]\n{entry}").expect("a string takes all");
        }
        holds_what_it_promises(&text)?;
    }

    #[test]
    fn arbitrary_pairs_never_panic(
        pairs in prop::collection::vec(prop::collection::vec(end(), 2), 0..5),
        red in any::<bool>(),
    ) {
        let mut text = "name = \"lab\"\n".to_owned();
        if red {
            text += "[[netns]]\nname = \"red\"\n";
        }
        for ends in pairs {
            let pair: toml::Table =
                ["a", "b"].map(str::to_owned).into_iter().zip(ends.into_iter().map(toml::Value::Table)).collect();
            let list = toml::Value::Array(vec![toml::Value::Table(pair)]);
            write!(text, "{}", toml::Table::from_iter([("pair".to_owned(), list)])).expect("a string takes all");
        }
        holds_what_it_promises(&text)?;
    }

    #[test]
    fn pools_never_hand_out_an_address_twice(
        count in 1_u32..=1023,
        prefix_len in 1_u8..=22,
        network: u32,
    ) {
        let network = Ipv4Addr::from_bits(network & (u32::MAX << (32 - prefix_len)));
        let text = format!(
            "name = \"lab\"\n[[netns]]\nname = \"w{{n}}\"\ncount = {count}\n\
             pool = \"{network}/{prefix_len}\""
        );
        if let Ok(topology) = Topology::parse(&text) {
            let unique: HashSet<_> =
                topology.namespaces().iter().flat_map(Namespace::addresses).collect();
            prop_assert_eq!(unique.len(), count as usize);
        }
    }
}
