//! The same rules for a kernel that lacks a module of iptables. They let no more packets pass.

use crate::policy::Ruleset;

/// What the rules lack: answers to refused senders, answers to discovery, and lines about refused packets.
pub(super) type Lacks = [Option<&'static str>; 3];

const CONSEQUENCES: [&str; 3] = [
    "programs wait for their timeouts when a packet is refused, because the kernel refuses the rules that answer",
    "answers to discovery on the LAN do not come in, because the kernel refuses their rules",
    "iptables does not report refused packets, because the kernel refuses the rules for it",
];

/// Which of these a kernel may lack: `xt_NFLOG` or `xt_limit`; `xt_REJECT` or `xt_addrtype`; `xt_recent`.
const LACKING: [[bool; 3]; 4] =
    [[false, false, true], [true, false, false], [false, true, false], [true, true, false]];

/// The rules without what a kernel may lack, and what each lacks. The last ones lack everything.
pub(super) fn with_fewer_modules(ruleset: &Ruleset) -> Vec<(Ruleset, Lacks)> {
    let has = [ruleset.has_rejects(), ruleset.has_answers(), ruleset.has_lines()];
    let is_there = |lacking: &[bool; 3]| lacking.iter().zip(has).all(|(lacks, has)| has || !lacks);
    let mut all: Vec<[bool; 3]> = LACKING.into_iter().filter(is_there).collect();
    if has != [false; 3] && !all.contains(&has) {
        all.push(has);
    }
    all.into_iter().map(|lacking| without(ruleset, lacking)).collect()
}

fn without(ruleset: &Ruleset, lacking: [bool; 3]) -> (Ruleset, Lacks) {
    let without: [fn(&Ruleset) -> Ruleset; 3] =
        [Ruleset::without_rejects, Ruleset::without_answers, Ruleset::without_lines];
    let mut fewer = ruleset.clone();
    let mut lacks = [None; 3];
    for part in 0..3 {
        if lacking[part] {
            fewer = without[part](&fewer);
            lacks[part] = Some(CONSEQUENCES[part]);
        }
    }
    (fewer, lacks)
}

/// The last warnings about what the rules lack.
#[derive(Debug, Default)]
pub(super) struct Lacking([Option<String>; 3]);

impl Lacking {
    /// Warns about what the kernel refuses besides the rules, each time that it is something else.
    pub(super) fn update(&mut self, lacks: Lacks, why: &str) {
        for (last, lack) in self.0.iter_mut().zip(lacks) {
            match lack {
                Some(lack) => warn_of_change(last, format!("{lack}: {why}")),
                None => *last = None,
            }
        }
    }

    /// One of them, as text for people.
    pub(super) fn warning(&self) -> Option<&str> {
        self.0.iter().find_map(Option::as_deref)
    }
}

/// Warns, unless the last warning was the same.
pub(super) fn warn_of_change(last: &mut Option<String>, warning: String) {
    if last.as_ref() != Some(&warning) {
        tracing::warn!("{warning}");
        *last = Some(warning);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::vpn::Situation;

    #[test]
    fn the_last_rules_lack_everything_that_a_kernel_may_refuse() {
        let ruleset = crate::policy::ruleset(&Config::default(), &[0].into(), &Situation::default());
        for ruleset in
            [ruleset.clone(), ruleset.without_answers(), ruleset.without_lines(), ruleset.without_rejects()]
        {
            let all = with_fewer_modules(&ruleset);
            let (fewest, _) = all.last().unwrap();
            assert!(!fewest.has_rejects() && !fewest.has_answers() && !fewest.has_lines());
            for (fewer, lacks) in &all {
                let has = [fewer.has_rejects(), fewer.has_answers(), fewer.has_lines()];
                assert!(has.iter().zip(lacks).all(|(has, lack)| !has || lack.is_none()), "{lacks:?}");
                assert_ne!(fewer, &ruleset, "{lacks:?}");
            }
        }
        let plain = ruleset.without_answers().without_lines().without_rejects();
        assert!(with_fewer_modules(&plain).is_empty());
    }
}
