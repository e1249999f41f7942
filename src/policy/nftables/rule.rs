//! A rule of nf_tables: questions and a verdict.

use std::fmt;

use super::matches::{Header, Match, Side, Way};
use super::number::L4;
use crate::net::Family;
use crate::policy::rule::IfMatch;
use crate::policy::well_known::NAME_SERVERS;
use crate::policy::{
    Answer, ChainName, Device, LOG_GROUP, LOG_LIMIT, LOG_PREFIX, Protocol, Rule, Verdict, WireRule,
};
use crate::vpn::Refusal;

/// A rule. It holds for a packet if every question is answered with yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NftRule {
    /// Its questions, in the kernel's order.
    pub matches: Vec<Match>,
    /// What happens to the packet then.
    pub verdict: NftVerdict,
}

/// What happens to a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NftVerdict {
    /// It passes this table.
    Accept,
    /// It ends here.
    Drop,
    /// It ends here, and its sender gets an answer at once.
    Reject(Answer),
    /// The kernel reports the packet to the agent, and continues with the next rule.
    Log(Refusal),
    /// Back to the chain that jumped here.
    Return,
    /// Into the chain of this name, and then back.
    Jump(String),
    /// Into the chain of this name, and not back.
    Goto(String),
}

impl NftRule {
    /// A rule without a question.
    pub(super) fn always(verdict: NftVerdict) -> Self {
        Self { matches: Vec::new(), verdict }
    }

    /// The rule for these packets.
    pub(super) fn new(matches: impl Into<Vec<Match>>, verdict: NftVerdict) -> Self {
        Self { matches: matches.into(), verdict }
    }
}

impl fmt::Display for NftRule {
    /// As nft lists it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.matches.iter().try_for_each(|question| write!(f, "{question} "))?;
        self.verdict.fmt(f)
    }
}

impl fmt::Display for NftVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Accept => f.write_str("accept"),
            Self::Drop => f.write_str("drop"),
            Self::Reject(Answer::Reset) => f.write_str("reject with tcp reset"),
            Self::Reject(Answer::Prohibited) => f.write_str("reject with icmpx admin-prohibited"),
            Self::Log(reason) => {
                let (rate, burst) = LOG_LIMIT;
                write!(f, "limit rate {rate}/second burst {burst} packets ")?;
                write!(f, "log prefix \"{}{reason}\" group {LOG_GROUP}", LOG_PREFIX)
            }
            Self::Return => f.write_str("return"),
            Self::Jump(chain) => write!(f, "jump {chain}"),
            Self::Goto(chain) => write!(f, "goto {chain}"),
        }
    }
}

/// The chain's name in a table that both protocols share.
pub(super) fn name(chain: ChainName, family: Family) -> String {
    match family {
        Family::V4 => format!("{chain}_V4"),
        Family::V6 => format!("{chain}_V6"),
    }
}

/// The rule in nf_tables.
pub(super) fn of(rule: &Rule) -> NftRule {
    with(rule, [])
}

/// The same with more questions.
fn with<const N: usize>(rule: &Rule, more: [Match; N]) -> NftRule {
    let mut matches = questions(rule);
    matches.extend(more);
    NftRule { matches, verdict: verdict(rule) }
}

/// A rule for packets on a wire.
pub(super) fn on_wire(wire: &WireRule) -> NftRule {
    match wire {
        WireRule::Plain(rule) => of(rule),
        WireRule::LaterFragments(rule) => with(rule, [Match::LaterFragment(rule.family)]),
        WireRule::OwnSocket(rule) => with(rule, [Match::OwnSocket]),
        WireRule::WithPorts(rule) => with(rule, [Match::HasPorts]),
        WireRule::ToNameServer(rule) => with(rule, [Match::EitherPort(Header::Any, NAME_SERVERS)]),
        WireRule::ToOtherPort(rule) => with(rule, [Match::OtherPorts(Header::Any, NAME_SERVERS)]),
        WireRule::Routed(rule) => match rule.family {
            Family::V4 => with(rule, [Match::OtherProtocol(L4::Igmp as u8), Match::Options]),
            Family::V6 => with(rule, [Match::RoutingHeader]),
        },
    }
}

