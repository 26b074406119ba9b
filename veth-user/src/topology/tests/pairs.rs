//! Files with pairs.

use super::*;

/// The ends of the only pair in `text`, which follows a name.
fn only_pair(text: &str) -> [PairEnd; 2] {
    let topology = parse(&format!("name = \"lab\"\n{text}"));
    let [pair] = topology.pairs() else { panic!("{topology:?}") };
    pair.ends().clone()
}

/// The file with one pair that has the end `a` has this one problem.
#[track_caller]
fn end_refused(end: &str, path: &str, part: &str) {
    refused(&format!("[[pair]]\na = {{ {end} }}\nb = {{ netns = \"blue\" }}"), path, part);
}

#[test]
fn a_pair_is_what_its_file_says() {
    let [a, b] = only_pair(
        "[[pair]]\n\
         a = { netns = \"red\", ifname = \"up0\", addresses = [\"10.1.0.1/24\", \"fd01::1/64\"], \
               routes = [\"10.9.0.0/16 via 10.1.0.2\", \"10.8.0.0/16 dev\"] }\n\
         [pair.b]\n\
         sysctls = { \"net.ipv4.conf.veth1.accept_local\" = 1 }\n\
         up = false\n",
    );
    assert_eq!(a.name().to_string(), "up0 in red");
    assert_eq!(b.name().to_string(), "veth1");
    assert_eq!((a.is_up(), b.is_up()), (true, false));
    let texts =
        |list: &[InterfaceAddress]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(texts(a.addresses()), ["10.1.0.1/24", "fd01::1/64"]);
    let routes: Vec<String> = a.routes().iter().map(ToString::to_string).collect();
    assert_eq!(routes, ["10.9.0.0/16 via 10.1.0.2", "10.8.0.0/16 dev"]);
    let [Sysctl { name, value }] = b.sysctls() else { panic!("{b:?}") };
    assert_eq!(
        (name.to_string().as_str(), value.as_str()),
        ("net.ipv4.conf.veth1.accept_local", "1")
    );
    assert_ne!(a.mac(), b.mac());
}

#[test]
fn pairs_alone_have_no_bridge_and_no_datapath() {
    let text = "name = \"lab\"\n[[pair]]\na = { netns = \"red\" }\nb = { netns = \"blue\" }\n";
    let topology = parse(text);
    assert!(!topology.has_bridge());
    assert_eq!(topology.datapath(), DatapathKind::None);
    assert_eq!(topology.clone().with_datapath(DatapathKind::Xdp).datapath(), DatapathKind::None);
    let portless: Vec<&str> = topology.portless().iter().map(NetnsName::as_str).collect();
    assert_eq!(portless, ["red", "blue"]);
    refused_as_it_is(&format!("datapath = \"tc\"\n{text}"), "datapath", "there is none");
    parse(&format!("datapath = \"none\"\n{text}"));
}

#[test]
fn namespaces_with_a_port_are_not_those_of_pairs() {
    let topology = parse(
        "name = \"lab\"\n[[netns]]\nname = \"red\"\n\
         [[pair]]\na = { netns = \"red\" }\nb = { netns = \"blue\", ifname = \"eth0\" }\n\
         [[pair]]\na = { netns = \"blue\" }\nb = { }\n",
    );
    let portless: Vec<&str> = topology.portless().iter().map(NetnsName::as_str).collect();
    assert_eq!(portless, ["blue"]);
    assert!(topology.has_bridge());
}

#[test]
fn everything_wrong_with_pairs_is_said_at_once() {
    let problems = problems(
        "name = \"lab\"\n\
         [[pair]]\n\
         a = { netns = \"r d\", adresses = [], addresses = [\"10.1.0.0/24\"] }\n\
         b = { routes = [\"10.9.0.0/16\"], up = 1, sysctls = { \"kernel.x.y\" = 1 } }\n\
         [[pair]]\n\
         a = 7\n",
    );
    assert_eq!(
        problems.to_string(),
        "pair[0].a.adresses: is an unknown key \"adresses\"; an end has netns, ifname, addresses, \
         routes, sysctls, up\n\
         pair[0].b.up: is an integer, not a boolean\n\
         pair[1].a: is an integer, not a table\n\
         pair[1].b: is missing\n\
         pair[0].a.netns: \"r d\" contains ' ', which cannot be in a device's name: it is white \
         space\n\
         pair[0].a.addresses[0]: \"10.1.0.0/24\" is the network address of its subnet, not of a host \
         in it\n\
         pair[0].b.routes[0]: \"10.9.0.0/16\" is not a route; write \"PREFIX via GATEWAY\", \
         \"default via GATEWAY\", or \"PREFIX dev\" for what is on the pair itself\n\
         pair[0].b.sysctls.\"kernel.x.y\": \"kernel.x.y\" is not below net: only settings of the \
         network belong to a namespace"
    );
}

#[test]
fn wrong_types_in_a_pair_are_refused() {
    refused("pair = 1", "pair", "is an integer, not a list of tables: write [[pair]]");
    end_refused("netns = 1", "pair[0].a.netns", "is an integer, not a string");
    end_refused("ifname = []", "pair[0].a.ifname", "is an array, not a string");
    end_refused("addresses = \"10.1.0.1/24\"", "pair[0].a.addresses", "not a list of strings");
    end_refused("routes = [1]", "pair[0].a.routes[0]", "is an integer, not a string");
    end_refused("sysctls = []", "pair[0].a.sysctls", "is an array, not a table of names");
    end_refused("sysctls = { net.ipv4.ip_forward = 1 }", "pair[0].a.sysctls.net", "in quotes");
    let path = "pair[0].a.sysctls.\"net.ipv4.ip_forward\"";
    end_refused("netns = \"red\", sysctls = { \"net.ipv4.ip_forward\" = true }", path, "a boolean");
}

