//! The steps to bring a VPN back. Each is taken only if the step before failed. Pure.

use std::fmt;

/// What can be tried, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// The VPN alone.
    Vpn,
    /// The connection below the VPN, then the VPN.
    Parent,
    /// All networks off and on again, then the VPN.
    Networking,
}

/// How far an attempt may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReconnectScope {
    /// Only the VPN itself is restarted: no user has asked.
    Vpn,
    /// Every step: a user has asked.
    Everything,
}

/// Why a step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The next step may help.
    Again(String),
    /// No other step can help.
    Final(String),
}

/// What was tried so far.
#[derive(Debug, Default)]
pub(super) struct Plan {
    failed: Vec<(Step, String)>,
}

impl Plan {
    /// The step after one that failed; `None` when there is none left.
    pub(super) fn after(&mut self, step: Step, failure: Failure, scope: ReconnectScope) -> Option<Step> {
        let (why, is_final) = match failure {
            Failure::Again(why) => (why, false),
            Failure::Final(why) => (why, true),
        };
        self.failed.push((step, why));
        match (step, scope) {
            (Step::Vpn, ReconnectScope::Everything) if !is_final => Some(Step::Parent),
            (Step::Parent, ReconnectScope::Everything) if !is_final => Some(Step::Networking),
            (
                Step::Vpn | Step::Parent | Step::Networking,
                ReconnectScope::Vpn | ReconnectScope::Everything,
            ) => None,
        }
    }
}

impl fmt::Display for Plan {
    /// Every step and why it failed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, (step, why)) in self.failed.iter().enumerate() {
            let gap = if count == 0 { "" } else { "; " };
            let what = match step {
                Step::Vpn => "it was started again",
                Step::Parent => "its network was started again",
                Step::Networking => "all networks were switched off and on",
            };
            write!(f, "{gap}{what}: {why}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again() -> Failure {
        Failure::Again("no answer".into())
    }

    #[test]
    fn a_failed_step_leads_to_the_next_and_the_last_ends_the_plan() {
        let mut plan = Plan::default();
        let parent = plan.after(Step::Vpn, again(), ReconnectScope::Everything);
        assert_eq!(parent, Some(Step::Parent));
        assert_eq!(plan.after(Step::Parent, again(), ReconnectScope::Everything), Some(Step::Networking));
        assert_eq!(plan.after(Step::Networking, again(), ReconnectScope::Everything), None);
        assert_eq!(
            plan.to_string(),
            "it was started again: no answer; its network was started again: no answer; all networks were switched \
             off and on: no answer"
        );
    }

    #[test]
    fn a_failure_that_no_step_can_repair_ends_the_plan() {
        for step in [Step::Vpn, Step::Parent, Step::Networking] {
            let hopeless = Failure::Final("no password".into());
            assert_eq!(Plan::default().after(step, hopeless, ReconnectScope::Everything), None);
        }
    }

    #[test]
    fn without_a_request_only_the_vpn_is_restarted() {
        assert_eq!(Plan::default().after(Step::Vpn, again(), ReconnectScope::Vpn), None);
    }
}
