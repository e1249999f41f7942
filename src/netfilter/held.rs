//! What nf_tables holds in the tables of one family: which tables and chains there are, whether a table is
//! switched off, and where rules jump to. What else a rule matches is not read. Pure.
//!
//! `iptables-save` needs to understand every rule of a table, and prints nothing of the table when one
//! rule is somebody else's and of a kind that iptables does not have. This reading does not.

use std::collections::BTreeMap;

use netlink_packet_core::{NetlinkBuffer, NlaBuffer, NlasIterator};

use super::message::{
    ACKNOWLEDGE, ANSWER, DONE, DUMP, INTERRUPTED, NFTABLES, REQUEST, attribute, batch, message, protocol,
    text,
};
use super::{Malformed, NFGENMSG};
use crate::net::Family;

const NEW_TABLE: u16 = NFTABLES << 8;
const GET_TABLE: u16 = NFTABLES << 8 | 1;
const NEW_CHAIN: u16 = NFTABLES << 8 | 3;
const GET_CHAIN: u16 = NFTABLES << 8 | 4;
const NEW_RULE: u16 = NFTABLES << 8 | 6;
const GET_RULE: u16 = NFTABLES << 8 | 7;

/// `NFT_TABLE_F_DORMANT`: no chain of the table sees a packet.
const DORMANT: u32 = 1;

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
}

/// The policy of a built-in chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It passes.
    Accept,
    /// It is gone.
    Drop,
}

/// One rule, as far as it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldRule {
    /// Every packet goes into this chain.
    Jump(String),
    /// Some other rule, and the chain that it leads into, if it leads into one.
    Other(Option<String>),
}

impl HeldTable {
    /// Whether it is switched off: it can be listed as ever, and no packet meets it.
    pub fn is_dormant(&self) -> bool {
        self.flags & DORMANT != 0
    }
}

/// What is asked for, one after the other: the tables, the chains, the rules.
pub(super) fn questions(family: Family) -> [Vec<u8>; 3] {
    [GET_TABLE, GET_CHAIN, GET_RULE].map(|kind| message(kind, 1, REQUEST | DUMP, protocol(family), &[]))
}

/// The transaction that switches a table on, which has the other flags that it has.
pub(super) fn awaken(family: Family, name: &str, table: &HeldTable) -> Vec<u8> {
    let flags = table.flags & !DORMANT;
    let attributes = [text(1, name), attribute(2, &flags.to_be_bytes())].concat();
    let update = message(NEW_TABLE, 1, REQUEST | ACKNOWLEDGE, protocol(family), &attributes);
    batch([update].into_iter())
}

/// How far a dump has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// More follows.
    More,
    /// That was all.
    Done,
    /// The tables changed meanwhile: the dump has to be made again.
    Again,
    /// The kernel refused it, with this error number.
    Refused(i32),
}

/// Takes one datagram of a dump into `tables`.
///
/// # Errors
/// [`Malformed`]
pub(super) fn take(
    tables: &mut BTreeMap<String, HeldTable>,
    mut datagram: &[u8],
) -> Result<Progress, Malformed> {
    while !datagram.is_empty() {
        let message = NetlinkBuffer::new_checked(datagram).map_err(|_| Malformed)?;
        if message.flags() & INTERRUPTED != 0 {
            return Ok(Progress::Again);
        }
        let payload = message.payload();
        match message.message_type() {
            DONE => return Ok(Progress::Done),
            ANSWER => {
                let error = payload.first_chunk().ok_or(Malformed)?;
                return Ok(Progress::Refused(-i32::from_ne_bytes(*error)));
            }
            NEW_TABLE => table(tables, payload)?,
            NEW_CHAIN => chain(tables, payload)?,
            NEW_RULE => rule(tables, payload)?,
            _ => {}
        }
        let length = usize::try_from(message.length()).map_err(|_| Malformed)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Progress::More)
}

/// `NFTA_TABLE_NAME` and `NFTA_TABLE_FLAGS`.
fn table(tables: &mut BTreeMap<String, HeldTable>, payload: &[u8]) -> Result<(), Malformed> {
    let attributes = Attributes::of_message(payload)?;
    let flags = attributes.number(2)?.unwrap_or_default();
    tables.entry(attributes.text(1)?).or_default().flags = flags;
    Ok(())
}

