//! Tests that start with a script and end with the configuration. The rules are ones that users really have.

use proptest::prelude::*;

use super::*;
use crate::config::{Config, Inbound, InboundOn, Traffic, TrafficRule};
use crate::net::{Port, PortRange, Transport};
use crate::vpn::{Link, LinkKind, LinkTable};

const HOST: &str = include_str!("../../tests/data/article-host.sh");
const DOCKER: [&str; 3] = [
    include_str!("../../tests/data/article-docker.sh"),
    include_str!("../../tests/data/article-docker-three.sh"),
    include_str!("../../tests/data/article-docker-ports.sh"),
];
const HEAD: &str = "iptables -A OUTPUT_VPN_KILL_SWITCH -p udp -m udp --dport 1194 -j ACCEPT\n";

fn source(text: &str) -> Vec<Source> {
    vec![Source { name: "/x.sh".to_owned(), text: text.to_owned() }]
}

fn read_on(script: &str, machine: &Machine) -> Plan {
    let plan = plan(&source(script), None, machine);
    let text = configuration(&plan, &[]);
    Config::parse(&text, "init.toml").unwrap_or_else(|faults| panic!("{script}\n{text}\n{faults}"));
    plan
}

fn read(script: &str) -> Plan {
    read_on(script, &Machine::default())
}

fn config(script: &str) -> Config {
    Config::parse(&configuration(&read(script), &[]), "init.toml").unwrap()
}

fn results(plan: &Plan) -> Vec<String> {
    let result = |entry: &Entry| match &entry.result {
        RuleResult::Carried(key) => (*key).to_owned(),
        RuleResult::Covered(_) => "=".to_owned(),
        RuleResult::LeftOut(_) => "-".to_owned(),
    };
    plan.entries.iter().map(result).collect()
}

fn ports(list: &[u16]) -> Vec<PortRange> {
    list.iter().map(|port| Port::fixed(*port).into()).collect()
}

fn tcp(list: &[u16]) -> TrafficRule {
    TrafficRule::Ports(Transport::Tcp, ports(list))
}

fn machine(links: &[(&str, LinkKind)]) -> Machine {
    let link = |(index, (name, kind)): (usize, &(&str, LinkKind))| {
        Link::plain(u32::try_from(index).unwrap(), name, *kind)
    };
    let links = LinkTable { links: links.iter().enumerate().map(link).collect(), ..LinkTable::default() };
    Machine { links, ..Machine::default() }
}

#[test]
fn the_articles_scripts_are_carried_over_whole() {
    let carried = read(HOST);
    assert_eq!(carried.left_out().count(), 0, "{:#?}", carried.entries);
    let udp = TrafficRule::Ports(Transport::Udp, ports(&[123]));
    let expected = vec![tcp(&[443, 80, 22, 53]), udp, TrafficRule::Icmp];
    assert_eq!(carried.tunnel, Some(Traffic::Listed(expected)));
    assert_eq!(carried.ports, [(Transport::Udp, Port::fixed(1194))]);
    assert_eq!(carried.lan, ["10.0.0.0/8".parse().unwrap()]);
    for script in DOCKER {
        assert_eq!(read(script).left_out().count(), 0, "{script}");
    }
    assert_eq!(read(DOCKER[0]).docker, Some(Traffic::Any));
    assert!(matches!(read(DOCKER[2]).docker, Some(Traffic::Listed(_))));
    let written = config(HOST);
    assert_eq!(Some(&written.tunnel.allow), carried.tunnel.as_ref());
    assert!(
        written.warnings().iter().any(|warning| warning.text.contains("UDP 53")),
        "check warns the reader"
    );
    // The article's page has the same script with comments between the lines.
    let text: String = HOST.lines().map(|line| format!("#allow this\n  {line}\n\n#{line}\n")).collect();
    let commented = read(&text);
    assert_eq!((&commented.tunnel, &commented.ports), (&carried.tunnel, &carried.ports));
}

