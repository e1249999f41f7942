//! What may go out on a wire, whoever sends it.
//!
//! This is looked at below the tables of the protocols, where packets pass that never meet those: of
//! raw packet sockets and of containers that share a card (macvlan). Connection tracking knows
//! nothing here, so answers are told by their own address and port; what the tables above let out
//! has met them there before. Frames that are neither IPv4 nor IPv6 are judged by their type.

use std::collections::BTreeSet;

use super::bootstrap;
use super::output::{self, DNS, DNS_OVER_TLS};
use super::{ChainName, Rule, Verdict, View, traffic_rules};
use crate::config::{Networks, PublishedPorts, TrafficRule};
use crate::net::{Family, LanPrefix, Port, Transport};
use crate::vpn::Wire;
use ipnet::IpNet;

/// What may go out on the wires.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WireRules {
    /// The links it is said of.
    pub wires: Vec<Wire>,
    /// While this rule holds everything may, frames of every kind; only while paused.
    pub open: Option<Rule>,
    /// Frames that may, besides those of IPv4 and IPv6.
    pub frames: Vec<FrameMatch>,
    /// IPv4; the first chain is where its packets come in.
    pub ipv4: Vec<WireChain>,
    /// IPv6, the same.
    pub ipv6: Vec<WireChain>,
}

/// A frame that is neither IPv4 nor IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameMatch {
    /// By its EtherType.
    Type(u16),
    /// To the addresses that no bridge passes on (IEEE 802.1Q, table 8-1): spanning tree, bonding.
    LinkLocal,
}

/// A chain for packets on a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireChain {
    /// Its name.
    pub name: ChainName,
    /// Its rules, first to last.
    pub rules: Vec<WireRule>,
}

/// A rule for packets on a wire: one of the tables', or one that only a wire needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireRule {
    /// As it is.
    Plain(Rule),
    /// The fragments behind the first of what the rule matches: those have no port.
    LaterFragments(Rule),
    /// Only from a socket of this machine's own network; raw senders have one too.
    OwnSocket(Rule),
}

/// ARP (RFC 826).
const ARP: u16 = 0x0806;
/// The key exchange of Wi-Fi and of 802.1X (IEEE 802.1X, 802.11 pre-authentication): no link without it.
const EAPOL: [u16; 2] = [0x888e, 0x88c7];
/// PPPoE, discovery and session (RFC 2516).
const PPPOE: [u16; 2] = [0x8863, 0x8864];

/// The strictest there is on a wire: ARP alone.
pub(super) fn last_resort() -> WireRules {
    let chains = |family| vec![chain(ChainName::VpnWire, vec![Rule::new(family, Verdict::Drop)])];
    WireRules {
        frames: vec![FrameMatch::Type(ARP)],
        ipv4: chains(Family::V4),
        ipv6: chains(Family::V6),
        ..WireRules::default()
    }
}

pub(super) fn frames(wires: &[Wire]) -> Vec<FrameMatch> {
    // What a PPP link sends is judged there before it is wrapped.
    let dials = wires.iter().any(|wire| wire.interface.as_str().starts_with("ppp"));
    let types = [ARP].into_iter().chain(EAPOL).chain(PPPOE.into_iter().filter(|_| dials));
    types.map(FrameMatch::Type).chain([FrameMatch::LinkLocal]).collect()
}

pub(super) fn chains(view: &View<'_>) -> Vec<WireChain> {
    vec![
        WireChain { name: ChainName::VpnWire, rules: wire(view) },
        WireChain { name: ChainName::VpnBootstrap, rules: transport(view) },
        chain(ChainName::VpnOwner, bootstrap::owners(view)),
        chain(ChainName::VpnLink, link(view)),
        WireChain { name: ChainName::VpnLan, rules: lan(view) },
    ]
}

fn chain(name: ChainName, rules: Vec<Rule>) -> WireChain {
    WireChain { name, rules: rules.into_iter().map(WireRule::Plain).collect() }
}

fn wire(view: &View<'_>) -> Vec<WireRule> {
    let jump = |chain| view.rule(Verdict::Jump(chain));
    // As in the tables above: a server may listen on 53 or 853, and a router asks the ISP.
    let mut rules = vec![jump(ChainName::VpnBootstrap), jump(ChainName::VpnLink)];
    let portal = output::portal_pages(view).into_iter().map(WireRule::OwnSocket);
    for port in [DNS, DNS_OVER_TLS] {
        let refuse = |transport| view.rule(Verdict::Drop).transport(transport).dport(port);
        rules.extend([Transport::Udp, Transport::Tcp].map(refuse));
    }
    rules.push(jump(ChainName::VpnLan));
    let mut rules: Vec<WireRule> = portal.chain(rules.into_iter().map(WireRule::Plain)).collect();
    rules.extend(replies(view));
    rules.extend(published(view));
    rules.push(WireRule::Plain(view.rule(Verdict::Drop)));
    rules
}

