//! Checks all messages: whether rules are missing, and which rules write packets.

use std::collections::{BTreeMap, BTreeSet};

use super::attributes::{Attributes, Malformed};
use super::{DORMANT, Key, Message, NEW_CHAIN, NEW_ELEMENTS, NEW_RULE, NEW_TABLE, NftError};

/// Compares the rules of each chain with the number that the kernel keeps for the chain (`NFTA_CHAIN_USE`): its own
/// rules, and the rules and elements that lead to it. A dump that ends too early has fewer.
///
/// # Errors
/// [`NftError`]
pub(in crate::model) fn is_whole(messages: &[Message]) -> Result<(), NftError> {
    let mut found: BTreeMap<(Key, String), u32> = BTreeMap::new();
    let mut uses = Vec::new();
    for message in messages {
        let body = Attributes::of(&message.body)?;
        let key = (message.family, body.text(1)?);
        let mut count = |chain| *found.entry((key.clone(), chain)).or_default() += 1;
        match message.kind {
            NEW_CHAIN => {
                if let Some(number) = body.number(6)? {
                    uses.push((key, body.text(3)?, number));
                }
            }
            NEW_RULE => {
                count(body.text(2)?);
                for instruction in body.nested(4)?.values() {
                    target(&Attributes::of(instruction)?.nested(2)?)?.into_iter().for_each(&mut count);
                }
            }
            NEW_ELEMENTS => {
                for element in body.nested(3)?.values() {
                    target(&Attributes::of(element)?)?.into_iter().for_each(&mut count);
                }
            }
            _ => {}
        }
    }
    for (key, chain, number) in uses {
        if found.get(&(key.clone(), chain.clone())).copied().unwrap_or_default() < number {
            return Err(NftError::Cut(format!("{} {} {chain}", family(key.0), key.1)));
        }
    }
    Ok(())
}

/// The chain that an instruction or an element leads to. Both have their verdict in attribute 2.
fn target(body: &Attributes<'_>) -> Result<Option<String>, Malformed> {
    // In other instructions the second attribute is a number.
    let Some(Ok(data)) = body.find(2).map(Attributes::of) else { return Ok(None) };
    let verdict = data.nested(2).unwrap_or(Attributes::of(&[])?);
    Ok(verdict.text(2).ok())
}

/// The rules that change a packet or send it around the remaining rules, of every table that is not dormant.
///
/// # Errors
/// [`NftError`]
pub(in crate::model) fn writers(messages: &[Message]) -> Result<BTreeSet<String>, NftError> {
    let (mut dormant, mut found) = (BTreeSet::new(), BTreeSet::new());
    for message in messages.iter().filter(|message| message.kind == NEW_TABLE) {
        let body = Attributes::of(&message.body)?;
        if body.number(2)?.unwrap_or_default() & DORMANT != 0 {
            dormant.insert((message.family, body.text(1)?));
        }
    }
    for message in messages.iter().filter(|message| message.kind == NEW_RULE) {
        let body = Attributes::of(&message.body)?;
        let table = body.text(1)?;
        if dormant.contains(&(message.family, table.clone())) {
            continue;
        }
        for instruction in body.nested(4)?.values() {
            let parts = Attributes::of(instruction)?;
            let name = parts.text(1)?;
            if writes(&name, &parts.nested(2)?) {
                let (family, chain) = (family(message.family), body.text(2)?);
                let handle = body.long(3)?.map_or(String::new(), |handle| format!(" handle {handle}"));
                found.insert(format!("`{name}` in `nft {family} {table} {chain}{handle}`"));
            }
        }
    }
    Ok(found)
}

/// Whether an instruction changes the bytes of a packet, or sends the packet or a copy of it to another link.
fn writes(name: &str, body: &Attributes<'_>) -> bool {
    match name {
        // `NFTA_PAYLOAD_SREG`
        "payload" => body.find(5).is_some(),
        // Without `NFTA_EXTHDR_DREG` it writes an option, or removes one.
        "exthdr" => body.find(1).is_none(),
        "fwd" | "dup" | "flow_offload" => true,
        _ => false,
    }
}

/// nft's word for an `NFPROTO_…`.
fn family(protocol: u8) -> &'static str {
    match protocol {
        super::INET => "inet",
        super::IPV4 => "ip",
        3 => "arp",
        super::NETDEV => "netdev",
        7 => "bridge",
        super::IPV6 => "ip6",
        _ => "table",
    }
}
