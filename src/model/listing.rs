//! Everything that a machine's programs and its kernel list, and the rules in it.

use super::iptables::{self, ListingError};
use super::nft::{self, Message, NftError};
use super::rule::{Rules, Sees, Table};
use super::sets::Sets;
use crate::net::Family;

/// What was read of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// What the kernel says about nf_tables.
    pub nft: Vec<Message>,
    /// What `iptables-nft-save` and `ip6tables-nft-save` print: tables that nf_tables holds.
    pub saved: Vec<Saved>,
    /// The same of iptables-legacy, whose tables stand beside nf_tables.
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
    /// Something in it cannot be understood. Then nothing of it counts.
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
        // iptables prints a table of nf_tables in words that the model knows better, if it prints all of it.
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

/// Whether what iptables prints of a table has every chain and every rule of it.
fn is_whole(printed: &Table, held: &Table) -> bool {
    let same_chains = || {
        held.chains.iter().all(|(name, chain)| {
            let found = printed.chains.get(name);
            found.is_some_and(|found| found.rules.len() == chain.rules.len() && found.base == chain.base)
        })
    };
    matches!(held.sees, Sees::Only(_)) && printed.name == held.name && same_chains()
}
