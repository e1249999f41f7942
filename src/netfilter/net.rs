//! The edge of the net of `prove --live`: it makes the tables, and reads what they have counted.

use std::collections::BTreeMap;
use std::io;

use netlink_bindings::nftables::{ExprOps, RuleAttrs};

use super::dump;
use super::encode::net::{LINKS, PASSED, PASSED_CHAIN, SEEN_CHAIN, caught};
use super::encode::{NEW_RULE, Transaction};
use super::held::text_of;
use super::own::OwnSocket;
use super::readback::rules_question;
use super::socket::{answered_if_there, settled};
use super::{Malformed, NFGENMSG};

pub use super::encode::net::{Net, Pattern};

/// Packets by chain, one number for each rule that counts.
type Packets = BTreeMap<String, Vec<u64>>;

/// How far a probe has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// It has passed every filter of IP.
    pub passed: bool,
    /// It has come to a link.
    pub seen: bool,
    /// It has passed every other chain on a link of this group, and was dropped.
    pub caught: Option<usize>,
}

/// The tables in the kernel. They end with this value, and with its process.
#[derive(Debug)]
pub struct SafetyNet {
    net: Net,
    /// It owns the tables.
    _owner: OwnSocket,
}

impl SafetyNet {
    /// Makes the tables, and reads that each rule is there.
    ///
    /// # Errors
    /// The kernel refuses them: it has no egress hook, no tables with owners, or one of the links is gone.
    pub fn make(net: Net) -> io::Result<Self> {
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
fn progress(net: &Net, packets: &Packets) -> Option<Vec<Progress>> {
    let patterns: usize = net.probes.iter().map(Vec::len).sum();
    let of = |chain: &str| packets.get(chain).filter(|rules| rules.len() == patterns);
    let (passed, seen) = (of(PASSED_CHAIN)?, of(SEEN_CHAIN)?);
    let groups = (0..net.groups.len()).map(|group| of(&caught(group))).collect::<Option<Vec<_>>>()?;
    let mut first = 0;
    let mut all = Vec::new();
    for probe in &net.probes {
        let rules = first..first + probe.len();
        let any = |counts: &[u64]| counts[rules.clone()].iter().any(|count| *count > 0);
        let caught = groups.iter().position(|counts| any(counts));
        all.push(Progress { passed: any(passed), seen: any(seen), caught });
        first = rules.end;
    }
    Some(all)
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

    fn net() -> Net {
        let pattern = || Pattern::Transport(17, 8, vec![7; 16]);
        Net { probes: vec![vec![pattern(), pattern()], vec![pattern()]], groups: vec![Vec::new(); 2] }
    }

    #[test]
    fn one_pattern_that_has_matched_is_enough_and_a_missing_rule_is_no_answer() {
        let counts = |passed: [u64; 3], caught: [u64; 3]| {
            let chains = [("passed", passed), ("seen", [0; 3]), ("caught_0", [0; 3]), ("caught_1", caught)];
            chains.map(|(chain, rules)| (chain.to_owned(), rules.to_vec())).into()
        };
        let found = progress(&net(), &counts([0, 4, 0], [0, 0, 1])).unwrap();
        let first = Progress { passed: true, ..Progress::default() };
        assert_eq!(found, [first, Progress { caught: Some(1), ..Progress::default() }]);
        let mut cut: Packets = counts([0; 3], [0; 3]);
        cut.entry("caught_0".to_owned()).or_default().pop();
        assert_eq!(progress(&net(), &cut), None);
        assert_eq!(progress(&net(), &Packets::new()), None);
    }
}
