//! What the agent asks the kernel about nf_tables: what a table holds, what this kernel supports, a commit, and
//! the removal of a table.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;

use super::worker;
use crate::firewall::FirewallError;
use crate::firewall::tool;
use crate::net::IfName;
use crate::netfilter::encode::Transaction;
use crate::netfilter::own::{OwnSocket, read_back};
use crate::netfilter::readback::{self, Held};
use crate::netfilter::socket::generation;
use crate::policy::nftables::{
    Base, Hook, LINKS_OF_A_CHAIN, NftChain, NftFamily, NftTable, Owner, TableId, lines, to_containers,
    to_programs,
};

/// How long an owner may take to end, and how often that is checked.
pub(super) const ENDING: (Duration, Duration) = (Duration::from_secs(3), Duration::from_millis(50));

/// The priority of the chains in a question.
const PRIORITY: i32 = 10;

/// Why the kernel did not do something in nf_tables.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// It refused it, and nothing has changed.
    #[error("nf_tables refused it: {}", .0.desc())]
    Refused(Errno),
    /// It is still at work, or waits for another transaction.
    #[error("nf_tables did not answer within {} seconds", .0.as_secs())]
    TimedOut(Duration),
    /// This process has no room for it, or cannot understand the answer.
    #[error("cannot exchange messages with nf_tables")]
    Local(#[source] io::Error),
}

impl From<io::Error> for KernelError {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw) {
            // These say nothing about what was asked for.
            Some(Errno::ENOMEM | Errno::ENOBUFS | Errno::EMFILE | Errno::ENFILE) => Self::Local(error),
            Some(Errno::EAGAIN | Errno::EINTR) | None => Self::Local(error),
            Some(errno) => Self::Refused(errno),
        }
    }
}

impl KernelError {
    /// Whether another attempt at once would only wait again.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self, Self::TimedOut(_))
    }

    /// Whether the error stays. It does not stay if tables appeared or disappeared during the attempt.
    fn is_lasting(&self) -> bool {
        !matches!(self, Self::Refused(Errno::ENOENT | Errno::EEXIST) | Self::TimedOut(_))
    }

    /// Whether another socket owns the table, or this user may not change tables.
    pub(crate) fn is_not_permitted(&self) -> bool {
        matches!(self, Self::Refused(Errno::EPERM))
    }
}

/// What a kernel may not support.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Feature {
    /// The hooks of the inet family.
    Hooks,
    /// The egress hook.
    Wires,
    /// A table with an owner, which stays when the owner ends.
    Owned,
    /// A table with an owner, which ends with the owner.
    OwnedCopy,
    /// Rules that answer a container whose packet is refused (5.19).
    AnswersToContainers,
    /// Rules that answer a program whose packet is refused.
    AnswersToPrograms,
    /// Rules that report a refused packet to the agent.
    Lines,
}

impl Feature {
    /// A table that only a kernel with this feature takes.
    fn table(self) -> NftTable {
        match self {
            Self::Hooks => probe(NftFamily::Inet, vec![chain(Hook::Output, "output", Vec::new())]),
            Self::Wires => {
                probe(NftFamily::Netdev, vec![chain(Hook::Egress, "egress", vec!["lo".to_owned()])])
            }
            Self::Owned => NftTable { owner: Owner::Maker, ..probe(NftFamily::Inet, Vec::new()) },
            Self::OwnedCopy => NftTable { owner: Owner::MakerOfCopy, ..probe(NftFamily::Inet, Vec::new()) },
            Self::AnswersToContainers => probe(NftFamily::Inet, vec![to_containers()]),
            Self::AnswersToPrograms => probe(NftFamily::Inet, vec![to_programs()]),
            Self::Lines => probe(NftFamily::Inet, vec![lines()]),
        }
    }
}

fn probe(family: NftFamily, chains: Vec<NftChain>) -> NftTable {
    NftTable { family, owner: Owner::Nobody, sets: Vec::new(), chains }
}