#[test]
fn a_rule_that_names_a_card_a_modem_or_a_bridge_makes_no_tunnel() {
    for name in
        ["ppp0", "ppp+", "usb0", "bond0", "team0", "virbr0", "e+", "eth0", "wlan0", "br0", "docker0", "vlan5"]
    {
        let script = format!(
            "iptables -A OUTPUT -o {name} -p udp --dport 1194 -j ACCEPT\niptables -A OUTPUT -o {name} -j ACCEPT\n\
             iptables -A OUTPUT -o tun0 -j ACCEPT\n"
        );
        let plan = read(&script);
        assert_eq!(plan.interfaces, ["tun0".parse().unwrap()], "{name}");
        assert!(!matches!(plan.entries[1].result, RuleResult::Carried(_)), "{:?}", plan.entries);
        let alone = read(&format!("iptables -A OUTPUT -o {name} -j ACCEPT\n"));
        assert!(alone.interfaces.is_empty() && alone.tunnel.is_none(), "{name}");
        let written = Config::parse(&configuration(&alone, &[]), "c").unwrap();
        assert_eq!(written.tunnel.allow, Traffic::Listed(Vec::new()), "{name}");
    }
    // A card can have any name.
    let card = read_on("iptables -A OUTPUT -o tun0 -j ACCEPT", &machine(&[("tun0", LinkKind::Other)]));
    assert_eq!(card.interfaces, []);
}

#[test]
fn a_device_is_a_tunnel_by_its_kind_or_because_the_user_says_so() {
    let script = "iptables -A OUTPUT -o nordlynx -j ACCEPT";
    let unknown = read(script);
    assert_eq!((unknown.tunnel, unknown.questions.len()), (None, 1));
    let by_kind = read_on(script, &machine(&[("nordlynx", LinkKind::WireGuard)]));
    assert_eq!((by_kind.tunnel, by_kind.questions.len()), (Some(Traffic::Any), 0));
    let confirmed = Machine { confirmed: ["nordlynx".to_owned()].into(), ..Machine::default() };
    assert_eq!(read_on(script, &confirmed).interfaces, ["nordlynx".parse().unwrap()]);
    let wireguard = Machine { wireguard: ["wg0".to_owned()].into(), ..Machine::default() };
    assert_eq!(read_on("iptables -A OUTPUT -o wg0 -j ACCEPT", &wireguard).tunnel, Some(Traffic::Any));
    // The kernel reports the same kind for PPPoE as for a tunnel, but PPPoE leads to the provider.
    let provider = read_on("iptables -A OUTPUT -o ppp0 -j ACCEPT", &machine(&[("ppp0", LinkKind::Tunnel)]));
    assert_eq!((provider.tunnel, provider.questions.len()), (None, 1));
}

#[test]
fn rules_to_a_host_are_carried_over_and_never_open_dns() {
    for (rule, result) in [
        ("-d 192.168.1.1 -p udp --dport 53", "-"),
        ("-d 192.168.1.1 -p tcp --dport domain", "-"),
        ("-d 203.0.113.53 -p tcp --dport 853", "-"),
        ("-d 203.0.113.53 -p udp -m multiport --dports 53,853", "-"),
        ("-d 192.168.1.20 -p tcp --dport 9100", "lan (the LAN is open as a whole)"),
        ("-d 192.168.1.30/32 -p tcp --dport 445", "lan (the LAN is open as a whole)"),
        ("-d 192.168.1.0/24", "lan.networks"),
        ("-d 192.168.1.0/255.255.255.0", "lan.networks"),
        ("-o eth0 -d 192.168.1.5/24", "lan.networks"),
        ("-d 203.0.113.80 -p tcp --dport 443", "-"),
        ("-d 203.0.113.80 -p tcp --dport 22", "-"),
        ("-d 203.0.113.80 -p udp --dport 123", "-"),
        ("-d 203.0.113.80 -p udp --dport 1194", "bootstrap.servers"),
        ("-d 203.0.113.80 -p udp --dport openvpn", "bootstrap.servers"),
        ("-d vpn.example.net -p udp --dport 1194", "bootstrap.servers"),
        ("-d 203.0.113.80,203.0.113.81 -p tcp --dport 1194", "bootstrap.servers"),
        ("-d 203.0.113.0/24 -p udp --dport 1194", "-"),
        ("-d 203.0.113.80", "-"),
        ("-p udp --dport 123", "-"),
        ("-p udp --dport 53", "-"),
        ("-p tcp --dport 443", "-"),
        ("-p udp --dport 51820", "bootstrap.ports"),
        ("-p udp --dport 1:65535", "-"),
        ("-m owner --uid-owner 1000 -p udp --dport 1194", "-"),
        ("-m owner --uid-owner root -p udp --dport 1194", "bootstrap.ports"),
        ("! -d 192.168.0.0/16 -p udp --dport 1194", "-"),
        ("-d 255.255.255.255 -p udp --sport 68 --dport 67", "="),
        ("-d 224.0.0.251 -p udp --dport 5353", "="),
        ("-p igmp", "="),
        ("-o lo", "="),
        ("-m conntrack --ctstate ESTABLISHED", "-"),
        ("", "-"),
        ("-o eth0", "-"),
    ] {
        let plan = read(&format!("iptables -A OUTPUT {rule} -j ACCEPT"));
        assert_eq!(results(&plan), [result], "{rule}: {:?}", plan.entries);
        assert!(
            !plan.servers.iter().any(|server| [Some(53), Some(853)].contains(&server.port.map(|p| p.get())))
        );
    }
    assert_eq!(
        config("iptables -A OUTPUT -d 192.168.1.20 -p tcp --dport 9100 -j ACCEPT").lan,
        Default::default()
    );
}

