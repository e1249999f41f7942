//! What may go out on a wire, from any sender.
//!
//! These rules judge a packet after the tables of the protocols. They also judge packets that never meet
//! those tables: from raw packet sockets, and from containers that share a network card (macvlan). There is
//! no connection tracking at this point, so answers are known by their own address and port; the tables have
//! judged the connection before. The rules read from the frame's own bytes what it is, because a raw sender
//! can give it any name.

use std::collections::BTreeSet;

use super::frame::{FrameMatch, Pppoe, frames, pppoe};
use super::refusal::reported_alone;
use super::view::{View, traffic_rules};
use super::well_known::{dhcp_client, dhcp_group, dhcp_server, echo_reply};
use super::{ChainName, Rule, Verdict, bootstrap, lan_services, output};
use crate::config::{InboundOn, Networks, PublishedPorts, TrafficRule};
use crate::net::Family;
use crate::vpn::{Refusal, Wire};
use ipnet::IpNet;

/// What may go out on the wires.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WireRules {
    /// The links that these rules are for.
    pub wires: Vec<Wire>,
    /// Links that need these rules too, and that no rule can name.
    pub unnamed: Vec<String>,
    /// The rule of a pause: while it holds, every frame may leave.
    pub open: Option<Rule>,
    /// Frames that may leave, besides those of IPv4 and IPv6.
    pub frames: Vec<FrameMatch>,
    /// Frames of PPPoE's sessions that may leave.
    pub pppoe: Pppoe,
    /// The chains of IPv4. Packets enter the first one.
    pub ipv4: Vec<WireChain>,
    /// The chains of IPv6, in the same way.
    pub ipv6: Vec<WireChain>,
}

/// A chain for packets on a wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WireChain {
    /// Which of our chains.
    pub name: ChainName,
    /// Its rules, first to last.
    pub rules: Vec<WireRule>,
}

/// A rule for packets on a wire: one as in the tables of the protocols, or one with a match that only a wire
/// needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WireRule {
    /// As it is.
    Plain(Rule),
    /// The later fragments of the packets that the rule matches. They have no port.
    LaterFragments(Rule),
    /// Only from a socket of this machine's own network namespace, raw sockets too.
    OwnSocket(Rule),
    /// Only of a protocol whose packets begin with a source and a destination port.
    WithPorts(Rule),
    /// Only to a port of DNS, by any protocol.
    ToNameServer(Rule),
    /// Only to any other port, if the port can be read.
    ToOtherPort(Rule),
    /// Only with a header that may name other stops than the destination: options of IPv4 (except in IGMP, which
    /// always has one), a routing header of IPv6.
    Routed(Rule),
}

impl WireRule {
    /// The rule without the match that only a wire needs.
    pub(super) fn rule(&self) -> &Rule {
        match self {
            Self::Plain(rule)
            | Self::LaterFragments(rule)
            | Self::OwnSocket(rule)
            | Self::WithPorts(rule)
            | Self::ToNameServer(rule)
            | Self::ToOtherPort(rule)
            | Self::Routed(rule) => rule,
        }
    }

    /// The same, to change it.
    pub(super) fn rule_mut(&mut self) -> &mut Rule {
        match self {
            Self::Plain(rule)
            | Self::LaterFragments(rule)
            | Self::OwnSocket(rule)
            | Self::WithPorts(rule)
            | Self::ToNameServer(rule)
            | Self::ToOtherPort(rule)
            | Self::Routed(rule) => rule,
        }
    }
}

pub(super) fn rules(ipv4: &View<'_>, ipv6: &View<'_>) -> WireRules {
    let situation = ipv4.situation;
    WireRules {
        wires: situation.wires.clone(),
        unnamed: situation.unnamed_wires.clone(),
        // This rule has no match for a family.
        open: ipv4.pause(Verdict::Accept),
        frames: frames(),
        pppoe: pppoe(situation),
        ipv4: chains(ipv4),
        ipv6: chains(ipv6),
    }
}

