use super::*;
use crate::setup::configuration;

const HOST: &str = include_str!("../../../tests/data/article-host.sh");
const DOCKER: [&str; 3] = [
    include_str!("../../../tests/data/article-docker.sh"),
    include_str!("../../../tests/data/article-docker-three.sh"),
    include_str!("../../../tests/data/article-docker-ports.sh"),
];

fn read(script: &str) -> Carried {
    let mut carried = Carried::default();
    read_script(script, &mut carried);
    carried
}

fn why(line: &str) -> &'static str {
    let carried = read(line);
    assert_eq!(carried.left.len(), 1, "{line} was taken: {carried:?}");
    assert_eq!(Carried { left: Vec::new(), ..carried.clone() }, Carried::default(), "{line}");
    carried.left[0].why
}

#[test]
fn the_articles_script_is_carried_over_whole() {
    let carried = read(HOST);
    assert_eq!(carried.left, []);
    let mut text = configuration(&carried, &[]);
    for script in DOCKER {
        assert_eq!(read(script).left, [], "{script}");
    }
    let ports = |list: &[&str]| list.iter().map(|port| super::ports(port).unwrap()).collect::<Vec<_>>();
    let expected = vec![
        TrafficRule::Ports(Transport::Tcp, ports(&["443", "80", "22", "53"])),
        TrafficRule::Ports(Transport::Udp, ports(&["123"])),
        TrafficRule::Icmp,
    ];
    assert_eq!(carried.tunnel, Some(Traffic::Listed(expected)));
    assert_eq!(carried.ports, [(Transport::Udp, Port::fixed(1194))]);
    assert_eq!(carried.lan, ["10.0.0.0/8".parse().unwrap()]);
    assert_eq!(read(DOCKER[0]).docker, Some(Traffic::Any));
    assert!(matches!(read(DOCKER[2]).docker, Some(Traffic::Listed(_))));

    let config = crate::config::Config::parse(&text, "init.toml").unwrap();
    assert_eq!(Some(&config.tunnel.allow), carried.tunnel.as_ref());
    assert_eq!(config.bootstrap.ports, carried.ports);
    // The article's own page has the same script with its comments around it.
    text = HOST.lines().map(|line| format!("#allow this\n  {line}\n\n#{line}\n")).collect();
    assert_eq!(read(&text), carried);
}

#[test]
fn a_users_own_additions_are_carried_over() {
    let carried = read(
        "#!/bin/bash
        sudo iptables -A OUTPUT_VPN_KILL_SWITCH -o tun+ -p tcp --dport 993 -j ACCEPT #port 993, enable for IMAPS
        /sbin/iptables -A OUTPUT_VPN_KILL_SWITCH -o tun+ -p tcp -m multiport --dports 465,6000:6007 -j ACCEPT
        iptables -A INPUT -s 192.168.1.0/24 -p tcp -m tcp --dport 22 -j ACCEPT
        iptables -A OUTPUT_VPN_KILL_SWITCH -d 198.51.100.7 -p udp --dport 443 -j ACCEPT
        iptables -A OUTPUT -d 192.168.1.0/24 -j ACCEPT
        iptables -A OUTPUT_VPN_KILL_SWITCH -o wg0 -j ACCEPT",
    );
    assert_eq!(carried.left, []);
    assert_eq!(carried.tunnel, Some(Traffic::Any), "all of it comes last");
    assert_eq!(carried.interfaces.len(), 2);
    let config = configuration(&carried, &["said".to_owned()]);
    let config = crate::config::Config::parse(&config, "init.toml").unwrap();
    assert_eq!(config.bootstrap.servers, ["198.51.100.7:443/udp".parse().unwrap()]);
    assert_eq!(config.input.allow, carried.input);
    assert_eq!(config.lan.networks, crate::config::Networks::Listed(carried.lan));
}

#[test]
fn what_no_configuration_says_is_shown_and_left_alone() {
    for line in [
        "rm -rf /",
        "iptables -A OUTPUT -p udp --dport $PORT -j ACCEPT",
        "iptables -A OUTPUT -o tun+ -j ACCEPT; curl http://example.com",
        "for port in 1 2; do",
        "iptables -A OUTPUT -j ACCEPT",
        "iptables -A OUTPUT -o eth0 -j ACCEPT",
        "iptables -A OUTPUT -p tcp --dport 443 -j ACCEPT",
        "iptables -A OUTPUT -p udp --dport 53 -j ACCEPT",
        "iptables -A OUTPUT -p udp --dport 1:65535 -j ACCEPT",
        "iptables -A OUTPUT -d 203.0.113.0/24 -j ACCEPT",
        "iptables -A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
        "iptables -A OUTPUT -m owner --uid-owner 1000 -j ACCEPT",
        "iptables -A OUTPUT -d 192.168.1.5 -j LOG",
        "iptables -A INPUT -j ACCEPT",
        "iptables -A INPUT -p tcp -j ACCEPT",
        "iptables -A MINE -o tun+ -j ACCEPT",
        "iptables -t nat -A POSTROUTING -o tun+ -j MASQUERADE",
        "iptables -A OUTPUT -o",
        "iptables -A OUTPUT -o ../../x -j ACCEPT",
    ] {
        assert!(!why(line).is_empty());
    }
    assert_eq!(read("iptables -F\niptables -t nat -X\niptables -P OUTPUT DROP"), Carried::default());
    let long = format!("iptables {}\n", "-A ".repeat(10)).repeat(3000);
    assert!(read(&long).left.len() <= MAX_LINES);
}
