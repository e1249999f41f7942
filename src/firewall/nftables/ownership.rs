//! Who owns our tables, and when the agent tries again to own them.
//!
//! Only the socket that made a table with the flag `owner` can change it, and a flush of everything leaves it
//! alone. The socket ends with the agent, however the agent ends. The flag `persist` keeps the tables in force
//! without an owner. From then on every program can change them, so `tunwarden lock` and `tunwarden release` can
//! too.
//!
//! A kernel from 6.1 to 6.8 has no `persist`. There the tables have no owner, and the agent owns a copy of them
//! beside them. A flush leaves the copy in force, and the end of the agent leaves the tables. A packet passes both,
//! so the copy refuses nothing more, and each packet costs more time.

use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use rustix::system::uname;
use tokio::time::Instant;

use super::kernel::{Feature, KernelError, close, refusal};
use super::worker;
use crate::netfilter::own::OwnSocket;

/// How long the agent waits before it tries again to own the tables: at first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// What an owner owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owned {
    /// The tables. They stay when it ends.
    Tables,
    /// A copy of them, which ends with it.
    Copies,
}

/// The owner of the tables.
#[derive(Debug)]
pub(super) struct Ownership {
    owner: Owner,
    /// How long the agent waits after the next failure.
    delay: Duration,
}

#[derive(Debug)]
enum Owner {
    /// Nobody: a process that ends after one commit cannot own them.
    Nobody,
    /// Nobody. This process will own them from the next commit on, but not before this moment.
    Wanted(Option<Instant>),
    /// This process, from the first commit with this socket on.
    Ours { socket: Arc<OwnSocket>, owned: Owned, made: bool },
    /// Nobody, because the kernel answers that it does not support it. The first commit after this moment that
    /// reads everything asks again.
    Impossible(Instant),
}

impl Ownership {
    /// For a process that ends after one commit.
    pub(super) fn none() -> Self {
        Self { owner: Owner::Nobody, delay: RETRY.0 }
    }

    /// For the agent.
    pub(super) fn wanted() -> Self {
        Self { owner: Owner::Wanted(None), delay: RETRY.0 }
    }

    /// The socket that owns the tables, or makes and owns them with the next commit.
    pub(super) fn socket(&self) -> Option<Arc<OwnSocket>> {
        match &self.owner {
            Owner::Ours { socket, .. } => Some(Arc::clone(socket)),
            Owner::Nobody | Owner::Wanted(_) | Owner::Impossible(_) => None,
        }
    }

    /// What that socket owns, or will own.
    pub(super) fn owned(&self) -> Option<Owned> {
        match self.owner {
            Owner::Ours { owned, .. } => Some(owned),
            Owner::Nobody | Owner::Wanted(_) | Owner::Impossible(_) => None,
        }
    }

    /// Whether this process owns the tables, or a copy of them.
    pub(super) fn owns(&self) -> bool {
        matches!(self.owner, Owner::Ours { made: true, .. })
    }

    /// Whether all owned tables have to be made: only the socket that makes a table owns it.
    pub(super) fn must_make(&self) -> bool {
        matches!(self.owner, Owner::Ours { made: false, .. })
    }

