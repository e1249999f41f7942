//! Reads the rules of every program, for `prove`. Needs root.

use std::io;

use super::absent::is_absent;
use super::tool::{self, ToolError};
use crate::config::Backend;
use crate::model::{Listing, ReadError, Rules, Saved};
use crate::net::Family;
use crate::netfilter::socket::everything;
use crate::system::program::path;

/// Maximum number of pairs of readings, when the rules change between the two.
const PAIRS: usize = 5;

/// Why the rules are not known.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    /// The kernel does not describe nf_tables.
    #[error("nf_tables cannot be read")]
    Nft(#[source] io::Error),
    /// A program of iptables fails.
    #[error(transparent)]
    Tool(#[from] ToolError),
    /// The kernel holds tables of iptables-legacy, and the program that lists them is not installed.
    #[error("this kernel holds tables of iptables-legacy, and {0} is not installed")]
    NoLegacy(String),
    /// It is not known whether there are such tables.
    #[error("it cannot be read whether there are tables of iptables-legacy")]
    Names(#[source] io::Error),
    /// A listing cannot be understood.
    #[error(transparent)]
    Listing(#[from] ReadError),
    /// They change all the time.
    #[error("the rules change faster than they can be read; try again when nothing changes them")]
    Changing,
}

/// The rules that packets of each family meet. They are read until two readings are equal, so that no part is older
/// than another.
///
/// # Errors
/// [`RulesError`]
pub async fn rules() -> Result<Vec<(Family, Rules)>, RulesError> {
    settled(read).await
}

/// What two readings in a row say.
async fn settled<T: PartialEq>(
    mut read: impl AsyncFnMut() -> Result<T, RulesError>,
) -> Result<T, RulesError> {
    let mut before = read().await?;
    for _ in 0..PAIRS {
        let after = read().await?;
        if before == after {
            return Ok(after);
        }
        before = after;
    }
    Err(RulesError::Changing)
}

async fn read() -> Result<Vec<(Family, Rules)>, RulesError> {
    let mut listing = Listing { nft: everything().map_err(RulesError::Nft)?, ..Listing::default() };
    for family in Family::ALL {
        // What this program cannot print is read from the kernel's own description.
        if let Ok(text) = tool::save(Backend::Nft, family).await {
            listing.saved.push(Saved { family, text });
        }
        if has_legacy_tables(family)? {
            let program = format!("{}-legacy-save", family.iptables());
            if path(&program).is_none() {
                return Err(RulesError::NoLegacy(program));
            }
            listing.legacy.push(Saved { family, text: tool::save(Backend::Legacy, family).await? });
        }
    }
    // A set that is not read is unknown.
    listing.sets = tool::ipset(&["save"], "").await.unwrap_or_default();
    Ok(Family::ALL
        .into_iter()
        .map(|family| Ok::<_, ReadError>((family, listing.rules(family)?)))
        .collect::<Result<_, _>>()?)
}

/// Whether the kernel holds tables of iptables-legacy. The kernel names them only to root.
#[expect(clippy::disallowed_methods, reason = "an edge: it reads a file of the kernel")]
fn has_legacy_tables(family: Family) -> Result<bool, RulesError> {
    let file = match family {
        Family::V4 => "/proc/self/net/ip_tables_names",
        Family::V6 => "/proc/self/net/ip6_tables_names",
    };
    match std::fs::read_to_string(file) {
        Ok(names) => Ok(!names.trim().is_empty()),
        // The kernel has no such tables.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(_) if is_absent(family) => Ok(false),
        Err(error) => Err(RulesError::Names(error)),
    }
}

#[cfg(test)]
mod tests;
