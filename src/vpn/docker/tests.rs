//! What a view of Docker's may change, and that it opens nothing.

use proptest::prelude::*;

use super::*;
use crate::net::Family;
use crate::policy::iptables::render_fresh;
use crate::policy::{Owners, ruleset};
use crate::vpn::{Action, Change, Event, Link, LinkKind, Machine, Remembered};

/// Bridges that hold containers, in [`links`].
const BRIDGES: [&str; 3] = ["docker0", "br-a", "br-b"];

fn link(index: u32, name: &str, kind: LinkKind, master: Option<u32>, address: &str) -> Link {
    let addresses = address.parse().into_iter().collect();
    Link { master, addresses, ..Link::plain(index, name, kind) }
}

/// A card, a tunnel, three bridges of containers, a bridge with a card in it, and one that is not among
/// `docker.bridges`.
fn links() -> LinkTable {
    let links = vec![
        link(1, "lo", LinkKind::Loopback, None, "127.0.0.1/8"),
        link(2, "eth0", LinkKind::Other, None, "10.0.0.2/24"),
        link(3, "tun0", LinkKind::Tunnel, None, "10.8.0.2/24"),
        link(4, "docker0", LinkKind::Bridge, None, "172.17.0.1/16"),
        link(5, "br-a", LinkKind::Bridge, None, "172.18.0.1/16"),
        link(6, "br-b", LinkKind::Bridge, None, "fd00:b::1/64"),
        link(7, "veth1", LinkKind::Veth, Some(5), ""),
        link(8, "br-card", LinkKind::Bridge, None, "192.168.7.2/24"),
        link(9, "enp3s0", LinkKind::Other, Some(8), ""),
        link(10, "mybr0", LinkKind::Bridge, None, "172.19.0.1/16"),
    ];
    LinkTable { links, ..LinkTable::default() }
}

fn machine(config: &str) -> Machine {
    remembering(config, Remembered::default())
}

fn remembering(config: &str, remembered: Remembered) -> Machine {
    let config = Config::parse(config, "config.toml").unwrap();
    let mut machine = Machine::new(config, remembered, 0);
    machine.step(Event::Links(links()), 0);
    machine
}

fn network(name: &str, driver: &str, bridge: &str) -> DockerNetwork {
    let (name, driver) = (name.to_owned(), driver.to_owned());
    DockerNetwork { name, driver, bridge: bridge.parse().ok(), internal: false, ipv6: false }
}

fn view(networks: Vec<DockerNetwork>) -> Event {
    let version = "20.10.24".to_owned();
    Event::Docker(Some(DockerView { version, backend: DockerBackend::Iptables, networks }))
}

fn rules(machine: &Machine) -> Vec<String> {
    let ruleset = ruleset(machine.config(), &Owners::from([0]), &machine.situation());
    let text = Family::ALL.map(|family| render_fresh(&ruleset, family)).concat();
    text.lines().map(ToOwned::to_owned).collect()
}

fn accesses(machine: &Machine) -> Vec<(String, Access)> {
    let networks = machine.situation().networks;
    networks.into_iter().map(|network| (network.bridge.to_string(), network.access)).collect()
}

#[test]
fn a_bridge_that_two_networks_have_is_cut_off_unless_they_agree() {
    let mut machine = machine("docker.networks = { a = \"lan\", b = \"none\", c = \"lan\" }");
    for (others, access) in [(vec!["c"], Access::Lan), (vec!["b"], Access::None), (vec!["web"], Access::None)]
    {
        let networks = std::iter::once("a").chain(others.clone());
        machine.step(view(networks.map(|name| network(name, "bridge", "br-a")).collect()), 0);
        assert_eq!(accesses(&machine), [("br-a".to_owned(), access)], "{others:?}");
    }
}

