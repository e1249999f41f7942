//! The tables of `prove --live`, which count every probe and drop it on every link. Pure.

use std::net::IpAddr;

use netlink_bindings::nftables::{PushChainAttrs, PushRuleAttrs};

use super::expression::{by_hand, expression};
use super::{CREATE, NEW_CHAIN, NEW_RULE, REFUSE_EXISTING, Transaction};
use crate::net::{Family, octets};
use crate::policy::nftables::{
    Comparison, Instruction, LINKS_OF_A_CHAIN, Meta, NftFamily, NftVerdict, Owner, PayloadBase, TableId,
};

/// The table that counts a packet after every filter of IP.
pub const PASSED: TableId = TableId { family: NftFamily::Inet, name: NAME };
/// The table that counts a packet when it comes to a link, and drops it behind every other chain there.
pub const LINKS: TableId = TableId { family: NftFamily::Netdev, name: NAME };

const NAME: &str = "tunwarden_net";

/// The chains whose rules count, besides those of [`caught`].
pub(in crate::netfilter) const PASSED_CHAIN: &str = "passed";
pub(in crate::netfilter) const SEEN_CHAIN: &str = "seen";

/// `NF_INET_POST_ROUTING` and `NF_NETDEV_EGRESS`.
const POSTROUTING: u32 = 4;
const EGRESS: u32 = 1;
/// `NF_ACCEPT`: what is no probe goes on.
const ACCEPT: u32 = 1;

/// The first register.
const FIRST: u32 = 1;

/// What is to be caught, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Net {
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
    /// Bytes at this place of the frame. The protocol that the sender declares does not matter.
    Frame(u32, Vec<u8>),
}

/// Where packets enter a chain: the hook, the place among other chains, and the links.
type Place<'a> = (u32, i32, &'a [String]);

/// The chain that drops the probes on the links of this group.
pub(in crate::netfilter) fn caught(group: usize) -> String {
    format!("caught_{group}")
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
            Self::Frame(at, bytes) => vec![load(PayloadBase::Link, *at, bytes.len()), equal(bytes)],
        }
    }
}

impl Transaction {
    /// Makes both tables. The socket that commits them owns them, and they end with it.
    pub fn net(net: &Net) -> Self {
        let mut transaction = Self::default();
        for id in [PASSED, LINKS] {
            transaction.table(id, Owner::MakerOfCopy, CREATE | REFUSE_EXISTING);
        }
        transaction.counting(PASSED, PASSED_CHAIN, net, None);
        transaction.entrance(PASSED, "last", (POSTROUTING, i32::MAX, &[]), PASSED_CHAIN);
        transaction.counting(LINKS, SEEN_CHAIN, net, None);
        for (group, links) in net.groups.iter().enumerate() {
            let caught = caught(group);
            transaction.counting(LINKS, &caught, net, Some(&NftVerdict::Drop));
            for (n, links) in links.chunks(LINKS_OF_A_CHAIN).enumerate() {
                let name = |when| format!("{when}_{group}_{n}");
                transaction.entrance(LINKS, &name("first"), (EGRESS, i32::MIN, links), SEEN_CHAIN);
                transaction.entrance(LINKS, &name("last"), (EGRESS, i32::MAX, links), &caught);
            }
        }
        transaction
    }

    /// A chain with a rule for each pattern of each probe.
    fn counting(&mut self, table: TableId, chain: &str, net: &Net, verdict: Option<&NftVerdict>) {
        self.net_chain(table, chain, None);
        for pattern in net.probes.iter().flatten() {
            let mut attributes = Vec::new();
            let names = PushRuleAttrs::new(&mut attributes).push_table_bytes(table.name.as_bytes());
            let list = names.push_chain_bytes(chain.as_bytes()).nested_expressions();
            let steps = pattern.instructions();
            let list = steps.iter().fold(list, |list, step| expression(list, step, &mut std::iter::empty()));
            let list = by_hand(list.nested_elem(), c"counter", &[]);
            let list = match verdict {
                Some(verdict) => {
                    expression(list, &Instruction::Verdict(verdict.clone()), &mut std::iter::empty())
                }
                None => list,
            };
            list.end_nested().end_nested();
            self.push(NEW_RULE, CREATE | super::AT_THE_END, table.family, attributes);
        }
    }

    /// A chain at a hook that leads into `to`.
    fn entrance(&mut self, table: TableId, name: &str, place: Place<'_>, to: &str) {
        self.net_chain(table, name, Some(place));
        let mut attributes = Vec::new();
        let names = PushRuleAttrs::new(&mut attributes).push_table_bytes(table.name.as_bytes());
        let list = names.push_chain_bytes(name.as_bytes()).nested_expressions();
        let jump = Instruction::Verdict(NftVerdict::Jump(to.to_owned()));
        expression(list, &jump, &mut std::iter::empty()).end_nested().end_nested();
        self.push(NEW_RULE, CREATE | super::AT_THE_END, table.family, attributes);
    }

    fn net_chain(&mut self, table: TableId, name: &str, place: Option<Place<'_>>) {
        let mut attributes = Vec::new();
        let names = PushChainAttrs::new(&mut attributes).push_table_bytes(table.name.as_bytes());
        let named = names.push_name_bytes(name.as_bytes());
        match place {
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
