//! The nf_tables layer: two tables of our own, both in one transaction.
//!
//! A system may lack it, if the kernel has no such hooks. A failed commit shows that. The status shows it, and it
//! is no error, because the other layer holds the rules. A kernel before 5.16 has no egress hook, but still has
//! the inet table.
//!
//! The agent owns the tables where the kernel allows it (6.9), or a copy of them (6.1): then a flush by another
//! program leaves the rules in force. Otherwise every program can remove them.

mod answers;
mod close;
mod kernel;
mod known;
mod lacks;
mod ownership;
mod unhooked;
mod worker;

pub use kernel::KernelError;
#[cfg(test)]
pub(super) use worker::run as in_worker;

use tokio::time::Instant;

use super::{Commit, FirewallError, Trust};
use crate::net::IfName;
use crate::netfilter::encode::Transaction;
use crate::policy::Ruleset;
use crate::policy::nftables::{Found, NftFamily, NftTable, Owner, TableId, tables};
use answers::Answers;
use kernel::{ENDING, differ, differences, differs, is_there, look, may_be_copies, remove};
use known::Known;
pub(super) use lacks::Lacks;
use lacks::RetryTimer;
use ownership::{Owned, Ownership};
use unhooked::Unhooked;

/// Maximum number of attempts at a commit while others change the tables or the links.
const ATTEMPTS: u32 = 3;

/// Our tables, and what they are known to hold.
#[derive(Debug)]
pub(super) struct Nftables {
    held: Option<Known>,
    /// What the last comparison found to be held, if it found no difference.
    compared: Option<Known>,
    trust: Trust,
    lacks: Lacks,
    /// When the kernel is asked again for the egress hook.
    wires: RetryTimer,
    unhooked: Unhooked,
    ownership: Ownership,
    answers: Answers,
    /// When the kernel is asked again for the answers that it has refused.
    answers_again: RetryTimer,
    /// Whether rules report refused packets to the agent. A kernel may refuse them.
    lines: bool,
}

impl Nftables {
    /// Tables whose rules are not known yet.
    pub(super) fn new() -> Self {
        Self {
            held: None,
            compared: None,
            trust: Trust::Full,
            lacks: Lacks::Nothing,
            wires: RetryTimer::new(),
            unhooked: Unhooked::default(),
            ownership: Ownership::none(),
            answers: Answers::All,
            answers_again: RetryTimer::new(),
            lines: true,
        }
    }

    /// The same for the agent, which keeps running and can own them.
    pub(super) fn of_agent() -> Self {
        Self { ownership: Ownership::wanted(), ..Self::new() }
    }

    /// Whether this process owns the tables or a copy, so that a flush by another program leaves the rules in force.
    pub(super) fn is_owned(&self) -> bool {
        self.ownership.owns()
    }

    /// When the agent tries again to own the tables, or asks again for the egress hook or for the answers.
    pub(super) fn due(&self) -> Option<Instant> {
        let wires = self.wires.due().filter(|_| matches!(self.lacks, Lacks::Wires(_)));
        [self.ownership.due(), wires, self.answers_due()].into_iter().flatten().min()
    }

    /// Gives up ownership. The tables stay as they are.
    pub(super) async fn give_up_ownership(&mut self) {
        self.ownership.end().await;
    }

    /// What this system was found not to support.
    pub(super) fn lacks(&self) -> &Lacks {
        &self.lacks
    }

    /// The wires without a hook, as text for people.
    pub(super) fn unhooked(&self) -> Option<String> {
        self.unhooked.warning()
    }

