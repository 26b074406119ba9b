//! What may be named in one place only: aya in the datapath, netlink packets in netlink, the
//! entering of a namespace in netns. And what may be named nowhere in veth-user: another program.

use super::Finding;
use super::source::{find_word, is_word, line_of};

const SOURCES: &str = "veth-user/src/";

/// Words that only some files of veth-user may use.
struct Rule {
    /// Any of these, as a whole word or path; one that ends in `*` is the beginning of a word.
    words: &'static [&'static str],
    /// Below `veth-user/src/`: a folder with a slash at its end, or a file.
    allowed: &'static [&'static str],
    message: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        words: &["aya::", "use aya", "aya_obj", "aya_log"],
        allowed: &["datapath/", "datapath.rs"],
        message: "only datapath/ names aya's types",
    },
    Rule {
        words: &["netlink_packet*"],
        allowed: &["netlink/", "netlink.rs"],
        message: "only netlink/ names netlink packet types",
    },
    Rule {
        words: &["setns", "unshare"],
        allowed: &["netns.rs"],
        message: "only netns.rs enters or makes a network namespace",
    },
    Rule {
        words: &["Command::new", "process::Command"],
        allowed: &[],
        message: "no other programs: netlink, ioctl and bpf(2) do it",
    },
];

pub(super) fn check(path: &str, code: &str) -> Vec<Finding> {
    let Some(path_in_sources) = path.strip_prefix(SOURCES) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for Rule { words, allowed, message } in RULES {
        let is_allowed = |it: &&str| {
            path_in_sources == *it || (it.ends_with('/') && path_in_sources.starts_with(*it))
        };
        if allowed.iter().any(is_allowed) {
            continue;
        }
        let mut lines: Vec<usize> = words
            .iter()
            .flat_map(|word| occurrences(code, word))
            .map(|at| line_of(code, at))
            .collect();
        lines.sort_unstable();
        lines.dedup();
        findings.extend(lines.into_iter().map(|line| Finding::new(path, line, *message)));
    }
    findings
}

fn occurrences(code: &str, word: &str) -> Vec<usize> {
    if let Some(beginning) = word.strip_suffix('*') {
        let starts = code.match_indices(beginning).map(|(at, _)| at);
        return starts.filter(|at| !code[..*at].chars().next_back().is_some_and(is_word)).collect();
    }
    if let Some(name) = word.strip_suffix("::") {
        return find_word(code, name)
            .filter(|at| code[at + name.len()..].starts_with("::"))
            .collect();
    }
    find_word(code, word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn lines(path: &str, code: &str) -> Vec<usize> {
        check(path, code).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn aya_is_named_in_the_datapath_only() {
        let code =
            "use aya::Ebpf;\nfn f(_: aya::maps::Array) {}\nuse himalaya::Peak;\nuse aya as a;\n";
        assert_eq!(lines("veth-user/src/fabric/mod.rs", code), [1, 2, 4]);
        assert_eq!(lines("veth-user/src/datapath/object.rs", code), NONE);
        assert_eq!(lines("veth-user/tests/test_run.rs", code), NONE);
    }

    #[test]
    fn netlink_packets_are_named_in_netlink_only() {
        let code = "use netlink_packet_route::link::LinkMessage;\n";
        assert_eq!(lines("veth-user/src/sync/mod.rs", code), [1]);
        assert_eq!(lines("veth-user/src/netlink/link.rs", code), NONE);
    }

    #[test]
    fn namespaces_are_entered_in_netns_only() {
        let code = "nix::sched::setns(fd, flags)?;\nunshare(flags)?;\nlet setns_count = 0;\n";
        assert_eq!(lines("veth-user/src/netlink/mod.rs", code), [1, 2]);
        assert_eq!(lines("veth-user/src/netns.rs", code), NONE);
    }

    #[test]
    fn no_other_program_is_started() {
        assert_eq!(
            lines("veth-user/src/cli/mod.rs", "Command::new(x)\nuse std::process::Command;\n"),
            [1, 2]
        );
        assert_eq!(lines("veth-user/src/cli/mod.rs", "Cli::command()\nCommand::Newer\n"), NONE);
    }
}
