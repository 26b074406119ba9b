//! The inventory as a table.

use super::{Inventory, Namespace, Side};
use crate::report;

/// For what could not be seen.
const UNKNOWN: &str = "?";
/// For what is not there; of a namespace: it is the own one.
const NONE: &str = "-";

impl Inventory<'_> {
    /// A table with a line for each pair, and for each namespace that could not be looked into and
    /// that no pair leads to.
    pub fn table(&self) -> String {
        let mut table = report::new_table(&[
            "PORT",
            "IFINDEX",
            "BRIDGE",
            "NETNS",
            "PEER",
            "IFINDEX",
            "MAC",
            "ADDRESSES",
            "CONTAINER",
        ]);
        report::align_right(&mut table, &[1, 5]);
        for pair in &self.pairs {
            let (port, peer) = (&pair.port, &pair.peer);
            table.add_row([
                port_name(port),
                port.ifindex.0.to_string(),
                port.bridge.clone().unwrap_or_else(|| NONE.into()),
                peer.netns.map_or_else(|| UNKNOWN.into(), netns_name),
                peer.name.clone().unwrap_or_else(|| UNKNOWN.into()),
                peer.ifindex.0.to_string(),
                mac(peer),
                peer.addresses.as_deref().map_or_else(|| UNKNOWN.into(), |it| list(it, " ")),
                peer.netns.map_or_else(|| UNKNOWN.into(), containers),
            ]);
        }
        for unseen in &self.unseen {
            let leads_there =
                |side: &Side<'_>| side.netns.is_some_and(|it| it.inode == unseen.netns.inode);
            if !self.pairs.iter().any(|pair| leads_there(&pair.peer)) {
                let [port, ifindex, bridge, peer, index, mac, addresses] = [UNKNOWN; 7];
                let (netns, containers) = (netns_name(unseen.netns), containers(unseen.netns));
                table.add_row([
                    port,
                    ifindex,
                    bridge,
                    &netns,
                    peer,
                    index,
                    mac,
                    addresses,
                    &containers,
                ]);
            }
        }
        report::finish(&table)
    }
}

/// The name of a port, with its namespace when that is not the own one.
fn port_name(port: &Side<'_>) -> String {
    let name = port.name.as_deref().unwrap_or(UNKNOWN);
    match port.netns {
        Some(netns) if !netns.own => format!("{name} in {}", netns.label()),
        _ => name.to_owned(),
    }
}

fn netns_name(netns: &Namespace) -> String {
    if netns.own { NONE.into() } else { netns.label() }
}

/// The address of a device that has one; one of netkit may have none.
fn mac(side: &Side<'_>) -> String {
    let missing = if side.name.is_some() { NONE } else { UNKNOWN };
    side.mac.map_or_else(|| missing.into(), |mac| mac.to_string())
}

fn containers(netns: &Namespace) -> String {
    let labels: Vec<String> = netns.containers.iter().map(|it| it.label().to_owned()).collect();
    list(&labels, ", ")
}

fn list(texts: &[String], separator: &str) -> String {
    if texts.is_empty() { NONE.into() } else { texts.join(separator) }
}

#[cfg(test)]
mod tests {
    use veth_common::{Ifindex, Mac};

    use super::*;
    use crate::inventory::{Container, Pair, PairKind, Process, Unseen};

