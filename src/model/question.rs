//! What would happen to one packet now, and which rule decides: `why`.
//!
//! The packet is the first one of its connection, as a program or a container would send it. The chains of every
//! program are asked in the order in which the kernel asks them.

mod packet;
mod reason;

use std::net::IpAddr;

use super::contract::{Contract, Part, Sender};
use super::diagram::Packet;
use super::evaluate::{Evaluation, Input, LinkFacts, Time, View};
use super::layout::Stage;
use super::proof::Machine;
use super::rule::{Base, Hook, Rules, Sees, Table};
use super::walk::{self, Decision, Fate};
use crate::net::Family;

/// A packet to ask about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Who sends it.
    pub from: SentBy,
    /// The kernel's choice, or the container's own address.
    pub source: IpAddr,
    /// Where to.
    pub destination: IpAddr,
    /// The number of its protocol: 6 (TCP) or 17 (UDP).
    pub protocol: u8,
    /// The port there.
    pub port: u16,
    /// Where the kernel's route lookup sends it.
    pub way: Way,
}

/// Who sends a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SentBy {
    /// A program of this user id.
    Program(u32),
    /// A container or a virtual machine behind this bridge.
    Bridge(String),
}

/// Where a packet goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// To this machine itself.
    Here,
    /// Out on a link, which has this address if the source is rewritten to it.
    Out(String, Option<IpAddr>),
    /// The kernel has no route.
    Nowhere,
}

/// What would happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes through a tunnel.
    Tunnel,
    /// It goes to the LAN, or the link needs it.
    Lan,
    /// It goes to a VPN server, outside the tunnel.
    Server,
    /// It stays on this machine: a program or a container of it gets the packet.
    Local,
    /// It is refused.
    Refused,
    /// It leaves in clear.
    Clear,
    /// A rule that decides is not known.
    Unknown,
}

impl Verdict {
    /// The word for it in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tunnel => "tunnel",
            Self::Lan => "lan",
            Self::Server => "server",
            Self::Local => "local",
            Self::Refused => "refused",
            Self::Clear => "clear",
            Self::Unknown => "unknown",
        }
    }
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What would happen.
    pub verdict: Verdict,
    /// The rule that decides; `None` where no rule does.
    pub decided_by: Option<Decision>,
    /// What the model does not know.
    pub unknown: Vec<String>,
}

impl Answer {
    /// Whether a rule of tunwarden refuses the packet, or a policy that every packet meets.
    pub fn is_ours(&self) -> bool {
        let is_ours = |decision: &Decision| decision.by_policy || decision.whose() == "tunwarden";
        self.verdict == Verdict::Refused && self.decided_by.as_ref().is_some_and(is_ours)
    }
}

/// The place of NAT of destinations among the chains of a hook: `NF_IP_PRI_NAT_DST`.
const REWRITES_DESTINATION: i32 = -100;

impl Question {
    /// The family of the packet.
    pub fn family(&self) -> Family {
        Family::of(self.destination)
    }

    fn sender(&self) -> Sender {
        match self.from {
            SentBy::Program(_) => Sender::Local,
            SentBy::Bridge(_) => Sender::Forwarded,
        }
    }

    /// The name of the link that it goes out on.
    pub fn interface(&self) -> Option<&str> {
        match &self.way {
            Way::Out(link, _) => Some(link),
            Way::Here | Way::Nowhere => None,
        }
    }

