//! Pairs, as they are told.

use serde::{Serialize, Serializer};
use veth_common::{Ifindex, Mac};

use super::{End, Namespace, PairKind};
use crate::view::Link;

/// Everything that was found.
#[derive(Debug, Serialize)]
pub struct Inventory<'a> {
    /// The pairs, those with an end in the own namespace first.
    pub pairs: Vec<Pair<'a>>,
    /// The namespaces that could not be looked into.
    pub unseen: Vec<Unseen<'a>>,
}

/// A namespace that could not be looked into.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Unseen<'a> {
    /// The namespace.
    pub netns: &'a Namespace,
    /// Why.
    pub reason: &'a str,
}

/// A pair.
#[derive(Clone, Debug, Serialize)]
pub struct Pair<'a> {
    /// Its kind.
    pub kind: PairKind,
    /// The end in the own namespace, or else the one in a bridge, or else the first one found.
    pub port: Side<'a>,
    /// The other end.
    pub peer: Side<'a>,
}

/// One end of a pair, with its namespace. What could not be seen is not there.
#[derive(Clone, Debug, Serialize)]
pub struct Side<'a> {
    /// Name of the device.
    pub name: Option<String>,
    /// Its index in its namespace.
    #[serde(serialize_with = "number")]
    pub ifindex: Ifindex,
    /// Its address.
    #[serde(serialize_with = "text")]
    pub mac: Option<Mac>,
    /// Whether it was set up.
    pub up: Option<bool>,
    /// Name of the bridge, or of another controller, that it is a port of.
    pub bridge: Option<String>,
    /// Its addresses with the lengths of their prefixes, except for link-local ones.
    pub addresses: Option<Vec<String>>,
    /// Its namespace.
    pub netns: Option<&'a Namespace>,
}

impl<'a> Side<'a> {
    /// The side of an end that was found in `netns`.
    pub(super) fn of(end: &End, netns: &'a Namespace) -> Self {
        Self {
            bridge: end.bridge.clone(),
            addresses: Some(end.addresses.iter().map(ToString::to_string).collect()),
            ..Self::of_link(end.link.ifindex, Some(&end.link), Some(netns))
        }
    }

    /// The side of an end that was not found: what the other end knows of it.
    pub(super) fn of_link(
        ifindex: Ifindex,
        link: Option<&Link>,
        netns: Option<&'a Namespace>,
    ) -> Self {
        Self {
            name: link.map(|link| link.name.clone()),
            ifindex,
            mac: link.and_then(|link| link.mac),
            up: link.map(|link| link.is_up),
            bridge: None,
            addresses: None,
            netns,
        }
    }
}

impl Inventory<'_> {
    /// What could not be looked at, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        /// As many are told one by one.
        const TOLD: usize = 5;
        let mut notes: Vec<String> = self
            .unseen
            .iter()
            .take(TOLD)
            .map(|it| format!("namespace {} was not looked into: {}", it.netns.label(), it.reason))
            .collect();
        let more = self.unseen.len().saturating_sub(TOLD);
        if more > 0 {
            notes.push(format!("{more} more namespaces were not looked into"));
        }
        let lost = self.pairs.iter().filter(|pair| pair.peer.netns.is_none()).count();
        if lost > 0 {
            let pairs =
                if lost == 1 { "1 pair leads".into() } else { format!("{lost} pairs lead") };
            notes.push(format!(
                "{pairs} to where nothing in sight is: a namespace that has no name and no process \
                 here, or that may not be looked at"
            ));
        }
        notes
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
fn number<S: Serializer>(ifindex: &Ifindex, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(ifindex.0)
}

#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
fn text<S: Serializer>(mac: &Option<Mac>, serializer: S) -> Result<S::Ok, S::Error> {
    mac.map(|mac| mac.to_string()).serialize(serializer)
}
