//! The same rules for a kernel that lacks a module of iptables. They pass no more.

use crate::policy::Ruleset;

/// What rules lack: answers to refused senders, and answers to discovery.
pub(super) type Lacks = [Option<&'static str>; 2];

/// The rules without `xt_REJECT` and `xt_addrtype`, without `xt_recent`, and without all of them; and what each lacks.
pub(super) fn with_fewer_modules(ruleset: &Ruleset) -> Vec<(Ruleset, Lacks)> {
    const NO_REJECTS: Option<&str> = Some(
        "programs wait for their timeouts when a packet is refused, because the kernel refuses the rules that answer",
    );
    const NO_ANSWERS: Option<&str> =
        Some("answers to discovery on the LAN do not come in, because the kernel refuses their rules");
    let silent = ruleset.without_rejects();
    let mut all = Vec::new();
    if ruleset.has_rejects() {
        all.push((silent.clone(), [NO_REJECTS, None]));
    }
    if ruleset.has_answers() {
        all.push((ruleset.without_answers(), [None, NO_ANSWERS]));
    }
    if all.len() == 2 {
        all.push((silent.without_answers(), [NO_REJECTS, NO_ANSWERS]));
    }
    all
}

/// Warns, unless the last warning was the same.
pub(super) fn warn_of_change(last: &mut Option<String>, complaint: String) {
    if last.as_ref() != Some(&complaint) {
        tracing::warn!("{complaint}");
        *last = Some(complaint);
    }
}