/// `NFTA_CHAIN_TABLE`, `NFTA_CHAIN_NAME` and `NFTA_CHAIN_POLICY`.
fn chain(tables: &mut BTreeMap<String, HeldTable>, payload: &[u8]) -> Result<(), Malformed> {
    let attributes = Attributes::of_message(payload)?;
    let policy = attributes.number(5)?.map(|policy| if policy == 1 { Policy::Accept } else { Policy::Drop });
    let table = tables.entry(attributes.text(1)?).or_default();
    table.chains.entry(attributes.text(3)?).or_default().policy = policy;
    Ok(())
}

/// `NFTA_RULE_TABLE`, `NFTA_RULE_CHAIN` and `NFTA_RULE_EXPRESSIONS`.
fn rule(tables: &mut BTreeMap<String, HeldTable>, payload: &[u8]) -> Result<(), Malformed> {
    let attributes = Attributes::of_message(payload)?;
    let rule = attributes.value(4).map(expressions).transpose()?.unwrap_or(HeldRule::Other(None));
    let table = tables.entry(attributes.text(1)?).or_default();
    table.chains.entry(attributes.text(2)?).or_default().rules.push(rule);
    Ok(())
}

/// `NFTA_EXPR_NAME` and `NFTA_EXPR_DATA` of each expression of a rule.
fn expressions(list: &[u8]) -> Result<HeldRule, Malformed> {
    let (mut plain, mut target) = (true, None);
    for expression in Attributes::parse(list)?.0 {
        let expression = Attributes::parse(expression.1)?;
        match (expression.text(1)?.as_str(), expression.value(2)) {
            ("counter", _) => {}
            ("immediate", Some(data)) => {
                let verdict = verdict(data)?;
                plain &= matches!(verdict, Some(Verdict { way: Way::Jump, .. }));
                target = verdict.map(|verdict| verdict.chain).or(target);
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

struct Verdict {
    way: Way,
    chain: String,
}

/// `NFTA_IMMEDIATE_DATA`, in it `NFTA_DATA_VERDICT`, in it `NFTA_VERDICT_CODE` and `NFTA_VERDICT_CHAIN`;
/// `None` for a verdict that leads into no chain, and for a value.
fn verdict(immediate: &[u8]) -> Result<Option<Verdict>, Malformed> {
    /// `NFT_JUMP` and `NFT_GOTO`.
    const JUMP: i32 = -3;
    const GOTO: i32 = -4;
    let immediate = Attributes::parse(immediate)?;
    let Some(data) = immediate.value(2) else { return Ok(None) };
    let data = Attributes::parse(data)?;
    let Some(verdict) = data.value(2) else { return Ok(None) };
    let verdict = Attributes::parse(verdict)?;
    let way = match verdict.number(1)?.map(u32::cast_signed) {
        Some(JUMP) => Way::Jump,
        Some(GOTO) => Way::Goto,
        _ => return Ok(None),
    };
    Ok(Some(Verdict { way, chain: verdict.text(2)? }))
}

/// Attributes by their kinds, in order.
struct Attributes<'b>(Vec<(u16, &'b [u8])>);

impl<'b> Attributes<'b> {
    fn of_message(payload: &'b [u8]) -> Result<Self, Malformed> {
        Self::parse(payload.get(NFGENMSG..).ok_or(Malformed)?)
    }

    fn parse(bytes: &'b [u8]) -> Result<Self, Malformed> {
        let mut attributes = Vec::new();
        for attribute in NlasIterator::new(bytes) {
            let attribute: NlaBuffer<&'b [u8]> = attribute.map_err(|_| Malformed)?;
            let (kind, end) = (attribute.kind(), usize::from(attribute.length()));
            attributes.push((kind, attribute.into_inner().get(4..end).ok_or(Malformed)?));
        }
        Ok(Self(attributes))
    }

    fn value(&self, kind: u16) -> Option<&'b [u8]> {
        self.0.iter().find(|(found, _)| *found == kind).map(|&(_, value)| value)
    }

    fn number(&self, kind: u16) -> Result<Option<u32>, Malformed> {
        self.value(kind)
            .map(|value| value.try_into().map(u32::from_be_bytes).map_err(|_| Malformed))
            .transpose()
    }

    /// A name; the kernel ends it with a zero byte.
    fn text(&self, kind: u16) -> Result<String, Malformed> {
        let value = self.value(kind).ok_or(Malformed)?;
        let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len());
        String::from_utf8(value[..end].to_vec()).map_err(|_| Malformed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        let bytes = awaken(Family::V4, "filter", &table);
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
