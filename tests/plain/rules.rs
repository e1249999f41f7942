//! Snapshots of every rule of every state. A reviewer sees each change of a rule here.

#![expect(clippy::unwrap_used, reason = "a fixture that cannot be read is a failed test")]

use std::collections::BTreeSet;
use std::net::IpAddr;

use tunwarden::config::Config;
use tunwarden::net::{Endpoint, Family, LanPrefix};
use tunwarden::policy::iptables::render_fresh;
use tunwarden::policy::{Owners, nftables, ruleset};
use tunwarden::vpn::{
    Allowance, PauseScope, Situation, State, Tunnel, TunnelAddress, TunnelSource, Uplink, Wire,
};

/// A machine on a LAN, with a card that has a tunnel's name and a bridge that has a container bridge's name.
fn situation(state: State) -> Situation {
    let prefixes = ["10.0.0.0/24", "fd00:0:0:1::/64", "fe80::/10"];
    Situation {
        state,
        bootstrap: Allowance {
            endpoints: [(SERVER, &[][..]), ("[2001:db8:7::7]:1194/udp", &[]), ("198.51.100.8:443/tcp", &[])]
                .map(endpoint)
                .into(),
            ..Allowance::default()
        },
        uplinks: vec![Uplink {
            interface: "eth0".parse().unwrap(),
            addresses: ["10.0.0.2", "fd00:0:0:1::2"].map(|own| own.parse().unwrap()).to_vec(),
            prefixes: prefixes.map(|prefix| prefix.parse::<LanPrefix>().unwrap()).to_vec(),
            on_link: ["2001:db8:1::/64", "fd00:0:0:1::/64"].map(|net| net.parse().unwrap()).to_vec(),
        }],
        wires: vec![
            Wire { interface: "eth0".parse().unwrap(), index: 2 },
            Wire { interface: "tunusb0".parse().unwrap(), index: 3 },
        ],
        shut_out: ["br-lan", "tunusb0"].map(|name| name.parse().unwrap()).to_vec(),
        ..Situation::default()
    }
}

const SERVER: &str = "198.51.100.7:1194/udp";

/// An endpoint and the further users that may reach it.
fn endpoint((text, users): (&str, &[u32])) -> (Endpoint, BTreeSet<u32>) {
    (text.parse().unwrap(), users.iter().copied().collect())
}

fn with_tunnel(mut situation: Situation) -> Situation {
    let addresses: Vec<IpAddr> = ["10.8.0.2", "fd08::2"].map(|own| own.parse().unwrap()).to_vec();
    let interface: tunwarden::net::IfName = "tun0".parse().unwrap();
    situation.bootstrap.endpoints = [endpoint((SERVER, &[65534]))].into();
    situation.tunnel_addresses =
        addresses.iter().map(|&address| TunnelAddress { interface: interface.clone(), address }).collect();
    situation.tunnels.push(Tunnel {
        interface,
        addresses,
        carrying: true,
        endpoint: Some(SERVER.parse().unwrap()),
        source: TunnelSource::NetworkManager,
        name: "lab".to_owned(),
        since: 0,
    });
    situation
}

/// The rules of both families for a configuration and a situation, for root and one user of the VPN client.
fn shown(config: &str, situation: &Situation) -> String {
    let config = Config::parse(config, "test.toml").unwrap();
    let owners: Owners = [0, 113].into();
    let rules = ruleset(&config, &owners, situation);
    let of = |family| render_fresh(&rules, family);
    let (v4, v6, nft) = (of(Family::V4), of(Family::V6), nftables::render_fresh(&rules));
    format!("# iptables-restore\n{v4}\n# ip6tables-restore\n{v6}\n# nft\n{nft}")
}

#[test]
fn locked_lets_root_reach_the_known_servers() {
    insta::assert_snapshot!("locked", shown("", &situation(State::Locked)));
}

#[test]
fn locked_with_nothing_known_lets_root_reach_the_port_anywhere() {
    let mut situation = situation(State::Locked);
    situation.bootstrap = Allowance { any: true, ..Allowance::default() };
    insta::assert_snapshot!("locked_unknown", shown("", &situation));
}

#[test]
fn connecting_is_narrowed_to_the_profiles_servers() {
    let mut situation = situation(State::Connecting);
    situation.bootstrap.endpoints = [endpoint((SERVER, &[65534]))].into();
    insta::assert_snapshot!("connecting", shown("", &situation));
}

#[test]
fn protected_lets_out_to_the_endpoint_in_use_alone() {
    insta::assert_snapshot!("protected", shown("", &with_tunnel(situation(State::Protected))));
}

#[test]
fn protected_by_a_named_connection_lets_its_tunnel_alone_carry() {
    let mut situation = with_tunnel(situation(State::Protected));
    situation.named_tunnels = Some(vec!["tun0".parse().unwrap()]);
    insta::assert_snapshot!("protected_named", shown("[vpn]\nconnections = [\"lab\"]", &situation));
}

#[test]
fn lost_is_as_locked() {
    let (lost, locked) = (situation(State::Lost), situation(State::Locked));
    // Only the reason in the log lines differs.
    assert_eq!(shown("", &lost).replace("vpn-lost", "no-vpn"), shown("", &locked));
    insta::assert_snapshot!("lost", shown("", &lost));
}

#[test]
fn paused_opens_until_a_moment_that_the_kernel_watches() {
    let mut situation = with_tunnel(situation(State::Paused));
    situation.paused_from = Some("2030-01-02T02:04:05Z".parse().unwrap());
    situation.paused_until = Some("2030-01-02T03:04:05Z".parse().unwrap());
    insta::assert_snapshot!("paused", shown("", &situation));
}

#[test]
fn paused_for_a_portal_opens_names_and_web_pages_of_the_host_alone() {
    let mut situation = situation(State::Paused);
    situation.paused_from = Some("2030-01-02T02:04:05Z".parse().unwrap());
    situation.paused_until = Some("2030-01-02T03:04:05Z".parse().unwrap());
    situation.pause_scope = PauseScope::Portal;
    let closed = shown("", &situation);
    situation.portal_uplinks = vec!["wlan0".parse().unwrap()];
    let open = shown("", &situation);
    assert!(closed.lines().all(|line| !line.contains("-m time")), "no way out, nothing to open");
    let opened: Vec<&str> = open.lines().filter(|line| !closed.lines().any(|other| other == *line)).collect();
    insta::assert_snapshot!("portal", opened.join("\n"));
    // Both families of iptables, of nftables, and of the egress hook.
    assert_eq!(open.lines().count(), closed.lines().count() + 6 * 4, "and nothing else is another");
}

#[test]
fn every_key_of_the_configuration_narrows_or_names() {
    let config = "
        [tunnel]
        allow = [{ protocol = \"tcp\", ports = [443, \"6000-6007\"] }, { protocol = \"icmp\" }]
        [lan]
        networks = [\"192.168.0.0/16\"]
        multicast = false
        [input]
        allow = [{ protocol = \"tcp\", ports = [22], from = \"192.168.0.0/16\" }]
        [docker]
        allow = [{ protocol = \"tcp\", ports = [443] }]
        published_ports = \"none\"
    ";
    insta::assert_snapshot!("configured", shown(config, &situation(State::Locked)));
}
