//! The rules of all programs of a machine in one form: conditions on the bits of a packet, and an action for the
//! packets that meet all of them.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;

use super::layout::Field;
use super::writes::Written;
use crate::net::{Family, octets};

/// The rules of a machine that packets on their way out can meet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// The tables of all programs.
    pub tables: Vec<Table>,
    /// The rules that change packets or send them around the remaining rules, each with its position.
    pub writers: BTreeSet<String>,
}

impl Rules {
    /// Number of rules in tables of one family.
    pub(super) fn own(&self) -> usize {
        self.count(|sees| matches!(sees, SeenPackets::Only(_)))
    }

    /// Number of rules in tables that see both families.
    pub(super) fn shared(&self) -> usize {
        self.count(|sees| matches!(sees, SeenPackets::Both | SeenPackets::Frames))
    }

    fn count(&self, counts: impl Fn(SeenPackets) -> bool) -> usize {
        let tables = self.tables.iter().filter(|table| counts(table.sees));
        tables.flat_map(|table| table.chains.values()).map(|chain| chain.rules.len()).sum()
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The program that lists it.
    pub tool: Tool,
    /// The packets that it sees.
    pub sees: SeenPackets,
    /// The name of the table in its family.
    pub name: String,
    /// Its chains by their names.
    pub chains: BTreeMap<String, Chain>,
}

/// A program whose list has the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tool {
    /// `iptables-save`
    Iptables,
    /// `ip6tables-save`
    Ip6tables,
    /// nf_tables. The kernel lists it over netlink; `nft list ruleset` prints the same.
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
pub enum SeenPackets {
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
    /// The type of the chain, which decides what packets it sees.
    pub kind: ChainType,
    /// The priority that its program gives it.
    pub priority: i32,
    /// The links whose packets enter, if the hook belongs to links.
    pub devices: BTreeSet<String>,
    /// Whether the policy accepts a packet that no rule decides.
    pub accepts: bool,
}

/// The positions of NAT among the chains of a hook: `NF_IP_PRI_NAT_DST` and `NF_IP_PRI_NAT_SRC`. A NAT chain's own
/// priority does not change them.
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
    /// It sees every packet.
    Filter,
    /// It sees only the first packet of a connection, at the position of NAT.
    Nat,
    /// Like a filter. If it changes a packet, the kernel looks up the packet's route again.
    Route,
}

/// The hooks that a packet passes. `prove` checks only those of packets that leave; the others can only refuse more.
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
    /// The rule in the words of its program.
    pub text: String,
    /// All of these must hold.
    pub matches: Vec<Match>,
    /// What happens to the packet then.
    pub action: Action,
    /// What the rule also writes.
    pub writes: Vec<Written>,
}

/// What happens to a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It passes this table.
    Accept,
    /// It ends here.
    Drop,
    /// It goes back to the chain that jumped here.
    Return,
    /// It enters another chain, and may come back.
    Jump(String),
    /// It enters another chain, and does not come back.
    Goto(String),
    /// It meets the next rule.
    Continue,
    /// The model does not know this action. The packet may pass, end, or meet the next rule.
    Unknown(String),
}

/// A condition on a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match {
    /// The comparison of these bits with a value holds.
    Bits(Vec<Bit>, Test),
    /// The name of the incoming or outgoing link begins with these bytes.
    Name(Way, Vec<u8>),
    /// The link is of this kind, in the kernel's words.
    Kind(Way, String),
    /// The kernel's clock has reached this moment, in seconds since 1970.
    Since(i64),
    /// The kernel's clock has not reached this moment.
    Until(i64),
    /// At least one of these lists holds: all its conditions hold.
    Any(Vec<Vec<Match>>),
    /// The condition does not hold.
    Not(Box<Match>),
    /// The model does not know whether this holds.
    Unknown(String),
}

/// The incoming or the outgoing link.
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
    /// Its value is the same for every packet.
    Known(bool),
    /// The model does not know it.
    Unknown,
}

