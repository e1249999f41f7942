//! Commits fewer rules after the kernel has refused the rules. Fewer rules let no more packets pass.

use super::super::absent::is_absent;
use super::super::fewer_modules::{Lacks, with_fewer_modules};
use super::super::{Commit, Trust};
use super::{Iptables, Order, Refusal};
use crate::describe::describe;
use crate::net::Family;
use crate::policy::Ruleset;

/// What is in force after a fallback.
#[derive(Debug)]
struct Taken {
    commit: Commit,
    lacks: Lacks,
    /// Why an attempt ended that another one would only have repeated. One family may hold more rules than the other.
    stopped: Option<Refusal>,
}

/// Whether the rules themselves are tried once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// No: the kernel has refused them before, in the same words.
    Again,
    /// Yes: the refusal may have passed.
    First,
}

/// Whether the tables are known to hold what the last commit left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    First,
    Later,
}

/// Puts the fewest rules in force, and then the most that the kernel accepts. A kernel that refuses the fewest rules
/// refuses all others too.
async fn fall_back(
    ruleset: &Ruleset,
    refused: Refused,
    why: Refusal,
    mut put: impl AsyncFnMut(&Ruleset, Attempt) -> Result<Commit, Refusal>,
) -> Result<Taken, Refusal> {
    let mut fewer = with_fewer_modules(ruleset);
    let Some((fewest, lacks)) = fewer.pop() else { return Err(why) };
    let mut taken = Taken { commit: put(&fewest, Attempt::First).await?, lacks, stopped: None };
    let full = (refused == Refused::First).then(|| (ruleset.clone(), [None; 3]));
    for (more, lacks) in full.into_iter().chain(fewer) {
        match put(&more, Attempt::Later).await {
            Ok(commit) => return Ok(Taken { commit: taken.commit.and(commit), lacks, stopped: None }),
            // The next attempt would wait for the same program. The fewest rules are in force, or more of them.
            Err(why) if !why.may_succeed() => return Ok(Taken { stopped: Some(why), ..taken }),
            // One family may have taken them.
            Err(_) => taken.commit = put(&fewest, Attempt::Later).await?,
        }
    }
    Ok(taken)
}

impl Iptables {
    /// Puts fewer rules in force because of `why`, or the same rules if the kernel accepts them now.
    ///
    /// # Errors
    /// [`Refusal`]: the families that do not hold the fewest rules either.
    pub(super) async fn commit_fewer(
        &mut self,
        ruleset: &Ruleset,
        (held, trust): (Option<&Ruleset>, Trust),
        order: Order,
        why: Refusal,
    ) -> Result<Commit, Refusal> {
        let said = describe(why.why());
        let refused = match self.refused.as_ref() == Some(&said) {
            true => Refused::Again,
            false => Refused::First,
        };
        let known = match why.is_of_both() || is_absent(Family::V6) {
            true => (held, trust),
            // The other family has taken the refused rules. They are ours, and no difference to repair.
            false => (None, Trust::None),
        };
        let put = async |rules: &Ruleset, attempt| {
            let (held, trust) = match attempt {
                Attempt::First => known,
                Attempt::Later => (None, Trust::None),
            };
            self.commit_sets(rules, held, trust, order).await
        };
        let taken = fall_back(ruleset, refused, why, put).await?;
        if let Some(why) = &taken.stopped {
            tracing::warn!(
                "iptables holds only the rules without answers and reports: {}",
                describe(why.why())
            );
            self.held = None;
            self.trust = Trust::None;
        }
        self.lacking.update(taken.lacks, &said);
        self.refused = taken.lacks.iter().any(Option::is_some).then_some(said);
        Ok(taken.commit)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Config;
    use crate::firewall::{FirewallError, ToolError};
    use crate::policy::ruleset;
    use crate::vpn::Situation;

    fn refusal() -> Refusal {
        Refusal::of(Family::V4, FirewallError::Differs(vec!["another program was quicker".to_owned()]))
    }

    /// A program that hangs.
    fn hang() -> Refusal {
        let hangs =
            ToolError::TimedOut { program: "iptables-restore".to_owned(), after: Duration::from_secs(20) };
        Refusal::of(Family::V4, hangs.into())
    }

    /// The rules with rejects, without answers to discovery.
    fn rules() -> Ruleset {
        ruleset(&Config::default(), &[0].into(), &Situation::default())
    }

    /// Falls back with a kernel that gives these answers in turn. Returns what was asked for, and the result.
    fn with_answers(
        refused: Refused,
        answers: Vec<Result<Commit, Refusal>>,
    ) -> (Vec<Ruleset>, Result<Taken, Refusal>) {
        let (mut asked, mut answers) = (Vec::new(), answers.into_iter());
        let put = async |rules: &Ruleset, _| {
            asked.push(rules.clone());
            answers.next().unwrap()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let taken = runtime.block_on(fall_back(&rules(), refused, refusal(), put));
        assert!(answers.next().is_none(), "an attempt is missing");
        (asked, taken)
    }

    fn ok() -> Result<Commit, Refusal> {
        Ok(Commit::AsPlanned)
    }

    #[test]
    fn after_a_refusal_that_passes_all_rules_are_in_force() {
        let (asked, taken) = with_answers(Refused::First, vec![ok(), ok()]);
        assert!(!asked[0].has_rejects(), "the fewest are not the first");
        assert_eq!(asked[1], rules(), "the rules themselves are not tried again");
        assert_eq!(taken.unwrap().lacks, [None; 3]);
    }

    #[test]
    fn a_kernel_that_refuses_the_same_again_is_not_asked_again() {
        let all = with_fewer_modules(&rules()).len();
        let (asked, taken) = with_answers(Refused::Again, (0..all.min(2)).map(|_| ok()).collect());
        assert!(!asked.contains(&rules()));
        assert!(taken.unwrap().lacks.iter().any(Option::is_some));
    }

    #[test]
    fn what_is_refused_is_followed_by_the_fewest_rules() {
        let (asked, taken) = with_answers(Refused::First, {
            let mut answers = vec![ok()];
            // The rules themselves, and all forms but the fewest.
            for _ in 0..with_fewer_modules(&rules()).len() {
                answers.extend([Err(refusal()), ok()]);
            }
            answers
        });
        assert_eq!(asked.last(), asked.first());
        assert!(taken.unwrap().lacks.iter().any(Option::is_some));
    }

    #[test]
    fn a_program_that_hangs_leaves_the_fewest_rules_and_is_not_run_again() {
        let (asked, taken) = with_answers(Refused::First, vec![ok(), Err(hang())]);
        assert_eq!(asked.len(), 2);
        let taken = taken.unwrap();
        assert!(taken.stopped.is_some() && taken.lacks.iter().any(Option::is_some), "{taken:?}");
        let (_, taken) = with_answers(Refused::First, vec![Err(hang())]);
        assert!(taken.is_err(), "nothing is in force");
    }
}
