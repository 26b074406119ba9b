//! The layers of veth-user: a module may use modules of its own and of lower layers, modules that
//! touch the kernel are strangers to each other, and the lowest layer does no I/O.
//!
//! Read from the text: `crate::module`, alone or in a group. A path that climbs with
//! `super::super::` is not seen.

use super::Finding;
use super::source::{children_of, find_word, line_of};

const SOURCES: &str = "veth-user/src/";
/// These only put the others together.
const ROOTS: &[&str] = &["lib", "main"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Pure,
    Kernel,
    Orchestration,
    FrontEnd,
}

/// The lowest layer first, as in ARCHITECTURE.md.
const LAYERS: &[(Layer, &[&str])] = &[
    (
        Layer::Pure,
        &[
            "topology",
            "view",
            "plan",
            "forwarding",
            "counters",
            "report",
            "results",
            "statistics",
            "stop",
            "inventory",
            "diagnosis",
            "metrics",
            "explanation",
            "capture",
            "dashboard",
        ],
    ),
    (
        Layer::Kernel,
        &["netns", "netlink", "datapath", "privilege", "lock", "sysctl", "machine", "containers"],
    ),
    (
        Layer::Orchestration,
        &["fabric", "sync", "traffic", "bench", "census", "examination", "exposition"],
    ),
    (Layer::FrontEnd, &["cli"]),
];

/// Who may know a module of the kernel layer from within it: netlink opens its sockets in a
/// namespace.
const ACQUAINTED: &[(&str, &str)] = &[("netlink", "netns")];

/// Children of `std` that are I/O. Addresses of `std::net` are plain values; its sockets are found
/// by their names.
const IO_CHILDREN: &[&str] = &["fs"];
const IO_WORDS: &[&str] = &["tokio"];
/// These are I/O in a file that names the module they are in.
const SOCKETS: &[&str] = &["TcpStream", "TcpListener", "UdpSocket", "UnixStream", "UnixListener"];

pub(super) fn check(path: &str, code: &str) -> Vec<Finding> {
    let Some(module) = module_of(path) else {
        return Vec::new();
    };
    let Some(layer) = layer_of(module) else {
        let message = format!(
            "module `{module}` has no layer: give it one in ARCHITECTURE.md and in xtask's LAYERS"
        );
        return vec![Finding::new(path, 0, message)];
    };
    let mut findings = Vec::new();
    for (at, used) in children_of(code, "crate") {
        if let Some(message) = judge(module, layer, used) {
            findings.push(Finding::new(path, line_of(code, at), message));
        }
    }
    if layer == Layer::Pure {
        findings.extend(check_io(path, without_tests(path, code)));
    }
    findings
}

/// The top module that a file of veth-user belongs to; none for the files that put modules
/// together.
fn module_of(path: &str) -> Option<&str> {
    let first = path.strip_prefix(SOURCES)?.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (!ROOTS.contains(&module)).then_some(module)
}

fn layer_of(module: &str) -> Option<Layer> {
    LAYERS.iter().find(|(_, modules)| modules.contains(&module)).map(|(layer, _)| *layer)
}

fn judge(module: &str, layer: Layer, used: &str) -> Option<String> {
    // What is no module with a layer is an item of the crate root.
    let used_layer = layer_of(used)?;
    if used_layer > layer {
        return Some(format!(
            "`{module}` ({layer:?}) uses `{used}` ({used_layer:?}), which is above it"
        ));
    }
    let strangers = layer == Layer::Kernel && used_layer == Layer::Kernel && module != used;
    if strangers && !ACQUAINTED.contains(&(module, used)) {
        return Some(format!(
            "`{module}` uses `{used}`, and modules that touch the kernel are strangers to each other"
        ));
    }
    None
}

fn check_io(path: &str, code: &str) -> Vec<Finding> {
    let children =
        children_of(code, "std").into_iter().filter(|(_, name)| IO_CHILDREN.contains(name));
    let has_sockets = find_word(code, "net").next().is_some();
    let sockets = SOCKETS.iter().filter(|_| has_sockets);
    let words = IO_WORDS
        .iter()
        .chain(sockets)
        .flat_map(|word| find_word(code, word).map(move |at| (at, *word)));
    let finding = |(at, name): (usize, &str)| {
        Finding::new(path, line_of(code, at), format!("`{name}`: this layer does no I/O"))
    };
    children.chain(words).map(finding).collect()
}

/// Tests may read fixtures. They stand at the end of a file, or in a file of their own.
fn without_tests<'a>(path: &str, code: &'a str) -> &'a str {
    if path.ends_with("/tests.rs") {
        return "";
    }
    code.find("#[cfg(test)]").map_or(code, |at| &code[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, code: &str) -> Vec<String> {
        check(path, code).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_lower_layer_may_be_used_and_a_higher_one_may_not() {
        let code = "use crate::{fabric::Fabric, plan};\nuse crate::cli::Args;\n";
        assert_eq!(messages("veth-user/src/cli/mod.rs", code), Vec::<String>::new());
        assert_eq!(messages("veth-user/src/fabric/mod.rs", code).len(), 1);
        assert_eq!(messages("veth-user/src/plan/mod.rs", code).len(), 2);
    }

    #[test]
    fn the_line_of_a_violation_is_told() {
        let findings = check(
            "veth-user/src/plan.rs",
            "use crate::topology;\n\nfn f(_: crate::netns::Netns) {}\n",
        );
        assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn modules_that_touch_the_kernel_are_strangers() {
        assert_eq!(
            messages("veth-user/src/datapath/attach.rs", "use crate::netlink::Link;").len(),
            1
        );
        assert_eq!(messages("veth-user/src/netns.rs", "use crate::netlink::Link;").len(), 1);
        assert!(
            messages(
                "veth-user/src/netlink/mod.rs",
                "use crate::netns::Netns; use crate::netlink::x;"
            )
            .is_empty()
        );
    }

    #[test]
    fn the_lowest_layer_does_no_io() {
        let code = "use std::{fmt, fs};\nuse std::net::{Ipv4Addr, UdpSocket};\nuse tokio::task;\nuse std::net::IpAddr;\n";
        assert_eq!(messages("veth-user/src/report/mod.rs", code).len(), 3);
        assert_eq!(messages("veth-user/src/fabric/mod.rs", code), Vec::<String>::new());
        let no_socket = "enum Workload { TcpStream }";
        assert_eq!(messages("veth-user/src/report/mod.rs", no_socket), Vec::<String>::new());
    }

    #[test]
    fn tests_of_the_lowest_layer_may_read_fixtures() {
        let code = "#[cfg(test)]\nmod tests { use std::fs; }\n";
        assert_eq!(messages("veth-user/src/topology/mod.rs", code), Vec::<String>::new());
        assert_eq!(
            messages("veth-user/src/topology/tests.rs", "use std::fs;"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_module_without_a_layer_is_found_and_the_crate_roots_are_none() {
        assert_eq!(messages("veth-user/src/wizard.rs", "").len(), 1);
        assert!(messages("veth-user/src/main.rs", "use crate::cli;").is_empty());
        assert!(messages("veth-user/build.rs", "").is_empty());
    }
}
