//! The rules of all programs of a machine in one form: conditions on the bits of a packet, and what
//! happens to a packet for which they hold.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::layout::Field;
use super::writes::Written;
use crate::net::{Family, octets};

/// The rules of a machine, as far as packets that leave can meet them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// The tables of all programs.
    pub tables: Vec<Table>,
    /// The rules that change packets or send them past the rest of their way, each with its place.
    pub writers: BTreeSet<String>,
}

impl Rules {
    /// Number of rules in tables of one family.
    pub(super) fn own(&self) -> usize {
        self.count(|sees| matches!(sees, Sees::Only(_)))
    }

    /// Number of rules in tables that both families meet.
    pub(super) fn shared(&self) -> usize {
        self.count(|sees| matches!(sees, Sees::Both | Sees::Frames))
    }

    fn count(&self, counts: impl Fn(Sees) -> bool) -> usize {
        let tables = self.tables.iter().filter(|table| counts(table.sees));
        tables.flat_map(|table| table.chains.values()).map(|chain| chain.rules.len()).sum()
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// What lists it.
    pub tool: Tool,
    /// The packets that it sees.
    pub sees: Sees,
    /// The name of the table in its family.
    pub name: String,
    /// Its chains by their names.
    pub chains: BTreeMap<String, Chain>,
}

/// A program that lists rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// `iptables-save`
    Iptables,
    /// `ip6tables-save`
    Ip6tables,
    /// `nft list ruleset`
    Nft,
}

impl Tool {
    /// The program's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Ip6tables => "ip6tables",
            Self::Nft => "nft",
        }
    }
}

/// Which packets a table sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sees {
    /// Those of one family.
    Only(Family),
    /// Those of both.
    Both,
    /// Frames on a link.
    Frames,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Chain {
    /// Where packets enter it, if they come from the kernel.
    pub base: Option<Base>,
    /// Its rules, first to last.
    pub rules: Vec<Rule>,
}

/// Where packets enter a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The kernel's hook.
    pub hook: Hook,
    /// What the kernel does with it.
    pub kind: ChainType,
    /// The priority that its program gives it.
    pub priority: i32,
    /// The links whose packets enter, if the hook belongs to links.
    pub devices: BTreeSet<String>,
    /// Whether a packet passes that no rule decides.
    pub accepts: bool,
}

/// The places of NAT among the chains of a hook: `NF_IP_PRI_NAT_DST` and `NF_IP_PRI_NAT_SRC`. The priority of a chain of
/// NAT does not change them.
pub(super) const NAT_DESTINATION: i32 = -100;
pub(super) const NAT_SOURCE: i32 = 100;

impl Base {
    /// The place among the other chains of the hook.
    pub(super) fn place(&self) -> i32 {
        match (self.kind, self.hook) {
            (ChainType::Nat, Hook::Prerouting | Hook::Output) => NAT_DESTINATION,
            (ChainType::Nat, _) => NAT_SOURCE,
            (ChainType::Filter | ChainType::Route, _) => self.priority,
        }
    }
}

/// The types of base chains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainType {
    /// It judges every packet.
    Filter,
    /// It is asked about the first packet of a connection, in the place of NAT.
    Nat,
    /// As a filter, and the kernel looks up the route of a packet again that it has changed.
    Route,
}

/// The hooks that a packet passes. `prove` asks those on its way out alone; the others can only refuse more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// What comes in, before its route is known.
    Prerouting,
    /// What is for this machine.
    Input,
    /// What this machine sends.
    Output,
    /// What it forwards.
    Forward,
    /// What goes out, after its route is known.
    Postrouting,
    /// What goes out on one link.
    Egress,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// How its program writes it.
    pub text: String,
    /// All of these must hold.
    pub matches: Vec<Match>,
    /// What happens then.
    pub action: Action,
    /// What it writes besides.
    pub writes: Vec<Written>,
}

