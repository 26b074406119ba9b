//! Everybody with everybody: by pairs, and by one bridge.

use serde_json::Value;

use super::{Example, example};
use crate::sandbox::Sandbox;

const NAMES: [&str; 4] = ["red", "green", "blue", "black"];

/// The addresses at which `to` is known: to `from` by a pair, and behind the bridge.
fn address_in_mesh(sandbox: &Sandbox, from: &str, to: &str) -> String {
    let text = sandbox.sh(&format!("ip -n {to} -j -4 addr show dev to-{from}"));
    let value: Value = serde_json::from_str(&text).expect("ip prints JSON");
    value[0]["addr_info"][0]["local"].as_str().expect("an end has an address").to_owned()
}

fn address_in_star(place: usize) -> String {
    format!("10.1.7.{}", place + 1)
}

/// How many devices there are, in the host and in `names`, without `lo`.
fn links(sandbox: &Sandbox, names: &[&str]) -> usize {
    let count = |text: String| text.trim().parse::<usize>().expect("a number");
    let inside =
        names.iter().map(|name| count(sandbox.sh(&format!("ip -n {name} -o link | wc -l"))));
    count(sandbox.sh("ip -o link | wc -l")) + inside.sum::<usize>() - 1 - names.len()
}

/// Each reaches each; how many devices that takes.
fn links_of(example: &Example, fabric: &str, count: usize, pairs: usize) -> usize {
    let sandbox = Sandbox::new();
    let names = &NAMES[..count];
    example.up(&sandbox);
    for from in names {
        for (place, to) in names.iter().enumerate().filter(|(_, to)| *to != from) {
            let address = match pairs {
                0 => address_in_star(place),
                _ => address_in_mesh(&sandbox, from, to),
            };
            sandbox.ping(from, &address);
        }
    }
    let status = sandbox.veth(&["status", fabric, "--json"]).ok().json();
    assert_eq!(status["pairs"].as_array().map(Vec::len), Some(pairs));
    let links = links(&sandbox, names);
    sandbox.down(fabric);
    links
}

#[test]
#[ignore = "needs root"]
fn mesh_reaches_what_a_bridge_reaches_with_more_and_more_links() {
    // A pair has two links; a bridge has one, and two for each port.
    assert_eq!(links_of(&example!("mesh-3.toml"), "mesh3", 3, 3), 6);
    assert_eq!(links_of(&example!("star-3.toml"), "star3", 3, 0), 7);
    assert_eq!(links_of(&example!("mesh-4.toml"), "mesh4", 4, 6), 12);
    assert_eq!(links_of(&example!("star-4.toml"), "star4", 4, 0), 9);
}

#[test]
#[ignore = "needs root"]
fn mesh_grows_by_an_edit_of_the_file() {
    let sandbox = Sandbox::new();
    example!("mesh-3.toml").up_with(&sandbox, &[("mesh3", "mesh")]);
    let before = sandbox.netns_inode("red");
    let steps = sandbox.sh("ip -n red link show to-green");
    example!("mesh-4.toml").up_with(&sandbox, &[("mesh4", "mesh")]);
    assert_eq!(sandbox.netns_inode("red"), before);
    assert_eq!(sandbox.sh("ip -n red link show to-green"), steps, "what was there stays");
    sandbox.ping("black", &address_in_mesh(&sandbox, "black", "red"));
    example!("mesh-3.toml").up_with(&sandbox, &[("mesh3", "mesh")]);
    assert!(!sandbox.path("/run/netns/black").exists());
    sandbox.ping("red", &address_in_mesh(&sandbox, "red", "blue"));
    sandbox.down("mesh");
}
