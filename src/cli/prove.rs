//! `tunwarden prove`: shows by computation over the kernel's own rules that no packet leaves in clear.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args as ClapArgs;
use serde_json::{Value, json};

use super::load::in_force_aloud;
use super::lock::locked;
use super::{OPEN, Outcome, needs_root, say};
use crate::config::{Config, Source};
use crate::firewall;
use crate::model::{
    ASSUMPTIONS, Contract, Counterexample, LinkFacts, Machine, Outcome as Shown, Proof, Users, prove,
};
use crate::sources::links;
use crate::store::Store;
use crate::system;
use crate::vpn::{ExactTunnel, LinkKind, LinkTable, Situation, Wire};

/// Maximum number of times that everything is read while the agent changes the rules.
const READS: usize = 5;

#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, path: Option<&Path>) -> Outcome {
    needs_root("prove")?;
    let store = Store::default();
    let in_force = in_force_aloud(path, &store);
    anyhow::ensure!(
        in_force.source != Source::Unknown,
        "it could not be shown: no configuration can be read"
    );
    let proof = compute(&in_force.config, &store).await.context("it could not be shown")?;
    match args.json {
        true => say(&in_json(&proof).to_string()),
        false => say(&in_words(&proof)),
    }
    Ok(match proof.outcome {
        Shown::Proven => ExitCode::SUCCESS,
        Shown::Leaves(_) => ExitCode::from(OPEN),
        Shown::NotShown(_) => ExitCode::FAILURE,
    })
}

/// Reads the rules, the links and what the agent applied, and compares them.
async fn compute(config: &Config, store: &Store) -> anyhow::Result<Proof> {
    for _ in 0..READS {
        let situation = situation(config, store).await?;
        let links = links::snapshot().await?;
        let rules = firewall::rules().await?;
        // The agent may have changed the rules and then written down why.
        if self::situation(config, store).await? != situation || links::snapshot().await? != links {
            continue;
        }
        let (owners, _) = system::owners(config);
        let users = Users { vpn: owners.bootstrap, dhcp: owners.leases };
        let machine = machine(links, config, &situation);
        let contract = Contract { config, situation: &situation, now: machine.now, users: &users };
        return Ok(prove(&rules, &machine, &contract));
    }
    anyhow::bail!("the links or the state change faster than they can be read; try again")
}

/// What the rules in force were made for.
async fn situation(config: &Config, store: &Store) -> anyhow::Result<Situation> {
    Ok(match store.applied()? {
        Some(applied) => applied.situation,
        None => locked(config, store).await,
    })
}

/// The links as the kernel has them now. The kernel decides which of them lead out; only which link has led out before
/// is taken from the agent.
fn machine(mut table: LinkTable, config: &Config, situation: &Situation) -> Machine {
    table.known_uplinks = situation.wires.iter().map(|wire| wire.index).collect();
    let makers = BTreeSet::from([ExactTunnel::WireGuardFile, ExactTunnel::OpenVpnFile]);
    let exact = situation.further_tunnels.iter().cloned();
    table.exact_tunnels = exact.map(|name| (name, makers.clone())).collect();
    let (ports, uplinks): (Vec<Wire>, Vec<Wire>) =
        table.wires(config).into_iter().partition(|wire| is_port(&table, wire, is_bond));
    let names = |wires: Vec<Wire>| wires.into_iter().map(|wire| wire.interface.to_string());
    Machine {
        uplinks: names(uplinks).chain(table.unnamed_wires(config)).collect(),
        ports: names(ports).collect(),
        links: table
            .links
            .iter()
            .map(|link| LinkFacts { name: link.name.clone(), kind: link.kind })
            .collect(),
        now: i64::try_from(system::now()).unwrap_or(i64::MAX),
    }
}

