//! The form of a topology file: which keys there are and what types their values have.
//!
//! The tables are walked by hand, because a derived deserializer stops at the first thing that is
//! wrong. What the values mean is left to `check`.

mod pair;

use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeArray, DeInteger, DeTable, DeValue};

use super::problem::{Findings, key_path, quote};

pub(super) use pair::{EndEntry, PairEntry};

/// The keys of the file itself.
const FABRIC_KEYS: [&str; 5] = ["name", "datapath", "mtu", "netns", "pair"];
/// The keys of one `[[netns]]` entry.
const NETNS_KEYS: [&str; 4] = ["name", "addresses", "count", "pool"];

/// A topology file, with the form of its values checked and nothing else.
#[derive(Debug)]
pub(super) struct TopologyFile {
    pub(super) name: Field<Item<String>>,
    pub(super) datapath: Field<Item<String>>,
    pub(super) mtu: Field<Item<i64>>,
    pub(super) netns: Field<Vec<NetnsEntry>>,
    pub(super) pairs: Field<Vec<PairEntry>>,
}

/// One `[[netns]]`.
#[derive(Debug)]
pub(super) struct NetnsEntry {
    /// Where it stands: `netns[0]`.
    pub(super) path: String,
    pub(super) name: Field<Item<String>>,
    pub(super) addresses: Field<Vec<Item<String>>>,
    pub(super) count: Field<Item<i64>>,
    pub(super) pool: Field<Vec<Item<String>>>,
}

/// What a file says about a key.
#[derive(Debug)]
pub(super) enum Field<T> {
    /// Nothing.
    Absent,
    /// Something of the wrong type, which is a problem already noted.
    Wrong,
    /// A value.
    Given(T),
}

impl<T> Field<T> {
    /// The value, if there is one.
    pub(super) fn given(&self) -> Option<&T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }

    /// The value itself, if there is one.
    pub(super) fn into_given(self) -> Option<T> {
        match self {
            Self::Given(value) => Some(value),
            Self::Absent | Self::Wrong => None,
        }
    }

    /// The field with its value, if there is one, made into another.
    fn map<U>(self, f: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Absent => Field::Absent,
            Self::Wrong => Field::Wrong,
            Self::Given(value) => Field::Given(f(value)),
        }
    }

    /// Whether the file has the key, with whatever value.
    pub(super) fn is_present(&self) -> bool {
        !matches!(self, Self::Absent)
    }
}

impl<T> Field<Vec<T>> {
    /// The elements of `array` that have the right type, unless none of them has.
    fn of_list(elements: Vec<T>, array: &DeArray<'_>) -> Self {
        if elements.is_empty() && !array.is_empty() { Self::Wrong } else { Self::Given(elements) }
    }
}

/// A value, and where it stands.
#[derive(Debug)]
pub(super) struct Item<T> {
    pub(super) path: String,
    pub(super) value: T,
}

impl TopologyFile {
    /// Reads `text`. `None` if it is not TOML; what is wrong with it is then in `findings`.
    pub(super) fn read(text: &str, findings: &mut Findings) -> Option<Self> {
        let (document, mut errors) = DeTable::parse_recoverable(text);
        errors.sort_by_key(|error| error.span().map(|span| span.start));
        for error in &errors {
            let place = error.span().map(|span| position(text, span.start));
            findings.add(place.unwrap_or_else(|| "file".to_owned()), one_line(error));
        }
        // What is left of a broken text would only lead to problems that are none.
        if !errors.is_empty() {
            return None;
        }
        let mut table = Table::new(String::new(), document.get_ref(), findings);
        let name = table.required_string("name");
        let datapath = table.string("datapath");
        let mtu = table.integer("mtu");
        let entries = table.tables("netns");
        let pairs = table.tables("pair");
        table.refuse_other_keys(&FABRIC_KEYS, "the file");
        let netns = entries.map(|entries| {
            entries.into_iter().map(|entry| NetnsEntry::read(entry, findings)).collect()
        });
        let pairs = pairs
            .map(|pairs| pairs.into_iter().map(|pair| PairEntry::read(pair, findings)).collect());
        Some(Self { name, datapath, mtu, netns, pairs })
    }
}

impl NetnsEntry {
    fn read(entry: Item<&DeTable<'_>>, findings: &mut Findings) -> Self {
        let Item { path, value } = entry;
        let mut table = Table::new(path, value, findings);
        let name = table.required_string("name");
        let addresses = table.strings("addresses");
        let count = table.integer("count");
        let pool = table.string_or_strings("pool");
        table.refuse_other_keys(&NETNS_KEYS, "[[netns]]");
        Self { path: table.path, name, addresses, count, pool }
    }
}

/// A table that is being read.
struct Table<'a, 'i, 'f> {
    path: String,
    keys: &'a DeTable<'i>,
    findings: &'f mut Findings,
}