    fn side<'a>(name: &str, ifindex: u32, netns: &'a Namespace) -> Side<'a> {
        Side {
            name: Some(name.into()),
            ifindex: Ifindex(ifindex),
            mac: Some(Mac([2, 0, 0, 0, 0, 1])),
            up: Some(true),
            bridge: None,
            addresses: Some(Vec::new()),
            netns: Some(netns),
        }
    }

    /// The cells of the lines below the heading.
    fn lines(inventory: &Inventory<'_>) -> Vec<Vec<String>> {
        let text = inventory.table();
        assert!(text.starts_with(" PORT "), "{text}");
        let cells =
            |line: &str| line.split("  ").map(|it| it.trim().to_owned()).collect::<Vec<_>>();
        let lines = text.lines().skip(1).map(cells);
        lines.map(|cells| cells.into_iter().filter(|it| !it.is_empty()).collect()).collect()
    }

    #[test]
    fn a_line_tells_both_ends() {
        let host = Namespace { own: true, ..Namespace::default() };
        let process = Process { pid: 7, command: "nginx".into(), started_ticks: 1 };
        let containers = [("web", "1"), ("log", "2")];
        let container =
            |(name, id): (&str, &str)| Container { id: id.into(), name: Some(name.into()) };
        let red = Namespace {
            process: Some(process),
            containers: containers.map(container).into(),
            ..Namespace::default()
        };
        let addresses = Some(vec!["10.0.0.2/24".into(), "fd00::2/64".into()]);
        let pair = Pair {
            kind: PairKind::Veth,
            port: Side { bridge: Some("br0".into()), ..side("veth0", 5, &host) },
            peer: Side { addresses, ..side("eth0", 2, &red) },
        };
        let inner =
            Pair { kind: PairKind::Veth, port: side("a", 3, &red), peer: side("b", 4, &red) };
        let outer =
            Pair { kind: PairKind::Veth, port: side("c", 6, &host), peer: side("d", 7, &host) };
        let inventory = Inventory { pairs: vec![pair, inner, outer], unseen: Vec::new() };
        let mac = "02:00:00:00:00:01";
        assert_eq!(
            lines(&inventory),
            [
                vec![
                    "veth0",
                    "5",
                    "br0",
                    "7 (nginx)",
                    "eth0",
                    "2",
                    mac,
                    "10.0.0.2/24 fd00::2/64",
                    "web, log",
                ],
                vec!["a in 7 (nginx)", "3", "-", "7 (nginx)", "b", "4", mac, "-", "web, log"],
                vec!["c", "6", "-", "-", "d", "7", mac, "-", "-"],
            ]
        );
        assert!(inventory.notes().is_empty());
    }

    #[test]
    fn what_was_not_seen_is_a_question_mark_and_a_note() {
        let host = Namespace { own: true, ..Namespace::default() };
        let [dark, far] = [("dark", 1), ("far", 2)].map(|(name, inode)| Namespace {
            inode,
            names: vec![name.into()],
            ..Namespace::default()
        });
        let unknown = |netns| Side::of_link(Ifindex(2), None, netns);
        let pairs = [None, Some(&far)].map(|netns| Pair {
            kind: PairKind::Netkit,
            port: side("nk0", 5, &host),
            peer: unknown(netns),
        });
        let unseen = [&dark, &far].map(|netns| Unseen { netns, reason: "not permitted" });
        let inventory = Inventory { pairs: pairs.into(), unseen: unseen.into() };
        assert_eq!(
            lines(&inventory),
            [
                vec!["nk0", "5", "-", "?", "?", "2", "?", "?", "?"],
                vec!["nk0", "5", "-", "far", "?", "2", "?", "?", "-"],
                vec!["?", "?", "?", "dark", "?", "?", "?", "?", "-"],
            ]
        );
        let notes = inventory.notes();
        assert_eq!(notes.len(), 3, "{notes:?}");
        assert_eq!(notes[0], "namespace dark was not looked into: not permitted");
        assert!(notes[2].starts_with("1 pair leads"), "{}", notes[2]);
    }

    #[test]
    fn many_unseen_namespaces_are_counted() {
        let dark = Namespace::default();
        let inventory =
            Inventory { pairs: Vec::new(), unseen: vec![Unseen { netns: &dark, reason: "no" }; 9] };
        let notes = inventory.notes();
        assert_eq!(notes.len(), 6);
        assert_eq!(notes[5], "4 more namespaces were not looked into");
    }
}
