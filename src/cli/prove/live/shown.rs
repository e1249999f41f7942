//! The live part for people and for programs.

use std::collections::BTreeMap;

use nix::errno::Errno;
use serde_json::{Value, json};

use super::containers::Untried;
use super::end::End;
use super::{Probed, Probes, Tried};
use crate::cli::prove::{json, words};

/// Explains the net on the page.
const NET: &str = "Each probe was real, had a tag, and went to a documentation address. Behind all rules, a net on every link \
                   would have dropped it. The control sent the same probes in a private network without rules.";

/// The line before the rules that refuse.
const BY: &str = "Where they were refused, and by which rule as the model computes it for the same packet:";

impl End {
    /// For JSON.
    const fn as_str(&self) -> &'static str {
        match self {
            Self::AtSend(_) => "refused-at-send",
            Self::InFilter => "refused-by-filter",
            Self::OnLink => "refused-on-link",
            Self::NoRoute(_) => "no-way",
            Self::Tunnel(_) => "tunnel",
            Self::Inside => "inside",
            Self::Listed(_) => "listed",
            Self::Fault(_) => "fault",
            Self::NotKnown(_) => "unknown",
        }
    }

    /// For people.
    const fn in_words(&self) -> &'static str {
        match self {
            Self::AtSend(_) => "when they were sent",
            Self::InFilter => "by a filter",
            Self::OnLink => "on the link",
            Self::NoRoute(_) => "had no route or a link that is down",
            Self::Tunnel(_) => "went into a tunnel and were dropped there",
            Self::Inside => "stayed on this machine",
            Self::Listed(_) => "may leave by the contract and were dropped",
            Self::Fault(_) => "WOULD HAVE LEFT and were dropped by the net",
            Self::NotKnown(_) => "are not accounted for",
        }
    }

    /// The link, the error or the reason.
    fn detail(&self) -> Option<&str> {
        match self {
            Self::AtSend(errno) | Self::NoRoute(errno) => Some(Errno::desc(*errno)),
            Self::Tunnel(text) | Self::Listed(text) | Self::Fault(text) | Self::NotKnown(text) => Some(text),
            Self::InFilter | Self::OnLink | Self::Inside => None,
        }
    }
}

impl Untried {
    fn text(&self) -> &str {
        match self {
            Self::LeftOut(text) | Self::Failed(text) => text,
        }
    }
}

impl Probed {
    /// The rule that refuses it, for people.
    fn by(&self) -> Option<String> {
        let by = || self.by.as_ref().map_or_else(|| "not known".to_owned(), words::rule);
        self.end.is_refusal().then(by)
    }
}

impl Probes {
    fn count(&self, is: impl Fn(&End) -> bool) -> usize {
        self.all.iter().filter(|probed| is(&probed.end)).count()
    }

    fn of_containers(&self) -> usize {
        self.all.iter().filter(|probed| probed.probe.origin.container.is_some()).count()
    }

    fn summary(&self) -> String {
        let refused = format!(
            "{} refused ({} when they were sent, {} by a filter, {} on the link)",
            self.count(End::is_refusal),
            self.count(|end| matches!(end, End::AtSend(_))),
            self.count(|end| *end == End::InFilter),
            self.count(|end| *end == End::OnLink),
        );
        let mut others: BTreeMap<&str, usize> = BTreeMap::new();
        for Probed { end, .. } in self.all.iter().filter(|probed| !probed.end.is_refusal()) {
            *others.entry(end.in_words()).or_default() += 1;
        }
        let others: String = others.into_iter().map(|(what, count)| format!(", {count} {what}")).collect();
        let containers = match self.of_containers() {
            0 => String::new(),
            count => format!(" ({count} of them from containers)"),
        };
        let (all, control) = (self.all.len(), self.control);
        format!("Sent: {all} probes{containers}, {refused}{others}, control {control} of {control} seen.")
    }

    /// A line for each probe that was not refused although it should be, and for each container that was not tried.
    fn remarks(&self) -> Vec<String> {
        let line = |Probed { probe, end, .. }: &Probed| match end {
            End::Fault(link) => {
                Some(format!("{probe} came to the net on {link}: without the net it would have left."))
            }
            End::NotKnown(why) => Some(format!("{probe} is not accounted for: {why}.")),
            End::AtSend(_)
            | End::InFilter
            | End::OnLink
            | End::NoRoute(_)
            | End::Tunnel(_)
            | End::Inside
            | End::Listed(_) => None,
        };
        let untried = self.untried.iter().map(|untried| format!("Not tried: {}.", untried.text()));
        self.all.iter().filter_map(line).chain(untried).collect()
    }

