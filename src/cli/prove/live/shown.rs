//! The live part for people and for programs.

use nix::errno::Errno;
use serde_json::{Value, json};

use super::probe::Probe;
use super::{End, Probes, Tried};

/// What the net is, for the page.
const NET: &str = "Each probe was real, had a tag, and went to a documentation address. Behind all rules, a net on every link \
                   would have dropped it. The control sent the same probes in a private network without rules.";

impl End {
    /// For JSON.
    const fn as_str(&self) -> &'static str {
        match self {
            Self::AtSend(_) => "refused-at-send",
            Self::InFilter => "refused-by-filter",
            Self::OnLink => "refused-on-link",
            Self::NoWay(_) => "no-way",
            Self::Tunnel(_) => "tunnel",
            Self::Inside => "inside",
            Self::Listed(_) => "listed",
            Self::Fault(_) => "fault",
            Self::NotKnown(_) => "unknown",
        }
    }

    /// The link, the error or the reason.
    fn detail(&self) -> Option<&str> {
        match self {
            Self::AtSend(errno) | Self::NoWay(errno) => Some(Errno::desc(*errno)),
            Self::Tunnel(text) | Self::Listed(text) | Self::Fault(text) | Self::NotKnown(text) => Some(text),
            Self::InFilter | Self::OnLink | Self::Inside => None,
        }
    }

    fn is_refusal(&self) -> bool {
        matches!(self, Self::AtSend(_) | Self::InFilter | Self::OnLink)
    }
}

impl Probes {
    fn count(&self, is: impl Fn(&End) -> bool) -> usize {
        self.ends.iter().filter(|(_, end)| is(end)).count()
    }

    fn summary(&self) -> String {
        let refused = format!(
            "{} refused ({} when they were sent, {} by a filter, {} on the link)",
            self.count(End::is_refusal),
            self.count(|end| matches!(end, End::AtSend(_))),
            self.count(|end| *end == End::InFilter),
            self.count(|end| *end == End::OnLink),
        );
        let others = [
            (self.count(|end| matches!(end, End::NoWay(_))), "had no route or a link that is down"),
            (self.count(|end| matches!(end, End::Tunnel(_))), "went into a tunnel and were dropped there"),
            (self.count(|end| *end == End::Inside), "stayed on this machine"),
            (self.count(|end| matches!(end, End::Listed(_))), "may leave by the contract and were dropped"),
            (self.count(|end| matches!(end, End::Fault(_))), "WOULD HAVE LEFT and were dropped by the net"),
            (self.count(|end| matches!(end, End::NotKnown(_))), "are not accounted for"),
        ];
        let others = others.into_iter().filter(|(count, _)| *count > 0);
        let others: String = others.map(|(count, what)| format!(", {count} {what}")).collect();
        let control = self.control;
        format!("Sent: {} probes, {refused}{others}, control {control} of {control} seen.", self.ends.len())
    }

    /// A line for each probe that was not refused where that matters.
    fn remarks(&self) -> Vec<String> {
        let line = |(probe, end): &(Probe, End)| match end {
            End::Fault(link) => {
                Some(format!("{probe} came to the net on {link}: without the net it would have left."))
            }
            End::NotKnown(why) => Some(format!("{probe} is not accounted for: {why}.")),
            End::AtSend(_)
            | End::InFilter
            | End::OnLink
            | End::NoWay(_)
            | End::Tunnel(_)
            | End::Inside
            | End::Listed(_) => None,
        };
        self.ends.iter().filter_map(line).collect()
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
            let remarks = probes.remarks().into_iter().map(|remark| format!("- {remark}"));
            std::iter::once(probes.summary()).chain(remarks).collect()
        }
    }
}

/// The part of the page. `escaped` makes HTML of a text, and `list` of several.
pub(in crate::cli::prove) fn in_html(
    tried: &Tried,
    escaped: impl Fn(&str) -> String,
    list: impl Fn(&[String]) -> String,
) -> String {
    let (summary, remarks) = match tried {
        Tried::NotAvailable(why) => (not_available(why), Vec::new()),
        Tried::Sent(probes) => (probes.summary(), probes.remarks()),
    };
    let remarks: Vec<String> = remarks.iter().map(|remark| escaped(remark)).collect();
    let remarks = if remarks.is_empty() { String::new() } else { list(&remarks) };
    format!("<h2>Tried, with a net</h2>\n<p>{}</p>\n{remarks}<p>{NET}</p>\n", escaped(&summary))
}

/// The part of the JSON.
pub(in crate::cli::prove) fn in_json(tried: &Tried) -> Value {
    let (why, control, ends) = match tried {
        Tried::NotAvailable(why) => (Some(why), 0, &[][..]),
        Tried::Sent(probes) => (None, probes.control, &probes.ends[..]),
    };
    let count = |is: fn(&End) -> bool| ends.iter().filter(|(_, end)| is(end)).count();
    json!({
        "not_available": why,
        "sent": ends.len(),
        "refused": count(End::is_refusal),
        "seen": count(|end| matches!(end, End::Fault(_))),
        "unknown": count(|end| matches!(end, End::NotKnown(_))),
        "control": control,
        "probes": ends.iter().map(of_probe).collect::<Vec<Value>>(),
    })
}

fn of_probe((probe, end): &(Probe, End)) -> Value {
    json!({
        "how": probe.how.as_str(),
        "user": probe.user,
        "destination": probe.to.ip(),
        "destination_port": Some(probe.to.port()).filter(|port| *port != 0),
        "bound_to": probe.on,
        "end": end.as_str(),
        "detail": end.detail(),
        "text": probe.to_string(),
    })
}