/// What happens to a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It passes this table.
    Accept,
    /// It ends here.
    Drop,
    /// Back to the chain that jumped here.
    Return,
    /// Into another chain, and back.
    Jump(String),
    /// Into another chain, and not back.
    Goto(String),
    /// The next rule.
    Continue,
    /// The model does not know this action of this name. The packet may pass, end, or meet the next rule.
    Unknown(String),
}

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// These bits of the packet compare so with a value.
    Bits(Vec<Bit>, Test),
    /// So compares the beginning of the name of the link that it came in on, or goes out on. Bytes.
    Name(Way, Vec<u8>),
    /// The kind of that link, as the kernel calls it.
    Kind(Way, String),
    /// The kernel's clock has reached this moment, in seconds since 1970.
    Since(i64),
    /// The kernel's clock has not reached this moment.
    Until(i64),
    /// All of one of these hold.
    Any(Vec<Vec<Match>>),
    /// It does not hold.
    Not(Box<Match>),
    /// The model does not know whether this holds.
    Unknown(String),
}

/// In or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The link that the packet came in on.
    In,
    /// The link that it goes out on.
    Out,
}

/// One bit that a rule looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bit {
    /// The bit of a field, counted from the field's most significant one.
    Of(Field, u16),
    /// It is known without the packet.
    Known(bool),
    /// The model does not have it.
    Unknown,
}

/// A comparison with a value, most significant bit first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// Equal, not equal, less, and so on.
    pub comparison: Comparison,
    /// With what.
    pub value: Vec<bool>,
}

/// How bits compare with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// They are the same.
    Equal,
    /// They are below it.
    Below,
    /// They are above it.
    Above,
}

impl Match {
    /// Whether it holds for every packet.
    pub fn always() -> Self {
        Self::Any(vec![Vec::new()])
    }

    /// A field has this value.
    pub fn is(field: Field, value: u128) -> Self {
        Self::masked(field, value, u128::MAX)
    }

    /// The bits of a field that are in the mask have this value.
    pub fn masked(field: Field, value: u128, mask: u128) -> Self {
        Self::part(field, [0, field.width()], value, mask)
    }

    /// A part of a field, of at most 128 bits: the bits of it that are in the mask have this value.
    pub fn part(field: Field, [start, length]: [u16; 2], value: u128, mask: u128) -> Self {
        let bit = |number: u128, at: u16| number >> (length - 1 - at) & 1 == 1;
        let kept = (0..length).filter(|&at| bit(mask, at));
        let (bits, value) = kept.map(|at| (Bit::Of(field, start + at), bit(value, at))).unzip();
        Self::Bits(bits, Test { comparison: Comparison::Equal, value })
    }

    /// It is a fragment, but not the first of its packet.
    pub fn later_fragment(family: Family) -> Self {
        match family {
            Family::V4 => Self::part(Field::Network, [51, 13], 0, u128::MAX).not(),
            Family::V6 => Self::Any(vec![vec![
                Self::is(Field::FragmentHeader, 1),
                Self::masked(Field::FragmentOffset, 0, 0xfff8).not(),
            ]]),
        }
    }

    /// A field is between these values, both included.
    pub fn between(field: Field, [first, last]: [u128; 2]) -> Vec<Self> {
        if first == last {
            return vec![Self::is(field, first)];
        }
        let side = |comparison, value: u128| {
            let width = field.width();
            let value = (0..width).map(|at| value >> (width - 1 - at) & 1 == 1).collect();
            Self::Bits((0..width).map(|at| Bit::Of(field, at)).collect(), Test { comparison, value }).not()
        };
        vec![side(Comparison::Below, first), side(Comparison::Above, last)]
    }

    /// The first bits of these are those of an address.
    fn prefix(bits: impl Fn(u16) -> Bit, net: &IpNet) -> Self {
        let octets = octets(net.network());
        let kept = 0..u16::from(net.prefix_len());
        let value = kept.clone().map(|at| octets[usize::from(at / 8)] >> (7 - at % 8) & 1 == 1).collect();
        Self::Bits(kept.map(bits).collect(), Test { comparison: Comparison::Equal, value })
    }