    /// The hooks that it passes, in order.
    fn hooks(&self) -> &'static [Hook] {
        match (&self.from, &self.way) {
            (_, Way::Nowhere) => &[],
            (SentBy::Program(_), Way::Here) => {
                &[Hook::Output, Hook::Postrouting, Hook::Prerouting, Hook::Input]
            }
            (SentBy::Program(_), Way::Out(..)) => &[Hook::Output, Hook::Postrouting, Hook::Egress],
            (SentBy::Bridge(_), Way::Here) => &[Hook::Prerouting, Hook::Input],
            (SentBy::Bridge(_), Way::Out(..)) => {
                &[Hook::Prerouting, Hook::Forward, Hook::Postrouting, Hook::Egress]
            }
        }
    }

    /// What would happen to the packet.
    pub fn answer(&self, rules: &Rules, machine: &Machine, contract: &Contract<'_>) -> Answer {
        if self.way == Way::Nowhere {
            return Answer { verdict: Verdict::Refused, decided_by: None, unknown: Vec::new() };
        }
        let reason = |writer| format!("the model does not compute {writer}");
        let mut unknown: Vec<String> = rules.writers.iter().map(reason).collect();
        let (mut passed, mut is_rewritten, mut doubts) = (Vec::new(), false, Vec::<Decision>::new());
        for &hook in self.hooks() {
            for (table, name, base) in self.chains(hook, rules) {
                let packet = self.packet(machine, is_rewritten);
                let view = self.view(hook, machine);
                let bounds = Evaluation::new(table, view).passed(&mut packet.clone(), name, base);
                let (fate, met) = walk::fate(&packet, &view, table, (name, base));
                let bounds = match bounds {
                    Ok(bounds) => bounds,
                    Err(error) => {
                        unknown.push(format!("the table {}: {error}", table.name));
                        continue;
                    }
                };
                match fate {
                    Fate::Refused(decision) if !bounds.maybe => {
                        let decided_by = Some(decision);
                        return Answer { verdict: Verdict::Refused, decided_by, unknown: Vec::new() };
                    }
                    Fate::Passed(decision) if bounds.surely => {
                        if changes_destination(hook, base, &decision) {
                            unknown.push("a rule may give it another destination".to_owned());
                            doubts.push(decision.clone());
                        }
                        is_rewritten |= hook == Hook::Postrouting && changes_source(&decision);
                        passed.push(decision);
                    }
                    Fate::Refused(_) | Fate::Passed(_) => {
                        unknown.extend(met.iter().flat_map(|one| one.unknown.clone()));
                        doubts.extend(met);
                    }
                }
            }
        }
        if !doubts.is_empty() || !unknown.is_empty() {
            unknown.dedup();
            return Answer { verdict: Verdict::Unknown, decided_by: doubts.into_iter().next(), unknown };
        }
        let packet = self.packet(machine, false);
        Answer { verdict: self.leaves(&packet, machine, contract), decided_by: deciding(passed), unknown }
    }

    /// The chains of a hook that it enters, in the kernel's order.
    fn chains<'r>(&self, hook: Hook, rules: &'r Rules) -> Vec<(&'r Table, &'r str, &'r Base)> {
        let mut found = Vec::new();
        for table in &rules.tables {
            let is_for_frames = table.sees == Sees::Frames;
            for (name, chain) in &table.chains {
                let enters = |base: &&Base| match hook {
                    Hook::Egress => {
                        let out = self.interface();
                        base.hook == hook && out.is_some_and(|out| base.devices.contains(out))
                    }
                    Hook::Prerouting | Hook::Input | Hook::Forward | Hook::Output | Hook::Postrouting => {
                        base.hook == hook && !is_for_frames
                    }
                };
                if let Some(base) = chain.base.as_ref().filter(enters) {
                    found.push((table, name.as_str(), base));
                }
            }
        }
        found.sort_by_key(|(_, _, base)| base.priority);
        found
    }

    /// What a rule at a hook is told.
    fn view<'m>(&self, hook: Hook, machine: &'m Machine) -> View<'m> {
        let out = match (hook, &self.way) {
            (Hook::Prerouting | Hook::Input, _) | (_, Way::Nowhere) => None,
            (_, Way::Here) => machine.link("lo"),
            (_, Way::Out(name, _)) => machine.link(name),
        };
        let input = match hook {
            Hook::Prerouting | Hook::Input | Hook::Forward => Input::OfPacket,
            Hook::Output | Hook::Postrouting | Hook::Egress => Input::None,
        };
        let stage = if hook == Hook::Egress { Stage::Wire } else { Stage::Filter };
        let (links, now, time) = (&machine.links, machine.now, Time::Now);
        View { family: self.family(), stage, out, input, links, now, time, fixed: &[] }
    }

    /// Where a packet goes that nothing refuses.
    fn leaves(&self, packet: &Packet, machine: &Machine, contract: &Contract<'_>) -> Verdict {
        let Some(out) = self.interface() else { return Verdict::Local };
        let is = |names: &[String]| names.iter().any(|name| name == out);
        if is(&machine.tunnels) {
            return Verdict::Tunnel;
        }
        if !is(&machine.uplinks) && !is(&machine.ports) && !is(&machine.devices) {
            let is_tunnel = |link: &LinkFacts| link.kind.is_tunnel();
            return if machine.link(out).is_some_and(is_tunnel) { Verdict::Tunnel } else { Verdict::Local };
        }
        let hook = match self.from {
            SentBy::Program(_) => Hook::Output,
            SentBy::Bridge(_) => Hook::Forward,
        };
        let view = self.view(hook, machine);
        let parts = contract.parts(self.family(), self.sender(), out);
        let part = parts.iter().find(|(_, one)| view.all(&mut packet.clone(), one).surely);
        match part.map(|(part, _)| part) {
            Some(Part::Server) => Verdict::Server,
            Some(Part::Lan | Part::Link) => Verdict::Lan,
            Some(Part::Portal) | None => Verdict::Clear,
        }
    }
}

/// Whether the rule may send the packet elsewhere: a rule, and not the policy, of a chain in the place of NAT.
fn changes_destination(hook: Hook, base: &Base, decision: &Decision) -> bool {
    let is_place = matches!(hook, Hook::Prerouting | Hook::Output) && base.priority == REWRITES_DESTINATION;
    let keeps = |target: &str| decision.rule.ends_with(target);
    is_place && !decision.by_policy && !keeps("-j ACCEPT")
}

/// Whether the rule gives it the address of the link. nft's rules have no text, so any rule of a chain counts.
fn changes_source(decision: &Decision) -> bool {
    let rewrites = |target: &str| decision.rule.contains(target);
    !decision.by_policy
        && (rewrites("-j MASQUERADE") || rewrites("-j SNAT") || decision.rule.starts_with("handle "))
}

/// The rule that says most of those that let a packet pass: one of a filter, and no policy.
fn deciding(mut passed: Vec<Decision>) -> Option<Decision> {
    passed.sort_by_key(|decision| {
        (decision.by_policy, decision.table != "filter", !decision.family.is_empty())
    });
    passed.into_iter().next()
}

#[cfg(test)]
mod tests;
