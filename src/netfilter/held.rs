//! What nf_tables holds in the tables of one family: which tables and chains there are, whether a table is
//! switched off, and where rules jump to. What else a rule matches is not read. Pure.
//!
//! netlink-bindings, which is generated from the kernel's own description of nf_tables, reads the attributes.
//!
//! `iptables-save` must understand every rule of a table. It prints nothing of the table when another program's
//! rule is of a kind that iptables does not have. This reading needs to understand no rule.

use std::collections::BTreeMap;
use std::ffi::CStr;

use netlink_bindings::nftables::{
    ChainAttrs, ExprListAttrs, ExprOps, IterableExprImmediateAttrs, IterableExprListAttrs, RuleAttrs,
    TableAttrs, TableFlags, VerdictCode,
};

use super::dump::{self, Progress};
use super::encode::NEW_CHAIN;
use super::message::{NFTABLES, batch, message, protocol, text};
use super::{Malformed, NFGENMSG};
use crate::net::Family;
use crate::netlink::{ACKNOWLEDGE, DUMP, REQUEST, attribute};

pub(super) const NEW_TABLE: u16 = NFTABLES << 8;
pub(super) const GET_TABLE: u16 = NFTABLES << 8 | 1;
const GET_CHAIN: u16 = NFTABLES << 8 | 4;
const NEW_RULE: u16 = NFTABLES << 8 | 6;
const GET_RULE: u16 = NFTABLES << 8 | 7;

/// No chain of such a table sees a packet.
const DORMANT: u32 = TableFlags::Dormant as u32;
/// `NF_ACCEPT`, as a policy.
const ACCEPT: u32 = 1;

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeldTable {
    /// `NFT_TABLE_F_…`.
    pub flags: u32,
    /// Its chains by their names.
    pub chains: BTreeMap<String, HeldChain>,
}

/// One chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeldChain {
    /// What happens to a packet at the end of a built-in chain.
    pub policy: Option<Policy>,
    /// Its rules, first to last.
    pub rules: Vec<HeldRule>,
    /// The kernel's handles of the rules, in the same order.
    pub handles: Vec<u64>,
}

/// The policy of a built-in chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It passes.
    Accept,
    /// It ends here.
    Drop,
}

/// One rule, as far as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldRule {
    /// A jump of every packet into this chain.
    Jump(String),
    /// Any other rule, and the chain that it leads into, if there is one.
    Other(Option<String>),
}

impl Policy {
    fn of(number: u32) -> Self {
        if number == ACCEPT { Self::Accept } else { Self::Drop }
    }
}

impl HeldRule {
    /// Whether it leads into this chain.
    pub fn leads_to(&self, chain: &str) -> bool {
        match self {
            Self::Jump(to) | Self::Other(Some(to)) => to == chain,
            Self::Other(None) => false,
        }
    }
}

impl HeldTable {
    /// Whether it is switched off: every listing shows it, and no packet meets it.
    pub fn is_dormant(&self) -> bool {
        self.flags & DORMANT != 0
    }
}

/// The requests for the tables, the chains and the rules, in this order.
pub(super) fn questions(family: Family) -> [Vec<u8>; 3] {
    [GET_TABLE, GET_CHAIN, GET_RULE].map(|kind| message(kind, 1, REQUEST | DUMP, protocol(family), &[]))
}

/// The transaction that switches a table on. The table keeps its other flags.
pub(super) fn clear_dormant(family: Family, name: &str, table: &HeldTable) -> Vec<u8> {
    let flags = table.flags & !DORMANT;
    let attributes = [text(1, name), attribute(2, &flags.to_be_bytes())].concat();
    let update = message(NEW_TABLE, 1, REQUEST | ACKNOWLEDGE, protocol(family), &attributes);
    batch(&mut [update].into_iter())
}