#[test]
fn new_connections_are_not_taken_for_replies() {
    let plan = read(
        "iptables -A INPUT -p tcp --dport 22 -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT
        iptables -A INPUT -s 192.168.1.0/24 -p tcp -m state --state NEW -m tcp --dport 3389 -j ACCEPT
        iptables -A RELATED_AND_ESTABLISHED -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
        iptables -A OUTPUT -o tun+ -p tcp --dport 443 -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT
        iptables -A OUTPUT -o tun+ -p tcp --dport 80 -m state --state NEW,ESTABLISHED -j ACCEPT
        iptables -A OUTPUT -o tun+ -p tcp --dport 22 -j ACCEPT",
    );
    let from = Some("192.168.1.0/24".parse().unwrap());
    let inbound = [
        Inbound { traffic: tcp(&[22]), from: None, on: InboundOn::Any },
        Inbound { traffic: tcp(&[3389]), from, on: InboundOn::Any },
    ];
    assert_eq!(plan.input, inbound);
    assert_eq!(plan.tunnel, Some(Traffic::Listed(vec![tcp(&[443, 80, 22])])));
}

#[test]
fn every_spelling_of_a_rule_is_understood() {
    let expected = Some(Traffic::Listed(vec![tcp(&[80, 443])]));
    for rule in [
        "iptables -A OUTPUT -o tun+ -p tcp -m multiport --dports 80,443 -j ACCEPT",
        "iptables --append OUTPUT --out-interface tun+ --protocol tcp --match multiport --dports 80,443 --jump ACCEPT",
        "iptables --append=OUTPUT --out-interface=tun+ --proto tcp -m multiport --destination-ports 443,80 -jACCEPT",
        "iptables -w 5 -t filter -I OUTPUT 1 -otun+ -ptcp -m multiport --dports http,https -g ACCEPT",
        "sudo iptables-legacy -w -A OUTPUT -o tun+ -p 6 -m multiport --dports 443,80,443 -m comment --comment 'a, b' -j ACCEPT",
        "ip6tables -A OUTPUT -o tun+ -p tcp -s ::/0 -d 0/0 -m multiport --dports www,https -j ACCEPT",
        "iptables -N WEB\niptables -A WEB -p tcp -m multiport --dports 80,443 -j ACCEPT\niptables -A OUTPUT -o tun+ -j WEB",
        "for p in 80 443; do iptables -A OUTPUT -o tun+ -p tcp --dport $p -j ACCEPT; done",
        "iptables-restore <<E\n*filter\n:OUTPUT DROP [0:0]\n-A OUTPUT -o tun+ -p tcp -m multiport --dports 80,443 -j ACCEPT\nCOMMIT\nE",
        "# Generated by iptables-save\n*filter\n:OUTPUT DROP [0:0]\n[1:2] -A OUTPUT -o tun+ -p tcp -m tcp --dport 80 -j ACCEPT\n-A OUTPUT -o tun+ -p tcp -m tcp --dport 443 -j ACCEPT\nCOMMIT\n",
    ] {
        assert_eq!(read(rule).tunnel, expected, "{rule}: {:#?}", read(rule).entries);
    }
    let ranges = read("iptables -A OUTPUT -o tun+ -p udp --dport 1000:2000 -j ACCEPT");
    let range = PortRange::between(Port::fixed(1000), Port::fixed(2000)).unwrap();
    assert_eq!(ranges.tunnel, Some(Traffic::Listed(vec![TrafficRule::Ports(Transport::Udp, vec![range])])));
}

