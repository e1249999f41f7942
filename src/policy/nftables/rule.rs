//! A rule in the words of nft, as `nft list` prints it.

use ipnet::IpNet;

use crate::net::{Family, IfPattern, PortRange};
use crate::policy::rule::IfMatch;
use crate::policy::well_known::NAME_SERVERS;
use crate::policy::{ChainName, Device, HopLimit, Protocol, Rule, Tracked, Verdict, WireRule};

/// The name of the set of the kernel's kinds of tunnels.
pub(super) const TUNNEL_KINDS: &str = "VPN_TUNNEL_KINDS";

/// The chain's name in a table that both protocols share.
pub(super) fn name(chain: ChainName, family: Family) -> String {
    match family {
        Family::V4 => format!("{chain}_V4"),
        Family::V6 => format!("{chain}_V6"),
    }
}

/// The word of nft for a protocol.
pub(super) fn protocol(family: Family) -> &'static str {
    match family {
        Family::V4 => "ipv4",
        Family::V6 => "ipv6",
    }
}

/// The rule as nft lists it.
pub(super) fn text(rule: &Rule) -> String {
    [matches(rule), vec![verdict(rule)]].concat().join(" ")
}

/// The same with one more match.
fn with(rule: &Rule, more: &str) -> String {
    [matches(rule), vec![more.to_owned(), verdict(rule)]].concat().join(" ")
}

/// A rule for packets on a wire, as nft lists it.
pub(super) fn on_wire(wire: &WireRule) -> String {
    match wire {
        WireRule::Plain(rule) => text(rule),
        WireRule::LaterFragments(rule) => with(rule, later_fragment(rule)),
        WireRule::OwnSocket(rule) => with(rule, "meta skuid >= 0"),
        // UDP, TCP, DCCP, SCTP and UDP-Lite.
        WireRule::WithPorts(rule) => with(rule, "meta l4proto { 6, 17, 33, 132, 136 }"),
        WireRule::ToNameServer(rule) => {
            let [dns, over_tls] = NAME_SERVERS;
            with(rule, &format!("th dport {{ {dns}, {over_tls} }}"))
        }
        WireRule::PortRead(rule) => with(rule, "th dport >= 0"),
        WireRule::Routed(rule) => match rule.family {
            Family::V4 => with(rule, "meta l4proto != 2 ip hdrlength != 5"),
            Family::V6 => with(rule, "exthdr rt exists"),
        },
    }
}

/// From this moment on, by the kernel's clock. nft runs with UTC as its time zone.
fn from(moment: jiff::Timestamp) -> String {
    format!("meta time >= \"{}\"", moment.strftime("%Y-%m-%d %H:%M:%S"))
}

/// Until this moment, in the same way.
fn before(moment: jiff::Timestamp) -> String {
    format!("meta time < \"{}\"", moment.strftime("%Y-%m-%d %H:%M:%S"))
}

/// A fragment that is not the first of its packet.
fn later_fragment(rule: &Rule) -> &'static str {
    match rule.family {
        Family::V4 => "ip frag-off & 8191 != 0",
        Family::V6 => "frag frag-off != 0",
    }
}

fn matches(rule: &Rule) -> Vec<String> {
    let ip = if rule.family == Family::V4 { "ip" } else { "ip6" };
    let mut words = Vec::new();
    let mut push = |word: Option<String>| words.extend(word);
    push(rule.source.and_then(net).map(|net| format!("{ip} saddr {net}")));
    push(rule.destination.and_then(net).map(|net| format!("{ip} daddr {net}")));
    push(rule.input.as_ref().map(|input| interface("iif", input)));
    push(rule.output.as_ref().map(|output| interface("oif", output)));
    match rule.set {
        Some(set) => push(Some(format!("{ip} daddr . meta l4proto . {} dport @{set}", transport(rule)))),
        None => protocol_words(rule).into_iter().for_each(|word| push(Some(word))),
    }
    push(rule.hop_limit.map(|limit| {
        let name = if rule.family == Family::V4 { "ip ttl" } else { "ip6 hoplimit" };
        match limit {
            HopLimit::Exactly(limit) => format!("{name} {limit}"),
            HopLimit::Below(limit) => format!("{name} < {limit}"),
        }
    }));
    push(rule.mark.map(|mark| format!("meta mark 0x{mark:08x}")));
    push(rule.owner.map(|uid| format!("meta skuid {uid}")));
    push(rule.tracked.map(|tracked| tracked_words(tracked).to_owned()));
    push(rule.since.map(from));
    push(rule.until.map(before));
    words
}