    /// Which refused senders get no answer, as text for people.
    pub(super) fn missing_answers(&self) -> Option<&'static str> {
        self.answers.warning()
    }

    /// The last comparison found no difference.
    pub(super) fn holds(&mut self) {
        self.held = self.compared.take();
    }

    /// Makes the next commit read everything first.
    pub(super) fn require_full_read(&mut self) {
        self.trust = Trust::None;
    }

    /// Puts `ruleset` in force and reads it back; `None` where this system has no such layer. Where the
    /// kernel refuses it, the tables are what they were before.
    ///
    /// # Errors
    /// See [`FirewallError`].
    pub(super) async fn commit(&mut self, ruleset: &Ruleset) -> Result<Option<Commit>, FirewallError> {
        let held = self.held.take().filter(|known| !known.is_replaced(&ruleset.wire.wires));
        let trust = std::mem::replace(&mut self.trust, Trust::Full);
        if let Err(why) = self.prepare(ruleset, trust).await {
            self.ownership.later(&why);
            return Err(why.into());
        }
        let mut is_answering = true;
        let mut wanted = self.wanted(ruleset);
        let mut result = self.put(held.as_ref().map(|known| &*known.tables), trust, &wanted).await;
        // Links may go away each time.
        for _ in 0..ATTEMPTS {
            // A kernel that does not answer would not answer again.
            if !matches!(&result, Err(why) if why.may_succeed()) {
                break;
            }
            is_answering = self.probe(ruleset).await;
            let again = self.wanted(ruleset);
            if again == wanted {
                break;
            }
            wanted = again;
            result = self.put(None, Trust::None, &wanted).await;
        }
        // Before anything that concerns the owner: a kernel may refuse the answers and the copy.
        if is_answering
            && matches!(&result, Err(why) if why.may_succeed())
            && matches!(self.leave_out_answers().await, Ok(true))
        {
            wanted = self.wanted(ruleset);
            result = self.put(None, Trust::None, &wanted).await;
        }
        // What cannot be made with an owner may be in force without one, or another socket owns it.
        if let Err(why) = &result
            && why.may_succeed()
            && self.ownership.must_make()
        {
            self.ownership.give_up(why).await;
            wanted = self.wanted(ruleset);
            result = self.put(None, Trust::None, &wanted).await;
        } else if let Err(why) = &result
            && let Some(alone) = without_copies(why, &wanted)
            && let Ok(commit) = self.put(None, Trust::None, &alone).await
        {
            // The copies end only after the tables are in force.
            self.ownership.give_up(why).await;
            (result, wanted) = (Ok(commit), alone);
        }
        match (result, &self.lacks) {
            (_, Lacks::Everything(_)) => Ok(None),
            (Ok(commit), Lacks::Nothing | Lacks::Wires(_)) => {
                self.held = Some(Known { tables: wanted, wires: ruleset.wire.wires.clone() });
                Ok(Some(commit))
            }
            (Err(why), Lacks::Nothing | Lacks::Wires(_)) => {
                if !why.may_succeed() {
                    self.ownership.later(&why);
                }
                Err(why)
            }
        }
    }

    /// Every difference between `ruleset` and what the kernel holds, one line each; none if this system has
    /// no such layer. Rules without answers or reports are no difference.
    ///
    /// # Errors
    /// When the kernel cannot be read. Then it is not known whether there are differences.
    pub(super) async fn differences(&mut self, ruleset: &Ruleset) -> Result<Vec<String>, FirewallError> {
        self.unhooked.update(&ruleset.wire);
        let wanted = self.wanted(ruleset);
        let lines = self.compare(&wanted, ruleset).await;
        if self.compared.is_some() {
            return lines;
        }
        if let Some(why) = lines.as_ref().err().filter(|why| !why.may_succeed()) {
            // The next commit does not wait for the kernel once more before it begins.
            self.ownership.later(why);
            return lines;
        }
        match self.is_silent(ruleset).await {
            Ok(true) => return Ok(Vec::new()),
            Ok(false) => {}
            Err(why) => {
                self.ownership.later(&why);
                return lines;
            }
        }
        self.probe(ruleset).await;
        let again = self.wanted(ruleset);
        match self.lacks {
            Lacks::Everything(_) => Ok(Vec::new()),
            Lacks::Nothing | Lacks::Wires(_) if again == wanted => lines,
            Lacks::Nothing | Lacks::Wires(_) => self.compare(&again, ruleset).await,
        }
    }

    /// Compares these tables of `ruleset` with what the kernel holds.
    async fn compare(
        &mut self,
        wanted: &[NftTable],
        ruleset: &Ruleset,
    ) -> Result<Vec<String>, FirewallError> {
        let lines = differ(wanted).await;
        let is_held = matches!(&lines, Ok(lines) if lines.is_empty());
        let known = || Known { tables: wanted.to_vec(), wires: ruleset.wire.wires.clone() };
        self.compared = is_held.then(known);
        lines
    }

    /// Removes our tables from the kernel.
    ///
    /// # Errors
    /// When the tables are there and could not be removed.
    pub(super) async fn release(&mut self) -> Result<(), FirewallError> {
        self.held = None;
        self.give_up_ownership().await;
        for table in TableId::ALL {
            remove(table).await?;
        }
        Ok(())
    }

    /// Commits a transaction, as the owner if this process is the owner.
    async fn transact(&mut self, transaction: Transaction) -> Result<(), KernelError> {
        kernel::commit(self.ownership.socket(), transaction).await
    }

    /// Puts tables in force and reads them back. Another program made the differences from `held`.
    async fn put(
        &mut self,
        held: Option<&[NftTable]>,
        trust: Trust,
        wanted: &[NftTable],
    ) -> Result<Commit, FirewallError> {
        let mut expected = held;
        if let Some(held) = held.filter(|_| trust == Trust::Full && !self.ownership.must_make()) {
            let step = step(held, wanted);
            if step.is_empty() {
                return Ok(Commit::AsPlanned);
            }
            // Write only what differs from the last commit, as in the other layer.
            match self.transact(step).await {
                Ok(()) => expected = Some(wanted),
                Err(why) if why.is_timeout() => return Err(why.into()),
                Err(_) => {}
            }
        }
        let (mut attempt, mut seen) = (1, Commit::AsPlanned);
        loop {
            match self.repair(expected, wanted, &mut seen).await {
                Err(why) if attempt < ATTEMPTS && why.may_succeed() => {
                    attempt += 1;
                    if matches!(&why, FirewallError::Nftables(why) if why.is_not_permitted()) {
                        tokio::time::sleep(ENDING.1).await;
                    }
                }
                result => return result.map(|()| seen),
            }
        }
    }

    /// Reads the tables, replaces those that differ in one transaction, and reads them again.
    async fn repair(
        &mut self,
        expected: Option<&[NftTable]>,
        wanted: &[NftTable],
        seen: &mut Commit,
    ) -> Result<(), FirewallError> {
        let mut differing = Vec::new();
        for (table, found) in look(wanted).await? {
            let before = expected.and_then(|tables| tables.iter().find(|old| old.id() == table.id()));
            // The hook of a link disappears with the link. A link that only stopped being a wire still
            // has its hook.
            let before = before.map(|old| old.on_links(is_there));
            let lines = before.as_ref().map(|old| differences(old, &found)).unwrap_or_default();
            let is_as_wanted =
                if before.as_ref() == Some(table) { lines.is_empty() } else { !differs(table, &found) };
            if !lines.is_empty() {
                *seen = std::mem::replace(seen, Commit::AsPlanned).and(Commit::Mended(lines));
            }
            let must_make = self.ownership.must_make() && table.owner != Owner::Nobody;
            if must_make || !is_as_wanted {
                differing.push((table, if found.is_there() { Found::Present } else { Found::Absent }));
            }
        }
        if differing.is_empty() {
            return Ok(());
        }
        let mut transaction = Transaction::default();
        differing.iter().for_each(|(table, place)| transaction.replace(table, *place));
        self.transact(transaction).await?;
        if differing.iter().any(|(table, _)| table.owner != Owner::Nobody) {
            self.ownership.has_made();
        }
        let lines = differ(differing.into_iter().map(|(table, _)| table)).await?;
        if !lines.is_empty() {
            return Err(FirewallError::Differs(lines));
        }
        self.ownership.was_read();
        Ok(())
    }

    /// The tables that this kernel can hold now, on the links that are there.
    fn wanted(&self, ruleset: &Ruleset) -> Vec<NftTable> {
        let answering = self.answers.of(ruleset);
        let mut ruleset = if self.lines { answering } else { answering.without_lines() };
        ruleset.wire.wires.retain(|wire| is_there(wire.interface.as_str()));
        let can = |table: &NftTable| match self.lacks {
            Lacks::Nothing => true,
            Lacks::Wires(_) => table.family == NftFamily::Inet,
            Lacks::Everything(_) => false,
        };
        let with = |owner| {
            let mut ruleset = ruleset.clone();
            let lacks = |name: &IfName| match owner {
                Owner::Nobody | Owner::Maker => self.unhooked.contains(name),
                Owner::MakerOfCopy => self.unhooked.copy_lacks(name),
            };
            ruleset.wire.wires.retain(|wire| !lacks(&wire.interface));
            tables(&ruleset).into_iter().filter(can).map(move |table| NftTable { owner, ..table })
        };
        match self.ownership.owned() {
            None => with(Owner::Nobody).collect(),
            Some(Owned::Tables) => with(Owner::Maker).collect(),
            Some(Owned::Copies) => with(Owner::Nobody).chain(with(Owner::MakerOfCopy)).collect(),
        }
    }

    /// A commit was given up in the middle of it, so it is not known what the tables hold.
    pub(super) fn abandon(&mut self) {
        self.held = None;
        self.require_full_read();
    }
}

/// The same tables without their copies, if there are copies and they may be what failed.
fn without_copies(why: &FirewallError, wanted: &[NftTable]) -> Option<Vec<NftTable>> {
    let (copies, tables): (Vec<_>, Vec<_>) =
        wanted.iter().cloned().partition(|table| table.owner == Owner::MakerOfCopy);
    (!copies.is_empty() && may_be_copies(why)).then_some(tables)
}

/// The transaction that changes known tables into other ones.
fn step(held: &[NftTable], wanted: &[NftTable]) -> Transaction {
    let mut transaction = Transaction::default();
    for table in wanted {
        match held.iter().find(|held| held.id() == table.id()) {
            Some(held) if held == table => {}
            Some(held) if table.can_refill(held) => transaction.refill(table, held),
            Some(_) => transaction.replace(table, Found::Present),
            None => transaction.replace(table, Found::Unknown),
        }
    }
    transaction
}
