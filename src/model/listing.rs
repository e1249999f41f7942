//! Everything that the programs of a machine and its kernel list, and the rules in these lists.

use super::iptables::{self, ListingError};
use super::nft::{self, Message, NftError};
use super::rule::{Rules, SeenPackets, Table};
use super::sets::Sets;
use crate::net::Family;

/// What was read of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// What the kernel says about nf_tables.
    pub nft: Vec<Message>,
    /// What `iptables-nft-save` and `ip6tables-nft-save` print: tables that nf_tables holds.
    pub saved: Vec<Saved>,
    /// The same for iptables-legacy, whose tables exist beside nf_tables.
    pub legacy: Vec<Saved>,
    /// What `ipset save` prints.
    pub sets: String,
}

/// What one program of iptables prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The family of its tables.
    pub family: Family,
    /// The whole standard output of the program.
    pub text: String,
}

/// A listing that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// One of iptables.
    #[error(transparent)]
    Iptables(#[from] ListingError),
    /// One of nf_tables.
    #[error(transparent)]
    Nft(#[from] NftError),
}

impl Listing {
    /// The rules that packets of one family meet.
    ///
    /// # Errors
    /// Something in the lists cannot be understood. Then none of them counts.
    pub fn rules(&self, family: Family) -> Result<Rules, ReadError> {
        nft::is_whole(&self.nft)?;
        let sets = Sets::parse(&self.sets);
        let printed = |all: &[Saved]| -> Result<Vec<Table>, ListingError> {
            let own = all.iter().filter(|saved| saved.family == family);
            let tables = own.map(|saved| iptables::tables(family, &saved.text, &sets));
            Ok(tables.collect::<Result<Vec<_>, _>>()?.concat())
        };
        let mut printed_nft = printed(&self.saved)?;
        let mut tables = Vec::new();
        // For a table of nf_tables that iptables can print completely, use what iptables prints: the model knows these
        // words better.
        for table in nft::tables(family, &self.nft)? {
            let place = printed_nft.iter().position(|printed| is_whole(printed, &table));
            tables.push(match place {
                Some(place) => printed_nft.swap_remove(place),
                None => table,
            });
        }
        tables.extend(printed(&self.legacy)?);
        Ok(Rules { tables, writers: nft::writers(&self.nft)? })
    }
}

/// Whether the printed table has every chain and every rule of the table that the kernel holds.
fn is_whole(printed: &Table, held: &Table) -> bool {
    let same_chains = || {
        held.chains.iter().all(|(name, chain)| {
            let found = printed.chains.get(name);
            found.is_some_and(|found| found.rules.len() == chain.rules.len() && found.base == chain.base)
        })
    };
    matches!(held.sees, SeenPackets::Only(_)) && printed.name == held.name && same_chains()
}
