//! The messages that make, change and delete our tables, as one transaction. Pure.
//!
//! netlink-bindings, which is generated from the kernel's own description of nf_tables, writes the attributes. These
//! are written by hand:
//!
//! - the headers of the messages, which that library writes only for its own kind of batch;
//! - the instructions `byteorder`, `dynset`, `exthdr`, `limit` and `socket`, which it does not know;
//! - `lookup`, whose attributes it numbers in another order than the kernel;
//! - `counter`, `fib`, `log` and `reject`;
//! - the byte order of a set's number and timeout, which it writes as the machine does.

mod expression;
pub mod probe_rules;
pub mod senders;

use netlink_bindings::nftables::{
    PushChainAttrs, PushExprListAttrs, PushRuleAttrs, PushSetAttrs, PushSetelemListAttrs, PushTableAttrs,
    SetFlags, TableFlags,
};
use netlink_bindings::traits::Pusher;

use super::message::{NFTABLES, batch, message, question};
use crate::net::Family;
use crate::netlink::{ACKNOWLEDGE, REQUEST};
use crate::policy::nftables::{
    ASKED, ASKED_MILLISECONDS, Base, Found, Hook, Instruction, KeyType, Keys, NftChain, NftElements,
    NftFamily, NftRule, NftSet, NftTable, Owner, TableId, instructions,
};
use expression::expression;

pub(super) const NEW_TABLE: u16 = NFTABLES << 8;
const DELETE_TABLE: u16 = NFTABLES << 8 | 2;
pub(super) const NEW_CHAIN: u16 = NFTABLES << 8 | 3;
pub(super) const NEW_RULE: u16 = NFTABLES << 8 | 6;
const DELETE_RULE: u16 = NFTABLES << 8 | 8;
pub(super) const NEW_SET: u16 = NFTABLES << 8 | 9;
const DELETE_SET: u16 = NFTABLES << 8 | 11;
pub(super) const NEW_ELEMENTS: u16 = NFTABLES << 8 | 12;

/// `NLM_F_EXCL`, `NLM_F_CREATE` and `NLM_F_APPEND`.
const REFUSE_EXISTING: u16 = 0x200;
pub(super) const CREATE: u16 = 0x400;
const AT_THE_END: u16 = 0x800;

/// Maximum number of elements in one message. An attribute has at most 64 KiB, and an element at most 40 bytes.
const ELEMENTS: usize = 1000;

/// `NF_DROP`, as a policy.
const DROP: u32 = 0;
/// The kernel replaces `%d` in the name of a rule's own set by a number.
const OWN_SET: &[u8] = b"__set%d";

/// The name of the tables in a question. The kernel never makes them.
const PROBE: &str = "tunwarden_probe";

/// Changes that the kernel makes all at once, or not at all.
#[derive(Debug)]
pub struct Transaction {
    messages: Vec<Message>,
    /// Number of sets in it.
    sets: u32,
    purpose: Purpose,
}

/// What the kernel does with a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// It commits it.
    Commit,
    /// It checks every message, answers, and undoes all of it.
    Question,
}

impl Default for Transaction {
    fn default() -> Self {
        Self { messages: Vec::new(), sets: 0, purpose: Purpose::Commit }
    }
}

#[derive(Debug)]
struct Message {
    kind: u16,
    flags: u16,
    family: NftFamily,
    attributes: Vec<u8>,
}

impl Transaction {
    /// Asks whether the kernel would make this table. The table gets another name, so ours is not touched.
    pub fn question(table: &NftTable) -> Self {
        let mut transaction = Self { purpose: Purpose::Question, ..Self::default() };
        transaction.replace(table, Found::Absent);
        transaction
    }

    /// Whether the kernel commits it.
    pub(super) fn is_commit(&self) -> bool {
        self.purpose == Purpose::Commit
    }

    fn name(&self, table: TableId) -> &'static [u8] {
        match self.purpose {
            Purpose::Commit => table.name.as_bytes(),
            Purpose::Question => PROBE.as_bytes(),
        }
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Makes a table, in place of what was found under its name.
    pub fn replace(&mut self, table: &NftTable, found: Found) {
        match found {
            // This makes sure that there is a table to delete.
            Found::Unknown => {
                self.table(table.id(), Owner::Nobody, CREATE);
                self.delete(table.id());
            }
            Found::Present => self.delete(table.id()),
            // After a deletion the kernel waits for its readers, and so does the next transaction. So nothing is
            // deleted here.
            Found::Absent => {}
        }
        self.table(table.id(), table.owner, CREATE | REFUSE_EXISTING);
        for chain in &table.chains {
            self.chain(table.id(), chain);
        }
        for set in &table.sets {
            self.set(table.id(), set);
        }
        self.rules(table);
    }