fn chain(hook: Hook, name: &str, devices: Vec<String>) -> NftChain {
    let base = Some(Base { hook, priority: PRIORITY, devices });
    NftChain { name: name.to_owned(), base, rules: Vec::new() }
}

/// Whether this network has a link of that name.
pub(super) fn is_there(interface: &str) -> bool {
    use rustix::net::{AddressFamily, SocketType, netdevice, socket};
    let socket = socket(AddressFamily::UNIX, SocketType::DGRAM, None);
    // A process without sockets leaves the answer to the kernel.
    socket.is_err() || socket.is_ok_and(|socket| netdevice::name_to_index(&socket, interface).is_ok())
}

/// What the kernel holds under the name of this table.
pub(super) async fn held(table: TableId) -> Result<Held, KernelError> {
    worker::run(move || read_back(table)).await
}

/// Every difference between a table and what the kernel holds, one line each. A hook that is not wanted is no difference
/// if its link is not there.
pub(super) fn differences(table: &NftTable, held: &Held) -> Vec<String> {
    readback::differences(table, held, has_hook(table))
}

/// Whether there is such a difference.
pub(super) fn differs(table: &NftTable, held: &Held) -> bool {
    readback::differs(table, held, has_hook(table))
}

/// Whether a hook on a link counts: the table wants it there, or the link is there.
fn has_hook(table: &NftTable) -> impl Fn(&str) -> bool {
    let wanted = |link: &str| {
        let mut bases = table.chains.iter().filter_map(|chain| chain.base.as_ref());
        bases.any(|base| base.devices.iter().any(|device| device == link))
    };
    move |link| wanted(link) || is_there(link)
}

/// Reads each of these tables from the kernel.
pub(super) async fn look<'t>(
    tables: impl IntoIterator<Item = &'t NftTable>,
) -> Result<Vec<(&'t NftTable, Held)>, KernelError> {
    let mut found = Vec::new();
    for table in tables {
        found.push((table, held(table.id()).await?));
    }
    Ok(found)
}

/// Every difference between these tables and what the kernel holds, one line each.
pub(super) async fn differ<'t>(
    tables: impl IntoIterator<Item = &'t NftTable>,
) -> Result<Vec<String>, FirewallError> {
    let found = look(tables).await?;
    Ok(found.into_iter().flat_map(|(table, held)| differences(table, &held)).collect())
}

/// Whether the kernel holds a hook of our table of this family, or of its copy. Unknown counts as yes, because a "no"
/// leaves the layer out.
pub(super) async fn has_hooks(family: NftFamily) -> bool {
    for table in TableId::ALL.into_iter().filter(|table| table.family == family) {
        let has = match held(table).await {
            Ok(held) => held.has_hooks(),
            // A kernel without nf_tables also answers with a refusal.
            Err(why) => !matches!(why, KernelError::Refused(_)),
        };
        if has {
            return true;
        }
    }
    false
}

/// Why the kernel has no such feature. `None` if it has it, or if that cannot be known: an ordinary user is
/// refused on every kernel.
///
/// # Errors
/// When the kernel does not answer. Another question would only wait too.
pub(super) async fn refusal(feature: Feature) -> Result<Option<KernelError>, KernelError> {
    refused(&feature.table()).await
}

/// Why the kernel gives these wires no egress hook, if it refuses one of them.
///
/// # Errors
/// When the kernel does not answer.
pub(super) async fn hooks_refused(wires: &[IfName]) -> Result<Option<KernelError>, KernelError> {
    let chains = (0..).zip(wires.chunks(LINKS_OF_A_CHAIN)).map(|(n, wires): (u32, _)| {
        let devices = wires.iter().map(ToString::to_string).collect();
        chain(Hook::Egress, &format!("egress_{n}"), devices)
    });
    refused(&probe(NftFamily::Netdev, chains.collect())).await
}

async fn refused(table: &NftTable) -> Result<Option<KernelError>, KernelError> {
    let question = Transaction::question(table);
    match worker::run(|| OwnSocket::open()?.send(question)).await {
        Err(why) if why.is_timeout() => Err(why),
        Err(why @ KernelError::Refused(_)) if !why.is_not_permitted() => Ok(Some(why)),
        Ok(_) | Err(_) => Ok(None),
    }
}