#[test]
fn gateways_are_reached_directly() {
    let routes = |route: &str| format!("addresses = [\"10.1.0.1/24\"], routes = [\"{route}\"]");
    let path = "pair[0].a.routes[0]";
    end_refused(&routes("10.9.0.0/16 via 10.2.0.1"), path, "is in the subnet of no address");
    end_refused(&routes("10.9.0.0/16 via 10.1.0.1"), path, "is the end's own address");
    end_refused(&routes("default via fd00::1"), path, "is in the subnet of no address");
    let down = format!("{}, up = false", routes("10.9.0.0/16 via 10.1.0.2"));
    end_refused(&down, path, "leads through an end that is not up");
}

#[test]
fn settings_outside_of_namespaces_are_those_of_the_end() {
    let own = "sysctls = { \"net.ipv4.conf.veth0.rp_filter\" = 0 }";
    only_pair(&format!("[[pair]]\na = {{ {own} }}\nb = {{ netns = \"blue\" }}"));
    for name in
        ["net.ipv4.ip_forward", "net.ipv4.conf.all.rp_filter", "net.ipv4.conf.eth0.rp_filter"]
    {
        let setting = format!("sysctls = {{ \"{name}\" = 0 }}");
        let path = format!("pair[0].a.sysctls.\"{name}\"");
        end_refused(&setting, &path, "is no setting of veth0 alone");
        only_pair(&format!("[[pair]]\na = {{ netns = \"red\", {setting} }}\nb = {{ }}"));
    }
}

#[test]
fn addresses_are_unique_on_a_pair_and_nowhere_else() {
    let pair = |a: &str, b: &str| {
        format!(
            "[[pair]]\na = {{ netns = \"red\", ifname = \"{a}\", addresses = [\"10.1.0.1/24\"] }}\n\
                 b = {{ ifname = \"{b}\", addresses = [\"10.1.0.2/24\"] }}\n"
        )
    };
    parse(&format!("name = \"lab\"\n{}{}", pair("v0", "w0"), pair("v1", "w1")));
    let twice = pair("v0", "w0").replace("10.1.0.2", "10.1.0.1");
    refused(&twice, "pair[0].b.addresses[0]", "is the address at pair[0].a.addresses[0] too");
}

#[test]
fn names_of_ends_that_are_taken_are_refused() {
    let pair = "[[pair]]\na = { netns = \"red\" }\nb = { netns = \"blue\" }\n";
    refused(
        &format!("{pair}{}", pair.replace("blue", "green")),
        "pair[1].a.ifname",
        "veth0 in red is at pair[0].a too; write another ifname",
    );
    let member =
        "[[netns]]\nname = \"red\"\n[[pair]]\na = { netns = \"red\", ifname = \"eth0\" }\nb = { }";
    refused(member, "pair[0].a.ifname", "is the interface of \"red\" that leads to the bridge");
    let end = |name: &str| {
        format!("[[netns]]\nname = \"red\"\n[[pair]]\na = {{ ifname = \"{name}\" }}\nb = {{ }}")
    };
    refused(&end("lab"), "pair[0].a.ifname", "is the name of the bridge");
    refused(&end("red"), "pair[0].a.ifname", "is the name of the port of netns[0].name");
    // Without a bridge its name is free, and so are those of ports.
    parse(
        "name = \"lab\"\n[[pair]]\na = { ifname = \"lab\" }\nb = { netns = \"red\", ifname = \"red\" }",
    );
}

#[test]
fn routes_and_settings_of_a_namespace_do_not_contradict_each_other() {
    let two = |a: &str, b: &str| {
        format!("[[pair]]\na = {{ netns = \"red\", {a} }}\nb = {{ netns = \"red\", {b} }}")
    };
    let route = "routes = [\"10.9.0.0/16 dev\"]";
    let part = "10.9.0.0/16 has the route at pair[0].a.routes[0] too";
    refused(&two(route, route), "pair[0].b.routes[0]", part);
    let setting = |value| format!("sysctls = {{ \"net.ipv4.ip_forward\" = {value} }}");
    let path = "pair[0].b.sysctls.\"net.ipv4.ip_forward\"";
    refused(&two(&setting(1), &setting(0)), path, "has another value at pair[0].a.sysctls");
    only_pair(&two(&setting(1), &setting(1)));
    let twice = "sysctls = { \"net.ipv4.ip_forward\" = 1, \"net/ipv4/ip_forward\" = 1 }";
    refused(
        &two("", twice).replace(", }", " }"),
        "pair[0].b.sysctls.\"net/ipv4/ip_forward\"",
        "same setting",
    );
}

#[test]
fn ipv6_on_a_pair_needs_its_least_mtu() {
    let text =
        "mtu = 1279\n[[pair]]\na = { addresses = [\"fd00::1/64\"] }\nb = { netns = \"red\" }";
    refused(text, "mtu", "is asked for by pair[0].a.addresses[0]");
}
