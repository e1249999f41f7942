//! Closes completely, if rules cannot be committed.

use super::{Nftables, without_copies};
use crate::firewall::{FirewallError, Trust};
use crate::net::Family;
use crate::policy::{Ruleset, WireRules, last_resort};

impl Nftables {
    /// Closes completely because of `why`. Returns the error that says what is in force now.
    pub(in crate::firewall) async fn close(
        &mut self,
        ruleset: &Ruleset,
        why: FirewallError,
    ) -> FirewallError {
        self.held = None;
        if !why.may_succeed() {
            return why.not_closed(Family::ALL.to_vec());
        }
        let last = last_resort();
        let wire = WireRules { wires: ruleset.wire.wires.clone(), ..last.wire.clone() };
        let wanted = self.wanted(&Ruleset { wire, ..last });
        let mut result = self.put(None, Trust::None, &wanted).await;
        if let Err(last) = &result
            && let Some(alone) = without_copies(last, &wanted)
            && let Ok(commit) = self.put(None, Trust::None, &alone).await
        {
            // The copies hold older rules. They end only after the tables are closed.
            self.ownership.give_up(last).await;
            result = Ok(commit);
        }
        match result {
            Ok(_) => FirewallError::ClosedCompletely(Box::new(why)),
            Err(FirewallError::Nftables(last)) if last.is_not_permitted() => {
                FirewallError::Owned(Box::new(why))
            }
            Err(last) => FirewallError::Open {
                families: Family::ALL.to_vec(),
                source: Box::new(why),
                last: Box::new(last),
            },
        }
    }
}
