//! A kernel that cannot answer the senders of refused packets: it drops the packets in silence.

use super::super::{Commit, FirewallError, Trust};
use super::Nftables;
use super::kernel::{Feature, refusal};
use crate::describe::describe;
use crate::policy::Ruleset;
use crate::policy::nftables::NftTable;

/// Whether the senders of refused packets get answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    Wanted,
    /// This kernel refuses these rules, and takes the same rules without them.
    Refused,
}

impl Nftables {
    /// Puts the same rules in force without answers to refused senders, which a kernel before 5.19 does not have for
    /// containers. `None` if the kernel refuses them too.
    pub(super) async fn without_answers(
        &mut self,
        ruleset: &Ruleset,
        why: &FirewallError,
    ) -> Option<(Vec<NftTable>, Commit)> {
        let is_owned = matches!(why, FirewallError::Nftables(why) if why.is_not_permitted());
        if is_owned || !self.are_refused().await {
            return None;
        }
        self.answers = Answers::Refused;
        let wanted = self.wanted(ruleset);
        match self.put(None, Trust::None, &wanted).await {
            Ok(commit) => {
                tracing::info!(
                    "nf_tables drops without an answer, because this kernel refuses the answers: {}",
                    describe(why)
                );
                Some((wanted, commit))
            }
            Err(_) => {
                self.answers = Answers::Wanted;
                None
            }
        }
    }

    /// Whether the kernel holds the same rules without answers.
    pub(super) async fn is_silent(&mut self, ruleset: &Ruleset) -> bool {
        if !self.are_refused().await {
            return false;
        }
        self.answers = Answers::Refused;
        let silent = self.wanted(ruleset);
        let is_held = self.compare(&silent, ruleset).await.is_ok_and(|lines| lines.is_empty());
        if !is_held {
            self.answers = Answers::Wanted;
        }
        is_held
    }

    /// Whether answers are wanted, and this kernel itself refuses them. A commit that fails for another reason says
    /// nothing about them, and neither do silent tables of an earlier agent.
    async fn are_refused(&self) -> bool {
        self.answers == Answers::Wanted && matches!(refusal(Feature::Answers).await, Ok(Some(_)))
    }
}
