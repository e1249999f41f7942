//! The rules of a pause that match no packet: they end before they begin. The kernel checks and holds them like
//! the rules of the pause. Pure.

use jiff::Timestamp;

use super::{Rule, Ruleset};

/// When a rule of a trial begins and ends, in seconds since the epoch. The end is before the beginning, so the rule
/// matches at no time, also with a clock that starts at the epoch.
const NEVER: (i64, i64) = (2 * 86_400, 86_400);

impl Ruleset {
    /// The same rules, but the rules of a pause match no packet any more.
    pub fn trial(&self) -> Self {
        let mut trial = self.clone();
        for table in trial.ipv4.iter_mut().chain(&mut trial.ipv6) {
            table.chains.iter_mut().flat_map(|chain| &mut chain.rules).for_each(end);
        }
        let wire = &mut trial.wire;
        wire.open.iter_mut().for_each(end);
        let chains = wire.ipv4.iter_mut().chain(&mut wire.ipv6);
        chains.flat_map(|chain| &mut chain.rules).for_each(|rule| end(rule.rule_mut()));
        trial
    }

    /// When the last rule of a pause stops to match; `None` if there is no such rule.
    pub fn paused_until(&self) -> Option<Timestamp> {
        let tables = self.ipv4.iter().chain(&self.ipv6);
        let rules = tables.flat_map(|table| &table.chains).flat_map(|chain| &chain.rules);
        rules.chain(&self.wire.open).filter_map(|rule| rule.until).max()
    }
}

fn end(rule: &mut Rule) {
    if rule.until.is_some() {
        rule.since = Timestamp::from_second(NEVER.0).ok();
        rule.until = Timestamp::from_second(NEVER.1).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::net::Family;
    use crate::policy::{Owners, iptables, nftables, ruleset};
    use crate::vpn::{PauseScope, Situation};

    fn moment(second: i64) -> Option<Timestamp> {
        Timestamp::from_second(second).ok()
    }

    /// Every rule of both layers, as text.
    fn lines(ruleset: &Ruleset) -> Vec<String> {
        let iptables = Family::ALL.map(|family| iptables::render_fresh(ruleset, family));
        let text = iptables.concat() + &nftables::render_fresh(ruleset);
        text.lines().map(ToOwned::to_owned).collect()
    }

    #[test]
    fn a_rehearsal_differs_from_its_pause_in_the_times_alone_and_matches_nothing() {
        for pause_scope in [PauseScope::Everything, PauseScope::Portal] {
            let (from, until) = (moment(1_900_000_000), moment(1_900_000_600));
            let portal_uplinks = vec!["eth0".parse().unwrap()];
            let paused = Situation { pause_scope, portal_uplinks, ..Situation::default() };
            let paused = Situation { paused_from: from, paused_until: until, ..paused };
            let paused = ruleset(&Config::default(), &Owners::from([0]), &paused);
            let trial = paused.trial();
            assert_eq!((paused.paused_until(), trial.paused_until()), (until, moment(NEVER.1)));
            let (paused, trial) = (lines(&paused), lines(&trial));
            assert_eq!(paused.len(), trial.len());
            let changed: Vec<_> = paused.iter().zip(&trial).filter(|(old, new)| old != new).collect();
            let timed = paused.iter().filter(|line| line.contains("2030-03-17")).count();
            assert!(timed > 0 && changed.len() == timed, "{changed:#?}");
            let never = |line: &str| line.find("1970-01-03") < line.find("1970-01-02");
            assert!(changed.iter().all(|(_, new)| never(new)), "{changed:#?}");
        }
    }
}