/// The allowance of the tables above. There a packet is whole; here a large one is in fragments, of
/// which only the first has a port. For endpoints in a set they do not pass: so many stand only while
/// no tunnel does, and no client asks in fragments.
fn transport(view: &View<'_>) -> Vec<WireRule> {
    let rules = bootstrap::bootstrap(view);
    rules.into_iter().flat_map(|rule| [fragments(&rule), Some(WireRule::Plain(rule))]).flatten().collect()
}

fn fragments(rule: &Rule) -> Option<WireRule> {
    rule.without_port().map(WireRule::LaterFragments)
}

/// As above, but that a client may ask everybody on the link for a lease by a raw socket, whoever runs
/// it: such a packet goes no further than the link.
fn link(view: &View<'_>) -> Vec<Rule> {
    let (group, sport, dport) = match view.family {
        Family::V4 => ("255.255.255.255/32", 68, 67),
        Family::V6 => ("ff02::1:2/128", 546, 547),
    };
    let ask = |to| view.rule(Verdict::Accept).to(to).udp(Port::fixed(sport), Port::fixed(dport));
    output::nets(&[group]).into_iter().map(ask).chain(output::link(view)).collect()
}

/// The LAN of every uplink on every wire: what a bond, a bridge or a VLAN sends goes out on another
/// link than its own.
fn lan(view: &View<'_>) -> Vec<WireRule> {
    let lan = &view.config.lan;
    if !lan.allow {
        return Vec::new();
    }
    let to = |net: &IpNet| WireRule::Plain(view.rule(Verdict::Accept).to(*net));
    let mut rules: Vec<WireRule> = match &lan.networks {
        Networks::Listed(listed) => {
            view.listed_lan(listed).into_iter().collect::<BTreeSet<_>>().iter().map(to).collect()
        }
        Networks::Connected => connected(view).iter().map(to).collect(),
    };
    if lan.multicast {
        rules.extend(output::discovery(view).into_iter().map(WireRule::Plain));
    }
    rules
}

fn of_family<'a>(view: &View<'_>, prefixes: impl IntoIterator<Item = &'a LanPrefix>) -> BTreeSet<IpNet> {
    let nets = prefixes.into_iter().map(LanPrefix::net);
    nets.filter(|net| Family::of(net.addr()) == view.family).collect()
}

fn connected(view: &View<'_>) -> BTreeSet<IpNet> {
    of_family(view, view.situation.uplinks.iter().flat_map(|uplink| &uplink.prefixes))
}

/// The machine's own addresses on its uplinks.
fn own(view: &View<'_>) -> BTreeSet<IpNet> {
    let addresses = view.situation.uplinks.iter().flat_map(|uplink| &uplink.addresses);
    addresses.filter(|&&own| Family::of(own) == view.family).map(|&own| own.into()).collect()
}

/// Answers to what `input.allow` let in. ICMP is answered by the kernel, which has no socket for it.
fn replies(view: &View<'_>) -> Vec<WireRule> {
    let (ping, answer) = (TrafficRule::Icmp, if view.family == Family::V4 { 0 } else { 129 });
    let to_inbound = |own: IpNet| {
        let ping = &ping;
        view.inbound().flat_map(move |inbound| {
            let base = view.rule(Verdict::Accept).from(own);
            let base = match inbound.from {
                Some(net) => base.to(net),
                None => base,
            };
            if inbound.traffic == *ping {
                return vec![WireRule::Plain(base.icmp_type(answer))];
            }
            let rules = traffic_rules(&inbound.traffic, &base).into_iter();
            rules.map(|rule| WireRule::OwnSocket(rule.mirrored())).collect()
        })
    };
    own(view).into_iter().flat_map(to_inbound).collect()
}

/// Answers of published ports to the LAN: they are forwarded, so no socket of this machine sends them,
/// and what a socket of this machine sends there is refused first.
fn published(view: &View<'_>) -> Vec<WireRule> {
    let lan = connected(view);
    if view.config.docker.published_ports == PublishedPorts::None || lan.is_empty() {
        return Vec::new();
    }
    let mut rules: Vec<WireRule> = Vec::new();
    let proxied = view.proxied().into_iter().map(|(_, net, transport, port)| {
        WireRule::OwnSocket(view.rule(Verdict::Accept).to(net).transport(transport).sport(port))
    });
    rules.extend(proxied);
    rules.push(WireRule::OwnSocket(view.rule(Verdict::Drop)));
    for own in own(view) {
        rules.extend(lan.iter().map(|&net| WireRule::Plain(view.rule(Verdict::Accept).from(own).to(net))));
    }
    rules
}
