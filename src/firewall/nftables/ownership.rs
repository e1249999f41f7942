//! Who owns our tables, and when the agent tries again to own them.

use std::time::Duration;

use tokio::time::Instant;

use super::questions::OWNED;
use super::session::Session;
use crate::firewall::FirewallError;
use crate::firewall::tool::{self, ToolError};

/// How long the agent waits before it tries again to own the tables: at first, and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

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
    /// This process, through a session of nft.
    Ours(Box<Session>),
    /// Nobody, because nft answers that this system does not support it. The first commit after this moment
    /// that reads everything asks again.
    Impossible(Instant),
}

impl Ownership {
    /// For a process that ends after one commit.
    pub(super) fn none() -> Self {
        Self { owner: Owner::Nobody, delay: AGAIN.0 }
    }

    /// For the agent.
    pub(super) fn wanted() -> Self {
        Self { owner: Owner::Wanted(None), delay: AGAIN.0 }
    }

    /// The session that owns the tables, or creates and owns them with the next commit.
    pub(super) fn session(&mut self) -> Option<&mut Session> {
        match &mut self.owner {
            Owner::Ours(session) => Some(session),
            Owner::Nobody | Owner::Wanted(_) | Owner::Impossible(_) => None,
        }
    }

    /// Whether there is such a session.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.owner, Owner::Ours(_))
    }

    /// Whether this process owns the tables.
    pub(super) fn owns(&self) -> bool {
        matches!(&self.owner, Owner::Ours(session) if session.owns())
    }

    /// Whether all tables have to be created again: only the session that creates a table owns it.
    pub(super) fn must_make(&self) -> bool {
        matches!(&self.owner, Owner::Ours(session) if !session.owns())
    }

    /// When the agent tries again to own the tables.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.owner {
            Owner::Wanted(from) => from,
            Owner::Nobody | Owner::Ours(_) | Owner::Impossible(_) => None,
        }
    }

    /// Waits until the tables have lost their owner, which happens only when another program ends it.
    pub(super) async fn orphaned(&mut self) {
        let Some(session) = self.session() else { return std::future::pending().await };
        session.ended().await;
        self.owner = Owner::Wanted(None);
    }

    /// Gives up ownership for good.
    pub(super) async fn end(&mut self) {
        self.replace(Owner::Nobody).await;
    }

    /// The session has failed. Another one takes its tables over.
    pub(super) async fn lost(&mut self) {
        self.replace(Owner::Wanted(None)).await;
    }

    /// Gives up ownership for a while, because the commit failed with it.
    pub(super) async fn give_up(&mut self, why: &FirewallError) {
        self.replace(Owner::Wanted(None)).await;
        self.later(why);
    }

    /// The tables are in force. If this process owns them, a later failure is the first one again.
    pub(super) fn committed(&mut self) {
        if self.owns() {
            self.delay = AGAIN.0;
        }
    }

    /// A commit reads everything: this system may support now what it did not support before.
    pub(super) fn reconsider(&mut self) {
        if matches!(self.owner, Owner::Impossible(until) if until <= Instant::now()) {
            self.owner = Owner::Wanted(None);
        }
    }

    /// Starts the process that will own the tables, if the agent wants one and the kernel allows it.
    pub(super) async fn own(&mut self) {
        let Owner::Wanted(from) = self.owner else { return };
        if from.is_some_and(|from| Instant::now() < from) {
            return;
        }
        let started = match tool::nft(&["-c", "-f", "-"], OWNED).await {
            Ok(_) => Session::start().await,
            Err(why) if why.is_answer() => {
                let needs = "this needs kernel 6.9 and nft 1.1";
                tracing::info!("a flush of all of nftables is repaired, and not withstood: {needs}");
                self.owner = Owner::Impossible(Instant::now() + AGAIN.1);
                return;
            }
            Err(why) => Err(why),
        };
        match started {
            Ok(session) => self.owner = Owner::Ours(Box::new(session)),
            // Each commit looks whether nft is there.
            Err(ToolError::Missing(_)) => self.owner = Owner::Wanted(None),
            Err(why) => self.later(&why.into()),
        }
    }

    /// Tries again to own the tables, but not at once: `why` may come again.
    pub(super) fn later(&mut self, why: &FirewallError) {
        let now = Instant::now();
        if matches!(self.owner, Owner::Wanted(from) if from.is_none_or(|from| from <= now)) {
            let seconds = self.delay.as_secs();
            tracing::warn!("nobody owns the tables of nftables; the next attempt is in {seconds} s: {why}");
            self.owner = Owner::Wanted(Some(now + self.delay));
            self.delay = (self.delay * 2).min(AGAIN.1);
        }
    }

    async fn replace(&mut self, owner: Owner) {
        if let Owner::Ours(session) = std::mem::replace(&mut self.owner, owner) {
            session.end().await;
        }
    }
}
