//! The form of a `[[pair]]`: two tables, one for each end.

use toml::de::{DeTable, DeValue};

use super::{Field, Item, Table, to_i64};
use crate::topology::problem::{Findings, key_path};

/// The keys of one `[[pair]]` entry: its ends.
const PAIR_KEYS: [&str; 2] = ["a", "b"];
/// The keys of an end.
const END_KEYS: [&str; 6] = ["netns", "ifname", "addresses", "routes", "sysctls", "up"];

/// One `[[pair]]`.
#[derive(Debug)]
pub(in crate::topology) struct PairEntry {
    /// The ends, as far as they are tables.
    pub(in crate::topology) ends: [Option<EndEntry>; 2],
}

/// One end of a pair.
#[derive(Debug)]
pub(in crate::topology) struct EndEntry {
    /// Where it stands: `pair[0].a`.
    pub(in crate::topology) path: String,
    pub(in crate::topology) netns: Field<Item<String>>,
    pub(in crate::topology) ifname: Field<Item<String>>,
    pub(in crate::topology) addresses: Field<Vec<Item<String>>>,
    pub(in crate::topology) routes: Field<Vec<Item<String>>>,
    /// Names and values.
    pub(in crate::topology) sysctls: Vec<(String, Item<String>)>,
    pub(in crate::topology) up: Field<Item<bool>>,
}

impl PairEntry {
    pub(super) fn read(entry: Item<&DeTable<'_>>, findings: &mut Findings) -> Self {
        let Item { path, value } = entry;
        let mut table = Table::new(path, value, findings);
        let ends = PAIR_KEYS.map(|key| table.required_table(key));
        table.refuse_other_keys(&PAIR_KEYS, "[[pair]]");
        Self { ends: ends.map(|end| Some(EndEntry::read(end.into_given()?, findings))) }
    }
}

impl EndEntry {
    fn read(entry: Item<&DeTable<'_>>, findings: &mut Findings) -> Self {
        let Item { path, value } = entry;
        let mut table = Table::new(path, value, findings);
        let netns = table.string("netns");
        let ifname = table.string("ifname");
        let addresses = table.strings("addresses");
        let routes = table.strings("routes");
        let sysctls = table.settings("sysctls");
        let up = table.boolean("up");
        table.refuse_other_keys(&END_KEYS, "an end");
        Self { path: table.path, netns, ifname, addresses, routes, sysctls, up }
    }
}

impl<'a, 'i> Table<'a, 'i, '_> {
    fn required_table(&mut self, key: &str) -> Field<Item<&'a DeTable<'i>>> {
        let Some((path, value)) = self.get(key) else {
            self.findings.add(key_path(&self.path, key), "is missing");
            return Field::Absent;
        };
        match value.as_table() {
            Some(value) => Field::Given(Item { path, value }),
            None => self.wrong(path, value, "a table"),
        }
    }

    fn boolean(&mut self, key: &str) -> Field<Item<bool>> {
        let Some((path, value)) = self.get(key) else { return Field::Absent };
        match value.as_bool() {
            Some(value) => Field::Given(Item { path, value }),
            None => self.wrong(path, value, "a boolean"),
        }
    }

    /// The names of a table with their values as text; those of the wrong type are problems.
    fn settings(&mut self, key: &str) -> Vec<(String, Item<String>)> {
        let Some((path, value)) = self.get(key) else { return Vec::new() };
        let Some(table) = value.as_table() else {
            let _: Field<()> = self.wrong(path, value, "a table of names and values");
            return Vec::new();
        };
        let mut settings = Vec::new();
        for (name, value) in table {
            let (name, value) = (name.get_ref(), value.get_ref());
            let path = key_path(&path, name);
            let text = match value {
                DeValue::String(text) => Some(text.clone().into_owned()),
                DeValue::Integer(integer) => to_i64(integer).map(|integer| integer.to_string()),
                _ => None,
            };
            match text {
                Some(value) => settings.push((name.to_string(), Item { path, value })),
                None if matches!(value, DeValue::Table(_)) => self.findings.add(
                    path,
                    "is a table, not a value: a name with dots stands in quotes, as in \
                     \"net.ipv4.ip_forward\"",
                ),
                None => {
                    let _: Field<()> = self.wrong(path, value, "an integer or a string");
                }
            }
        }
        settings
    }
}
