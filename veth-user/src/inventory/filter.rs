//! Choosing pairs by whatever a person knows of one of their ends.

use super::{Inventory, Namespace, Pair, Side};

/// How well something fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    No,
    /// It begins the id of a container.
    Beginning,
    Whole,
}

impl Inventory<'_> {
    /// Keeps what `key` means: the name of a container or the beginning of its id, the name of a
    /// namespace, a process in one, the name of a device, its MAC or one of its IP addresses. What is
    /// called so as a whole comes before what begins so.
    ///
    /// Processes of the own namespace, and containers in it, mean no pair in particular.
    pub fn select(&mut self, key: &str) {
        self.select_by(key, |pair| fit_of_pair(key, pair));
    }

    /// The same when `key` may also be the bridge that one end is a port of.
    pub fn select_with_bridges(&mut self, key: &str) {
        let is_port = |side: &Side<'_>| side.bridge.as_deref() == Some(key);
        self.select_by(key, |pair| {
            let is_named = is_port(&pair.port) || is_port(&pair.peer);
            if is_named { Fit::Whole } else { fit_of_pair(key, pair) }
        });
    }

    fn select_by(&mut self, key: &str, fit_of_pair: impl Fn(&Pair<'_>) -> Fit) {
        let of_pairs = self.pairs.iter().map(&fit_of_pair);
        let of_unseen = self.unseen.iter().map(|unseen| fit_of_namespace(key, unseen.netns));
        let best = of_pairs.chain(of_unseen).max().unwrap_or(Fit::No);
        let is_best = |fit: Fit| fit != Fit::No && fit == best;
        self.pairs.retain(|pair| is_best(fit_of_pair(pair)));
        self.unseen.retain(|unseen| is_best(fit_of_namespace(key, unseen.netns)));
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty() && self.unseen.is_empty()
    }
}

fn fit_of_pair(key: &str, Pair { kind: _, port, peer }: &Pair<'_>) -> Fit {
    fit_of_side(key, port).max(fit_of_side(key, peer))
}

fn fit_of_side(key: &str, side: &Side<'_>) -> Fit {
    let is_mac = || side.mac.is_some_and(|mac| mac.to_string().eq_ignore_ascii_case(key));
    // As it is told: with or without the length of the prefix.
    let is_address = |text: &String| text == key || text.split('/').next() == Some(key);
    let has_address = || side.addresses.iter().flatten().any(is_address);
    if side.name.as_deref() == Some(key) || is_mac() || has_address() {
        return Fit::Whole;
    }
    side.netns.map_or(Fit::No, |netns| fit_of_namespace(key, netns))
}

fn fit_of_namespace(key: &str, netns: &Namespace) -> Fit {
    let is_pid = || key.parse().is_ok_and(|pid| netns.pids.contains(&pid));
    let is_name = |name: &String| name == key;
    if netns.names.iter().any(is_name) || is_pid() {
        return Fit::Whole;
    }
    let fits = netns.containers.iter().map(|container| {
        if container.id == key || container.name.as_ref().is_some_and(is_name) {
            Fit::Whole
        } else if !key.is_empty() && container.id.starts_with(key) {
            Fit::Beginning
        } else {
            Fit::No
        }
    });
    fits.max().unwrap_or(Fit::No)
}

#[cfg(test)]
mod tests {
    use veth_common::{Ifindex, Mac};

    use super::*;
    use crate::inventory::{Container, PairKind, Unseen};

    fn netns(name: &str, pids: &[u32], container: Option<(&str, &str)>) -> Namespace {
        Namespace {
            names: vec![name.into()],
            pids: pids.to_vec(),
            containers: container
                .map(|(id, name)| Container { id: id.into(), name: Some(name.into()) })
                .into_iter()
                .collect(),
            ..Namespace::default()
        }
    }

    fn pair<'a>(number: u8, host: &'a Namespace, netns: &'a Namespace) -> Pair<'a> {
        let side = |name: String, last, netns| Side {
            name: Some(name),
            ifindex: Ifindex(u32::from(number)),
            mac: Some(Mac([2, 0, 0, 0, 0xab, last])),
            up: Some(true),
            bridge: Some(format!("br{number}")),
            addresses: Some(vec![format!("10.0.0.{last}/24")]),
            netns: Some(netns),
        };
        Pair {
            kind: PairKind::Veth,
            port: side(format!("veth{number}"), number, host),
            peer: side("eth0".into(), 0x10 + number, netns),
        }
    }

    /// Numbers of the pairs, and how many unseen namespaces, that `key` chooses.
    fn chosen(key: &str) -> (Vec<u32>, usize) {
        let host = Namespace { own: true, ..Namespace::default() };
        let red = netns("red", &[100, 12], Some(("12ab", "web")));
        let blue = netns("blue", &[200], Some(("34cd", "12a")));
        let dark = netns("dark", &[300], Some(("12ff", "db")));
        let mut inventory = Inventory {
            pairs: vec![pair(1, &host, &red), pair(2, &host, &blue)],
            unseen: vec![Unseen { netns: &dark, reason: "no" }],
        };
        inventory.select_with_bridges(key);
        let numbers = inventory.pairs.iter().map(|pair| pair.port.ifindex.0).collect();
        (numbers, inventory.unseen.len())
    }

    #[test]
    fn every_kind_of_key_finds_its_pair() {
        for key in [
            "web",
            "12ab",
            "red",
            "100",
            "veth1",
            "br1",
            "02:00:00:00:ab:01",
            "02:00:00:00:AB:11",
            "10.0.0.17",
            "10.0.0.17/24",
        ] {
            assert_eq!(chosen(key), (vec![1], 0), "{key}");
        }
        assert_eq!(chosen("eth0"), (vec![1, 2], 0));
        assert_eq!(chosen("34"), (vec![2], 0));
        assert_eq!(chosen("dark"), (vec![], 1));
        assert_eq!(chosen("1"), (vec![1], 1));
    }

    #[test]
    fn what_is_called_so_hides_what_begins_so() {
        // The name of a container and a process, before the ids that begin with them.
        assert_eq!(chosen("12a"), (vec![2], 0));
        assert_eq!(chosen("12"), (vec![1], 0));
    }

    #[test]
    fn parts_of_names_find_nothing() {
        for key in ["", "re", "veth", "2ab", "02:00:00:00:ab", "10.0.0", "4711"] {
            assert_eq!(chosen(key), (vec![], 0), "{key}");
        }
    }
}