impl<'a, 'i, 'f> Table<'a, 'i, 'f> {
    fn new(path: String, keys: &'a DeTable<'i>, findings: &'f mut Findings) -> Self {
        Self { path, keys, findings }
    }

    fn get(&self, key: &str) -> Option<(String, &'a DeValue<'i>)> {
        let value = self.keys.get(key)?;
        Some((key_path(&self.path, key), value.get_ref()))
    }

    fn required_string(&mut self, key: &str) -> Field<Item<String>> {
        let field = self.string(key);
        if !field.is_present() {
            self.findings.add(key_path(&self.path, key), "is missing");
        }
        field
    }

    fn string(&mut self, key: &str) -> Field<Item<String>> {
        let Some((path, value)) = self.get(key) else { return Field::Absent };
        match value.as_str() {
            Some(text) => Field::Given(Item { path, value: text.to_owned() }),
            None => self.wrong(path, value, "a string"),
        }
    }

    fn integer(&mut self, key: &str) -> Field<Item<i64>> {
        let Some((path, value)) = self.get(key) else { return Field::Absent };
        let Some(integer) = value.as_integer() else {
            return self.wrong(path, value, "an integer");
        };
        let Some(value) = to_i64(integer) else {
            self.findings.add(path, "is out of range: TOML has integers of 64 bits");
            return Field::Wrong;
        };
        Field::Given(Item { path, value })
    }

    fn strings(&mut self, key: &str) -> Field<Vec<Item<String>>> {
        let Some((path, value)) = self.get(key) else { return Field::Absent };
        match value.as_array() {
            Some(array) => self.strings_of(&path, array),
            None => self.wrong(path, value, "a list of strings"),
        }
    }

    fn string_or_strings(&mut self, key: &str) -> Field<Vec<Item<String>>> {
        let Some((path, value)) = self.get(key) else { return Field::Absent };
        match value {
            DeValue::String(text) => {
                Field::Given(vec![Item { path, value: text.clone().into_owned() }])
            }
            DeValue::Array(array) => self.strings_of(&path, array),
            _ => self.wrong(path, value, "a string or a list of strings"),
        }
    }

    /// The elements that are strings; the others are problems.
    fn strings_of(&mut self, path: &str, array: &DeArray<'i>) -> Field<Vec<Item<String>>> {
        let mut items = Vec::new();
        for (path, value) in elements(path, array) {
            match value.as_str() {
                Some(text) => items.push(Item { path, value: text.to_owned() }),
                None => wrong_type(self.findings, path, value, "a string"),
            }
        }
        Field::of_list(items, array)
    }

    fn tables(&mut self, key: &str) -> Field<Vec<Item<&'a DeTable<'i>>>> {
        let Some((path, value)) = self.get(key) else { return Field::Absent };
        let Some(array) = value.as_array() else {
            return self.wrong(path, value, &format!("a list of tables: write [[{key}]]"));
        };
        let mut tables = Vec::new();
        for (path, value) in elements(&path, array) {
            match value.as_table() {
                Some(table) => tables.push(Item { path, value: table }),
                None => wrong_type(self.findings, path, value, "a table"),
            }
        }
        Field::of_list(tables, array)
    }

    fn wrong<T>(&mut self, path: String, value: &DeValue<'_>, wanted: &str) -> Field<T> {
        wrong_type(self.findings, path, value, wanted);
        Field::Wrong
    }

    fn refuse_other_keys(&mut self, known: &[&str], whose: &str) {
        let given: BTreeSet<&str> = self.keys.keys().map(|key| key.get_ref().as_ref()).collect();
        for key in given.into_iter().filter(|key| !known.contains(key)) {
            let known = known.join(", ");
            self.findings.add(
                key_path(&self.path, key),
                format!("is an unknown key {}; {whose} has {known}", quote(key)),
            );
        }
    }
}

fn wrong_type(findings: &mut Findings, path: String, value: &DeValue<'_>, wanted: &str) {
    let article = if matches!(value, DeValue::Integer(_) | DeValue::Array(_)) { "an" } else { "a" };
    findings.add(path, format!("is {article} {}, not {wanted}", value.type_str()));
}

/// The elements of the list at `path`, each with its own path.
fn elements<'a, 'i>(
    path: &str,
    array: &'a DeArray<'i>,
) -> impl Iterator<Item = (String, &'a DeValue<'i>)> {
    let element = move |(index, value): (usize, &'a Spanned<DeValue<'i>>)| {
        (format!("{path}[{index}]"), value.get_ref())
    };
    array.iter().enumerate().map(element)
}

fn to_i64(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// The line and column of the byte at `offset`, counted from 1.
fn position(text: &str, offset: usize) -> String {
    let end = text.floor_char_boundary(offset);
    let before = &text[..end];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    format!("line {line}, column {column}")
}

/// The message of `error`, which may have several lines, on one.
fn one_line(error: &toml::de::Error) -> String {
    error.message().lines().collect::<Vec<_>>().join(", ")
}