    /// When the agent tries again to own the tables.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.owner {
            Owner::Wanted(from) => from,
            Owner::Nobody | Owner::Ours { .. } | Owner::Impossible(_) => None,
        }
    }

    /// Gives up ownership permanently.
    pub(super) async fn end(&mut self) {
        self.replace(Owner::Nobody).await;
    }

    /// Gives up ownership for a while, because the tables could not be made with it.
    pub(super) async fn give_up(&mut self, why: &dyn std::error::Error) {
        self.replace(Owner::Wanted(None)).await;
        self.later(why);
    }

    /// The socket has made all tables.
    pub(super) fn has_made(&mut self) {
        if let Owner::Ours { made, .. } = &mut self.owner {
            *made = true;
        }
    }

    /// The tables that the socket has made were read back as wanted. After the next failure the agent waits as long as
    /// after the first one.
    pub(super) fn was_read(&mut self) {
        if matches!(self.owner, Owner::Ours { made: true, .. }) {
            self.delay = RETRY.0;
        }
    }

    /// A commit reads everything: this system may support now what it did not support before.
    pub(super) fn reconsider(&mut self) {
        if matches!(self.owner, Owner::Impossible(until) if until <= Instant::now()) {
            self.owner = Owner::Wanted(None);
        }
    }

    /// Opens the socket that will own the tables, if the agent wants one and the kernel allows it.
    ///
    /// # Errors
    /// When the kernel does not answer. Another request would only wait too.
    pub(super) async fn own(&mut self) -> Result<(), KernelError> {
        let Owner::Wanted(from) = self.owner else { return Ok(()) };
        if from.is_some_and(|from| Instant::now() < from) {
            return Ok(());
        }
        let opened = match possible().await {
            Ok(Ok(owned)) => worker::run(OwnSocket::open).await.map(|socket| (socket, owned)),
            Ok(Err(why)) => {
                tracing::info!(
                    "`nft flush ruleset` removes the rules until the agent repairs them; kernel 6.1 or later can \
                     prevent that ({why})"
                );
                self.owner = Owner::Impossible(Instant::now() + RETRY.1);
                return Ok(());
            }
            Err(why) => Err(why),
        };
        match opened {
            Ok((socket, owned)) => {
                self.owner = Owner::Ours { socket: Arc::new(socket), owned, made: false };
            }
            Err(why) => {
                self.later(&why);
                if why.is_timeout() {
                    return Err(why);
                }
            }
        }
        Ok(())
    }

    /// Tries again to own the tables, but not at once: `why` may come again.
    pub(super) fn later(&mut self, why: &dyn std::error::Error) {
        let now = Instant::now();
        if matches!(self.owner, Owner::Wanted(from) if from.is_none_or(|from| from <= now)) {
            let (seconds, why) = (self.delay.as_secs(), crate::describe::describe(why));
            tracing::warn!(
                "the agent does not own its nftables tables; the next attempt is in {seconds} s: {why}"
            );
            self.owner = Owner::Wanted(Some(now + self.delay));
            self.delay = (self.delay * 2).min(RETRY.1);
        }
    }

    async fn replace(&mut self, owner: Owner) {
        if let Owner::Ours { socket, .. } = std::mem::replace(&mut self.owner, owner) {
            close(socket).await;
        }
    }
}

/// What a process can own on this kernel, or why nothing.
///
/// # Errors
/// When the kernel does not answer.
async fn possible() -> Result<Result<Owned, KernelError>, KernelError> {
    if refusal(Feature::Owned).await?.is_none() {
        return Ok(Ok(Owned::Tables));
    }
    Ok(match refusal(Feature::OwnedCopy).await? {
        None if is_read_by_others(&uname().release().to_string_lossy()) => Ok(Owned::Copies),
        None => Err(KernelError::Refused(Errno::EPERM)),
        Some(why) => Err(why),
    })
}

/// Whether other sockets can read the sets of an owned table in this release of Linux. The first kernels with owned
/// tables refuse that, and an agent that cannot read its tables cannot say what is in force.
fn is_read_by_others(release: &str) -> bool {
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    matches!((numbers.next(), numbers.next()), (Some(major), Some(minor)) if (major, minor) >= (6, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_owned_only_where_it_can_be_read_back() {
        for (release, expected) in [
            ("5.15.0-41-generic", false),
            ("5.12.1", false),
            ("6.0.7", false),
            ("6.1.0-18-amd64", true),
            ("6.8.0-31-generic", true),
            ("10.0", true),
            ("6.1-rc1", true),
            ("6", false),
            ("", false),
            ("six.one", false),
        ] {
            assert_eq!(is_read_by_others(release), expected, "{release}");
        }
    }
}