    /// Replaces the rules of a table that has the same chains. The chains stay at their hooks, so there is no
    /// moment without them. Deletes the sets of `held` that the table does not have.
    pub fn refill(&mut self, table: &NftTable, held: &NftTable) {
        let id = table.id();
        let mut all_rules = Vec::new();
        PushRuleAttrs::new(&mut all_rules).push_table_bytes(self.name(id)).end_nested();
        self.push(DELETE_RULE, 0, id.family, all_rules);
        for set in held.sets.iter().filter(|set| !table.sets.contains(set)) {
            let mut names = Vec::new();
            let set = set.name.as_bytes();
            PushSetAttrs::new(&mut names).push_table_bytes(self.name(id)).push_name_bytes(set).end_nested();
            self.push(DELETE_SET, 0, id.family, names);
        }
        for set in table.sets.iter().filter(|set| !held.sets.contains(set)) {
            self.set(id, set);
        }
        self.rules(table);
    }

    /// Deletes a table.
    pub fn delete(&mut self, table: TableId) {
        let mut name = Vec::new();
        PushTableAttrs::new(&mut name).push_name_bytes(self.name(table)).end_nested();
        self.push(DELETE_TABLE, 0, table.family, name);
    }

    /// The messages as one datagram. The first one has the number 1, and the last one asks for an acknowledgement.
    /// The kernel answers a refused message in any case.
    pub fn into_bytes(self) -> Vec<u8> {
        let count = self.messages.len();
        let frame = match self.purpose {
            Purpose::Commit => batch,
            Purpose::Question => question,
        };
        let mut messages =
            (1..).zip(self.messages).map(|(number, Message { kind, flags, family, attributes })| {
                let last = usize::try_from(number).is_ok_and(|number: usize| number == count);
                let asks = if last { ACKNOWLEDGE } else { 0 };
                message(kind, number, REQUEST | flags | asks, protocol(family), &attributes)
            });
        frame(&mut messages)
    }

    fn push(&mut self, kind: u16, flags: u16, family: NftFamily, attributes: Vec<u8>) {
        self.messages.push(Message { kind, flags, family, attributes });
    }

    fn table(&mut self, id: TableId, owner: Owner, flags: u16) {
        let table_flags = match owner {
            Owner::Nobody => 0,
            Owner::Maker => TableFlags::Owner as u32 | TableFlags::Persist as u32,
            Owner::MakerOfCopy => TableFlags::Owner as u32,
        };
        let mut attributes = Vec::new();
        let table = PushTableAttrs::new(&mut attributes).push_name_bytes(self.name(id));
        table.push_flags(table_flags).end_nested();
        self.push(NEW_TABLE, flags, id.family, attributes);
    }

    fn chain(&mut self, table: TableId, chain: &NftChain) {
        let mut attributes = Vec::new();
        let names = PushChainAttrs::new(&mut attributes).push_table_bytes(self.name(table));
        let named = names.push_name_bytes(chain.name.as_bytes());
        match &chain.base {
            Some(base) => hooked(named, base),
            None => {
                named.end_nested();
            }
        }
        self.push(NEW_CHAIN, CREATE, table.family, attributes);
    }

    fn set(&mut self, table: TableId, set: &NftSet) {
        let (kind, length) = key_of(&set.elements);
        self.sets += 1;
        let mut attributes = Vec::new();
        let names = PushSetAttrs::new(&mut attributes).push_table_bytes(self.name(table));
        let flags = match set.elements {
            NftElements::Endpoints(..) | NftElements::Kinds(_) => 0,
            NftElements::Asked(_) => SetFlags::Timeout as u32 | SetFlags::Eval as u32,
        };
        let key = names.push_name_bytes(set.name.as_bytes()).push_flags(flags).push_key_type(kind);
        let key = key.push_key_len(length).push_id(self.sets.to_be());
        let key = match set.elements {
            NftElements::Endpoints(..) | NftElements::Kinds(_) => key,
            NftElements::Asked(_) => {
                key.push_timeout(ASKED_MILLISECONDS.to_be()).nested_desc().push_size(ASKED).end_nested()
            }
        };
        key.push_userdata(&byte_order(order_of(&set.elements))).end_nested();
        self.push(NEW_SET, CREATE, table.family, attributes);
        self.elements(table, set.name.as_bytes(), &set.elements.keys());
    }

    /// A set of a rule's own. Returns its number in this transaction.
    fn own_set(&mut self, table: TableId, kind: KeyType, values: &[Vec<u8>]) -> u32 {
        let (kind, length) = match kind {
            KeyType::Protocol => (INET_PROTO, 1),
            KeyType::Port => (INET_SERVICE, 2),
        };
        self.sets += 1;
        let flags = SetFlags::Anonymous as u32 | SetFlags::Constant as u32;
        let size = u32::try_from(values.len()).unwrap_or(u32::MAX);
        let mut attributes = Vec::new();
        let names = PushSetAttrs::new(&mut attributes).push_table_bytes(self.name(table));
        let key = names.push_name_bytes(OWN_SET).push_flags(flags).push_key_type(kind).push_key_len(length);
        let key = key.push_id(self.sets.to_be()).nested_desc().push_size(size).end_nested();
        key.push_userdata(&byte_order(NETWORK_ORDER)).end_nested();
        self.push(NEW_SET, CREATE, table.family, attributes);
        self.elements(table, OWN_SET, values);
        self.sets
    }

