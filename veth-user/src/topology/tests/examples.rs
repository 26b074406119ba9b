//! The example files: right, and each says how to run it.

use super::*;

macro_rules! examples {
    ($($name:literal has $netns:literal namespaces and $pairs:literal pairs;)+) => {
        [$(($name, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/", $name)), $netns, $pairs)),+]
    };
}

/// The example files, and how much of what there is in each.
const EXAMPLES: [(&str, &str, usize, usize); 16] = examples! {
    "pair.toml" has 2 namespaces and 0 pairs;
    "thousand.toml" has 1000 namespaces and 0 pairs;
    "dual-stack.toml" has 8 namespaces and 0 pairs;
    "bridge-only.toml" has 2 namespaces and 0 pairs;
    "jumbo.toml" has 2 namespaces and 0 pairs;
    "xdp.toml" has 2 namespaces and 0 pairs;
    "one-end.toml" has 1 namespaces and 1 pairs;
    "both-ends.toml" has 1 namespaces and 1 pairs;
    "host-end.toml" has 1 namespaces and 1 pairs;
    "two-ends.toml" has 2 namespaces and 1 pairs;
    "two-ways.toml" has 2 namespaces and 3 pairs;
    "mesh-3.toml" has 3 namespaces and 3 pairs;
    "mesh-4.toml" has 4 namespaces and 6 pairs;
    "star-3.toml" has 3 namespaces and 0 pairs;
    "star-4.toml" has 4 namespaces and 0 pairs;
    "container.toml" has 1 namespaces and 1 pairs;
};

#[test]
fn examples_are_right_and_say_how_to_run_them() {
    for (name, text, namespaces, pairs) in EXAMPLES {
        let topology = parse(text);
        let found = topology.namespaces().len() + topology.portless().len();
        assert_eq!((found, topology.pairs().len()), (namespaces, pairs), "{name}");
        let comments = text.lines().take_while(|line| line.starts_with("# ")).count();
        assert_eq!(comments, 2, "{name}");
        let how = format!("sudo veth up examples/{name}");
        assert!(text.lines().nth(1).is_some_and(|line| line.contains(&how)), "{name}");
    }
}