#[test]
fn a_blocked_network_stays_blocked_when_docker_ends_or_is_not_read() {
    let mut machine = machine("docker.networks = { a = \"none\" }");
    let actions = machine.step(view(vec![network("a", "bridge", "br-a"), network("b", "bridge", "br-b")]), 0);
    let kept = vec![NetworkBridge { name: "a".to_owned(), bridge: "br-a".parse().unwrap() }];
    assert_eq!(actions, [Action::CheckRules, Action::Remember(Change::Networks(kept.clone()))]);
    assert_eq!(machine.step(Event::Docker(None), 0), [Action::CheckRules]);
    assert_eq!(accesses(&machine), [("br-a".to_owned(), Access::None)]);
    assert_eq!(machine.docker(), None);

    let remembered = Remembered { networks: kept, ..Remembered::default() };
    let mut next = remembering("docker.networks = { a = \"none\" }", remembered);
    assert_eq!(accesses(&next), [("br-a".to_owned(), Access::None)]);
    next.step(view(Vec::new()), 0);
    assert!(accesses(&next).is_empty(), "Docker says that it is gone");
}

#[test]
fn a_new_or_removed_bridge_causes_a_check_and_its_ports_do_not() {
    let mut machine = machine("");
    let mut table = links();
    table.links.push(link(11, "veth2", LinkKind::Veth, Some(5), ""));
    assert!(machine.step(Event::Links(table.clone()), 0).is_empty());
    table.links.push(link(12, "br-new", LinkKind::Bridge, None, ""));
    assert_eq!(machine.step(Event::Links(table.clone()), 0), [Action::CheckRules]);
    table.links.pop();
    assert_eq!(machine.step(Event::Links(table), 0), [Action::CheckRules]);
}

#[test]
fn a_network_that_is_not_held_is_reported() {
    let mut machine =
        machine("docker.networks = { mv = \"none\", my = \"lan\", gone = \"lan\", card = \"none\" }");
    let networks = vec![
        network("mv", "macvlan", ""),
        network("ip", "ipvlan", ""),
        network("my", "bridge", "mybr0"),
        network("card", "bridge", "br-card"),
        network("odd", "weave", ""),
        network("host", "host", ""),
        network("web", "bridge", "br-a"),
        network("new", "bridge", "br-notyet"),
    ];
    machine.step(view(networks), 0);
    let report = machine.docker().unwrap();
    let faults: Vec<_> = report
        .networks
        .iter()
        .map(|network| (network.network.name.as_str(), network.fault, network.is_covered()))
        .collect();
    let expected = [
        ("card", Some(NetworkFault::LeadsOut), false),
        ("host", None, true),
        ("ip", Some(NetworkFault::BypassesIptables), false),
        ("mv", Some(NetworkFault::BypassesIptables), false),
        ("my", Some(NetworkFault::Unlisted), true),
        ("new", None, true),
        ("odd", Some(NetworkFault::Driver), false),
        ("web", None, true),
    ];
    assert_eq!(faults, expected);
    assert_eq!(report.missing, ["gone"]);
    assert!(accesses(&machine).is_empty());
}

fn hostile() -> impl Strategy<Value = Vec<DockerNetwork>> {
    let names = ["lan", "none", "tunnel", "web", "a\"b", "a' -j ACCEPT", "\n-A OUTPUT -j ACCEPT", ""];
    let bridges = [
        "docker0",
        "br-a",
        "br-b",
        "eth0",
        "tun0",
        "lo",
        "br-card",
        "mybr0",
        "br-notyet",
        "tun+",
        "! eth0",
        "",
    ];
    let network = (
        prop::sample::select(names.to_vec()),
        prop::sample::select(vec!["bridge", "macvlan", "\u{1b}[2J"]),
        prop::sample::select(bridges.to_vec()),
    );
    let network = network.prop_map(|(name, driver, bridge)| self::network(name, driver, bridge));
    prop::collection::vec(network, 0..12)
}

/// The interfaces that a rule names, as input or as output.
fn interfaces(rule: &str) -> Vec<&str> {
    let words: Vec<&str> = rule.split(' ').collect();
    let pairs = words.windows(2);
    pairs.filter(|pair| matches!(pair[0], "-i" | "-o")).map(|pair| pair[1]).collect()
}

