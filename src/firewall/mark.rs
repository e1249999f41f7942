//! The mark of the policies that we set: the byte counter of the chain begins with [`BYTES`]. Pure.
//!
//! A program that sets the policy DROP sees no difference where our rules have set it already. But iptables-nft then
//! sets the counters of the policy to zero, and so does a restore. Packets, rules and flushes do not. So if we had set the mark and a DROP
//! has none, another program has set the policy. iptables-legacy sets these counters to zero
//! with every change of the table, so they say nothing there.

use super::saved::SavedTable;
use crate::policy::{ChainName, ForeignChain};

/// The first value of the byte counter. Packets do not add as much: these would be 10^15 bytes.
const BYTES: u64 = 1_000_000_000_000_000;

/// What `iptables-save` shows of the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// The counter has our value, or more.
    Ours,
    /// It has less.
    Absent,
}

/// What the mark says about the policy of filter `FORWARD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// We have set the DROP that it has.
    Ours,
    /// Another program has set it, if ours had the mark before.
    Another,
    /// It is ACCEPT while our jump is there: another program has set it, because ours is always DROP.
    Opened,
    /// A program has set all counters to zero (`iptables -Z`), which sets no policy. Three times `-P … DROP` looks the same.
    Zeroed,
    /// It is not known, or the policy is not DROP.
    Unknown,
}

impl Mark {
    /// The mark in the counters that `iptables-save` prints: `[3:252]`.
    pub(super) fn of(counters: &str) -> Option<Self> {
        let (_, bytes) = counters.strip_prefix('[')?.strip_suffix(']')?.split_once(':')?;
        Some(if bytes.parse::<u64>().ok()? >= BYTES { Self::Ours } else { Self::Absent })
    }
}

/// A restore text whose policies of DROP have the mark.
pub(super) fn marked(text: &str) -> String {
    text.replace(" DROP [0:0]\n", &format!(" DROP [0:{BYTES}]\n"))
}

/// Says who has set the policy of filter `FORWARD`.
pub(super) fn forward(filter: &SavedTable) -> Origin {
    let is_bare = |hook: ForeignChain| {
        let name = hook.as_str();
        filter.policy(name) == Some("DROP") && filter.mark(name) == Some(Mark::Absent)
    };
    let name = ForeignChain::Forward.as_str();
    let jump = format!("-j {}", ChainName::DockerVpnKillSwitch);
    let jumps = filter.rules(name).is_some_and(|rules| rules.contains(&jump));
    // `iptables -F; iptables -X` leaves no rule. A firewall that another program restores has rules.
    let is_flushed = filter.chains().all(|(_, rules)| rules.is_empty());
    match filter.mark(name) {
        Some(_) if filter.policy(name) == Some("ACCEPT") && jumps => Origin::Opened,
        Some(Mark::Ours) if filter.policy(name) == Some("DROP") => Origin::Ours,
        Some(Mark::Absent) if is_bare(ForeignChain::Forward) => {
            let all = is_bare(ForeignChain::Input) && is_bare(ForeignChain::Output);
            if all && (jumps || is_flushed) { Origin::Zeroed } else { Origin::Another }
        }
        Some(Mark::Ours | Mark::Absent) | None => Origin::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::firewall::saved::Saved;

    const OURS: &str = "DROP [0:1000000000000000]";
    const BARE: &str = "DROP [0:0]";
    const JUMP: &str = "-A FORWARD -j DOCKER_VPN_KILL_SWITCH\n";

    fn of([input, forward_policy, output]: [&str; 3], rules: &str) -> Origin {
        let text =
            format!("*filter\n:INPUT {input}\n:FORWARD {forward_policy}\n:OUTPUT {output}\n{rules}COMMIT\n");
        forward(Saved::parse(&text).unwrap().table("filter").unwrap())
    }

    #[test]
    fn a_policy_without_the_mark_is_another_programs_unless_all_counters_are_zero() {
        let counted = "DROP [9:1000000000000540]";
        for (policies, rules, origin) in [
            ([OURS, OURS, OURS], JUMP, Origin::Ours),
            ([BARE, counted, BARE], "", Origin::Ours),
            ([OURS, BARE, OURS], JUMP, Origin::Another),
            ([BARE, "DROP [7:420]", OURS], JUMP, Origin::Another),
            ([BARE, BARE, "ACCEPT [0:0]"], JUMP, Origin::Another),
            ([BARE, BARE, BARE], "-A INPUT -i lo -j ACCEPT\n", Origin::Another),
            ([BARE, BARE, BARE], "", Origin::Zeroed),
            ([BARE, BARE, BARE], JUMP, Origin::Zeroed),
            ([OURS, BARE, OURS], "", Origin::Another),
            ([OURS, "ACCEPT [0:0]", OURS], JUMP, Origin::Opened),
            ([OURS, "ACCEPT [0:0]", OURS], "", Origin::Unknown),
            ([OURS, "DROP", OURS], JUMP, Origin::Unknown),
            ([OURS, "DROP [x:y]", OURS], JUMP, Origin::Unknown),
        ] {
            assert_eq!(of(policies, rules), origin, "{policies:?} {rules}");
        }
    }

    #[test]
    fn only_policies_of_drop_get_the_mark() {
        let text = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:X - [0:0]\nCOMMIT\n";
        assert_eq!(marked(text), text.replace("DROP [0:0]", OURS));
    }
}