#[test]
fn the_later_tool_and_its_wrapper_are_read() {
    let plan = read(
        "add_rule() { $1; }
        add_rule \"iptables -N RB_OUTPUT_VPN_KILL_SWITCH\"
        add_rule \"iptables -A RB_OUTPUT_VPN_KILL_SWITCH -p udp --dport 1194 -j ACCEPT\"
        add_rule \"iptables -A RB_OUTPUT_VPN_KILL_SWITCH -o tun+ -p tcp --dport 443 -j ACCEPT\"
        add_rule \"iptables -I OUTPUT -j RB_OUTPUT_VPN_KILL_SWITCH\"",
    );
    assert_eq!(plan.tunnel, Some(Traffic::Listed(vec![tcp(&[443])])));
    assert_eq!(plan.left_out().count(), 0);
}

#[test]
fn lines_that_are_not_understood_open_nothing() {
    for script in [
        "while read p; do iptables -A OUTPUT -o tun+ -p tcp --dport $p -j ACCEPT; done < /etc/ports",
        "$FW -A OUTPUT -o tun+ -j ACCEPT",
        "iptables -A OUTPUT -o tun+ -m string --string x --algo bm -j ACCEPT",
        "iptables -A OUTPUT -o tun+ -d vpn.example.net -j ACCEPT",
        "iptables -A OUTPUT -o tun+ ! -d 10.8.0.1 -j ACCEPT",
        "iptables -A OUTPUT -o tun+ -m owner --uid-owner 1000 -j ACCEPT",
        "iptables -A OUTPUT -o tun+ -p icmp --icmp-type echo-request -j ACCEPT",
        "iptables -A OUTPUT -o tun+ -p sctp -j ACCEPT",
        "iptables -A OUTPUT -o tun+ -p tcp ! --dport 25 -j ACCEPT",
        "iptables -A OUTPUT -o tun+ -p tcp --sport 80 -j ACCEPT",
        "iptables -A OUTPUT -o tun+ -p tcp --dport nothing-of-this-name -j ACCEPT",
        "iptables -A OUTPUT -o ../../x -j ACCEPT",
        "if [ -f /x ]; then iptables -A OUTPUT -o tun+ -j ACCEPT; fi",
        "iptables -A MINE -o tun+ -j ACCEPT",
        "iptables -A OUTPUT -o tun+ -j ACCEPT\niptables -F",
        "iptables -A OUTPUT -o tun+ -j ACCEPT\niptables -D OUTPUT -o tun+ -j ACCEPT",
        "iptables -A OUTPUT -o tun+ -p tcp --dport 25 -j DROP\niptables -A OUTPUT -o tun+ -j ACCEPT",
        "iptables -A OUTPUT -d 10.8.0.1 -j REJECT\niptables -A OUTPUT -o tun+ -j ACCEPT",
        "iptables -t nat -A POSTROUTING -o tun+ -j MASQUERADE",
    ] {
        let plan = read(script);
        assert!(plan.found && plan.tunnel.is_none(), "{script}: {:?}", plan.entries);
        assert!(plan.left_out().next().is_some(), "{script}: {:?}", plan.entries);
        let written = config(script);
        assert_eq!(written.tunnel.allow, Traffic::Listed(Vec::new()), "{script}");
        assert!(!written.lan.allow, "{script}: the LAN was shut");
    }
    let nothing = plan(&[], None, &Machine::default());
    assert_eq!(Config::parse(&configuration(&nothing, &[]), "c").unwrap(), Config::default());
}

