//! The layer in nftables: two tables of our own, both in one transaction.
//!
//! A system may not have it: no `nft`, or a kernel without its hooks. That is found out when a commit
//! fails, and said; it is no error, for the other layer holds the rules. A kernel without a hook where
//! packets go out on a wire (before 5.16) still has the table for the protocols.

mod listing;

pub use listing::ListingError;

use futures_util::future::try_join_all;

use super::tool::{self, ToolError};
use super::{Commit, FirewallError, Trust};
use crate::net::Family;
use crate::policy::nft::{NftFamily, NftTable, tables};
use crate::policy::{Ruleset, WireRules, last_resort};
use listing::{Listed, differences};

/// How often a commit is tried when somebody else changes the tables or the links under it.
const ATTEMPTS: u32 = 3;

/// A table that is checked and never put in force: whether the kernel has the hooks of the protocols.
const HOOKS: &str = "table inet tunwarden_probe {\n\tchain output {\n\
    \t\ttype filter hook output priority 10; policy drop;\n\t}\n}\n";

/// The same for what goes out on a wire.
const WIRES: &str = "table netdev tunwarden_probe {\n\tchain egress {\n\
    \t\ttype filter hook egress device \"lo\" priority 10; policy drop;\n\t}\n}\n";

/// The kernel's tables, and what we know them to hold.
#[derive(Debug)]
pub(super) struct Nftables {
    held: Option<Vec<NftTable>>,
    trust: Trust,
    lacks: Lacks,
}

/// What this system cannot do, in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lacks {
    /// Nothing that is known of.
    Nothing,
    /// A hook where packets go out on a wire.
    Wires(String),
    /// All of it.
    Everything(String),
    /// The program, which may be installed any time.
    Nft(String),
}

impl Nftables {
    /// Tables of which nothing is known yet.
    pub(super) fn new() -> Self {
        Self { held: None, trust: Trust::Full, lacks: Lacks::Nothing }
    }

    /// What this system cannot do, as far as that has been seen.
    pub(super) fn lacks(&self) -> &Lacks {
        &self.lacks
    }

    /// Takes it as known that the kernel holds `ruleset`.
    pub(super) fn holds(&mut self, ruleset: &Ruleset) {
        self.held = Some(self.wanted(ruleset));
    }

    /// Has the next commit look at everything first.
    pub(super) fn distrust(&mut self) {
        self.trust = Trust::None;
    }

    /// Puts `ruleset` in force and reads it back; `None` where this system has no such layer. What
    /// cannot be put in force is closed.
    ///
    /// # Errors
    /// See [`FirewallError`].
    pub(super) async fn commit(&mut self, ruleset: &Ruleset) -> Result<Option<Commit>, FirewallError> {
        if let Lacks::Nft(_) = self.lacks {
            self.lacks = Lacks::Nothing;
        }
        let held = self.held.take();
        let trust = std::mem::replace(&mut self.trust, Trust::Full);
        let mut wanted = self.wanted(ruleset);
        let mut result = put(held.as_deref(), trust, &wanted).await;
        if result.is_err() {
            self.probe(&result).await;
            let again = self.wanted(ruleset);
            if again != wanted {
                wanted = again;
                result = put(None, Trust::None, &wanted).await;
            }
        }
        match (result, &self.lacks) {
            (_, Lacks::Everything(_) | Lacks::Nft(_)) => Ok(None),
            (Ok(commit), Lacks::Nothing | Lacks::Wires(_)) => {
                self.held = Some(wanted);
                Ok(Some(commit))
            }
            (Err(why), Lacks::Nothing | Lacks::Wires(_)) => Err(self.close(ruleset, why).await),
        }
    }

    /// Every difference between `ruleset` and what the kernel holds, a line each; none where this
    /// system has no such layer.
    ///
    /// # Errors
    /// When the kernel cannot be read: that is no verdict.
    pub(super) async fn differences(&mut self, ruleset: &Ruleset) -> Result<Vec<String>, FirewallError> {
        let wanted = self.wanted(ruleset);
        let lines = differ(&wanted).await;
        if matches!(&lines, Ok(lines) if lines.is_empty()) {
            return lines;
        }
        self.probe(&lines).await;
        match self.lacks {
            Lacks::Everything(_) | Lacks::Nft(_) => Ok(Vec::new()),
            Lacks::Nothing => lines,
            Lacks::Wires(_) => differ(&self.wanted(ruleset)).await,
        }
    }

    /// Takes our tables out of the kernel.
    ///
    /// # Errors
    /// When that was not possible, and they are there.
    pub(super) async fn release(&mut self) -> Result<(), FirewallError> {
        self.held = None;
        for family in [NftFamily::Netdev, NftFamily::Inet] {
            let there = match list(family).await {
                Err(FirewallError::Tool(ToolError::Missing(_))) => return Ok(()),
                // What cannot be read can still be taken out.
                Err(_) => true,
                Ok(listed) => listed.is_some(),
            };
            if there {
                tool::nft(&["-f", "-"], &format!("delete table {} tunwarden\n", family.as_str())).await?;
            }
        }
        Ok(())
    }

    /// The tables to hold here now: on links that are there, as far as the kernel can.
    fn wanted(&self, ruleset: &Ruleset) -> Vec<NftTable> {
        let mut ruleset = ruleset.clone();
        ruleset.wire.wires.retain(|wire| is_there(wire.interface.as_str()));
        let can = |table: &NftTable| match self.lacks {
            Lacks::Nothing => true,
            Lacks::Wires(_) => table.family == NftFamily::Inet,
            Lacks::Everything(_) | Lacks::Nft(_) => false,
        };
        tables(&ruleset).into_iter().filter(can).collect()
    }

