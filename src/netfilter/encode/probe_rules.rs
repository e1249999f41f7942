//! The tables of `prove --live`, which count every probe and drop it on every link. Pure.

use std::net::IpAddr;

use netlink_bindings::nftables::PushChainAttrs;

use super::expression::by_hand;
use super::{CREATE, NEW_CHAIN, REFUSE_EXISTING, Transaction, expressions};
use crate::net::{Family, octets};
use crate::policy::nftables::{
    Comparison, Ct, Instruction, LINKS_OF_A_CHAIN, Meta, NftFamily, NftVerdict, Owner, PayloadBase, TableId,
};

/// The table that counts a packet before and after every filter of IP.
pub const PASSED: TableId = TableId { family: NftFamily::Inet, name: NAME };
/// The table that counts a packet when it comes to a link, and drops it behind every other chain there.
pub const LINKS: TableId = TableId { family: NftFamily::Netdev, name: NAME };

const NAME: &str = "tunwarden_net";

/// The chains whose rules count, besides those of [`caught`]. In this order, they count a packet
///
/// - that comes in;
/// - that is for this machine itself;
/// - that has passed every filter;
/// - that has this machine as a new destination then;
/// - that has another machine as a new destination then;
/// - that comes to a link.
pub(in crate::netfilter) const ENTERED_CHAIN: &str = "entered";
pub(in crate::netfilter) const DELIVERED_CHAIN: &str = "delivered";
pub(in crate::netfilter) const PASSED_CHAIN: &str = "passed";
pub(in crate::netfilter) const TURNED_HOME_CHAIN: &str = "turned_home";
pub(in crate::netfilter) const TURNED_CHAIN: &str = "turned";
pub(in crate::netfilter) const SEEN_CHAIN: &str = "seen";

/// `NF_INET_PRE_ROUTING`, `NF_INET_LOCAL_IN`, `NF_INET_POST_ROUTING` and `NF_NETDEV_EGRESS`.
const PREROUTING: u32 = 0;
const INPUT: u32 = 1;
const POSTROUTING: u32 = 4;
const EGRESS: u32 = 1;
/// `IP_CT_DIR_ORIGINAL`: the direction of the first packet of a connection.
const ORIGINAL: u8 = 0;
/// The loopback link as the kernel compares it: `IFNAMSIZ` bytes.
const LOOPBACK: &[u8; 16] = b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
/// `NF_ACCEPT`: what is no probe goes on.
const ACCEPT: u32 = 1;

/// The first register.
const FIRST: u32 = 1;

/// What is to be caught, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeRules {
    /// The patterns of each probe. A packet is the probe if one of them matches.
    pub probes: Vec<Vec<Pattern>>,
    /// Groups of links. For each group it is known whether a probe came to one of its links.
    pub groups: Vec<Vec<String>>,
}

/// Bytes by which a probe is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// Bytes at this place of the header of this protocol, or behind it.
    Transport(u8, u32, Vec<u8>),
    /// A destination, a protocol, and a port there.
    Destination(IpAddr, u8, Option<u16>),
    /// The same of the first packet of its connection, for a packet that has another destination now. Only the filters
    /// of IP know connections.
    First(IpAddr, u8, u16),
    /// Bytes at this place of the frame. The protocol that the sender declares does not matter.
    Frame(u32, Vec<u8>),
}

/// Where packets enter a chain: the hook, the place among other chains, and the links.
pub(super) type Entrance<'a> = (u32, i32, &'a [String]);

/// A chain that counts.
#[derive(Debug, Clone, Copy)]
struct Counting<'a> {
    table: TableId,
    name: &'a str,
    drops: bool,
}

/// The chain that drops the probes on the links of this group.
pub(in crate::netfilter) fn caught(group: usize) -> String {
    format!("caught_{group}")
}

/// Whether a chain has a rule for a pattern.
pub(in crate::netfilter) fn has_rule(chain: &str, pattern: &Pattern) -> bool {
    match (chain, pattern) {
        (DELIVERED_CHAIN, _) => true,
        (TURNED_HOME_CHAIN | TURNED_CHAIN, pattern) => matches!(pattern, Pattern::First(..)),
        (_, pattern) => !matches!(pattern, Pattern::First(..)),
    }
}

impl Pattern {
    fn instructions(&self) -> Vec<Instruction> {
        let load = |base, offset, length: usize| Instruction::Payload {
            base,
            offset,
            length: u32::try_from(length).unwrap_or(u32::MAX),
            register: FIRST,
        };
        let equal = |value: &[u8]| Instruction::Compare(Comparison::Equal, value.to_vec());
        let is = |meta, value: &[u8]| [Instruction::Meta(meta, FIRST), equal(value)];
        match self {
            Self::Transport(protocol, at, bytes) => {
                let mut steps = is(Meta::L4Proto, &[*protocol]).to_vec();
                steps.extend([load(PayloadBase::Transport, *at, bytes.len()), equal(bytes)]);
                steps
            }
            Self::Destination(address, protocol, port) => {
                let at = if address.is_ipv4() { 16 } else { 24 };
                let bytes = octets(*address);
                let ethertype = Family::of(*address).ethertype();
                let mut steps = is(Meta::Protocol, &ethertype.to_be_bytes()).to_vec();
                steps.extend([load(PayloadBase::Network, at, bytes.len()), equal(&bytes)]);
                steps.extend(is(Meta::L4Proto, &[*protocol]));
                if let Some(port) = port {
                    steps.extend([load(PayloadBase::Transport, 2, 2), equal(&port.to_be_bytes())]);
                }
                steps
            }
            Self::First(address, protocol, port) => {
                let (key, at) = if address.is_ipv4() { (Ct::DstIp, 16) } else { (Ct::DstIp6, 24) };
                let bytes = octets(*address);
                let of_connection = |key, value: &[u8]| [Instruction::CtOriginal(key), equal(value)];
                // An answer of this machine belongs to the same connection.
                let mut steps = vec![Instruction::Ct(Ct::Direction), equal(&[ORIGINAL])];
                steps.extend(is(Meta::L4Proto, &[*protocol]));
                steps.extend(of_connection(key, &bytes));
                steps.extend(of_connection(Ct::ProtoDst, &port.to_be_bytes()));
                steps.push(load(PayloadBase::Network, at, bytes.len()));
                steps.push(Instruction::Compare(Comparison::Other, bytes));
                steps
            }
            Self::Frame(at, bytes) => vec![load(PayloadBase::Link, *at, bytes.len()), equal(bytes)],
        }
    }
}

