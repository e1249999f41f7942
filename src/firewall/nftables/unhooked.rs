//! Wires that get no egress hook. Each of them is left out of the table and named; the other wires keep their
//! hooks.

use std::collections::{BTreeMap, BTreeSet};

use super::kernel::{KernelError, hooks_refused, is_there};
use crate::describe::describe;
use crate::net::IfName;
use crate::policy::WireRules;

/// Maximum number of questions to the kernel. After that, the remaining wires get no hook.
const QUESTIONS: usize = 100;

/// Maximum number of wires that a message names.
const SHOWN: usize = 5;

/// The wires of a ruleset that have no hook, and why.
#[derive(Debug, Default)]
pub(super) struct Unhooked {
    /// Wires that the kernel refuses, each with the kernel's answer.
    refused: BTreeMap<IfName, String>,
    /// Wires that the tables do not hold and their copy holds. The copy keeps its hook, which another program cannot
    /// take away.
    in_copy: BTreeSet<IfName>,
    /// Links that no rule can name.
    unnamed: BTreeSet<String>,
}

impl Unhooked {
    /// Whether this wire is left out of the tables.
    pub(super) fn contains(&self, wire: &IfName) -> bool {
        self.refused.contains_key(wire)
    }

    /// Whether this wire is left out of the copy of the tables.
    pub(super) fn copy_lacks(&self, wire: &IfName) -> bool {
        self.contains(wire) && !self.in_copy.contains(wire)
    }

    /// Only the copy holds these wires.
    pub(super) fn keep_in_copy(&mut self, wires: impl IntoIterator<Item = IfName>) {
        self.in_copy = wires.into_iter().collect();
    }

    /// Forgets wires that are gone, and takes those whose name no rule can carry.
    pub(super) fn update(&mut self, wire: &WireRules) {
        let there =
            |name: &IfName| wire.wires.iter().any(|wire| wire.interface == *name) && is_there(name.as_str());
        self.refused.retain(|name, _| there(name));
        self.in_copy.retain(there);
        self.unnamed = wire.unnamed.iter().cloned().collect();
    }

    /// Asks the kernel again about the wires that it has refused.
    ///
    /// # Errors
    /// When the kernel does not answer. Then these wires stay refused.
    pub(super) async fn look_again(&mut self) -> Result<(), KernelError> {
        let before = std::mem::take(&mut self.refused);
        let looked = self.look(before.keys().cloned().collect()).await;
        if looked.is_err() {
            self.refused = before;
        }
        looked
    }

    /// Finds the wires that the kernel gives no hook: asks about all of them, and then about each half of
    /// those that it refuses together.
    ///
    /// # Errors
    /// When the kernel does not answer. Then the other wires are not asked about.
    pub(super) async fn look(&mut self, wires: Vec<IfName>) -> Result<(), KernelError> {
        let mut asked = 0;
        let mut open = vec![wires];
        while let Some(wires) = open.pop() {
            let (Some(one), false) = (wires.first(), wires.iter().all(|wire| self.contains(wire))) else {
                continue;
            };
            asked += 1;
            let Some(why) = hooks_refused(&wires).await? else { continue };
            if wires.len() == 1 || asked >= QUESTIONS {
                tracing::debug!("no hook on {one} and {} more: {why}", wires.len() - 1);
                // A link that was removed during the question is no wire any more.
                let there = wires.into_iter().filter(|wire| is_there(wire.as_str()));
                self.refused.extend(there.map(|wire| (wire, reason(&why))));
                continue;
            }
            let (one, other) = wires.split_at(wires.len() / 2);
            open.extend([one.to_vec(), other.to_vec()]);
        }
        Ok(())
    }

    /// The wires without a hook, as text for people.
    pub(super) fn warning(&self) -> Option<String> {
        let mut by_reason: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (wire, why) in &self.refused {
            by_reason.entry(why).or_default().push(wire.to_string());
        }
        let unnamed: Vec<String> = self.unnamed.iter().map(|name| format!("{name:?}")).collect();
        if !unnamed.is_empty() {
            by_reason.insert("no rule can carry such a name; give the link another", unnamed);
        }
        let all = by_reason.into_iter().map(|(why, names)| format!("{}: {why}", listed(&names)));
        let all = all.collect::<Vec<_>>().join("; ");
        (!all.is_empty()).then(|| {
            format!(
                "no egress hook on {all}; what raw packet sockets and macvlan containers send there is not judged"
            )
        })
    }
}

/// The kernel's own words.
fn reason(why: &KernelError) -> String {
    match why {
        KernelError::Refused(errno) => errno.desc().to_owned(),
        KernelError::TimedOut(_) | KernelError::Local(_) => describe(why),
    }
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_that_only_the_copy_holds_stays_in_the_copy() {
        let name = |name: &str| name.parse::<IfName>().unwrap();
        let mut unhooked = Unhooked::default();
        for wire in ["eth0", "eth1"] {
            unhooked.refused.insert(name(wire), "No room".to_owned());
        }
        unhooked.keep_in_copy([name("eth0"), name("eth2")]);
        assert!(unhooked.contains(&name("eth0")) && !unhooked.copy_lacks(&name("eth0")));
        assert!(unhooked.contains(&name("eth1")) && unhooked.copy_lacks(&name("eth1")));
        assert!(!unhooked.contains(&name("eth2")) && !unhooked.copy_lacks(&name("eth2")));
    }

    #[test]
    fn a_warning_names_each_wire_with_its_reason_and_no_raw_byte_of_a_name() {
        let mut unhooked = Unhooked::default();
        assert_eq!(unhooked.warning(), None);
        for n in 0..7 {
            unhooked.refused.insert(format!("eth{n}").parse().unwrap(), "No room".to_owned());
        }
        unhooked.unnamed.insert("a\u{1b}\"b".to_owned());
        let said = unhooked.warning().unwrap();
        assert!(
            said.contains("no egress hook on eth0, eth1, eth2, eth3, eth4 and 2 more: No room;"),
            "{said}"
        );
        assert!(said.contains(r#""a\u{1b}\"b": no rule can carry such a name"#), "{said}");
    }
}
