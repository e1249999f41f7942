//! The rules of networks that have the LAN, or nothing, instead of the tunnel.

use crate::config::{Access, Config};
use crate::net::{Family, Port, Transport};
use crate::policy::iptables::render_fresh;
use crate::policy::{Owners, ruleset};
use crate::vpn::{Forwarded, ForwardedTo, NetworkAccess, Situation, TunnelAddress, Uplink};

fn situation() -> Situation {
    let network = |bridge: &str, access| NetworkAccess { bridge: bridge.parse().unwrap(), access };
    let prefixes = ["10.0.0.0/24", "fe80::/10"].map(|prefix| prefix.parse().unwrap()).to_vec();
    Situation {
        uplinks: vec![Uplink {
            interface: "tunusb0".parse().unwrap(),
            addresses: ["10.0.0.2", "10.9.0.9", "fe80::2", "fd00::2"]
                .map(|own| own.parse().unwrap())
                .to_vec(),
            prefixes,
            on_link: Vec::new(),
        }],
        shut_out: vec!["tunusb0".parse().unwrap()],
        networks: vec![network("br-lan", Access::Lan), network("br-none", Access::None)],
        ..Situation::default()
    }
}

fn mangle(config: &str, family: Family) -> String {
    let config = Config::parse(config, "config.toml").unwrap();
    let ruleset = ruleset(&config, &Owners::from([0]), &situation());
    let text = render_fresh(&ruleset, family);
    let (filter, mangle) = text.split_once("*mangle\n").unwrap();
    let forwarded = |text: &str| {
        let ours = text.lines().filter(|line| line.starts_with("-A DOCKER_VPN"));
        ours.map(ToOwned::to_owned).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(forwarded(filter), forwarded(mangle), "the two tables say the same");
    forwarded(mangle)
}

const NAMED: &str = "docker = { bridges = [\"br-+\"], networks = { l = \"lan\", n = \"none\" } }\n";

#[test]
fn a_network_without_the_tunnel_has_the_lan_or_nothing() {
    insta::assert_snapshot!(mangle(NAMED, Family::V4));
    insta::assert_snapshot!(mangle(NAMED, Family::V6));
}

#[test]
fn without_a_lan_there_is_none_for_containers() {
    let text = mangle(&format!("{NAMED}lan.allow = false\n"), Family::V4);
    let lan: Vec<&str> = text.lines().filter(|line| line.starts_with("-A DOCKER_VPN_LAN")).collect();
    assert!(lan.iter().all(|rule| !rule.ends_with("RETURN")), "{lan:?}");
    let listed = mangle(&format!("{NAMED}lan.networks = [\"192.168.0.0/16\"]\n"), Family::V4);
    assert!(listed.contains("-A DOCKER_VPN_LAN -d 192.168.0.0/16 -o tunusb0 -j RETURN"), "{listed}");
}

/// Two tunnels, of which the second one may carry nothing, with forwarded ports.
fn with_tunnels() -> Situation {
    let to = |to| Forwarded { transport: Transport::Udp, port: Port::fixed(6000), to };
    let container = |address: &str| ForwardedTo::Container(address.parse().unwrap(), Port::fixed(51413));
    let own = [("tun0", "10.8.0.2"), ("tun0", "fd08::2"), ("tun0", "fe80::8"), ("tun1", "10.9.0.9")];
    let own = own.map(|(interface, address)| TunnelAddress {
        interface: interface.parse().unwrap(),
        address: address.parse().unwrap(),
    });
    Situation {
        forwarded: vec![to(container("172.17.0.2")), to(container("fd00:d0c::2")), to(ForwardedTo::Proxy)],
        tunnel_addresses: own.to_vec(),
        named_tunnels: Some(vec!["tun0".parse().unwrap()]),
        ..situation()
    }
}

/// The rules of the chains that judge a connection which comes out of a tunnel, and its answers.
fn of_chain(family: Family, chain: &str) -> Vec<String> {
    let input = "input.allow = [{ protocol = \"tcp\", ports = [22], on = \"tunnel\" }]";
    let config = Config::parse(input, "config.toml").unwrap();
    let text = render_fresh(&ruleset(&config, &Owners::from([0]), &with_tunnels()), family);
    let (filter, mangle) = text.split_once("*mangle\n").unwrap();
    let own = |text: &str| {
        let rules = text.lines().filter_map(|line| line.strip_prefix(&format!("-A {chain} ")));
        rules.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    if chain.starts_with("DOCKER") {
        assert_eq!(own(filter), own(mangle), "in filter and in mangle");
    }
    own(filter)
}

#[test]
fn a_connection_out_of_a_tunnel_begins_at_its_own_address_and_is_answered_into_it_alone() {
    for (family, container, own, lan, card) in [
        (Family::V4, "172.17.0.2/32", "10.8.0.2", "10.0.0.0/24", "10.0.0.2"),
        (Family::V6, "fd00:d0c::2/128", "fd08::2", "fe80::/10", "fe80::2"),
    ] {
        let rules = of_chain(family, "DOCKER_VPN_KILL_SWITCH");
        let tracked: Vec<&str> = rules
            .iter()
            .filter(|rule| rule.contains("conntrack") && !rule.contains("NFLOG"))
            .map(String::as_str)
            .collect();
        let dnat = |address: &str, port: &str, way: &str| {
            format!("-m conntrack --ctstate DNAT --ctorigdst {address}{port} --ctdir {way}")
        };
        let (ask, answer) = (dnat(card, "", "ORIGINAL"), dnat(card, "", "REPLY"));
        let port = " --ctorigdstport 6000";
        let (forward, back) = (dnat(own, port, "ORIGINAL"), dnat(own, port, "REPLY"));
        let mut expected = vec![format!("! -i tun0 {} -j DROP", dnat(own, "", "ORIGINAL"))];
        if family == Family::V4 {
            expected.push(format!("! -i tun1 {} -j DROP", dnat("10.9.0.9", "", "ORIGINAL")));
        }
        expected.extend([
            format!("-s {lan} -i tunusb0 {ask} -g DOCKER_VPN_BRIDGES"),
            format!("-d {lan} -o tunusb0 {answer} -j RETURN"),
            format!("-d {container} -i tun0 -p udp -m udp --dport 51413 {forward} -g DOCKER_VPN_BRIDGES"),
            format!("-s {container} -o tun0 -p udp -m udp --sport 51413 {back} -j RETURN"),
            "-i tun0 -m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -g DOCKER_VPN_BRIDGES"
                .to_owned(),
        ]);
        assert_eq!(tracked, expected);
        let place = |text: &str| rules.iter().position(|rule| rule == text).unwrap();
        let shut = place("-i tunusb0 -j DROP");
        assert!(place("-i br-none -j DROP") < shut && shut < place(&expected[expected.len() - 3]));
    }
}

#[test]
fn what_comes_out_of_a_tunnel_for_the_host_is_for_its_address_and_never_from_the_lan() {
    let ssh = |own: &str| format!("-d {own} -i tun0 -p tcp -m tcp --dport 22 -j ACCEPT");
    let before = |tunnel: &str| {
        format!("-i {tunnel} -m conntrack --ctstate RELATED,ESTABLISHED --ctdir ORIGINAL -j DROP")
    };
    let proxy = "-d fd08::2/128 -i tun0 -p udp -m udp --dport 6000 -j ACCEPT".to_owned();
    for (family, chain, expected) in [
        (
            Family::V4,
            "VPN_TUNNEL_ADDRESS",
            vec![
                "-d 10.8.0.2/32 ! -i tun0 -j DROP".to_owned(),
                "-d 10.9.0.9/32 ! -i tun1 -j DROP".to_owned(),
                "-s 10.0.0.0/24 -i tun0 -j DROP".to_owned(),
                "-s 10.0.0.0/24 -i tun1 -j DROP".to_owned(),
                ssh("10.8.0.2/32"),
                before("tun0"),
                before("tun1"),
            ],
        ),
        (
            Family::V6,
            "VPN_TUNNEL_ADDRESS",
            vec![
                "-d fd08::2/128 ! -i tun0 -j DROP".to_owned(),
                "-d fe80::8/128 ! -i tun0 -j DROP".to_owned(),
                ssh("fd08::2/128"),
                proxy.clone(),
                ssh("fe80::8/128"),
                proxy.replace("fd08::2", "fe80::8"),
                before("tun0"),
            ],
        ),
        (Family::V4, "VPN_LAN", ["10.8.0.2", "10.9.0.9"].map(|own| format!("-s {own}/32 -j DROP")).to_vec()),
        (Family::V6, "VPN_LAN", ["fd08::2", "fe80::8"].map(|own| format!("-s {own}/128 -j DROP")).to_vec()),
    ] {
        let mut rules = of_chain(family, chain);
        // Between them are rules that only report.
        rules.retain(|rule| !rule.contains("NFLOG") && !rule.contains("VPN_REFUSED"));
        if chain == "VPN_LAN" {
            // Before every rule that accepts.
            rules.truncate(2);
        }
        assert_eq!(rules, expected, "{chain}");
    }
}