impl Transaction {
    /// Makes both tables. The socket that commits them owns them, and they end with it.
    pub fn net(net: &ProbeRules) -> Self {
        let mut transaction = Self::default();
        for id in [PASSED, LINKS] {
            transaction.table(id, Owner::MakerOfCopy, CREATE | REFUSE_EXISTING);
        }
        let of_ip = |name, drops| Counting { table: PASSED, name, drops };
        transaction.counting(net, of_ip(ENTERED_CHAIN, false));
        transaction.counting(net, of_ip(DELIVERED_CHAIN, true));
        transaction.counting(net, of_ip(PASSED_CHAIN, false));
        transaction.counting(net, of_ip(TURNED_HOME_CHAIN, true));
        transaction.counting(net, of_ip(TURNED_CHAIN, true));
        transaction.entrance(PASSED, "first", (PREROUTING, i32::MIN, &[]), &[(ENTERED_CHAIN, None)]);
        transaction.entrance(PASSED, "inside", (INPUT, i32::MAX, &[]), &[(DELIVERED_CHAIN, None)]);
        let last = [(PASSED_CHAIN, None), (TURNED_HOME_CHAIN, Some(LOOPBACK)), (TURNED_CHAIN, None)];
        transaction.entrance(PASSED, "last", (POSTROUTING, i32::MAX, &[]), &last);
        transaction.counting(net, Counting { table: LINKS, name: SEEN_CHAIN, drops: false });
        for (group, links) in net.groups.iter().enumerate() {
            let caught = caught(group);
            transaction.counting(net, Counting { table: LINKS, name: &caught, drops: true });
            for (n, links) in links.chunks(LINKS_OF_A_CHAIN).enumerate() {
                let name = |when| format!("{when}_{group}_{n}");
                let seen = [(SEEN_CHAIN, None)];
                transaction.entrance(LINKS, &name("first"), (EGRESS, i32::MIN, links), &seen);
                transaction.entrance(LINKS, &name("last"), (EGRESS, i32::MAX, links), &[(&caught, None)]);
            }
        }
        transaction
    }

    /// A chain with a rule for each pattern of each probe that it counts.
    fn counting(&mut self, net: &ProbeRules, Counting { table, name, drops }: Counting<'_>) {
        self.net_chain(table, name, None);
        for pattern in net.probes.iter().flatten().filter(|pattern| has_rule(name, pattern)) {
            let drop = [Instruction::Verdict(NftVerdict::Drop)];
            self.append(table, name, |list| {
                let list = by_hand(expressions(list, &pattern.instructions()).nested_elem(), c"counter", &[]);
                if drops { expressions(list, &drop) } else { list }
            });
        }
    }

    /// A chain at a hook that leads into each of these, one after the other; into some only on the way to one link.
    fn entrance(&mut self, table: TableId, name: &str, at: Entrance<'_>, to: &[(&str, Option<&[u8; 16]>)]) {
        self.net_chain(table, name, Some(at));
        for (chain, link) in to {
            let is_link = link.map(|link| {
                [
                    Instruction::Meta(Meta::OifName, FIRST),
                    Instruction::Compare(Comparison::Equal, link.to_vec()),
                ]
            });
            let jump = Instruction::Verdict(NftVerdict::Jump((*chain).to_owned()));
            let steps: Vec<Instruction> = is_link.into_iter().flatten().chain([jump]).collect();
            self.append(table, name, |list| expressions(list, &steps));
        }
    }

    pub(super) fn net_chain(&mut self, table: TableId, name: &str, at: Option<Entrance<'_>>) {
        let mut attributes = Vec::new();
        let names = PushChainAttrs::new(&mut attributes).push_table_bytes(table.name.as_bytes());
        let named = names.push_name_bytes(name.as_bytes());
        match at {
            Some((hook, priority, links)) => {
                let mut hook = named.nested_hook().push_num(hook).push_priority(priority);
                if !links.is_empty() {
                    let devices = hook.nested_devs();
                    let named = links.iter().fold(devices, |all, link| all.push_name_bytes(link.as_bytes()));
                    hook = named.end_nested();
                }
                hook.end_nested().push_policy(ACCEPT).push_type(c"filter").end_nested();
            }
            None => {
                named.end_nested();
            }
        }
        self.push(NEW_CHAIN, CREATE, table.family, attributes);
    }
}