/// Reads one datagram of a dump into `tables`.
///
/// # Errors
/// [`Malformed`]
pub(crate) fn take(tables: &mut BTreeMap<String, HeldTable>, datagram: &[u8]) -> Result<Progress, Malformed> {
    dump::read(datagram, |kind, payload| match kind {
        NEW_TABLE => table(tables, payload),
        NEW_CHAIN => chain(tables, payload),
        NEW_RULE => rule(tables, payload),
        _ => Ok(()),
    })
}

/// The attributes of a message, after `struct nfgenmsg`.
fn body(payload: &[u8]) -> Result<&[u8], Malformed> {
    payload.get(NFGENMSG..).ok_or(Malformed)
}

fn table(tables: &mut BTreeMap<String, HeldTable>, payload: &[u8]) -> Result<(), Malformed> {
    let attributes = TableAttrs::new(body(payload)?);
    // The kernel always sends the flags. Without them a table that is switched off would look like one in force.
    let flags = attributes.get_flags()?;
    tables.entry(text_of(attributes.get_name()?)).or_default().flags = flags;
    Ok(())
}

fn chain(tables: &mut BTreeMap<String, HeldTable>, payload: &[u8]) -> Result<(), Malformed> {
    let attributes = ChainAttrs::new(body(payload)?);
    let policy = attributes.get_policy().ok();
    let policy = policy.map(Policy::of);
    let table = tables.entry(text_of(attributes.get_table()?)).or_default();
    table.chains.entry(text_of(attributes.get_name()?)).or_default().policy = policy;
    Ok(())
}

/// The policy that a message gives to `FORWARD` of the table `filter` of iptables.
pub(super) fn forward_policy(payload: &[u8]) -> Result<Option<(Family, Policy)>, Malformed> {
    let of_message = |family: &Family| payload.first() == Some(&protocol(*family));
    let Some(family) = Family::ALL.into_iter().find(of_message) else { return Ok(None) };
    let attributes = ChainAttrs::new(body(payload)?);
    let is_forward = attributes.get_table()? == c"filter" && attributes.get_name()? == c"FORWARD";
    Ok(attributes.get_policy().ok().filter(|_| is_forward).map(|policy| (family, Policy::of(policy))))
}

fn rule(tables: &mut BTreeMap<String, HeldTable>, payload: &[u8]) -> Result<(), Malformed> {
    let attributes = RuleAttrs::new(body(payload)?);
    let rule = match attributes.get_expressions() {
        Ok(list) => expressions(list)?,
        Err(_) => HeldRule::Other(None),
    };
    // The kernel gives every rule a handle, from 1.
    let handle = attributes.get_handle().unwrap_or_default();
    let table = tables.entry(text_of(attributes.get_table()?)).or_default();
    let chain = table.chains.entry(text_of(attributes.get_chain()?)).or_default();
    chain.rules.push(rule);
    chain.handles.push(handle);
    Ok(())
}

