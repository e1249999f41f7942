//! What may go out on a wire, whoever sends it.
//!
//! This is looked at below the tables of the protocols, where packets pass that never meet those: of
//! raw packet sockets and of containers that share a card (macvlan). Connection tracking knows
//! nothing here, so answers are told by their own address and port; what the tables above let out
//! has met them there before. What a frame is its own bytes say: a raw sender calls it what he likes.

use std::collections::BTreeSet;

use super::bootstrap;
use super::output;
use super::{ChainName, Rule, Verdict, View, traffic_rules};
use crate::config::{Networks, PublishedPorts, TrafficRule};
use crate::net::{Family, IfName, LanPrefix, Port};
use crate::vpn::{Situation, Wire};
use ipnet::IpNet;

/// What may go out on the wires.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WireRules {
    /// The links it is said of.
    pub wires: Vec<Wire>,
    /// Links like those that no rule can name.
    pub unnamed: Vec<String>,
    /// While this rule holds everything may, frames of every kind; only while paused.
    pub open: Option<Rule>,
    /// Frames that may, besides those of IPv4 and IPv6.
    pub frames: Vec<FrameMatch>,
    /// IPv4; the first chain is where its packets come in.
    pub ipv4: Vec<WireChain>,
    /// IPv6, the same.
    pub ipv6: Vec<WireChain>,
}

/// A frame that is neither IPv4 nor IPv6. All of them are known by what stands in the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameMatch {
    /// ARP for IPv4 on Ethernet (RFC 826).
    Arp,
    /// By its EtherType.
    Type(u16),
    /// To one of the addresses that no bridge forwards (IEEE 802.1Q, table 8-1), 01:80:c2:00:00:XX, by its
    /// last byte, with this EtherType.
    Group(u8, u16),
    /// Spanning tree, to the first of those addresses (IEEE 802.1D).
    SpanningTree,
    /// PPPoE (RFC 2516).
    Pppoe(PppoeFrames),
}

/// Which frames of PPPoE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PppoeFrames {
    /// Those that look for a server, and begin or end a session. They carry no packet.
    Discovery,
    /// Those by which PPP sets up a link too.
    Negotiation,
    /// Those with packets too. They have been judged on the link of PPP. Nothing in the frame tells them from
    /// what a raw sender puts into a session's frame of its own.
    Packets,
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
    /// Only of a protocol whose packets begin with a source and a destination port.
    WithPorts(Rule),
    /// Only to a port of DNS, by whatever protocol.
    ToNameServer(Rule),
    /// Only with a port that can be read.
    PortRead(Rule),
    /// Only with a header that may name other stops than the destination: options of IPv4 (but IGMP has one
    /// always), a routing header of IPv6.
    Routed(Rule),
}

/// The key exchange of Wi-Fi and of 802.1X (IEEE 802.1X, 802.11 pre-authentication): no link without it.
const EAPOL: [u16; 2] = [0x888e, 0x88c7];
/// Bonding (LACP, IEEE 802.1AX), to the group with this last byte.
const SLOW: (u8, u16) = (0x02, 0x8809);
/// LLDP (IEEE 802.1AB) and the last bytes of its groups.
const LLDP: [(u8, u16); 3] = [(0x00, 0x88cc), (0x03, 0x88cc), (0x0e, 0x88cc)];

/// The strictest there is on a wire: ARP alone.
pub(super) fn last_resort() -> WireRules {
    let chains = |family| vec![chain(ChainName::VpnWire, vec![Rule::new(family, Verdict::Drop)])];
    WireRules {
        frames: vec![FrameMatch::Arp],
        ipv4: chains(Family::V4),
        ipv6: chains(Family::V6),
        ..WireRules::default()
    }
}

pub(super) fn frames(situation: &Situation) -> Vec<FrameMatch> {
    // A session needs discovery before there is a link; a link's name says nothing of what it is.
    let leads_out = |link: &IfName| situation.wires.iter().any(|wire| wire.interface == *link);
    let pppoe = match situation.ppp_links[..] {
        [] => PppoeFrames::Discovery,
        [..] if situation.ppp_links.iter().any(leads_out) => PppoeFrames::Packets,
        [..] => PppoeFrames::Negotiation,
    };
    let groups = [SLOW].into_iter().chain(LLDP).map(|(last, ethertype)| FrameMatch::Group(last, ethertype));
    let frames = [FrameMatch::Arp].into_iter().chain(EAPOL.map(FrameMatch::Type)).chain(groups);
    frames.chain([FrameMatch::SpanningTree, FrameMatch::Pppoe(pppoe)]).collect()
}

pub(super) fn chains(view: &View<'_>) -> Vec<WireChain> {
    vec![
        WireChain { name: ChainName::VpnWire, rules: wire(view) },
        WireChain { name: ChainName::VpnBootstrap, rules: transport(view) },
        chain(ChainName::VpnOwner, bootstrap::owners(view)),
        chain(ChainName::VpnLink, link(view)),
        WireChain { name: ChainName::VpnWirePorts, rules: ports(view) },
        WireChain { name: ChainName::VpnLan, rules: lan(view) },
    ]
}

fn chain(name: ChainName, rules: Vec<Rule>) -> WireChain {
    WireChain { name, rules: rules.into_iter().map(WireRule::Plain).collect() }
}

fn wire(view: &View<'_>) -> Vec<WireRule> {
    let jump = |chain| view.rule(Verdict::Jump(chain));
    let portal = output::portal_pages(view).into_iter().map(WireRule::OwnSocket);
    let mut rules: Vec<WireRule> = portal.collect();
    // As in the tables above: a server may listen on 53 or 853, and a router asks the ISP.
    rules.extend([ChainName::VpnBootstrap, ChainName::VpnLink].map(|name| WireRule::Plain(jump(name))));
    rules.push(WireRule::WithPorts(jump(ChainName::VpnWirePorts)));
    // The router on the LAN might send it on.
    rules.push(WireRule::Routed(view.rule(Verdict::Drop)));
    rules.push(WireRule::Plain(jump(ChainName::VpnLan)));
    rules.extend(replies(view));
    rules.extend(published(view));
    rules.push(WireRule::Plain(view.rule(Verdict::Drop)));
    rules
}

/// DNS ends here, and so does what might be DNS: a packet cut so that its port cannot be read.
fn ports(view: &View<'_>) -> Vec<WireRule> {
    vec![
        // They come first: the kernel reads a port from their contents. Nobody puts them together without the
        // first fragment, which has the port.
        WireRule::LaterFragments(view.rule(Verdict::Return)),
        WireRule::ToNameServer(view.rule(Verdict::Drop)),
        WireRule::PortRead(view.rule(Verdict::Return)),
        WireRule::Plain(view.rule(Verdict::Drop)),
    ]
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
    // What a bond, a bridge or a VLAN sends goes out on another link than its own: neighbours of every
    // uplink are allowed on every wire.
    let on_link: BTreeSet<IpNet> =
        view.situation.uplinks.iter().flat_map(|uplink| uplink.on_link.clone()).collect();
    let neighbours = on_link.into_iter().flat_map(|net| output::neighbours(view, net));
    output::nets(&[group]).into_iter().map(ask).chain(output::link(view)).chain(neighbours).collect()
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