    /// A line for each place and rule that has refused probes.
    fn refusals(&self) -> Vec<String> {
        let mut counts: BTreeMap<(&str, String), usize> = BTreeMap::new();
        for probed in &self.all {
            if let Some(by) = probed.by() {
                *counts.entry((probed.end.in_words(), by)).or_default() += 1;
            }
        }
        counts.into_iter().map(|((place, by), count)| format!("{count} {place}: {by}")).collect()
    }
}

fn not_available(why: &str) -> String {
    format!("Sent: nothing. The live part is not available: {why}.")
}

/// The lines in the terminal.
pub(in crate::cli::prove) fn in_words(tried: &Tried) -> Vec<String> {
    match tried {
        Tried::NotAvailable(why) => vec![not_available(why)],
        Tried::Sent(probes) => {
            let item = |text: String| format!("- {text}");
            let mut lines = vec![probes.summary()];
            lines.extend(probes.remarks().into_iter().map(item));
            let refusals = probes.refusals();
            if !refusals.is_empty() {
                lines.push(BY.to_owned());
                lines.extend(refusals.into_iter().map(item));
            }
            lines
        }
    }
}

/// This part of the page. `escaped` makes HTML from a text, and `list` makes HTML from several.
pub(in crate::cli::prove) fn in_html(
    tried: &Tried,
    escaped: impl Fn(&str) -> String,
    list: impl Fn(&[String]) -> String,
) -> String {
    let (summary, remarks, table) = match tried {
        Tried::NotAvailable(why) => (not_available(why), Vec::new(), String::new()),
        Tried::Sent(probes) => (probes.summary(), probes.remarks(), table(&probes.all, &escaped)),
    };
    let remarks: Vec<String> = remarks.iter().map(|remark| escaped(remark)).collect();
    let remarks = if remarks.is_empty() { String::new() } else { list(&remarks) };
    format!("<h2>Tried, with a net</h2>\n<p>{}</p>\n{remarks}<p>{NET}</p>\n{table}", escaped(&summary))
}

/// A row for each probe.
fn table(all: &[Probed], escaped: &impl Fn(&str) -> String) -> String {
    let row = |probed: &Probed| {
        let Probed { probe, end, .. } = probed;
        let detail = end.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        let end = format!("{}{detail}", end.as_str());
        let cells = [probe.to_string(), end, probed.by().unwrap_or_default()];
        let [probe, end, by] = cells.map(|cell| escaped(&cell));
        // Checkers of HTML report an empty element as a fault.
        let by = if by.is_empty() { by } else { format!("<code>{by}</code>") };
        format!("<tr><th scope=\"row\">{probe}</th><td>{end}</td><td>{by}</td></tr>\n")
    };
    let rows: String = all.iter().map(row).collect();
    format!(
        "<details>\n<summary>Each probe</summary>\n<div class=\"wide\">\n<table>\n<tr><th scope=\"col\">probe</th><th scope=\"col\">where it \
         ended</th><th scope=\"col\">the rule that refuses it, as computed</th></tr>\n{rows}</table>\n</div>\n</details>\n"
    )
}

/// The part of the JSON.
pub(in crate::cli::prove) fn in_json(tried: &Tried) -> Value {
    let (why, control, untried) = match tried {
        Tried::NotAvailable(why) => (Some(why), 0, &[][..]),
        Tried::Sent(probes) => (None, probes.control, &probes.untried[..]),
    };
    let all = tried.probes();
    let count = |is: fn(&End) -> bool| all.iter().filter(|probed| is(&probed.end)).count();
    json!({
        "not_available": why,
        "sent": all.len(),
        "refused": count(End::is_refusal),
        "seen": count(|end| matches!(end, End::Fault(_))),
        "unknown": count(|end| matches!(end, End::NotKnown(_))),
        "control": control,
        "not_tried": untried.iter().map(Untried::text).collect::<Vec<&str>>(),
        "probes": all.iter().map(of_probe).collect::<Vec<Value>>(),
    })
}

fn of_probe(Probed { probe, end, by }: &Probed) -> Value {
    json!({
        "how": probe.how.as_str(),
        "user": probe.origin.user,
        "network": probe.origin.container.as_ref().map(|container| &container.network),
        "destination": probe.to.ip(),
        "destination_port": Some(probe.to.port()).filter(|port| *port != 0),
        "bound_to": probe.on,
        "end": end.as_str(),
        "detail": end.detail(),
        "refused_by": by.as_ref().map(json::decision),
        "text": probe.to_string(),
    })
}
