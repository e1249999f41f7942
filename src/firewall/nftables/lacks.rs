//! What this system does not support, and when it is asked again: soon at first, and then less and less often.

use std::time::Duration;

use tokio::time::Instant;

use super::Nftables;
use super::kernel::{Feature, KernelError, has_hooks, held, is_there, refusal};
use crate::firewall::Trust;
use crate::net::IfName;
use crate::policy::Ruleset;
use crate::policy::nftables::{NftFamily, TableId};

/// How long until the next question: at first, and at most.
const DELAY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// What this system does not support, as text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::firewall) enum Lacks {
    /// Nothing is known to be missing.
    Nothing,
    /// The egress hook.
    Wires(String),
    /// The whole layer.
    Everything(String),
}

/// When the next question is due.
#[derive(Debug)]
pub(super) struct RetryTimer {
    due: Option<Instant>,
    delay: Duration,
}

impl RetryTimer {
    pub(super) fn new() -> Self {
        Self { due: None, delay: DELAY.0 }
    }

    /// The kernel has refused.
    pub(super) fn refused(&mut self, now: Instant) {
        self.due = Some(now + self.delay);
        self.delay = (self.delay * 2).min(DELAY.1);
    }

    /// The kernel no longer refuses.
    pub(super) fn granted(&mut self) {
        *self = Self::new();
    }

    /// When the next question is due; `None` if nothing was refused.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }
}

impl Nftables {
    /// Asks the kernel what a commit depends on, and makes this process the owner of the tables.
    ///
    /// # Errors
    /// When the kernel does not answer. The next question would only wait again.
    pub(super) async fn prepare(&mut self, ruleset: &Ruleset, trust: Trust) -> Result<(), KernelError> {
        if trust == Trust::None {
            self.ownership.reconsider();
        }
        self.ask_again().await?;
        self.ask_again_for_answers().await?;
        self.ownership.own().await?;
        self.unhooked.update(&ruleset.wire);
        self.unhooked.look_again().await
    }

    /// Asks again for what this system was found not to support: the refusal may have passed, and tables
    /// that an earlier commit left in force have to follow the rules.
    async fn ask_again(&mut self) -> Result<(), KernelError> {
        let question = match self.lacks {
            Lacks::Nothing => return Ok(()),
            Lacks::Everything(_) => Feature::Hooks,
            // A kernel before 5.16 never has it.
            Lacks::Wires(_) if !self.wires.is_due(Instant::now()) => return Ok(()),
            Lacks::Wires(_) => Feature::Wires,
        };
        let refused = refusal(question).await;
        if let Ok(None) = refused {
            self.lacks = Lacks::Nothing;
            self.wires.granted();
        } else if matches!(self.lacks, Lacks::Wires(_)) {
            self.wires.refused(Instant::now());
        }
        refused.map(drop)
    }

    /// Finds out whether a commit failed because this system does not support the layer at all, or no hook on a
    /// wire. `false` if the kernel does not answer.
    pub(super) async fn probe(&mut self, ruleset: &Ruleset) -> bool {
        let asked = self.ask(ruleset).await;
        if let Err(why) = &asked {
            tracing::debug!("what this kernel supports is not known: {why}");
        }
        asked.is_ok()
    }

    /// Asks what this kernel supports. A refusal may pass: a hook that a table of ours has is supported.
    ///
    /// # Errors
    /// When the kernel does not answer. The next question would only wait again.
    async fn ask(&mut self, ruleset: &Ruleset) -> Result<(), KernelError> {
        if let Some(why) = refusal(Feature::Hooks).await?
            && !has_hooks(NftFamily::Inet).await
        {
            self.lacks = Lacks::Everything(format!("this kernel has no nftables: {why}"));
        } else if let Some(why) = refusal(Feature::Wires).await?
            && !has_hooks(NftFamily::Netdev).await
        {
            self.lacks = Lacks::Wires(format!("this kernel has no egress hook (5.16): {why}"));
            self.wires.refused(Instant::now());
        } else {
            // A hook that is held needs no room.
            let [ours, copy] = [TableId::ours(NftFamily::Netdev), TableId::copy(NftFamily::Netdev)];
            let (ours, copy) = (held(ours).await.unwrap_or_default(), held(copy).await.unwrap_or_default());
            let wires = ruleset.wire.wires.iter().map(|wire| &wire.interface);
            let wires = wires.filter(|name| is_there(name.as_str()) && !ours.is_on(name.as_str()));
            let wires: Vec<IfName> = wires.cloned().collect();
            self.unhooked.keep_in_copy(wires.iter().filter(|name| copy.is_on(name.as_str())).cloned());
            self.unhooked.look(wires).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_questions_become_rarer_and_begin_again_after_a_grant() {
        let (mut again, mut now) = (RetryTimer::new(), Instant::now());
        assert!(again.is_due(now) && again.due().is_none());
        let mut waits = Vec::new();
        for _ in 0..11 {
            again.refused(now);
            assert!(!again.is_due(now), "a question comes before it is due");
            let due = again.due().unwrap();
            waits.push((due - now).as_secs());
            now = due;
            assert!(again.is_due(now));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        again.granted();
        again.refused(now);
        assert_eq!(again.due(), Some(now + DELAY.0));
    }
}