/// Whether only frames leave on a link: it is a port of a bridge or of a bond. A link of another master (VRF)
/// has packets of its own.
fn is_port(table: &LinkTable, wire: &Wire, is_bond: impl Fn(&str) -> bool) -> bool {
    let link = |index: u32| table.links.iter().find(move |link| link.index == index);
    let master = link(wire.index).and_then(|link| link.master).and_then(link);
    master.is_some_and(|master| master.kind == LinkKind::Bridge || is_bond(&master.name))
}

/// Whether a link is a bond: the kernel shows the settings of a bond here, and of no other link.
fn is_bond(name: &str) -> bool {
    !name.contains('/') && Path::new("/sys/class/net").join(name).join("bonding").is_dir()
}

fn in_words(proof: &Proof) -> String {
    let rules = format!(
        "Computed from the {} rules of this machine, its links and the state of tunwarden",
        proof.rules
    );
    let mut lines = match &proof.outcome {
        Shown::Proven => vec![
            "PROVEN: no packet leaves in clear.".to_owned(),
            format!("{rules}: of all packets, none leaves but those that docs/security.md lists."),
        ],
        Shown::Leaves(packets) => {
            let mut lines = vec!["OPEN: packets leave in clear.".to_owned(), format!("{rules}:")];
            for packet in packets {
                lines.push(format!("- {packet}"));
                lines.extend(decided(packet).map(|decided| format!("  let out by: {decided}")));
                lines.push(format!("  what to do: {}", packet.remedy()));
            }
            lines
        }
        Shown::NotShown(reasons) => {
            let mut lines = vec!["NOT SHOWN: it is not known whether packets leave in clear.".to_owned()];
            lines.extend(reasons.iter().map(|reason| format!("- {reason}")));
            lines
        }
    };
    lines.push("This takes for granted:".to_owned());
    lines.extend(ASSUMPTIONS.map(|assumption| format!("- {assumption}")));
    lines.join("\n")
}

fn decided(packet: &Counterexample) -> Option<String> {
    let decision = packet.decided_by.as_ref()?;
    let whose = packet.whose().unwrap_or_default();
    let place = format!("{} {}, chain {}", decision.tool.as_str(), decision.table, decision.chain);
    Some(format!("{place}: {} ({whose})", decision.rule))
}

fn in_json(proof: &Proof) -> Value {
    let (packets, reasons) = match &proof.outcome {
        Shown::Proven => (&[][..], &[][..]),
        Shown::Leaves(packets) => (&packets[..], &[][..]),
        Shown::NotShown(reasons) => (&[][..], &reasons[..]),
    };
    let packets: Vec<Value> = packets.iter().map(packet_in_json).collect();
    json!({
        "proven": proof.outcome == Shown::Proven,
        "computed": {
            "rules": proof.rules,
            "assumptions": ASSUMPTIONS,
            "counterexamples": packets,
            "not_shown": reasons,
        },
        "live": null,
    })
}

fn packet_in_json(packet: &Counterexample) -> Value {
    let decided_by = packet.decided_by.as_ref().map(|decision| {
        json!({
            "tool": decision.tool.as_str(),
            "table": decision.table,
            "chain": decision.chain,
            "rule": decision.rule,
            "whose": packet.whose(),
        })
    });
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
        "decided_by": decided_by,
        "text": packet.to_string(),
        "remedy": packet.remedy(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vpn::Link;

    #[test]
    fn only_a_port_of_a_bridge_or_a_bond_sends_frames_alone() {
        let link = |index, name: &str, kind, master| Link { master, ..Link::plain(index, name, kind) };
        let is_port_of = |name: &str, kind| {
            let links = vec![link(2, "eth0", LinkKind::Other, Some(3)), link(3, name, kind, None)];
            let table = LinkTable { links, ..LinkTable::default() };
            let wire = Wire { interface: "eth0".parse().unwrap(), index: 2 };
            is_port(&table, &wire, |name| name == "bond0")
        };
        assert!(is_port_of("br0", LinkKind::Bridge));
        assert!(is_port_of("bond0", LinkKind::Other));
        assert!(!is_port_of("vrf0", LinkKind::Other), "a card in a VRF has packets of its own");
    }
}