/// Commits a transaction with the owner's socket, or with a new one.
pub(super) async fn commit(
    owner: Option<Arc<OwnSocket>>,
    transaction: Transaction,
) -> Result<(), KernelError> {
    let commit = move || {
        let committed = match owner {
            Some(socket) => socket.send(transaction)?,
            None => OwnSocket::open()?.send(transaction)?,
        };
        // The caller may have given up by now.
        tool::count(usize::from(committed));
        Ok(())
    };
    worker::run(commit).await
}

/// Whether the copies may be the cause: they need as much memory as the tables, and a second hook on each wire. No other
/// program can change them. So if tables appeared or disappeared, or other tables differ, the copies are not the cause,
/// and they stay.
pub(super) fn may_be_copies(why: &FirewallError) -> bool {
    let copies = [NftFamily::Inet, NftFamily::Netdev].map(|family| TableId::copy(family).to_string());
    if let FirewallError::Nftables(why) = why {
        return why.is_lasting();
    }
    let names_copy = |line: &String| copies.iter().any(|copy| line.contains(copy));
    matches!(why, FirewallError::Differs(lines) if lines.iter().any(names_copy))
}

/// Closes a socket after all earlier work. Its tables have no owner then. The wait is bounded, because the kernel
/// first ends the transaction that it is at.
pub(super) async fn close(socket: Arc<OwnSocket>) {
    let close = move || {
        drop(socket);
        Ok(())
    };
    let _ = worker::run_within(ENDING.0, close).await;
}

/// Removes a table. An agent that is ending may still own it for a moment.
pub(super) async fn remove(table: TableId) -> Result<(), FirewallError> {
    let deadline = tokio::time::Instant::now() + ENDING.0;
    loop {
        let mut transaction = Transaction::default();
        transaction.delete(table);
        match commit(None, transaction).await {
            Ok(()) | Err(KernelError::Refused(Errno::ENOENT)) => return Ok(()),
            Err(why) if why.is_not_permitted() && tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(ENDING.1).await;
            }
            Err(why) if why.is_not_permitted() => return Err(FirewallError::Owned(Box::new(why.into()))),
            // There is nothing to remove.
            Err(KernelError::Refused(_)) if generation().is_none() => return Ok(()),
            Err(why) => return Err(why.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_about_the_request_is_a_refusal() {
        let of = |errno: Errno| KernelError::from(io::Error::from(errno));
        for errno in [Errno::EPERM, Errno::ENOENT, Errno::EOPNOTSUPP, Errno::EPROTONOSUPPORT, Errno::EINVAL] {
            assert!(matches!(of(errno), KernelError::Refused(_)), "{errno}");
        }
        for errno in [Errno::ENOMEM, Errno::ENOBUFS, Errno::EMFILE, Errno::EINTR] {
            assert!(matches!(of(errno), KernelError::Local(_)), "{errno}: the kernel may support it");
        }
        for (errno, may_be) in [
            (Errno::E2BIG, true),
            (Errno::EPERM, true),
            (Errno::ENOMEM, true),
            (Errno::ENOBUFS, true),
            (Errno::ENOENT, false),
            (Errno::EEXIST, false),
        ] {
            assert_eq!(may_be_copies(&of(errno).into()), may_be, "{errno}");
        }
        assert!(!may_be_copies(&KernelError::TimedOut(Duration::ZERO).into()));
        for (table, may_be) in
            [("inet tunwarden_copy", true), ("netdev tunwarden_copy", true), ("inet tunwarden", false)]
        {
            let differs = FirewallError::Differs(vec![format!("nft {table}: the table is not there")]);
            assert_eq!(may_be_copies(&differs), may_be, "{table}");
        }
        assert!(of(Errno::EPERM).is_not_permitted() && !of(Errno::EACCES).is_not_permitted());
        assert_eq!(of(Errno::E2BIG).to_string(), "nf_tables refused it: Argument list too long");
    }
}
