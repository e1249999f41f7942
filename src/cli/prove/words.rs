//! The proof as text: the page in the terminal, and sentences that the report uses too.

use super::{Computed, Conclusion, live};
use crate::config::plain;
use crate::model::{ASSUMPTIONS, Cell, Counterexample, Decision, Outcome as Shown, Row, Sender};

/// The names of the columns of the table, from the second one on.
pub(super) const COLUMNS: [&str; 5] = ["tunnel", "LAN", "VPN servers", "this link", "elsewhere"];

/// Explains the columns.
pub(super) const COLUMNS_EXPLAINED: &str = "VPN servers, LAN and this link (ARP, DHCP, neighbours): only what docs/security.md lists. \
                                      Elsewhere: everything else outside the tunnel.";

pub(super) const PORTAL: &str =
    "During the pause for a captive portal, DNS and web pages of this machine pass outside the tunnel too.";

/// The verdict: one word and one sentence.
pub(super) fn verdict(conclusion: Conclusion) -> [&'static str; 2] {
    match conclusion {
        Conclusion::Proven => ["PROVEN", "no packet can leave in clear."],
        Conclusion::Open => ["OPEN", "packets can leave in clear."],
        Conclusion::NotShown => ["NOT SHOWN", "it is not known whether packets can leave in clear."],
    }
}

/// The result of the computation as one sentence.
pub(super) fn computed(computed: &Computed) -> String {
    let rules = computed.proof.rules;
    let rules = if rules == 1 { "one rule".to_owned() } else { format!("{rules} rules") };
    let all = format!("Computed: of all packets that can reach the {rules} of this machine");
    match &computed.proof.outcome {
        Shown::Proven => format!("{all}, none leaves in clear."),
        Shown::Leaves(_) => format!("{all}, these leave in clear (one for each sender and link):"),
        Shown::NotShown(_) => format!("{all}, it could not be shown that none leaves in clear, because:"),
    }
}

/// The sender, for people.
pub(super) fn who(sender: Sender) -> &'static str {
    match sender {
        Sender::Local => "programs",
        Sender::Forwarded => "containers, VMs",
        Sender::Raw | Sender::Frame => "raw senders",
    }
}

/// The cells of a row, in the order of [`COLUMNS`].
pub(super) fn cells(row: &Row) -> [Cell; 5] {
    [row.tunnel, row.lan, row.server, row.link, row.elsewhere]
}

/// Whether a pause for a captive portal opens something now.
pub(super) fn has_portal(rows: &[Row]) -> bool {
    rows.iter().any(|row| matches!(row.portal, Cell::Passes | Cell::Unknown))
}

/// The page in the terminal.
pub(super) fn in_words(page: &Computed) -> String {
    let [word, sentence] = verdict(page.conclusion());
    let mut lines = vec![format!("{word}: {sentence}"), String::new(), computed(page)];
    match &page.proof.outcome {
        Shown::Proven => {}
        Shown::Leaves(packets) => {
            for packet in packets {
                lines.push(format!("- {packet}"));
                lines.extend(decided(packet).map(|decided| format!("  let out by: {decided}")));
                lines.push(format!("  what to do: {}", packet.remedy()));
            }
        }
        Shown::NotShown(reasons) => lines.extend(reasons.iter().map(|reason| format!("- {reason}"))),
    }
    if let Some(tried) = &page.tried {
        lines.push(String::new());
        lines.extend(live::in_words(tried));
    }
    if !page.rows.is_empty() {
        lines.push(String::new());
        lines.push(line("", COLUMNS));
        lines.extend(page.rows.iter().map(|row| line(who(row.sender), cells(row).map(Cell::as_str))));
        lines.push(COLUMNS_EXPLAINED.to_owned());
        lines.extend(has_portal(&page.rows).then(|| PORTAL.to_owned()));
    }
    lines.extend([String::new(), "This takes for granted:".to_owned()]);
    lines.extend(ASSUMPTIONS.map(|assumption| format!("- {assumption}")));
    lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
}

fn line(first: &str, rest: [&str; 5]) -> String {
    let rest: Vec<String> = rest.iter().map(|word| format!("{word:<12}")).collect();
    format!("{first:<16} {}", rest.join(" ")).trim_end().to_owned()
}

/// The rule that lets a packet out, and the program that made it.
pub(super) fn decided(packet: &Counterexample) -> Option<String> {
    packet.decided_by.as_ref().map(rule)
}

/// A rule, and the program that made it.
pub(super) fn rule(decision: &Decision) -> String {
    let place = format!("{} {}, chain {}", decision.tool.as_str(), decision.table, decision.chain);
    format!("{place}: {} ({})", decision.rule, decision.whose())
}