fn questions(rule: &Rule) -> Vec<Match> {
    let mut matches = Vec::new();
    // No question for a network of every address.
    let narrow = |net: &ipnet::IpNet| net.prefix_len() > 0;
    matches.extend(rule.source.filter(narrow).map(|net| Match::Address(Side::Source, net)));
    matches.extend(rule.destination.filter(narrow).map(|net| Match::Address(Side::Destination, net)));
    matches.extend(rule.input.iter().flat_map(|input| interface(Way::In, input)));
    matches.extend(rule.output.iter().flat_map(|output| interface(Way::Out, output)));
    match rule.set {
        Some(set) => matches.push(Match::Member(header(rule), set)),
        None => matches.extend(protocol(rule)),
    }
    matches.extend(rule.opens.then_some(Match::Opens));
    matches.extend(rule.from_here.then_some(Match::FromHere));
    matches.extend(rule.hop_limit.map(|limit| Match::Hops(rule.family, limit)));
    matches.extend(rule.asked.map(|asked| Match::Asked(rule.family, asked)));
    matches.extend(rule.mark.map(Match::Mark));
    matches.extend(rule.owner.map(Match::User));
    matches.extend(rule.tracked.map(Match::Tracked));
    matches.extend(rule.since.map(Match::Since));
    matches.extend(rule.until.map(Match::Until));
    matches
}

/// The header that has the port. Its instructions also make sure of the transport.
fn header(rule: &Rule) -> Header {
    match rule.protocol {
        Some(Protocol::Transport(transport)) => Header::Of(transport.into()),
        Some(Protocol::Ported(ported)) => Header::Of(ported.into()),
        Some(Protocol::Icmp | Protocol::Igmp) | None => Header::Any,
    }
}

fn protocol(rule: &Rule) -> Vec<Match> {
    let Some(protocol) = rule.protocol else { return Vec::new() };
    if let Some(ports) = rule.either_dport {
        return vec![Match::EitherPort(header(rule), ports)];
    }
    match (protocol, rule.family, rule.icmp_type) {
        (Protocol::Icmp, family, Some(number)) => vec![Match::IcmpType(family, number)],
        (Protocol::Icmp, Family::V4, None) => vec![Match::Protocol(L4::Icmp)],
        (Protocol::Icmp, Family::V6, None) => vec![Match::Protocol(L4::Icmpv6)],
        (Protocol::Igmp, _, _) => vec![Match::Protocol(L4::Igmp)],
        (Protocol::Ported(ported), _, _) => vec![Match::Protocol(ported.into())],
        (Protocol::Transport(transport), _, _) => {
            let ports = [(Side::Source, rule.sport), (Side::Destination, rule.dport)];
            let ports = ports.into_iter().filter_map(|(side, ports)| Some((side, ports?)));
            let ports = ports.map(|(side, ports)| Match::Ports(header(rule), side, ports));
            let ports: Vec<Match> = ports.collect();
            // A match of the flags of TCP matches the transport too.
            let has_transport = !ports.is_empty() || rule.opens;
            if has_transport { ports } else { vec![Match::Protocol(transport.into())] }
        }
    }
}

pub(super) fn interface(way: Way, wanted: &IfMatch) -> impl Iterator<Item = Match> {
    let names = wanted.pattern.clone();
    let name = if wanted.negated { Match::OtherLink(way, names) } else { Match::Link(way, names) };
    let kind = wanted.device.map(|device| match device {
        Device::Tunnel => Match::TunnelKind(way),
        Device::Bridge => Match::BridgeKind(way),
    });
    std::iter::once(name).chain(kind)
}

fn verdict(rule: &Rule) -> NftVerdict {
    match &rule.verdict {
        Verdict::Accept => NftVerdict::Accept,
        Verdict::Drop => NftVerdict::Drop,
        Verdict::Reject(answer) => NftVerdict::Reject(*answer),
        Verdict::Log(reason) => NftVerdict::Log(*reason),
        Verdict::Return => NftVerdict::Return,
        Verdict::Jump(chain) => NftVerdict::Jump(name(*chain, rule.family)),
        Verdict::Goto(chain) => NftVerdict::Goto(name(*chain, rule.family)),
    }
}