fn expressions(list: IterableExprListAttrs<'_>) -> Result<HeldRule, Malformed> {
    let (mut plain, mut target) = (true, None);
    for element in list {
        let ExprListAttrs::Elem(expression) = element?;
        match (expression.get_name()?.to_bytes(), expression.get_data()) {
            (b"counter", _) => {}
            (b"immediate", Ok(ExprOps::Immediate(data))) => {
                let verdict = verdict(&data)?;
                plain &= matches!(verdict, Some((Way::Jump, _)));
                target = verdict.map(|(_, chain)| chain).or(target);
            }
            _ => plain = false,
        }
    }
    Ok(match target {
        Some(chain) if plain => HeldRule::Jump(chain),
        target => HeldRule::Other(target),
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Way {
    Jump,
    Goto,
}

/// The chain that a verdict leads into; `None` for a verdict that leads into none, and for a value.
fn verdict(immediate: &IterableExprImmediateAttrs<'_>) -> Result<Option<(Way, String)>, Malformed> {
    let Ok(verdict) = immediate.get_data().and_then(|data| data.get_verdict()) else { return Ok(None) };
    let way = match VerdictCode::from_value(verdict.get_code()?.into()) {
        Some(VerdictCode::Jump) => Way::Jump,
        Some(VerdictCode::Goto) => Way::Goto,
        _ => return Ok(None),
    };
    Ok(Some((way, text_of(verdict.get_chain()?))))
}

/// A name. Our own names are ASCII; what is not UTF-8 in a name of another program is replaced.
pub(super) fn text_of(name: &CStr) -> String {
    name.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::{ANSWER, DONE, INTERRUPTED};

    fn new(kind: u16, attributes: &[Vec<u8>]) -> Vec<u8> {
        message(kind, 1, 0, 2, &attributes.concat())
    }

    fn number(kind: u16, value: u32) -> Vec<u8> {
        attribute(kind, &value.to_be_bytes())
    }

    fn expression(name: &str, data: &[u8]) -> Vec<u8> {
        attribute(1, &[text(1, name), attribute(2, data)].concat())
    }

    fn to(code: i32, chain: &str) -> Vec<u8> {
        let verdict = [number(1, code.cast_unsigned()), text(2, chain)].concat();
        expression("immediate", &[number(1, 0), attribute(2, &attribute(2, &verdict))].concat())
    }

    fn rule_of(expressions: &[Vec<u8>]) -> Vec<u8> {
        new(NEW_RULE, &[text(1, "filter"), text(2, "INPUT"), attribute(4, &expressions.concat())])
    }

    #[test]
    fn only_a_rule_that_every_packet_follows_is_a_jump() {
        let counter = || expression("counter", &[]);
        let datagram = [
            new(NEW_TABLE, &[text(1, "filter"), number(2, 5)]),
            new(NEW_CHAIN, &[text(1, "filter"), text(3, "INPUT"), number(5, 0)]),
            rule_of(&[counter(), to(-3, "OURS")]),
            rule_of(&[expression("ct", b""), to(-3, "OURS")]),
            rule_of(&[counter(), to(-4, "OURS")]),
            rule_of(&[expression("meta", b"")]),
            new(DONE, &[]),
        ]
        .concat();
        let mut tables = BTreeMap::new();
        assert_eq!(take(&mut tables, &datagram), Ok(Progress::Done));
        let filter = &tables["filter"];
        assert!(filter.is_dormant());
        let input = &filter.chains["INPUT"];
        let other = || HeldRule::Other(Some("OURS".to_owned()));
        assert_eq!(input.policy, Some(Policy::Drop));
        let rules = [HeldRule::Jump("OURS".to_owned()), other(), other(), HeldRule::Other(None)];
        assert_eq!(input.rules, rules);
    }

    #[test]
    fn a_table_that_is_switched_on_keeps_its_other_flags() {
        let table = HeldTable { flags: 7, ..HeldTable::default() };
        let bytes = clear_dormant(Family::V4, "filter", &table);
        let expected = number(2, 6);
        assert!(bytes.windows(expected.len()).any(|window| window == expected), "{bytes:?}");
    }

    #[test]
    fn an_error_and_an_interrupted_dump_are_no_tables() {
        let mut error = new(ANSWER, &[]);
        error[16..20].copy_from_slice(&(-1_i32).to_ne_bytes());
        assert_eq!(take(&mut BTreeMap::new(), &error), Ok(Progress::Refused(1)));
        let interrupted = message(DONE, 1, INTERRUPTED, 2, &[]);
        assert_eq!(take(&mut BTreeMap::new(), &interrupted), Ok(Progress::Again));
        assert_eq!(take(&mut BTreeMap::new(), b"nonsense"), Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = take(&mut BTreeMap::new(), &bytes);
            let framed = new(NEW_RULE, &[text(1, "t"), text(2, "c"), attribute(4, &bytes)]);
            let _ = take(&mut BTreeMap::new(), &framed);
        }
    }
}