proptest! {
    #[test]
    fn a_network_that_is_not_named_changes_no_rule(networks in hostile()) {
        let mut machine = machine("");
        let before = rules(&machine);
        machine.step(view(networks), 0);
        prop_assert_eq!(rules(&machine), before);
    }

    #[test]
    fn a_hostile_view_opens_no_uplink(networks in hostile()) {
        let mut machine = machine(
            "docker.networks = { lan = \"lan\", \"a\\\"b\" = \"lan\", tunnel = \"tunnel\", \"a' -j ACCEPT\" = \"none\" }",
        );
        let before = rules(&machine);
        machine.step(view(networks), 0);
        let after = rules(&machine);
        // Nothing is taken away, and what is added is about bridges of containers alone.
        let mut rest = after.iter();
        for rule in &before {
            prop_assert!(rest.any(|other| other == rule), "{} is gone or has moved", rule);
        }
        for rule in after.iter().filter(|rule| !before.contains(rule)) {
            let named = interfaces(rule);
            prop_assert!(!named.is_empty() && named.iter().all(|name| BRIDGES.contains(name)), "{}", rule);
        }
    }
}

/// The port 6000, which the container `bt` on a network publishes over IPv4 and IPv6.
fn publishes(network: &str) -> Event {
    let port = |host: &str| PublishedPort {
        container: "bt".to_owned(),
        transport: Transport::Tcp,
        host: host.parse().unwrap(),
        port: Port::fixed(6000),
        inner: Port::fixed(80),
        addresses: ["172.18.0.2".parse().unwrap()].into(),
        networks: [network.to_owned()].into(),
    };
    Event::Published(["0.0.0.0", "::"].map(port).into())
}

#[test]
fn no_port_of_a_network_is_open_before_docker_names_its_networks_or_while_it_is_cut_off() {
    let networks = || vec![network("front", "bridge", "br-a"), network("db", "bridge", "br-b")];
    let entry = "forwarded = [{ protocol = \"tcp\", port = 6000, to = \"bt:80\" }]";
    let config = format!("[docker]\nnetworks = {{ db = \"none\", lan = \"lan\" }}\n{entry}\n");
    let open = |machine: &Machine| {
        let situation = machine.situation();
        (situation.forwarded.len(), situation.published.len())
    };
    let mut machine = machine(&config);
    machine.step(publishes("front"), 0);
    assert_eq!(open(&machine), (0, 0), "the networks are not known");
    machine.step(view(networks()), 0);
    assert_eq!(open(&machine), (1, 1), "the tunnel has no IPv6, so docker-proxy serves the LAN alone");
    machine.step(publishes("db"), 0);
    assert_eq!(open(&machine), (0, 0), "a network that is cut off");
    machine.step(publishes("unknown"), 0);
    assert_eq!(open(&machine).0, 0, "a network that Docker has not named");
    // The same bridge with another access is cut off too.
    machine.step(publishes("front"), 0);
    machine.step(view(vec![network("front", "bridge", "br-a"), network("db", "bridge", "br-a")]), 0);
    assert_eq!(open(&machine), (0, 0));
    machine.step(view(vec![network("front", "bridge", "br-a"), network("lan", "bridge", "br-b")]), 0);
    machine.step(publishes("lan"), 0);
    assert_eq!(open(&machine), (0, 1), "the LAN reaches it, the tunnel does not");
    let fault = |machine: &Machine| machine.docker().unwrap().forwarded[0].fault;
    assert_eq!(fault(&machine), Some(ForwardedFault::OtherNetwork));
    machine.step(publishes("front"), 0);
    assert_eq!(open(&machine), (1, 1));
    assert_eq!(fault(&machine), Some(ForwardedFault::NoTunnel), "no VPN protects");
    machine.step(Event::Docker(None), 0);
    assert_eq!(open(&machine), (0, 0));
}

/// The rules of a chain at the end of FORWARD that name Docker's bridges.
fn last(machine: &Machine, chain: &str) -> Vec<String> {
    let of_others =
        |rule: &str| ["virbr+", "lxcbr+", "lxdbr+", "incusbr+"].iter().any(|name| rule.contains(name));
    let mut rules = rules(machine);
    rules.retain(|rule| rule.starts_with(&format!("-A {chain} ")) && !of_others(rule));
    rules.iter().map(|rule| rule.replace(&format!("-A {chain} "), "")).collect()
}

