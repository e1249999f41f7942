//! The edge of the net of `prove --live`: it makes the tables, and reads what they have counted.

use std::collections::BTreeMap;
use std::io;

use netlink_bindings::nftables::{ExprOps, RuleAttrs};

use super::dump;
use super::encode::probe_rules::{
    DELIVERED_CHAIN, ENTERED_CHAIN, LINKS, PASSED, PASSED_CHAIN, SEEN_CHAIN, TURNED_CHAIN, TURNED_HOME_CHAIN,
    caught, has_rule,
};
use super::encode::{NEW_RULE, Transaction};
use super::held::text_of;
use super::own::OwnSocket;
use super::readback::rules_question;
use super::socket::{answered_if_there, settled};
use super::{Malformed, NFGENMSG};

pub use super::encode::probe_rules::{Pattern, ProbeRules};

/// Packets by chain, one number for each rule that counts.
type Packets = BTreeMap<String, Vec<u64>>;

/// How far a probe has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// It came to this network namespace from another one.
    pub entered: bool,
    /// It was for this machine itself, and was dropped there.
    pub delivered: bool,
    /// It has passed every filter of IP.
    pub passed: bool,
    /// It has passed them with another destination, and was dropped behind them.
    pub turned: Option<Redirected>,
    /// It has come to a link.
    pub seen: bool,
    /// It has passed every other chain on a link of this group, and was dropped.
    pub caught: Option<usize>,
}

/// Where a packet goes that a rule gave another destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirected {
    /// To this machine itself.
    ThisMachine,
    /// Elsewhere.
    Elsewhere,
}

/// The tables in the kernel. They end with this value, and with its process.
#[derive(Debug)]
pub struct ProbeTables {
    net: ProbeRules,
    /// It owns the tables.
    _owner: OwnSocket,
}

impl ProbeTables {
    /// Makes the tables, and reads that each rule is there.
    ///
    /// # Errors
    /// The kernel refuses them: it has no egress hook, no tables with owners, or one of the links is gone.
    pub fn make(net: ProbeRules) -> io::Result<Self> {
        let owner = OwnSocket::open()?;
        owner.send(Transaction::net(&net))?;
        let made = Self { net, _owner: owner };
        made.progress()?;
        Ok(made)
    }

    /// How far each probe has come.
    ///
    /// # Errors
    /// The tables cannot be read, or a rule of them is missing.
    pub fn progress(&self) -> io::Result<Vec<Progress>> {
        let packets = settled(|| {
            let mut packets = Packets::new();
            for table in [PASSED, LINKS] {
                let question = rules_question(table);
                if !answered_if_there(&question, |datagram| take(&mut packets, datagram))? {
                    return Ok(None);
                }
            }
            Ok(Some(packets))
        })?;
        let missing = || io::Error::other("a rule of the net is missing");
        progress(&self.net, &packets).ok_or_else(missing)
    }
}

/// `None` if a chain has another number of rules than the net has patterns.
fn progress(net: &ProbeRules, packets: &Packets) -> Option<Vec<Progress>> {
    let of = |chain: &str| of_chain(net, packets.get(chain).map_or(&[][..], Vec::as_slice), chain);
    let (entered, delivered, passed) = (of(ENTERED_CHAIN)?, of(DELIVERED_CHAIN)?, of(PASSED_CHAIN)?);
    let (home, away, seen) = (of(TURNED_HOME_CHAIN)?, of(TURNED_CHAIN)?, of(SEEN_CHAIN)?);
    let groups = (0..net.groups.len()).map(|group| of(&caught(group))).collect::<Option<Vec<_>>>()?;
    let of_probe = |n: usize| Progress {
        entered: entered[n],
        delivered: delivered[n],
        passed: passed[n],
        turned: match (home[n], away[n]) {
            (_, true) => Some(Redirected::Elsewhere),
            (true, false) => Some(Redirected::ThisMachine),
            (false, false) => None,
        },
        seen: seen[n],
        caught: groups.iter().position(|group| group[n]),
    };
    Some((0..net.probes.len()).map(of_probe).collect())
}

/// Whether the rules of a chain have counted each probe; `None` if one of the rules is missing.
fn of_chain(net: &ProbeRules, counts: &[u64], chain: &str) -> Option<Vec<bool>> {
    let mut rest = counts;
    let mut all = Vec::new();
    for probe in &net.probes {
        let rules = probe.iter().filter(|pattern| has_rule(chain, pattern)).count();
        let (own, others) = rest.split_at_checked(rules)?;
        all.push(own.iter().any(|count| *count > 0));
        rest = others;
    }
    rest.is_empty().then_some(all)
}

fn take(packets: &mut Packets, datagram: &[u8]) -> Result<dump::Progress, Malformed> {
    dump::read(datagram, |kind, payload| {
        if kind != NEW_RULE {
            return Ok(());
        }
        let rule = RuleAttrs::new(payload.get(NFGENMSG..).ok_or(Malformed)?);
        for instruction in rule.get_expressions()?.get_elem() {
            if instruction.get_name()?.to_bytes() == b"counter"
                && let ExprOps::Counter(counter) = instruction.get_data()?
            {
                let (chain, count) = (text_of(rule.get_chain()?), counter.get_packets()?);
                packets.entry(chain).or_default().push(count);
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net() -> ProbeRules {
        let pattern = || Pattern::Transport(17, 8, vec![7; 16]);
        let first = Pattern::First("203.0.113.9".parse().unwrap(), 6, 443);
        ProbeRules {
            probes: vec![vec![pattern(), pattern()], vec![pattern()], vec![pattern(), first]],
            groups: vec![Vec::new(); 2],
        }
    }

    #[test]
    fn one_pattern_that_has_matched_is_enough_and_a_missing_rule_is_no_answer() {
        let counts = |passed: [u64; 4], caught: [u64; 4], away: u64| {
            let none = [0; 4];
            let four = [("entered", none), ("passed", passed), ("seen", none), ("caught_0", none)];
            let four = four.into_iter().chain([("caught_1", caught)]);
            let four = four.map(|(chain, rules)| (chain.to_owned(), rules.to_vec()));
            let others = [("delivered", vec![0; 5]), ("turned_home", vec![1]), ("turned", vec![away])];
            four.chain(others.map(|(chain, rules)| (chain.to_owned(), rules))).collect::<Packets>()
        };
        let found = progress(&net(), &counts([0, 4, 0, 0], [0, 0, 1, 0], 0)).unwrap();
        let first = Progress { passed: true, ..Progress::default() };
        let second = Progress { caught: Some(1), ..Progress::default() };
        let third = Progress { turned: Some(Redirected::ThisMachine), ..Progress::default() };
        assert_eq!(found, [first, second, third]);
        let found = progress(&net(), &counts([0; 4], [0; 4], 1)).unwrap();
        assert_eq!(found[2].turned, Some(Redirected::Elsewhere), "what may leave counts before what stays");
        let mut cut: Packets = counts([0; 4], [0; 4], 0);
        cut.entry("caught_0".to_owned()).or_default().pop();
        assert_eq!(progress(&net(), &cut), None);
        assert_eq!(progress(&net(), &Packets::new()), None);
    }
}
