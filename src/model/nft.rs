//! The rules in what the kernel says about nf_tables over netlink (`linux/netfilter/nf_tables.h`).

mod attributes;
mod program;
mod register;
mod set;
mod survey;

use std::collections::{BTreeMap, BTreeSet};

use super::rule::{Base, Chain, ChainType, Hook, Rule, SeenPackets, Table, Tool};
use crate::net::Family;
use attributes::{Attributes, Malformed};
use set::Set;
pub(super) use survey::{is_whole, writers};

/// A message of the kernel about its tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `NFT_MSG_…`, the lower byte of its type.
    pub kind: u8,
    /// `NFPROTO_…` of the table.
    pub family: u8,
    /// The bytes of its attributes, behind `struct nfgenmsg`.
    pub body: Vec<u8>,
}

impl Message {
    /// The name of its table and the name after it, if the message is about a set.
    pub fn names(&self) -> Option<[String; 2]> {
        let body = Attributes::of(&self.body).ok()?;
        Some([body.text(1).ok()?, body.text(2).ok()?])
    }
}

/// `NFT_MSG_…`
const NEW_TABLE: u8 = 0;
const NEW_CHAIN: u8 = 3;
const NEW_RULE: u8 = 6;
const NEW_SET: u8 = 9;
const NEW_ELEMENTS: u8 = 12;

/// `NFPROTO_…`
const INET: u8 = 1;
const IPV4: u8 = 2;
const NETDEV: u8 = 5;
const IPV6: u8 = 10;

/// `NFT_TABLE_F_DORMANT`: no packet meets its chains.
const DORMANT: u32 = 1;

/// Why the kernel's list of its tables cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NftError {
    /// A message ends too early, or lacks what the kernel always writes.
    #[error("the kernel's description of nf_tables cannot be read")]
    Unreadable,
    /// The kernel has counted more rules than it has listed.
    #[error("the kernel's description of nf_tables lacks rules of the chain {0}")]
    Cut(String),
}

impl From<Malformed> for NftError {
    fn from(_: Malformed) -> Self {
        Self::Unreadable
    }
}

/// The tables that packets of one family pass.
///
/// # Errors
/// [`NftError`]
pub(super) fn tables(family: Family, messages: &[Message]) -> Result<Vec<Table>, NftError> {
    let mut reading = Reading { family, tables: BTreeMap::new(), sets: BTreeMap::new() };
    // All elements of sets must be read before the rules.
    for pass in [[NEW_TABLE, NEW_CHAIN, NEW_SET], [NEW_ELEMENTS; 3], [NEW_RULE; 3]] {
        for message in messages.iter().filter(|message| pass.contains(&message.kind)) {
            if let Some(sees) = sees(message.family, family) {
                reading.take(message, sees)?;
            }
        }
    }
    Ok(reading.tables.into_values().flatten().collect())
}

fn sees(protocol: u8, family: Family) -> Option<SeenPackets> {
    match (protocol, family) {
        (INET, _) => Some(SeenPackets::Both),
        (NETDEV, _) => Some(SeenPackets::Frames),
        (IPV4, Family::V4) | (IPV6, Family::V6) => Some(SeenPackets::Only(family)),
        // Tables of bridges and of ARP can only refuse more.
        _ => None,
    }
}

/// The family's number, and the table's name.
type Key = (u8, String);

struct Reading {
    family: Family,
    /// `None` for a dormant table.
    tables: BTreeMap<Key, Option<Table>>,
    /// The sets by the key of their table and by their names.
    sets: BTreeMap<(Key, String), Set>,
}

impl Reading {
    fn take(&mut self, message: &Message, sees: SeenPackets) -> Result<(), NftError> {
        let body = Attributes::of(&message.body)?;
        // Attribute 1 of every message is the table's name.
        let key = (message.family, body.text(1)?);
        if message.kind == NEW_TABLE {
            let dormant = body.number(2)?.unwrap_or_default() & DORMANT != 0;
            let table = Table { tool: Tool::Nft, sees, name: key.1.clone(), chains: BTreeMap::new() };
            self.tables.insert(key, (!dormant).then_some(table));
            return Ok(());
        }
        match message.kind {
            NEW_SET => {
                let name = body.set_name([2, 10])?;
                self.sets.insert((key, name), Set::of(&body)?);
            }
            NEW_ELEMENTS => {
                let name = body.set_name([2, 4])?;
                let set = self.sets.get_mut(&(key, name)).ok_or(NftError::Unreadable)?;
                set.take(&body.nested(3)?)?;
            }
            NEW_CHAIN => self.chain(&key, &body)?,
            _ => self.rule(&key, &body)?,
        }
        Ok(())
    }

    fn chain(&mut self, key: &Key, body: &Attributes<'_>) -> Result<(), NftError> {
        let Some(table) = self.tables.get_mut(key).ok_or(NftError::Unreadable)? else { return Ok(()) };
        let base = match body.find(4) {
            Some(hook) => base(key.0, body, &Attributes::of(hook)?)?,
            None => None,
        };
        table.chains.insert(body.text(3)?, Chain { base, rules: Vec::new() });
        Ok(())
    }

    fn rule(&mut self, key: &Key, body: &Attributes<'_>) -> Result<(), NftError> {
        let sets = |name: &str| self.sets.get(&(key.clone(), name.to_owned()));
        let program = program::read(self.family, key.0 == NETDEV, &body.nested(4)?, &sets)?;
        let Some(table) = self.tables.get_mut(key).ok_or(NftError::Unreadable)? else { return Ok(()) };
        let chain = table.chains.get_mut(&body.text(2)?).ok_or(NftError::Unreadable)?;
        let text = match body.long(3)? {
            Some(handle) => format!("handle {handle}"),
            None => format!("rule {}", chain.rules.len() + 1),
        };
        let program::Read { found, writes } = program;
        let rule = |(matches, action)| Rule { text: text.clone(), matches, action, writes: writes.clone() };
        chain.rules.extend(found.into_iter().map(rule));
        Ok(())
    }
}

/// Where packets enter a chain.
fn base(protocol: u8, chain: &Attributes<'_>, hook: &Attributes<'_>) -> Result<Option<Base>, NftError> {
    let number = hook.number(1)?.ok_or(NftError::Unreadable)?;
    let at = match (protocol, number) {
        (NETDEV, 1) => Hook::Egress,
        (INET | IPV4 | IPV6, 0) => Hook::Prerouting,
        (INET | IPV4 | IPV6, 1) => Hook::Input,
        (INET | IPV4 | IPV6, 2) => Hook::Forward,
        (INET | IPV4 | IPV6, 3) => Hook::Output,
        (INET | IPV4 | IPV6, 4) => Hook::Postrouting,
        _ => return Ok(None),
    };
    let mut devices = BTreeSet::new();
    if hook.find(3).is_some() {
        devices.insert(hook.text(3)?);
    }
    if let Some(list) = hook.find(4) {
        devices.extend(Attributes::of(list)?.texts());
    }
    let kind = match chain.find(7) {
        Some(name) if name.starts_with(b"nat") => ChainType::Nat,
        Some(name) if name.starts_with(b"route") => ChainType::Route,
        Some(_) | None => ChainType::Filter,
    };
    let priority = hook.number(2)?.unwrap_or_default().cast_signed();
    // `NF_ACCEPT`
    let accepts = chain.number(5)?.unwrap_or(1) == 1;
    Ok(Some(Base { hook: at, kind, priority, devices, accepts }))
}