/// The strictest rules on a wire: ARP alone.
pub(super) fn last_resort() -> WireRules {
    let chains = |family| vec![chain(ChainName::VpnWire, vec![Rule::new(family, Verdict::Drop)])];
    WireRules {
        frames: vec![FrameMatch::Arp],
        ipv4: chains(Family::V4),
        ipv6: chains(Family::V6),
        ..WireRules::default()
    }
}

fn chains(view: &View<'_>) -> Vec<WireChain> {
    vec![
        WireChain { name: ChainName::VpnWire, rules: wire(view) },
        WireChain { name: ChainName::VpnBootstrap, rules: transport(view) },
        chain(ChainName::VpnOwner, bootstrap::owners(view)),
        chain(ChainName::VpnLink, link(view)),
        WireChain { name: ChainName::VpnWirePorts, rules: ports(view) },
        WireChain { name: ChainName::VpnLan, rules: lan(view) },
        WireChain { name: ChainName::VpnWirePublished, rules: published(view) },
    ]
}

fn chain(name: ChainName, rules: Vec<Rule>) -> WireChain {
    WireChain { name, rules: rules.into_iter().map(WireRule::Plain).collect() }
}

fn wire(view: &View<'_>) -> Vec<WireRule> {
    let jump = |chain| view.rule(Verdict::Jump(chain));
    let portal = output::portal_pages(view).into_iter().map(WireRule::OwnSocket);
    let mut rules: Vec<WireRule> = portal.collect();
    // As in the tables of the protocols: a server may listen on 53 or 853, and a router asks the ISP.
    rules.extend([ChainName::VpnBootstrap, ChainName::VpnLink].map(|name| WireRule::Plain(jump(name))));
    rules.push(WireRule::WithPorts(jump(ChainName::VpnWirePorts)));
    // Before the LAN: its router might forward such a packet. Without a line, which would call a program's packet that
    // of a raw sender.
    rules.push(WireRule::Routed(view.rule(Verdict::Drop)));
    rules.push(WireRule::Plain(jump(ChainName::VpnLan)));
    rules.extend(replies(view));
    rules.push(WireRule::Plain(jump(ChainName::VpnWirePublished)));
    rules.push(WireRule::Plain(view.line(Refusal::RawFrame)));
    rules.push(WireRule::Plain(view.rule(Verdict::Drop)));
    rules
}

/// DNS ends here, and so does a packet that might be DNS: one that is cut so that its port cannot be read.
fn ports(view: &View<'_>) -> Vec<WireRule> {
    vec![
        // Later fragments first: in them the kernel would take contents for a port. Without the first fragment,
        // which has the port, no receiver can put the packet together.
        WireRule::LaterFragments(view.rule(Verdict::Return)),
        // Before the line about DNS, so that it costs other packets nothing.
        WireRule::ToOtherPort(view.rule(Verdict::Return)),
        WireRule::ToNameServer(view.line(Refusal::DnsOutsideTunnel)),
        WireRule::ToNameServer(view.rule(Verdict::Drop)),
        // The kernel never cuts a packet so. Only a raw sender does.
        WireRule::Plain(view.line(Refusal::RawFrame)),
        WireRule::Plain(view.rule(Verdict::Drop)),
    ]
}

/// The allowance of the tables of the protocols. There a packet is whole. Here a large one is in fragments, of
/// which only the first has a port. Later fragments to the endpoints of a set do not pass: the set holds ports.
/// No client sends its first packets in fragments. While a tunnel is there, there is a set only for more than
/// [`MAX_RULES_WITHOUT_SET`](super::FEW) endpoints in use: a device with many peers, or a tunnel whose server is not known.
fn transport(view: &View<'_>) -> Vec<WireRule> {
    let rules = bootstrap::bootstrap(view);
    rules.into_iter().flat_map(|rule| [fragments(&rule), Some(WireRule::Plain(rule))]).flatten().collect()
}

fn fragments(rule: &Rule) -> Option<WireRule> {
    rule.without_port().map(WireRule::LaterFragments)
}