/// The header that has the port. It names the transport too, and nft lists it so.
fn transport(rule: &Rule) -> &'static str {
    match rule.protocol {
        Some(Protocol::Transport(transport)) => transport.as_str(),
        Some(Protocol::Ported(ported)) => ported.as_str(),
        Some(Protocol::Icmp | Protocol::Igmp) | None => "th",
    }
}

fn protocol_words(rule: &Rule) -> Vec<String> {
    let Some(protocol) = rule.protocol else { return Vec::new() };
    if let Some([one, other]) = rule.either_dport {
        return vec![format!("{} dport {{ {one}, {other} }}", transport(rule))];
    }
    match (protocol, rule.family, rule.icmp_type) {
        (Protocol::Icmp, Family::V4, Some(number)) => vec![format!("icmp type {number}")],
        (Protocol::Icmp, Family::V6, Some(number)) => vec![format!("icmpv6 type {number}")],
        (Protocol::Icmp, Family::V4, None) => vec!["meta l4proto icmp".to_owned()],
        (Protocol::Icmp, Family::V6, None) => vec!["meta l4proto ipv6-icmp".to_owned()],
        (Protocol::Igmp, _, _) => vec!["meta l4proto igmp".to_owned()],
        (Protocol::Ported(ported), _, _) => vec![format!("meta l4proto {}", ported.as_str())],
        (Protocol::Transport(transport), _, _) => {
            let port = |side: &str, ports: Option<PortRange>| {
                ports.map(|ports| format!("{transport} {side} {}", ports.to_string().replace(':', "-")))
            };
            let ports: Vec<String> =
                port("sport", rule.sport).into_iter().chain(port("dport", rule.dport)).collect();
            if ports.is_empty() { vec![format!("meta l4proto {transport}")] } else { ports }
        }
    }
}

/// nft lists a single address without a length, and no match for a network of every address.
fn net(net: IpNet) -> Option<String> {
    match net.prefix_len() {
        0 => None,
        length if length == net.max_prefix_len() => Some(net.addr().to_string()),
        _ => Some(net.to_string()),
    }
}

fn interface(side: &str, wanted: &IfMatch) -> String {
    let not = if wanted.negated { "!= " } else { "" };
    let name = format!("{side}name {not}\"{}\"", pattern(&wanted.pattern));
    match wanted.device {
        Some(Device::Tunnel) => format!("{name} meta {side}kind @{TUNNEL_KINDS}"),
        Some(Device::Bridge) => format!("{name} meta {side}kind \"bridge\""),
        None => name,
    }
}

/// The wildcard of nft is `*`. A backslash tells a name that ends with it from a pattern.
fn pattern(pattern: &IfPattern) -> String {
    let text = pattern.to_string();
    match (text.strip_suffix('+'), text.strip_suffix('*')) {
        (Some(stem), _) => format!("{stem}*"),
        (None, Some(stem)) => format!("{stem}\\*"),
        (None, None) => text,
    }
}

fn tracked_words(tracked: Tracked) -> &'static str {
    match tracked {
        Tracked::Reply => "ct state established,related",
        Tracked::DnatOriginal => "ct status dnat ct direction original",
        Tracked::DnatReply => "ct status dnat ct direction reply",
        Tracked::EstablishedReply => "ct state established ct direction reply",
    }
}

fn verdict(rule: &Rule) -> String {
    match &rule.verdict {
        Verdict::Accept => "accept".to_owned(),
        Verdict::Drop => "drop".to_owned(),
        Verdict::Return => "return".to_owned(),
        Verdict::Jump(chain) => format!("jump {}", name(*chain, rule.family)),
        Verdict::Goto(chain) => format!("goto {}", name(*chain, rule.family)),
    }
}