#[test]
fn a_refusal_that_comes_later_or_on_another_interface_removes_nothing() {
    for script in [
        "iptables -A OUTPUT -o tun+ -j ACCEPT\niptables -A OUTPUT -j DROP",
        "iptables -A OUTPUT ! -o tun+ -j DROP\niptables -A OUTPUT -o tun+ -j ACCEPT",
        "iptables -A OUTPUT -m state --state INVALID -j DROP\niptables -A OUTPUT -o tun+ -j ACCEPT",
        "iptables -A OUTPUT -o eth0 -p udp --dport 53 -j DROP\niptables -A OUTPUT -o tun+ -j ACCEPT",
        "iptables -A OUTPUT -j DROP\niptables -I OUTPUT -o tun+ -j ACCEPT",
        "iptables -A OUTPUT -o eth0 -p udp --dport 1194 -j ACCEPT\niptables -A OUTPUT -o eth0 -j DROP",
        "iptables -P OUTPUT ACCEPT\niptables -A OUTPUT ! -o tun0 -m owner --uid-owner bob -j REJECT",
    ] {
        assert_eq!(read(script).tunnel, Some(Traffic::Any), "{script}: {:#?}", read(script).entries);
    }
    assert_eq!(read("iptables -I DOCKER-USER -o eth0 -j DROP").docker, Some(Traffic::Any));
    assert_eq!(config("iptables -I DOCKER-USER -j DROP").docker.allow, Traffic::Listed(Vec::new()));
}

#[test]
fn each_rule_has_one_line_and_one_result() {
    let line = "iptables -A INPUT -s 192.168.1.0/24 -p tcp --dport 22 -j ACCEPT\n";
    let twice = read(&format!("{HEAD}{line}{line}"));
    assert_eq!((twice.input.len(), twice.entries.len()), (1, 2), "{:#?}", twice.entries);
    let two = [("/a.sh", line), ("/b.sh", line)];
    let two = two.map(|(name, text)| Source { name: name.to_owned(), text: text.to_owned() });
    assert_eq!(plan(&two, None, &Machine::default()).input.len(), 1);
    let all = read("iptables -A INPUT -s 192.168.1.0/24 -j ACCEPT");
    assert_eq!(all.input.len(), 3, "TCP, UDP and ICMP");
    for open in [
        "iptables -A INPUT -j ACCEPT",
        "iptables -A INPUT -p tcp -j ACCEPT",
        "iptables -A INPUT -i tun0 -p tcp --dport 22 -j ACCEPT",
    ] {
        assert_eq!(results(&read(open)), ["-"], "{open}");
    }
    let cards = machine(&[("eth0", LinkKind::Other), ("wlan0", LinkKind::Other)]);
    let one_card = "iptables -A INPUT -i eth0 -p tcp --dport 22 -j ACCEPT";
    assert_eq!(results(&read_on(one_card, &cards)), ["-"], "it would open Wi-Fi too");
    assert_eq!(results(&read_on(one_card, &machine(&[("eth0", LinkKind::Other)]))), ["input.allow"]);
}

#[test]
fn the_scripts_rules_are_compared_with_the_kernel() {
    let script = format!(
        "{HEAD}iptables -A OUTPUT_VPN_KILL_SWITCH -o tun+ -p tcp --dport 443 -j ACCEPT\n\
         if [ -f /x ]; then iptables -A OUTPUT_VPN_KILL_SWITCH -o tun+ -p tcp --dport 22 -j ACCEPT; fi\n\
         iptables -I OUTPUT -j OUTPUT_VPN_KILL_SWITCH\n"
    );
    let kernel = "*filter\n:INPUT DROP [0:0]\n:OUTPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT_VPN_KILL_SWITCH - [0:0]\n\
        -A OUTPUT -j OUTPUT_VPN_KILL_SWITCH\n-A FORWARD -i docker0 -o eth0 -j ACCEPT\n\
        -A OUTPUT_VPN_KILL_SWITCH -p udp -m udp --dport 1194 -j ACCEPT\n\
        -A OUTPUT_VPN_KILL_SWITCH -o tun+ -p tcp -m tcp --dport 22 -j ACCEPT\n\
        -A OUTPUT_VPN_KILL_SWITCH -o tun+ -p tcp -m tcp --dport 993 -j ACCEPT\nCOMMIT\n";
    let with = |ipv4| plan(&source(&script), Some(Kernel { ipv4, ipv6: "" }), &Machine::default());
    let held = with(kernel);
    assert_eq!(held.tunnel, Some(Traffic::Listed(vec![tcp(&[443, 22, 993])])), "{:#?}", held.entries);
    assert_eq!(held.differences.len(), 2, "{:?}", held.differences);
    assert!(held.differences[0].contains("not in the kernel") && held.differences[0].contains("443"));
    assert!(held.differences[1].contains("in no script") && held.differences[1].contains("993"));
    let empty = with(
        "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 5 -j ACCEPT\nCOMMIT\n",
    );
    assert!(empty.differences[0].contains("holds none of the rules"), "{:?}", empty.differences);
    // The script has not run since the last boot.
    assert!(with("").differences[0].contains("holds none of the rules"), "{:?}", with("").differences);
    assert_eq!(empty.tunnel, Some(Traffic::Listed(vec![tcp(&[443])])), "a condition that nobody evaluated");
}

