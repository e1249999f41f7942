//! The report as one self-contained HTML page: it has no script, it loads nothing, and every string is escaped.

use super::words::{COLUMNS, COLUMNS_EXPLAINED, PORTAL, cells, computed, decided, has_portal, verdict, who};
use super::{Computed, Conclusion, live};
use crate::config::is_plain;
use crate::model::{ASSUMPTIONS, Cell, Counterexample, Outcome as Shown};

const STYLE: &str = "
:root { color-scheme: light dark; --line: #8886; --good: #1a7f37; --bad: #cf222e; --doubt: #9a6700; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { padding: .6rem 1rem; border-radius: .4rem; color: #fff; font-size: 1.5rem; }
h1.proven { background: var(--good); } h1.open { background: var(--bad); } h1.not-shown { background: var(--doubt); }
h2 { margin-top: 2rem; border-bottom: 1px solid var(--line); font-size: 1.15rem; }
li { margin-bottom: .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { border: 1px solid var(--line); padding: .4rem .6rem; text-align: left; }
td.passes { font-weight: 600; } td.elsewhere.refused { color: var(--good); font-weight: 600; }
td.elsewhere.passes { background: var(--bad); color: #fff; } td.unknown { background: var(--doubt); color: #fff; }
code, pre { font: 14px/1.4 ui-monospace, monospace; overflow-wrap: anywhere; white-space: pre-wrap; }
@media print { body { margin: 0; max-width: none; } }
";

/// The page. `versions` has one line for each program. `date` is a text for people.
pub(super) fn page(shown: &Computed, versions: &str, date: &str) -> String {
    let [word, sentence] = verdict(shown.conclusion());
    let when = format!(
        "<p>{} The state of tunwarden was <b>{}</b>. Links that lead out: {}. Tunnels: {}.</p>\n",
        escaped(date),
        shown.state.as_str(),
        names(&shown.uplinks),
        names(&shown.tunnels)
    );
    let assumptions: Vec<String> = ASSUMPTIONS.map(escaped).to_vec();
    [
        head(word, sentence),
        when,
        format!("<p>{}</p>\n", escaped(&computed(shown))),
        result(&shown.proof.outcome),
        shown.tried.as_ref().map(|tried| live::in_html(tried, escaped, list)).unwrap_or_default(),
        table(shown),
        format!("<h2>This takes for granted</h2>\n{}", list(&assumptions)),
        format!("<h2>Versions</h2>\n<pre>{}</pre>\n", escaped(versions)),
        "<h2>What this is</h2>\n<p><code>sudo tunwarden prove</code> reads the rules of every program from the kernel and \
         computes, for all packets, whether one can leave outside the VPN that the contract does not list. Only with \
         <code>--live</code> it sends probes. The page <code>docs/proof.md</code> explains the model, what it does not show, and how to check \
         it. The answer holds for the moment of the date above.</p>\n</html>\n"
            .to_owned(),
    ]
    .concat()
}

/// The page for a computation that failed.
pub(super) fn failed(why: &str) -> String {
    let [word, sentence] = verdict(Conclusion::NotShown);
    format!("{}<p>{}</p>\n</html>\n", head(word, sentence), escaped(why))
}

fn head(word: &str, sentence: &str) -> String {
    let class = word.to_lowercase().replace(' ', "-");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>tunwarden prove: {word}</title>\n\
         <style>{STYLE}</style>\n<body>\n<h1 class=\"{class}\">{word}: {}</h1>\n",
        escaped(sentence)
    )
}

fn result(outcome: &Shown) -> String {
    match outcome {
        Shown::Proven => String::new(),
        Shown::Leaves(packets) => list(&packets.iter().map(packet).collect::<Vec<String>>()),
        Shown::NotShown(reasons) => {
            list(&reasons.iter().map(|reason| escaped(reason)).collect::<Vec<String>>())
        }
    }
}

fn packet(packet: &Counterexample) -> String {
    let decided = decided(packet)
        .map(|decided| format!("<br><b>Let out by:</b> <code>{}</code>", escaped(&decided)))
        .unwrap_or_default();
    format!("{}{decided}<br><b>What to do:</b> {}", escaped(&packet.to_string()), escaped(&packet.remedy()))
}

fn table(shown: &Computed) -> String {
    if shown.rows.is_empty() {
        return String::new();
    }
    let heads: String = COLUMNS.map(|place| format!("<th scope=\"col\">{place}</th>")).concat();
    let rows: String = shown
        .rows
        .iter()
        .map(|row| {
            let cells: String =
                COLUMNS.iter().zip(cells(row)).map(|(place, cell)| of_cell(place, cell)).collect();
            format!("<tr><th scope=\"row\">{}</th>{cells}</tr>\n", who(row.sender))
        })
        .collect();
    let portal = if has_portal(&shown.rows) { format!("<p>{PORTAL}</p>\n") } else { String::new() };
    format!(
        "<h2>Who may send where</h2>\n<div class=\"wide\">\n<table>\n<tr><th></th>{heads}</tr>\n{rows}</table>\n</div>\n<p>{COLUMNS_EXPLAINED}</p>\n{portal}"
    )
}

fn of_cell(place: &str, cell: Cell) -> String {
    let word = cell.as_str();
    format!("<td class=\"{} {word}\">{word}</td>", place.to_lowercase().replace(' ', "-"))
}

fn names(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        some => {
            some.iter().map(|name| format!("<code>{}</code>", escaped(name))).collect::<Vec<_>>().join(", ")
        }
    }
}

/// A list of texts that are escaped already.
fn list(items: &[String]) -> String {
    let items: String = items.iter().map(|item| format!("<li>{item}</li>\n")).collect();
    format!("<ul>\n{items}</ul>\n")
}

/// Escapes a text for HTML. Characters that would change the direction of the text, or control the reader's terminal,
/// are written as escapes.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' => out.push('\n'),
            hidden if !is_plain(hidden) => out.extend(hidden.escape_unicode()),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::live::Tried;
    use super::*;
    use crate::model::{Decision, Proof, Row, Sender, Tool};
    use crate::net::Family;
    use crate::vpn::State;

    const BAD: &str = "<script>alert('1')</script>&\"\u{202e}\u{7}";

    fn shown() -> Computed {
        let packet = Counterexample {
            sender: Sender::Local,
            family: Family::V4,
            interface: BAD.to_owned(),
            source: None,
            destination: "203.0.113.77".parse().ok(),
            protocol: Some(17),
            source_port: None,
            destination_port: Some(4000),
            user: Some(1000),
            mark: None,
            input: Some(BAD.to_owned()),
            called: None,
            decided_by: Some(Decision {
                tool: Tool::Iptables,
                family: "",
                table: "filter".to_owned(),
                chain: "OUTPUT".to_owned(),
                rule: format!("-m comment --comment {BAD} -j ACCEPT"),
                by_policy: false,
                unknown: Vec::new(),
            }),
        };
        let row = Row {
            sender: Sender::Local,
            tunnel: Cell::Absent,
            lan: Cell::Passes,
            server: Cell::Refused,
            link: Cell::Passes,
            portal: Cell::Refused,
            elsewhere: Cell::Passes,
        };
        Computed {
            proof: Proof { rules: 3, outcome: Shown::Leaves(vec![packet]) },
            rows: vec![row],
            tried: Some(Tried::NotAvailable(BAD.to_owned())),
            state: State::Locked,
            uplinks: vec![BAD.to_owned()],
            tunnels: Vec::new(),
            now: 1_800_000_000,
        }
    }

    #[test]
    fn foreign_strings_stay_text() {
        let page = page(&shown(), BAD, BAD);
        for bad in ["<script", "alert('", "\u{202e}", "\u{7}"] {
            assert!(!page.contains(bad), "{bad:?} in {page}");
        }
        // The link's name twice, the packet's incoming link, the comment of the rule twice, the reason why nothing was
        // sent, the versions and the date.
        let text = "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;\\u{202e}\\u{7}";
        assert_eq!(page.matches(text).count(), 8, "{page}");
        assert!(page.contains("<td class=\"elsewhere passes\">passes</td>"), "{page}");
    }

    #[test]
    fn a_live_part_that_was_asked_for_and_is_not_there_proves_nothing() {
        let mut page = shown();
        assert_eq!(page.conclusion(), Conclusion::Open);
        page.proof.outcome = Shown::Proven;
        assert_eq!(page.conclusion(), Conclusion::NotShown);
        page.tried = None;
        assert_eq!(page.conclusion(), Conclusion::Proven);
    }
}