/// As in the tables of the protocols; and a raw socket of any user may look for a DHCP server on the link. Such
/// a packet goes no further than the link.
fn link(view: &View<'_>) -> Vec<Rule> {
    let (client, server) = (dhcp_client(view.family), dhcp_server(view.family));
    let ask = view.rule(Verdict::Accept).to(dhcp_group(view.family)).udp(client, server);
    // A bond, a bridge or a VLAN sends on another link than its own. So the neighbours of every uplink are
    // allowed on every wire.
    let on_link: BTreeSet<IpNet> =
        view.situation.uplinks.iter().flat_map(|uplink| uplink.on_link.clone()).collect();
    let neighbours = on_link.into_iter().flat_map(|net| output::neighbours(view, net));
    [ask].into_iter().chain(output::link(view)).chain(neighbours).collect()
}

/// The LAN of every uplink on every wire, for the same reason.
fn lan(view: &View<'_>) -> Vec<WireRule> {
    let lan = &view.config.lan;
    if !lan.allow {
        return Vec::new();
    }
    let networks = match &lan.networks {
        Networks::Listed(listed) => view.listed_lans(listed).into_iter().collect(),
        Networks::Connected => connected(view),
    };
    // A raw sender: the tables of the protocols refuse the same to programs.
    let refused = |drop| reported_alone(drop, Refusal::RawFrame);
    let mut rules: Vec<Rule> = output::of_tunnels(view).into_iter().flat_map(refused).collect();
    rules.extend(networks.into_iter().map(|net| view.rule(Verdict::Accept).to(net)));
    if lan.multicast {
        rules.extend(output::discovery(view));
    }
    rules.extend(lan_services::questions(view));
    // Another rule lets the same packet leave. Only the tables of the protocols, and only packets of this machine,
    // decide which answers come in.
    rules.retain(|rule| rule.asked.is_none());
    rules.into_iter().map(WireRule::Plain).collect()
}

fn connected(view: &View<'_>) -> BTreeSet<IpNet> {
    view.connected_lans().map(|(_, net)| net).collect()
}

/// The machine's own addresses on its uplinks.
fn own(view: &View<'_>) -> BTreeSet<IpNet> {
    view.own_addresses().map(|(_, address)| address.into()).collect()
}

/// Answers to what `input.allow` lets in. The kernel answers a ping itself, without a socket.
fn replies(view: &View<'_>) -> Vec<WireRule> {
    let answers = |own: IpNet| {
        view.inbound(InboundOn::Any).flat_map(move |inbound| {
            let base = view.rule(Verdict::Accept).from(own);
            let base = match inbound.from {
                Some(net) => base.to(net),
                None => base,
            };
            if inbound.traffic == TrafficRule::Icmp {
                return vec![WireRule::Plain(base.icmp_type(echo_reply(view.family)))];
            }
            let rules = traffic_rules(&inbound.traffic, &base).into_iter();
            rules.map(|rule| WireRule::OwnSocket(rule.mirrored())).collect()
        })
    };
    own(view).into_iter().flat_map(answers).collect()
}

/// Answers of published ports to the LAN. They are forwarded, so no socket of this machine sends them; what a
/// socket of this machine sends there goes back to the chain that refuses it.
fn published(view: &View<'_>) -> Vec<WireRule> {
    let lan = connected(view);
    if view.config.docker.published_ports == PublishedPorts::None || lan.is_empty() {
        return Vec::new();
    }
    let accept = || view.rule(Verdict::Accept);
    let mut rules: Vec<WireRule> = Vec::new();
    rules.extend(view.proxied().into_iter().map(|proxied| {
        let answer = accept().to(proxied.network).transport(proxied.transport).sport(proxied.port);
        WireRule::OwnSocket(answer)
    }));
    rules.push(WireRule::OwnSocket(view.rule(Verdict::Return)));
    for own in own(view) {
        rules.extend(lan.iter().map(|&net| WireRule::Plain(accept().from(own).to(net))));
    }
    rules
}