/// A comparison with a value, most significant bit first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// Equal, below or above.
    pub comparison: Comparison,
    /// The value to compare with.
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
    /// A condition that holds for every packet.
    pub fn always() -> Self {
        Self::Any(vec![Vec::new()])
    }

    /// The field has this value.
    pub fn is(field: Field, value: u128) -> Self {
        Self::masked(field, value, u128::MAX)
    }

    /// Those bits of the field that are one in the mask have this value.
    pub fn masked(field: Field, value: u128, mask: u128) -> Self {
        Self::part(field, [0, field.width()], value, mask)
    }

    /// A part of the field, of at most 128 bits: its bits that are one in the mask have this value.
    pub fn part(field: Field, [start, length]: [u16; 2], value: u128, mask: u128) -> Self {
        let bit = |number: u128, at: u16| number >> (length - 1 - at) & 1 == 1;
        let kept = (0..length).filter(|&at| bit(mask, at));
        let (bits, value) = kept.map(|at| (Bit::Of(field, start + at), bit(value, at))).unzip();
        Self::Bits(bits, Test { comparison: Comparison::Equal, value })
    }

    /// The packet is a fragment, but not the first one.
    pub fn later_fragment(family: Family) -> Self {
        match family {
            Family::V4 => Self::part(Field::Network, [51, 13], 0, u128::MAX).not(),
            Family::V6 => Self::Any(vec![vec![
                Self::is(Field::FragmentHeader, 1),
                Self::masked(Field::FragmentOffset, 0, 0xfff8).not(),
            ]]),
        }
    }

    /// The field is between these values, both included.
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

    /// The first of these bits are the prefix of a network.
    fn prefix(bits: impl Fn(u16) -> Bit, net: &IpNet) -> Self {
        let octets = octets(net.network());
        let kept = 0..u16::from(net.prefix_len());
        let value = kept.clone().map(|at| octets[usize::from(at / 8)] >> (7 - at % 8) & 1 == 1).collect();
        Self::Bits(kept.map(bits).collect(), Test { comparison: Comparison::Equal, value })
    }

    /// The packet goes to this network.
    pub fn to(net: &IpNet) -> Self {
        let start = match net {
            IpNet::V4(_) => 128,
            IpNet::V6(_) => 192,
        };
        Self::prefix(|at| Bit::Of(Field::Network, start + at), net)
    }

    /// The packet comes from this network.
    pub fn from(net: &IpNet) -> Self {
        let start = Field::source(Family::of(net.network())).start;
        Self::prefix(|at| Bit::Of(Field::Network, start + at), net)
    }

    /// The first packet of its connection went to this network, before DNAT.
    pub fn first_to(net: &IpNet) -> Self {
        Self::prefix(|at| Bit::Of(Field::FirstDestination, at), net)
    }

    /// The packet has this protocol (IANA's number).
    pub fn protocol(number: u8) -> Self {
        Self::is(Field::Protocol, number.into())
    }

    /// The source or destination port is one of these. The packet must have a protocol with ports.
    pub fn port(field: Field, ports: [u16; 2]) -> Vec<Self> {
        let mut matches = vec![Self::is(Field::PortRead, 1)];
        matches.extend(Self::between(field, ports.map(u128::from)));
        matches
    }

    /// The packet has this ICMP type. Its protocol must be ICMP.
    pub fn icmp_type(number: u8) -> Vec<Self> {
        vec![Self::is(Field::PortRead, 1), Self::masked(Field::SourcePort, u128::from(number) << 8, 0xff00)]
    }

    /// The TTL, or the hop limit of IPv6, is between these values.
    pub fn hops(family: Family, [first, last]: [u8; 2]) -> Vec<Self> {
        Self::between(Field::hops(family), [first.into(), last.into()])
    }

    /// The kernel has a connection for it: its state is neither INVALID nor UNTRACKED.
    pub fn tracked() -> Vec<Self> {
        [1, 64].map(|state| Self::is(Field::State, state).not()).to_vec()
    }

    /// The socket belongs to this user.
    pub fn user(uid: u32) -> Vec<Self> {
        vec![Self::is(Field::Socket, 1), Self::is(Field::User, uid.into())]
    }

    /// The negation of this condition.
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

    /// The names of its parts that the model does not know.
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
    /// The names of its parts that the model does not know.
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