    /// Finds out whether it failed because this system cannot do it at all.
    async fn probe<T>(&mut self, failed: &Result<T, FirewallError>) {
        if let Err(FirewallError::Tool(missing @ ToolError::Missing(_))) = failed {
            self.lacks = Lacks::Nft(missing.to_string());
        } else if let Err(why @ ToolError::Failed { .. }) = tool::nft(&["-c", "-f", "-"], HOOKS).await {
            self.lacks = Lacks::Everything(format!("this kernel has no nftables: {why}"));
        } else if let Err(why @ ToolError::Failed { .. }) = tool::nft(&["-c", "-f", "-"], WIRES).await {
            self.lacks = Lacks::Wires(format!("this kernel has no egress hook (5.16): {why}"));
        }
    }

    async fn close(&self, ruleset: &Ruleset, why: FirewallError) -> FirewallError {
        let last = last_resort();
        let wire = WireRules { wires: ruleset.wire.wires.clone(), ..last.wire.clone() };
        let wanted = self.wanted(&Ruleset { wire, ..last });
        match put(None, Trust::None, &wanted).await {
            Ok(_) => FirewallError::ClosedCompletely(Box::new(why)),
            Err(last) => FirewallError::Open {
                families: Family::ALL.to_vec(),
                source: Box::new(why),
                last: Box::new(last),
            },
        }
    }
}

/// Whether this network has a link of that name.
fn is_there(interface: &str) -> bool {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None);
    // Who cannot ask lets nft say it.
    socket.is_err() || socket.is_ok_and(|socket| netdevice::name_to_index(&socket, interface).is_ok())
}

/// What is held in the place of each of these tables, all looked for at once.
async fn look<'t>(
    tables: impl IntoIterator<Item = &'t NftTable>,
) -> Result<Vec<(&'t NftTable, Option<Listed>)>, FirewallError> {
    try_join_all(tables.into_iter().map(async |table| Ok((table, list(table.family).await?)))).await
}

/// Every difference between these tables and what is held in their places, a line each.
async fn differ<'t>(tables: impl IntoIterator<Item = &'t NftTable>) -> Result<Vec<String>, FirewallError> {
    let found = look(tables).await?;
    Ok(found.into_iter().flat_map(|(table, held)| differences(table, held.as_ref())).collect())
}

async fn list(family: NftFamily) -> Result<Option<Listed>, FirewallError> {
    // Numbers for protocols: for each name in a set nft reads a file of them again.
    let arguments = ["-y", "-p", "list", "table", family.as_str(), crate::policy::nft::TABLE];
    match tool::nft(&arguments, "").await {
        Ok(text) => Ok(Some(Listed::parse(&text)?)),
        Err(ToolError::Failed { message, .. }) if message.contains("No such file or directory") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Puts tables in force and reads them back. What differed from what was held is somebody else's doing.
async fn put(held: Option<&[NftTable]>, trust: Trust, wanted: &[NftTable]) -> Result<Commit, FirewallError> {
    let mut expected = held;
    if let Some(held) = held.filter(|_| trust == Trust::Full) {
        let text = step(held, wanted);
        if text.is_empty() {
            return Ok(Commit::AsPlanned);
        }
        // The quick way, as in the other layer.
        if tool::nft(&["-f", "-"], &text).await.is_ok() {
            expected = Some(wanted);
        }
    }
    let (mut attempt, mut seen) = (1, Commit::AsPlanned);
    loop {
        match mend(expected, wanted, &mut seen).await {
            Err(_) if attempt < ATTEMPTS => attempt += 1,
            result => return result.map(|()| seen),
        }
    }
}

/// The text for going from tables that are known to be held to others.
fn step(held: &[NftTable], wanted: &[NftTable]) -> String {
    let change = |table: &NftTable| match held.iter().find(|held| held.family == table.family) {
        Some(held) if held == table => String::new(),
        Some(held) if table.has_chains_of(held) => table.refilled(held),
        Some(_) | None => table.replaced(),
    };
    wanted.iter().map(change).collect()
}

/// Looks, replaces what differs, in one transaction, and looks again.
async fn mend(
    expected: Option<&[NftTable]>,
    wanted: &[NftTable],
    seen: &mut Commit,
) -> Result<(), FirewallError> {
    let mut differing = Vec::new();
    for (table, found) in look(wanted).await? {
        let before = expected.and_then(|tables| tables.iter().find(|old| old.family == table.family));
        if let Some(before) = before {
            // A link that is gone has taken its hook along.
            let lines = differences(&before.on_links_of(table), found.as_ref());
            if !lines.is_empty() {
                *seen = std::mem::replace(seen, Commit::AsPlanned).and(Commit::Mended(lines));
            }
        }
        if !differences(table, found.as_ref()).is_empty() {
            differing.push(table);
        }
    }
    if differing.is_empty() {
        return Ok(());
    }
    let text: String = differing.iter().map(|table| table.replaced()).collect();
    tool::nft(&["-f", "-"], &text).await?;
    let lines = differ(differing).await?;
    if lines.is_empty() { Ok(()) } else { Err(FirewallError::Differs(lines)) }
}