    /// The elements of the set that was made last.
    fn elements(&mut self, table: TableId, set: &[u8], keys: &[Vec<u8>]) {
        for keys in keys.chunks(ELEMENTS) {
            let mut attributes = Vec::new();
            let names = PushSetelemListAttrs::new(&mut attributes).push_table_bytes(self.name(table));
            let mut list = names.push_set_bytes(set).push_set_id(self.sets.to_be()).nested_elements();
            for key in keys {
                list = list.nested_elem().nested_key().push_value(key).end_nested().end_nested();
            }
            list.end_nested().end_nested();
            self.push(NEW_ELEMENTS, CREATE, table.family, attributes);
        }
    }

    fn rules(&mut self, table: &NftTable) {
        for chain in &table.chains {
            for rule in &chain.rules {
                self.rule(table.id(), &chain.name, rule);
            }
        }
    }

    fn rule(&mut self, table: TableId, chain: &str, rule: &NftRule) {
        let steps = instructions(table.family, rule);
        let mut own = Vec::new();
        for step in &steps {
            if let Instruction::Lookup(Keys::Own(kind, values)) = step {
                own.push(self.own_set(table, *kind, values));
            }
        }
        let mut own = own.into_iter();
        self.append(table, chain, |list| {
            steps.iter().fold(list, |list, step| expression(list, step, &mut own))
        });
    }

    /// Appends a rule with the instructions that `write` appends to a list.
    fn append(
        &mut self,
        table: TableId,
        chain: &str,
        write: impl for<'a> FnOnce(Instructions<'a>) -> Instructions<'a>,
    ) {
        let mut attributes = Vec::new();
        let names = PushRuleAttrs::new(&mut attributes).push_table_bytes(self.name(table));
        let list = names.push_chain_bytes(chain.as_bytes()).nested_expressions();
        write(list).end_nested().end_nested();
        self.push(NEW_RULE, CREATE | AT_THE_END, table.family, attributes);
    }
}

/// The instructions of a rule, while they are written.
type Instructions<'a> = PushExprListAttrs<PushRuleAttrs<&'a mut Vec<u8>>>;

/// Appends instructions that use no set of the rule's own.
fn expressions<'a>(list: Instructions<'a>, steps: &[Instruction]) -> Instructions<'a> {
    steps.iter().fold(list, |list, step| expression(list, step, &mut std::iter::empty()))
}

/// Types of values, by nft's numbers. The kernel only keeps them, and nft lists a set by them. A key of several
/// parts has six bits for each.
const IPV4_ADDR: u32 = 7;
const IPV6_ADDR: u32 = 8;
const INET_PROTO: u32 = 12;
const INET_SERVICE: u32 = 13;
const IFNAME: u32 = 41;

/// The type and the length of a set's keys.
fn key_of(elements: &NftElements) -> (u32, u32) {
    let endpoint = |address: u32| (address << 6 | INET_PROTO) << 6 | INET_SERVICE;
    let asked = |address: u32| (address << 6 | INET_SERVICE) << 6 | INET_SERVICE;
    match elements {
        NftElements::Endpoints(Family::V4, _) => (endpoint(IPV4_ADDR), 12),
        NftElements::Endpoints(Family::V6, _) => (endpoint(IPV6_ADDR), 24),
        NftElements::Kinds(_) => (IFNAME, 16),
        NftElements::Asked(Family::V4) => (asked(IPV4_ADDR), 12),
        NftElements::Asked(Family::V6) => (asked(IPV6_ADDR), 24),
    }
}

/// nft's numbers for the byte order of keys: of several parts, as the machine's, as the network's.
const NO_ORDER: u32 = 0;
const MACHINE_ORDER: u32 = 1;
const NETWORK_ORDER: u32 = 2;

fn order_of(elements: &NftElements) -> u32 {
    match elements {
        NftElements::Endpoints(..) | NftElements::Asked(_) => NO_ORDER,
        NftElements::Kinds(_) => MACHINE_ORDER,
    }
}

/// What nft keeps with a set to list its elements (`NFTNL_UDATA_SET_KEYBYTEORDER`): a type, a length and a number.
fn byte_order(order: u32) -> [u8; 6] {
    let [a, b, c, d] = order.to_ne_bytes();
    [0, 4, a, b, c, d]
}

/// `NFPROTO_INET` or `NFPROTO_NETDEV`.
pub(super) fn protocol(family: NftFamily) -> u8 {
    match family {
        NftFamily::Inet => 1,
        NftFamily::Netdev => 5,
    }
}

/// `NF_INET_…`, and `NF_NETDEV_EGRESS`.
fn number(hook: Hook) -> u32 {
    match hook {
        Hook::Input | Hook::Egress => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
    }
}

/// Where packets enter a chain.
fn hooked<P: Pusher>(chain: PushChainAttrs<P>, base: &Base) {
    let mut hook = chain.nested_hook().push_num(number(base.hook)).push_priority(base.priority);
    if !base.devices.is_empty() {
        let mut devices = hook.nested_devs();
        for device in &base.devices {
            devices = devices.push_name_bytes(device.as_bytes());
        }
        hook = devices.end_nested();
    }
    hook.end_nested().push_policy(DROP).push_type(c"filter").end_nested();
}
