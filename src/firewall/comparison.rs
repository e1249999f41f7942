//! What the kernel holds of iptables, compared with rules in every form that a kernel may need. Pure.

use super::fewer_modules::with_fewer_modules;
use super::saved::Saved;
use super::{SetError, plan};
use crate::net::Family;
use crate::policy::Ruleset;

/// The tables of both families, read from the kernel.
pub(super) struct Held {
    pub(super) v4: Saved,
    /// `None` if the kernel has no IPv6.
    pub(super) v6: Option<Saved>,
}

impl Held {
    /// Every difference between `ruleset` and these tables, one line each. None if the tables hold it in one of the
    /// forms for a kernel that lacks sets or modules. `sets` are the differences of its sets; `None` if it has no
    /// sets, or if this system can hold none.
    ///
    /// # Errors
    /// When the sets cannot be read, and no rules stand in their place.
    pub(super) fn differences(
        &self,
        ruleset: &Ruleset,
        sets: Option<Result<Vec<String>, SetError>>,
    ) -> Result<Vec<String>, SetError> {
        let are_sets_held = matches!(&sets, Some(Ok(lines)) if lines.is_empty());
        let is_held = |ruleset: &Ruleset| {
            (are_sets_held && self.lines(ruleset).is_empty())
                || self.lines(&ruleset.without_sets()).is_empty()
        };
        if is_held(ruleset) {
            return Ok(Vec::new());
        }
        let lines = match sets {
            Some(sets) => [self.lines(ruleset), sets?].concat(),
            None => self.lines(&ruleset.without_sets()),
        };
        let has_fewer = with_fewer_modules(ruleset).iter().any(|(fewer, _)| is_held(fewer));
        Ok(if has_fewer { Vec::new() } else { lines })
    }

    /// The differences of the rules alone.
    fn lines(&self, ruleset: &Ruleset) -> Vec<String> {
        let of = |family, saved| plan::differences(family, ruleset.family(family), saved);
        let v6 = self.v6.iter().flat_map(|saved| of(Family::V6, saved));
        of(Family::V4, &self.v4).into_iter().chain(v6).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::net::Endpoint;
    use crate::policy::{MAX_RULES_WITHOUT_SET, Table, ruleset};
    use crate::vpn::{Allowance, Situation};

    /// Rules with a set.
    fn full() -> Ruleset {
        let server = |n| format!("192.0.2.{n}:1194/udp").parse::<Endpoint>().unwrap();
        let endpoints = (0..=MAX_RULES_WITHOUT_SET).map(|n| (server(n), [0].into())).collect();
        let bootstrap = Allowance { endpoints, ..Allowance::default() };
        ruleset(&Config::default(), &[0].into(), &Situation { bootstrap, ..Situation::default() })
    }

    /// A table as `iptables-save` prints it.
    fn printed(table: &Table) -> String {
        let mut lines = vec![format!("*{}", table.name.as_str())];
        lines.extend(table.dropping.iter().map(|chain| format!(":{} DROP [0:0]", chain.as_str())));
        let jumps = table.jumps.iter().chain(&table.last);
        lines.extend(jumps.map(|(from, to)| format!("-A {} -j {to}", from.as_str())));
        for chain in &table.chains {
            lines.push(format!(":{} - [0:0]", chain.name));
            lines.extend(chain.rules.iter().map(|rule| format!("-A {} {rule}", chain.name)));
        }
        lines.push("COMMIT\n".to_owned());
        lines.join("\n")
    }

    fn held(ruleset: &Ruleset) -> Held {
        let of = |family| {
            let text: String = ruleset.family(family).iter().map(printed).collect();
            Saved::parse(&text).unwrap()
        };
        Held { v4: of(Family::V4), v6: Some(of(Family::V6)) }
    }

    fn forms(ruleset: &Ruleset) -> Vec<Ruleset> {
        let fewer = with_fewer_modules(ruleset).into_iter().map(|(fewer, _)| fewer);
        [ruleset.clone()].into_iter().chain(fewer).collect()
    }

    #[test]
    fn other_rules_are_a_difference_and_every_form_of_the_same_rules_is_none() {
        let full = full();
        let other = ruleset(&Config::default(), &[0].into(), &Situation::default());
        assert!(!full.sets.is_empty() && forms(&full).len() > 4);
        for sets in [|| Some(Ok(Vec::new())), || None] {
            assert!(!held(&other).differences(&full, sets()).unwrap().is_empty());
            for form in forms(&full) {
                let plain = held(&form.without_sets()).differences(&full, sets()).unwrap();
                assert_eq!(plain, [""; 0]);
                let named = held(&form).differences(&full, sets()).unwrap();
                assert_eq!(named.is_empty(), sets().is_some(), "{named:?}");
            }
        }
    }

    #[test]
    fn a_set_counts_only_while_rules_name_it() {
        let full = full();
        let differs = || Some(Ok(vec!["a set differs".to_owned()]));
        let unread = || Some(Err(SetError::Saved(full.sets[0].name())));
        assert_eq!(held(&full).differences(&full, differs()).unwrap(), ["a set differs"]);
        assert!(held(&full).differences(&full, unread()).is_err());
        let plain = held(&full.without_sets());
        assert_eq!(plain.differences(&full, differs()).unwrap(), [""; 0]);
        assert_eq!(plain.differences(&full, unread()).unwrap(), [""; 0]);
    }

    #[test]
    fn a_kernel_without_ipv6_has_no_difference_there() {
        let full = full();
        let held = Held { v6: None, ..held(&full) };
        assert_eq!(held.differences(&full, Some(Ok(Vec::new()))).unwrap(), [""; 0]);
    }
}