proptest! {
    /// The configuration is valid for any rules.
    #[test]
    fn every_plan_makes_a_valid_configuration(words in prop::collection::vec(prop::sample::select(vec![
        "-A", "-I", "-D", "-P", "-F", "OUTPUT", "INPUT", "DOCKER-USER", "X", "-o", "-i", "tun+", "eth0", "wg0", "-s",
        "-d", "192.168.1.0/24", "203.0.113.9", "0/0", "::1", "-p", "tcp", "udp", "icmp", "--dport", "443", "1:0",
        "0", "65536", "53,853", "http", "-m", "multiport", "--dports", "80,443", "-j", "ACCEPT", "DROP", "!",
        "--ctstate", "NEW", "--", "-", "\niptables", "\niptables -A OUTPUT -o tun+", "\niptables -A INPUT -s 10.0.0.0/8",
    ]), 0..80)) {
        read(&format!("iptables {}", words.join(" ")));
    }
}

#[test]
fn what_ufw_lets_out_is_read_where_it_refuses_the_rest() {
    let user = "-A ufw-user-output -o tun0 -p tcp -m tcp --dport 443 -j ACCEPT\n\
        -A ufw-user-output -d 198.51.100.7/32 -p udp -m udp --dport 1194 -j ACCEPT\n\
        -A ufw-user-output -d 192.168.1.0/24 -j ACCEPT\n";
    let with = |policy: &str| {
        format!(
            "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:OUTPUT {policy} [0:0]\n:ufw-before-output - [0:0]\n\
             :ufw-user-output - [0:0]\n:ufw-user-input - [0:0]\n:ufw-after-output - [0:0]\n\
             -A INPUT -j ufw-before-input\n-A OUTPUT -j ufw-before-output\n-A OUTPUT -j ufw-after-output\n\
             -A ufw-before-output -o lo -j ACCEPT\n-A ufw-before-output -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
             -A ufw-before-output -j ufw-user-output\n-A ufw-user-input -p tcp -m tcp --dport 22 -j ACCEPT\n\
             -A ufw-skip-to-policy-output -j {policy}\n{user}COMMIT\n"
        )
    };
    let plan_of = |text: &str| plan(&[], Some(Kernel { ipv4: text, ipv6: "" }), &Machine::default());
    let (refuses, allows) = (with("DROP"), with("ACCEPT"));
    assert!(ufw_refuses(&refuses) && !ufw_refuses(&allows) && ufw_refuses(&refuses.replace("ufw-", "ufw6-")));
    let plan = plan_of(&refuses);
    assert_eq!(plan.tunnel, Some(Traffic::Listed(vec![tcp(&[443])])), "{:#?}", plan.entries);
    let servers: Vec<String> = plan.servers.iter().map(ToString::to_string).collect();
    let nets: Vec<String> = plan.lan.iter().map(ToString::to_string).collect();
    assert_eq!(
        (servers, nets),
        (vec!["198.51.100.7:1194/udp".to_owned()], vec!["192.168.1.0/24".to_owned()])
    );
    assert!(!plan.entries.iter().any(|entry| entry.text.contains("-j ufw-")), "{:#?}", plan.entries);
    assert_eq!(plan_of(&allows).tunnel, None);
}
