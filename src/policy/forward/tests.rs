//! The rules of networks that have the LAN, or nothing, instead of the tunnel.

use crate::config::{Access, Config};
use crate::net::{Family, Port, Transport};
use crate::policy::iptables::render_fresh;
use crate::policy::{Owners, ruleset};
use crate::vpn::{Forwarded, ForwardedTo, NetworkAccess, Situation, Uplink};

fn situation() -> Situation {
    let network = |bridge: &str, access| NetworkAccess { bridge: bridge.parse().unwrap(), access };
    let prefixes = ["10.0.0.0/24", "fe80::/10"].map(|prefix| prefix.parse().unwrap()).to_vec();
    Situation {
        uplinks: vec![Uplink {
            interface: "tunusb0".parse().unwrap(),
            addresses: Vec::new(),
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

#[test]
fn a_forwarded_port_comes_from_the_tunnel_after_every_link_that_is_shut_out() {
    let to = |to| Forwarded { transport: Transport::Udp, port: Port::fixed(6000), to };
    let container = |address: &str| ForwardedTo::Container(address.parse().unwrap(), Port::fixed(51413));
    let forwarded = vec![to(container("172.17.0.2")), to(container("fd00:d0c::2")), to(ForwardedTo::Proxy)];
    let situation = Situation { forwarded, ..situation() };
    let all = |family| {
        let ruleset = ruleset(&Config::default(), &Owners::from([0]), &situation);
        render_fresh(&ruleset, family).lines().map(ToOwned::to_owned).collect::<Vec<String>>()
    };
    for (family, address) in [(Family::V4, "172.17.0.2/32"), (Family::V6, "fd00:d0c::2/128")] {
        let rules = all(family);
        let ours: Vec<&str> =
            rules.iter().filter(|rule| rule.contains(" 6000")).map(String::as_str).collect();
        let tracked = "-m conntrack --ctstate DNAT --ctorigdstport 6000 --ctdir";
        let chain = "-A DOCKER_VPN_KILL_SWITCH";
        let forward = [
            format!(
                "{chain} -d {address} -i tun+ -p udp -m udp --dport 51413 {tracked} ORIGINAL -g DOCKER_VPN_BRIDGES"
            ),
            format!("{chain} -s {address} -o tun+ -p udp -m udp --sport 51413 {tracked} REPLY -j RETURN"),
        ];
        let tables: Vec<&str> = ours.iter().copied().filter(|rule| rule.starts_with(chain)).collect();
        assert_eq!(tables, [&forward[..], &forward[..]].concat(), "in filter and in mangle");
        let host: Vec<&str> = ours.iter().copied().filter(|rule| !rule.starts_with(chain)).collect();
        let answer = "-A VPN_TUNNEL -o tun+ -p udp -m udp --sport 6000 -m conntrack --ctstate ESTABLISHED --ctdir REPLY";
        let expected = [
            format!("{answer} -j ACCEPT"),
            "-A RELATED_AND_ESTABLISHED -i tunusb0 -p udp -m udp --dport 6000 -j DROP".to_owned(),
            "-A RELATED_AND_ESTABLISHED -i tun+ -p udp -m udp --dport 6000 -j ACCEPT".to_owned(),
        ];
        assert_eq!(
            host,
            if family == Family::V6 { &expected[..] } else { &[] },
            "docker-proxy serves IPv6 alone"
        );
        let place = |text: &str| rules.iter().position(|rule| rule.starts_with(text)).unwrap();
        let shut = place("-A DOCKER_VPN_KILL_SWITCH -i tunusb0 -j DROP");
        assert!(place("-A DOCKER_VPN_KILL_SWITCH -i br-none -j DROP") < shut && shut < place(&forward[0]));
    }
}
