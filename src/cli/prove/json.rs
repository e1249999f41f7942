//! The proof for programs, as `docs/prove.schema.json` describes it.

use serde_json::{Value, json};

use super::{Computed, Conclusion, live};
use crate::model::{ASSUMPTIONS, Counterexample, Decision, Outcome as Shown, Row};

/// What `prove --json` prints.
pub(super) fn in_json(computed: &Computed) -> Value {
    let proof = &computed.proof;
    let (packets, reasons) = match &proof.outcome {
        Shown::Proven => (&[][..], &[][..]),
        Shown::Leaves(packets) => (&packets[..], &[][..]),
        Shown::NotShown(reasons) => (&[][..], &reasons[..]),
    };
    let packets: Vec<Value> = packets.iter().map(packet_in_json).collect();
    json!({
        "proven": computed.conclusion() == Conclusion::Proven,
        "computed": {
            "rules": proof.rules,
            "assumptions": ASSUMPTIONS,
            "counterexamples": packets,
            "not_shown": reasons,
            "reach": computed.rows.iter().map(row_in_json).collect::<Vec<Value>>(),
        },
        "live": computed.tried.as_ref().map(live::in_json),
        "state": computed.state.as_str(),
        "time": computed.now,
        "version": env!("CARGO_PKG_VERSION"),
    })
}

fn row_in_json(row: &Row) -> Value {
    json!({
        "sender": row.sender.as_str(),
        "tunnel": row.tunnel.as_str(),
        "lan": row.lan.as_str(),
        "server": row.server.as_str(),
        "link": row.link.as_str(),
        "portal": row.portal.as_str(),
        "elsewhere": row.elsewhere.as_str(),
    })
}

/// A rule that decides.
pub(super) fn decision(decision: &Decision) -> Value {
    json!({
        "tool": decision.tool.as_str(),
        "table": decision.table,
        "chain": decision.chain,
        "rule": decision.rule,
        "whose": decision.whose(),
    })
}

fn packet_in_json(packet: &Counterexample) -> Value {
    json!({
        "sender": packet.sender.as_str(),
        "interface": packet.interface,
        "source": packet.source,
        "destination": packet.destination,
        "protocol": packet.protocol,
        "source_port": packet.source_port,
        "destination_port": packet.destination_port,
        "user": packet.user,
        "mark": packet.mark,
        "from": packet.input,
        "decided_by": packet.decided_by.as_ref().map(decision),
        "text": packet.to_string(),
        "remedy": packet.remedy(),
    })
}
