//! The answer of `why`, for people and as `docs/why.schema.json` describes it.

use serde_json::{Value, json};

use crate::cli::{LOCKED, OPEN, UNKNOWN};
use crate::config::plain;
use crate::model::{Answer, Decision, Question, Verdict, Way};
use crate::vpn::RefusalReason;

/// A question with its answer.
pub(super) struct Shown {
    pub(super) sender: String,
    pub(super) question: Question,
    pub(super) answer: Answer,
    /// Why tunwarden refuses the packet.
    pub(super) refusal: Option<RefusalReason>,
}

impl Shown {
    /// The packet in words, and what happens to it.
    fn sentence(&self) -> String {
        let Question { destination, port, protocol, .. } = &self.question;
        let protocol = if *protocol == 6 { "TCP" } else { "UDP" };
        let packet = format!("{protocol} to {destination} port {port} from {}", self.sender);
        let last = self.question.last();
        let packet = match &self.question.then {
            Some(then) => format!("{packet}, which a rule sends to {} port {}", then.destination, then.port),
            None => packet,
        };
        let link = last.interface().unwrap_or_default();
        let whose = self.answer.decided_by.as_ref().map(Decision::whose).unwrap_or_default();
        let result = match self.answer.verdict {
            Verdict::Tunnel => format!("goes through the tunnel {link}"),
            Verdict::Lan => format!("goes to the LAN on {link}, outside the tunnel"),
            Verdict::Server => format!("goes to a VPN server on {link}, outside the tunnel"),
            Verdict::Local => "stays on this machine".to_owned(),
            Verdict::Refused if last.way == Way::Nowhere => "REFUSED: the kernel has no route".to_owned(),
            Verdict::Refused => format!("REFUSED by {whose}"),
            Verdict::Clear => format!("LEAVES IN CLEAR on {link}"),
            Verdict::Unknown => "NOT KNOWN".to_owned(),
        };
        format!("{packet}: {result}")
    }

    /// For people.
    pub(super) fn in_words(&self) -> String {
        let mut lines = vec![self.sentence()];
        if let Some(decision) = &self.answer.decided_by {
            let Decision { tool, family, table, chain, rule, .. } = decision;
            let table =
                [*family, table.as_str()].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>();
            lines.push(format!("  decided by: {} {}, chain {chain}: {rule}", tool.as_str(), table.join(" ")));
        }
        if let Some(RefusalReason { refusal, key }) = self.refusal {
            let key = key.map(|key| format!("; see {key}")).unwrap_or_default();
            lines.push(format!("  why: {}: {}{key}", refusal.as_str(), refusal.sentence()));
        }
        lines.extend(self.answer.unknown.iter().map(|unknown| format!("  not known: {unknown}")));
        lines.iter().map(|line| plain(line)).collect::<Vec<_>>().join("\n")
    }

    /// For programs.
    pub(super) fn in_json(&self) -> Value {
        let last = self.question.last();
        let decided_by = match (&self.answer.decided_by, &last.way) {
            (Some(decision), _) => json!({
                "tool": decision.tool.as_str(),
                "table": decision.table,
                "chain": decision.chain,
                "rule": decision.rule,
                "whose": decision.whose(),
            }),
            (None, Way::Nowhere) => json!({
                "tool": "kernel", "table": "routes", "chain": "", "rule": "no route", "whose": "the kernel",
            }),
            (None, Way::Here | Way::Out(..) | Way::NotKnown(_)) => Value::Null,
        };
        let protocol = if self.question.protocol == 6 { "tcp" } else { "udp" };
        json!({
            "verdict": self.answer.verdict.as_str(),
            "interface": last.interface(),
            "decided_by": decided_by,
            "reason": self.refusal.map(|reason| reason.refusal.as_str()),
            "key": self.refusal.and_then(|reason| reason.key),
            "destination": {
                "address": self.question.destination,
                "port": self.question.port,
                "protocol": protocol,
            },
            "sent_to": self.question.then.as_ref().map(|then| json!({
                "address": then.destination,
                "port": then.port,
            })),
            "unknown": self.answer.unknown,
            "text": self.sentence(),
        })
    }

    /// The exit code.
    pub(super) fn exit_code(&self) -> u8 {
        match self.answer.verdict {
            Verdict::Tunnel | Verdict::Lan | Verdict::Server | Verdict::Local => 0,
            Verdict::Refused => LOCKED,
            Verdict::Clear => OPEN,
            Verdict::Unknown => UNKNOWN,
        }
    }
}