/// The rules of `DOCKER_VPN_IPV6`, the last chain in ip6tables' FORWARD.
fn last_in_ipv6(machine: &Machine) -> Vec<String> {
    last(machine, "DOCKER_VPN_IPV6")
}

#[test]
fn ipv4_is_opened_for_the_bridges_of_a_docker_with_rules_in_nf_tables() {
    let config = "docker.bridges = [\"docker0\", \"docker_gwbridge\", \"br-+\"]\n";
    let mut machine = machine(config);
    let last = |machine: &Machine| last(machine, "DOCKER_VPN_IPV4");
    let with = |backend, networks: Vec<DockerNetwork>| {
        Event::Docker(Some(DockerView { version: "29.0.0".to_owned(), backend, networks }))
    };
    let networks = || {
        let internal = DockerNetwork { internal: true, ..network("inner", "bridge", "br-b") };
        vec![network("a", "bridge", "br-a"), internal, network("card", "bridge", "eth0")]
    };
    for backend in [DockerBackend::Iptables, DockerBackend::Unknown] {
        machine.step(with(backend, networks()), 0);
        assert_eq!(last(&machine), [""; 0], "{backend:?}");
    }
    machine.step(with(DockerBackend::Nftables, networks()), 0);
    let open = [
        "-i br-a -o br-a -j ACCEPT",
        "-i br-a -o tun+ -j ACCEPT",
        "-i tun+ -o br-a -m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -j ACCEPT",
        "-i br-b -o br-b -j ACCEPT",
    ];
    assert_eq!(last(&machine), open);
    machine.step(with(DockerBackend::Iptables, networks()), 0);
    assert_eq!(last(&machine), [""; 0], "Docker has its rules in iptables again");
}

#[test]
fn ipv6_is_opened_for_no_bridge_but_those_that_docker_gives_it() {
    let with_ipv6 =
        |name, bridge, internal| DockerNetwork { internal, ipv6: true, ..network(name, "bridge", bridge) };
    let inside = |bridge: &str| format!("-i {bridge} -o {bridge} -j ACCEPT");
    let out = |bridge: &str| {
        let answers =
            format!("-i tun+ -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -j ACCEPT");
        [inside(bridge), format!("-i {bridge} -o tun+ -j ACCEPT"), answers]
    };
    let mut machine = machine("docker.networks = { named = \"lan\" }\n");
    assert_eq!(last_in_ipv6(&machine), [""; 0], "before Docker has answered");

    for card in ["eth0", "tun0", "lo", "br-card", "br-gone"] {
        machine.step(view(vec![with_ipv6("a", card, false)]), 0);
        assert_eq!(last_in_ipv6(&machine), [""; 0], "{card} is no bridge of containers");
    }
    machine.step(view(vec![network("v4", "bridge", "docker0"), with_ipv6("a", "br-a", false)]), 0);
    assert_eq!(last_in_ipv6(&machine), out("br-a"));
    machine.step(Event::Docker(None), 0);
    assert_eq!(last_in_ipv6(&machine), out("br-a"), "containers outlive Docker");

    machine.step(view(vec![with_ipv6("a", "br-a", true), with_ipv6("named", "br-b", false)]), 0);
    assert_eq!(last_in_ipv6(&machine), [inside("br-a"), inside("br-b")], "no tunnel for these");
    let twice = [with_ipv6("a", "br-a", false), with_ipv6("b", "br-a", true)];
    machine.step(view(twice.to_vec()), 0);
    assert_eq!(last_in_ipv6(&machine), [inside("br-a")], "the strictest word counts");
    let twice = [with_ipv6("a", "br-a", false), network("b", "bridge", "br-a")];
    machine.step(view(twice.to_vec()), 0);
    assert_eq!(last_in_ipv6(&machine), [inside("br-a")], "the strictest word counts");
}