    /// It goes to this network.
    pub fn to(net: &IpNet) -> Self {
        let start = match net {
            IpNet::V4(_) => 128,
            IpNet::V6(_) => 192,
        };
        Self::prefix(|at| Bit::Of(Field::Network, start + at), net)
    }

    /// It comes from this network.
    pub fn from(net: &IpNet) -> Self {
        let start = Field::source(Family::of(net.network())).start;
        Self::prefix(|at| Bit::Of(Field::Network, start + at), net)
    }

    /// The first packet of its connection went to this network, before DNAT.
    pub fn first_to(net: &IpNet) -> Self {
        Self::prefix(|at| Bit::Of(Field::FirstDestination, at), net)
    }

    /// It is of this protocol (IANA's number).
    pub fn protocol(number: u8) -> Self {
        Self::is(Field::Protocol, number.into())
    }

    /// Its source port, or its destination port, is one of these. Needs a protocol with ports.
    pub fn port(field: Field, ports: [u16; 2]) -> Vec<Self> {
        let mut matches = vec![Self::is(Field::PortRead, 1)];
        matches.extend(Self::between(field, ports.map(u128::from)));
        matches
    }

    /// Its ICMP type. Needs ICMP.
    pub fn icmp_type(number: u8) -> Vec<Self> {
        vec![Self::is(Field::PortRead, 1), Self::masked(Field::SourcePort, u128::from(number) << 8, 0xff00)]
    }

    /// Its TTL, or IPv6 hop limit, is between these.
    pub fn hops(family: Family, [first, last]: [u8; 2]) -> Vec<Self> {
        Self::between(Field::hops(family), [first.into(), last.into()])
    }

    /// The kernel has a connection for it: its state is neither INVALID nor UNTRACKED.
    pub fn tracked() -> Vec<Self> {
        [1, 64].map(|state| Self::is(Field::State, state).not()).to_vec()
    }

    /// Its socket is of this user.
    pub fn user(uid: u32) -> Vec<Self> {
        vec![Self::is(Field::Socket, 1), Self::is(Field::User, uid.into())]
    }

    /// It does not hold.
    pub fn not(self) -> Self {
        if let Self::Not(inner) = self {
            return *inner;
        }
        Self::Not(Box::new(self))
    }

    /// Whether it depends on the kind of a link.
    pub fn asks_for_kind(&self) -> bool {
        match self {
            Self::Kind(..) => true,
            Self::Not(inner) => inner.asks_for_kind(),
            Self::Any(alternatives) => alternatives.iter().flatten().any(Self::asks_for_kind),
            Self::Bits(..) | Self::Name(..) | Self::Since(_) | Self::Until(_) | Self::Unknown(_) => false,
        }
    }

    /// The names of what the model does not know in it.
    pub fn unknown(&self) -> Vec<&str> {
        match self {
            Self::Unknown(name) => vec![name],
            Self::Bits(bits, _) if bits.contains(&Bit::Unknown) => vec!["bytes that the model does not have"],
            Self::Not(inner) => inner.unknown(),
            Self::Any(alternatives) => alternatives.iter().flatten().flat_map(Self::unknown).collect(),
            Self::Bits(..) | Self::Name(..) | Self::Kind(..) | Self::Since(_) | Self::Until(_) => Vec::new(),
        }
    }
}

impl Rule {
    /// The names of what the model does not know in it.
    pub fn unknown(&self) -> Vec<&str> {
        let action = match &self.action {
            Action::Unknown(name) => Some(name.as_str()),
            Action::Accept
            | Action::Drop
            | Action::Return
            | Action::Jump(_)
            | Action::Goto(_)
            | Action::Continue => None,
        };
        self.matches.iter().flat_map(Match::unknown).chain(action).collect()
    }
}
