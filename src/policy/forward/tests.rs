//! The rules of networks that have the LAN, or nothing, instead of the tunnel.

use crate::config::{Access, Config};
use crate::net::Family;
use crate::policy::iptables::render_fresh;
use crate::policy::{Owners, ruleset};
use crate::vpn::{NetworkAccess, Situation, Uplink};

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
